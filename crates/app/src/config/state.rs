//! Reads `[state]`: where what was seen and said is kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use state::{Config, RedisConfig, redis::Address};

use super::problem::Wrong;
use super::secret::{Environment, secret};
use super::section::Section;
use super::units::{choice, text};
use super::values::positive;

/// Reads the table: the store, and how long issues are remembered.
pub(super) fn state(
    mut section: Section,
    retention: Duration,
    environment: &Environment,
) -> (Config, Duration) {
    let kind = section.read("kind", Kind::File, choice(&KINDS));
    let path = section.read("path", PathBuf::from(PATH), |node| match text(node)? {
        path if path.is_empty() => Err(Wrong::new("names no file", "such as \"data/state.db\"")),
        path => Ok(PathBuf::from(path)),
    });
    let url = secret(&mut section, "url", environment);
    let prefix = section.read("prefix", PREFIX.to_owned(), text);
    let budget = section.read("timeout", BUDGET, positive);
    let retention = section.read("retention", retention, positive);
    let config = match kind {
        Kind::Memory => Config::Memory,
        Kind::File => Config::File(path),
        Kind::Redis => redis(&section, url.as_deref(), |address| RedisConfig {
            address,
            prefix,
            // Issues are forgotten by looking at them; what is left behind goes a day later.
            retention: retention.saturating_add(Duration::from_secs(24 * 60 * 60)),
            budget,
        }),
    };
    for key in ["url", "url_file"] {
        if section.has(key) && kind != Kind::Redis {
            let what = "has no effect, because `state.kind` is not \"redis\"";
            section.warn(key, &Wrong::new(what, ""));
        }
    }
    section.finish();
    (config, retention)
}

fn redis(
    section: &Section,
    url: Option<&str>,
    config: impl FnOnce(Address) -> RedisConfig,
) -> Config {
    let Some(url) = url else {
        section.complain(
            "url",
            &Wrong::new("is not set, and state.kind is \"redis\"", URL),
        );
        return Config::Memory;
    };
    match url.parse::<Address>() {
        Ok(address) => Config::Redis(config(address)),
        Err(error) => {
            section.complain("url", &Wrong::new(error.to_string(), URL));
            Config::Memory
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    File,
    Redis,
}

const KINDS: [(&str, Kind); 3] = [
    ("memory", Kind::Memory),
    ("file", Kind::File),
    ("redis", Kind::Redis),
];

const PATH: &str = "data/state.db";

const PREFIX: &str = "sentry-notice:";

const URL: &str = "such as \"redis://127.0.0.1:6379/0\", \"rediss://:password@host\", \"redis+cluster://a:7000,b:7000\" or \"redis+sentinel://a:26379,b:26379/mymaster\"";

/// How long Redis may take for an answer: no event waits longer for it.
const BUDGET: Duration = Duration::from_millis(50);

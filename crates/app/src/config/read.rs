//! Turns the tables of the configuration into meant values, one function a table; the larger subjects have files of their own.

use std::time::Duration;

use event::model::Level;

use super::alerting::{alert, grouping, own_notices, projects, robots, sentry};
use super::forwarding::{forward, spool, tls, tunnel, upstream};
use super::problem::Wrong;
use super::secret::{Environment, secret};
use super::section::Section;
use super::units::{address, choice, list};
use super::values::{bytes, count, positive};
use super::{AdminConfig, AlertOn, Config, LogConfig, LogFormat, TeeConfig};

/// Reads the whole configuration.
pub(super) fn config(mut root: Section, environment: &Environment) -> Config {
    let defaults = Config::default();
    let mut config = defaults.clone();
    config.proxy.listen = root.read("listen", defaults.proxy.listen, address);
    config.proxy.threads = count(&mut root, "threads", 0..=1_024, defaults.proxy.threads);
    config.proxy.upstream = upstream(
        root.section("upstream"),
        defaults.proxy.upstream.clone(),
        environment,
    );
    config.proxy.forward = forward(root.section("forward"), defaults.proxy.forward.clone());
    config.proxy.tunnel_path = tunnel(root.section("tunnel"));
    config.proxy.tls = tls(root.section("tls"));
    spool(root.section("spool"));
    (
        config.tee,
        config.alert.min_level,
        config.proxy.tee.max_body,
    ) = tee(root.section("tee"), &defaults);
    config.retention = state(root.section("state"), defaults.retention);
    config.robots = robots(root.section("robot"), environment);
    config.alert.project_names = projects(root.section("project"));
    config.alert.links = sentry(root.section("sentry"), &config.proxy.upstream.url);
    (config.alert.rule, config.alert.robots) = alert(root.section("alert"), &config.robots);
    root.later("mute", "use the repeat window until mutes come");
    config.grouping = grouping(root.section("grouping"));
    own_notices(root.section("self"));
    config.admin = admin(root.section("admin"), defaults.admin, environment);
    config.log = log(root.section("log"), defaults.log);
    root.finish();
    config
}

fn tee(mut section: Section, defaults: &Config) -> (TeeConfig, Level, usize) {
    let levels = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warning", Level::Warning),
        ("error", Level::Error),
        ("fatal", Level::Fatal),
    ];
    let verdicts = [
        ("accepted", AlertOn::Accepted),
        ("limited", AlertOn::Limited),
        ("spooled", AlertOn::Spooled),
    ];
    let min_level = section.read("min_level", defaults.alert.min_level, choice(&levels));
    let max_body = bytes(&mut section, "max_body", defaults.proxy.tee.max_body);
    let tee = TeeConfig {
        memory: bytes(&mut section, "memory", defaults.tee.memory),
        max_decoded: bytes(&mut section, "max_decoded", defaults.tee.max_decoded),
        alert_on: section.read(
            "alert_on",
            defaults.tee.alert_on.clone(),
            list(choice(&verdicts)),
        ),
    };
    if tee.memory < max_body {
        let hint = "let `tee.memory` hold at least one body of `tee.max_body`";
        section.complain(
            "memory",
            &Wrong::new("is smaller than `tee.max_body`", hint),
        );
    }
    section.finish();
    (tee, min_level, max_body)
}

fn state(mut section: Section, retention: Duration) -> Duration {
    let kinds = [("memory", ()), ("file", ()), ("redis", ())];
    if section.optional("kind", choice(&kinds)).is_some() && !section.is_text("kind", "memory") {
        let what = "only \"memory\" has an effect in this version: a restart forgets what was said";
        section.warn("kind", &Wrong::new(what, ""));
    }
    for key in ["path", "url", "url_file", "prefix"] {
        section.later(key, "state is kept in memory");
    }
    let retention = section.read("retention", retention, positive);
    section.finish();
    retention
}

fn admin(mut section: Section, defaults: AdminConfig, environment: &Environment) -> AdminConfig {
    let listen = section.read("listen", defaults.listen, address);
    let token = secret(&mut section, "token", environment).map(admin::Token::new);
    if token.is_none() && !listen.ip().is_loopback() {
        let hint = "set `admin.token`, or listen on 127.0.0.1";
        section.complain(
            "token",
            &Wrong::new(
                format!("is needed because `{listen}` is not loopback"),
                hint,
            ),
        );
    }
    for key in ["public_url", "mute_key", "mute_key_file"] {
        section.later(key, "cards have no mute links yet");
    }
    section.finish();
    AdminConfig { listen, token }
}

fn log(mut section: Section, defaults: LogConfig) -> LogConfig {
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = LogConfig {
        level: section.read("level", defaults.level, choice(&levels)),
        format: section.read("format", defaults.format, choice(&formats)),
    };
    section.finish();
    log
}

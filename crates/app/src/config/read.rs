//! Turns the tables of the configuration into meant values, one function a table; the larger subjects have files of their own.

use ::alert::Kind;
use event::model::Level;

use super::alerting::{default_timezone, grouping, own, projects, robots, sentry};
use super::forwarding::{forward, spool, tls, tunnel, upstream};
use super::problem::Wrong;
use super::routes::{mutes, people, routes};
use super::secret::{Environment, secret};
use super::section::Section;
use super::state::state;
use super::units::{address, choice, list, text};
use super::values::{bytes, count, origin};
use super::{AdminConfig, AlertOn, Config, LogConfig, LogFormat};

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
    spool(root.section("spool"), &mut config);
    tee(root.section("tee"), &mut config);
    (config.state, config.retention) =
        state(root.section("state"), defaults.retention, environment);
    config.robots = robots(root.section("robot"), environment);
    config.alert.project_names = projects(root.section("project"));
    config.alert.links = sentry(root.section("sentry"), &config.proxy.upstream.url);
    config.alert.routes = routes(root.section("alert"), &config.robots);
    config.alert.mutes = mutes(root.sections("mute"), &default_timezone());
    config.alert.people = people(root.section("people"));
    config.grouping = grouping(root.section("grouping"));
    (config.alert.own_robot, config.outage_after) =
        own(root.section("self"), &config.robots, defaults.outage_after);
    let mut admin_section = root.section("admin");
    config.alert.public_url = public_url(&mut admin_section);
    config.admin = admin(admin_section, defaults.admin, environment);
    config.log = log(root.section("log"), defaults.log);
    root.finish();
    config
}

/// Reads what is copied into the pipeline, and which of it may alert.
fn tee(mut section: Section, config: &mut Config) {
    let max_body = bytes(&mut section, "max_body", config.proxy.tee.max_body);
    let memory = bytes(&mut section, "memory", config.tee.memory);
    if memory < max_body {
        let hint = "let `tee.memory` hold at least one body of `tee.max_body`";
        section.complain(
            "memory",
            &Wrong::new("is smaller than `tee.max_body`", hint),
        );
    }
    config.proxy.tee.max_body = max_body;
    config.tee.memory = memory;
    config.tee.max_decoded = bytes(&mut section, "max_decoded", config.tee.max_decoded);
    let verdicts = config.tee.alert_on.clone();
    config.tee.alert_on = section.read("alert_on", verdicts, list(choice(&VERDICTS)));
    let kinds = config.alert.kinds.clone();
    config.alert.kinds = section.read("kinds", kinds, list(choice(&KINDS)));
    config.proxy.tee.wants.logs = config.alert.kinds.contains(&alert::config::Kind::Log);
    let min_level = config.alert.min_level;
    config.alert.min_level = section.read("min_level", min_level, choice(&LEVELS));
    section.finish();
}

/// Reads where people reach the admin pages from their phones.
fn public_url(section: &mut Section) -> Option<String> {
    let url = section.read("public_url", String::new(), |node| match text(node)? {
        url if url.is_empty() => Ok(url),
        _ => Ok(origin(node)?.to_string()),
    });
    (!url.is_empty()).then_some(url)
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
    let mute_key = mute_key(&mut section, environment);
    section.finish();
    AdminConfig {
        listen,
        token,
        mute_key,
    }
}

/// Reads the key of mute links: one that can be guessed would let anyone mute.
fn mute_key(section: &mut Section, environment: &Environment) -> Option<::alert::Key> {
    let key = secret(section, "mute_key", environment)?;
    if key.len() < SHORTEST_KEY {
        let what = format!("is shorter than {SHORTEST_KEY} characters");
        let hint = "such as the output of `openssl rand -hex 32`; \"\" = one is made and kept in the state";
        section.complain("mute_key", &Wrong::new(what, hint));
        return None;
    }
    Some(::alert::Key::new(key))
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

/// Bytes of the shortest key of mute links.
const SHORTEST_KEY: usize = 16;

const LEVELS: [(&str, Level); 5] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warning", Level::Warning),
    ("error", Level::Error),
    ("fatal", Level::Fatal),
];
const VERDICTS: [(&str, AlertOn); 3] = [
    ("accepted", AlertOn::Accepted),
    ("limited", AlertOn::Limited),
    ("spooled", AlertOn::Spooled),
];
const KINDS: [(&str, Kind); 5] = [
    ("event", Kind::Event),
    ("security", Kind::Security),
    ("crash", Kind::Crash),
    ("check_in", Kind::CheckIn),
    ("log", Kind::Log),
];

//! Turns the tables of the configuration into meant values, one function a table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dingtalk::{Language, Mention, MessageKind, OpenLinks, RobotConfig, Secret, Webhook};
use event::auth::PublicKey;
use event::endpoint::ProjectId;
use event::model::Level;
use jiff::tz::TimeZone;
use proxy::config::{
    ClientIp, ForwardConfig, HttpProxy, KeyPair, Origin, UpstreamConfig, UpstreamRoute,
};

use super::problem::Wrong;
use super::secret::{Environment, secret};
use super::section::{Section, nearest};
use super::tree::Node;
use super::units::{address, boolean, choice, duration, integer, list, size, text};
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

fn upstream(
    mut section: Section,
    defaults: UpstreamConfig,
    environment: &Environment,
) -> UpstreamConfig {
    if !section.has("url") {
        let hint = "set it to the host part of your DSN, such as \"https://sentry.example.com\"; or use --upstream";
        section.complain("url", &Wrong::new("is not set", hint));
    }
    let url = section.read("url", defaults.url, origin);
    let upstream = UpstreamConfig {
        connect_timeout: section.read("connect_timeout", defaults.connect_timeout, positive),
        response_timeout: section.read("response_timeout", defaults.response_timeout, positive),
        ca_file: section.optional("ca_file", file),
        client_cert: key_pair(&mut section, "client_cert_file", "client_key_file"),
        proxy: https_proxy(&section, &url, environment),
        routes: section
            .sections("route")
            .into_iter()
            .filter_map(upstream_route)
            .collect(),
        url,
    };
    section.finish();
    upstream
}

fn upstream_route(mut section: Section) -> Option<UpstreamRoute> {
    let projects = section.optional("projects", list(project_id));
    let url = section.optional("url", origin);
    for (key, is_missing) in [
        ("projects", !section.has("projects")),
        ("url", !section.has("url")),
    ] {
        if is_missing {
            section.complain(
                key,
                &Wrong::new(
                    "is not set",
                    "a route says which `projects` go to which `url`",
                ),
            );
        }
    }
    section.finish();
    Some(UpstreamRoute {
        projects: projects?,
        url: url?,
    })
}

/// Reads a certificate and its key; one without the other is a problem.
fn key_pair(section: &mut Section, cert: &str, key: &str) -> Option<KeyPair> {
    let (cert_file, key_file) = (section.optional(cert, file), section.optional(key, file));
    for (missing, given) in [(cert, key), (key, cert)] {
        if section.has(given) && !section.has(missing) {
            section.complain(
                missing,
                &Wrong::new(format!("is needed beside `{given}`"), "both are PEM files"),
            );
        }
    }
    Some(KeyPair {
        cert_file: cert_file?,
        key_file: key_file?,
    })
}

/// Reads the `HTTPS_PROXY` and `NO_PROXY` variables, as other programs do.
fn https_proxy(section: &Section, url: &Origin, environment: &Environment) -> Option<HttpProxy> {
    let found = HttpProxy::find(url, |name| environment.get(name).cloned());
    found.unwrap_or_else(|error| {
        section.complain(
            "url",
            &Wrong::new(
                format!("the HTTPS_PROXY for it cannot be used: {error}"),
                PROXY_HINT,
            ),
        );
        None
    })
}

fn forward(mut section: Section, defaults: ForwardConfig) -> ForwardConfig {
    section.later("patience", "the SDK always waits for Sentry's own answer");
    let max_body = section.read("max_body", defaults.max_body, size);
    let forward = ForwardConfig {
        buffer: bytes(&mut section, "buffer", defaults.buffer),
        max_body,
        client_ip: section.read(
            "client_ip",
            defaults.client_ip,
            choice(&[
                ("append", ClientIp::Append),
                ("keep", ClientIp::Keep),
                ("replace", ClientIp::Replace),
            ]),
        ),
        projects: section.read("projects", defaults.projects, list(project_id)),
        public_keys: section.read("public_keys", defaults.public_keys, list(public_key)),
        everything: section.read("everything", defaults.everything, boolean),
    };
    section.finish();
    forward
}

fn tunnel(mut section: Section) -> Option<String> {
    let path = section.read("path", String::new(), |node| {
        let path = text(node)?;
        if path.is_empty() || (path.starts_with('/') && path.len() > 1) {
            return Ok(path);
        }
        Err(Wrong::new(
            format!("`{path}` is no path"),
            "such as \"/tunnel\"; \"\" is off",
        ))
    });
    section.finish();
    Some(path).filter(|path| !path.is_empty())
}

fn tls(mut section: Section) -> Option<KeyPair> {
    let pair = key_pair(&mut section, "cert_file", "key_file");
    section.finish();
    pair
}

fn spool(mut section: Section) {
    for key in ["dir", "max_size", "max_age", "fsync", "refresh_sent_at"] {
        section.later(
            key,
            "what Sentry does not answer is refused with 503, not kept",
        );
    }
    section.finish();
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

fn sentry(mut section: Section, upstream: &Origin) -> alert::LinkConfig {
    let defaults = alert::LinkConfig::default();
    let url = section.read("url", String::new(), |node| match text(node)? {
        url if url.is_empty() => Ok(url),
        _ => Ok(origin(node)?.to_string()),
    });
    let links = alert::LinkConfig {
        url: if url.is_empty() {
            upstream.to_string()
        } else {
            url
        },
        organization: section.read("organization", defaults.organization, text),
        event_url: section.read("event_url", defaults.event_url, template(&EVENT_LINK)),
        similar_url: section.read("similar_url", defaults.similar_url, template(&SIMILAR_LINK)),
    };
    section.finish();
    links
}

fn projects(mut section: Section) -> BTreeMap<ProjectId, String> {
    let mut names = BTreeMap::new();
    for id in section.names() {
        let mut project = section.section(&id);
        let name = project.optional("name", text);
        project.finish();
        match (ProjectId::parse(&id), name) {
            (Some(id), Some(name)) => drop(names.insert(id, name)),
            (Some(_), None) => {}
            (None, _) => {
                let hint = "the number at the end of the DSN, such as [project.42]";
                section.complain(&id, &Wrong::new("is no project id", hint));
            }
        }
    }
    names
}

fn robots(mut section: Section, environment: &Environment) -> BTreeMap<String, RobotConfig> {
    let mut robots = BTreeMap::new();
    for name in section.names() {
        if let Some(robot) = robot(section.section(&name), &name, environment) {
            robots.insert(name, robot);
        }
    }
    robots
}

fn robot(mut section: Section, name: &str, environment: &Environment) -> Option<RobotConfig> {
    let webhook = secret(&mut section, "webhook", environment);
    let more = section.read(
        "webhooks",
        Vec::new(),
        list(|node| super::secret::expand(&text(node)?, environment)),
    );
    let webhooks: Vec<Webhook> = webhook
        .iter()
        .map(|webhook| ("webhook", webhook))
        .chain(more.iter().map(|webhook| ("webhooks", webhook)))
        .filter_map(|(key, webhook)| {
            Webhook::parse(webhook)
                .map_err(|error| {
                    section.complain(key, &Wrong::new(error.to_string(), WEBHOOK_HINT))
                })
                .ok()
        })
        .collect();
    if webhook.is_none() && more.is_empty() {
        section.complain("webhook", &Wrong::new("is not set", WEBHOOK_HINT));
    }
    if webhooks.len() > 1 {
        section.warn(
            "webhooks",
            &Wrong::new("only the first one is used in this version", ""),
        );
    }
    let robot = RobotConfig {
        name: name.to_owned(),
        secret: secret(&mut section, "secret", environment).map(|secret| Secret::new(&secret)),
        keyword: section
            .optional("keyword", text)
            .filter(|keyword| !keyword.is_empty()),
        per_minute: section
            .read("per_minute", 18, integer(1..=20))
            .try_into()
            .expect("the range was checked"),
        message: section.read("message", MessageKind::Markdown, choice(&MESSAGE_KINDS)),
        mention: mention(section.section("mention")),
        language: section.read("language", Language::ZhCn, choice(&LANGUAGES)),
        timezone: section.read("timezone", default_timezone(), timezone),
        open_links_in: section.read("open_links_in", OpenLinks::Browser, choice(&OPEN_LINKS)),
        webhooks,
    };
    section.later("template_file", "the built-in cards are used");
    section.finish();
    (!robot.webhooks.is_empty()).then_some(robot)
}

fn mention(mut section: Section) -> Mention {
    let mention = Mention {
        mobiles: section.read("mobiles", Vec::new(), list(text)),
        user_ids: section.read("user_ids", Vec::new(), list(text)),
        all: section.read("all", false, boolean),
    };
    section.finish();
    mention
}

fn alert(
    mut section: Section,
    robots: &BTreeMap<String, RobotConfig>,
) -> (alert::Rule, Vec<String>) {
    let rule = alert::Rule {
        repeat: section.read("repeat", alert::Rule::default().repeat, positive),
    };
    let one = section.read("robot", String::new(), text);
    let mut names = section.read("robots", Vec::new(), list(text));
    if !one.is_empty() {
        names.insert(0, one);
    }
    names.dedup();
    for name in names.iter().filter(|name| !robots.contains_key(*name)) {
        let hint = nearest(name, robots.keys().map(String::as_str)).map_or_else(
            || format!("add a table [robot.{name}]"),
            |known| format!("did you mean `{known}`?"),
        );
        let key = if section.has("robot") {
            "robot"
        } else {
            "robots"
        };
        section.complain(
            key,
            &Wrong::new(format!("there is no working robot `{name}`"), hint),
        );
    }
    if names.is_empty() {
        let what = "is not set: alerts are decided and shown on the status page, and sent nowhere";
        section.warn(
            "robot",
            &Wrong::new(
                what,
                "add a [robot.NAME] with its webhook, and name it here",
            ),
        );
    }
    for key in LATER_RULES {
        section.later(key, "an issue speaks on first sight, then every `repeat`");
    }
    section.later("route", "every alert goes to `alert.robot`");
    section.finish();
    (rule, names)
}

/// Reads the project's own rules; each fault in them is a problem at its own line.
fn grouping(mut section: Section) -> grouping::Config {
    let mut config = grouping::Config::default();
    if let Some((file, text)) = rules(&mut section, "rules_file") {
        match config.clone().with_enhancements(&text) {
            Ok(extended) => config = extended,
            Err(errors) => section.complain_in(&file, "rules_file", &errors),
        }
    }
    if let Some((file, text)) = rules(&mut section, "fingerprints_file") {
        match config.clone().with_fingerprints(&text) {
            Ok(extended) => config = extended,
            Err(errors) => section.complain_in(&file, "fingerprints_file", &errors),
        }
    }
    section.finish();
    config
}

/// Reads a file of rules: its name and its text.
fn rules(section: &mut Section, key: &str) -> Option<(String, String)> {
    section
        .optional(key, text)
        .filter(|name| !name.is_empty())
        .and_then(|name| {
            let read = std::fs::read_to_string(&name);
            let read = read.map_err(|error| {
                section.complain(
                    key,
                    &Wrong::new(format!("cannot read `{name}`: {error}"), ""),
                );
            });
            Some((name, read.ok()?))
        })
}

fn own_notices(mut section: Section) {
    for key in ["robot", "outage_after"] {
        section.later(
            key,
            "the proxy speaks of itself only in its log and metrics",
        );
    }
    section.finish();
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

fn count(
    section: &mut Section,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
    default: usize,
) -> usize {
    section
        .optional(key, integer(range))
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(default)
}

fn bytes(section: &mut Section, key: &str, default: usize) -> usize {
    let read = |node: &Node| {
        let size = size(node)?;
        usize::try_from(size).map_err(|_| Wrong::new("is more than this machine can address", ""))
    };
    section.read(key, default, read)
}

fn positive(node: &Node) -> Result<Duration, Wrong> {
    let duration = duration(node)?;
    if duration.is_zero() {
        return Err(Wrong::new("must be longer than nothing", "such as \"5s\""));
    }
    Ok(duration)
}

fn origin(node: &Node) -> Result<Origin, Wrong> {
    let url = text(node)?;
    let hint = "such as \"https://sentry.example.com\" or \"http://127.0.0.1:9000/prefix\"";
    url.parse().map_err(|error: proxy::config::OriginError| {
        Wrong::new(format!("`{url}` cannot be used: {error}"), hint)
    })
}

fn project_id(node: &Node) -> Result<ProjectId, Wrong> {
    let id = match &node.value {
        super::tree::Value::Integer(number) => number.to_string(),
        _ => text(node)?,
    };
    ProjectId::parse(&id).ok_or_else(|| {
        Wrong::new(
            format!("`{id}` is no project id"),
            "the number at the end of the DSN",
        )
    })
}

fn public_key(node: &Node) -> Result<PublicKey, Wrong> {
    let key = text(node)?;
    PublicKey::parse(&key).ok_or_else(|| {
        Wrong::new(
            format!("`{key}` is no DSN key"),
            "the part of the DSN before the @",
        )
    })
}

/// Reads the name of a file that is there.
fn file(node: &Node) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text(node)?);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Wrong::new(
            format!("cannot read `{}`: {error}", path.display()),
            "",
        )),
    }
}

fn timezone(node: &Node) -> Result<TimeZone, Wrong> {
    let name = text(node)?;
    TimeZone::get(&name).map_err(|_| {
        Wrong::new(
            format!("unknown time zone `{name}`"),
            "such as \"Asia/Shanghai\" or \"UTC\"",
        )
    })
}

fn default_timezone() -> TimeZone {
    TimeZone::get("Asia/Shanghai").expect("the time zone database is built in")
}

/// Reads a link template; every `{name}` in it must be one that can be filled.
fn template<'a>(known: &'a [&'a str]) -> impl Fn(&Node) -> Result<String, Wrong> + 'a {
    move |node| {
        let template = text(node)?;
        let mut rest = template.as_str();
        while let Some((_, after)) = rest.split_once('{') {
            let name = after.split('}').next().unwrap_or_default();
            if !known.contains(&name) {
                let what = format!("`{{{name}}}` cannot be filled in");
                return Err(Wrong::new(
                    what,
                    format!("known: {{{}}}", known.join("}, {")),
                ));
            }
            rest = after;
        }
        Ok(template)
    }
}

const EVENT_LINK: [&str; 4] = ["url", "organization", "project_id", "event_id"];
const SIMILAR_LINK: [&str; 4] = ["url", "organization", "project_id", "type"];

const MESSAGE_KINDS: [(&str, MessageKind); 3] = [
    ("markdown", MessageKind::Markdown),
    ("action_card", MessageKind::ActionCard),
    ("text", MessageKind::Text),
];
const LANGUAGES: [(&str, Language); 2] = [("zh-CN", Language::ZhCn), ("en", Language::En)];
const OPEN_LINKS: [(&str, OpenLinks); 2] = [
    ("browser", OpenLinks::Browser),
    ("sidebar", OpenLinks::Sidebar),
];

const WEBHOOK_HINT: &str = "the address from the robot's settings, such as \"https://oapi.dingtalk.com/robot/send?access_token=…\"";

const PROXY_HINT: &str = "HTTPS_PROXY is such as \"http://proxy.example.com:3128\"";

const LATER_RULES: [&str; 8] = [
    "repeat_factor",
    "repeat_max",
    "threshold",
    "burst",
    "regression_after",
    "quiet_after",
    "digest",
    "active",
];

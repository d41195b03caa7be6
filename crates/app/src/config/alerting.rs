//! Reads the tables about alerts: `[alert]`, `[robot.NAME]`, `[project.ID]`, `[sentry]`, `[grouping]`, `[self]`.

use std::collections::BTreeMap;

use dingtalk::{Language, Mention, MessageKind, OpenLinks, RobotConfig, Secret, Webhook};
use event::endpoint::ProjectId;
use jiff::tz::TimeZone;
use proxy::config::Origin;

use super::problem::Wrong;
use super::secret::{Environment, secret};
use super::section::{Section, nearest};
use super::tree::Node;
use super::units::{boolean, choice, integer, list, text};
use super::values::{origin, positive};

pub(super) fn sentry(mut section: Section, upstream: &Origin) -> alert::LinkConfig {
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

pub(super) fn projects(mut section: Section) -> BTreeMap<ProjectId, String> {
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

pub(super) fn robots(
    mut section: Section,
    environment: &Environment,
) -> BTreeMap<String, RobotConfig> {
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

pub(super) fn alert(
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
pub(super) fn grouping(mut section: Section) -> grouping::Config {
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

pub(super) fn own_notices(mut section: Section) {
    for key in ["robot", "outage_after"] {
        section.later(
            key,
            "the proxy speaks of itself only in its log and metrics",
        );
    }
    section.finish();
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

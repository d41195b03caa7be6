//! Reads the tables around alerts: `[robot.NAME]`, `[project.ID]`, `[sentry]`, `[grouping]`, `[self]`.

use std::collections::BTreeMap;
use std::time::Duration;

use dingtalk::{
    Language, Mention, MessageKind, OpenLinks, RobotConfig, Secret, Template, Webhook, WebhookError,
};
use event::endpoint::ProjectId;
use grouping::RuleErrors;
use jiff::tz::TimeZone;
use proxy::config::Origin;

use super::problem::Wrong;
use super::routes::no_robot;
use super::secret::{Environment, secret};
use super::section::Section;
use super::tree::Node;
use super::units::{boolean, choice, duration, integer, list, text};
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
    let webhooks = webhooks(&mut section, environment);
    let robot = RobotConfig {
        name: name.to_owned(),
        secret: secret(&mut section, "secret", environment).map(|secret| Secret::new(&secret)),
        secrets: secrets(&mut section, webhooks.len(), environment),
        keyword: section
            .optional("keyword", text)
            .filter(|keyword| !keyword.is_empty()),
        per_minute: section
            .read("per_minute", 18, integer(1..=20))
            .try_into()
            .expect("the range was checked"),
        message: section.read("message", MessageKind::Markdown, choice(&MESSAGE_KINDS)),
        mention: mention(section.section("mention")),
        mention_all_every: section.read("mention_all_every", MENTION_ALL_EVERY, duration),
        language: section.read("language", Language::ZhCn, choice(&LANGUAGES)),
        timezone: section.read("timezone", default_timezone(), timezone),
        open_links_in: section.read("open_links_in", OpenLinks::Browser, choice(&OPEN_LINKS)),
        template: None,
        webhooks,
    };
    let robot = RobotConfig {
        template: card_template(&mut section, &robot),
        ..robot
    };
    section.finish();
    (!robot.webhooks.is_empty()).then_some(robot)
}

/// Reads `webhook` and `webhooks`, of which one has to be set.
fn webhooks(section: &mut Section, environment: &Environment) -> Vec<Webhook> {
    let webhook = secret(section, "webhook", environment);
    let more = section.read(
        "webhooks",
        Vec::new(),
        list(|node| super::secret::expand(&text(node)?, environment)),
    );
    if webhook.is_none() && more.is_empty() {
        section.complain("webhook", &Wrong::new("is not set", WEBHOOK_HINT));
    }
    let one = webhook.iter().map(|webhook| ("webhook", webhook));
    let all = one.chain(more.iter().map(|webhook| ("webhooks", webhook)));
    let parsed = all.map(|(key, webhook)| (key, Webhook::parse(webhook)));
    parsed
        .filter_map(|(key, webhook)| {
            let wrong = |error: WebhookError| Wrong::new(error.to_string(), WEBHOOK_HINT);
            webhook
                .map_err(|error| section.complain(key, &wrong(error)))
                .ok()
        })
        .collect()
}

/// Reads the secrets of several webhooks: one each, or none.
fn secrets(section: &mut Section, webhooks: usize, environment: &Environment) -> Vec<Secret> {
    let secrets = section.read(
        "secrets",
        Vec::new(),
        list(|node| super::secret::expand(&text(node)?, environment)),
    );
    if !secrets.is_empty() && secrets.len() != webhooks {
        let what = format!("holds {} secrets for {webhooks} webhooks", secrets.len());
        let hint = "one for each webhook, in their order";
        section.complain("secrets", &Wrong::new(what, hint));
    }
    secrets.iter().map(|secret| Secret::new(secret)).collect()
}

/// Reads a template and tries it on alerts; each fault in it is a problem at its own line.
fn card_template(section: &mut Section, robot: &RobotConfig) -> Option<Template> {
    let (file, text) = file(section, "template_file")?;
    let read = Template::parse(&text).map_err(|error| vec![error]);
    let tried = read.and_then(|template| template.check(robot).map(|()| template));
    let errors = match tried {
        Ok(template) => return Some(template),
        Err(errors) => errors,
    };
    let faults = errors.iter().map(|error| (error.line, error.to_string()));
    section.complain_in(&file, "template_file", faults);
    None
}

pub(super) fn mention(mut section: Section) -> Mention {
    let mention = Mention {
        mobiles: section.read("mobiles", Vec::new(), list(text)),
        user_ids: section.read("user_ids", Vec::new(), list(text)),
        all: section.read("all", false, boolean),
    };
    section.finish();
    mention
}

/// Reads the project's own rules; each fault in them is a problem at its own line.
pub(super) fn grouping(mut section: Section) -> grouping::Config {
    let mut config = grouping::Config::default();
    if let Some((file, text)) = file(&mut section, "rules_file") {
        match config.clone().with_enhancements(&text) {
            Ok(extended) => config = extended,
            Err(errors) => section.complain_in(&file, "rules_file", rule_faults(&errors)),
        }
    }
    if let Some((file, text)) = file(&mut section, "fingerprints_file") {
        match config.clone().with_fingerprints(&text) {
            Ok(extended) => config = extended,
            Err(errors) => section.complain_in(&file, "fingerprints_file", rule_faults(&errors)),
        }
    }
    section.finish();
    config
}

fn rule_faults(errors: &RuleErrors) -> impl Iterator<Item = (usize, String)> {
    let errors = errors.0.iter();
    errors.map(|error| (error.line, error.problem.to_string()))
}

/// Reads the file that a key names: its name and its text.
fn file(section: &mut Section, key: &str) -> Option<(String, String)> {
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

/// Reads which robot speaks about the proxy itself, and how long Sentry must be down to be spoken of.
pub(super) fn own(
    mut section: Section,
    robots: &BTreeMap<String, RobotConfig>,
    outage_after: Duration,
) -> (Option<String>, Duration) {
    let robot = section
        .optional("robot", text)
        .filter(|name| !name.is_empty());
    if let Some(name) = robot.as_ref().filter(|name| !robots.contains_key(*name)) {
        section.complain("robot", &no_robot(name, robots));
    }
    let outage_after = section.read("outage_after", outage_after, positive);
    section.finish();
    (robot, outage_after)
}

pub(super) fn timezone(node: &Node) -> Result<TimeZone, Wrong> {
    let name = text(node)?;
    TimeZone::get(&name).map_err(|_| {
        Wrong::new(
            format!("unknown time zone `{name}`"),
            "such as \"Asia/Shanghai\" or \"UTC\"",
        )
    })
}

pub(super) fn default_timezone() -> TimeZone {
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

const EVENT_LINK: [&str; 5] = [
    "url",
    "organization",
    "project_id",
    "event_id",
    "event_uuid",
];

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

/// Everyone is called together once for an incident, not for each of its issues.
const MENTION_ALL_EVERY: Duration = Duration::from_secs(30 * 60);

const WEBHOOK_HINT: &str = "the address from the robot's settings, such as \"https://oapi.dingtalk.com/robot/send?access_token=…\"";

//! Reads who is told what, and when: `[alert]` with its routes, `[[mute]]`, `[people]`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use ::alert::active::Span;
use ::alert::{
    Active, Counted, MatchKey, Matcher, Mention, People, Route, Routes, Rule, StandingMute,
    Threshold,
};
use dingtalk::RobotConfig;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use state::Window;

use super::alerting::{default_timezone, mention, timezone};
use super::problem::Wrong;
use super::section::{Section, nearest};
use super::tree::{Node, Value};
use super::units::{boolean, duration, list, text};
use super::values::positive;

/// The robots by name.
type Robots = BTreeMap<String, RobotConfig>;

/// Reads the route tree. Every key of a route that is not set is that of the route above it.
pub(super) fn routes(mut section: Section, robots: &Robots) -> Routes {
    let mut root = Route::root(Rule::default());
    read_route(&mut section, &mut root, None, robots);
    if root.robots.is_empty() && root.children.is_empty() {
        let what = "is not set: alerts are decided and shown on the status page, and sent nowhere";
        let hint = "add a [robot.NAME] with its webhook, and name it here";
        section.warn("robot", &Wrong::new(what, hint));
    }
    section.finish();
    Routes::new(root)
}

/// Reads the mutes that stand in the file.
pub(super) fn mutes(sections: Vec<Section>, zone: &TimeZone) -> Vec<StandingMute> {
    let mutes = sections.into_iter().map(|mut section| {
        let matcher = matcher(&mut section);
        let until = section.read("until", None, |node| moment(node, zone));
        let comment = section.read("comment", String::new(), text);
        if matcher.is_empty() && !section.has("match") {
            let hint = "such as match = { title = \"*ECONNRESET*\" }";
            section.complain("match", &Wrong::new("is not set", hint));
        }
        section.finish();
        StandingMute {
            matcher,
            until,
            comment,
        }
    });
    mutes.collect()
}

/// Reads whom the values of owner tags name: a mobile number, or `{ mobiles = […], user_ids = […] }`.
pub(super) fn people(mut section: Section) -> People {
    let mut people = People::default();
    for name in section.names() {
        let person = if section.is_any_text(&name) {
            let mobile = section.read(&name, String::new(), text);
            Mention {
                mobiles: vec![mobile],
                ..Mention::default()
            }
        } else {
            mention(section.section(&name))
        };
        people.0.insert(name.trim().to_lowercase(), person);
    }
    section.finish();
    people
}

fn read_route(section: &mut Section, route: &mut Route, zone: Option<&TimeZone>, robots: &Robots) {
    if let Some(names) = speakers(section, robots) {
        route.robots = names;
    }
    read_rule(section, &mut route.rule);
    if section.has("mention") {
        route.mention = Some(mention(section.section("mention")));
    } else {
        section.ask("mention");
    }
    let mention_tag = std::mem::take(&mut route.mention_tag);
    route.mention_tag = section.read("mention_tag", mention_tag, text);
    let zone = section
        .optional("timezone", timezone_or_robots)
        .flatten()
        .or(zone.cloned());
    route.rule.active = active(section, route, zone.as_ref(), robots);
    for child in section.sections("route") {
        let child = read_child(child, route, zone.as_ref(), robots);
        route.children.push(child);
    }
}

fn read_child(
    mut section: Section,
    parent: &Route,
    zone: Option<&TimeZone>,
    robots: &Robots,
) -> Route {
    let matcher = matcher(&mut section);
    let name = section
        .optional("name", text)
        .filter(|name| !name.is_empty());
    let name = name.or_else(|| matcher.is_empty().then(|| "everything".to_owned()));
    let mut route = parent.child(name, matcher);
    route.continues = section.read("continue", false, boolean);
    read_route(&mut section, &mut route, zone, robots);
    section.finish();
    route
}

fn read_rule(section: &mut Section, rule: &mut Rule) {
    rule.repeat = section.read("repeat", rule.repeat, positive);
    rule.repeat_factor = section.read("repeat_factor", rule.repeat_factor, factor);
    rule.repeat_max = section.read("repeat_max", rule.repeat_max, positive);
    rule.threshold = section.read("threshold", rule.threshold, threshold);
    rule.burst = section.read("burst", rule.burst, burst);
    rule.regression_after = section.read("regression_after", rule.regression_after, positive);
    rule.new_release = section.read("new_release", rule.new_release, boolean);
    rule.quiet_after = section.read("quiet_after", rule.quiet_after, optional_duration);
    rule.digest = section.read("digest", rule.digest, positive);
    if rule.repeat_max < rule.repeat && section.has("repeat_max") {
        let wrong = Wrong::new("is shorter than `repeat`", "the silence never shrinks");
        section.complain("repeat_max", &wrong);
    }
}

/// Reads `robot` or `robots`; `None` when neither is set.
fn speakers(section: &mut Section, robots: &Robots) -> Option<Vec<String>> {
    let one = section.optional("robot", text);
    let several = section.optional("robots", list(text));
    let key = if several.is_some() { "robots" } else { "robot" };
    let mut names: Vec<String> = one
        .clone()
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect();
    for name in several.clone().unwrap_or_default() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names.iter().filter(|name| !robots.contains_key(*name)) {
        section.complain(key, &no_robot(name, robots));
    }
    (one.is_some() || several.is_some()).then_some(names)
}

pub(super) fn no_robot(name: &str, robots: &Robots) -> Wrong {
    let hint = nearest(name, robots.keys().map(String::as_str)).map_or_else(
        || format!("add a table [robot.{name}]"),
        |known| format!("did you mean `{known}`?"),
    );
    Wrong::new(format!("there is no working robot `{name}`"), hint)
}

/// Reads the hours; their clock is the route's own, else that of its first robot.
fn active(
    section: &mut Section,
    route: &Route,
    zone: Option<&TimeZone>,
    robots: &Robots,
) -> Active {
    let of_robot = || {
        let robot = route.robots.first().and_then(|name| robots.get(name));
        robot.map_or_else(default_timezone, |robot| robot.timezone.clone())
    };
    let inherited = route.rule.active.spans.clone();
    Active {
        spans: section.read("active", inherited, list(span)),
        zone: zone.cloned().unwrap_or_else(of_robot),
    }
}

/// Reads `match = { environment = "prod*", "tag.owner" = ["a", "b"] }`; also `tag = { owner = "a" }`.
fn matcher(section: &mut Section) -> Matcher {
    let mut table = section.section("match");
    let mut conditions = Vec::new();
    for name in table.names() {
        if name == "tag" {
            let mut tags = table.section("tag");
            for tag in tags.names() {
                let patterns = tags.read(&tag, Vec::new(), patterns);
                conditions.extend(condition(&tags, &tag, &format!("tag.{tag}"), patterns));
            }
            tags.finish();
        } else if MatchKey::parse(&name).is_some() {
            let patterns = table.read(&name, Vec::new(), patterns);
            conditions.extend(condition(&table, &name, &name, patterns));
        }
    }
    for known in MatchKey::NAMES {
        table.ask(known);
    }
    table.finish();
    // Each was tried on its own, so that every wrong one is reported.
    let conditions = conditions.iter();
    Matcher::new(conditions.map(|(key, patterns)| (key.clone(), patterns.as_slice())))
        .unwrap_or_default()
}

fn condition(
    section: &Section,
    written: &str,
    name: &str,
    patterns: Vec<String>,
) -> Option<(MatchKey, Vec<String>)> {
    let key = MatchKey::parse(name)?;
    if let Err(error) = Matcher::new([(key.clone(), patterns.as_slice())]) {
        let hint = "a glob such as \"prod*\", \"/a regular expression/\", or either after \"!\"";
        section.complain(written, &Wrong::new(error.to_string(), hint));
        return None;
    }
    (!patterns.is_empty()).then_some((key, patterns))
}

/// Reads one pattern or a list of them; numbers and `true` stand for their texts. A comma is part of a pattern.
fn patterns(node: &Node) -> Result<Vec<String>, Wrong> {
    let one = |node: &Node| match &node.value {
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(boolean) => Ok(boolean.to_string()),
        Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Table(_) => text(node),
    };
    match &node.value {
        Value::List(items) => items.iter().map(one).collect(),
        Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Table(_) => Ok(vec![one(node)?]),
    }
}

fn factor(node: &Node) -> Result<f64, Wrong> {
    let number = match &node.value {
        #[expect(clippy::cast_precision_loss, reason = "nobody writes a factor of 2^53")]
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Boolean(_) | Value::List(_) | Value::Table(_) => None,
    };
    let number = number.filter(|number| (1.0..=1_000.0).contains(number));
    number.ok_or_else(|| {
        Wrong::new(
            "expected a number from 1 to 1000",
            "such as 2.0; 1 = no growth",
        )
    })
}

/// Reads `10 in 1m` or `5 users in 1h`.
fn threshold(node: &Node) -> Result<Threshold, Wrong> {
    let written = text(node)?;
    let hint = "such as \"1 in 1m\", \"10 in 5m\", \"5 users in 1h\"";
    let wrong = || Wrong::new(format!("`{written}` is no threshold"), hint);
    let (count, within) = written.split_once(" in ").ok_or_else(wrong)?;
    let count = count.trim();
    let (count, of) = match count.split_once(char::is_whitespace) {
        None => (count, Counted::Events),
        Some((count, "user" | "users")) => (count, Counted::Users),
        Some((count, "event" | "events")) => (count, Counted::Events),
        Some(_) => return Err(wrong()),
    };
    let window = window(count, within, node)?.ok_or_else(wrong)?;
    Ok(Threshold { window, of })
}

/// Reads `100 in 1m`; nothing is off.
fn burst(node: &Node) -> Result<Option<Window>, Wrong> {
    let written = text(node)?;
    if written.is_empty() {
        return Ok(None);
    }
    let hint = "such as \"100 in 1m\"; \"\" = off";
    let wrong = || Wrong::new(format!("`{written}` is no burst"), hint);
    let (count, within) = written.split_once(" in ").ok_or_else(wrong)?;
    let window = window(count.trim(), within, node)?.ok_or_else(wrong)?;
    if window.count < 2 {
        let what = format!("`{written}` would be a burst of every event");
        return Err(Wrong::new(what, hint));
    }
    Ok(Some(window))
}

/// `None` when the count is no number.
fn window(count: &str, within: &str, node: &Node) -> Result<Option<Window>, Wrong> {
    let Ok(count) = count.parse::<u16>() else {
        return Ok(None);
    };
    if !(1..=Window::MOST).contains(&count) {
        let hint = format!("from 1 to {}", Window::MOST);
        return Err(Wrong::new(format!("`{count}` is out of range"), hint));
    }
    let within = duration(&Node {
        value: Value::Text(within.trim().to_owned()),
        origin: node.origin.clone(),
    })?;
    if within.is_zero() || within > LONGEST_WINDOW {
        let hint = "a window lasts from 1ms to 7d";
        return Err(Wrong::new("the window is too short or too long", hint));
    }
    Ok(Some(Window { count, within }))
}

fn optional_duration(node: &Node) -> Result<Option<Duration>, Wrong> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(_)
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => positive(node).map(Some),
    }
}

fn span(node: &Node) -> Result<Span, Wrong> {
    let written = text(node)?;
    let hint = "such as \"Mon-Fri 08:00-22:00\", \"Sat,Sun 10:00-16:00\", \"22:00-06:00\"";
    let span = written.parse();
    span.map_err(|_| Wrong::new(format!("`{written}` is no span of hours"), hint))
}

fn timezone_or_robots(node: &Node) -> Result<Option<TimeZone>, Wrong> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(_)
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => timezone(node).map(Some),
    }
}

/// Reads `2026-12-31`, `2026-12-31 18:00` or RFC 3339; nothing is never. Without an offset it is the clock of the zone.
fn moment(node: &Node, zone: &TimeZone) -> Result<Option<SystemTime>, Wrong> {
    let written = text(node)?;
    if written.is_empty() {
        return Ok(None);
    }
    let local = |time: DateTime| time.to_zoned_datetime(zone.clone()).ok();
    let moment = written.parse::<Timestamp>().ok().or_else(|| {
        let time = written.parse::<DateTime>();
        let time = time.or_else(|_| written.parse::<Date>().map(DateTime::from));
        Some(local(time.ok()?)?.timestamp())
    });
    let moment = moment.and_then(|moment| SystemTime::try_from(moment).ok());
    let hint =
        "such as \"2026-12-31\", \"2026-12-31 18:00:00\", \"2026-12-31T18:00:00Z\"; \"\" = never";
    let wrong = || Wrong::new(format!("`{written}` is no moment"), hint);
    moment.ok_or_else(wrong).map(Some)
}

/// The longest window whose events are kept apart.
const LONGEST_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

//! What a template can ask for: the facts of one alert, masked and cut as the built-in card shows them.
//!
//! A fact that is not there is `none`, so that `{% if … %}` asks for it; a name that does not exist is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use alert::{Alert, Cause, Counted, Location, Subject, WindowCount};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use super::engine::{MANNER, Manner};
use crate::card::{Card, clock, issue};
use crate::config::{MessageKind, RobotConfig};
use crate::links;
use crate::markdown::{line, line_end};
use crate::mask::mask;
use crate::render::built_in_text;

/// Returns the facts of an alert as `robot` shows them.
pub(super) fn of(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> Value {
    let (subject, language) = (&alert.subject, robot.language);
    let environment = subject.environment.as_deref();
    let environment = environment.map(|name| line(name, SHORT));
    let badge = environment.filter(|name| !name.is_empty());
    let badge = badge.map(|name| language.badge(&name));
    let manner = Manner {
        mention: robot.mention.clone(),
        is_markdown: robot.message != MessageKind::Text,
    };
    let card = Card::of(&alert::Message::Alert(Box::new(alert.clone())), robot, now);
    map([
        (MANNER, Value::from_object(manner)),
        ("built_in", markup(built_in_text(&card, robot))),
        ("robot", as_is(Some(&robot.name))),
        ("reason", alert.reason.as_str().into()),
        ("reason_text", language.reason(alert).into()),
        ("level", subject.level.as_str().into()),
        ("mark", issue::mark(alert).into()),
        ("badge", badge.into()),
        ("route", as_is(Some(&alert.route.join(" / ")))),
        ("project", project(subject, robot)),
        ("event", event(subject, robot)),
        ("location", subject.location.as_ref().map(location).into()),
        ("causes", subject.causes.iter().map(cause).collect()),
        ("tags", Value::from_object(Tags::of(subject))),
        ("counts", counts(alert, robot, now)),
        ("links", links(alert, robot)),
    ])
}

fn project(subject: &Subject, robot: &RobotConfig) -> Value {
    map([
        ("id", subject.project.to_string().into()),
        ("name", issue::project(subject, robot).into()),
    ])
}

fn event(subject: &Subject, robot: &RobotConfig) -> Value {
    let value = subject.value.as_deref().map(mask);
    let lines = value.iter().flat_map(|value| value.lines());
    let lines = lines
        .map(|text| line(text, LONG))
        .filter(|text| !text.is_empty());
    let request = issue::details::request(subject);
    let at = subject.timestamp.map(|at| clock::long(at, &robot.timezone));
    let user = subject.user.as_ref().and_then(issue::details::person);
    map([
        ("id", subject.event_id.map(|id| id.to_string()).into()),
        ("type", subject.kind.as_str().into()),
        ("title", masked(&subject.title)),
        ("exception", optional(&subject.exception_type)),
        ("value", as_is(value.as_deref())),
        ("lines", lines.take(LINES).collect()),
        ("culprit", masked(&subject.culprit)),
        ("handled", subject.handled.into()),
        ("unsymbolicated", subject.is_unsymbolicated.into()),
        ("platform", masked(&subject.platform)),
        ("environment", as_is(subject.environment.as_deref())),
        ("release", as_is(subject.release.as_deref())),
        ("dist", optional(&subject.dist)),
        ("server_name", as_is(issue::details::host(subject))),
        ("transaction", optional(&subject.transaction)),
        ("logger", optional(&subject.logger)),
        ("request", as_is(request.as_deref())),
        ("user", as_is(user.as_deref())),
        ("trace_id", as_is(subject.trace_id.as_deref())),
        ("time", at.into()),
    ])
}

fn location(location: &Location) -> Value {
    let file = location.filename.split('?').next().unwrap_or_default();
    map([
        ("file", line_end(&mask(file), LONG).into()),
        ("line", location.line.into()),
        ("function", optional(&location.function)),
        ("source", optional(&location.source_line)),
    ])
}

fn cause(cause: &Cause) -> Value {
    map([
        ("exception", optional(&cause.ty)),
        ("value", optional(&cause.value)),
    ])
}

fn counts(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> Value {
    let (counts, language) = (&alert.counts, robot.language);
    let clock = |moment| clock::short(moment, now, &robot.timezone);
    map([
        ("events", counts.events.into()),
        ("since_said", counts.events_since_said.into()),
        ("users", counts.users.into()),
        ("users_exact", counts.are_users_exact.into()),
        ("first_seen", clock(counts.first_seen).into()),
        ("last_seen", clock(counts.last_seen).into()),
        ("last_said", counts.last_said.map(clock).into()),
        (
            "quiet",
            counts.quiet.map(|quiet| language.duration(quiet)).into(),
        ),
        (
            "window",
            counts.window.map(|window| of_window(&window, robot)).into(),
        ),
        ("text", issue::how_often(alert, robot, now).into()),
    ])
}

fn of_window(window: &WindowCount, robot: &RobotConfig) -> Value {
    let of = match window.of {
        Counted::Events => "events",
        Counted::Users => "users",
    };
    map([
        ("count", window.count.into()),
        ("of", of.into()),
        ("within", robot.language.duration(window.within).into()),
    ])
}

fn links(alert: &Alert, robot: &RobotConfig) -> Value {
    let target = |address: &str| match robot.message {
        MessageKind::Text => links::web_address(address),
        MessageKind::Markdown | MessageKind::ActionCard => {
            links::target(address, robot.open_links_in)
        }
    };
    let known = |address: &Option<String>| {
        let address = address.as_deref().and_then(target);
        Value::from(address.map(markup))
    };
    let mutes = alert.links.mutes.iter().filter_map(|(lasts, address)| {
        Some(map([
            ("label", robot.language.mute_for(*lasts).into()),
            (
                "url",
                markup(target(&links::in_language(address, robot.language))?),
            ),
        ]))
    });
    map([
        ("event", known(&alert.links.event)),
        ("similar", known(&alert.links.similar)),
        ("mutes", mutes.collect()),
    ])
}

/// All tags by name; one that the event lacks is `none`, since no file can know which an event has.
#[derive(Debug)]
struct Tags(BTreeMap<String, String>);

impl Tags {
    fn of(subject: &Subject) -> Self {
        let tags = subject.tags.iter();
        Self(
            tags.map(|(key, value)| (line(&mask(key), SHORT), masked_tag(key, value)))
                .collect(),
        )
    }
}

impl Object for Tags {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = key.as_str().and_then(|key| self.0.get(key));
        Some(value.map(String::as_str).into())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Value::from(key.as_str())).collect())
    }
}

/// A name tells what a value is: `token=x` is masked where `x` alone would not be.
fn masked_tag(key: &str, value: &str) -> String {
    let pair = mask(&format!("{key}={value}"));
    let value = pair
        .split_once('=')
        .map_or(pair.as_str(), |(_, value)| value);
    line(value, LONG)
}

fn map<const N: usize>(facts: [(&'static str, Value); N]) -> Value {
    facts.into_iter().collect::<BTreeMap<_, _>>().into()
}

/// Our own text, which is written as it is.
fn markup(text: String) -> Value {
    Value::from_safe_string(text)
}

/// `none` for a text that is missing or shows nothing.
fn optional(text: &Option<String>) -> Value {
    text.as_deref().map_or(Value::from(()), masked)
}

fn masked(text: &str) -> Value {
    as_is(Some(&mask(text)))
}

/// A text that is masked already, or that masking would spoil, such as the hash that a release is named by.
fn as_is(text: Option<&str>) -> Value {
    let text = text.map(|text| line(text, LONG));
    text.filter(|text| !text.is_empty()).into()
}

// Characters kept of each text.
const LONG: usize = 300;
const SHORT: usize = 64;

/// Lines kept of a value.
const LINES: usize = 10;

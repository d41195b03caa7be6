//! What is to be said: one alert with every fact a card may show, owned, independent of any robot's format.
//!
//! It is kept in the outbox as JSON: a field that comes later needs `#[serde(default)]`.

use std::time::{Duration, SystemTime};

use event::endpoint::ProjectId;
use event::model::{Event, EventId, EventKind, Frame, Level, LogEntry, Text, User};
use event::title::{self, Metadata};
use serde::{Deserialize, Serialize};
use state::{Issue, IssueKey, Tally};

use crate::decide::Reason;
use crate::rule::Counted;
use crate::{Config, Mention, Sight, stored};

/// A word about one issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Stays the same over retries of this alert, so that a receiver can drop repeats.
    pub id: String,
    /// Which issue.
    #[serde(with = "stored::as_text")]
    pub issue: IssueKey,
    /// Why it is said now.
    pub reason: Reason,
    /// What happened, by the newest event.
    pub subject: Subject,
    /// How often, to how many, since when.
    pub counts: Counts,
    /// Where to look further.
    pub links: Links,
    /// The path of route names that led to the robot, root first.
    pub route: Vec<String>,
    /// Whom the route mentions instead of those whom the robot mentions; `None` leaves it to the robot.
    #[serde(default)]
    pub mention: Option<Mention>,
    /// The owners that the event's tag names; mentioned besides the others.
    #[serde(default)]
    pub owners: Mention,
}

/// What happened: the facts of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The numeric project id of the DSN.
    #[serde(with = "stored::as_text")]
    pub project: ProjectId,
    /// The project's name from the config.
    pub project_name: Option<String>,
    /// The event's id.
    #[serde(with = "stored::event_id")]
    pub event_id: Option<EventId>,
    /// What kind of event it is.
    #[serde(with = "stored::kind")]
    pub kind: EventKind,
    /// How bad it is.
    #[serde(with = "stored::level")]
    pub level: Level,
    /// Sentry's title of the issue.
    pub title: String,
    /// The exception's type, if any.
    pub exception_type: Option<String>,
    /// The exception's value, or the message with its parameters filled in.
    pub value: Option<String>,
    /// Sentry's culprit; may be empty.
    pub culprit: String,
    /// Where it crashed.
    pub location: Option<Location>,
    /// The exceptions that caused it, nearest first.
    pub causes: Vec<Cause>,
    /// Whether user code handled it; `None` when unknown.
    pub handled: Option<bool>,
    /// The SDK family, such as `python`.
    pub platform: String,
    /// The environment.
    pub environment: Option<String>,
    /// The release.
    pub release: Option<String>,
    /// The distribution within the release.
    pub dist: Option<String>,
    /// The reporting host.
    pub server_name: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// Which logger recorded it.
    pub logger: Option<String>,
    /// Method of the HTTP request that was being served.
    pub request_method: Option<String>,
    /// URL of that request, as sent: a card must cut its query.
    pub request_url: Option<String>,
    /// Who was affected.
    pub user: Option<Person>,
    /// Tags in the order sent.
    pub tags: Vec<(String, String)>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// When it happened, by the SDK's clock.
    pub timestamp: Option<SystemTime>,
    /// Whether names are still minified, obfuscated or addresses, so that only Sentry will show the real ones.
    pub is_unsymbolicated: bool,
}

/// Where an event crashed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Location {
    /// File name or path as the SDK sent it.
    pub filename: String,
    /// Line number, from 1.
    pub line: Option<u64>,
    /// Function name.
    pub function: Option<String>,
    /// The source line itself.
    pub source_line: Option<String>,
}

/// One exception that caused another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Its type.
    pub ty: Option<String>,
    /// Its message.
    pub value: Option<String>,
}

/// Who was affected, unmasked: a card must mask it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Person {
    /// The application's id of the user.
    pub id: Option<String>,
    /// Login name.
    pub username: Option<String>,
    /// Mail address.
    pub email: Option<String>,
    /// IP address.
    pub ip_address: Option<String>,
}

/// How often an issue was seen, to how many users, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events since `first_seen`.
    pub events: u64,
    /// Events on the alert's route since the last word, this one included.
    pub events_since_said: u64,
    /// Distinct users since `first_seen`.
    pub users: u64,
    /// Whether `users` is exact; else it is a floor.
    pub are_users_exact: bool,
    /// When this proxy saw the issue first.
    pub first_seen: SystemTime,
    /// When this proxy saw it last.
    pub last_seen: SystemTime,
    /// When the last word about it was delivered.
    pub last_said: Option<SystemTime>,
    /// What made the threshold or the burst; `None` for other reasons.
    pub window: Option<WindowCount>,
    /// How long it had been quiet: before a regression, or when it stopped.
    pub quiet: Option<Duration>,
}

/// So many within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCount {
    /// How many: at least so many.
    pub count: u16,
    /// Of what.
    pub of: Counted,
    /// Within how long.
    pub within: Duration,
}

/// Where to look further.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links {
    /// The event in Sentry's web pages.
    pub event: Option<String>,
    /// Issues like it in Sentry's web pages.
    pub similar: Option<String>,
    /// Signed links that mute the issue, and for how long each; none as long as nobody serves them.
    #[serde(default)]
    pub mutes: Vec<(Duration, String)>,
}

impl Counts {
    /// Brings the counts up to what the store knows now.
    pub(crate) fn refresh(&mut self, tally: &Tally) {
        self.events = tally.events;
        self.events_since_said = tally.events_since_said;
        self.users = tally.users;
        self.are_users_exact = tally.are_users_exact;
        self.first_seen = tally.first_seen;
        self.last_seen = tally.last_seen;
    }
}

impl Subject {
    /// Returns the facts of an event that a card may show.
    pub fn of(sight: &Sight<'_>, config: &Config) -> Self {
        let Sight {
            event,
            project,
            group,
        } = *sight;
        let main = title::main_exception(event);
        let parts = title::Metadata::of(event, main);
        let request = event.request.as_ref();
        Self {
            project,
            project_name: config.project_names.get(&project).cloned(),
            event_id: event.id,
            kind: event.kind,
            level: event.level,
            title: group.title.clone(),
            exception_type: owned(parts.ty.as_ref()),
            value: value_of(event, &parts),
            culprit: group.culprit.clone(),
            location: title::crash_frame(event).map(Location::of),
            causes: causes_of(event),
            handled: main.and_then(|exception| exception.mechanism.handled),
            platform: event.platform.clone().into_owned(),
            environment: owned(event.environment.as_ref()),
            release: owned(event.release.as_ref()),
            dist: owned(event.dist.as_ref()),
            server_name: owned(event.server_name.as_ref()),
            transaction: owned(event.transaction.as_ref()),
            logger: owned(event.logger.as_ref()),
            request_method: request.and_then(|request| owned(request.method.as_ref())),
            request_url: request.and_then(|request| owned(request.url.as_ref())),
            user: event.user.as_ref().map(Person::of),
            tags: tags_of(event),
            trace_id: owned(event.trace_id.as_ref()),
            timestamp: event.timestamp,
            is_unsymbolicated: group.is_coarse(),
        }
    }

    /// Returns the little that is known of an issue when no event of it is at hand.
    pub(crate) fn of_issue(issue: &Issue, level: Level, config: &Config) -> Self {
        let project = ProjectId::from(issue.key.project);
        Self {
            project,
            project_name: config.project_names.get(&project).cloned(),
            event_id: issue.last_event.map(EventId),
            kind: EventKind::Default,
            level,
            title: issue.title.clone(),
            exception_type: None,
            value: None,
            culprit: String::new(),
            location: None,
            causes: Vec::new(),
            handled: None,
            platform: String::new(),
            environment: None,
            release: None,
            dist: None,
            server_name: None,
            transaction: None,
            logger: None,
            request_method: None,
            request_url: None,
            user: None,
            tags: Vec::new(),
            trace_id: None,
            timestamp: None,
            is_unsymbolicated: false,
        }
    }
}

impl Location {
    fn of(frame: &Frame<'_>) -> Self {
        let filename = frame.filename.as_ref().or(frame.abs_path.as_ref());
        Self {
            filename: owned(filename).unwrap_or_default(),
            line: frame.lineno,
            function: owned(frame.function.as_ref()),
            source_line: owned(frame.context_line.as_ref()),
        }
    }
}

impl Person {
    fn of(user: &User<'_>) -> Self {
        Self {
            id: owned(user.id.as_ref()),
            username: owned(user.username.as_ref()),
            email: owned(user.email.as_ref()),
            ip_address: owned(user.ip_address.as_ref()),
        }
    }
}

/// The exception's value; of a message its text, with the parameters filled in.
fn value_of(event: &Event<'_>, parts: &Metadata<'_>) -> Option<String> {
    if parts.message.is_none() && parts.value.is_some() {
        return owned(parts.value.as_ref());
    }
    let entry = event.logentry.as_ref();
    let filled = entry.and_then(LogEntry::filled);
    let text = filled
        .as_deref()
        .or(parts.message)
        .or(entry.and_then(LogEntry::text));
    text.map(short)
}

/// Everything but the outermost exception, nearest cause first.
fn causes_of(event: &Event<'_>) -> Vec<Cause> {
    let causes = event.exceptions.iter().rev().skip(1).take(CAUSES);
    causes
        .map(|exception| Cause {
            ty: owned(exception.ty.as_ref()),
            value: owned(exception.value.as_ref()),
        })
        .collect()
}

fn tags_of(event: &Event<'_>) -> Vec<(String, String)> {
    let tags = event.tags.iter().take(TAGS);
    tags.map(|(key, value)| (short(key), short(value)))
        .collect()
}

fn owned(text: Option<&Text<'_>>) -> Option<String> {
    text.map(|text| short(text))
}

/// Keeps an alert small whatever the event holds: cut on a character boundary.
fn short(text: &str) -> String {
    text.char_indices()
        .nth(CHARACTERS)
        .map_or(text, |(end, _)| &text[..end])
        .to_owned()
}

/// Characters kept of one text.
const CHARACTERS: usize = 1_024;
/// Causes kept of one event.
const CAUSES: usize = 8;
/// Tags kept of one event.
const TAGS: usize = 32;

//! The values that go into and come out of a store.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Names one issue: the project and the hash under which it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssueKey {
    /// The numeric project id of the DSN.
    pub project: Box<str>,
    /// 32 lower-case hex digits, the primary hash of the first event.
    pub hash: Box<str>,
}

impl IssueKey {
    /// Returns the key of a project's issue.
    pub fn new(project: &str, hash: &str) -> Self {
        Self {
            project: project.into(),
            hash: hash.into(),
        }
    }
}

impl fmt::Display for IssueKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.project, self.hash)
    }
}

/// One event as [`crate::Store::observe`] counts it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The numeric project id of the DSN.
    pub project: &'a str,
    /// All hashes of the event, the primary one first; never empty.
    pub hashes: &'a [String],
    /// The event's id; `None` counts as never seen before.
    pub event_id: Option<[u8; 16]>,
    /// What tells the affected user from others.
    pub user: Option<&'a str>,
    /// The issue's title, kept for lists.
    pub title: &'a str,
}

/// What is known of an issue, the event just observed included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The issue the event belongs to.
    pub issue: IssueKey,
    /// Events since `first_seen`.
    pub events: u64,
    /// Events since the last word about it, or since `first_seen` when there was none.
    pub events_since_said: u64,
    /// Distinct users since `first_seen`, exact up to [`Seen::USERS_COUNTED`].
    pub users: u64,
    /// When this store saw it first.
    pub first_seen: SystemTime,
    /// When this store saw it last: now.
    pub last_seen: SystemTime,
    /// The last word about it that was delivered.
    pub said: Option<Said>,
    /// Whether this event id had been counted before; then nothing was counted.
    pub is_duplicate: bool,
}

impl Seen {
    /// How many distinct users of one issue are told apart; more are not counted.
    pub const USERS_COUNTED: usize = 1_000;
}

/// A word about an issue that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: SystemTime,
    /// How long to be silent after it.
    pub silence: Duration,
}

/// The answer of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// One message may be sent now.
    Granted,
    /// None may be sent before this much time has passed.
    After(Duration),
}

/// A rule that keeps alerts from being said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Its id, unique among all mutes.
    pub id: String,
    /// The issue it silences.
    pub issue: IssueKey,
    /// When it ends; `None` is never.
    pub until: Option<SystemTime>,
    /// Who set it.
    pub by: String,
    /// Why.
    pub comment: String,
}

impl Mute {
    /// Returns whether it is still in force.
    pub fn is_active(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// One issue in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its key.
    pub key: IssueKey,
    /// The title of its newest event.
    pub title: String,
    /// Events since `first_seen`.
    pub events: u64,
    /// Distinct users since `first_seen`, exact up to [`Seen::USERS_COUNTED`].
    pub users: u64,
    /// When this store saw it first.
    pub first_seen: SystemTime,
    /// When this store saw it last.
    pub last_seen: SystemTime,
    /// The last word about it that was delivered.
    pub said: Option<Said>,
}

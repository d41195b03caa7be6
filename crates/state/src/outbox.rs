//! The outbox: what is to be said and has not been yet, one queue per robot, shared by all who use the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{IssueKey, RouteKey};

/// A message on its way into the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// Its id: the same message has the same id, whoever puts it there.
    pub id: &'a str,
    /// What it says about an issue; `None` for messages about other things.
    pub word: Option<Word>,
    /// The robots that are to tell it; each has a queue of its own. None: it counts as told.
    pub robots: &'a [String],
    /// Smaller goes first.
    pub priority: u8,
    /// When set, it is gathered for the digest due then instead of being said alone.
    pub gather_until: Option<SystemTime>,
    /// How old it may become before it is too late to be said alone; kept for the sender.
    pub late_after: Duration,
    /// The message itself, in a form of the caller's.
    pub payload: &'a [u8],
}

/// A word about an issue on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The issue.
    pub issue: IssueKey,
    /// The route.
    pub route: RouteKey,
    /// The word before this one when the caller decided: a word said since then makes this one void.
    pub after: Option<SystemTime>,
    /// How long to be silent after it.
    pub silence: Duration,
    /// Becomes [`crate::Said::is_burst_told`].
    pub is_burst_told: bool,
    /// Becomes [`crate::Said::is_stopped`].
    pub is_stopped: bool,
}

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The message is in the outbox of at least one robot, or it was for none.
    Won,
    /// Somebody else has said it, or is about to.
    Taken,
    /// No robot's outbox has room.
    Full,
}

/// What waits for a robot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// The first that are to be said alone.
    pub alone: Vec<Waiting>,
    /// How many are to be said alone.
    pub alone_total: usize,
    /// How many are gathered for digests.
    pub gathered_total: usize,
    /// When the next digest is due; `None` when nothing is gathered.
    pub gathered_until: Option<SystemTime>,
    /// Messages that found no room since a digest last told so.
    pub missed: u64,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Smaller goes first.
    pub priority: u8,
    /// When it was put there.
    pub since: SystemTime,
    /// As in [`Parcel::late_after`].
    pub late_after: Duration,
    /// The message.
    pub payload: Vec<u8>,
    /// The counts of its issue now; `None` when it is about none, or the issue is forgotten.
    pub tally: Option<Tally>,
}

/// How often an issue was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Events since `first_seen`.
    pub events: u64,
    /// Events on the word's route since the last word told them.
    pub events_since_said: u64,
    /// Distinct users since `first_seen`.
    pub users: u64,
    /// Whether `users` is exact; else it is a floor.
    pub are_users_exact: bool,
    /// When this store saw it first.
    pub first_seen: SystemTime,
    /// When this store saw it last.
    pub last_seen: SystemTime,
}

/// What a digest is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gathered {
    /// The first in order.
    pub named: Vec<Waiting>,
    /// The rest.
    pub others: Vec<Other>,
}

/// A message that is gathered and not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its id.
    pub id: String,
    /// Events of its issue on its route since the last word told them.
    pub events: u64,
}

/// How the wait of one message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement<'a> {
    /// Its id.
    pub id: &'a str,
    /// How.
    pub end: End,
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The robot has it, and it told of so many events.
    Told {
        /// Events told: taken from the count since the last word.
        events: u64,
    },
    /// Nobody will be told; another try is welcome after a while.
    GivenUp {
        /// How long the issue rests.
        rest: Duration,
    },
}

/// A message with everything it needs to be put again.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) id: String,
    pub(crate) word: Option<Word>,
    /// The robots that have not told it.
    pub(crate) robots: Vec<String>,
    pub(crate) priority: u8,
    pub(crate) gather_until: Option<SystemTime>,
    pub(crate) late_after: Duration,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) put: SystemTime,
    /// Whether a robot told it while others still have to: then it is no new word.
    pub(crate) is_told: bool,
}

impl Owned {
    pub(crate) fn of(parcel: &Parcel<'_>, now: SystemTime) -> Self {
        Self {
            id: parcel.id.to_owned(),
            word: parcel.word,
            robots: parcel.robots.to_vec(),
            priority: parcel.priority,
            gather_until: parcel.gather_until,
            late_after: parcel.late_after,
            payload: parcel.payload.into(),
            put: now,
            is_told: false,
        }
    }

    /// The message as it is put, with the word that it follows now.
    pub(crate) fn parcel(&self, after: Option<SystemTime>) -> Parcel<'_> {
        Parcel {
            id: &self.id,
            word: self
                .word
                .filter(|_| !self.is_told)
                .map(|word| Word { after, ..word }),
            robots: &self.robots,
            priority: self.priority,
            gather_until: self.gather_until,
            late_after: self.late_after,
            payload: &self.payload,
        }
    }
}

/// Messages that one robot's queue holds.
pub const PARCELS: usize = 10_000;

/// Bytes of payload that all queues hold together.
pub const BYTES: usize = 32 << 20;

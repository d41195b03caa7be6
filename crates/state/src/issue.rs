//! Issues: what names one, what an event adds to it, and what is known of it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// One hash of a group: the 16 bytes of Sentry's md5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IssueHash(pub [u8; 16]);

/// Names one issue: the project and the hash under which it was first seen. `Display` and `FromStr` speak `42:9f3c…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IssueKey {
    /// The numeric project id of the DSN.
    pub project: u64,
    /// The primary hash of the first event.
    pub hash: IssueHash,
}

/// Names a route of the route tree; the same after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteKey(pub u32);

/// One event as [`crate::Store::observe`] counts it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The numeric project id of the DSN.
    pub project: u64,
    /// All hashes of the event, the primary one first; never empty.
    pub hashes: &'a [IssueHash],
    /// The event's id; `None` counts as never seen before.
    pub event_id: Option<[u8; 16]>,
    /// What tells the affected user from others.
    pub user: Option<&'a str>,
    /// The release of the reporting program.
    pub release: Option<&'a str>,
    /// Where it happened, kept for lists: the first [`Issue::ENVIRONMENT`] bytes.
    pub environment: Option<&'a str>,
    /// The issue's title, kept for lists: the first [`Issue::TITLE`] bytes.
    pub title: &'a str,
    /// How bad it is, as the caller numbers levels; kept for lists.
    pub level: u8,
    /// The routes the event takes; each counts for itself.
    pub routes: &'a [Watch],
}

/// A route of an event, and what is to be counted there besides all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// The route.
    pub route: RouteKey,
    /// How many events must be told apart from older ones; `None` when nobody asks.
    pub events: Option<Window>,
    /// How many distinct users must be told apart.
    pub users: Option<Window>,
    /// As `events`, for bursts.
    pub burst: Option<Window>,
}

/// So many within so long: `100 in 1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many, at most [`Window::MOST`]; more are not told apart.
    pub count: u16,
    /// Within how long.
    pub within: Duration,
}

/// What is known of an issue, the event just observed included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The issue the event belongs to.
    pub issue: IssueKey,
    /// Events since `first_seen`.
    pub events: u64,
    /// Distinct users since `first_seen`.
    pub users: u64,
    /// Whether `users` is exact: up to [`Seen::USERS_COUNTED`] it is; then it is a floor.
    pub are_users_exact: bool,
    /// When this store saw it first.
    pub first_seen: SystemTime,
    /// When this store saw it last: now, unless the event is a duplicate.
    pub last_seen: SystemTime,
    /// Whether this event id had been counted before; then nothing was counted.
    pub is_duplicate: bool,
    /// What is known of it on each route of the sighting, in that order.
    pub routes: Vec<RouteSeen>,
}

/// What is known of an issue on one route, the event just observed included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSeen {
    /// The route.
    pub route: RouteKey,
    /// The last word about it that was delivered.
    pub said: Option<Said>,
    /// Whether another word is on its way, or rests after having been given up.
    pub is_claimed: bool,
    /// Events on this route since the last word told them.
    pub events_since_said: u64,
    /// The event on this route before this one.
    pub previous: Option<SystemTime>,
    /// Whether this event's release was never seen on this route, where others were.
    pub is_new_release: bool,
    /// Events within [`Watch::events`], at most its count; 0 when nobody asked.
    pub in_events: u16,
    /// Distinct users within [`Watch::users`], at most its count.
    pub in_users: u16,
    /// Events within [`Watch::burst`], at most its count.
    pub in_burst: u16,
}

/// A word about an issue that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: SystemTime,
    /// How long to be silent after it.
    pub silence: Duration,
    /// Whether a burst has been told since the silence last ran out.
    pub is_burst_told: bool,
    /// Whether the word was that it has stopped.
    pub is_stopped: bool,
}

/// One issue in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its key.
    pub key: IssueKey,
    /// The title of its newest event.
    pub title: String,
    /// The environment of its newest event; empty when that named none.
    pub environment: String,
    /// How bad its newest event is, as the caller numbers levels.
    pub level: u8,
    /// The id of its newest event that had one.
    pub last_event: Option<[u8; 16]>,
    /// Events since `first_seen`.
    pub events: u64,
    /// Distinct users since `first_seen`.
    pub users: u64,
    /// Whether `users` is exact; else it is a floor.
    pub are_users_exact: bool,
    /// When this store saw it first.
    pub first_seen: SystemTime,
    /// When this store saw it last.
    pub last_seen: SystemTime,
    /// The routes its events took.
    pub routes: Vec<IssueRoute>,
}

/// One issue on one route, in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueRoute {
    /// The route.
    pub route: RouteKey,
    /// The last word about it that was delivered.
    pub said: Option<Said>,
    /// Whether a word is on its way, or rests after having been given up.
    pub is_claimed: bool,
    /// Events on this route since the last word told them.
    pub events_since_said: u64,
    /// The newest event on this route.
    pub last_seen: SystemTime,
}

/// An issue that has been quiet on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// The issue.
    pub issue: Issue,
    /// The last word about it on that route.
    pub said: Said,
    /// Its last event on that route.
    pub last_seen: SystemTime,
    /// Events on that route since the last word told them.
    pub events_since_said: u64,
}

/// What a store has forgotten since it was last asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Issues not seen for too long.
    pub issues: usize,
    /// Issues that had to go, the ones longest unseen first, because there were more than the store keeps.
    pub evicted: usize,
    /// Parcels that waited for too long, robots counted apart.
    pub parcels: usize,
}

impl IssueHash {
    /// Reads 32 hex digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (hex(pair[0])? << 4) | hex(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Reads 32 hex digits; any other text gets a hash of its own (FNV-1a).
    pub fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| {
            let hash = text.bytes().fold(FNV_OFFSET, |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
            });
            Self(hash.to_be_bytes())
        })
    }
}

impl IssueKey {
    /// Returns the key of a project's issue.
    pub fn new(project: u64, hash: IssueHash) -> Self {
        Self { project, hash }
    }
}

impl Window {
    /// The largest count that any backend keeps apart.
    pub const MOST: u16 = 1_000;
}

impl Seen {
    /// How many distinct users of one issue every backend tells apart, as long as it has room for them.
    pub const USERS_COUNTED: u64 = 1_000;
}

impl Issue {
    /// Bytes kept of a title.
    pub const TITLE: usize = 200;

    /// Bytes kept of an environment; Sentry takes 64 characters.
    pub const ENVIRONMENT: usize = 64;

    /// How many issues every backend keeps; then the ones longest unseen go first.
    pub const KEPT: usize = 200_000;
}

impl fmt::Display for IssueHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Display for IssueKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.project, self.hash)
    }
}

/// A text that names no issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an issue's key, such as `42:9f3c2d1a…` with 32 hex digits")]
pub struct NoIssueKey;

impl FromStr for IssueKey {
    type Err = NoIssueKey;

    fn from_str(text: &str) -> Result<Self, NoIssueKey> {
        let (project, hash) = text.split_once(':').ok_or(NoIssueKey)?;
        let project = project.parse().map_err(|_| NoIssueKey)?;
        let hash = IssueHash::parse(hash).ok_or(NoIssueKey)?;
        Ok(Self { project, hash })
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_a_hash_and_hex_digits_keep_theirs() {
        let digits = "9f3c2d1a00000000000000000000000b";

        assert_eq!(IssueHash::of(digits).to_string(), digits);
        assert_ne!(IssueHash::of("a"), IssueHash::of("b"));
        assert_eq!(IssueHash::of("a"), IssueHash::of("a"));
    }

    #[test]
    fn a_key_reads_what_it_writes_and_nothing_else() {
        let text = "42:9f3c2d1a00000000000000000000000b";

        let key: IssueKey = text.parse().unwrap();

        assert_eq!(key.to_string(), text);
        for wrong in [
            "",
            "42",
            "42:",
            "42:9f",
            "x:9f3c2d1a00000000000000000000000b",
            "42:zz3c2d1a00000000000000000000000b",
        ] {
            assert_eq!(wrong.parse::<IssueKey>(), Err(NoIssueKey), "{wrong}");
        }
    }
}

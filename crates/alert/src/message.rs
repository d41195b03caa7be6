//! Everything a robot may be asked to say.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::Alert;

/// A message for a robot.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A word about one issue.
    Alert(Box<Alert>),
    /// Several words that could not be said one by one.
    Digest(Box<Digest>),
    /// A word about the proxy itself.
    Notice(Box<Notice>),
    /// The card that `send-test` sends, to show that the way is open.
    Test {
        /// The robot's name in the config.
        robot: String,
        /// When it was asked for.
        at: SystemTime,
    },
}

/// Several words in one message: what exceeded a robot's budget, came while it was closed, outside its route's hours, or
/// waited for too long.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// The most urgent alerts, at most [`Digest::NAMED`], with the counts of now.
    pub alerts: Vec<Alert>,
    /// Words about the proxy itself that waited too.
    pub notices: Vec<Notice>,
    /// All alerts it stands for, those named included.
    pub alerts_total: u64,
    /// All events it tells of: those since the last word about each of these issues.
    pub events: u64,
    /// Alerts that found no room in the outbox, and are not among the others.
    pub missed: u64,
    /// Since when the oldest of them waited.
    pub since: SystemTime,
    /// Now.
    pub until: SystemTime,
    /// Where all issues are listed, when the operator said where that is.
    pub status_url: Option<String>,
}

/// A word about the proxy itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Stays the same over retries, and for all replicas that notice the same.
    pub id: String,
    /// When it was noticed.
    pub at: SystemTime,
    /// What was noticed.
    pub kind: NoticeKind,
}

/// What the proxy may notice about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Sentry has not been reachable for longer than `self.outage_after`.
    SentryDown {
        /// Since when.
        since: SystemTime,
        /// Requests that wait in the spool.
        waiting: u64,
        /// Its address; empty when that is not known.
        #[serde(default)]
        upstream: String,
        /// Requests that were lost, because they could not be kept.
        #[serde(default)]
        lost: u64,
    },
    /// Sentry is reachable again.
    SentryBack {
        /// How long it was not.
        lasted: Duration,
        /// Requests that waited.
        waited: u64,
        /// Requests of them that are delivered by now.
        delivered: u64,
        /// Its address; empty when that is not known.
        #[serde(default)]
        upstream: String,
        /// Requests that were lost, because they could not be kept.
        #[serde(default)]
        lost: u64,
    },
    /// A robot refuses everything until somebody mends its settings.
    RobotBroken {
        /// The robot's name in the config.
        robot: String,
        /// What it says, in its service's own words.
        detail: String,
        /// What to do about it.
        hint: String,
    },
    /// A robot that refused everything takes messages again.
    RobotBack {
        /// The robot's name in the config.
        robot: String,
        /// How long it did not.
        lasted: Duration,
    },
    /// The spool is nearly full: soon events will be lost.
    SpoolNearlyFull {
        /// Bytes in it.
        used: u64,
        /// Bytes it may hold.
        size: u64,
    },
    /// The shared state cannot be reached: each replica goes by what it has seen itself.
    StateFallback {
        /// Which backend.
        backend: String,
    },
    /// The shared state is back.
    StateBack {
        /// Which backend.
        backend: String,
        /// How long it was away.
        lasted: Duration,
    },
}

impl Digest {
    /// Alerts that a digest names; the others are counted.
    pub const NAMED: usize = 10;

    /// Returns how many alerts are not named.
    pub fn others(&self) -> u64 {
        let named = self.alerts.len() as u64;
        self.alerts_total.saturating_sub(named) + self.missed
    }
}

impl NoticeKind {
    /// Returns its name in the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SentryDown { .. } => "sentry_down",
            Self::SentryBack { .. } => "sentry_back",
            Self::RobotBroken { .. } => "robot_broken",
            Self::RobotBack { .. } => "robot_back",
            Self::SpoolNearlyFull { .. } => "spool_nearly_full",
            Self::StateFallback { .. } => "state_fallback",
            Self::StateBack { .. } => "state_back",
        }
    }

    /// Returns whether it says that something is well again.
    pub fn is_recovery(&self) -> bool {
        match self {
            Self::SentryBack { .. } | Self::RobotBack { .. } | Self::StateBack { .. } => true,
            Self::SentryDown { .. }
            | Self::RobotBroken { .. }
            | Self::SpoolNearlyFull { .. }
            | Self::StateFallback { .. } => false,
        }
    }
}

//! Decides what to say, to whom and when, and gets it delivered.
//!
//! Top-down: [`engine`] takes one grouped event, finds its routes ([`route`], [`matcher`]), counts it in the state, and lets
//! [`mod@decide`] say whether something is to be said, by the route's [`rule`] and [`mute`]s; [`outbox`] keeps what is to be
//! said until a robot has it, within the robot's budget, the rest in digests. [`notifier`] is the seam to the outside: what
//! a robot must be able to do.

pub mod active;
pub mod activity;
pub mod alert;
pub mod config;
pub mod decide;
pub mod engine;
pub mod matcher;
pub mod mention;
pub mod message;
pub mod metrics;
pub mod mute;
pub mod notifier;
pub mod outbox;
pub mod outcome;
pub mod route;
pub mod rule;
mod stored;

pub use crate::active::Active;
pub use crate::activity::{Activity, Trace};
pub use crate::alert::{Alert, Cause, Counts, Links, Location, Person, Subject, WindowCount};
pub use crate::config::{Config, Kind, Links as LinkConfig};
pub use crate::decide::{Decision, Hold, Reason, decide};
pub use crate::engine::{Engine, Sight};
pub use crate::matcher::{Facts, MatchKey, Matcher};
pub use crate::mention::{Mention, People};
pub use crate::message::{Digest, Message, Notice, NoticeKind};
pub use crate::metrics::Metrics;
pub use crate::mute::{Key, Keyring, Mutes, StandingMute};
pub use crate::notifier::{Channel, Failure, Notifier, Retry};
pub use crate::outbox::{Clock, Deliveries, Health, Journal, Outbox, RobotHealth, Sent};
pub use crate::outcome::Outcome;
pub use crate::route::{Route, Routes};
pub use crate::rule::{Counted, Rule, Threshold};

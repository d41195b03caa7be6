//! Decides what to say, to whom and when, and gets it delivered.
//!
//! Top-down: [`engine`] takes one grouped event and observes, decides and claims; [`outbox`] takes what is to be said
//! and delivers it within a robot's budget, with retries; [`mod@decide`] is the pure rule both rest on. [`notifier`] is the
//! seam to the outside: what a robot must be able to do.

pub mod alert;
pub mod config;
pub mod decide;
pub mod engine;
pub mod metrics;
pub mod notifier;
pub mod outbox;
pub mod outcome;

pub use crate::alert::{Alert, Cause, Counts, Links, Location, Message, Person, Subject};
pub use crate::config::{Config, Kind, Links as LinkConfig, Rule};
pub use crate::decide::{Decision, Hold, Reason, decide};
pub use crate::engine::{Engine, Sight};
pub use crate::metrics::Metrics;
pub use crate::notifier::{Failure, Notifier, Retry};
pub use crate::outbox::{Clock, Deliveries, Health, Outbox, RobotHealth};
pub use crate::outcome::Outcome;

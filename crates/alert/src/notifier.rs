//! The seam to the outside: what a robot must be able to do, and how it says that it could not.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::Message;

/// Something that can carry a message to people.
///
/// The contract: `notify` makes one attempt and returns within the notifier's own timeout; it never waits for a budget
/// and never retries, except where the service itself asks for the same message in another form (a corrected clock,
/// fewer bytes). `Ok` means that the service said it has the message.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Returns the robot's name in the config.
    fn name(&self) -> &str;

    /// Returns the ways into its chat, at least one; always the same ones in the same order.
    fn channels(&self) -> Vec<Channel>;

    /// Attempts to deliver one message through one of its channels, by its place in [`Self::channels`]. `id` stays the same
    /// over retries.
    ///
    /// # Errors
    /// [`Failure`], which says whether and when to try again.
    async fn notify(
        &self,
        channel: usize,
        message: &Message,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Failure>;
}

/// One way into a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Names its budget: the same for everything that sends through it, also under another robot's name. Holds no secret.
    pub bucket: String,
    /// Messages it may carry in any 60 seconds.
    pub per_minute: u32,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("robot refused the message: {detail}")]
pub struct Failure {
    /// What kind of failure it is: from a closed set, used as metric label.
    pub reason: &'static str,
    /// The service's own words, without secrets.
    pub detail: String,
    /// What the operator can do about it, in words.
    pub hint: &'static str,
    /// Whether trying again helps.
    pub retry: Retry,
}

/// Whether trying a delivery again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The fault is passing: try again after a growing pause.
    Soon,
    /// The service closed the channel for a while: send nothing through it for this long.
    Paused(Duration),
    /// The channel takes nothing until somebody mends its settings: keep everything, and ask seldom.
    AfterRepair,
    /// This message will never be accepted as it is; others may be.
    Never,
}

//! What we have seen and what we have said: counts per issue, the words already spoken, mutes and message budgets.
//!
//! One contract, [`Store`], with one implementation for now: [`memory::Memory`]. Every method is one atomic step, so
//! that a backend shared by replicas can keep the same promises; there is no get-then-set.

pub mod memory;
pub mod record;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

pub use crate::memory::Memory;
pub use crate::record::{Issue, IssueKey, Mute, Said, Seen, Sighting, Take};

/// What we have seen and said.
///
/// The contract, for every backend:
/// - `now` is the caller's clock; a backend never reads its own to decide.
/// - Each method takes effect wholly or not at all, also among replicas.
/// - A caller that gets [`Unavailable`] may try again; nothing was half done.
#[async_trait]
pub trait Store: Send + Sync {
    /// Counts one event of an issue, once per event id, and returns what is known of the issue with it counted.
    ///
    /// An event has several hashes; the first one that is already known names the issue, and the others are attached
    /// to it.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable>;

    /// Asks to be the one who speaks about an issue; true for one caller until `lease` has passed or it is settled.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn claim(
        &self,
        issue: &IssueKey,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable>;

    /// Ends a claim: with `Some`, the word was delivered and silence begins; with `None`, it was not and another may
    /// speak at once.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn settle(&self, issue: &IssueKey, said: Option<&Said>) -> Result<(), Unavailable>;

    /// Takes one message out of a budget of `per_minute` messages in any 60 seconds, shared by all who name `bucket`.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable>;

    /// Adds a mute, or replaces the one with the same id.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable>;

    /// Returns the mutes in force, oldest first.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable>;

    /// Returns at most `limit` issues, last seen first.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable>;

    /// Forgets what was last seen, or has ended, before `before`; returns how many issues went.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn expire(&self, before: SystemTime) -> Result<usize, Unavailable>;
}

/// The backend could not be reached or could not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("state backend `{backend}` is unavailable")]
pub struct Unavailable {
    /// Which backend.
    pub backend: &'static str,
    /// What it said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

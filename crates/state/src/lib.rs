//! What we have seen and what we have said: counts per issue, the words spoken and those on their way, mutes, message
//! budgets.
//!
//! One contract, [`Store`], with one implementation for now: [`memory::Memory`]. Every method is one atomic step, so
//! that a backend shared by replicas can keep the same promises; there is no get-then-set.

#[cfg(test)]
mod conformance;
pub mod fallback;
pub mod file;
pub mod issue;
pub mod memory;
pub mod mute;
pub mod open;
pub mod outbox;
pub mod redis;
pub mod robot;
pub mod search;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

pub use crate::fallback::Fallback;
pub use crate::file::File;
pub use crate::issue::{
    Expired, Issue, IssueHash, IssueKey, IssueRoute, NoIssueKey, Quiet, RouteKey, RouteSeen, Said,
    Seen, Sighting, Watch, Window,
};
pub use crate::memory::Memory;
pub use crate::mute::{Mute, Scope};
pub use crate::open::{Config, open};
pub use crate::outbox::{
    Claim, End, Gathered, Other, Parcel, Pending, Settlement, Tally, Waiting, Word,
};
pub use crate::redis::{Redis, RedisConfig};
pub use crate::robot::{Report, Take};
pub use crate::search::{Cursor, Found, Search};

/// What we have seen and said.
///
/// The contract, for every backend:
/// - `now` is the caller's clock; a backend never reads its own to decide. It may jump: a moment in the future of `now`
///   counts as just past.
/// - Each method takes effect wholly or not at all, also among replicas.
/// - A caller that gets [`Unavailable`] may try again; nothing was half done, and doing it twice is as doing it once.
/// - Times are kept in milliseconds at least.
///
/// A word about an issue takes this way: [`observe`](Self::observe) counts the event; the caller decides;
/// [`claim`](Self::claim) puts the word into the outbox and keeps every other caller from saying the same;
/// the one who [leads](Self::lead) a robot reads [`pending`](Self::pending), sends, and [settles](Self::settle).
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the backend's name: `memory`, `file` or `redis`.
    fn backend(&self) -> &'static str;

    /// Returns whether what it holds is still there after a restart of this process; not while there is trouble.
    fn is_durable(&self) -> bool;

    /// Returns what keeps it from being what it promises, while it goes on from memory; `None` when all is well. Answers
    /// at once.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Returns whether other processes may use it at the same time. One that no other can use has no other leader of a
    /// robot either, also right after a restart.
    fn is_shared(&self) -> bool {
        false
    }

    /// Counts one event of an issue, once per event id, on each of the routes it takes, and returns what is known of the
    /// issue with it counted.
    ///
    /// An event has several hashes; the first one that is already known names the issue, and those that are not known are
    /// attached to it. A hash that is known keeps its issue, so two known issues stay two.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable>;

    /// Puts a message into the outbox, once per id and robot. With a word in it, it also asks to be the one who speaks
    /// about that issue on that route: won by one caller until the parcel is settled with every robot.
    ///
    /// [`Claim::Taken`] when another word about it is on its way, rests after having been given up, or was said since the
    /// caller looked ([`Word::after`]). A word for no robot counts as said at once. [`Claim::Full`] when no robot's queue
    /// has room ([`outbox::PARCELS`], [`outbox::BYTES`]); then it is counted as missed with each of them. A robot without
    /// room beside one that has room counts one missed.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable>;

    /// Asks to be the one who sends for a robot, or to stay it: true for one holder until `lease` has passed since it last
    /// asked.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable>;

    /// Gives the lead of a robot back, if `holder` has it.
    ///
    /// # Errors
    /// When the backend cannot be reached; the lease ends by itself.
    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable>;

    /// Returns what waits for a robot and is to be said alone: at most `limit`, in order of priority, then of age, with
    /// fresh counts; and how much waits in all.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable>;

    /// Puts parcels that wait to be said alone among those that are gathered for the digest due at `until`; those gathered
    /// already stay as they are.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable>;

    /// Returns everything gathered for a robot that is due at `now`: the first `named` in order of priority, then of age,
    /// whole and with fresh counts, the others as ids. Takes nothing away: that is for [`settle`](Self::settle).
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable>;

    /// Takes parcels out of a robot's outbox, and `missed` from those that found no room.
    ///
    /// [`End::Told`] notes that the word was said at `now`; with the first robot that tells it, the events told leave the
    /// count since the last word. [`End::GivenUp`] lets another word about the issue be claimed once `rest` has passed,
    /// unless another robot told it. An id that is not there is passed over.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable>;

    /// Returns when something may have been put into the outbox since the last call began, and at the latest after
    /// `within`. May return early.
    async fn changed(&self, within: Duration);

    /// Returns issues spoken of on a route whose last event there came before `before`, and whose last word was not that
    /// they have stopped; none with a word on its way. At most `limit`, longest quiet first.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable>;

    /// Takes one message out of a budget of `per_minute` messages in any 60 seconds, shared by all who name `bucket`.
    ///
    /// Callers may name different budgets for the same bucket; each is held against all messages taken.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable>;

    /// Returns how many messages were taken out of a bucket in the 60 seconds before `now`. For people who look: whoever
    /// wants to send asks [`take`](Self::take).
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable>;

    /// Closes a bucket until a moment: [`take`](Self::take) grants nothing before it. A later moment wins over an earlier
    /// one, and a moment that has passed opens it.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable>;

    /// Keeps a robot's last verdict for every replica's status page, over the one before.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn report(&self, report: &Report) -> Result<(), Unavailable>;

    /// Returns the last verdict of every robot, by name.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn reports(&self) -> Result<Vec<Report>, Unavailable>;

    /// Adds a mute, or replaces the one with the same id. Beyond [`mute::MOST`] the one that ends first goes.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable>;

    /// Removes a mute; returns whether it was there.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn unmute(&self, id: &str) -> Result<bool, Unavailable>;

    /// Returns the mutes in force, by id.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable>;

    /// Returns at most `limit` issues, last seen first.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable>;

    /// Returns at most `limit` issues of a search, last seen first, beginning `after` the place where a former call ended.
    ///
    /// Looks at no more than some [`Found::LOOKED_AT`] issues, so it may find fewer though more follow: then
    /// [`Found::next`] tells where. An issue that is seen again between two calls may be found by neither or by both.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable>;

    /// Returns one issue by its key; `None` when it is not known, or no more.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable>;

    /// Forgets issues last seen before `before`, mutes that have ended, and parcels put or gathered for a moment before
    /// `stale`; says what went since the last call, and what was evicted for want of room.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable>;

    /// Keeps a small value under a name unless there is one already; returns the one that is kept from then on.
    ///
    /// # Errors
    /// When the backend cannot be reached; trying again helps later.
    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable>;
}

/// Why a store works from memory alone for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, for people: no secrets.
    pub what: String,
    /// Since when.
    pub since: Instant,
}

/// Why a store cannot be opened. Trying again helps once the cause is mended.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[error("cannot open the state file `{}`", path.display())]
    File {
        /// The path in the config.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system gives no thread to write with.
    #[error("cannot start the thread that writes state")]
    Thread(#[source] std::io::Error),
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

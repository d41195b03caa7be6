//! What a replica may send while it cannot ask the others: never so much that all together exceed a robot's budget.
//!
//! Three rules: budgets are divided by the replicas that were there; for the first minute only the one that was sending
//! goes on, since no other knows what of that minute is spent; and after the reunion nobody sends until all had the time
//! to tell what they sent.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::alone::Replica;
use crate::memory::millis;
use crate::{Store, Take, Unavailable};

impl Replica {
    /// Notes that the shared store granted a message.
    pub(super) async fn granted(&self, bucket: &str, now: SystemTime) {
        self.status()
            .granted
            .insert(bucket.to_owned(), Instant::now());
        self.spent(bucket, now).await;
    }

    /// Counts a message in memory too, whatever the budget is there, for the minute to come.
    pub(super) async fn spent(&self, bucket: &str, now: SystemTime) {
        let _ = self.local.take(bucket, u32::MAX, now).await;
    }

    /// Takes a message out of this replica's share of a budget.
    pub(super) async fn take_alone(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let (replicas, wait) = self.standing(bucket);
        if let Some(wait) = wait {
            return Ok(Take::After(wait));
        }
        let share = per_minute / replicas;
        if share > 0 {
            return self.local.take(bucket, share, now).await;
        }
        match self.turn(per_minute, replicas, now) {
            Some(wait) => Ok(Take::After(wait)),
            None => self.local.take(bucket, 1, now).await,
        }
    }

    /// With more replicas than messages a minute, as many as there are messages have their turn, a minute long; a minute
    /// later it is the next ones'. Returns how long until this replica's.
    fn turn(&self, per_minute: u32, replicas: u32, now: SystemTime) -> Option<Duration> {
        let turns = replicas.div_ceil(per_minute.max(1));
        let mine = self.status().rank as u64 % u64::from(turns);
        let cycle = u64::from(turns) * 2 * MINUTE.as_secs();
        let starts = mine * 2 * MINUTE.as_secs();
        let since = (millis(now) / 1_000 + cycle - starts) % cycle;
        (since >= MINUTE.as_secs()).then(|| Duration::from_secs(cycle - since))
    }

    /// Returns how long to send nothing after the reunion.
    pub(super) fn hold(&self) -> Option<Duration> {
        let status = self.status();
        let reunion = match status.patience {
            0 => REUNION,
            1.. => LONG_REUNION,
        };
        reunion
            .checked_sub(status.back?.elapsed())
            .filter(|wait| !wait.is_zero())
    }

    /// Returns how many share a budget, and how long this replica has to wait before it may take its share.
    fn standing(&self, bucket: &str) -> (u32, Option<Duration>) {
        let status = self.status();
        let replicas = status.replicas.unwrap_or(UNKNOWN).max(1);
        let is_alone = status.replicas == Some(1);
        let is_sender = status
            .granted
            .get(bucket)
            .is_some_and(|granted| granted.elapsed() < MINUTE);
        let away = status.away.as_ref().map(|away| away.since.elapsed());
        let wait = MINUTE.checked_sub(away.unwrap_or_default());
        let wait = wait.filter(|wait| !is_alone && !is_sender && !wait.is_zero());
        (u32::try_from(replicas).unwrap_or(u32::MAX), wait)
    }
}

/// When to ask again after an answer was late.
pub(super) const LATE: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than the pause between two heartbeats of a replica that is away, and than it may take to connect.
pub(super) const REUNION: Duration = Duration::from_secs(4);

/// The same with a store that keeps going away, where that pause is longer.
pub(super) const LONG_REUNION: Duration = Duration::from_secs(12);

/// Replicas assumed before the shared store has ever been there.
const UNKNOWN: usize = 3;

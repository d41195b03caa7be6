//! A replica's way to state: the shared store, and memory alone while that one is away.
//!
//! The first call that fails, or the third in a row that is late, opens the breaker: from then on everything is answered from memory, and nobody waits for the
//! shared store until a heartbeat has got through to it again. What was said meanwhile is then told to it, what waits is
//! handed over. See `docs/decisions/0020-redis-and-its-absence.md`.

mod alone;
mod budget;
mod recover;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use self::alone::{Debt, Replica};
use crate::redis::{Beat, Counted, is_late};
use crate::{
    Claim, Cursor, Expired, Found, Gathered, Issue, IssueKey, Mute, Parcel, Pending, Quiet, Redis,
    Report, RouteKey, Search, Seen, Settlement, Sighting, Store, Take, Trouble, Unavailable,
};

/// A store shared by replicas that does without it for a while.
///
/// While the shared store is away: an issue that another replica spoke of may be spoken of once more by this one; budgets
/// are shared out evenly, and for the first minute only the replica that was sending goes on; mutes stay in force.
#[derive(Debug)]
pub struct Fallback {
    replica: Arc<Replica>,
    beating: JoinHandle<()>,
}

/// Reads the wall clock; an argument so that tests can run on simulated time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A store that several replicas use.
#[async_trait]
pub(crate) trait Shared: Store {
    /// Tells it that a replica lives, connecting where that is needed.
    async fn beat(&self, replica: &str, now: SystemTime) -> Result<Beat, Unavailable>;

    /// Adds what was counted of an issue that it knows.
    async fn add(&self, counted: &Counted) -> Result<(), Unavailable>;
}

#[async_trait]
impl Shared for Redis {
    async fn beat(&self, replica: &str, now: SystemTime) -> Result<Beat, Unavailable> {
        Redis::beat(self, replica, now).await
    }

    async fn add(&self, counted: &Counted) -> Result<(), Unavailable> {
        Redis::add(self, counted).await
    }
}

impl Fallback {
    /// Starts with Redis, or without it when it cannot be reached within a second. Needs a tokio runtime.
    pub async fn start(redis: Redis, clock: Clock) -> Self {
        Self::with(Arc::new(redis), clock).await
    }

    pub(crate) async fn with(shared: Arc<dyn Shared>, clock: Clock) -> Self {
        let replica = Arc::new(Replica::new(shared, clock));
        replica.beat().await;
        let beating = tokio::spawn(recover::beat_on(Arc::clone(&replica)));
        Self { replica, beating }
    }
}

impl Drop for Fallback {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Asks the shared store unless it is away, and answers from memory then; an answer that is only late is an error, since
/// what waits there is not in memory.
macro_rules! shared_or_local {
    ($self:ident.$method:ident($($argument:expr),*)) => {{
        if let Some(shared) = $self.replica.shared() {
            match $self.replica.checked(shared.$method($($argument),*).await) {
                Ok(answer) => return Ok(answer),
                Err(error) if $self.replica.shared().is_some() => return Err(error),
                Err(_) => {}
            }
        }
        $self.replica.local.$method($($argument),*).await
    }};
}

#[async_trait]
impl Store for Fallback {
    fn backend(&self) -> &'static str {
        self.replica.shared.backend()
    }

    fn is_durable(&self) -> bool {
        self.trouble().is_none() && self.replica.shared.is_durable()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<Trouble> {
        self.replica.trouble()
    }

    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        let replica = &self.replica;
        if let Some(shared) = replica.shared() {
            match replica.checked(shared.observe(sighting, now).await) {
                Ok(seen) => return Ok(replica.reconcile(sighting, seen, now).await),
                // It may have been counted all the same.
                Err(error) if is_late(&error) => return replica.local.observe(sighting, now).await,
                Err(_) => {}
            }
        }
        let seen = replica.local.observe(sighting, now).await?;
        replica.counted(&seen);
        Ok(seen)
    }

    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable> {
        let replica = &self.replica;
        if let Some(shared) = replica.shared()
            && let Ok(claim) = replica.checked(shared.claim(parcel, now).await)
        {
            replica.claimed(parcel, claim, now);
            return Ok(claim);
        }
        // Where it was only late, it is handed over with the next heartbeat, and known there if it had arrived.
        replica.local.claim(parcel, now).await
    }

    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        shared_or_local!(self.lead(robot, holder, lease, now))
    }

    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable> {
        shared_or_local!(self.resign(robot, holder))
    }

    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable> {
        shared_or_local!(self.pending(robot, limit))
    }

    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable> {
        shared_or_local!(self.gather(robot, ids, until))
    }

    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable> {
        shared_or_local!(self.gathered(robot, named, now))
    }

    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let replica = &self.replica;
        replica.settled(robot, settlements, now).await;
        if let Some(shared) = replica.shared() {
            let settled = shared.settle(robot, settlements, missed, now).await;
            if replica.checked(settled).is_ok() {
                return Ok(());
            }
        }
        // The message may wait in the shared store, in memory, or in both.
        for settlement in settlements {
            replica.owe(Debt::settled(robot, settlement, now));
        }
        replica.local.settle(robot, settlements, missed, now).await
    }

    async fn changed(&self, within: Duration) {
        tokio::select! {
            () = self.replica.shared.changed(within) => {}
            () = self.replica.local.changed(within) => {}
        }
    }

    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable> {
        shared_or_local!(self.quiet(route, before, limit))
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let replica = &self.replica;
        if let Some(shared) = replica.shared() {
            if let Some(wait) = replica.hold() {
                return Ok(Take::After(wait));
            }
            match replica.checked(shared.take(bucket, per_minute, now).await) {
                Ok(taken) => {
                    if taken == Take::Granted {
                        replica.granted(bucket, now).await;
                    }
                    return Ok(taken);
                }
                // It may have been granted, so it counts as that.
                Err(error) if is_late(&error) => replica.spent(bucket, now).await,
                Err(_) => {}
            }
            if replica.shared().is_some() {
                return Ok(Take::After(budget::LATE));
            }
        }
        replica.take_alone(bucket, per_minute, now).await
    }

    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable> {
        shared_or_local!(self.spent(bucket, now))
    }

    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let replica = &self.replica;
        replica.local.close(bucket, until, now).await?;
        if let Some(shared) = replica.shared()
            && replica
                .checked(shared.close(bucket, until, now).await)
                .is_ok()
        {
            return Ok(());
        }
        let bucket = bucket.to_owned();
        replica.owe(Debt::Close { bucket, until, now });
        Ok(())
    }

    async fn report(&self, report: &Report) -> Result<(), Unavailable> {
        self.replica.local.report(report).await?;
        if let Some(shared) = self.replica.shared() {
            // The next verdict comes soon enough.
            let _ = self.replica.checked(shared.report(report).await);
        }
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        shared_or_local!(self.reports())
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        let replica = &self.replica;
        replica.local.mute(mute).await?;
        replica.status().mutes_set += 1;
        if let Some(shared) = replica.shared()
            && replica.checked(shared.mute(mute).await).is_ok()
        {
            return Ok(());
        }
        replica.owe(Debt::Mute(mute.clone()));
        Ok(())
    }

    async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        let replica = &self.replica;
        let was_here = replica.local.unmute(id).await?;
        replica.status().mutes_set += 1;
        if let Some(shared) = replica.shared()
            && let Ok(was_there) = replica.checked(shared.unmute(id).await)
        {
            return Ok(was_there || was_here);
        }
        replica.owe(Debt::Unmute(id.to_owned()));
        Ok(was_here)
    }

    /// Answers from memory, which follows the shared store with every heartbeat: each event asks for them.
    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        self.replica.local.mutes(now).await
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        shared_or_local!(self.recent(limit))
    }

    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable> {
        shared_or_local!(self.search(search, after, limit))
    }

    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable> {
        shared_or_local!(self.issue(key))
    }

    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable> {
        let replica = &self.replica;
        let here = replica.local.expire(before, stale, now).await?;
        if let Some(shared) = replica.shared()
            && let Ok(expired) = replica.checked(shared.expire(before, stale, now).await)
        {
            return Ok(expired);
        }
        Ok(here)
    }

    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let replica = &self.replica;
        if let Some(shared) = replica.shared()
            && let Ok(kept) = replica.checked(shared.keep(name, value).await)
        {
            // Should another have been kept here meanwhile, the shared one counts.
            replica.local.keep(name, &kept).await?;
            return Ok(kept);
        }
        let kept = replica.local.keep(name, value).await?;
        let name = name.to_owned();
        replica.owe(Debt::Keep(name, kept.clone()));
        Ok(kept)
    }
}

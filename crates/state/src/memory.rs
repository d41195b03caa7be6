//! The store that lives in this process and ends with it.
//!
//! One lock guards everything: each method is short, and the pipeline that calls them runs on one thread.

mod budget;
mod event_ids;
mod index;
mod issues;
mod persist;
mod queues;
mod record;
mod routes;
mod shadow;
mod unsaved;
mod users;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::timeout;

use self::budget::Budget;
use self::event_ids::EventIds;
pub(crate) use self::event_ids::MOST as EVENT_IDS;
use self::issues::Issues;
pub(crate) use self::issues::release_hash;
pub(crate) use self::persist::{Kept, Known};
use self::queues::Queues;
pub(crate) use self::record::{cut, cut_environment};
pub(crate) use self::shadow::CLAIMED;
pub(crate) use self::unsaved::Batch;
use self::unsaved::{Marks, Row};
use crate::{
    Claim, Cursor, End, Expired, Found, Gathered, Issue, IssueKey, Mute, Parcel, Pending, Quiet,
    Report, RouteKey, Search, Seen, Settlement, Sighting, Store, Take, Unavailable, mute,
};

/// A store in memory; one process, gone at exit.
///
/// Bounds: [`Issue::KEPT`] issues of about 300 bytes, 2 000 000 users told apart, 458 752 event ids of 10 bytes,
/// [`crate::outbox::BYTES`] of messages.
#[derive(Debug)]
pub struct Memory {
    inner: Mutex<Inner>,
    put: Notify,
}

#[derive(Debug)]
struct Inner {
    issues: Issues,
    event_ids: EventIds,
    queues: Queues,
    budgets: HashMap<Box<str>, Budget>,
    reports: BTreeMap<String, Report>,
    mutes: BTreeMap<String, Mute>,
    kept: HashMap<String, Vec<u8>>,
    marks: Marks,
    /// What went since the last call of `expire`.
    lost: Expired,
}

impl Memory {
    /// Returns an empty store that keeps [`Issue::KEPT`] issues.
    pub fn new() -> Self {
        Self::with_room_for(Issue::KEPT)
    }

    /// Returns an empty store that keeps so many issues.
    pub fn with_room_for(issues: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                issues: Issues::with_room_for(issues),
                event_ids: EventIds::default(),
                queues: Queues::default(),
                budgets: HashMap::new(),
                reports: BTreeMap::new(),
                mutes: BTreeMap::new(),
                kept: HashMap::new(),
                marks: Marks::default(),
                lost: Expired::default(),
            }),
            put: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for Memory {
    fn backend(&self) -> &'static str {
        "memory"
    }

    fn is_durable(&self) -> bool {
        false
    }

    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        Ok(self.lock().observe(sighting, millis(now)))
    }

    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable> {
        let claim = self.lock().claim(parcel, millis(now));
        if claim == Claim::Won {
            self.put.notify_waiters();
            self.put.notify_one();
        }
        Ok(claim)
    }

    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        Ok(self
            .lock()
            .queues
            .lead(robot, holder, duration(lease), millis(now)))
    }

    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable> {
        self.lock().queues.resign(robot, holder);
        Ok(())
    }

    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable> {
        let inner = self.lock();
        Ok(inner.queues.pending(robot, limit, &inner.issues))
    }

    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable> {
        self.lock().queues.gather(robot, ids, millis(until));
        Ok(())
    }

    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable> {
        let inner = self.lock();
        Ok(inner
            .queues
            .gathered(robot, named, millis(now), &inner.issues))
    }

    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let mut inner = self.lock();
        inner.queues.forget_missed(robot, missed);
        for settlement in settlements {
            inner.settle(robot, settlement, millis(now));
        }
        Ok(())
    }

    async fn changed(&self, within: Duration) {
        let _ = timeout(within, self.put.notified()).await;
    }

    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable> {
        Ok(self.lock().quiet(route, millis(before), limit))
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let mut inner = self.lock();
        let budget = inner.budgets.entry(bucket.into()).or_default();
        let taken = budget.take(per_minute, millis(now));
        if taken == Take::Granted {
            inner.marks.mark(|| Row::Budget(bucket.into()));
        }
        Ok(taken)
    }

    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable> {
        let inner = self.lock();
        let budget = inner.budgets.get(bucket);
        Ok(budget.map_or(0, |budget| budget.spent(millis(now))))
    }

    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let mut inner = self.lock();
        let budget = inner.budgets.entry(bucket.into()).or_default();
        budget.close(millis(until), millis(now));
        inner.marks.mark(|| Row::Budget(bucket.into()));
        Ok(())
    }

    async fn report(&self, report: &Report) -> Result<(), Unavailable> {
        let mut inner = self.lock();
        inner.reports.insert(report.robot.clone(), report.clone());
        inner
            .marks
            .mark(|| Row::Report(report.robot.as_str().into()));
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        Ok(self.lock().reports.values().cloned().collect())
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        let mut inner = self.lock();
        inner.mutes.insert(mute.id.clone(), mute.clone());
        inner.marks.mark(|| Row::Mute(mute.id.as_str().into()));
        if inner.mutes.len() > mute::MOST {
            inner.drop_mute_that_ends_first();
        }
        Ok(())
    }

    async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        let mut inner = self.lock();
        inner.marks.mark(|| Row::Mute(id.into()));
        Ok(inner.mutes.remove(id).is_some())
    }

    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        let inner = self.lock();
        let active = inner.mutes.values().filter(|mute| mute.is_active(now));
        Ok(active.cloned().collect())
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        Ok(self.lock().recent(limit))
    }

    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable> {
        Ok(self.lock().search(search, after, limit))
    }

    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable> {
        Ok(self.lock().issue(key))
    }

    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable> {
        Ok(self.lock().expire(millis(before), millis(stale), now))
    }

    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let mut inner = self.lock();
        inner.marks.mark(|| Row::Kept(name.into()));
        let kept = inner.kept.entry(name.to_owned());
        Ok(kept.or_insert_with(|| value.to_vec()).clone())
    }
}

impl Inner {
    fn observe(&mut self, sighting: &Sighting<'_>, now: u64) -> Seen {
        let is_duplicate = sighting
            .event_id
            .is_some_and(|id| !self.event_ids.insert(id));
        let claims = self.queues.claims();
        let may_go = |key: &IssueKey| !claims.is_claimed_anywhere(key);
        let (mut seen, went) = self.issues.observe(sighting, is_duplicate, now, may_go);
        self.lost.evicted += went;
        for route in &mut seen.routes {
            route.is_claimed = claims.is_claimed(&seen.issue, route.route, now);
        }
        seen
    }

    fn claim(&mut self, parcel: &Parcel<'_>, now: u64) -> Claim {
        if let Some(word) = &parcel.word {
            let claims = self.queues.claims();
            let said = self
                .issues
                .said(&word.issue, word.route)
                .map(|said| said.at);
            if claims.is_claimed(&word.issue, word.route, now)
                || said.map(millis) != word.after.map(millis)
            {
                return Claim::Taken;
            }
            if parcel.robots.is_empty() {
                let told = self.issues.events_since_said(&word.issue, word.route);
                self.issues.tell(word, told, now);
                return Claim::Won;
            }
        }
        self.queues.put(parcel, now)
    }

    fn settle(&mut self, robot: &str, settlement: &Settlement<'_>, now: u64) {
        let Some(first_word) = self.queues.settle(robot, settlement, now) else {
            return;
        };
        if let End::Told { events } = settlement.end {
            self.issues.tell(&first_word, events, now);
        }
    }

    fn quiet(&self, route: RouteKey, before: u64, limit: usize) -> Vec<Quiet> {
        let claims = self.queues.claims();
        let mut quiet = self.issues.quiet(route, before);
        quiet.retain(|(key, _)| !claims.has(key, route));
        quiet.sort_by_key(|(key, last_seen)| (*last_seen, *key));
        quiet.truncate(limit);
        let quiet = quiet.into_iter().filter_map(|(key, last_seen)| {
            let issue = self.issue(&key)?;
            let on_route = issue.routes.iter().find(|on| on.route == route)?;
            Some(Quiet {
                said: on_route.said?,
                events_since_said: on_route.events_since_said,
                last_seen: moment(last_seen),
                issue,
            })
        });
        quiet.collect()
    }

    fn recent(&self, limit: usize) -> Vec<Issue> {
        let issues = self.issues.recent(limit);
        issues.map(|issue| self.with_claims(issue)).collect()
    }

    fn search(&self, search: &Search, after: Option<Cursor>, limit: usize) -> Found {
        let mut found = self.issues.search(search, after, limit);
        let issues = found.issues.into_iter();
        found.issues = issues.map(|issue| self.with_claims(issue)).collect();
        found
    }

    fn issue(&self, key: &IssueKey) -> Option<Issue> {
        let issue = self.issues.issue(key)?;
        Some(self.with_claims(issue))
    }

    fn with_claims(&self, mut issue: Issue) -> Issue {
        for route in &mut issue.routes {
            route.is_claimed = self.queues.claims().has(&issue.key, route.route);
        }
        issue
    }

    fn expire(&mut self, before: u64, stale: u64, now: SystemTime) -> Expired {
        self.lost.parcels += self.queues.expire(stale, millis(now));
        let claims = self.queues.claims();
        let may_go = |key: &IssueKey| !claims.is_claimed_anywhere(key);
        self.lost.issues += self.issues.expire(before, millis(now), may_go);
        let marks = &mut self.marks;
        self.mutes.retain(|id, mute| {
            let stays = mute.is_active(now);
            if !stays {
                marks.mark(|| Row::Mute(id.as_str().into()));
            }
            stays
        });
        self.budgets.retain(|name, budget| {
            let stays = !budget.is_idle(millis(now));
            if !stays {
                marks.mark(|| Row::Budget(name.clone()));
            }
            stays
        });
        std::mem::take(&mut self.lost)
    }

    fn drop_mute_that_ends_first(&mut self) {
        let until = |mute: &Mute| mute.until.map_or(u64::MAX, millis);
        let first = self.mutes.values().min_by_key(|mute| until(mute));
        if let Some(id) = first.map(|mute| mute.id.clone()) {
            self.mutes.remove(&id);
            self.marks.mark(|| Row::Mute(id.into()));
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, duration)
}

pub(crate) fn duration(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(LATEST)
}

pub(crate) fn moment(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.min(LATEST))
}

/// Tells one user from another, the same in every process (FNV-1a, its bits spread).
pub(crate) fn user_hash(user: &str) -> u64 {
    let hash = user.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(MIXER)
}

/// Half of an id or hash, mixed from both halves.
pub(crate) fn folded(id: [u8; 16]) -> u64 {
    let number = u128::from_be_bytes(id);
    let (high, low) = ((number >> 64) as u64, number as u64);
    high.wrapping_mul(MIXER) ^ low
}

/// The golden ratio in 64 bits, odd: multiplying by it spreads numbers that are close together.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A moment that every system's clock can hold, some 35 000 years from now.
const LATEST: u64 = 1 << 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IssueHash, Watch};

    crate::conformance::conformance_tests!(fresh());

    #[tokio::test]
    async fn a_full_store_lets_the_issues_longest_unseen_go_and_counts_them() {
        let store = Memory::with_room_for(100);

        for number in 0..250 {
            see(&store, number, at(number)).await;
        }
        see(&store, 150, at(250)).await;
        see(&store, 251, at(251)).await;

        let issues = store.recent(999).await.unwrap();
        assert_eq!(issues.len(), 100);
        let oldest = issues.iter().map(|issue| issue.first_seen).min();
        assert_eq!(oldest, Some(at(150)), "seen again, so it stays");
        let gone = store.expire(at(0), at(0), at(300)).await.unwrap();
        assert_eq!((gone.evicted, gone.issues), (151, 0));
        assert_eq!(see(&store, 3, at(301)).await.events, 1);
    }

    #[tokio::test]
    async fn an_issue_with_a_word_on_its_way_is_not_evicted() {
        let store = Memory::with_room_for(10);
        let seen = see(&store, 0, at(0)).await;
        let word = crate::Word {
            issue: seen.issue,
            route: RouteKey(1),
            after: None,
            silence: Duration::from_secs(60),
            is_burst_told: false,
            is_stopped: false,
        };
        let robots = ["oncall".to_owned()];
        let parcel = Parcel {
            id: "a",
            word: Some(word),
            robots: &robots,
            priority: 0,
            gather_until: None,
            late_after: Duration::from_secs(60),
            payload: b"",
        };
        store.claim(&parcel, at(0)).await.unwrap();

        for number in 1..50 {
            see(&store, number, at(number)).await;
        }

        assert_eq!(see(&store, 0, at(60)).await.events, 2);
    }

    async fn fresh() -> (Memory, ()) {
        (Memory::new(), ())
    }

    async fn see(store: &Memory, number: u64, now: SystemTime) -> Seen {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let sighting = Sighting {
            project: 1,
            hashes: &[IssueHash(hash)],
            event_id: None,
            user: None,
            release: None,
            environment: None,
            title: "title",
            level: 4,
            routes: &[Watch {
                route: RouteKey(1),
                events: None,
                users: None,
                burst: None,
            }],
        };
        store.observe(&sighting, now).await.unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

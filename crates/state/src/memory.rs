//! The store that lives in this process and ends with it.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use dashmap::DashMap;

use crate::{Issue, IssueKey, Mute, Said, Seen, Sighting, Store, Take, Unavailable};

/// A store in memory; one process, gone at exit.
#[derive(Debug, Default)]
pub struct Memory {
    issues: DashMap<IssueKey, Record>,
    aliases: DashMap<IssueKey, IssueKey>,
    event_ids: Mutex<RecentIds>,
    budgets: DashMap<Box<str>, VecDeque<SystemTime>>,
    mutes: DashMap<String, Mute>,
    user_hasher: RandomState,
}

impl Memory {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn is_duplicate(&self, event_id: Option<[u8; 16]>) -> bool {
        let Some(event_id) = event_id else {
            return false;
        };
        let mut event_ids = self
            .event_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !event_ids.insert(event_id)
    }

    /// Returns the last sight of the issue that is the last one to be kept, when there are more than [`ISSUES_KEPT`].
    fn oldest_kept(&self) -> SystemTime {
        if self.issues.len() <= ISSUES_KEPT {
            return SystemTime::UNIX_EPOCH;
        }
        let mut seen: Vec<SystemTime> = self.issues.iter().map(|issue| issue.last_seen).collect();
        let (_, oldest, _) =
            seen.select_nth_unstable_by(ISSUES_KEPT - 1, |one, other| other.cmp(one));
        *oldest
    }

    fn resolve(&self, sighting: &Sighting<'_>) -> IssueKey {
        let keys: Vec<IssueKey> = sighting
            .hashes
            .iter()
            .map(|hash| IssueKey::new(sighting.project, hash))
            .collect();
        let issue = keys
            .iter()
            .find_map(|key| self.aliases.get(key).map(|known| known.clone()))
            .unwrap_or_else(|| keys[0].clone());
        for key in keys {
            self.aliases.entry(key).or_insert_with(|| issue.clone());
        }
        issue
    }
}

#[async_trait]
impl Store for Memory {
    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        let issue = self.resolve(sighting);
        let is_duplicate = self.is_duplicate(sighting.event_id);
        let user = sighting.user.map(|user| self.user_hasher.hash_one(user));
        let mut record = self
            .issues
            .entry(issue.clone())
            .or_insert_with(|| Record::new(now));
        if !is_duplicate {
            record.count(user, sighting.title, now);
        }
        Ok(record.seen(issue, is_duplicate))
    }

    async fn claim(
        &self,
        issue: &IssueKey,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        let Some(mut record) = self.issues.get_mut(issue) else {
            return Ok(false);
        };
        if record.claimed_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        record.claimed_until = Some(now + lease);
        Ok(true)
    }

    async fn settle(&self, issue: &IssueKey, said: Option<&Said>) -> Result<(), Unavailable> {
        if let Some(mut record) = self.issues.get_mut(issue) {
            record.claimed_until = None;
            if let Some(said) = said {
                record.said = Some(*said);
                record.events_at_said = record.events;
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let mut sent = self.budgets.entry(bucket.into()).or_default();
        let is_past = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age >= MINUTE);
        while sent.front().is_some_and(is_past) {
            sent.pop_front();
        }
        let Some(oldest) = sent.front().filter(|_| sent.len() >= per_minute as usize) else {
            sent.push_back(now);
            return Ok(Take::Granted);
        };
        let age = now.duration_since(*oldest).unwrap_or_default();
        Ok(Take::After(MINUTE.saturating_sub(age)))
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        self.mutes.insert(mute.id.clone(), mute.clone());
        Ok(())
    }

    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        let mut mutes: Vec<Mute> = self
            .mutes
            .iter()
            .filter(|mute| mute.is_active(now))
            .map(|mute| mute.clone())
            .collect();
        mutes.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(mutes)
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        let mut issues: Vec<Issue> = self
            .issues
            .iter()
            .map(|entry| entry.value().issue(entry.key().clone()))
            .collect();
        issues.sort_by_key(|issue| std::cmp::Reverse(issue.last_seen));
        issues.truncate(limit);
        Ok(issues)
    }

    async fn expire(&self, before: SystemTime) -> Result<usize, Unavailable> {
        let known = self.issues.len();
        let before = before.max(self.oldest_kept());
        self.issues.retain(|_, record| record.last_seen >= before);
        self.aliases
            .retain(|_, issue| self.issues.contains_key(issue));
        self.mutes.retain(|_, mute| mute.is_active(before));
        Ok(known.saturating_sub(self.issues.len()))
    }
}

/// The last 250 000 to 500 000 event ids: two generations, the older one dropped when the younger one is full.
#[derive(Debug, Default)]
struct RecentIds {
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl RecentIds {
    /// Remembers an id; false when it was known.
    fn insert(&mut self, event_id: [u8; 16]) -> bool {
        if self.old.contains(&event_id) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(event_id)
    }
}

#[derive(Debug)]
struct Record {
    title: Box<str>,
    events: u64,
    events_at_said: u64,
    users: HashSet<u64>,
    first_seen: SystemTime,
    last_seen: SystemTime,
    said: Option<Said>,
    claimed_until: Option<SystemTime>,
}

impl Record {
    fn new(now: SystemTime) -> Self {
        Self {
            title: Box::default(),
            events: 0,
            events_at_said: 0,
            users: HashSet::new(),
            first_seen: now,
            last_seen: now,
            said: None,
            claimed_until: None,
        }
    }

    fn count(&mut self, user: Option<u64>, title: &str, now: SystemTime) {
        self.events += 1;
        self.last_seen = self.last_seen.max(now);
        if *self.title != *title {
            self.title = title.into();
        }
        if let Some(user) = user
            && self.users.len() < Seen::USERS_COUNTED
        {
            self.users.insert(user);
        }
    }

    fn seen(&self, issue: IssueKey, is_duplicate: bool) -> Seen {
        Seen {
            issue,
            events: self.events,
            events_since_said: self.events - self.events_at_said,
            users: self.users.len() as u64,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            said: self.said,
            is_duplicate,
        }
    }

    fn issue(&self, key: IssueKey) -> Issue {
        Issue {
            key,
            title: self.title.to_string(),
            events: self.events,
            users: self.users.len() as u64,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            said: self.said,
        }
    }
}

/// How many issues [`Store::expire`] leaves; the ones longest unseen go first.
const ISSUES_KEPT: usize = 200_000;

/// How many event ids make a generation of [`RecentIds`].
const GENERATION: usize = 250_000;

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_an_event_id_once() {
        let store = Memory::new();
        let hashes = ["a".to_owned()];

        let first = store
            .observe(&sighting(&hashes, Some(1)), at(0))
            .await
            .unwrap();
        let again = store
            .observe(&sighting(&hashes, Some(1)), at(1))
            .await
            .unwrap();
        let other = store
            .observe(&sighting(&hashes, Some(2)), at(2))
            .await
            .unwrap();

        assert!(!first.is_duplicate && again.is_duplicate && !other.is_duplicate);
        assert_eq!((again.events, other.events), (1, 2));
        assert_eq!((other.first_seen, other.last_seen), (at(0), at(2)));
    }

    #[tokio::test]
    async fn events_without_an_id_all_count() {
        let store = Memory::new();
        let hashes = ["a".to_owned()];

        store
            .observe(&sighting(&hashes, None), at(0))
            .await
            .unwrap();
        let seen = store
            .observe(&sighting(&hashes, None), at(0))
            .await
            .unwrap();

        assert_eq!(seen.events, 2);
    }

    #[tokio::test]
    async fn any_known_hash_names_the_issue() {
        let store = Memory::new();
        let (first, both, second) = (
            ["a".to_owned()],
            ["b".to_owned(), "a".to_owned()],
            ["b".to_owned()],
        );

        store
            .observe(&sighting(&first, Some(1)), at(0))
            .await
            .unwrap();
        store
            .observe(&sighting(&both, Some(2)), at(0))
            .await
            .unwrap();
        let seen = store
            .observe(&sighting(&second, Some(3)), at(0))
            .await
            .unwrap();

        assert_eq!(seen.issue, IssueKey::new("1", "a"));
        assert_eq!(seen.events, 3);
    }

    #[tokio::test]
    async fn counts_distinct_users() {
        let store = Memory::new();
        let hashes = ["a".to_owned()];

        for (id, user) in [(1, "u1"), (2, "u2"), (3, "u1")] {
            let sighting = Sighting {
                user: Some(user),
                ..sighting(&hashes, Some(id))
            };
            store.observe(&sighting, at(0)).await.unwrap();
        }

        assert_eq!(store.recent(9).await.unwrap()[0].users, 2);
    }

    #[tokio::test]
    async fn one_caller_holds_the_claim_until_lease_or_settlement() {
        let store = Memory::new();
        let hashes = ["a".to_owned()];
        let issue = store
            .observe(&sighting(&hashes, Some(1)), at(0))
            .await
            .unwrap()
            .issue;
        let lease = Duration::from_secs(30);

        assert!(store.claim(&issue, lease, at(0)).await.unwrap());
        assert!(!store.claim(&issue, lease, at(29)).await.unwrap());
        assert!(store.claim(&issue, lease, at(30)).await.unwrap());
        store.settle(&issue, None).await.unwrap();
        assert!(store.claim(&issue, lease, at(31)).await.unwrap());
    }

    #[tokio::test]
    async fn settling_starts_a_new_count() {
        let store = Memory::new();
        let hashes = ["a".to_owned()];
        let said = Said {
            at: at(5),
            silence: Duration::from_secs(60),
        };

        let issue = store
            .observe(&sighting(&hashes, Some(1)), at(0))
            .await
            .unwrap()
            .issue;
        store.settle(&issue, Some(&said)).await.unwrap();
        let seen = store
            .observe(&sighting(&hashes, Some(2)), at(6))
            .await
            .unwrap();

        assert_eq!(seen.said, Some(said));
        assert_eq!((seen.events, seen.events_since_said), (2, 1));
    }

    #[tokio::test]
    async fn never_grants_more_than_the_budget_in_any_minute() {
        let store = Memory::new();
        let mut granted = Vec::new();

        for second in 0..300 {
            if store.take("oncall", 3, at(second)).await.unwrap() == Take::Granted {
                granted.push(second);
            }
        }

        assert_eq!(granted.len(), 15);
        assert!(granted.windows(4).all(|four| four[3] - four[0] >= 60));
    }

    #[tokio::test]
    async fn says_when_the_budget_opens_again() {
        let store = Memory::new();

        store.take("oncall", 1, at(0)).await.unwrap();

        let refused = store.take("oncall", 1, at(45)).await.unwrap();
        assert_eq!(refused, Take::After(Duration::from_secs(15)));
    }

    #[tokio::test]
    async fn expiry_forgets_quiet_issues_and_their_hashes() {
        let store = Memory::new();
        let (quiet, live) = (["a".to_owned()], ["b".to_owned()]);
        store
            .observe(&sighting(&quiet, Some(1)), at(0))
            .await
            .unwrap();
        store
            .observe(&sighting(&live, Some(2)), at(10))
            .await
            .unwrap();

        assert_eq!(store.expire(at(5)).await.unwrap(), 1);

        let left = store.recent(9).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(store.aliases.len(), 1);
    }

    #[tokio::test]
    async fn ended_mutes_are_not_listed() {
        let store = Memory::new();
        let mute = Mute {
            id: "1".to_owned(),
            issue: IssueKey::new("1", "a"),
            until: Some(at(10)),
            by: "cli".to_owned(),
            comment: String::new(),
        };

        store.mute(&mute).await.unwrap();

        assert_eq!(store.mutes(at(9)).await.unwrap(), [mute]);
        assert_eq!(store.mutes(at(10)).await.unwrap(), []);
    }

    #[test]
    fn remembers_at_least_one_generation_of_ids() {
        let mut ids = RecentIds::default();
        let id = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            id
        };

        for number in 0..600_000 {
            assert!(ids.insert(id(number)));
        }

        assert!(!ids.insert(id(600_000 - 250_000)));
        assert!(ids.young.len() + ids.old.len() <= 2 * GENERATION);
    }

    fn sighting(hashes: &[String], event_id: Option<u8>) -> Sighting<'_> {
        Sighting {
            project: "1",
            hashes,
            event_id: event_id.map(|id| [id; 16]),
            user: None,
            title: "title",
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

//! The outbox in memory: one queue per robot, and which words are on their way.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::rows::StoredRow;
use super::issues::Issues;
use super::unsaved::{Marks, Row};
use super::{duration, moment};
use crate::{
    Claim, End, Gathered, IssueKey, Other, Parcel, Pending, RouteKey, Settlement, Waiting, Word,
    outbox,
};

/// Every robot's queue.
#[derive(Debug, Default)]
pub(super) struct Queues {
    robots: HashMap<Box<str>, Queue>,
    claims: Claims,
    bytes: usize,
    put: u64,
    marks: Marks,
}

/// Which words are on their way, or rest after having been given up.
#[derive(Debug, Default)]
pub(super) struct Claims {
    words: HashMap<(IssueKey, RouteKey), Held>,
    /// How many of them each issue has.
    issues: HashMap<IssueKey, u32>,
    marks: Marks,
}

#[derive(Debug, Default)]
struct Queue {
    alone: BTreeMap<Order, Stored>,
    gathered: BTreeMap<Order, Stored>,
    /// When each gathered one is due.
    due: BTreeSet<(u64, Order)>,
    ids: HashMap<Arc<str>, Order>,
    missed: u64,
    leader: Option<(Box<str>, u64)>,
}

/// Priority, then when it was put there, then which came first.
type Order = (u8, u64, u64);

#[derive(Debug)]
struct Stored {
    id: Arc<str>,
    word: Option<Word>,
    late_after: Duration,
    gather_until: Option<u64>,
    payload: Arc<[u8]>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::memory) struct Held {
    /// Robots that have not settled it.
    left: usize,
    is_told: bool,
    rests_until: u64,
}

impl Queues {
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) fn put(&mut self, parcel: &Parcel<'_>, now: u64) -> Claim {
        let has_it = |robot: &String| self.queue(robot).is_some_and(|queue| queue.has(parcel.id));
        if parcel.robots.iter().any(has_it) {
            return Claim::Taken;
        }
        let payload: Arc<[u8]> = parcel.payload.into();
        let mut queued = 0;
        for robot in parcel.robots {
            let is_full = self.bytes + payload.len() > outbox::BYTES;
            let queue = self.robots.entry(robot.as_str().into()).or_default();
            if is_full || queue.len() >= outbox::PARCELS {
                queue.missed += 1;
                self.marks.mark(|| Row::Missed(robot.as_str().into()));
                continue;
            }
            self.marks.mark(|| parcel_row(robot, parcel.id));
            self.put += 1;
            self.bytes += payload.len();
            let stored = Stored {
                id: parcel.id.into(),
                word: parcel.word,
                late_after: parcel.late_after,
                gather_until: parcel.gather_until.map(super::millis),
                payload: Arc::clone(&payload),
            };
            queue.add((parcel.priority, now, self.put), stored);
            queued += 1;
        }
        if let Some(word) = parcel.word.filter(|_| queued > 0) {
            self.claims.hold(&word, queued);
        }
        match queued {
            0 if !parcel.robots.is_empty() => Claim::Full,
            _ => Claim::Won,
        }
    }

    pub(super) fn lead(&mut self, robot: &str, holder: &str, lease: u64, now: u64) -> bool {
        let queue = self.robots.entry(robot.into()).or_default();
        let is_free = queue
            .leader
            .as_ref()
            .is_none_or(|(leader, until)| **leader == *holder || now >= *until);
        if is_free {
            queue.leader = Some((holder.into(), now.saturating_add(lease)));
        }
        is_free
    }

    pub(super) fn resign(&mut self, robot: &str, holder: &str) {
        if let Some(queue) = self.robots.get_mut(robot) {
            queue.leader = queue
                .leader
                .take()
                .filter(|(leader, _)| **leader != *holder);
        }
    }

    pub(super) fn pending(&self, robot: &str, limit: usize, issues: &Issues) -> Pending {
        let Some(queue) = self.queue(robot) else {
            return Pending::default();
        };
        let alone = queue.alone.iter().take(limit);
        Pending {
            alone: alone
                .map(|(at, stored)| waiting(at, stored, issues))
                .collect(),
            alone_total: queue.alone.len(),
            gathered_total: queue.gathered.len(),
            gathered_until: queue.due.first().map(|(until, _)| moment(*until)),
            missed: queue.missed,
        }
    }

    pub(super) fn gather(&mut self, robot: &str, ids: &[String], until: u64) {
        let Some(queue) = self.robots.get_mut(robot) else {
            return;
        };
        for id in ids {
            let order = queue.ids.get(id.as_str()).copied();
            let stored = order.and_then(|order| Some((order, queue.alone.remove(&order)?)));
            if let Some((order, mut stored)) = stored {
                stored.gather_until = Some(until);
                queue.add(order, stored);
                self.marks.mark(|| parcel_row(robot, id));
            }
        }
    }

    pub(super) fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: u64,
        issues: &Issues,
    ) -> Gathered {
        let Some(queue) = self.queue(robot) else {
            return Gathered::default();
        };
        let due = queue.due.range(..=(now, LAST));
        let orders: BTreeSet<Order> = due.map(|(_, order)| *order).collect();
        let mut due = orders
            .iter()
            .filter_map(|order| Some((order, queue.gathered.get(order)?)));
        let named = due.by_ref().take(named);
        let named = named
            .map(|(order, stored)| waiting(order, stored, issues))
            .collect();
        let others = due.map(|(_, stored)| Other {
            id: stored.id.to_string(),
            events: stored
                .word
                .map_or(0, |word| issues.events_since_said(&word.issue, word.route)),
        });
        Gathered {
            others: others.collect(),
            named,
        }
    }

    /// Takes a message out; returns its word when this robot is the first to tell it.
    pub(super) fn settle(
        &mut self,
        robot: &str,
        settlement: &Settlement<'_>,
        now: u64,
    ) -> Option<Word> {
        let stored = self.robots.get_mut(robot)?.remove(settlement.id)?;
        self.marks.mark(|| parcel_row(robot, settlement.id));
        self.bytes -= stored.payload.len();
        let word = stored.word?;
        self.claims
            .settle(&word, settlement.end, now)
            .then_some(word)
    }

    /// Lets a word rest that waits in no queue here, or ends its rest.
    pub(super) fn rest(&mut self, issue: &IssueKey, route: RouteKey, until: Option<u64>) {
        let word = (*issue, route);
        let held = self.claims.words.get(&word);
        if held.is_some_and(|held| held.left > 0) {
            return;
        }
        match until {
            Some(rests_until) => {
                let held = Held {
                    left: 0,
                    is_told: false,
                    rests_until,
                };
                self.claims.insert(word, held);
            }
            None if held.is_some() => self.claims.release(&word),
            None => {}
        }
    }

    pub(super) fn forget_missed(&mut self, robot: &str, missed: u64) {
        if let Some(queue) = self.robots.get_mut(robot) {
            queue.missed = queue.missed.saturating_sub(missed);
            self.marks.mark(|| Row::Missed(robot.into()));
        }
    }

    /// Drops what was put or gathered for a moment before `stale`, and forgets rests that are over.
    pub(super) fn expire(&mut self, stale: u64, now: u64) -> usize {
        let mut gone = 0;
        for (robot, queue) in &mut self.robots {
            for stored in queue.take_stale(stale) {
                gone += 1;
                self.marks.mark(|| parcel_row(robot, &stored.id));
                self.bytes -= stored.payload.len();
                if let Some(word) = stored.word {
                    let rest = Duration::ZERO;
                    self.claims.settle(&word, End::GivenUp { rest }, now);
                }
            }
        }
        self.claims.forget_rested(now);
        gone
    }

    fn queue(&self, robot: &str) -> Option<&Queue> {
        self.robots.get(robot)
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.alone.len() + self.gathered.len()
    }

    fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    fn add(&mut self, order: Order, stored: Stored) {
        self.ids.insert(Arc::clone(&stored.id), order);
        match stored.gather_until {
            Some(until) => {
                self.due.insert((until, order));
                self.gathered.insert(order, stored);
            }
            None => drop(self.alone.insert(order, stored)),
        }
    }

    fn remove(&mut self, id: &str) -> Option<Stored> {
        let order = self.ids.remove(id)?;
        if let Some(stored) = self.alone.remove(&order) {
            return Some(stored);
        }
        let stored = self.gathered.remove(&order)?;
        self.due
            .remove(&(stored.gather_until.unwrap_or_default(), order));
        Some(stored)
    }

    fn take_stale(&mut self, stale: u64) -> Vec<Stored> {
        let both = self.alone.iter().chain(&self.gathered);
        let old = both.filter(|((_, put, _), stored)| {
            (*put).max(stored.gather_until.unwrap_or_default()) < stale
        });
        let ids: Vec<Arc<str>> = old.map(|(_, stored)| Arc::clone(&stored.id)).collect();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }
}

impl Claims {
    /// Returns whether another word about an issue has to wait.
    pub(super) fn is_claimed(&self, issue: &IssueKey, route: RouteKey, now: u64) -> bool {
        let held = self.words.get(&(*issue, route));
        held.is_some_and(|held| held.left > 0 || now < held.rests_until)
    }

    pub(super) fn has(&self, issue: &IssueKey, route: RouteKey) -> bool {
        self.words.contains_key(&(*issue, route))
    }

    pub(super) fn is_claimed_anywhere(&self, issue: &IssueKey) -> bool {
        self.issues.contains_key(issue)
    }

    fn is_told(&self, word: &Word) -> bool {
        let held = self.words.get(&(word.issue, word.route));
        held.is_some_and(|held| held.is_told)
    }

    fn hold(&mut self, word: &Word, robots: usize) {
        let held = Held {
            left: robots,
            is_told: false,
            rests_until: 0,
        };
        self.insert((word.issue, word.route), held);
    }

    fn insert(&mut self, word: (IssueKey, RouteKey), held: Held) {
        self.marks.mark(|| Row::Claim(word.0, word.1));
        if self.words.insert(word, held).is_none() {
            *self.issues.entry(word.0).or_default() += 1;
        }
    }

    /// Notes that a robot is done with a word; true when it is the first to tell it.
    fn settle(&mut self, word: &Word, end: End, now: u64) -> bool {
        let Some(held) = self.words.get_mut(&(word.issue, word.route)) else {
            return false;
        };
        self.marks.mark(|| Row::Claim(word.issue, word.route));
        held.left = held.left.saturating_sub(1);
        let is_told = matches!(end, End::Told { .. });
        let is_first = is_told && !held.is_told;
        held.is_told |= is_told;
        if let End::GivenUp { rest } = end {
            held.rests_until = now.saturating_add(duration(rest));
        }
        if held.left == 0 && (held.is_told || held.rests_until <= now) {
            self.release(&(word.issue, word.route));
        }
        is_first
    }

    fn forget_rested(&mut self, now: u64) {
        let rested = |held: &Held| held.left == 0 && held.rests_until <= now;
        let rested: Vec<_> = self
            .words
            .iter()
            .filter(|(_, held)| rested(held))
            .map(|(word, _)| *word)
            .collect();
        rested.iter().for_each(|word| self.release(word));
    }

    fn release(&mut self, word: &(IssueKey, RouteKey)) {
        self.marks.mark(|| Row::Claim(word.0, word.1));
        self.words.remove(word);
        if let Some(count) = self.issues.get_mut(&word.0) {
            *count -= 1;
            if *count == 0 {
                self.issues.remove(&word.0);
            }
        }
    }
}

fn waiting(order: &Order, stored: &Stored, issues: &Issues) -> Waiting {
    let (priority, since, _) = *order;
    Waiting {
        id: stored.id.to_string(),
        priority,
        since: moment(since),
        late_after: stored.late_after,
        payload: stored.payload.to_vec(),
        tally: stored
            .word
            .and_then(|word| issues.tally(&word.issue, word.route)),
    }
}

fn parcel_row(robot: &str, id: &str) -> Row {
    Row::Parcel(robot.into(), id.into())
}

/// Comes after every order.
const LAST: Order = (u8::MAX, u64::MAX, u64::MAX);

//! What memory does beside a shared store: it knows what this process saw there, and gives back what was said without it.

use std::time::{Duration, SystemTime};

use super::{Inner, Memory, millis, moment};
use crate::outbox::Owned;
use crate::{Issue, IssueKey, Mute, RouteKey, Said, Seen, Sighting};

impl Memory {
    /// Learns what the shared store knows of an issue, the event just counted there included. Returns the words that only
    /// memory knows of, newer than those the shared store knows.
    pub(crate) fn learn(
        &self,
        sighting: &Sighting<'_>,
        seen: &Seen,
        now: SystemTime,
    ) -> Vec<(RouteKey, Said)> {
        let mut hashes = Vec::with_capacity(1 + sighting.hashes.len());
        hashes.push(seen.issue.hash);
        hashes.extend(
            sighting
                .hashes
                .iter()
                .filter(|hash| **hash != seen.issue.hash),
        );
        let sighting = Sighting {
            hashes: &hashes,
            ..*sighting
        };
        let mut inner = self.lock();
        inner.observe(&sighting, millis(now));
        for on in &seen.routes {
            let until = on.is_claimed.then(|| millis(now + CLAIMED));
            inner.queues.rest(&seen.issue, on.route, until);
        }
        inner.issues.learn(seen)
    }

    /// Lets a word about an issue rest until a moment, because it is on its way elsewhere; `None` ends the rest.
    pub(crate) fn rest(&self, issue: &IssueKey, route: RouteKey, until: Option<SystemTime>) {
        self.lock().queues.rest(issue, route, until.map(millis));
    }

    /// Adds what was counted of an issue elsewhere.
    #[cfg(test)]
    pub(crate) fn add(&self, counted: &crate::redis::Counted) {
        self.lock().issues.count_elsewhere(counted);
    }

    /// Returns the last word about an issue on a route.
    pub(crate) fn said(&self, issue: &IssueKey, route: RouteKey) -> Option<Said> {
        self.lock().issues.said(issue, route)
    }

    /// Returns every word said since a moment.
    pub(crate) fn said_since(&self, since: SystemTime) -> Vec<(Issue, RouteKey, Said)> {
        let inner = self.lock();
        let said = inner.issues.said_since(millis(since)).into_iter();
        said.filter_map(|(key, route, said)| Some((inner.issue(&key)?, route, said)))
            .collect()
    }

    /// Returns everything that waits in the outbox, robots of one message together.
    pub(crate) fn parcels(&self) -> Vec<Owned> {
        self.lock().queues.parcels()
    }

    /// Returns every kept value.
    pub(crate) fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.lock();
        let kept = inner.kept.iter();
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Puts other mutes in the place of those there are.
    pub(crate) fn replace_mutes(&self, mutes: Vec<Mute>) {
        let mutes = mutes.into_iter();
        self.lock().mutes = mutes.map(|mute| (mute.id.clone(), mute)).collect();
    }

    /// Returns the messages taken from budgets since a moment: bucket and time.
    pub(crate) fn taken_since(&self, since: SystemTime) -> Vec<(String, SystemTime)> {
        let inner: &Inner = &self.lock();
        let since = millis(since);
        let budgets = inner.budgets.iter();
        budgets
            .flat_map(|(bucket, budget)| {
                let taken = budget.taken().filter(move |at| *at >= since);
                taken.map(|at| (bucket.to_string(), moment(at)))
            })
            .collect()
    }
}

/// How long a word that is on its way elsewhere is left to others.
pub(crate) const CLAIMED: Duration = Duration::from_secs(300);

//! Requests on which Sentry breaks by itself (500): each steps aside for a while, so that the next shows whether it is the
//! request or Sentry.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use spool::Claim;

/// The requests that stepped aside, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Aside {
    held: Vec<Held>,
    troubles: HashMap<u64, Trouble>,
    /// Requests that Sentry took.
    taken: u64,
}

#[derive(Debug)]
struct Held {
    project: Option<u64>,
    until: Instant,
    _claim: Claim,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    failures: u32,
    /// Requests that Sentry had taken when it first broke on this one.
    taken: u64,
}

impl Aside {
    /// Lets those go back that have waited long enough: each has its old place in the queue.
    pub(super) fn let_back(&mut self, now: Instant) {
        self.held.retain(|held| held.until > now);
    }

    /// Whether so many of a project stand aside that it is Sentry, and not they: then the others wait too.
    pub(super) fn is_full(&self, project: Option<u64>) -> bool {
        let held = self.held.iter().filter(|held| held.project == project);
        held.count() >= MAX_HELD
    }

    /// Returns when the next one goes back.
    pub(super) fn next(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.until).min()
    }

    /// Whether one more failure of a request is the last: it had several, over some time, while Sentry took others.
    pub(super) fn is_last_try(&self, sequence: u64) -> bool {
        let trouble = self.troubles.get(&sequence);
        trouble.is_some_and(|trouble| trouble.failures + 1 >= TRIES && self.taken > trouble.taken)
    }

    /// Holds a request on which Sentry broke, longer each time.
    pub(super) fn hold(&mut self, claim: Claim, project: Option<u64>, now: Instant) {
        let trouble = self.troubles.entry(claim.sequence()).or_insert(Trouble {
            failures: 0,
            taken: self.taken,
        });
        trouble.failures += 1;
        let wait = FIRST_WAIT
            .saturating_mul(1 << (trouble.failures - 1).min(10))
            .min(LONGEST_WAIT);
        self.held.push(Held {
            project,
            until: now + wait,
            _claim: claim,
        });
    }

    /// Notes that a request has ended, and whether Sentry took it.
    pub(super) fn ended(&mut self, sequence: u64, is_taken: bool) {
        self.troubles.remove(&sequence);
        self.taken += u64::from(is_taken);
    }
}

/// How often a request is tried on which Sentry breaks by itself: over two minutes.
const TRIES: u32 = 8;

/// How long a request stands aside at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Requests of one project that stand aside at once.
const MAX_HELD: usize = 8;

#[cfg(test)]
mod tests {
    use http::Method;
    use http::uri::PathAndQuery;
    use spool::{Body, Framing, Head, Lane, Queue};

    use super::*;

    async fn claim(queue: &Queue) -> Claim {
        let head = Head {
            lane: Lane::default(),
            method: Method::POST,
            target: PathAndQuery::from_static("/"),
            fields: Vec::new(),
            framing: Framing::Length,
            received_at: std::time::SystemTime::now(),
            event_id: None,
            note: None,
        };
        queue.append(head, Body::Memory(Vec::new())).await.unwrap()
    }

    #[tokio::test]
    async fn is_tried_for_minutes_and_given_up_only_where_others_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(spool::Config::new(directory.path().join("spool"))).unwrap();
        let (mut aside, mut now) = (Aside::default(), Instant::now());
        let start = now;
        let mut claim = claim(&queue).await;
        let sequence = claim.sequence();

        for _ in 1..TRIES {
            assert!(!aside.is_last_try(sequence));
            aside.hold(claim, None, now);
            now = aside.next().unwrap();
            aside.let_back(now);
            claim = queue.claim(|_| true).unwrap();
        }
        assert_eq!(
            now - start,
            Duration::from_secs(1 + 2 + 4 + 8 + 16 + 32 + 60)
        );
        assert!(!aside.is_last_try(sequence), "nothing else was taken");
        aside.ended(sequence + 1, true);

        assert!(aside.is_last_try(sequence));
        aside.ended(sequence, false);
        assert!(!aside.is_last_try(sequence));
    }

    #[tokio::test]
    async fn a_project_of_which_many_stand_aside_waits() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(spool::Config::new(directory.path().join("spool"))).unwrap();
        let (mut aside, now) = (Aside::default(), Instant::now());

        for _ in 0..MAX_HELD {
            assert!(!aside.is_full(Some(1)));
            aside.hold(claim(&queue).await, Some(1), now);
        }

        assert!(aside.is_full(Some(1)) && !aside.is_full(Some(2)));
        assert!(queue.claim(|_| true).is_none());
        aside.let_back(aside.next().unwrap());
        assert!(!aside.is_full(Some(1)));
    }
}

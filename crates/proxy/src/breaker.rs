//! Knows whether Sentry is down, so that not every request has to find it out: then it goes into the spool at once.
//!
//! After a few failures in a row the breaker opens; from then on one request at a time tries again, at intervals that grow to
//! ten seconds, until one succeeds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known of one upstream, for all threads.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Looked at before the lock is taken.
    is_troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// When the next request may try; `None` while the breaker is closed.
    next_try: Option<Instant>,
    since: Option<Instant>,
    /// Whether a trial is under way.
    is_trying: bool,
}

/// How an upstream has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    /// It had been open for so long.
    Closed(Duration),
}

impl Breaker {
    /// Returns whether there were failures since the last success. What is usual costs all threads one read.
    pub(crate) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Relaxed)
    }

    /// Returns whether a request may be sent now. Through an open breaker goes one, as a trial, when it is time.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        if !self.is_troubled() {
            return true;
        }
        let mut state = self.lock();
        match state.next_try {
            None => true,
            Some(next_try) if next_try <= now => {
                state.next_try = Some(now + TRIAL);
                state.is_trying = true;
                true
            }
            Some(_) => false,
        }
    }

    /// Returns when [`Breaker::allows`] will allow a request; `None` for now.
    pub(crate) fn next_try(&self, now: Instant) -> Option<Instant> {
        if !self.is_troubled() {
            return None;
        }
        self.lock().next_try.filter(|next_try| *next_try > now)
    }

    /// Returns since when it has been open, counted from the first failure; `None` while it is closed.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        if !self.is_troubled() {
            return None;
        }
        let state = self.lock();
        state.next_try.and(state.since)
    }

    /// Notes that Sentry has answered.
    pub(crate) fn succeeded(&self, now: Instant) -> Option<Change> {
        if !self.is_troubled() {
            return None;
        }
        let state = std::mem::take(&mut *self.lock());
        self.is_troubled.store(false, Ordering::Relaxed);
        let since = state.next_try.and(state.since)?;
        Some(Change::Closed(now.saturating_duration_since(since)))
    }

    /// Notes that Sentry has not answered. `chance` between 0 and 1 spreads the trials of several proxies.
    pub(crate) fn failed(&self, now: Instant, chance: f64) -> Option<Change> {
        let mut state = self.lock();
        let is_open = state.next_try.is_some();
        if is_open && !state.is_trying {
            // It was under way when the breaker opened, and says nothing new.
            return None;
        }
        self.is_troubled.store(true, Ordering::Relaxed);
        state.is_trying = false;
        state.failures = state.failures.saturating_add(1);
        state.since.get_or_insert(now);
        let tries = state.failures.checked_sub(PATIENCE)?;
        let wait = FIRST_WAIT
            .saturating_mul(1 << tries.min(10))
            .min(LONGEST_WAIT);
        state.next_try = Some(now + wait.mul_f64(0.5 + chance / 2.0));
        (!is_open).then_some(Change::Opened)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures in a row before the breaker opens.
const PATIENCE: u32 = 3;

/// How long a trial keeps others from trying.
const TRIAL: Duration = Duration::from_secs(5);

/// How long to wait for the first trial, and at most: as long as nginx by default, so that what waits goes out soon.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_some_failures_and_tries_less_and_less_often() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert_eq!(
            (breaker.failed(start, 1.0), breaker.failed(start, 1.0)),
            (None, None)
        );
        assert!(breaker.allows(start));

        assert_eq!(breaker.open_since(), None);
        assert_eq!(breaker.failed(start, 1.0), Some(Change::Opened));
        assert_eq!(breaker.open_since(), Some(start));
        let mut now = start;
        for wait in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let next = now + Duration::from_millis(wait);
            assert_eq!(breaker.next_try(now), Some(next), "{wait}");
            assert!(!breaker.allows(next - Duration::from_millis(1)));
            assert!(breaker.allows(next));
            assert!(!breaker.allows(next), "only one tries");
            now = next;
            assert_eq!(breaker.failed(now, 1.0), None);
        }
    }

    #[test]
    fn many_failures_at_once_are_one() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..100 {
            breaker.failed(now, 1.0);
        }

        assert_eq!(breaker.next_try(now), Some(now + FIRST_WAIT));
    }

    #[test]
    fn closes_at_the_first_success() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            breaker.failed(now, 0.0);
        }

        let later = now + Duration::from_secs(9);
        assert_eq!(
            breaker.succeeded(later),
            Some(Change::Closed(Duration::from_secs(9)))
        );

        assert_eq!(breaker.open_since(), None);
        assert!(breaker.allows(later));
        assert_eq!(breaker.succeeded(later), None);
        assert_eq!(breaker.failed(later, 0.0), None);
    }

    #[test]
    fn a_trial_that_never_ends_does_not_keep_others_for_ever() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            breaker.failed(now, 0.0);
        }

        let trial = now + LONGEST_WAIT;
        assert!(breaker.allows(trial));
        assert!(!breaker.allows(trial + TRIAL / 2));
        assert!(breaker.allows(trial + TRIAL));
    }
}

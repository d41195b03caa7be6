//! Whether Sentry has been late lately: then no client waits for it, because most SDKs send one request at a time and lose what
//! queues up behind.

use std::sync::atomic::{AtomicU32, Ordering};

/// The share of answers that were late, the last ones counting most; of one upstream, for all threads.
#[derive(Debug, Default)]
pub(crate) struct Lateness(AtomicU32);

impl Lateness {
    /// Notes an answer, or that one is overdue; one that comes late after that counts twice.
    pub(crate) fn note(&self, is_late: bool) {
        // What is usual costs all threads one read.
        if !is_late && self.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        let fresh = if is_late { ONE / WEIGHT } else { 0 };
        // Fails never, as there is always a next value.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |share| {
                Some(share - share.div_ceil(WEIGHT) + fresh)
            });
    }

    /// Returns whether to expect the next answer to be late: after each late one, and for longer where many are.
    pub(crate) fn is_usual(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ONE / WEIGHT
    }
}

/// All answers were late.
const ONE: u32 = 1 << 16;

/// The last answer counts for one part of so many.
const WEIGHT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_counts_until_the_next() {
        let lateness = Lateness::default();
        assert!(!lateness.is_usual());

        lateness.note(true);
        assert!(lateness.is_usual());
        lateness.note(false);
        assert!(!lateness.is_usual());
    }

    #[test]
    fn where_every_other_answer_is_late_nobody_waits() {
        let lateness = Lateness::default();
        for _ in 0..10 {
            lateness.note(true);
            lateness.note(false);
        }

        assert!(lateness.is_usual());
        (0..5).for_each(|_| lateness.note(false));
        assert!(!lateness.is_usual());
    }

    #[test]
    fn where_one_in_ten_is_late_most_are_waited_for() {
        let lateness = Lateness::default();
        let waits = (0..1000).filter(|number| {
            let waits = !lateness.is_usual();
            lateness.note(number % 10 == 0);
            waits
        });

        assert!(waits.count() > 800);
    }
}

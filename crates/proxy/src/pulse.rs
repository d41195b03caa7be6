//! A sign of life of each forwarding thread, for a watchdog that would restart the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts that go up ten times a second, one of each forwarding thread; and what they were when they were last looked at.
#[derive(Debug, Clone)]
pub struct Pulse {
    beats: Arc<[AtomicU64]>,
    seen: Vec<Option<u64>>,
}

/// The count of one thread.
#[derive(Debug)]
pub(crate) struct Beat {
    beats: Arc<[AtomicU64]>,
    thread: usize,
}

impl Pulse {
    pub(crate) fn new(threads: usize) -> Pulse {
        Pulse {
            beats: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            seen: vec![None; threads],
        }
    }

    pub(crate) fn of_thread(&self, thread: usize) -> Beat {
        Beat {
            beats: Arc::clone(&self.beats),
            thread,
        }
    }

    /// Returns the threads, from 0, that have stood still since this was last called.
    ///
    /// A thread moves many times a second, so ask no more often than twice a second. The first call finds none.
    pub fn still(&mut self) -> Vec<usize> {
        let mut still = Vec::new();
        for (thread, seen) in self.seen.iter_mut().enumerate() {
            let now = self.beats[thread].load(Ordering::Relaxed);
            if *seen == Some(now) {
                still.push(thread);
            }
            *seen = Some(now);
        }
        still
    }
}

impl Beat {
    /// Says that the thread moves.
    pub(crate) fn beat(&self) {
        self.beats[self.thread].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_still_is_named_until_it_moves_again() {
        let mut pulse = Pulse::new(2);
        let (first, second) = (pulse.of_thread(0), pulse.of_thread(1));

        let at_start = pulse.still();
        first.beat();
        let second_stands = pulse.still();
        let both_stand = pulse.still();
        second.beat();
        first.beat();
        let both_move = pulse.still();

        assert_eq!(at_start, [0_usize; 0]);
        assert_eq!(second_stands, [1]);
        assert_eq!(both_stand, [0, 1]);
        assert_eq!(both_move, [0_usize; 0]);
    }
}

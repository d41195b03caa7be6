//! What a fake has seen: kept within bounds, counted without them, and awaitable.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Fewer records than wanted came in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{arrived} of {wanted} {what} arrived within {waited:?}")]
pub struct NotArrived {
    /// What was waited for, in the plural ("requests").
    pub what: &'static str,
    /// How many were wanted.
    pub wanted: usize,
    /// How many there were in the end.
    pub arrived: usize,
    /// How long was waited.
    pub waited: Duration,
}

/// How much a fake remembers; the oldest records go first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most records.
    pub(crate) records: usize,
    /// Most bytes of all records together.
    pub(crate) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            records: 4096,
            bytes: 64 * 1024 * 1024,
        }
    }
}

/// A bounded list of records with a count that outlives them.
#[derive(Debug)]
pub(crate) struct Recorder<T> {
    what: &'static str,
    bounds: Bounds,
    kept: Mutex<Kept<T>>,
    news: Notify,
}

impl<T: Clone> Recorder<T> {
    pub(crate) fn new(what: &'static str, bounds: Bounds) -> Self {
        Self {
            what,
            bounds,
            kept: Mutex::new(Kept {
                records: VecDeque::new(),
                bytes: 0,
                seen: 0,
            }),
            news: Notify::new(),
        }
    }

    /// Adds a record of `bytes` bytes and drops the oldest ones past the bounds.
    pub(crate) fn push(&self, record: T, bytes: usize) {
        self.lock().push(record, bytes, self.bounds);
        self.news.notify_waiters();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        let kept = self.lock();
        kept.records
            .iter()
            .map(|(record, _)| record.clone())
            .collect()
    }

    /// Returns how many records were dropped since the last `clear`.
    pub(crate) fn dropped(&self) -> usize {
        let kept = self.lock();
        kept.seen - kept.records.len()
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        kept.records.clear();
        kept.bytes = 0;
        kept.seen = 0;
    }

    /// Returns the kept records as soon as `wanted` were seen since the last `clear`.
    pub(crate) async fn wait_for(
        &self,
        wanted: usize,
        within: Duration,
    ) -> Result<Vec<T>, NotArrived> {
        match tokio::time::timeout(within, self.enough(wanted)).await {
            Ok(()) => Ok(self.all()),
            Err(_) => Err(NotArrived {
                what: self.what,
                wanted,
                arrived: self.lock().seen,
                waited: within,
            }),
        }
    }

    async fn enough(&self, wanted: usize) {
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            if self.lock().seen >= wanted {
                return;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Kept<T> {
    records: VecDeque<(T, usize)>,
    bytes: usize,
    seen: usize,
}

impl<T> Kept<T> {
    fn push(&mut self, record: T, bytes: usize, bounds: Bounds) {
        self.records.push_back((record, bytes));
        self.bytes += bytes;
        self.seen += 1;
        while self.records.len() > bounds.records || self.bytes > bounds.bytes {
            let Some((_, freed)) = self.records.pop_front() else {
                break;
            };
            self.bytes -= freed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        records: 3,
        bytes: 10,
    };

    #[test]
    fn drops_the_oldest_past_either_bound_and_counts_them() {
        let recorder = Recorder::new("numbers", BOUNDS);

        for number in 1..=4 {
            recorder.push(number, 1);
        }
        recorder.push(5, 9);

        assert_eq!(recorder.all(), [4, 5]);
        assert_eq!(recorder.dropped(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn counts_dropped_records_as_arrived_and_says_what_is_missing() {
        let recorder = Recorder::new("numbers", BOUNDS);
        for number in 1..=4 {
            recorder.push(number, 1);
        }

        let enough = recorder.wait_for(4, Duration::from_secs(1)).await;
        let missing = recorder.wait_for(5, Duration::from_secs(1)).await;

        assert_eq!(enough.unwrap(), [2, 3, 4]);
        assert_eq!(
            missing.unwrap_err().to_string(),
            "4 of 5 numbers arrived within 1s"
        );
    }
}

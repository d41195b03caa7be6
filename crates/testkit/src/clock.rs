//! A clock that tells the real time plus an offset, so that a test can jump minutes without sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The simulators' idea of now. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClock {
    offset_millis: Arc<AtomicI64>,
}

impl SimulatedClock {
    /// Returns the simulated time.
    pub fn now(&self) -> SystemTime {
        let millis = u64::try_from(self.now_millis()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.shift(millis(by));
    }

    /// Moves the clock back, as a wrongly set machine would have it.
    pub fn turn_back(&self, by: Duration) {
        self.shift(-millis(by));
    }

    /// Returns the simulated time in milliseconds since 1970.
    pub(crate) fn now_millis(&self) -> i64 {
        let real = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        millis(real).saturating_add(self.offset_millis.load(Ordering::Relaxed))
    }

    fn shift(&self, by: i64) {
        self.offset_millis.fetch_add(by, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

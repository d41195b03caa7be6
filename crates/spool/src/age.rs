//! How old things are: a clock that only a running spool moves, so that a jump of the wall clock expires nothing.
//!
//! The age of a spool is the time it was open, in seconds. It is kept in every frame. While the spool was closed the wall
//! clock says how long, but is believed for one hour at most: whatever it shows, one start takes no more than an hour off
//! what a request has left.

use std::time::{Instant, SystemTime};

use crate::segment::Stamp;

/// The clock of an open spool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgeClock {
    base: u64,
    started: Instant,
}

/// What the two clocks say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl AgeClock {
    /// Continues from the latest known moment.
    pub(crate) fn resume(latest: Stamp, wall: SystemTime, started: Instant) -> AgeClock {
        let closed = seconds(wall).saturating_sub(latest.wall);
        let base = match latest.wall {
            0 => latest.age,
            _ => latest.age + closed.min(MAX_STEP),
        };
        AgeClock { base, started }
    }

    /// Returns the age of the spool in seconds.
    pub(crate) fn age(&self, now: Instant) -> u64 {
        self.base + now.saturating_duration_since(self.started).as_secs()
    }
}

impl Now {
    /// Reads the clocks.
    pub(crate) fn read() -> Now {
        Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// Returns the seconds since 1970.
pub(crate) fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

const MAX_STEP: u64 = 3600;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stop_counts_for_one_hour_at_most_whatever_the_wall_clock_says() {
        let latest = Stamp {
            age: 100,
            wall: 1_700_000_000,
        };
        let year = 365 * 86400;
        for (wall, age) in [
            (1_700_000_000, 100),
            (1_700_000_007, 107),
            (1_700_000_000 + 3600, 3700),
            (1_700_000_000 + 10 * year, 3700),
            (1_700_000_000 - 10 * year, 100),
        ] {
            let started = Instant::now();
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(wall);

            let clock = AgeClock::resume(latest, wall, started);

            assert_eq!(clock.age(started), age);
            assert_eq!(clock.age(started + Duration::from_secs(9)), age + 9);
        }
    }
}

//! How many messages went through a robot in the last minute, and whether it is closed.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Take;

/// The recent past of one bucket; times in milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Budget {
    taken: VecDeque<u64>,
    closed_until: u64,
}

impl Budget {
    pub(super) fn take(&mut self, per_minute: u32, now: u64) -> Take {
        if now < self.closed_until {
            return after(self.closed_until - now);
        }
        while self.taken.front().is_some_and(|at| is_past(*at, now)) {
            self.taken.pop_front();
        }
        let free_at = (self.taken.len() + 1).saturating_sub(per_minute as usize);
        let Some(opens) = free_at.checked_sub(1).and_then(|at| self.taken.get(at)) else {
            self.taken.push_back(now);
            return Take::Granted;
        };
        after((opens + MINUTE).saturating_sub(now).min(MINUTE))
    }

    pub(super) fn close(&mut self, until: u64, now: u64) {
        self.closed_until = if until <= now {
            0
        } else {
            until.max(self.closed_until)
        };
    }

    pub(super) fn spent(&self, now: u64) -> u32 {
        let fresh = self.taken.iter().filter(|at| !is_past(**at, now));
        u32::try_from(fresh.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn taken(&self) -> impl Iterator<Item = u64> {
        self.taken.iter().copied()
    }

    pub(super) fn is_idle(&self, now: u64) -> bool {
        now >= self.closed_until && self.taken.back().is_none_or(|at| is_past(*at, now))
    }
}

fn is_past(at: u64, now: u64) -> bool {
    now.saturating_sub(at) >= MINUTE
}

fn after(millis: u64) -> Take {
    Take::After(Duration::from_millis(millis))
}

const MINUTE: u64 = 60_000;

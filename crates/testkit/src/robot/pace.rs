//! How fast a robot may speak, and what it has said already.
//!
//! Source: help.dingtalk.io, "Custom robots send group messages": 20 messages per minute, above it blocked for ten minutes.

use std::collections::VecDeque;

use super::refusal::Reason;

/// The recent past of one robot. Times are milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    sent: VecDeque<i64>,
    blocked_until: i64,
    uuids: VecDeque<String>,
}

impl Pace {
    /// Counts a message, or refuses it and every other one for the next ten minutes.
    pub(crate) fn count(&mut self, per_minute: usize, now: i64) -> Result<(), Reason> {
        while self.sent.front().is_some_and(|sent| sent + MINUTE <= now) {
            self.sent.pop_front();
        }
        if now < self.blocked_until {
            return Err(Reason::TooFast { per_minute });
        }
        if self.sent.len() >= per_minute {
            self.blocked_until = now + BLOCK;
            return Err(Reason::TooFast { per_minute });
        }
        self.sent.push_back(now);
        Ok(())
    }

    /// Tells whether a message with this `msgUuid` was shown before; the latest thousand are remembered.
    pub(crate) fn has_shown(&self, uuid: &str) -> bool {
        self.uuids.iter().any(|shown| shown == uuid)
    }

    pub(crate) fn remember(&mut self, uuid: String) {
        self.uuids.push_back(uuid);
        if self.uuids.len() > MAX_UUIDS {
            self.uuids.pop_front();
        }
    }
}

const MINUTE: i64 = 60_000;
const BLOCK: i64 = 600_000;
const MAX_UUIDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_for_ten_minutes_after_one_message_too_many() {
        let mut pace = Pace::default();
        let start = 1_000_000;

        for second in 0..3 {
            assert!(pace.count(3, start + second * 1000).is_ok());
        }
        let too_many = start + 59_999;

        assert!(pace.count(3, too_many).is_err());
        assert!(pace.count(3, too_many + BLOCK - 1).is_err());
        assert!(pace.count(3, too_many + BLOCK).is_ok());
    }

    #[test]
    fn counts_a_rolling_minute() {
        let mut pace = Pace::default();

        assert!(pace.count(2, 0).is_ok());
        assert!(pace.count(2, 59_000).is_ok());
        assert!(pace.count(2, 60_000).is_ok());
        assert!(pace.count(2, 60_001).is_err());
    }
}

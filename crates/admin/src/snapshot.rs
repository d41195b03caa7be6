//! The numbers of the forwarding side at one moment, as the page, the history and readiness look at them.

use std::sync::Arc;
use std::time::Duration;

/// Reads the numbers of this moment; answers at once, and takes no lock that forwarding waits for.
pub type Probe = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// The numbers of one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What was forwarded since the start.
    pub traffic: Traffic,
    /// Every Sentry that requests go to, the one where most projects live first.
    pub upstreams: Vec<Upstream>,
    /// The spool; `None` when it is switched off.
    pub spool: Option<Spool>,
}

/// What was forwarded since the start; these numbers only grow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// Requests that Sentry answered, whatever it said.
    pub answered: u64,
    /// Requests that went into the spool.
    pub spooled: u64,
    /// Requests that Sentry did not answer and that could not be kept.
    pub lost: u64,
    /// Requests that we refused ourselves.
    pub refused: u64,
    /// The upper bounds of the buckets of durations, smallest first.
    pub bounds: Vec<Duration>,
    /// Our answers by how long they took, one number more than there are bounds.
    pub answers: Vec<u64>,
    /// Sentry's answers by how long they took.
    pub upstream: Vec<u64>,
}

/// What is known of one Sentry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its address, without secrets.
    pub origin: String,
    /// The projects that live there; none for the one where all others live.
    pub projects: Vec<String>,
    /// For how long it has not answered; `None` while it does.
    pub down_for: Option<Duration>,
    /// Whether its answers take longer than clients are let wait.
    pub is_late: bool,
}

/// What is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spool {
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes its files may have.
    pub size: u64,
    /// Requests that wait or are being sent.
    pub requests: u64,
    /// Requests that Sentry refused, kept aside.
    pub refused: u64,
    /// How long the oldest of those that wait has waited.
    pub oldest: Option<Duration>,
    /// Whether the last write failed.
    pub is_failing: bool,
}

impl Snapshot {
    /// Returns whether a request that comes in now would be forwarded, or kept until it can be.
    pub(crate) fn can_take(&self) -> bool {
        let is_up = |upstream: &Upstream| upstream.down_for.is_none();
        self.upstreams.iter().all(is_up) || self.spool.is_some_and(|spool| spool.can_take())
    }
}

impl Traffic {
    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        self.answered + self.spooled + self.lost + self.refused
    }
}

impl Spool {
    /// Returns whether it can keep one more request of usual size.
    pub(crate) fn can_take(&self) -> bool {
        !self.is_failing && self.bytes + ROOM <= self.size
    }
}

/// A mebibyte: larger than nearly every request.
const ROOM: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_take_while_sentry_answers_or_the_spool_has_room() {
        let up = Upstream {
            origin: "https://sentry.example.com".to_owned(),
            projects: Vec::new(),
            down_for: None,
            is_late: false,
        };
        let down = Upstream {
            down_for: Some(Duration::from_secs(9)),
            ..up.clone()
        };
        let spool = Spool {
            size: 64 << 20,
            ..Spool::default()
        };
        let full = Spool {
            bytes: 64 << 20,
            ..spool
        };
        let failing = Spool {
            is_failing: true,
            ..spool
        };
        let cases = [
            (vec![up.clone()], None, true),
            (vec![up.clone()], Some(failing), true),
            (vec![down.clone()], None, false),
            (vec![up, down.clone()], None, false),
            (vec![down.clone()], Some(spool), true),
            (vec![down.clone()], Some(full), false),
            (vec![down], Some(failing), false),
        ];

        for (upstreams, spool, expected) in cases {
            let snapshot = Snapshot {
                upstreams,
                spool,
                ..Snapshot::default()
            };
            assert_eq!(snapshot.can_take(), expected, "{snapshot:?}");
        }
    }
}

//! Lets a chat be called together only so often, however many alerts ask for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use alert::{Mention, Message};

use crate::config::RobotConfig;

/// When everyone of a chat was mentioned last. Kept in memory: a restart forgets it.
#[derive(Debug)]
pub(super) struct Everyone {
    every: Duration,
    last: Mutex<Option<SystemTime>>,
}

impl Everyone {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            last: Mutex::new(None),
        }
    }

    /// Claims the right to mention everyone now; returns what was before, to be handed back when nothing came of it.
    pub(super) fn claim(&self, now: SystemTime) -> Result<Option<SystemTime>, Spared> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_spared = last.is_some_and(|last| {
            // A clock set back must not keep a chat silent for good.
            now.duration_since(last)
                .is_ok_and(|since| since < self.every)
        });
        match is_spared {
            true => Err(Spared),
            false => Ok(last.replace(now)),
        }
    }

    /// Undoes a claim of `now`, unless another came after it.
    pub(super) fn give_back(&self, now: SystemTime, before: Option<SystemTime>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == Some(now) {
            *last = before;
        }
    }
}

/// Everyone was mentioned not long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spared;

/// Returns the message and the robot without a word to everyone; persons stay mentioned.
pub(super) fn spare(message: &Message, robot: &RobotConfig) -> (Message, RobotConfig) {
    let without = |mention: &Mention| Mention {
        all: false,
        ..mention.clone()
    };
    let mut message = message.clone();
    if let Message::Alert(alert) = &mut message {
        alert.mention = alert.mention.as_ref().map(without);
        alert.owners = without(&alert.owners);
    }
    let mention = without(&robot.mention);
    let robot = RobotConfig {
        mention,
        ..robot.clone()
    };
    (message, robot)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn calls_everyone_once_in_a_while() {
        let everyone = Everyone::new(Duration::from_secs(60));

        assert_eq!(everyone.claim(at(100)), Ok(None));
        assert_eq!(everyone.claim(at(159)), Err(Spared));
        assert_eq!(everyone.claim(at(160)), Ok(Some(at(100))));
        assert_eq!(
            everyone.claim(at(150)),
            Ok(Some(at(160))),
            "a clock set back"
        );
    }

    #[test]
    fn a_failed_message_did_not_call_anyone() {
        let everyone = Everyone::new(Duration::from_secs(60));
        let before = everyone.claim(at(100)).unwrap();

        everyone.give_back(at(100), before);

        assert_eq!(everyone.claim(at(101)), Ok(None));
        everyone.give_back(at(100), None);
        assert_eq!(
            everyone.claim(at(102)),
            Err(Spared),
            "another's claim stays"
        );
    }

    #[test]
    fn no_pause_spares_nobody() {
        let everyone = Everyone::new(Duration::ZERO);

        assert!(everyone.claim(at(100)).is_ok() && everyone.claim(at(100)).is_ok());
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

//! Says in the log once in a while what would otherwise be said again and again.

use std::time::Duration;

use tokio::time::Instant;

/// When something was said last, and how often it was not since.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Returns how often it was not said since the last time, if it is to be said now.
    pub(crate) fn say(&mut self, now: Instant) -> Option<u64> {
        if self
            .last
            .is_some_and(|last| now.duration_since(last) < SILENCE)
        {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// How long the log does not say it again.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_said_as_one() {
        let (mut seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.say(now), Some(0));
        for _ in 0..1000 {
            assert_eq!(seldom.say(now + SILENCE / 2), None);
        }

        assert_eq!(seldom.say(now + SILENCE), Some(1000));
    }
}

//! Wrong tokens: answered slowly, so that nobody gets far by guessing, and told in the log, so that somebody notices.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The wrong tokens of late.
#[derive(Default)]
pub(crate) struct Guesses(Mutex<Told>);

#[derive(Default)]
struct Told {
    at: Option<Instant>,
    untold: u64,
}

impl Guesses {
    /// Notes a wrong token for `path`, and takes its time. The log tells it once in a while, with how many others came.
    pub(crate) async fn wrong(&self, path: &str) {
        if let Some(others) = self.tell(Instant::now()) {
            tracing::warn!(
                path,
                others,
                "somebody brought a wrong token to the admin pages"
            );
        }
        sleep(DELAY).await;
    }

    /// Returns how many were not told since the last time, if it is to be told now.
    fn tell(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told
            .at
            .is_some_and(|last| now.duration_since(last) < SILENCE)
        {
            told.untold += 1;
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.untold))
    }
}

/// How long a wrong token waits for its answer.
const DELAY: Duration = Duration::from_secs(1);

/// How long the log does not tell of another one.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wrong_token_takes_its_time() {
        let (guesses, before) = (Guesses::default(), Instant::now());

        guesses.wrong("/metrics").await;

        assert_eq!(before.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_told_as_one() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        assert_eq!(guesses.tell(now), Some(0));
        for _ in 0..1000 {
            assert_eq!(guesses.tell(now + SILENCE / 2), None);
        }

        assert_eq!(guesses.tell(now + SILENCE), Some(1000));
    }
}

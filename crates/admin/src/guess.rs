//! Wrong tokens: answered slowly, so that nobody gets far by guessing, and told in the log, so that somebody notices.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::seldom::Seldom;

/// The wrong tokens of late.
#[derive(Default)]
pub(crate) struct Guesses(Mutex<Seldom>);

impl Guesses {
    /// Notes a wrong token for `path`, and takes its time. The log tells it once in a while, with how many others came.
    pub(crate) async fn wrong(&self, path: &str) {
        let said = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .say(Instant::now());
        if let Some(others) = said {
            tracing::warn!(
                path,
                others,
                "somebody brought a wrong token to the admin pages"
            );
        }
        sleep(DELAY).await;
    }
}

/// How long a wrong token waits for its answer.
const DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wrong_token_takes_its_time() {
        let (guesses, before) = (Guesses::default(), Instant::now());

        guesses.wrong("/metrics").await;

        assert_eq!(before.elapsed(), DELAY);
    }
}

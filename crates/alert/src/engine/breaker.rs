//! Keeps a slow or broken state from holding up the pipeline: a bounded wait, then none at all for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use state::Unavailable;
use tokio::time::{Instant, timeout};

/// Whether the state is asked at all.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    open_until: Mutex<Option<Instant>>,
}

impl Breaker {
    /// Waits for an answer of the state; `None` when there is none, or when there was none just before.
    pub(super) async fn guard<T>(
        &self,
        asking: impl Future<Output = Result<T, Unavailable>>,
    ) -> Option<T> {
        if self.is_open() {
            return None;
        }
        match timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => {
                self.set(None);
                return Some(answer);
            }
            Ok(Err(error)) => self.warn(&error.to_string()),
            Err(_) => self.warn("no answer in time"),
        }
        self.set(Some(Instant::now() + PAUSE));
        None
    }

    fn is_open(&self) -> bool {
        let open_until = *self
            .open_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open_until.is_some_and(|until| Instant::now() < until)
    }

    /// The same failure repeated is logged once; what it costs is counted as an outcome of each event.
    fn warn(&self, error: &str) {
        let is_first = self
            .open_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none();
        if is_first {
            tracing::warn!(
                error,
                "cannot decide about events: the state does not answer"
            );
        }
    }

    fn set(&self, open_until: Option<Instant>) {
        let mut slot = self
            .open_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() && open_until.is_none() {
            tracing::info!("the state answers again");
        }
        *slot = open_until;
    }
}

/// How long one event may wait for the state.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the state is left alone after it did not answer.
const PAUSE: Duration = Duration::from_secs(1);

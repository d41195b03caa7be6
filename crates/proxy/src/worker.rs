//! What the requests of one forwarding thread share.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::config::Config;
use crate::error::Fault;
use crate::metrics::Metrics;
use crate::tap::Tap;
use crate::upstream::{Connector, Upstream};

/// One forwarding thread's state.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) upstream: Upstream,
    /// Sentry's `Host`.
    pub(crate) host: HeaderValue,
    pub(crate) tap: Tap,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Log,
}

/// Says once in a while what would otherwise be said for every request.
#[derive(Debug, Default)]
pub(crate) struct Log {
    last_lost: Cell<Option<Instant>>,
    unsaid: Cell<u64>,
}

impl Worker {
    pub(crate) fn new(
        config: Arc<Config>,
        connector: Connector,
        tap: Tap,
        metrics: Arc<Metrics>,
    ) -> Worker {
        let host = config.upstream.url.host_header();
        Worker {
            config,
            upstream: Upstream::new(connector),
            host,
            tap,
            metrics,
            log: Log::default(),
        }
    }
}

impl Log {
    /// Reports a request that was lost; the same is not said again for a while, only counted.
    pub(crate) fn lost(&self, fault: &Fault) {
        let now = Instant::now();
        if self
            .last_lost
            .get()
            .is_some_and(|last| now.duration_since(last) < SILENCE)
        {
            self.unsaid.set(self.unsaid.get() + 1);
            return;
        }
        self.last_lost.set(Some(now));
        let others = self.unsaid.take();
        let may_have_arrived = !fault.is_unsent();
        tracing::error!(
            error = fault as &dyn std::error::Error,
            others,
            may_have_arrived,
            "request lost: Sentry could not take it"
        );
    }
}

const SILENCE: Duration = Duration::from_secs(10);

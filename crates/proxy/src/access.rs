//! One line a request in the log, for those who ask for `log.level = "debug"`; for the others it costs one look at the level.
//!
//! It names no path, query or header: keys stand there.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use event::peek::{Peek, peek};
use event::{Codings, EventId, ProjectId};
use http::Method;
use tracing::Level;

use crate::route::EndpointLabel;

/// Returns whether anybody reads such lines.
pub(crate) fn is_wanted() -> bool {
    tracing::enabled!(Level::DEBUG)
}

/// What is noted of a request while it is carried.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) project: Cell<Option<ProjectId>>,
    /// How long Sentry was waited for.
    pub(crate) upstream: Cell<Option<Duration>>,
    /// Bytes of the body as it came.
    pub(crate) bytes: Cell<u64>,
    ids: RefCell<Option<Ids>>,
}

#[derive(Debug)]
struct Ids {
    event: Option<EventId>,
    trace: Option<String>,
}

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) method: &'a Method,
    pub(crate) endpoint: EndpointLabel,
    /// What became of it, as in metrics.
    pub(crate) verdict: &'static str,
    pub(crate) status: u16,
    pub(crate) took: Duration,
}

impl Notes {
    /// Looks for ids at the start of a body, if anybody wants to know.
    pub(crate) fn look(&self, codings: Codings, start: &[Bytes]) {
        if is_wanted() {
            let Peek {
                event_id, trace_id, ..
            } = peek(codings, start);
            self.ids.replace(Some(Ids {
                event: event_id,
                trace: trace_id,
            }));
        }
    }

    /// Writes the line.
    pub(crate) fn log(&self, ended: &Ended<'_>) {
        let ids = self.ids.borrow();
        let event = ids.as_ref().and_then(|ids| ids.event);
        let trace = ids.as_ref().and_then(|ids| ids.trace.as_deref());
        tracing::debug!(
            method = %ended.method,
            endpoint = ended.endpoint.as_str(),
            project = self.project.get().map(|project| project.value()),
            verdict = ended.verdict,
            status = ended.status,
            upstream_ms = self.upstream.get().map(milliseconds),
            total_ms = milliseconds(ended.took),
            bytes = self.bytes.get(),
            event_id = event.map(tracing::field::display),
            trace_id = trace,
            "request"
        );
    }
}

/// `12.3`
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

//! The product in one screen: decode, parse, group, decide, deliver.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use alert::{Engine, Metrics, Outcome, Sight};
use futures_util::FutureExt;
use proxy::{Captured, Captures};
use tokio::sync::watch;

use crate::settings::Reading;

/// Takes captured requests one by one; each of their events ends in exactly one counted outcome.
pub(crate) struct Pipeline {
    reading: watch::Receiver<Arc<Reading>>,
    engine: Engine,
    metrics: Metrics,
}

impl Pipeline {
    pub(crate) fn new(
        reading: watch::Receiver<Arc<Reading>>,
        engine: Engine,
        metrics: Metrics,
    ) -> Self {
        Self {
            reading,
            engine,
            metrics,
        }
    }

    /// Works until every tap is gone and all copies have been taken.
    pub(crate) async fn run(self, mut captures: Captures) {
        while let Some(captured) = captures.next().await {
            // A panic over one request ends with that request; nothing is left half done that a later one could see.
            let handled = AssertUnwindSafe(self.handle(&captured))
                .catch_unwind()
                .await;
            let outcomes = handled.unwrap_or_else(|_| {
                tracing::error!("looking into a request panicked");
                vec![Outcome::Panicked]
            });
            for outcome in &outcomes {
                self.metrics.count_event(outcome);
            }
            // Under load there is always another copy; robots and pages share this thread.
            tokio::task::consume_budget().await;
        }
    }

    async fn handle(&self, captured: &Captured) -> Vec<Outcome> {
        let reading = Arc::clone(&self.reading.borrow());
        let Ok(body) = decode(captured, reading.tee.max_decoded) else {
            return vec![Outcome::Undecodable];
        };
        let kind = captured.endpoint.kind;
        let Ok(parsed) = event::parse_request(&body, kind, captured.path_and_query.as_str()) else {
            return vec![Outcome::Unparsable];
        };
        let Some(project) = captured.endpoint.project.or(parsed.project()) else {
            return vec![Outcome::Unparsable];
        };
        let mut outcomes: Vec<Outcome> =
            parsed.faults.iter().map(|_| Outcome::Unparsable).collect();
        for event in &parsed.events {
            if !reading.tee.may_alert(captured.verdict) {
                outcomes.push(Outcome::NotAccepted);
                continue;
            }
            if !self.engine.may_alert(event) {
                outcomes.push(Outcome::NotAlertable);
                continue;
            }
            let group = grouping::group(event, &reading.grouping);
            let sight = Sight {
                event,
                project,
                group: &group,
            };
            outcomes.push(self.engine.handle(&sight, SystemTime::now()).await);
        }
        outcomes
    }
}

fn decode(captured: &Captured, limit: usize) -> Result<bytes::Bytes, event::DecodeError> {
    event::decode_body(
        &captured.method,
        captured.path_and_query.query(),
        captured.codings,
        &captured.body,
        limit,
    )
}

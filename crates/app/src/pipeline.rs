//! The product in one screen: decode, parse, group, decide, deliver.

use std::sync::Arc;
use std::time::SystemTime;

use alert::{Engine, Metrics, Outcome, Sight};
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
        let pipeline = Arc::new(self);
        while let Some(captured) = captures.next().await {
            let work = Arc::clone(&pipeline);
            // A task of its own, so that a panic over one request ends with that request.
            let handled = tokio::spawn(async move { work.handle(&captured).await }).await;
            let outcomes = handled.unwrap_or_else(|error| {
                tracing::error!(error = %error, "looking into a request failed");
                vec![Outcome::Panicked]
            });
            for outcome in &outcomes {
                pipeline.metrics.count_event(outcome);
            }
        }
    }

    async fn handle(&self, captured: &Captured) -> Vec<Outcome> {
        let reading = Arc::clone(&self.reading.borrow());
        let Ok(body) = decode(captured, reading.tee.max_decoded) else {
            return vec![Outcome::Undecodable];
        };
        let Ok(parsed) = event::parse_body(&body, captured.endpoint.kind) else {
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
        &captured.headers,
        &captured.body,
        limit,
    )
}

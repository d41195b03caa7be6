//! The product in one screen: decode, parse, group, decide, deliver.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use alert::{Engine, Metrics, Outcome, Sight};
use event::Event;
use futures_util::FutureExt;
use grouping::{Group, Grouper};
use proxy::{Captured, Captures};
use tokio::sync::watch;

use crate::settings::Reading;

/// Takes captured requests one by one; each of their events ends in exactly one counted outcome.
pub(crate) struct Pipeline {
    reading: watch::Receiver<Arc<Reading>>,
    engine: Engine,
    metrics: Metrics,
    grouping: Grouping,
}

/// Groups events by the rules that are in force.
struct Grouping {
    reading: Arc<Reading>,
    grouper: Grouper,
}

impl Pipeline {
    pub(crate) fn new(
        reading: watch::Receiver<Arc<Reading>>,
        engine: Engine,
        metrics: Metrics,
    ) -> Self {
        let grouping = Grouping::by(Arc::clone(&reading.borrow()));
        Self {
            reading,
            engine,
            metrics,
            grouping,
        }
    }

    /// Works until every tap is gone and all copies have been taken.
    pub(crate) async fn run(mut self, mut captures: Captures) {
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

    async fn handle(&mut self, captured: &Captured) -> Vec<Outcome> {
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
            let group = self.grouping.group(event, &reading);
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

impl Grouping {
    fn by(reading: Arc<Reading>) -> Self {
        let grouper = Grouper::new(reading.grouping.clone());
        Self { reading, grouper }
    }

    fn group(&mut self, event: &Event<'_>, reading: &Arc<Reading>) -> Group {
        if !Arc::ptr_eq(&self.reading, reading) {
            *self = Self::by(Arc::clone(reading));
        }
        self.grouper.group(event)
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

#[cfg(test)]
mod tests {
    use event::EventKind;
    use event::model::{Exception, Frame, Stacktrace};

    use super::*;
    use crate::config::TeeConfig;

    fn reading(enhancements: &str) -> Arc<Reading> {
        let grouping = grouping::Config::default();
        Arc::new(Reading {
            tee: TeeConfig {
                memory: 0,
                max_decoded: 0,
                alert_on: Vec::new(),
            },
            grouping: grouping
                .with_enhancements(enhancements)
                .expect("the rules are sound"),
        })
    }

    fn event() -> Event<'static> {
        let frame = |function: &'static str| Frame {
            function: Some(function.into()),
            module: Some("shop".into()),
            ..Frame::default()
        };
        Event {
            kind: EventKind::Error,
            exceptions: vec![Exception {
                ty: Some("ValueError".into()),
                stacktrace: Some(Stacktrace {
                    frames: vec![frame("serve"), frame("pay")],
                }),
                ..Exception::default()
            }],
            ..Event::default()
        }
    }

    #[test]
    fn new_rules_hold_for_places_that_are_known() {
        let (old, new) = (reading(""), reading("function:serve -group"));
        let mut grouping = Grouping::by(Arc::clone(&old));
        let before = [(); 2].map(|()| grouping.group(&event(), &old));

        let after = grouping.group(&event(), &new);

        assert_eq!(before[0], before[1]);
        assert_ne!(before[0].hashes, after.hashes);
        assert_eq!(after, grouping::group(&event(), &new.grouping));
    }
}

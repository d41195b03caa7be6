//! Counters of the alert pipeline, in Prometheus terms.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use state::Expired;

use crate::{Outcome, Reason};

/// The counters of events, alerts and messages. Cheap to clone; clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    events: Family<OutcomeLabel, Counter>,
    alerts: Family<ReasonLabel, Counter>,
    messages: Family<MessageLabel, Counter>,
    outbox: Gauge,
    evicted: Counter,
    stale: Counter,
}

impl Metrics {
    /// Adds them to a registry whose prefix is `sentry_notice`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "events",
            "Captured events by what became of them",
            self.events.clone(),
        );
        registry.register(
            "alerts",
            "Alerts handed to the outbox by why they are said",
            self.alerts.clone(),
        );
        registry.register(
            "messages",
            "Delivery attempts by robot and result",
            self.messages.clone(),
        );
        registry.register(
            "outbox_alerts",
            "Alerts that wait for delivery",
            self.outbox.clone(),
        );
        registry.register(
            "state_evicted_issues",
            "Issues forgotten because there were too many, the ones longest unseen first",
            self.evicted.clone(),
        );
        registry.register(
            "outbox_expired",
            "Messages dropped because they waited for a day",
            self.stale.clone(),
        );
    }

    /// Counts what the state had to let go.
    pub fn count_expired(&self, expired: &Expired) {
        self.evicted.inc_by(expired.evicted as u64);
        self.stale.inc_by(expired.parcels as u64);
        if expired.parcels > 0 {
            let messages = expired.parcels;
            tracing::error!(messages, "messages waited for a day and were dropped");
        }
    }

    /// Counts the outcome of one event.
    pub fn count_event(&self, outcome: &Outcome) {
        let outcome_label = outcome.as_str();
        self.events
            .get_or_create(&OutcomeLabel {
                outcome: outcome_label,
            })
            .inc();
    }

    /// Returns how many events had an outcome of this name.
    pub fn events(&self, outcome: &'static str) -> u64 {
        self.events.get_or_create(&OutcomeLabel { outcome }).get()
    }

    /// Counts one delivery attempt; `result` is `ok` or the reason of the failure.
    pub fn count_message(&self, robot: &str, result: &'static str) {
        let label = MessageLabel {
            robot: robot.to_owned(),
            result,
        };
        self.messages.get_or_create(&label).inc();
    }

    /// Sets how many alerts wait for delivery.
    pub fn set_outbox(&self, waiting: usize) {
        self.outbox.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts one alert that the outbox has.
    pub fn count_alert(&self, reason: Reason) {
        let label = ReasonLabel {
            reason: reason.as_str(),
        };
        self.alerts.get_or_create(&label).inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabel {
    robot: String,
    result: &'static str,
}

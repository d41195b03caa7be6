//! Sample requests for the demo and for tests, each with what is to come of it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::SdkRequest;
use super::style::{Payload, SdkKey, Style, rfc3339};

/// A request and what is expected of the proxy.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name: `python-zero-division`.
    pub name: &'static str,
    /// The request.
    pub request: SdkRequest,
    /// Event id, if it has one.
    pub event_id: Option<String>,
    /// Whether somebody has to be told about it.
    pub alerts: bool,
    /// Why, for people.
    pub why: &'static str,
}

/// Returns the samples in the order they are to be sent: the repetition comes after what it repeats.
///
/// The first is the example event of Sentry's documentation. Event ids follow from `run` and the position, so that two runs
/// with different numbers share none; all times are `now`.
pub fn samples(key: &SdkKey, run: u128, now: SystemTime) -> Vec<Sample> {
    TEMPLATES
        .iter()
        .zip(1..)
        .map(|(template, position)| template.sample(key, event_id(run, position), now))
        .collect()
}

struct Template {
    name: &'static str,
    style: Style,
    kind: Kind,
    json: &'static str,
    alerts: bool,
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    Event,
    Transaction,
    Session,
}

impl Template {
    fn sample(&self, key: &SdkKey, id: String, now: SystemTime) -> Sample {
        let value: Value = serde_json::from_str(self.json).expect("every sample is valid JSON");
        let (payload, event_id) = match self.kind {
            Kind::Event => (Payload::Event(fresh(value, &id, now)), Some(id)),
            Kind::Transaction => (Payload::Transaction(timed(value, &id, now)), Some(id)),
            Kind::Session => (Payload::Session(started(value, &id, now)), None),
        };
        Sample {
            name: self.name,
            request: self.style.request(key, &payload, now),
            event_id,
            alerts: self.alerts,
            why: self.why,
        }
    }
}

fn fresh(mut event: Value, id: &str, now: SystemTime) -> Value {
    event["event_id"] = json!(id);
    event["timestamp"] = json!(rfc3339(now));
    if event.get("received").is_some() {
        event["received"] = event["timestamp"].clone();
    }
    event
}

fn timed(transaction: Value, id: &str, now: SystemTime) -> Value {
    let mut transaction = fresh(transaction, id, now);
    let start = json!(rfc3339(now - Duration::from_millis(120)));
    transaction["start_timestamp"] = start.clone();
    let end = transaction["timestamp"].clone();
    for span in transaction["spans"].as_array_mut().into_iter().flatten() {
        span["start_timestamp"] = start.clone();
        span["timestamp"] = end.clone();
    }
    transaction
}

fn started(mut session: Value, id: &str, now: SystemTime) -> Value {
    session["sid"] = json!(id);
    session["started"] = json!(rfc3339(now - Duration::from_secs(2)));
    session["timestamp"] = json!(rfc3339(now));
    session
}

fn event_id(run: u128, position: u128) -> String {
    format!("{:032x}", run.wrapping_add(position.wrapping_mul(SPREAD)))
}

const TEMPLATES: [Template; 12] = [
    Template {
        name: "sample-event",
        style: Style::PythonStore,
        kind: Kind::Event,
        json: include_str!("samples/sample-event.json"),
        alerts: true,
        why: "an error without exception: the message is the title",
    },
    Template {
        name: "python-zero-division",
        style: Style::Python,
        kind: Kind::Event,
        json: include_str!("samples/python-zero-division.json"),
        alerts: true,
        why: "an unhandled exception seen for the first time",
    },
    Template {
        name: "browser-type-error",
        style: Style::Browser,
        kind: Kind::Event,
        json: include_str!("samples/browser-type-error.json"),
        alerts: true,
        why: "a minified browser error",
    },
    Template {
        name: "java-chain",
        style: Style::Java,
        kind: Kind::Event,
        json: include_str!("samples/java-chain.json"),
        alerts: true,
        why: "a chain of causes: the outermost exception is the title",
    },
    Template {
        name: "go-panic",
        style: Style::GoStore,
        kind: Kind::Event,
        json: include_str!("samples/go-panic.json"),
        alerts: true,
        why: "fatal is worse than error",
    },
    Template {
        name: "node-message",
        style: Style::Node,
        kind: Kind::Event,
        json: include_str!("samples/node-message.json"),
        alerts: true,
        why: "a message with parameters that are not filled in yet",
    },
    Template {
        name: "python-warning",
        style: Style::Python,
        kind: Kind::Event,
        json: include_str!("samples/python-warning.json"),
        alerts: false,
        why: "warning is below error",
    },
    Template {
        name: "node-transaction",
        style: Style::Node,
        kind: Kind::Transaction,
        json: include_str!("samples/node-transaction.json"),
        alerts: false,
        why: "a transaction is no event, whatever its status",
    },
    Template {
        name: "node-session",
        style: Style::Node,
        kind: Kind::Session,
        json: include_str!("samples/node-session.json"),
        alerts: false,
        why: "a session is no event, even one with errors",
    },
    Template {
        name: "python-zero-division-again",
        style: Style::Python,
        kind: Kind::Event,
        json: include_str!("samples/python-zero-division.json"),
        alerts: false,
        why: "the same error again: held back within the silence",
    },
    Template {
        name: "hostile-title",
        style: Style::RavenNodeStore,
        kind: Kind::Event,
        json: include_str!("samples/hostile.json"),
        alerts: true,
        why: "an exception text that tries to be a link, a mention, HTML and a heading",
    },
    Template {
        name: "node-without-level",
        style: Style::Node,
        kind: Kind::Event,
        json: include_str!("samples/node-without-level.json"),
        alerts: true,
        why: "no level means error",
    },
];

/// Odd, so that neighbouring positions get ids that look unlike each other and never collide within a run.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn gives_every_run_its_own_event_ids() {
        let key = SdkKey::new("a".repeat(32), 1);
        let ids: HashSet<_> = [1, 2]
            .into_iter()
            .flat_map(|run| samples(&key, run, UNIX_EPOCH))
            .filter_map(|sample| sample.event_id)
            .collect();

        assert_eq!(ids.len(), 22);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn writes_times_as_sdks_do() {
        assert_eq!(rfc3339(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}

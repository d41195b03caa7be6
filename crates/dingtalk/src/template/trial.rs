//! Alerts on which a template is tried before it is used: each reason, with every fact and with hardly any.

use std::time::{Duration, SystemTime};

use alert::{Alert, Counted, Reason, WindowCount};

/// Returns the trial alerts: each reason twice.
pub(super) fn alerts() -> Vec<Alert> {
    let alerts = Reason::ALL.into_iter();
    alerts
        .flat_map(|reason| [because(reason, full()), because(reason, bare())])
        .collect()
}

/// Returns an alert with every fact a card may show.
pub(super) fn full() -> Alert {
    serde_json::from_str(include_str!("trial.json")).expect("the file is one that tests read")
}

/// Returns the moment at which the alerts are shown.
pub(super) fn now() -> SystemTime {
    full().counts.last_seen + Duration::from_secs(2)
}

/// The least an event can hold.
fn bare() -> Alert {
    let mut alert = full();
    let subject = &mut alert.subject;
    subject.location = None;
    subject.user = None;
    subject.handled = None;
    subject.timestamp = None;
    subject.event_id = None;
    subject.causes.clear();
    subject.tags.clear();
    subject.culprit.clear();
    subject.platform.clear();
    for text in [
        &mut subject.project_name,
        &mut subject.exception_type,
        &mut subject.value,
        &mut subject.environment,
        &mut subject.release,
        &mut subject.dist,
        &mut subject.server_name,
        &mut subject.transaction,
        &mut subject.logger,
        &mut subject.request_method,
        &mut subject.request_url,
        &mut subject.trace_id,
    ] {
        *text = None;
    }
    alert.counts.events = 1;
    alert.counts.users = 0;
    alert.links = alert::Links::default();
    alert
}

/// What the engine tells along with a reason.
fn because(reason: Reason, mut alert: Alert) -> Alert {
    let window = WindowCount {
        count: 10,
        of: Counted::Events,
        within: Duration::from_secs(60),
    };
    let counts = &mut alert.counts;
    counts.last_said = match reason {
        Reason::FirstSeen | Reason::Threshold => None,
        Reason::Burst
        | Reason::StillHappening
        | Reason::Regression
        | Reason::NewRelease
        | Reason::MuteEnded
        | Reason::Stopped => Some(counts.first_seen),
    };
    counts.window = matches!(reason, Reason::Threshold | Reason::Burst).then_some(window);
    let is_quiet = matches!(reason, Reason::Regression | Reason::Stopped);
    counts.quiet = is_quiet.then_some(Duration::from_secs(3_600));
    alert.reason = reason;
    alert
}

//! Whether every sample was forwarded unchanged and alerted as expected.

use std::fmt;

use testkit::{Message, Received, Refusal, Sample};

/// What became of the samples.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    samples: usize,
    forwarded: usize,
    alerts: usize,
    complaints: Vec<String>,
}

impl Verdict {
    /// Compares what was sent with what arrived. Requests and cards of other senders are not looked at.
    pub(super) fn of(
        samples: &[Sample],
        statuses: &[u16],
        received: &[Received],
        messages: &[Message],
        refusals: &[Refusal],
    ) -> Self {
        let mut verdict = Self {
            samples: samples.len(),
            forwarded: 0,
            alerts: 0,
            complaints: Vec::new(),
        };
        for (sample, status) in samples.iter().zip(statuses) {
            verdict.judge(sample, *status, received, messages);
        }
        for refusal in refusals {
            verdict
                .complaints
                .push(format!("the robot refused a message: {refusal:?}"));
        }
        verdict
    }

    pub(super) fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    fn judge(&mut self, sample: &Sample, status: u16, received: &[Received], messages: &[Message]) {
        let is_forwarded = received.iter().any(|received| {
            received.body == sample.request.body && received.target == sample.request.target
        });
        match (is_forwarded, status) {
            (true, 200) => self.forwarded += 1,
            (true, _) => self
                .complaints
                .push(format!("`{}` was answered with {status}", sample.name)),
            (false, _) => self
                .complaints
                .push(format!("`{}` did not reach Sentry unchanged", sample.name)),
        }
        let cards = messages
            .iter()
            .filter(|message| is_about(message, sample))
            .count();
        match (sample.alerts, cards) {
            (true, 1) => self.alerts += 1,
            (false, 0) => {}
            (true, 0) => self
                .complaints
                .push(format!("`{}` raised no alert", sample.name)),
            (true, more) => self
                .complaints
                .push(format!("`{}` raised {more} alerts", sample.name)),
            (false, _) => self
                .complaints
                .push(format!("`{}` should have stayed silent", sample.name)),
        }
    }
}

/// Every card links to its event by id.
fn is_about(message: &Message, sample: &Sample) -> bool {
    sample
        .event_id
        .as_ref()
        .is_some_and(|id| message.text.contains(id.as_str()))
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            forwarded,
            alerts,
            complaints,
        } = self;
        write!(
            formatter,
            "{forwarded} of {samples} samples reached Sentry unchanged, {alerts} raised one card each"
        )?;
        if complaints.is_empty() {
            return write!(formatter, "; everything as expected");
        }
        complaints
            .iter()
            .try_for_each(|complaint| write!(formatter, "\n  not as expected: {complaint}"))
    }
}

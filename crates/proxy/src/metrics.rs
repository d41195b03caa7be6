//! What the proxy counts. Every handle is resolved beforehand: counting is one atomic addition, without lock or look-up.

mod histogram;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use self::histogram::{BOUNDS_MICROS, Histogram};
use crate::answer::Refusal;
use crate::keep::Settled;
use crate::route::{ENDPOINT_LABELS, EndpointLabel};
use crate::tap::{Dropped, Verdict};

/// The proxy's metrics; shared by all threads.
#[derive(Debug)]
pub struct Metrics {
    requests: Vec<[Counter; OUTCOMES]>,
    requests_family: Family<RequestLabels, Counter>,
    request_duration: Histogram,
    upstream_duration: Histogram,
    tee_dropped: [Counter; Dropped::ALL.len()],
    tee_dropped_family: Family<DroppedLabels, Counter>,
    replayed: [Counter; Settled::ALL.len()],
    replayed_family: Family<ReplayedLabels, Counter>,
}

/// The numbers of one moment; they only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests that Sentry answered, whatever it said.
    pub answered: u64,
    /// Requests that went into the spool.
    pub spooled: u64,
    /// Requests that Sentry did not answer and that could not be kept.
    pub lost: u64,
    /// Requests that we refused ourselves.
    pub refused: u64,
    /// Our answers by how long they took: as many as [`Totals::bounds`], and one for all that took longer.
    pub answers_by_time: Vec<u64>,
    /// Sentry's answers by how long they took.
    pub upstream_by_time: Vec<u64>,
}

/// What became of a request: exactly one of these is counted for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was forwarded.
    Forwarded(Verdict),
    /// We answered it ourselves.
    Refused(Refusal),
    /// A browser asked whether it may send, and we answered while Sentry could not.
    Preflight,
}

impl Outcome {
    /// Returns the outcome's name, as the label `verdict` has it.
    pub(crate) fn as_str(self) -> &'static str {
        outcome_label(outcome_index(self))
    }
}

impl Metrics {
    /// Returns metrics that all stand at zero.
    pub fn new() -> Metrics {
        let requests_family = Family::<RequestLabels, Counter>::default();
        let tee_dropped_family = Family::<DroppedLabels, Counter>::default();
        let requests = ENDPOINT_LABELS
            .iter()
            .map(|endpoint| {
                std::array::from_fn(|index| {
                    let labels = RequestLabels {
                        endpoint,
                        verdict: outcome_label(index),
                    };
                    requests_family.get_or_create_owned(&labels)
                })
            })
            .collect();
        let tee_dropped = Dropped::ALL.map(|dropped| {
            tee_dropped_family.get_or_create_owned(&DroppedLabels {
                reason: dropped.reason(),
            })
        });

        let replayed_family = Family::<ReplayedLabels, Counter>::default();
        let replayed = Settled::ALL.map(|settled| {
            replayed_family.get_or_create_owned(&ReplayedLabels {
                result: settled.as_str(),
            })
        });

        Metrics {
            replayed,
            replayed_family,
            requests,
            requests_family,
            request_duration: Histogram::new(),
            upstream_duration: Histogram::new(),
            tee_dropped,
            tee_dropped_family,
        }
    }

    /// Adds the metrics to a registry, whose prefix must be `sentry_notice`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests by endpoint and by what became of them",
            self.requests_family.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from the head of a request to the head of our answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register_with_unit(
            "upstream_duration",
            "Time Sentry took to answer a forwarded request",
            Unit::Seconds,
            self.upstream_duration.clone(),
        );
        registry.register(
            "tee_dropped",
            "Requests forwarded without a copy for the alert pipeline",
            self.tee_dropped_family.clone(),
        );
        registry.register(
            "replayed",
            "Requests sent from the spool by how it ended; those that failed or were limited wait again",
            self.replayed_family.clone(),
        );
    }

    /// Returns how many requests were lost: Sentry could not take them, and they could not be kept.
    pub fn lost(&self) -> u64 {
        let lost = Outcome::Forwarded(Verdict::Unreachable);
        let counts = self.requests.iter().map(|of| of[outcome_index(lost)].get());
        counts.sum()
    }

    /// Returns the numbers of this moment, all endpoints together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            answers_by_time: self.request_duration.counts().to_vec(),
            upstream_by_time: self.upstream_duration.counts().to_vec(),
            ..Totals::default()
        };
        for counters in &self.requests {
            for (index, counter) in counters.iter().enumerate() {
                if let Some(slot) = totals.slot(index) {
                    *slot += counter.get();
                }
            }
        }
        totals
    }

    pub(crate) fn request(&self, endpoint: EndpointLabel, outcome: Outcome, took: Duration) {
        self.requests[endpoint.index()][outcome_index(outcome)].inc();
        self.request_duration.observe(took);
    }

    /// Counts a request that ended before it could be timed.
    pub(crate) fn refused(&self, endpoint: EndpointLabel, outcome: Outcome) {
        self.requests[endpoint.index()][outcome_index(outcome)].inc();
    }

    pub(crate) fn upstream(&self, took: Duration) {
        self.upstream_duration.observe(took);
    }

    pub(crate) fn replayed(&self, settled: Settled) {
        self.replayed[settled as usize].inc();
    }

    pub(crate) fn tee_dropped(&self, dropped: Dropped) {
        self.tee_dropped[dropped as usize].inc();
    }
}

impl Totals {
    /// Returns the upper bound of each bucket of durations, smallest first.
    pub fn bounds() -> impl Iterator<Item = Duration> {
        BOUNDS_MICROS.into_iter().map(Duration::from_micros)
    }

    /// Returns what counts an outcome; nothing counts preflights, which carry nothing.
    fn slot(&mut self, outcome: usize) -> Option<&mut u64> {
        Some(match Verdict::ALL.get(outcome) {
            None if outcome == outcome_index(Outcome::Preflight) => return None,
            None => &mut self.refused,
            Some(Verdict::Spooled) => &mut self.spooled,
            Some(Verdict::Unreachable) => &mut self.lost,
            Some(Verdict::Accepted | Verdict::Limited | Verdict::Rejected(_) | Verdict::Failed) => {
                &mut self.answered
            }
        })
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplayedLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabels {
    reason: &'static str,
}

fn outcome_index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Forwarded(verdict) => verdict.index(),
        Outcome::Refused(refusal) => Verdict::ALL.len() + refusal as usize,
        Outcome::Preflight => OUTCOMES - 1,
    }
}

fn outcome_label(index: usize) -> &'static str {
    match index.checked_sub(Verdict::ALL.len()) {
        None => Verdict::ALL[index].as_str(),
        Some(index) => Refusal::ALL
            .get(index)
            .map_or("preflight", |refusal| refusal.reason()),
    }
}

const OUTCOMES: usize = Verdict::ALL.len() + Refusal::ALL.len() + 1;

//! Traffic and latency of the last hour, a minute a slot, and of the last seconds: sampled from counters, never on the way of
//! a request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::snapshot::Traffic;

/// What the samples say. Bounded: [`MINUTES`] slots of some 300 bytes, and the samples of the last seconds.
#[derive(Debug)]
pub(crate) struct History(Mutex<Ring>);

/// What happened within a span of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Span {
    pub(crate) answered: u64,
    pub(crate) spooled: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    answers: Vec<u64>,
    upstream: Vec<u64>,
}

/// The last seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Now {
    pub(crate) per_second: f64,
    pub(crate) median: Option<Duration>,
    pub(crate) slow: Option<Duration>,
    pub(crate) upstream_slow: Option<Duration>,
}

/// One minute of the last hour.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Minute {
    pub(crate) span: Span,
    pub(crate) median: Option<Duration>,
    pub(crate) slow: Option<Duration>,
}

#[derive(Debug)]
struct Ring {
    started: Instant,
    /// The samples of the last seconds, the newest last.
    samples: VecDeque<(Instant, Traffic)>,
    /// The last minutes, the newest last; that one is under way.
    minutes: VecDeque<Span>,
    /// Which minute since the start the newest is.
    minute: u64,
}

impl History {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Ring {
            started: now,
            samples: VecDeque::new(),
            minutes: VecDeque::from([Span::default()]),
            minute: 0,
        }))
    }

    /// Takes a sample; to be called every second or so.
    pub(crate) fn sample(&self, traffic: Traffic, now: Instant) {
        let mut ring = self.lock();
        ring.advance(now);
        let last = ring.samples.back().map(|(_, traffic)| traffic.clone());
        let added = Span::between(&last.unwrap_or_default(), &traffic);
        if let Some(newest) = ring.minutes.back_mut() {
            newest.add(&added);
        }
        ring.samples.push_back((now, traffic));
        // The oldest sample that stays is the one from which the last seconds are counted.
        while ring.samples.len() > 2 && now.duration_since(ring.samples[1].0) >= RECENT {
            ring.samples.pop_front();
        }
    }

    /// Returns what the last seconds were like.
    pub(crate) fn now(&self) -> Now {
        let ring = self.lock();
        let (Some((from, before)), Some((until, after))) =
            (ring.samples.front(), ring.samples.back())
        else {
            return Now::default();
        };
        let span = Span::between(before, after);
        let seconds = until.duration_since(*from).as_secs_f64();
        Now {
            per_second: span.requests() as f64 / seconds.max(1.0),
            median: quantile(&span.answers, &after.bounds, 0.5),
            slow: quantile(&span.answers, &after.bounds, 0.95),
            upstream_slow: quantile(&span.upstream, &after.bounds, 0.95),
        }
    }

    /// Returns the last hour, the oldest minute first; those before the start are empty.
    pub(crate) fn hour(&self) -> Vec<Minute> {
        let ring = self.lock();
        let newest = ring.samples.back();
        let bounds = newest.map_or(&[][..], |(_, traffic)| &traffic.bounds);
        let missing = MINUTES - ring.minutes.len();
        let empty = std::iter::repeat_with(Minute::default).take(missing);
        let known = ring.minutes.iter().map(|span| Minute {
            median: quantile(&span.answers, bounds, 0.5),
            slow: quantile(&span.answers, bounds, 0.95),
            span: span.clone(),
        });
        empty.chain(known).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn advance(&mut self, now: Instant) {
        let minute = now.duration_since(self.started).as_secs() / 60;
        let passed = minute.saturating_sub(self.minute).min(MINUTES as u64);
        for _ in 0..passed {
            self.minutes.push_back(Span::default());
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        self.minute = minute;
    }
}

impl Span {
    pub(crate) fn requests(&self) -> u64 {
        self.answered + self.spooled + self.lost + self.refused
    }

    fn between(before: &Traffic, after: &Traffic) -> Self {
        Self {
            answered: after.answered.saturating_sub(before.answered),
            spooled: after.spooled.saturating_sub(before.spooled),
            lost: after.lost.saturating_sub(before.lost),
            refused: after.refused.saturating_sub(before.refused),
            answers: grown(&before.answers, &after.answers),
            upstream: grown(&before.upstream, &after.upstream),
        }
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.spooled += other.spooled;
        self.lost += other.lost;
        self.refused += other.refused;
        add(&mut self.answers, &other.answers);
        add(&mut self.upstream, &other.upstream);
    }
}

fn grown(before: &[u64], after: &[u64]) -> Vec<u64> {
    let before = before.iter().chain(std::iter::repeat(&0));
    let both = after.iter().zip(before);
    both.map(|(after, before)| after.saturating_sub(*before))
        .collect()
}

fn add(counts: &mut Vec<u64>, others: &[u64]) {
    counts.resize(counts.len().max(others.len()), 0);
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}

/// Returns below which duration this share of them lies, within its bucket as if they were spread evenly; of those above
/// all bounds, the last bound. `None` when there are none.
fn quantile(counts: &[u64], bounds: &[Duration], share: f64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    let mut left = share * total as f64;
    let mut lower = Duration::ZERO;
    for (count, upper) in counts.iter().zip(bounds) {
        let count = *count as f64;
        if count > 0.0 && left <= count {
            return Some(lower + upper.saturating_sub(lower).mul_f64(left / count));
        }
        left -= count;
        lower = *upper;
    }
    (total > 0).then_some(lower)
}

/// Minutes that are kept.
pub(crate) const MINUTES: usize = 60;

/// How long the last seconds are.
const RECENT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_seconds_and_the_minutes() {
        let start = Instant::now();
        let history = History::new(start);
        for second in 0..=130_u64 {
            history.sample(traffic(second * 3), start + Duration::from_secs(second));
        }

        let hour = history.hour();

        assert_eq!(history.now().per_second, 3.0);
        assert_eq!(hour.len(), MINUTES);
        let requests: Vec<u64> = hour.iter().map(|minute| minute.span.requests()).collect();
        assert_eq!(requests[57..], [177, 180, 33]);
        assert_eq!(requests[..57], [0; 57]);
    }

    #[test]
    fn forgets_what_is_older_than_an_hour_also_when_it_slept() {
        let start = Instant::now();
        let history = History::new(start);
        history.sample(traffic(5), start);

        history.sample(traffic(5), start + Duration::from_secs(59 * 60));
        let kept = history.hour()[0].span.requests();
        history.sample(traffic(6), start + Duration::from_secs(9 * 3_600));

        let hour = history.hour();
        assert_eq!(kept, 5);
        assert_eq!(hour.len(), MINUTES);
        assert_eq!(hour[59].span.requests(), 1);
        assert!(hour[..59].iter().all(|minute| minute.span.requests() == 0));
    }

    #[test]
    fn keeps_few_samples_however_often_it_is_asked() {
        let start = Instant::now();
        let history = History::new(start);
        for step in 0..100_000 {
            history.sample(traffic(step), start + Duration::from_millis(step * 500));
        }

        let ring = history.lock();
        assert!(ring.samples.len() < 30, "{}", ring.samples.len());
        assert_eq!(ring.minutes.len(), MINUTES);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let bounds = [10, 20, 40].map(Duration::from_millis);
        let cases: [(&[u64], f64, Option<u64>); 6] = [
            (&[0, 0, 0, 0], 0.5, None),
            (&[], 0.5, None),
            (&[4, 0, 0, 0], 0.5, Some(5)),
            (&[0, 4, 0, 0], 0.5, Some(15)),
            (&[90, 0, 10, 0], 0.95, Some(30)),
            (&[0, 0, 0, 7], 0.95, Some(40)),
        ];

        for (counts, share, expected) in cases {
            let found = quantile(counts, &bounds, share);
            assert_eq!(found, expected.map(Duration::from_millis), "{counts:?}");
        }
    }

    fn traffic(requests: u64) -> Traffic {
        Traffic {
            answered: requests,
            ..Traffic::default()
        }
    }
}

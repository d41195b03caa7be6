//! A histogram of durations without a lock: prometheus-client's own takes one for every observation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A histogram of durations; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(Arc<Inner>);

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram(Arc::default())
    }

    /// Returns how many durations there were in each bucket; the last one is that above all bounds.
    pub(crate) fn counts(&self) -> [u64; BUCKETS] {
        let counts = self.0.counts.each_ref();
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.counts();
        let bounds = BOUNDS_MICROS
            .iter()
            .map(|micros| *micros as f64 / 1e6)
            .chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let sum = self.0.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;

        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[derive(Debug, Default)]
struct Inner {
    counts: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// Upper bounds of the buckets in microseconds: 250 µs to 30 s.
pub(super) const BOUNDS_MICROS: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 30_000_000,
];

const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn counts_each_duration_in_its_bucket() {
        let histogram = Histogram::new();
        let mut registry = Registry::default();
        registry.register("took_seconds", "Test", histogram.clone());

        histogram.observe(Duration::from_micros(250));
        histogram.observe(Duration::from_micros(251));
        histogram.observe(Duration::from_secs(31));

        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("took_seconds_bucket{le=\"0.00025\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("took_seconds_bucket{le=\"0.0005\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("took_seconds_bucket{le=\"30.0\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("took_seconds_bucket{le=\"+Inf\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("took_seconds_count 3\n"), "{text}");
    }
}

//! Counts latencies in buckets that grow with their value, as HdrHistogram does.

use std::time::Duration;

/// A histogram of durations; a quantile is at most 1.6 % above the truth.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    /// Returns an empty histogram.
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    /// Returns the latency that this share of all latencies does not exceed, in microseconds; `share` is 0 to 1.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return upper_bound(index) as f64 / 1000.0;
            }
        }
        f64::NAN
    }
}

/// Values below [`STEPS`] have a bucket each; from there on every doubling has [`STEPS`] buckets.
fn bucket(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = (value >> doublings) as usize;
    doublings as usize * STEPS + step
}

/// Returns the largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - doublings * STEPS) as u64;
    ((u128::from(step + 1) << doublings) - 1) as u64
}

const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;

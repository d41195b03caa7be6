//! The metric that tells whether state is what it should be.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use state::Store;

/// Reads the store when it is asked: `state_fallback` is 1 while it works from memory alone, else 0.
pub(crate) struct FallbackGauge(pub(crate) Arc<dyn Store>);

impl Collector for FallbackGauge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(i64::from(self.0.trouble().is_some()));
        let encoder = encoder.encode_descriptor(
            "state_fallback",
            "1 while state is kept in memory alone, because its file or Redis fails",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(encoder)
    }
}

impl fmt::Debug for FallbackGauge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FallbackGauge({})", self.0.backend())
    }
}

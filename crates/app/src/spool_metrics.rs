//! The spool's numbers, read when somebody asks for the metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use spool::Queue;

/// The numbers of one spool.
#[derive(Debug)]
pub(crate) struct SpoolMetrics(pub(crate) Queue);

impl Collector for SpoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        let gauges = [
            (
                "spool",
                "Bytes of the spool's files",
                Some(&Unit::Bytes),
                counts.bytes,
            ),
            (
                "spool_requests",
                "Requests in the spool that wait or are being sent",
                None,
                counts.requests,
            ),
            (
                "spool_quarantined",
                "Requests in the spool that Sentry refused",
                None,
                counts.refused,
            ),
            (
                "spool_failing",
                "Whether the last write to the spool failed",
                None,
                counts.is_failing.into(),
            ),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let counters = [
            (
                "spool_appended",
                "Requests that were made durable",
                counts.appended,
            ),
            (
                "spool_expired",
                "Requests in the spool that became too old",
                counts.expired,
            ),
            (
                "spool_evicted",
                "Refused requests that made room in the spool",
                counts.evicted,
            ),
            (
                "spool_refused",
                "Requests that found the spool full",
                counts.refused_full,
            ),
            (
                "spool_damaged",
                "Places in the spool that could not be read",
                counts.damaged,
            ),
            (
                "spool_write_errors",
                "Writes to the spool that failed",
                counts.write_errors,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

//! All counters as Prometheus reads them: in its own text format, or as OpenMetrics where that is asked for.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>; <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;

use crate::Admin;

pub(crate) async fn text(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let mut text = String::new();
    if encode(&mut text, &admin.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    match accepts.is_some_and(|types| types.contains("application/openmetrics-text")) {
        true => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        false => ([(CONTENT_TYPE, PLAIN)], plain(&text)).into_response(),
    }
}

/// Turns OpenMetrics into the older format, in which a counter is described under its whole name, `…_total`, and units and
/// ends are unknown.
fn plain(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(text)) => help = Some((name, text)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, text)) = help.take_if(|(of, _)| *of == name) {
                    plain.push_str(&format!("# HELP {name}{suffix} {text}\n"));
                }
                plain.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_a_counter_under_its_whole_name() {
        let open = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{x=\"# HELP\"} 1\n# HELP d_seconds Time.\n# TYPE d_seconds histogram\n# UNIT d_seconds seconds\nd_seconds_sum 0.5\n# EOF\n";

        assert_eq!(
            plain(open),
            "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{x=\"# HELP\"} 1\n# HELP d_seconds Time.\n# TYPE d_seconds histogram\nd_seconds_sum 0.5\n"
        );
    }
}

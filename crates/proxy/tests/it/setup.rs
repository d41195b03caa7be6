//! Starts a proxy on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use proxy::{Captures, Config, Metrics, Outlook, Proxy, Running, channel};
use spool::Queue;

use crate::message::Connection;

pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) captures: Captures,
    pub(crate) running: Running,
    pub(crate) outlook: Outlook,
    pub(crate) metrics: Arc<Metrics>,
    /// What it was started with, and the port it got.
    pub(crate) config: Config,
    registry: Registry,
}

pub(crate) fn start(sentry: SocketAddr) -> Started {
    start_with(sentry, |_| {})
}

pub(crate) fn start_with(sentry: SocketAddr, change: impl FnOnce(&mut Config)) -> Started {
    start_tapped(sentry, 64 << 20, change)
}

pub(crate) fn start_tapped(
    sentry: SocketAddr,
    memory: usize,
    change: impl FnOnce(&mut Config),
) -> Started {
    launch(sentry, memory, None, change)
}

/// Starts a proxy with a spool.
pub(crate) fn start_keeping(
    sentry: SocketAddr,
    queue: &Queue,
    change: impl FnOnce(&mut Config),
) -> Started {
    launch(sentry, 64 << 20, Some(queue.clone()), change)
}

fn launch(
    sentry: SocketAddr,
    memory: usize,
    queue: Option<Queue>,
    change: impl FnOnce(&mut Config),
) -> Started {
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        threads: 1,
        ..Config::default()
    };
    config.upstream.url = format!("http://{sentry}").parse().unwrap();
    config.upstream.response_timeout = Duration::from_secs(10);
    change(&mut config);

    let (tap, captures) = channel(memory);
    let metrics = Arc::new(Metrics::new());
    let mut registry = Registry::with_prefix("sentry_notice");
    metrics.register(&mut registry);
    let mut proxy = Proxy::bind(config.clone(), tap, Arc::clone(&metrics)).unwrap();
    let outlook = proxy.outlook();
    if let Some(queue) = queue {
        proxy = proxy.keep_in(queue);
    }
    let running = proxy.start().unwrap();
    Started {
        address: running.local_addr(),
        captures,
        running,
        outlook,
        metrics,
        config,
        registry,
    }
}

impl Started {
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Returns the value of one line of the metrics, such as `requests_total{endpoint="store",verdict="accepted"}`.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = format!("sentry_notice_{line} ");
        let found = text.lines().find_map(|other| other.strip_prefix(&line));
        found
            .unwrap_or_else(|| panic!("no `{line}` in\n{text}"))
            .parse()
            .unwrap()
    }
}

/// Returns a POST with a `Content-Length`.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: proxy.test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

//! Forwards requests to Sentry unchanged and keeps a bounded copy of them for the alert pipeline.
//!
//! One request, top-down: [`server`] accepts a connection on one of its threads and `connection` serves it. A plain request
//! goes from socket to socket (`plain`). Any other goes through hyper: `screen` lets only unambiguous ones through,
//! `handler` finds where a request goes (`route`) and `exchange` asks Sentry, `pump` moves a body that is too large to be
//! held. `upstream` connects to Sentry, and [`tap`] passes the copy on without ever waiting.
//!
//! Each forwarding thread has its own runtime, listener and upstream connections, so that requests share nothing but
//! counters.

mod access;
mod answer;
mod body;
mod breaker;
pub mod config;
mod connection;
pub mod error;
mod exchange;
mod flood;
mod handler;
mod headers;
mod keep;
mod lateness;
mod limits;
mod memory;
pub mod metrics;
mod patience;
mod patrol;
mod plain;
mod plan;
mod preflight;
mod pulse;
mod pump;
mod replay;
mod route;
mod screen;
pub mod server;
pub mod tap;
mod tls;
mod upstream;
mod worker;

pub use config::Config;
pub use error::{BindError, ReloadError};
pub use metrics::{Metrics, Totals};
pub use pulse::Pulse;
pub use server::{Outage, Outlook, Proxy, Running, UpstreamState};
pub use tap::{Captured, Captures, Tap, Verdict, channel};

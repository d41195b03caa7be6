//! The proxy between raw sockets: what goes in and comes out, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod abuse;
mod authority;
mod early;
mod forwarding;
mod http2;
mod keep;
mod limits;
mod message;
mod outage;
mod patience;
mod plain;
mod replay;
mod sentry;
mod setup;
mod tee;
mod tls;

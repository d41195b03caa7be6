//! Tests of the crate from outside: what cards look like, what hostile events can do to them, what the client makes of
//! answers.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod cards;
mod client;
mod hostile;
mod sample;
mod server;
mod simulator;
mod templates;

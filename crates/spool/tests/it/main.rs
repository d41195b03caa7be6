//! The spool on a real disk, as its users see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod failing;
mod formats;
mod kill;
mod opening;
mod outside;
mod queue;
mod support;

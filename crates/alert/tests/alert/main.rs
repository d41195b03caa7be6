//! The engine and the outbox together, on a paused clock: timelines of events, and what robots were told.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod budget;
mod delivery;
mod isolation;
mod mutes;
mod routing;
mod stage;
mod words;

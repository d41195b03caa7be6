//! Durable queue of requests that Sentry could not take.
//!
//! A request that [`Queue::append`] has returned for is on the disk, together with everything that is needed to find it, and
//! stays until [`Claim::finish`] or [`Claim::refuse`] is called for it, whatever happens to the process, the power, or other
//! files of the spool.
//!
//! ```no_run
//! # async fn example(head: spool::Head, body: bytes::Bytes) -> Result<(), Box<dyn std::error::Error>> {
//! use spool::{Body, Config, Queue};
//!
//! let queue = Queue::open(Config::new("data/spool"))?;
//! let claim = queue.append(head, Body::Memory(vec![body])).await?;
//! // Safe from here on. The request is ours until the claim ends; dropped, it waits for somebody else.
//! claim.release();
//!
//! while let Some(claim) = queue.claim(|lane| lane.project == Some(42)) {
//!     let request = claim.load().await?;
//!     // Send it; then one of finish(), refuse(status) and release().
//!     claim.finish();
//! }
//! queue.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Files
//! | name | what |
//! |---|---|
//! | `spool.lock` | locked by the process that has the spool open; says which, or where the spool ended |
//! | `<first number>-<marker>.seg` | a segment: requests in the order in which they came, with what became of each |
//! | `<id>.body` | the body of one request, if it is longer than 1 MiB or came that way |
//! | `….tmp` | a segment in the making; removed at the next start |
//! | `….damaged` | a file in which something cannot be read; for people, and the first to go when there is no room |
//!
//! One thread appends to the open segment, in batches that share one sync; a process never appends to a segment of one before
//! it. What became of a request is written over eight bytes of its frame, so it needs no room, and a segment takes everything
//! that is known about its requests along when it goes. A closed segment goes when none of its requests is needed, and is
//! written anew without the others when most of it is waste. The choice of this over a library is explained in
//! `docs/decisions/0010-spool-storage.md`.
//!
//! # Age
//! Requests expire by the time that the spool was open after they came, which it counts itself and keeps in every frame. The
//! wall clock is asked only for how long the spool was closed, and believed for up to an hour per start, so that a clock that
//! jumps by years expires nothing. Requests may live longer than `max_age` by the time that the process was stopped.

mod age;
mod batch;
mod body;
mod chance;
mod config;
mod counters;
mod dir;
mod error;
mod export;
mod frame;
pub mod fs;
mod index;
mod inspect;
mod keeper;
mod lanes;
mod load;
mod log;
mod marks;
mod queue;
mod read;
mod record;
mod recover;
mod repair;
mod rewrite;
mod scan;
mod segment;
mod shared;

pub use config::{Config, Durability};
pub use counters::Counts;
pub use error::{AppendError, LoadError, OpenError};
pub use export::{Exported, export};
pub use inspect::{Inspection, Which, drop_requests, inspect};
pub use queue::{Body, BodyReader, BodyWriter, Claim, Content, Queue, Request};
pub use record::{Framing, Head, HeadError, Lane};

#[cfg(test)]
mod tests;

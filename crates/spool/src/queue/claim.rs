//! A request that somebody holds: it is being sent, and goes to nobody else until that is over.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{BodyReader, Inner, Note};
use crate::counters::Counters;
use crate::error::LoadError;
use crate::frame::Mark;
use crate::marks;
use crate::read::{Stored, read};
use crate::record::Head;

/// A request that is held. Dropped, it waits again.
#[derive(Debug)]
pub struct Claim {
    inner: Arc<Inner>,
    sequence: u64,
    is_settled: AtomicBool,
}

/// A request as it was appended.
#[derive(Debug)]
pub struct Request {
    /// Everything but the body.
    pub head: Head,
    /// The body.
    pub body: Content,
}

/// The body of a request that was read.
#[derive(Debug)]
pub enum Content {
    /// All of it, in memory: up to 1 MiB.
    Memory(Bytes),
    /// A file, to be read piece by piece.
    File(BodyReader),
}

impl Claim {
    pub(super) fn new(inner: Arc<Inner>, sequence: u64) -> Claim {
        Claim {
            inner,
            sequence,
            is_settled: AtomicBool::new(false),
        }
    }

    /// Returns the request's number: later requests have higher ones.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Reads the request.
    ///
    /// # Errors
    /// [`LoadError::Damaged`]: it is lost, and counted; the claim has nothing left to do. [`LoadError::Unavailable`]: release
    /// it, and try later.
    pub async fn load(&self) -> Result<Request, LoadError> {
        let shared = Arc::clone(&self.inner.shared);
        let sequence = self.sequence;
        let read = spawn_blocking(move || read(&shared, sequence)).await;
        let read = read.map_err(|error| LoadError::Unavailable(error.into()))?;
        if matches!(read, Err(LoadError::Damaged)) {
            self.lose();
        }
        let (head, body) = read?;
        Ok(Request {
            head,
            body: match body {
                Stored::Inline(bytes) => Content::Memory(bytes),
                Stored::File(reader) => Content::File(BodyReader::new(reader)),
            },
        })
    }

    /// Ends the request: Sentry has it, or it is no longer needed. Writes eight bytes into the page cache, so that a killed
    /// process leaves them, and does not wait for the disk; after a power loss the request may be there again.
    pub fn finish(self) {
        Counters::add(&self.inner.shared.counters.finished, 1);
        self.end();
    }

    /// Keeps the request aside, because Sentry refused it with this status; it is not sent again.
    pub fn refuse(self, status: u16) {
        if !self.is_settled.swap(true, Ordering::Relaxed) {
            self.inner.shared.index().refuse(self.sequence, status);
            marks::mark(&self.inner.shared, self.sequence, Mark::Refused(status));
        }
    }

    /// Lets the request wait again, in its old place.
    pub fn release(self) {
        drop(self);
    }

    fn lose(&self) {
        Counters::add(&self.inner.shared.counters.damaged, 1);
        self.end();
    }

    fn end(&self) {
        if self.is_settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let finished = self.inner.shared.index().finish(self.sequence);
        marks::mark(&self.inner.shared, self.sequence, Mark::Done);
        if let Some(finished) = finished
            && (finished.is_last || finished.body.is_some())
        {
            // After the end of the queue nobody takes it, and the next process sees what can go.
            let note = Note::Ended(self.sequence, finished.body);
            let _ = self.inner.notes.send(note);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !mem::replace(self.is_settled.get_mut(), true) {
            self.inner.shared.index().release(self.sequence);
            self.inner.shared.waiting.notify_one();
        }
    }
}

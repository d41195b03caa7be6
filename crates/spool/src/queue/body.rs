//! Bodies that are too long for memory, on their way into the spool and out of it, piece by piece.

use std::sync::mpsc::Sender;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::Note;
use crate::body::{Draft, Reader};
use crate::error::{AppendError, LoadError};
use crate::record::BodyFile;

/// A body that is written into a file of the spool. Dropped before it is appended with its head, it is gone.
#[derive(Debug)]
pub struct BodyWriter {
    /// Missing after a write that did not succeed or was not awaited.
    draft: Option<Draft>,
    /// Who removes the file if it is not needed: for a long one, that takes a while.
    notes: Sender<Note>,
    pieces: Vec<Bytes>,
    gathered: usize,
}

/// A body that is read from a file of the spool. It was read whole once, so damage was found before the first byte is sent;
/// every block is checked again.
#[derive(Debug)]
pub struct BodyReader {
    /// Missing after a read that did not succeed or was not awaited.
    reader: Option<Reader>,
    len: u64,
}

impl BodyWriter {
    pub(super) fn new(draft: Draft, notes: Sender<Note>) -> BodyWriter {
        BodyWriter {
            draft: Some(draft),
            notes,
            pieces: Vec::new(),
            gathered: 0,
        }
    }

    /// Returns the length of the body so far, in bytes.
    pub fn len(&self) -> u64 {
        let written = self.draft.as_ref().map_or(0, Draft::len);
        written + self.gathered as u64
    }

    /// Whether the body has no byte so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a piece of the body. Up to 256 KiB stay in memory.
    ///
    /// # Errors
    /// When the spool is full or the disk does not take it; every later call fails, too.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), AppendError> {
        self.gathered += piece.len();
        self.pieces.push(piece);
        if self.gathered < GATHERED && self.pieces.len() < PIECES {
            return Ok(());
        }
        self.flush().await
    }

    /// Makes the body durable.
    pub(super) async fn into_draft(mut self) -> Result<(Draft, BodyFile), AppendError> {
        self.flush().await?;
        let mut draft = self.draft.take().ok_or(AppendError::Closed)?;
        let sealed = spawn_blocking(move || draft.seal().map(|file| (draft, file)));
        sealed.await.map_err(|_| AppendError::Closed)?
    }

    async fn flush(&mut self) -> Result<(), AppendError> {
        let mut draft = self.draft.take().ok_or(AppendError::Closed)?;
        let pieces = std::mem::take(&mut self.pieces);
        self.gathered = 0;
        let written = spawn_blocking(move || {
            pieces
                .iter()
                .try_for_each(|piece| draft.push(piece))
                .map(|()| draft)
        });
        let draft = written.await.map_err(|_| AppendError::Closed)??;
        self.draft = Some(draft);
        Ok(())
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            // After the end of the queue it comes back, and is dropped here.
            let _ = self.notes.send(Note::Discard(draft));
        }
    }
}

impl BodyReader {
    pub(super) fn new(reader: Reader) -> BodyReader {
        BodyReader {
            len: reader.len(),
            reader: Some(reader),
        }
    }

    /// Returns the length of the whole body, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the body has no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the next piece, up to 64 KiB; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or is no longer what it was; the request must be broken off then, and every later call
    /// fails, too.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LoadError> {
        let mut reader = self.reader.take().ok_or(LoadError::Damaged)?;
        let read = spawn_blocking(move || reader.next().map(|piece| (reader, piece)));
        let (reader, piece) = read
            .await
            .map_err(|error| LoadError::Unavailable(error.into()))??;
        self.reader = Some(reader);
        Ok(piece)
    }
}

const GATHERED: usize = 256 << 10;
const PIECES: usize = 1024;

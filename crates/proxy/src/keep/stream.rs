//! A body that is too large for memory on its way into a file of the spool, while it is on its way to Sentry too.

use std::sync::Arc;

use bytes::Bytes;
use spool::{AppendError, BodyWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Keeper;

/// The way into the file. Dropped, the file goes.
#[derive(Debug)]
pub(crate) struct BodyStream {
    pieces: mpsc::Sender<Bytes>,
    writing: JoinHandle<Result<BodyWriter, AppendError>>,
}

impl BodyStream {
    /// Starts a file; what goes wrong with it shows at the end.
    pub(crate) fn start(keeper: Arc<Keeper>) -> BodyStream {
        let (pieces, receiver) = mpsc::channel(DEPTH);
        BodyStream {
            pieces,
            writing: tokio::task::spawn_local(write(keeper, receiver)),
        }
    }

    /// Adds a piece; waits while the disk is slower than the client. May be dropped and called again with the same piece.
    pub(crate) async fn push(&self, piece: &Bytes) {
        // Fails once the disk does not take it; that shows at the end.
        if let Ok(room) = self.pieces.reserve().await {
            room.send(piece.clone());
        }
    }

    /// Returns the file once all of it is there.
    pub(crate) async fn finish(self) -> Result<BodyWriter, AppendError> {
        let BodyStream { pieces, writing } = self;
        drop(pieces);
        writing.await.unwrap_or(Err(AppendError::Closed))
    }
}

async fn write(
    keeper: Arc<Keeper>,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<BodyWriter, AppendError> {
    let mut writer = keeper.queue.body().await?;
    while let Some(piece) = pieces.recv().await {
        writer.push(piece).await?;
    }
    Ok(writer)
}

/// Pieces that may wait for the disk.
const DEPTH: usize = 4;

//! Moves a client's body: into memory when it is small, piece by piece to Sentry and into the copy when it is not.
//!
//! The loop is ours and not hyper's, because a body that merely copies as it is pulled loses the rest of its copy when
//! Sentry answers early, and Sentry does that just when the quota is spent.

use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::answer::Refusal;
use crate::body::Feed;
use crate::keep::BodyStream;
use crate::memory::{Held, Memory};
use crate::tap::BodyCopy;

/// The first pieces of a body.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) pieces: Vec<Bytes>,
    /// What the pieces take of the thread's memory.
    held: Held,
    /// Bytes in all pieces.
    pub(crate) length: u64,
    pub(crate) is_complete: bool,
}

impl Gathered {
    /// Returns the start of a body of which nothing has been read.
    pub(crate) fn nothing(memory: &Rc<Memory>) -> Gathered {
        Gathered {
            pieces: Vec::new(),
            held: memory.hold(),
            length: 0,
            is_complete: false,
        }
    }
}

/// Reads a body until its end, or until more than `limit` bytes of it are held, or until the memory for bodies is used up.
///
/// Running out of memory is no reason to wait: the body is then moved on piece by piece, which needs little.
pub(crate) async fn gather(
    incoming: &mut Incoming,
    memory: &Rc<Memory>,
    limit: usize,
    stall: Duration,
) -> Result<Gathered, Refusal> {
    let mut gathered = Gathered::nothing(memory);
    while gathered.length <= limit as u64 {
        match next_piece(incoming, stall).await? {
            Some(piece) => {
                let has_room = gathered.held.grow(piece.len());
                gathered.length += piece.len() as u64;
                gathered.pieces.push(piece);
                if !has_room {
                    break;
                }
            }
            None => {
                gathered.is_complete = true;
                break;
            }
        }
    }
    Ok(gathered)
}

/// A body on its way from a client to Sentry and into the copy.
#[derive(Debug)]
pub(crate) struct Pump {
    incoming: Incoming,
    feed: Option<Feed>,
    /// Taken from the client, not yet given to Sentry.
    pending: VecDeque<Bytes>,
    copy: Option<BodyCopy>,
    /// Taken from the client, not yet given to the file that the spool would need.
    unstored: Option<Bytes>,
    file: Option<BodyStream>,
    /// How the body begins.
    start: Vec<Bytes>,
    received: u64,
    limits: PumpLimits,
}

/// How much and how slow a pumped body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PumpLimits {
    /// Bytes of the body.
    pub(crate) max_body: u64,
    /// The longest time between two pieces from the client.
    pub(crate) client_stall: Duration,
    /// The longest time Sentry may take no piece.
    pub(crate) upstream_stall: Duration,
}

/// What stopped a pump.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client did something that ends its request.
    Client(Refusal),
    /// Sentry takes no more of the body.
    Upstream,
}

impl Pump {
    /// Returns how many bytes have come from the client.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns a pump that starts with what was gathered of the body.
    pub(crate) fn new(
        gathered: Gathered,
        incoming: Incoming,
        feed: Feed,
        copy: Option<BodyCopy>,
        limits: PumpLimits,
    ) -> Pump {
        let mut pump = Pump {
            unstored: None,
            file: None,
            start: Vec::new(),
            incoming,
            feed: Some(feed),
            pending: VecDeque::new(),
            copy,
            received: gathered.length,
            limits,
        };
        for piece in &gathered.pieces {
            pump.add_to_copy(piece);
        }
        pump.start.clone_from(&gathered.pieces);
        pump.pending = gathered.pieces.into();
        pump
    }

    /// Writes the body into a file as well, from its start on.
    pub(crate) async fn store_in(&mut self, file: BodyStream) {
        for piece in &self.pending {
            file.push(piece).await;
        }
        self.file = Some(file);
    }

    /// Returns how the body begins.
    pub(crate) fn start(&self) -> &[Bytes] {
        &self.start
    }

    /// Takes the file out; it is complete if the body is.
    pub(crate) fn take_file(&mut self) -> Option<BodyStream> {
        self.file.take()
    }

    /// Moves the body to its end. May be dropped and called again: no piece is lost.
    pub(crate) async fn run(&mut self) -> Result<(), Stop> {
        loop {
            self.store_unstored().await;
            self.feed_pending().await?;
            match next_piece(&mut self.incoming, self.limits.client_stall)
                .await
                .map_err(Stop::Client)?
            {
                Some(piece) => self.take(piece)?,
                None => break,
            }
        }
        if let Some(feed) = self.feed.take() {
            feed.finish();
        }
        Ok(())
    }

    /// Reads the rest of the body into the copy after Sentry's answer came early; returns whether the body is complete.
    ///
    /// Waits for the end of the body only while the copy can still become complete: then the client gets its answer when
    /// it has sent everything, as some clients need.
    pub(crate) async fn settle(&mut self) -> bool {
        let limit = if self.file.is_some() {
            STORE_TIMEOUT
        } else {
            SETTLE_TIMEOUT
        };
        let until_over = async {
            while self.file.is_some() || self.copy.as_ref().is_some_and(BodyCopy::is_kept) {
                match self.advance().await {
                    Ok(true) => {}
                    Ok(false) => return true,
                    Err(()) => return false,
                }
            }
            false
        };
        timeout(limit, until_over).await.unwrap_or(false)
    }

    /// Reads what is left of the body and forgets it, for a while, so that the client gets to read its answer.
    pub(crate) async fn discard(mut self) {
        let until_end = async { while let Ok(true) = self.advance().await {} };
        let _ = timeout(DISCARD_TIMEOUT, until_end).await;
    }

    /// Stops giving the body to Sentry, without breaking the request off.
    pub(crate) fn hold(&mut self) -> Option<Feed> {
        self.pending.clear();
        self.feed.take()
    }

    /// Takes the copy out; it grows no more.
    pub(crate) fn take_copy(&mut self) -> Option<BodyCopy> {
        self.copy.take()
    }

    fn add_to_copy(&mut self, piece: &Bytes) {
        if let Some(copy) = &mut self.copy {
            copy.add(piece.clone());
        }
    }

    /// Takes one more piece; `Ok(false)` at the end of the body.
    async fn advance(&mut self) -> Result<bool, ()> {
        self.store_unstored().await;
        self.feed_pending().await.map_err(|_| ())?;
        match next_piece(&mut self.incoming, self.limits.client_stall).await {
            Ok(Some(piece)) => self.take(piece).map(|()| true).map_err(|_| ()),
            Ok(None) => {
                if let Some(feed) = self.feed.take() {
                    feed.finish();
                }
                Ok(false)
            }
            Err(_) => Err(()),
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<(), Stop> {
        if self.received < START && self.file.is_some() {
            self.start.push(piece.clone());
        }
        self.received += piece.len() as u64;
        if self.received > self.limits.max_body {
            return Err(Stop::Client(Refusal::TooLarge));
        }
        self.add_to_copy(&piece);
        if self.file.is_some() {
            self.unstored = Some(piece.clone());
        }
        if self.feed.is_some() {
            self.pending.push_back(piece);
        }
        Ok(())
    }

    async fn store_unstored(&mut self) {
        if let (Some(file), Some(piece)) = (&self.file, &self.unstored) {
            file.push(piece).await;
        }
        self.unstored = None;
    }

    async fn feed_pending(&mut self) -> Result<(), Stop> {
        while !self.pending.is_empty() {
            let Some(feed) = &self.feed else { break };
            let has_reader = match timeout(self.limits.upstream_stall, feed.reserve()).await {
                Ok(Ok(room)) => {
                    room.send(self.pending.pop_front().expect("checked by the loop"));
                    true
                }
                Ok(Err(())) => false,
                Err(_) => return Err(Stop::Upstream),
            };
            if !has_reader {
                self.hold();
            }
        }
        Ok(())
    }
}

/// Returns the next piece of data, `None` at the end. Trailers are left out: nothing in Sentry's ingest reads them.
async fn next_piece(incoming: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, Refusal> {
    while !incoming.is_end_stream() {
        let frame = within_unless_ready(stall, incoming.frame()).await?;
        let frame = match frame {
            Some(frame) => frame.map_err(|error| refusal_of(&error))?,
            None => return Ok(None),
        };
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Most pieces are there already: then no timer is made.
async fn within_unless_ready<F: Future + Unpin>(
    limit: Duration,
    mut future: F,
) -> Result<F::Output, Refusal> {
    if let Poll::Ready(output) =
        poll_fn(|context| Poll::Ready(Pin::new(&mut future).poll(context))).await
    {
        return Ok(output);
    }
    timeout(limit, future).await.map_err(|_| Refusal::Timeout)
}

/// Tells a body that is no HTTP from one that merely ended too soon.
fn refusal_of(error: &hyper::Error) -> Refusal {
    let kind = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Refusal::Malformed,
        _ => Refusal::Aborted,
    }
}

/// How long an early answer is kept back for the rest of a body that is being copied.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the start of a body that are kept at hand for its id and its kind.
const START: u64 = 64 << 10;

/// How long the rest of a body is read that goes into the spool: clients that are too slow are cut off earlier.
const STORE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the rest of a body is read after its answer.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(30);

//! The two bodies that go out: of the request to Sentry, and of the answer to the client.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::upstream::Lease;

/// How a request's body is framed; it leaves as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, or no body at all.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// The body of a request to Sentry.
#[derive(Debug)]
pub(crate) struct RequestBody {
    framing: Framing,
    /// Bytes handed out so far.
    sent: u64,
    source: Source,
}

/// Where a streamed body is put in. Dropped before [`Feed::finish`], it breaks the request off.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: mpsc::Sender<Bytes>,
    is_complete: Rc<Cell<bool>>,
}

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    kind: AnswerKind,
}

#[derive(Debug)]
enum Source {
    /// A body that was read to its end before it was sent.
    Held(VecDeque<Bytes>),
    /// A body that is still being read.
    Fed {
        receiver: mpsc::Receiver<Bytes>,
        is_complete: Rc<Cell<bool>>,
    },
}

/// What has to be looked after until Sentry's answer has been read.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The connection.
    pub(crate) lease: Lease,
    /// The rest of the request, kept because breaking it off would cut the answer too.
    pub(crate) feed: Option<Feed>,
    /// The longest time between two pieces of the answer.
    pub(crate) stall: Duration,
}

#[derive(Debug)]
enum AnswerKind {
    Own(Option<Bytes>),
    Upstream {
        incoming: Incoming,
        /// Whether the answer says `Content-Length: 0`.
        says_empty: bool,
        tail: Option<Tail>,
        /// Runs while we wait for a piece.
        timer: Option<Pin<Box<Sleep>>>,
    },
}

/// Returns a body that is fed piece by piece, with at most [`DEPTH`] pieces under way.
pub(crate) fn fed(framing: Framing) -> (Feed, RequestBody) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let is_complete = Rc::new(Cell::new(false));
    let source = Source::Fed {
        receiver,
        is_complete: Rc::clone(&is_complete),
    };
    (
        Feed {
            sender,
            is_complete,
        },
        RequestBody {
            framing,
            sent: 0,
            source,
        },
    )
}

impl RequestBody {
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns a body that is all there.
    pub(crate) fn held(framing: Framing, frames: impl IntoIterator<Item = Bytes>) -> RequestBody {
        RequestBody {
            framing,
            sent: 0,
            source: Source::Held(frames.into_iter().collect()),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.source {
            Source::Held(frames) => frames.pop_front(),
            Source::Fed {
                receiver,
                is_complete,
            } => match ready!(receiver.poll_recv(context)) {
                None if !is_complete.get() => return Poll::Ready(Some(Err(broken_off()))),
                piece => piece,
            },
        };
        Poll::Ready(piece.map(|piece| {
            self.sent += piece.len() as u64;
            Ok(Frame::data(piece))
        }))
    }

    /// A chunked body must be polled at least once, or hyper would send it without any framing.
    fn is_end_stream(&self) -> bool {
        match (self.framing, &self.source) {
            (Framing::Length(length), _) => self.sent >= length,
            (Framing::Chunked, Source::Held(frames)) => frames.is_empty() && self.sent > 0,
            (Framing::Chunked, Source::Fed { .. }) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            Framing::Chunked => SizeHint::default(),
        }
    }
}

impl Feed {
    /// Waits until there is room for one more piece; `Err` once nobody reads the body any more.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, Bytes>, ()> {
        self.sender.reserve().await.map_err(|_| ())
    }

    /// Says that the body is complete.
    pub(crate) fn finish(self) {
        self.is_complete.set(true);
    }
}

impl AnswerBody {
    /// Returns a body of our own.
    pub(crate) fn own(text: Bytes) -> AnswerBody {
        AnswerBody {
            kind: AnswerKind::Own(Some(text)),
        }
    }

    /// Returns the body of Sentry's answer; the connection goes back to the pool once it has been read.
    pub(crate) fn upstream(head: &HeaderMap, incoming: Incoming, tail: Tail) -> AnswerBody {
        let says_empty = head.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        let is_empty = incoming.is_end_stream();
        let mut body = AnswerBody {
            kind: AnswerKind::Upstream {
                incoming,
                says_empty,
                tail: Some(tail),
                timer: None,
            },
        };
        if is_empty {
            body.settle();
        }
        body
    }

    fn settle(&mut self) {
        if let AnswerKind::Upstream { tail, timer, .. } = &mut self.kind {
            timer.take();
            if let Some(tail) = tail.take() {
                tail.lease.give_back();
                drop(tail.feed);
            }
        }
    }

    /// Waits for the next piece of Sentry's answer, but not for ever.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (incoming, tail, timer) = match &mut self.kind {
            AnswerKind::Own(text) => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            AnswerKind::Upstream {
                incoming,
                tail,
                timer,
                ..
            } => (incoming, tail, timer),
        };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(context) {
            timer.take();
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let Some(tail) = tail else {
            return Poll::Pending;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(tail.stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(self.poll_piece(context));
        if frame.is_none() || self.is_end_stream() {
            self.settle();
        }
        Poll::Ready(frame)
    }

    /// An answer that says `Content-Length: 0` pretends to have a body: for one without, hyper writes that field last.
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            AnswerKind::Own(text) => text.is_none(),
            AnswerKind::Upstream {
                incoming,
                says_empty,
                ..
            } => incoming.is_end_stream() && !says_empty,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            AnswerKind::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64)
            }
            AnswerKind::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client broke off")
}

/// Pieces of a streamed body between client and Sentry; small, because the socket buffers already smooth the flow.
const DEPTH: usize = 2;

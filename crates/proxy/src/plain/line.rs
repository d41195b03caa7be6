//! A client's connection on the short way: takes whole requests off it and writes answers to it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::measurer::{Measured, Measurer};
use super::request::Request;
use crate::connection::Client;
use crate::patrol::{Activity, Order, Waiting};
use crate::worker::Worker;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    /// Read and not yet served: the start of a request, or pipelined ones.
    pending: Vec<u8>,
    /// How far the request at the start of `pending` has been followed.
    measurer: Measurer,
    activity: Rc<Activity>,
}

/// What comes next on a connection.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a request is nearly always what comes"
)]
pub(crate) enum Next {
    /// A plain request.
    Request(Request),
    /// Something else; it has been read and not been touched.
    Other,
    /// Nothing more.
    Ended,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, activity: Rc<Activity>) -> Line {
        Line {
            stream,
            pending: Vec::new(),
            measurer: Measurer::default(),
            activity,
        }
    }

    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.pending)
    }

    /// Waits for a request. Holds no buffer while nothing has come.
    pub(crate) async fn next(&mut self, worker: &Worker, client: &Client) -> Next {
        if !self.pending.is_empty() {
            let read = std::mem::take(&mut self.pending);
            if let Some(next) = self.sort(worker, client, &read, 0) {
                return next;
            }
        }
        poll_fn(|context| self.poll_next(worker, client, context)).await
    }

    fn poll_next(
        &mut self,
        worker: &Worker,
        client: &Client,
        context: &mut Context<'_>,
    ) -> Poll<Next> {
        loop {
            match self.activity.order(context) {
                Order::None => {}
                Order::Drain if !self.pending.is_empty() => {}
                // hyper's side knows what to say to those who are late with a request.
                Order::StopReading if !self.pending.is_empty() => return Poll::Ready(Next::Other),
                Order::Drain | Order::StopReading | Order::End => return Poll::Ready(Next::Ended),
            }
            let next = if self.pending.is_empty() {
                self.poll_first(worker, client, context)
            } else {
                self.poll_more(worker, client, context)
            };
            if let Some(next) = ready!(next) {
                return Poll::Ready(next);
            }
        }
    }

    /// Reads the start of a request, most often all of it, into the thread's buffer.
    fn poll_first(
        &mut self,
        worker: &Worker,
        client: &Client,
        context: &mut Context<'_>,
    ) -> Poll<Option<Next>> {
        let mut shared = worker.scratch.input.borrow_mut();
        let mut buffer = ReadBuf::new(&mut shared);
        if !ready!(self.poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Next::Ended));
        }
        let read = buffer.filled();
        Poll::Ready(self.sort(worker, client, read, 0))
    }

    /// Reads the rest of a request that did not come at once.
    fn poll_more(
        &mut self,
        worker: &Worker,
        client: &Client,
        context: &mut Context<'_>,
    ) -> Poll<Option<Next>> {
        let known = self.pending.len();
        let mut shared = worker.scratch.input.borrow_mut();
        let mut buffer = ReadBuf::new(&mut shared);
        if !ready!(self.poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Next::Other));
        }
        self.pending.extend_from_slice(buffer.filled());
        let read = std::mem::take(&mut self.pending);
        Poll::Ready(self.sort(worker, client, &read, known))
    }

    /// Returns whether anything was read before the connection ended.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<bool> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            self.activity.read_blocked(self.waiting());
        }
        let has_ended = ready!(read).is_err() || buffer.filled().is_empty();
        self.activity.read_some(buffer.filled().len());
        Poll::Ready(!has_ended)
    }

    /// Decides about what has been read, all of which is no longer in `pending` and of which `known` bytes are not new.
    fn sort(
        &mut self,
        worker: &Worker,
        client: &Client,
        read: &[u8],
        known: usize,
    ) -> Option<Next> {
        let settings = worker.settings();
        let (heads, max_head) = (&settings.heads, settings.config().limits.max_head);
        match self.measurer.measure(read, known, heads, max_head) {
            Measured::Whole { head, end } => {
                self.activity.head_passed();
                let familiar = std::mem::take(&mut self.measurer).into_familiar();
                match Request::read(worker, settings, client, &read[..end], head, familiar) {
                    Some(request) => {
                        self.pending.extend_from_slice(&read[end..]);
                        Some(Next::Request(request))
                    }
                    None => self.keep(read, Some(Next::Other)),
                }
            }
            Measured::Incomplete { is_first } => {
                if is_first {
                    self.activity.head_passed();
                }
                self.keep(read, None)
            }
            Measured::Other => self.keep(read, Some(Next::Other)),
        }
    }

    fn keep(&mut self, read: &[u8], next: Option<Next>) -> Option<Next> {
        self.pending = read.to_vec();
        next
    }

    fn waiting(&self) -> Waiting {
        if self.pending.is_empty() {
            Waiting::Request
        } else {
            Waiting::Body
        }
    }

    /// Writes as much as the socket takes at once; the rest has to be written by [`Line::write`].
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        self.activity.wrote(written < bytes.len());
        Ok(written)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When the client has gone, or has not read for so long that it has to go.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        poll_fn(|context| {
            while !left.is_empty() {
                if self.activity.order(context) == Order::End {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                let written = Pin::new(&mut self.stream).poll_write(context, left);
                self.activity.wrote(written.is_pending());
                left = &left[ready!(written)?..];
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

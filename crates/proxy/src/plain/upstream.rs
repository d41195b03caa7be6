//! Connections to Sentry on the short way: one request at a time, written as it is and answered as it comes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWrite};

use super::answer::{Framing, Head};
use crate::error::Fault;
use crate::upstream::{Connector, IDLE_TIMEOUT, MAX_IDLE, Stream};

/// One thread's idle connections to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Links {
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    link: Box<Link>,
    since: Instant,
}

/// A connection that carries one request.
#[derive(Debug)]
struct Link {
    stream: Stream,
    /// What was read and not yet passed on.
    read: Vec<u8>,
    /// The head of the last answer.
    head: Head,
    /// Bytes of the request that have been written.
    written: usize,
    is_flushed: bool,
    is_reused: bool,
}

/// An answer of which the head is there. Small, because it passes through many hands.
#[derive(Debug)]
pub(crate) struct Answer {
    link: Box<Link>,
    /// Whether the connection can carry another request after this one.
    can_go_on: bool,
}

impl Links {
    /// Sends a request and reads the head of Sentry's answer. Waits as long as it takes; the caller sets the limit.
    ///
    /// A pooled connection may turn out to be dead. If nothing was written to it, the request goes out once more on
    /// another; in every other case it is not repeated.
    pub(crate) async fn send(
        &self,
        connector: &Connector,
        request: &[u8],
        now: Instant,
    ) -> Result<Answer, Fault> {
        loop {
            let mut link = match self.take(now) {
                Some(link) => link,
                // Boxed, because it is rare and would make every request's future several times as large.
                None => Box::new(Link::new(Box::pin(connector.open()).await?)),
            };
            let asked = poll_fn(|context| link.poll_ask(context, request)).await;
            match asked {
                Ok(()) => {
                    let can_go_on = link.written == request.len() && !link.head.closes;
                    return Ok(Answer { link, can_go_on });
                }
                Err(_) if link.is_reused && link.written == 0 => {}
                Err(error) if link.written == 0 => return Err(Fault::NotSent(error.into())),
                Err(error) => return Err(Fault::Broken(error.into())),
            }
        }
    }

    /// Takes the connection that was used last; one that Sentry has closed or that says something unasked is dropped.
    fn take(&self, now: Instant) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut link, since }) = idle.pop() {
            if now.duration_since(since) >= IDLE_TIMEOUT {
                idle.clear();
                return None;
            }
            if link.stream.is_silent() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection, idle since `now`, for the next request if it can carry one.
    pub(crate) fn put(&self, answer: Answer, now: Instant) {
        let Answer {
            mut link,
            can_go_on,
        } = answer;
        let is_clean = can_go_on && link.head.framing.is_done() && link.read.is_empty();
        let mut idle = self.idle.borrow_mut();
        if idle
            .first()
            .is_some_and(|entry| now.duration_since(entry.since) >= IDLE_TIMEOUT)
        {
            idle.retain(|entry| now.duration_since(entry.since) < IDLE_TIMEOUT);
        }
        if !is_clean || idle.len() >= MAX_IDLE {
            return;
        }
        link.read.shrink_to(READ);
        link.head.shrink_to(READ);
        (link.written, link.is_flushed, link.is_reused) = (0, false, true);
        idle.push(Idle { link, since: now });
    }
}

impl Link {
    fn new(stream: Stream) -> Link {
        Link {
            stream,
            read: Vec::new(),
            head: Head::default(),
            written: 0,
            is_flushed: false,
            is_reused: false,
        }
    }

    /// Writes the request and reads the answer's head, which may come before all is written.
    fn poll_ask(&mut self, context: &mut Context<'_>, request: &[u8]) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context, request) {
            return Poll::Ready(Err(error));
        }
        loop {
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            match self.head.read(&mut self.read) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, request: &[u8]) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        while self.written < request.len() {
            let written = Pin::new(&mut *stream).poll_write(context, &request[self.written..]);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut *stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more behind what is there; returns how many bytes, 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ);
        std::pin::pin!(self.stream.read_buf(&mut self.read)).poll(context)
    }
}

impl Answer {
    pub(crate) fn head(&self) -> &Head {
        &self.link.head
    }

    /// Moves as much of the body as is there from the link to `out`, with its framing; `from` is where it begins.
    ///
    /// # Errors
    /// When the framing is broken; what has been moved so far cannot be completed.
    pub(crate) fn take_body(&mut self, from: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let Link { read, head, .. } = &mut *self.link;
        let followed = head
            .framing
            .follow(&read[from..])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let end = from + followed;
        out.extend_from_slice(&read[from..end]);
        read.drain(..end);
        Ok(())
    }

    /// Reads more of the body; `false` when there is no more.
    ///
    /// # Errors
    /// When the connection breaks, or ends where the body does not.
    pub(crate) async fn read_more(&mut self) -> io::Result<bool> {
        if self.link.head.framing.is_done() {
            return Ok(false);
        }
        match poll_fn(|context| self.link.poll_fill(context)).await? {
            0 if matches!(self.link.head.framing, Framing::Close) => Ok(false),
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(true),
        }
    }

    /// Returns whether only the end of the connection ends the body: then the client's has to end too.
    pub(crate) fn ends_by_close(&self) -> bool {
        matches!(self.link.head.framing, Framing::Close)
    }

    /// Returns whether the whole body has been taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.link.head.framing.is_done()
    }
}

/// Bytes read at once: Sentry's answers are small.
const READ: usize = 2048;

//! Stands between a client's socket and hyper: follows the framing of its requests and lets only whole, checked heads through.
//!
//! hyper alone forwards messages that another server could read differently (two framings, bare LFs, a missing Host), and
//! it can be kept waiting for a head at the cost of its buffers. Behind the screen it sees neither.

pub(crate) mod chunks;
pub(crate) mod head;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::chunks::Chunks;
pub(crate) use self::head::HeadFault;
use self::head::{EndFinder, Follows};
use crate::patrol::{Activity, Waiting};

/// A client's connection with a check in front.
#[derive(Debug)]
pub(crate) struct Screen<S> {
    stream: S,
    state: State,
    /// An incomplete head, or a whole one with what came after it that hyper has not taken yet.
    held: Vec<u8>,
    /// How much of `held` is checked and may be taken.
    passed: usize,
    /// How much of `held` has been taken.
    taken: usize,
    max_head: usize,
    activity: Rc<Activity>,
}

#[derive(Debug)]
enum State {
    Head(EndFinder),
    Body(u64),
    Chunks(Chunks),
    Refused(Fault),
}

/// Why nothing more is read from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What came is no request that we take.
    Head(HeadFault),
    /// The client sent nothing for long, or must make room: it goes without a word.
    Idle,
    /// The body of the request that is being served is malformed; its handler sees it break off.
    MalformedBody,
    /// The body of the request that is being served is too slow; its handler sees it break off.
    LateBody,
}

impl<S> Screen<S> {
    pub(crate) fn new(stream: S, max_head: usize, activity: Rc<Activity>) -> Screen<S> {
        let state = State::Head(EndFinder::default());
        Screen {
            stream,
            state,
            held: Vec::new(),
            passed: 0,
            taken: 0,
            max_head,
            activity,
        }
    }

    /// Returns a screen for a connection of which so much has been read and not been checked.
    pub(crate) fn resume(
        stream: S,
        read: Vec<u8>,
        max_head: usize,
        activity: Rc<Activity>,
    ) -> Screen<S> {
        let mut screen = Screen::new(stream, max_head, activity);
        screen.passed = screen.follow(&read);
        screen.held = read;
        screen
    }

    /// Returns why nothing more was read, if the client is to blame.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.state {
            State::Refused(fault) => Some(fault),
            State::Head(_) | State::Body(_) | State::Chunks(_) => None,
        }
    }

    /// Returns whether the client may still be sending something that nobody reads.
    pub(crate) fn has_unread(&self) -> bool {
        match self.state {
            State::Head(_) => false,
            State::Body(_) | State::Chunks(_) => true,
            State::Refused(fault) => fault != Fault::Idle,
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Checks what was just read; returns how much of it may go on at once. The rest is held or refused.
    fn pass(&mut self, read: &[u8]) -> usize {
        if self.held.is_empty() {
            let passed = self.follow(read);
            if matches!(self.state, State::Head(_)) {
                self.hold(&read[passed..]);
            }
            return passed;
        }
        self.hold(read);
        let held = std::mem::take(&mut self.held);
        self.passed = self.follow(&held);
        self.held = held;
        0
    }

    /// Follows the framing over `bytes`; returns where the first head begins that is incomplete or refused.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let followed = match &mut self.state {
                State::Head(finder) => match next_head(finder, rest, self.max_head) {
                    Ok(Some((length, state))) => {
                        self.activity.head_passed();
                        self.state = state;
                        length
                    }
                    Ok(None) => break,
                    Err(fault) => return self.refuse(Fault::Head(fault), at),
                },
                State::Body(left) => {
                    let followed = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= followed as u64;
                    followed
                }
                State::Chunks(chunks) => match chunks.advance(rest) {
                    Ok(followed) => followed,
                    Err(_) => return self.refuse(Fault::MalformedBody, at),
                },
                State::Refused(_) => break,
            };
            at += followed;
            self.end_body();
        }
        at
    }

    fn end_body(&mut self) {
        let has_ended = match &self.state {
            State::Body(left) => *left == 0,
            State::Chunks(chunks) => chunks.is_done(),
            State::Head(_) | State::Refused(_) => false,
        };
        if has_ended {
            self.state = State::Head(EndFinder::default());
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    fn refuse(&mut self, fault: Fault, at: usize) -> usize {
        self.state = State::Refused(fault);
        self.activity.fault.set(Some(fault));
        at
    }

    /// Gives what is held and checked; returns whether there was any.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.taken == self.passed {
            return false;
        }
        let given = buffer.remaining().min(self.passed - self.taken);
        buffer.put_slice(&self.held[self.taken..self.taken + given]);
        self.taken += given;
        if self.taken == self.passed {
            self.held.drain(..self.passed);
            if self.held.is_empty() {
                self.held = Vec::new();
            }
            (self.passed, self.taken) = (0, 0);
        }
        true
    }

    /// What the client keeps us waiting for.
    fn waiting(&self) -> Waiting {
        match &self.state {
            State::Head(_) if self.held.is_empty() => Waiting::Request,
            State::Head(_) => Waiting::Head,
            State::Body(_) | State::Chunks(_) | State::Refused(_) => Waiting::Body,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screen<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let screen = &mut *self;
        loop {
            if screen.give(buffer) || screen.fault().is_some() {
                return Poll::Ready(Ok(()));
            }
            if screen.activity.must_stop_reading() {
                screen.refuse(late(screen.waiting()), 0);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            let read = Pin::new(&mut screen.stream).poll_read(context, buffer);
            if read.is_pending() {
                screen.activity.read_blocked(screen.waiting());
            }
            ready!(read)?;
            let count = buffer.filled().len() - before;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            screen.activity.read_some(count);
            let passed = screen.pass(&buffer.filled()[before..]);
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screen<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.wrote(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.wrote(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// With a refusal still to be said, the sending side stays open for it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.fault(), Some(Fault::Head(_))) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Returns the length of the head that `bytes` begin with and what follows it; `None` while it is incomplete.
fn next_head(
    finder: &mut EndFinder,
    bytes: &[u8],
    max_head: usize,
) -> Result<Option<(usize, State)>, HeadFault> {
    let blank = leading_blank(bytes);
    let head = &bytes[blank..];
    let end = finder.find(head)?;
    if end.unwrap_or(head.len()) > max_head {
        let is_target = finder.is_in_request_line();
        return Err(if is_target {
            HeadFault::TargetTooLong
        } else {
            HeadFault::FieldsTooLarge
        });
    }
    let Some(end) = end else { return Ok(None) };
    let state = match head::check(&head[..end])?.follows {
        Follows::Length(length) => State::Body(length),
        Follows::Chunks => State::Chunks(Chunks::new()),
    };
    Ok(Some((blank + end, state)))
}

/// Old clients put a CRLF behind a body, which then stands before the next head (RFC 9112 §2.2).
fn leading_blank(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

fn late(waiting: Waiting) -> Fault {
    match waiting {
        Waiting::Request => Fault::Idle,
        Waiting::Head => Fault::Head(HeadFault::Timeout),
        Waiting::Body => Fault::LateBody,
    }
}

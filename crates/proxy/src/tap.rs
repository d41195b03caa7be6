//! The tap: a bounded copy of forwarded requests for the alert pipeline, which never makes forwarding wait.
//!
//! Bounded in bytes, not in messages: a thousand messages of a mebibyte would be a gigabyte.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use event::Codings;
use event::endpoint::Endpoint;
use event::scan::{Scanner, Wants};
use http::Method;
use http::uri::PathAndQuery;
use smallvec::{SmallVec, smallvec};
use tokio::sync::mpsc;

/// Returns the two ends of a tap that holds at most `memory` bytes on their way to the pipeline.
pub fn channel(memory: usize) -> (Tap, Captures) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let budget = Arc::new(Budget {
        limit: memory,
        used: AtomicUsize::new(0),
    });
    (Tap { sender, budget }, Captures { receiver })
}

/// The forwarding side of the tap. Clones share one budget.
#[derive(Debug, Clone)]
pub struct Tap {
    sender: mpsc::UnboundedSender<Captured>,
    budget: Arc<Budget>,
}

/// The pipeline's side of the tap.
#[derive(Debug)]
pub struct Captures {
    receiver: mpsc::UnboundedReceiver<Captured>,
}

/// One forwarded request, as the SDK sent it, with what became of it. Gives its bytes back to the budget when dropped.
#[derive(Debug)]
pub struct Captured {
    /// What the path means.
    pub endpoint: Endpoint,
    /// The request's method.
    pub method: Method,
    /// Path and query byte for byte.
    pub path_and_query: PathAndQuery,
    /// How the body is coded.
    pub codings: Codings,
    /// The body in the pieces in which it came, most often one: handles, not copies.
    pub body: SmallVec<[Bytes; 1]>,
    /// When the request's head had been read.
    pub received_at: SystemTime,
    /// The client's address.
    pub peer: IpAddr,
    /// What became of the request.
    pub verdict: Verdict,
    permit: Permit,
}

/// What became of a forwarded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Sentry took it (2xx).
    Accepted,
    /// Sentry said that the quota is spent (429).
    Limited,
    /// Sentry refused it for good: any other status below 500.
    Rejected(u16),
    /// Sentry broke on it: 5xx other than an outage.
    Failed,
    /// Sentry gave no answer, or said that it is down (502, 503, 504).
    Unreachable,
    /// Sentry gave no answer and the request is safe in the spool.
    Spooled,
}

/// Why a request was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The tap's memory is used up: the pipeline is behind.
    Full,
    /// The body is larger than one copy may be.
    TooLarge,
    /// Nobody reads the tap any more.
    Closed,
    /// The body was still coming in when its answer had to go out.
    Incomplete,
}

/// A copy of a body in the making. Its bytes count from the start, or many large bodies at once would not fit anywhere.
#[derive(Debug)]
pub(crate) struct BodyCopy {
    pieces: SmallVec<[Bytes; 1]>,
    length: usize,
    limit: usize,
    permit: Permit,
    lost: Option<Dropped>,
}

/// A request about to be copied; see [`Captured`] for the fields.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    pub(crate) path_and_query: PathAndQuery,
    pub(crate) codings: Codings,
    pub(crate) received_at: SystemTime,
    pub(crate) peer: IpAddr,
    /// Bytes of the buffer of which the body's pieces are parts: a handle keeps all of it alive.
    pub(crate) kept_alive: usize,
}

impl Tap {
    /// Returns an empty copy of a body that may grow to `limit` bytes.
    pub(crate) fn copy(&self, limit: usize) -> BodyCopy {
        BodyCopy {
            pieces: SmallVec::new(),
            length: 0,
            limit,
            permit: self.permit(),
            lost: None,
        }
    }

    /// Returns the copy of a body that is all there. Its bytes count from when it is offered, which should be soon.
    pub(crate) fn copy_whole(&self, body: Bytes, limit: usize) -> BodyCopy {
        let length = body.len();
        BodyCopy {
            pieces: smallvec![body],
            length,
            limit,
            permit: self.permit(),
            lost: (length > limit).then_some(Dropped::TooLarge),
        }
    }

    fn permit(&self) -> Permit {
        Permit {
            budget: Arc::clone(&self.budget),
            bytes: 0,
        }
    }

    /// Hands a copy to the pipeline, or says why not. Never waits.
    pub(crate) fn offer(
        &self,
        copied: Copied,
        body: BodyCopy,
        verdict: Verdict,
    ) -> Result<(), Dropped> {
        let BodyCopy {
            pieces,
            length,
            mut permit,
            lost,
            ..
        } = body;
        let weight = length.max(copied.kept_alive) + OVERHEAD;
        match lost {
            Some(dropped) => return Err(dropped),
            None if !permit.grow(weight.saturating_sub(permit.bytes)) => return Err(Dropped::Full),
            None => {}
        }
        let Copied {
            endpoint,
            method,
            path_and_query,
            codings,
            received_at,
            peer,
            kept_alive: _,
        } = copied;
        let captured = Captured {
            endpoint,
            method,
            path_and_query,
            codings,
            body: pieces,
            received_at,
            peer,
            verdict,
            permit,
        };

        self.sender.send(captured).map_err(|_| Dropped::Closed)
    }

    /// Returns how many bytes are on their way to the pipeline.
    pub fn used(&self) -> usize {
        self.budget.used.load(Ordering::Relaxed)
    }
}

impl BodyCopy {
    /// Adds a piece, unless the copy becomes too large or there is no memory for it.
    pub(crate) fn add(&mut self, piece: Bytes) {
        if self.lost.is_some() {
            return;
        }
        self.length += piece.len();
        if self.length > self.limit {
            self.give_up(Dropped::TooLarge);
        } else if !self.permit.grow(piece.len()) {
            self.give_up(Dropped::Full);
        } else {
            self.pieces.push(piece);
        }
    }

    /// Returns whether the envelope of which this is the body may hold anything to alert on; one that is not all there may.
    pub(crate) fn may_alert(&self, codings: Codings, scanner: &mut Scanner, wants: Wants) -> bool {
        self.lost.is_some() || scanner.may_alert_in_pieces(codings, &self.pieces, wants)
    }

    /// Returns whether the copy can still become complete.
    pub(crate) fn is_kept(&self) -> bool {
        self.lost.is_none()
    }

    /// Forgets the copy, for a reason that stands unless there was one before.
    pub(crate) fn give_up(&mut self, dropped: Dropped) {
        self.lost.get_or_insert(dropped);
        self.pieces = SmallVec::new();
        self.permit.release();
    }
}

impl Captures {
    /// Returns the next copy; `None` once every [`Tap`] is gone and all copies have been taken.
    ///
    /// Waking this side costs the forwarding side two system calls. So after the last copy of a burst it rests for a
    /// moment without listening: under load it is woken by its own clock, and not by every request.
    pub async fn next(&mut self) -> Option<Captured> {
        if let Ok(captured) = self.receiver.try_recv() {
            return Some(captured);
        }
        tokio::time::sleep(REST).await;
        self.receiver.recv().await
    }
}

impl Captured {
    /// Returns how many bytes of the tap's budget this copy holds.
    pub fn weight(&self) -> usize {
        self.permit.bytes
    }
}

impl Verdict {
    /// Every verdict, [`Verdict::Rejected`] once for all its statuses, in the order of [`Verdict::index`].
    pub(crate) const ALL: [Verdict; 6] = [
        Verdict::Accepted,
        Verdict::Limited,
        Verdict::Rejected(400),
        Verdict::Failed,
        Verdict::Unreachable,
        Verdict::Spooled,
    ];

    /// Returns the verdict that Sentry's status stands for.
    pub fn of_status(status: http::StatusCode) -> Verdict {
        match status.as_u16() {
            429 => Verdict::Limited,
            502..=504 => Verdict::Unreachable,
            500.. => Verdict::Failed,
            200..=299 => Verdict::Accepted,
            other => Verdict::Rejected(other),
        }
    }

    /// Returns the verdict's name, as used in metrics and in `tee.alert_on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Limited => "limited",
            Verdict::Rejected(_) => "rejected",
            Verdict::Failed => "failed",
            Verdict::Unreachable => "unreachable",
            Verdict::Spooled => "spooled",
        }
    }

    /// Returns the place in [`Verdict::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Verdict::Accepted => 0,
            Verdict::Limited => 1,
            Verdict::Rejected(_) => 2,
            Verdict::Failed => 3,
            Verdict::Unreachable => 4,
            Verdict::Spooled => 5,
        }
    }
}

impl Dropped {
    /// Every reason, in the order of their discriminants.
    pub(crate) const ALL: [Dropped; 4] = [
        Dropped::Full,
        Dropped::TooLarge,
        Dropped::Closed,
        Dropped::Incomplete,
    ];

    /// Returns the reason's name, as used in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Dropped::Full => "full",
            Dropped::TooLarge => "too_large",
            Dropped::Closed => "closed",
            Dropped::Incomplete => "incomplete",
        }
    }
}

#[derive(Debug)]
struct Budget {
    limit: usize,
    used: AtomicUsize,
}

#[derive(Debug)]
struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Takes more of the budget; `false` when it does not hold so much.
    fn grow(&mut self, bytes: usize) -> bool {
        let budget = &*self.budget;
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= budget.limit);
        let is_taken = budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    fn release(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.release();
    }
}

/// How long the pipeline rests between bursts of copies.
const REST: Duration = Duration::from_millis(5);

/// What a copy counts besides its body: the struct and its place in the queue, room that its buffer has left, and that it will
/// be decoded. So small copies are bounded in number too, and a pipeline that is behind does not fall behind by minutes.
const OVERHEAD: usize = 16 << 10;

//! One plain request, phase by phase: ask Sentry, answer the client, hand the copy over, count.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use event::{Codings, EndpointKind};
use spool::Framing;

use super::fields;
use super::line::Line;
use super::request::Request;
use super::upstream::{Answer, Links};
use crate::access::{self, Ended, Notes};
use crate::answer;
use crate::connection::Client;
use crate::exchange::fail_in_outage;
use crate::keep::{Contents, Parcel, is_keepable};
use crate::limits::Told;
use crate::metrics::Outcome;
use crate::patience::{Answered, Asking, Attempt, Came};
use crate::tap::{Copied, Verdict};
use crate::worker::Worker;

/// Carries one request through; counts exactly one outcome. Returns whether the connection can go on.
///
/// Boxed for every request, so it had better be small.
#[expect(clippy::manual_async_fn, reason = "would hold the request twice")]
pub(crate) fn carry(
    worker: &Rc<Worker>,
    client: &Client,
    line: &mut Line,
    request: Request,
) -> impl Future<Output = bool> {
    async move {
        let _in_flight = Rc::clone(worker).begin(Rc::clone(&client.activity));
        let (verdict, reply) = ask(worker, client, &request).await;
        let took = request.started.elapsed();
        worker.metrics.upstream(took);
        worker
            .metrics
            .request(request.label, Outcome::Forwarded(verdict), took);
        let notes = access::is_wanted().then(|| note(&request, took));
        let status = reply.status(verdict);

        let closes = request.seen.closes || client.activity.is_draining();
        let settings = Rc::clone(&request.settings);
        let then = Then {
            links: &settings.upstreams.of(request.endpoint.project).links,
            answered_at: request.started + took,
            closes,
        };
        let goes_on = reply.give(worker, client, line, then).await;
        if let Some(notes) = notes {
            notes.log(&Ended {
                method: &request.method,
                endpoint: request.label,
                verdict: verdict.as_str(),
                status,
                took: request.started.elapsed(),
            });
        }
        hand_over(worker, client, request, verdict);
        goes_on && !closes
    }
}

/// Notes what the log tells of a request; Sentry has been waited for.
fn note(request: &Request, upstream: Duration) -> Notes {
    let (notes, body) = (Notes::default(), request.data());
    notes.project.set(request.endpoint.project);
    notes.upstream.set(Some(upstream));
    notes.bytes.set(body.len() as u64);
    notes.look(request.codings(), &[body]);
    notes
}

/// What is to be done with the connections after an answer.
struct Then<'a> {
    /// Where Sentry's goes to.
    links: &'a Links,
    /// When its head was there.
    answered_at: Instant,
    /// Whether the client's ends.
    closes: bool,
}

/// What the client gets.
enum Reply {
    Sentrys(Answer),
    Own(Vec<u8>),
}

async fn ask(worker: &Rc<Worker>, client: &Client, request: &Request) -> (Verdict, Reply) {
    let settings = &request.settings;
    let connector = settings.upstreams.of(request.endpoint.project).connector();
    let may_keep = is_keepable(request.endpoint.kind, &request.method);
    let asking = Asking {
        worker,
        settings,
        connector,
        keeper: worker.keeper.as_ref().filter(|_| may_keep),
        clock: Some(&client.activity),
        since: request.started,
    };
    match asking.ask(attempt(request), || pack(request)).await {
        Came::Answer(answer) => {
            if let Some(keeper) = &worker.keeper {
                keeper.note(|| request.key(), answer.head().told());
            }
            (
                Verdict::of_status(answer.head().status),
                Reply::Sentrys(answer),
            )
        }
        Came::Kept { id, key } => {
            let limits = worker
                .keeper
                .as_ref()
                .and_then(|keeper| keeper.limits.field(key, Instant::now()));
            (
                Verdict::Spooled,
                Reply::Own(answer::kept_raw(id, limits.as_deref())),
            )
        }
        Came::Lost(fault) => {
            worker.log.lost(&fault);
            (Verdict::Unreachable, Reply::Own(answer::lost_raw(&fault)))
        }
    }
}

/// Asks Sentry, with or without somebody who waits for it.
fn attempt(request: &Request) -> Attempt<Answer> {
    let (settings, bytes) = (Rc::clone(&request.settings), request.bytes.clone());
    let (endpoint, now) = (request.endpoint, request.started);
    Box::pin(async move {
        let upstream = settings.upstreams.of(endpoint.project);
        let (links, connector) = (&upstream.links, upstream.connector());
        let sent = links.send(connector, &bytes, now).await;
        let asked = sent.and_then(|answer| {
            fail_in_outage(endpoint.kind, answer.head().status)?;
            Ok(answer)
        });
        connector.note(&asked);
        asked
    })
}

impl Answered for Answer {
    fn status(&self) -> u16 {
        self.head().status.as_u16()
    }

    fn told(&self) -> Told<'_> {
        self.head().told()
    }
}

/// Packs a request up for the spool.
fn pack(request: &Request) -> Parcel {
    let body = request.data();
    let framing = if request.seen.is_chunked {
        Framing::Chunked
    } else {
        Framing::Length
    };
    let headers = fields::header_map(request.lines());
    let contents = Contents {
        endpoint: request.endpoint,
        method: &request.method,
        target: request.path_and_query(),
        headers: &headers,
        fields: request.fields(),
        framing,
        received_at: SystemTime::now() - request.started.elapsed(),
        start: std::slice::from_ref(&body),
    };
    Parcel::new(contents, spool::Body::Memory(vec![body.clone()]))
}

impl Reply {
    /// Returns the status that the client gets.
    fn status(&self, verdict: Verdict) -> u16 {
        match (self, verdict) {
            (Reply::Sentrys(answer), _) => answer.head().status.as_u16(),
            (Reply::Own(_), Verdict::Spooled) => 200,
            (Reply::Own(_), _) => 503,
        }
    }

    /// Gives it to the client; returns whether the connection can go on.
    async fn give(self, worker: &Worker, client: &Client, line: &mut Line, then: Then<'_>) -> bool {
        match self {
            Reply::Own(text) => line.write(&text).await.is_ok(),
            Reply::Sentrys(answer) => pass(worker, client, line, answer, then)
                .await
                .unwrap_or(false),
        }
    }
}

/// Passes Sentry's answer on, most often in one piece; returns whether the connection can go on.
async fn pass(
    worker: &Worker,
    client: &Client,
    line: &mut Line,
    mut answer: Answer,
    then: Then<'_>,
) -> io::Result<bool> {
    let stall = worker.settings().config().upstream.response_timeout;
    let ends = answer.ends_by_close();
    let mut idle_since = then.answered_at;
    let rest = start(worker, line, &mut answer, then.closes || ends)?;
    if !rest.is_empty() {
        line.write(&rest).await?;
    }
    while !answer.is_whole() {
        let more = client.activity.within(stall, answer.read_more()).await;
        if !more.unwrap_or(Err(io::ErrorKind::TimedOut.into()))? {
            break;
        }
        let mut piece = Vec::new();
        answer.take_body(0, &mut piece)?;
        line.write(&piece).await?;
        idle_since = Instant::now();
    }
    then.links.put(answer, idle_since);
    Ok(!ends)
}

/// Writes the head and what is there of the body; returns what the client's socket has no room for.
fn start(worker: &Worker, line: &Line, answer: &mut Answer, closes: bool) -> io::Result<Vec<u8>> {
    let mut out = worker.scratch.output.borrow_mut();
    out.clear();
    out.extend_from_slice(&answer.head().text);
    if closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    answer.take_body(answer.head().length, &mut out)?;
    let written = line.try_write(&out)?;
    Ok(out[written..].to_vec())
}

/// Hands the request to the pipeline if it may carry something to alert on.
fn hand_over(worker: &Worker, client: &Client, mut request: Request, verdict: Verdict) {
    let kind = request.endpoint.kind;
    if !kind.carries_events() {
        return;
    }
    let codings = request.codings();
    if kind == EndpointKind::Envelope && !may_alert(worker, &request, codings) {
        worker.scratch.spare.put(request.bytes);
        return;
    }
    request.bytes = worker.scratch.spare.lend(request.bytes);
    let limit = request.settings.config().tee.max_body;
    let copy = worker.tap.copy_whole(request.data(), limit);
    let copied = Copied {
        endpoint: request.endpoint,
        path_and_query: request.path_and_query(),
        method: request.method,
        codings,
        received_at: SystemTime::now() - request.started.elapsed(),
        peer: client.peer.ip(),
        kept_alive: request.bytes.len(),
    };
    if let Err(dropped) = worker.tap.offer(copied, copy, verdict) {
        worker.metrics.tee_dropped(dropped);
    }
}

/// Looks whether an envelope holds anything that may alert: most hold transactions and sessions, which nobody needs a copy of.
fn may_alert(worker: &Worker, request: &Request, codings: Codings) -> bool {
    if !worker.flood.is_look_due() {
        return true;
    }
    let wants = request.settings.config().tee.wants;
    let mut scanner = worker.scanner.borrow_mut();
    let may_alert = scanner.may_alert(codings, &request.bare(), wants);
    worker.flood.note(may_alert);
    may_alert
}

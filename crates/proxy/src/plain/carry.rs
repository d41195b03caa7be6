//! One plain request, phase by phase: ask Sentry, answer the client, hand the copy over, count.

use std::io;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use event::EndpointKind;
use http::uri::PathAndQuery;

use super::fields::Coding;
use super::line::Line;
use super::request::Request;
use super::upstream::{Answer, Links};
use crate::answer;
use crate::connection::Client;
use crate::error::Fault;
use crate::exchange::is_outage;
use crate::metrics::Outcome;
use crate::screen::chunks;
use crate::tap::{Copied, Verdict};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Carries one request through; counts exactly one outcome. Returns whether the connection can go on.
pub(crate) async fn carry(
    worker: &Rc<Worker>,
    client: &Client,
    line: &mut Line,
    request: Request,
) -> bool {
    let _in_flight = Rc::clone(worker).begin(Rc::clone(&client.activity));
    let settings = Rc::clone(&request.settings);
    let upstream = settings.upstreams.of(request.endpoint.project);

    let limit = settings.config().upstream.response_timeout;
    let sending = upstream
        .links
        .send(upstream.connector(), &request.bytes, request.started);
    let asked = client.activity.within(limit, sending).await;
    let asked = asked.unwrap_or(Err(Fault::Timeout));
    let took = request.started.elapsed();
    worker.metrics.upstream(took);

    let (verdict, reply) = judge(worker, &request, asked);
    let closes = request.seen.closes || client.activity.is_draining();
    let goes_on = reply.give(worker, client, line, upstream, closes).await;

    worker
        .metrics
        .request(request.label, Outcome::Forwarded(verdict), took);
    tracing::debug!(endpoint = ?request.endpoint.kind, ?verdict, ?took, "request");
    hand_over(worker, client, request, verdict);
    goes_on && !closes
}

/// What the client gets.
enum Reply {
    Sentrys(Answer),
    Own(Vec<u8>),
}

fn judge(worker: &Worker, request: &Request, asked: Result<Answer, Fault>) -> (Verdict, Reply) {
    let status = |answer: &Answer| answer.head.status;
    let fault = match asked {
        Ok(answer) if is_outage(request.endpoint.kind, status(&answer)) => {
            Fault::Outage(status(&answer).as_u16())
        }
        Ok(answer) => return (Verdict::of_status(status(&answer)), Reply::Sentrys(answer)),
        Err(fault) => fault,
    };
    worker.log.lost(&fault);
    (Verdict::Unreachable, Reply::Own(answer::lost_raw(&fault)))
}

impl Reply {
    /// Gives it to the client; returns whether the connection can go on.
    async fn give(
        self,
        worker: &Worker,
        client: &Client,
        line: &mut Line,
        upstream: &Upstream,
        closes: bool,
    ) -> bool {
        match self {
            Reply::Own(text) => line.write(&text).await.is_ok(),
            Reply::Sentrys(answer) => pass(worker, client, line, &upstream.links, answer, closes)
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
    links: &Links,
    mut answer: Answer,
    closes: bool,
) -> io::Result<bool> {
    let stall = worker.settings().config().upstream.response_timeout;
    let ends = answer.ends_by_close();
    let rest = start(worker, line, &mut answer, closes || ends)?;
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
    }
    links.put(answer, Instant::now());
    Ok(!ends)
}

/// Writes the head and what is there of the body; returns what the client's socket has no room for.
fn start(worker: &Worker, line: &Line, answer: &mut Answer, closes: bool) -> io::Result<Vec<u8>> {
    let mut out = worker.scratch.output.borrow_mut();
    out.clear();
    out.extend_from_slice(&answer.link.head);
    if closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    answer.take_body(answer.head.length, &mut out)?;
    let written = line.try_write(&out)?;
    Ok(out[written..].to_vec())
}

/// Hands the request to the pipeline if it may carry something to alert on.
fn hand_over(worker: &Worker, client: &Client, request: Request, verdict: Verdict) {
    let kind = request.endpoint.kind;
    if !kind.carries_events() {
        return;
    }
    let mut body = request.bytes.slice(request.body..);
    if request.seen.is_chunked {
        body = chunks::data_of(&body);
    }
    if kind == EndpointKind::Envelope && !may_alert(worker, &request, &body) {
        return;
    }
    let target = request.bytes.slice(request.target.clone());
    let Ok(path_and_query) = PathAndQuery::from_maybe_shared(target) else {
        return;
    };
    let mut copy = worker.tap.copy(request.settings.config().tee.max_body);
    copy.add(body);
    let headers = request.coding_fields();
    let copied = Copied {
        endpoint: request.endpoint,
        method: request.method,
        path_and_query,
        headers,
        received_at: SystemTime::now() - request.started.elapsed(),
        peer: client.peer.ip(),
        kept_alive: request.bytes.len(),
    };
    if let Err(dropped) = worker.tap.offer(copied, copy, verdict) {
        worker.metrics.tee_dropped(dropped);
    }
}

/// Looks whether an envelope holds anything that may alert: most hold transactions and sessions, which nobody needs a copy of.
fn may_alert(worker: &Worker, request: &Request, body: &[u8]) -> bool {
    let coding = match &request.seen.coding {
        Coding::None => None,
        Coding::Field(place) => Some(&request.bytes[place.clone()]),
        Coding::Several => return true,
    };
    let wants = request.settings.config().tee.wants;
    worker.scanner.borrow_mut().may_alert(coding, body, wants)
}

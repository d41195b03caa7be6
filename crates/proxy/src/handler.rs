//! One request, phase by phase: admit, take the body in, ask Sentry, answer, hand the copy over.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use event::endpoint::EndpointKind;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, request};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::answer::{self, Refusal};
use crate::body::{AnswerBody, Feed, Framing, RequestBody, fed};
use crate::connection::Client;
use crate::error::Fault;
use crate::headers;
use crate::metrics::Outcome;
use crate::pump::{Copy, Gathered, Pump, PumpLimits, Stop, gather};
use crate::route::{self, EndpointLabel, Route};
use crate::tap::{Copied, Dropped, Verdict};
use crate::upstream::Lease;
use crate::worker::Worker;

/// Carries one request through and returns its answer. Counts exactly one outcome.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let started = Instant::now();
    let (head, incoming) = request.into_parts();
    let (label, done) = match route::find(&worker.config, &head) {
        Ok(route) => (
            route.label,
            forward(&worker, &client, route, head, incoming).await,
        ),
        Err(refusal) => (EndpointLabel::NONE, Done::refused(refusal)),
    };

    let took = started.elapsed();
    worker.metrics.request(label, done.outcome, took);
    tracing::debug!(outcome = ?done.outcome, status = done.answer.status().as_u16(), ?took, "request");
    done.answer
}

struct Done {
    outcome: Outcome,
    answer: Response<AnswerBody>,
}

/// What the copy needs to know besides body and verdict.
struct Draft {
    copied: Option<Copied>,
}

/// Sentry's answer, or why there is none.
type Asked = Result<(Response<Incoming>, Lease), Fault>;

impl Done {
    fn refused(refusal: Refusal) -> Done {
        Done {
            outcome: Outcome::Refused(refusal),
            answer: answer::refuse(refusal),
        }
    }
}

async fn forward(
    worker: &Worker,
    client: &Client,
    route: Route,
    mut head: request::Parts,
    incoming: Incoming,
) -> Done {
    let framing = framing_of(&head.headers);
    if matches!(framing, Framing::Length(length) if length > worker.config.forward.max_body) {
        return Done::refused(Refusal::TooLarge);
    }
    let draft = Draft::new(&route, &head, client);
    prepare(worker, client, &route, &mut head);

    match take_in(worker, framing, incoming).await {
        Err(refusal) => Done::refused(refusal),
        Ok((gathered, _)) if gathered.is_complete => {
            send_held(worker, route, draft, head, framing, gathered).await
        }
        Ok((gathered, incoming)) => {
            let streamed = Streamed {
                framing,
                gathered,
                incoming,
            };
            send_streamed(worker, route, draft, head, streamed).await
        }
    }
}

/// Makes the request's head the one that Sentry gets.
fn prepare(worker: &Worker, client: &Client, route: &Route, head: &mut request::Parts) {
    head.uri = route.target.clone();
    head.version = http::Version::HTTP_11;
    head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    headers::towards_upstream(
        &mut head.headers,
        &client.forwarded,
        worker.config.forward.client_ip,
        &worker.host,
    );
}

/// Reads the body if it may fit into the buffer; otherwise leaves it for the pump.
async fn take_in(
    worker: &Worker,
    framing: Framing,
    mut incoming: Incoming,
) -> Result<(Gathered, Incoming), Refusal> {
    let buffer = worker.config.forward.buffer;
    if matches!(framing, Framing::Length(length) if length > buffer as u64) {
        return Ok((
            Gathered {
                pieces: Vec::new(),
                length: 0,
                is_complete: false,
            },
            incoming,
        ));
    }
    let gathered = gather(&mut incoming, buffer, worker.config.limits.stall_timeout).await?;
    Ok((gathered, incoming))
}

/// Forwards a body that is all there.
async fn send_held(
    worker: &Worker,
    route: Route,
    draft: Draft,
    head: request::Parts,
    framing: Framing,
    gathered: Gathered,
) -> Done {
    let body = RequestBody::held(framing, gathered.pieces.iter().cloned());
    let asked = ask(worker, Request::from_parts(head, body)).await;

    let copy = (gathered.length <= worker.config.tee.max_body as u64).then_some(gathered.pieces);
    conclude(worker, &route, draft, asked, copy, None)
}

struct Streamed {
    framing: Framing,
    gathered: Gathered,
    incoming: Incoming,
}

/// Forwards a body while it comes in.
async fn send_streamed(
    worker: &Worker,
    route: Route,
    draft: Draft,
    head: request::Parts,
    streamed: Streamed,
) -> Done {
    let Streamed {
        framing,
        gathered,
        incoming,
    } = streamed;
    let (feed, body) = fed(framing);
    let copy = Copy::new(draft.copied.is_some().then_some(worker.config.tee.max_body));
    let mut pump = Pump::new(gathered, incoming, feed, copy, pump_limits(worker));

    let started = Instant::now();
    let mut sending = std::pin::pin!(worker.upstream.send(Request::from_parts(head, body)));
    let early = tokio::select! {
        asked = &mut sending => asked,
        ended = pump.run() => match ended {
            Ok(()) => {
                let asked = within(worker, sending).await;
                worker.metrics.upstream(started.elapsed());
                return conclude(worker, &route, draft, asked, pump.into_copy().take(), None);
            }
            Err(Stop::Client(refusal)) => return Done::refused(refusal),
            Err(Stop::Upstream) => Err(Fault::Timeout),
        },
    };
    worker.metrics.upstream(started.elapsed());
    settle(worker, &route, draft, early, pump).await
}

/// Ends a request that Sentry answered before it had the whole body.
async fn settle(
    worker: &Worker,
    route: &Route,
    draft: Draft,
    early: Asked,
    mut pump: Pump,
) -> Done {
    let feed = match &early {
        Ok((response, _))
            if !response.status().is_client_error() && !response.status().is_server_error() =>
        {
            None
        }
        Ok(_) | Err(_) => pump.hold(),
    };
    let is_complete = pump.settle().await;
    let copy = if is_complete {
        pump.copy_mut().take()
    } else {
        None
    };
    if !is_complete {
        tokio::task::spawn_local(pump.discard());
    }
    conclude(worker, route, draft, early, copy, feed)
}

/// Sends a request whose body is all there, within the response timeout.
async fn ask(worker: &Worker, request: Request<RequestBody>) -> Asked {
    let started = Instant::now();
    let asked = within(worker, worker.upstream.send(request)).await;
    worker.metrics.upstream(started.elapsed());
    asked
}

async fn within(worker: &Worker, sending: impl Future<Output = Asked>) -> Asked {
    timeout(worker.config.upstream.response_timeout, sending)
        .await
        .unwrap_or(Err(Fault::Timeout))
}

/// Turns what Sentry said into the answer, and hands the copy over.
fn conclude(
    worker: &Worker,
    route: &Route,
    draft: Draft,
    asked: Asked,
    copy: Option<Vec<bytes::Bytes>>,
    feed: Option<Feed>,
) -> Done {
    let asked = match asked {
        Ok((response, _)) if is_outage(route, &response) => {
            Err(Fault::Outage(response.status().as_u16()))
        }
        asked => asked,
    };
    let (verdict, answer) = match asked {
        Ok((response, lease)) => (
            Verdict::of_status(response.status()),
            relay(response, lease, feed),
        ),
        Err(fault) => (Verdict::Unreachable, lose(worker, &fault)),
    };
    draft.hand_over(worker, copy, verdict);
    Done {
        outcome: Outcome::Forwarded(verdict),
        answer,
    }
}

/// Answers for a request that Sentry did not take. Once there is a spool, this is where the request goes into it.
fn lose(worker: &Worker, fault: &Fault) -> Response<AnswerBody> {
    worker.log.lost(fault);
    answer::lost(fault)
}

/// Passes Sentry's answer on.
fn relay(response: Response<Incoming>, lease: Lease, feed: Option<Feed>) -> Response<AnswerBody> {
    let (mut head, incoming) = response.into_parts();
    headers::towards_client(&mut head.headers);
    let body = AnswerBody::upstream(&head.headers, incoming, lease, feed);
    Response::from_parts(head, body)
}

/// Whether the answer means that Sentry is down. The web API's own 503 is none of our business.
fn is_outage(route: &Route, response: &Response<Incoming>) -> bool {
    let is_down = Verdict::of_status(response.status()) == Verdict::Unreachable;
    match route.endpoint.kind {
        EndpointKind::Relay | EndpointKind::Other | EndpointKind::ErrorPage => false,
        EndpointKind::Store
        | EndpointKind::LegacyStore
        | EndpointKind::Envelope
        | EndpointKind::Minidump
        | EndpointKind::Unreal
        | EndpointKind::Attachments
        | EndpointKind::Security
        | EndpointKind::Nel
        | EndpointKind::Cron
        | EndpointKind::OtlpTraces
        | EndpointKind::OtlpLogs
        | EndpointKind::VercelLogs
        | EndpointKind::Upload
        | EndpointKind::UserFeedback => is_down,
    }
}

impl Draft {
    /// Prepares a copy if the endpoint can carry an event.
    fn new(route: &Route, head: &request::Parts, client: &Client) -> Draft {
        let is_wanted = route.endpoint.kind.carries_events();
        let path_and_query = head.uri.path_and_query().filter(|_| is_wanted);
        let copied = path_and_query.map(|path_and_query| Copied {
            endpoint: route.endpoint,
            method: head.method.clone(),
            path_and_query: path_and_query.clone(),
            headers: head.headers.clone(),
            body: Vec::new(),
            received_at: SystemTime::now(),
            peer: client.peer.ip(),
        });
        Draft { copied }
    }

    fn hand_over(self, worker: &Worker, body: Option<Vec<bytes::Bytes>>, verdict: Verdict) {
        let Some(mut copied) = self.copied else {
            return;
        };
        let offered = match body {
            Some(body) => {
                copied.body = body;
                worker.tap.offer(copied, verdict)
            }
            None => Err(Dropped::TooLarge),
        };
        if let Err(dropped) = offered {
            worker.metrics.tee_dropped(dropped);
        }
    }
}

/// Returns the framing of a request; hyper has checked that there is at most one.
fn framing_of(headers: &HeaderMap) -> Framing {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Framing::Chunked;
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Framing::Length(length.unwrap_or(0))
}

fn pump_limits(worker: &Worker) -> PumpLimits {
    PumpLimits {
        max_body: worker.config.forward.max_body,
        client_stall: worker.config.limits.stall_timeout,
        upstream_stall: worker.config.upstream.response_timeout,
    }
}

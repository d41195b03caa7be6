//! One request, phase by phase: admit, take the body in, ask Sentry, answer, hand the copy over.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use event::endpoint::EndpointKind;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, Version, request};
use http_body::Body as _;
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
use crate::screen;
use crate::tap::{Copied, Dropped, Verdict};
use crate::upstream::{Lease, Upstream};
use crate::worker::{Settings, Worker};

/// Carries one request through and returns its answer. Counts exactly one outcome.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let started = Instant::now();
    let _in_flight = Rc::clone(&worker).begin(Rc::clone(&client.activity));
    let (mut head, incoming) = request.into_parts();
    if head.version == Version::HTTP_2 {
        headers::from_http2(&mut head, incoming.is_end_stream());
    }
    let settings = worker.settings();
    let (label, done) = match route::find(&settings, &head) {
        Ok(route) => {
            let label = route.label;
            let done = match Exchange::new(&worker, &settings, &client, route, &head) {
                Ok(exchange) => exchange.run(head, incoming).await,
                Err(refusal) => Done::refused(refusal),
            };
            (label, done)
        }
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

/// A request that goes to Sentry.
struct Exchange<'w> {
    worker: &'w Worker,
    settings: &'w Settings,
    upstream: &'w Upstream,
    client: &'w Client,
    route: Route,
    framing: Framing,
    /// The copy without its body; `None` when nobody wants one.
    draft: Option<Copied>,
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

impl<'w> Exchange<'w> {
    fn new(
        worker: &'w Worker,
        settings: &'w Settings,
        client: &'w Client,
        route: Route,
        head: &request::Parts,
    ) -> Result<Exchange<'w>, Refusal> {
        let framing = framing_of(&head.headers)?;
        let upstream = settings.upstreams.of(route.endpoint.project);
        let draft = draft(&route, head, client);
        Ok(Exchange {
            worker,
            settings,
            upstream,
            client,
            route,
            framing,
            draft,
        })
    }

    async fn run(self, mut head: request::Parts, incoming: Incoming) -> Done {
        if matches!(self.framing, Framing::Length(length) if length > self.settings.config().forward.max_body)
        {
            return Done::refused(Refusal::TooLarge);
        }
        self.prepare(&mut head);

        match self.take_in(incoming).await {
            Err(refusal) => self.refuse(refusal),
            Ok((gathered, _)) if gathered.is_complete => self.send_held(head, gathered).await,
            Ok((gathered, incoming)) => self.send_streamed(head, gathered, incoming).await,
        }
    }

    /// Makes the request's head the one that Sentry gets.
    fn prepare(&self, head: &mut request::Parts) {
        head.uri = self.route.target.clone();
        head.version = Version::HTTP_11;
        head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let client_ip = self.settings.config().forward.client_ip;
        headers::towards_upstream(
            &mut head.headers,
            &self.client.forwarded,
            client_ip,
            self.upstream.host(),
        );
    }

    /// Reads the body if it may fit into the buffer; otherwise leaves it for the pump.
    async fn take_in(&self, mut incoming: Incoming) -> Result<(Gathered, Incoming), Refusal> {
        let buffer = self.settings.config().forward.buffer;
        if matches!(self.framing, Framing::Length(length) if length > buffer as u64) {
            return Ok((Gathered::nothing(), incoming));
        }
        let gathered = gather(
            &mut incoming,
            buffer,
            self.settings.config().limits.stall_timeout,
        )
        .await?;
        Ok((gathered, incoming))
    }

    /// Forwards a body that is all there.
    async fn send_held(self, head: request::Parts, gathered: Gathered) -> Done {
        if matches!(self.framing, Framing::Length(length) if length != gathered.length) {
            return self.refuse(Refusal::Malformed);
        }
        let body = RequestBody::held(self.framing, gathered.pieces.iter().cloned());
        let started = Instant::now();
        let asked = self
            .within(self.upstream.send(Request::from_parts(head, body)))
            .await;
        self.worker.metrics.upstream(started.elapsed());

        let copy = (gathered.length <= self.settings.config().tee.max_body as u64)
            .then_some(gathered.pieces);
        self.conclude(asked, copy, None)
    }

    /// Forwards a body while it comes in.
    async fn send_streamed(
        self,
        head: request::Parts,
        gathered: Gathered,
        incoming: Incoming,
    ) -> Done {
        let (feed, body) = fed(self.framing);
        let copy = Copy::new(
            self.draft
                .is_some()
                .then_some(self.settings.config().tee.max_body),
        );
        let mut pump = Pump::new(gathered, incoming, feed, copy, self.pump_limits());

        let started = Instant::now();
        let mut sending = std::pin::pin!(self.upstream.send(Request::from_parts(head, body)));
        let ended = tokio::select! {
            early = &mut sending => Err(early),
            ended = pump.run() => Ok(ended),
        };
        let (asked, is_early) = match ended {
            Ok(Ok(())) => (self.within(sending).await, false),
            Ok(Err(Stop::Client(refusal))) => return self.refuse(refusal),
            Ok(Err(Stop::Upstream)) => (Err(Fault::Timeout), true),
            Err(early) => (early, true),
        };
        self.worker.metrics.upstream(started.elapsed());
        if is_early {
            return self.settle(asked, pump).await;
        }
        self.conclude(asked, pump.copy_mut().take(), None)
    }

    /// Ends a request that was decided before Sentry had the whole body.
    async fn settle(self, early: Asked, mut pump: Pump) -> Done {
        let feed = match &early {
            Ok((response, _)) if !is_error(response) => None,
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
        self.conclude(early, copy, feed)
    }

    async fn within(&self, sending: impl Future<Output = Asked>) -> Asked {
        timeout(self.settings.config().upstream.response_timeout, sending)
            .await
            .unwrap_or(Err(Fault::Timeout))
    }

    /// Turns what Sentry said into the answer, and hands the copy over.
    fn conclude(self, asked: Asked, copy: Option<Vec<Bytes>>, feed: Option<Feed>) -> Done {
        let asked = match asked {
            Ok((response, _)) if is_outage(&self.route, &response) => {
                Err(Fault::Outage(response.status().as_u16()))
            }
            asked => asked,
        };
        let (verdict, answer) = match asked {
            Ok((response, lease)) => (
                Verdict::of_status(response.status()),
                relay(response, lease, feed),
            ),
            Err(fault) => (Verdict::Unreachable, self.lose(&fault)),
        };
        self.hand_over(copy, verdict);
        Done {
            outcome: Outcome::Forwarded(verdict),
            answer,
        }
    }

    /// Answers for a request that Sentry did not take. Once there is a spool, this is where the request goes into it.
    fn lose(&self, fault: &Fault) -> Response<AnswerBody> {
        self.worker.log.lost(fault);
        answer::lost(fault)
    }

    fn hand_over(self, body: Option<Vec<Bytes>>, verdict: Verdict) {
        let Some(draft) = self.draft else { return };
        let offered = match body {
            Some(body) => self.worker.tap.offer(Copied { body, ..draft }, verdict),
            None => Err(Dropped::TooLarge),
        };
        if let Err(dropped) = offered {
            self.worker.metrics.tee_dropped(dropped);
        }
    }

    /// A body that breaks off because the screen let no more through has another reason than the client's leaving.
    fn refuse(&self, refusal: Refusal) -> Done {
        let refusal = match (refusal, self.client.activity.fault.get()) {
            (Refusal::Aborted, Some(screen::Fault::MalformedBody)) => Refusal::Malformed,
            (Refusal::Aborted, Some(screen::Fault::LateBody)) => Refusal::Timeout,
            (refusal, _) => refusal,
        };
        Done::refused(refusal)
    }

    fn pump_limits(&self) -> PumpLimits {
        PumpLimits {
            max_body: self.settings.config().forward.max_body,
            client_stall: self.settings.config().limits.stall_timeout,
            upstream_stall: self.settings.config().upstream.response_timeout,
        }
    }
}

/// Prepares a copy if the endpoint can carry an event.
fn draft(route: &Route, head: &request::Parts, client: &Client) -> Option<Copied> {
    let path_and_query = head
        .uri
        .path_and_query()
        .filter(|_| route.endpoint.kind.carries_events())?;
    Some(Copied {
        endpoint: route.endpoint,
        method: head.method.clone(),
        path_and_query: path_and_query.clone(),
        headers: head.headers.clone(),
        body: Vec::new(),
        received_at: SystemTime::now(),
        peer: client.peer.ip(),
    })
}

/// Passes Sentry's answer on.
fn relay(response: Response<Incoming>, lease: Lease, feed: Option<Feed>) -> Response<AnswerBody> {
    let (mut head, incoming) = response.into_parts();
    headers::towards_client(&mut head.headers);
    let body = AnswerBody::upstream(&head.headers, incoming, lease, feed);
    Response::from_parts(head, body)
}

fn is_error<B>(response: &Response<B>) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
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

/// Returns the framing of a request. The screen lets through no other, but HTTP/2 does not come through the screen.
fn framing_of(headers: &HeaderMap) -> Result<Framing, Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let codings = headers.get_all(TRANSFER_ENCODING).iter().count();
    match (lengths.next(), lengths.next(), codings) {
        (None, None, 0) => Ok(Framing::Length(0)),
        (None, None, 1) => Ok(Framing::Chunked),
        (Some(length), None, 0) => {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            length.map(Framing::Length).ok_or(Refusal::Malformed)
        }
        _ => Err(Refusal::Malformed),
    }
}

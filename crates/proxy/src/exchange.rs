//! One request on its way to Sentry: send it whole or piece by piece, turn what comes back into the answer, hand the copy over.

use std::time::{Instant, SystemTime};

use event::{Endpoint, EndpointKind};
use http::{Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::answer::{self, Refusal};
use crate::body::{AnswerBody, Feed, Framing, RequestBody, Tail, fed};
use crate::connection::Client;
use crate::error::Fault;
use crate::handler::{Done, Shared};
use crate::headers;
use crate::metrics::Outcome;
use crate::pump::{Gathered, Pump, PumpLimits, Stop};
use crate::tap::{self, BodyCopy, Copied, Dropped, Verdict};
use crate::upstream::{Lease, Upstream};
use crate::worker::{Settings, Worker};

/// A request that goes to Sentry.
pub(crate) struct Exchange<'w> {
    worker: &'w Worker,
    settings: &'w Settings,
    upstream: &'w Upstream,
    kind: EndpointKind,
    framing: Framing,
    /// The copy without its body; `None` when nobody wants one.
    draft: Option<Box<Copied>>,
}

/// Sentry's answer, or why there is none.
type Asked = Result<(Response<Incoming>, Lease), Fault>;

impl<'w> Exchange<'w> {
    /// Prepares the request; makes its head the one that Sentry gets.
    pub(crate) fn new(
        shared: Shared<'w>,
        endpoint: Endpoint,
        framing: Framing,
        head: &mut request::Parts,
        target: Uri,
    ) -> Exchange<'w> {
        let Shared {
            worker,
            settings,
            client,
        } = shared;
        let draft = draft(endpoint, head, client);
        let upstream = settings.upstreams.of(endpoint.project);
        head.uri = target;
        head.version = Version::HTTP_11;
        head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let client_ip = settings.config().forward.client_ip;
        headers::towards_upstream(
            &mut head.headers,
            &client.forwarded,
            client_ip,
            upstream.host(),
        );
        Exchange {
            worker,
            settings,
            upstream,
            kind: endpoint.kind,
            framing,
            draft,
        }
    }

    /// Returns the request to Sentry for a body that is all there.
    pub(crate) fn request(
        &self,
        head: request::Parts,
        gathered: &Gathered,
    ) -> Result<Request<RequestBody>, Refusal> {
        match self.framing {
            Framing::Length(length) if length != gathered.length => Err(Refusal::Malformed),
            Framing::Length(_) | Framing::Chunked => {
                let body = RequestBody::held(self.framing, gathered.pieces.iter().cloned());
                Ok(Request::from_parts(head, body))
            }
        }
    }

    /// Forwards a body that is all there.
    pub(crate) async fn send_held(self, request: Request<RequestBody>, gathered: Gathered) -> Done {
        let started = Instant::now();
        let asked = self.within(self.upstream.send(request)).await;
        self.worker.metrics.upstream(started.elapsed());

        let mut copy = self.copy();
        if let Some(copy) = &mut copy {
            gathered
                .pieces
                .into_iter()
                .for_each(|piece| copy.add(piece));
        }
        self.conclude(asked, copy, None)
    }

    /// Forwards a body while it comes in.
    pub(crate) async fn send_streamed(
        self,
        head: request::Parts,
        gathered: Gathered,
        incoming: Incoming,
    ) -> Result<Done, Refusal> {
        let (feed, body) = fed(self.framing);
        let copy = self.copy();
        let mut pump = Pump::new(gathered, incoming, feed, copy, self.pump_limits());

        let started = Instant::now();
        let mut sending = std::pin::pin!(self.upstream.send(Request::from_parts(head, body)));
        let ended = tokio::select! {
            early = &mut sending => Err(early),
            ended = pump.run() => Ok(ended),
        };
        let (asked, is_early) = match ended {
            Ok(Ok(())) => (self.within(sending).await, false),
            Ok(Err(Stop::Client(refusal))) => return Err(refusal),
            Ok(Err(Stop::Upstream)) => (Err(Fault::Timeout), true),
            Err(early) => (early, true),
        };
        self.worker.metrics.upstream(started.elapsed());
        if is_early {
            return Ok(self.settle(asked, pump).await);
        }
        Ok(self.conclude(asked, pump.take_copy(), None))
    }

    /// Ends a request that was decided before Sentry had the whole body.
    async fn settle(self, early: Asked, mut pump: Pump) -> Done {
        let feed = match &early {
            Ok((response, _)) if !is_error(response) => None,
            Ok(_) | Err(_) => pump.hold(),
        };
        let is_complete = pump.settle().await;
        let mut copy = pump.take_copy();
        if !is_complete {
            copy.iter_mut()
                .for_each(|copy| copy.give_up(Dropped::Incomplete));
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
    fn conclude(self, asked: Asked, copy: Option<BodyCopy>, feed: Option<Feed>) -> Done {
        let asked = match asked {
            Ok((response, _)) if is_outage(self.kind, response.status()) => {
                Err(Fault::Outage(response.status().as_u16()))
            }
            asked => asked,
        };
        let stall = self.settings.config().upstream.response_timeout;
        let (verdict, answer) = match asked {
            Ok((response, lease)) => (
                Verdict::of_status(response.status()),
                relay(response, Tail { lease, feed, stall }),
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

    /// Returns an empty copy of the body if somebody wants one.
    fn copy(&self) -> Option<BodyCopy> {
        let limit = self.settings.config().tee.max_body;
        self.draft.as_ref().map(|_| self.worker.tap.copy(limit))
    }

    fn hand_over(self, copy: Option<BodyCopy>, verdict: Verdict) {
        let (Some(draft), Some(copy)) = (self.draft, copy) else {
            return;
        };
        let wants = self.settings.config().tee.wants;
        let mut scanner = self.worker.scanner.borrow_mut();
        if self.kind == EndpointKind::Envelope
            && !copy.may_alert(&draft.headers, &mut scanner, wants)
        {
            return;
        }
        if let Err(dropped) = self.worker.tap.offer(*draft, copy, verdict) {
            self.worker.metrics.tee_dropped(dropped);
        }
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
fn draft(endpoint: Endpoint, head: &request::Parts, client: &Client) -> Option<Box<Copied>> {
    let path_and_query = head
        .uri
        .path_and_query()
        .filter(|_| endpoint.kind.carries_events())?;
    Some(Box::new(Copied {
        endpoint,
        method: head.method.clone(),
        path_and_query: path_and_query.clone(),
        headers: tap::needed(&head.headers),
        received_at: SystemTime::now(),
        peer: client.peer.ip(),
        kept_alive: READ_BUFFER,
    }))
}

/// Passes Sentry's answer on.
fn relay(response: Response<Incoming>, tail: Tail) -> Response<AnswerBody> {
    let (mut head, incoming) = response.into_parts();
    headers::towards_client(&mut head.headers);
    let body = AnswerBody::upstream(&head.headers, incoming, tail);
    Response::from_parts(head, body)
}

fn is_error<B>(response: &Response<B>) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

/// Whether the answer means that Sentry is down. The web API's own 503 is none of our business.
pub(crate) fn is_outage(kind: EndpointKind, status: StatusCode) -> bool {
    let is_down = Verdict::of_status(status) == Verdict::Unreachable;
    match kind {
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

/// Bytes of hyper's smallest read buffer, which every handle into it keeps alive as a whole.
const READ_BUFFER: usize = 8192;

//! One request on its way to Sentry: send it whole or piece by piece, turn what comes back into the answer, hand the copy over.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use event::{Auth, Codings, Endpoint, EndpointKind, PublicKey};
use http::header::RETRY_AFTER;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;

use crate::access::Notes;
use crate::answer::{self, RATE_LIMITS, Refusal};
use crate::body::{AnswerBody, Feed, Framing, RequestBody, Tail, fed};
use crate::connection::Client;
use crate::error::Fault;
use crate::handler::{Done, Shared};
use crate::headers;
use crate::keep::{BodyStream, Contents, Keeper, Parcel, is_keepable};
use crate::limits::Told;
use crate::metrics::Outcome;
use crate::patience::{Answered, Asking, Attempt, Came};
use crate::preflight::Preflight;
use crate::pump::{Gathered, Pump, PumpLimits, Stop};
use crate::tap::{BodyCopy, Copied, Dropped, Verdict};
use crate::upstream::Lease;
use crate::worker::{Settings, Worker};

/// A request that goes to Sentry.
pub(crate) struct Exchange<'w> {
    worker: &'w Rc<Worker>,
    settings: &'w Rc<Settings>,
    endpoint: Endpoint,
    framing: Framing,
    received_at: SystemTime,
    notes: &'w Notes,
    /// The copy without its body; `None` when nobody wants one.
    draft: Option<Box<Copied>>,
    /// The request's head, if the request may be made durable.
    origin: Option<Box<Origin>>,
    /// A browser's question about a request that might be made durable.
    preflight: Option<Preflight>,
}

/// The head of a request to Sentry.
struct Origin {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
}

/// Sentry's answer, and the connection on which it comes.
#[derive(Debug)]
struct Received {
    response: Response<Incoming>,
    lease: Lease,
}

impl Answered for Received {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn told(&self) -> Told<'_> {
        let text = |name| {
            let value: Option<&HeaderValue> = self.response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        Told {
            limits: text(RATE_LIMITS),
            retry_after: text(RETRY_AFTER),
            is_refusal: self.response.status() == StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

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
            notes,
        } = shared;
        notes.project.set(endpoint.project);
        let draft = draft(endpoint, head, client);
        head.uri = target;
        head.version = Version::HTTP_11;
        head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        headers::towards_upstream(
            &mut head.headers,
            &client.forwarded,
            settings.config().forward.client_ip,
            settings.upstreams.of(endpoint.project).host(),
        );
        let may_keep = worker.keeper.is_some() && is_keepable(endpoint.kind, &head.method);
        let may_follow = worker.keeper.is_some() && is_keepable(endpoint.kind, &Method::POST);
        let preflight = Preflight::of(&head.method, &head.headers).filter(|_| may_follow);
        Exchange {
            worker,
            settings,
            endpoint,
            framing,
            received_at: SystemTime::now(),
            notes,
            draft,
            origin: may_keep.then(|| Origin::of(head)).flatten(),
            preflight,
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
        let attempt = self.attempt(request);
        let pieces = &gathered.pieces;
        let pack = || self.pack(pieces, spool::Body::Memory(pieces.clone()));
        let came = match &self.preflight {
            Some(_) => self.asking().ask_in_passing(attempt).await,
            None => self.asking().ask(attempt, pack).await,
        };
        self.note_wait(started);
        self.look(&gathered.pieces);

        let mut copy = self.copy();
        if let Some(copy) = &mut copy {
            gathered
                .pieces
                .into_iter()
                .for_each(|piece| copy.add(piece));
        }
        self.conclude(came, copy, None)
    }

    /// Forwards a body while it comes in.
    pub(crate) async fn send_streamed(
        self,
        head: request::Parts,
        gathered: Gathered,
        incoming: Incoming,
    ) -> Result<Done, Refusal> {
        let (feed, body) = fed(self.framing);
        let mut pump = Pump::new(gathered, incoming, feed, self.copy(), self.pump_limits());
        if let Some(keeper) = self.keeper() {
            pump.store_in(BodyStream::start(Arc::clone(keeper))).await;
        }

        let started = Instant::now();
        let mut attempt = self.attempt(Request::from_parts(head, body));
        let ended = tokio::select! {
            early = &mut attempt => Err(early),
            ended = pump.run() => Ok(ended),
        };
        let asked = match ended {
            Ok(Ok(())) => {
                let came = self.outwait(attempt, pump.take_file(), pump.start()).await;
                self.note_wait(started);
                self.look_into(&pump);
                return Ok(self.conclude(came, pump.take_copy(), None));
            }
            Ok(Err(Stop::Client(refusal))) => return Err(refusal),
            Ok(Err(Stop::Upstream)) => Err(Fault::Timeout),
            Err(early) => early,
        };
        self.note_wait(started);
        self.look_into(&pump);
        Ok(self.settle(asked, pump).await)
    }

    /// Notes how long Sentry was waited for.
    fn note_wait(&self, started: Instant) {
        let took = started.elapsed();
        self.worker.metrics.upstream(took);
        self.notes.upstream.set(Some(took));
    }

    fn look_into(&self, pump: &Pump) {
        self.notes.bytes.set(pump.received());
        self.look(pump.start());
    }

    /// Lets the log tell the ids at the start of the body.
    fn look(&self, start: &[Bytes]) {
        if let Some(draft) = &self.draft {
            self.notes.look(draft.codings, start);
        }
    }

    /// Waits for Sentry's answer to a body that has been sent, and keeps the file of it otherwise.
    async fn outwait(
        &self,
        attempt: Attempt<Received>,
        file: Option<BodyStream>,
        start: &[Bytes],
    ) -> Came<Received> {
        let file = match file {
            Some(file) => file
                .finish()
                .await
                .inspect_err(|error| self.worker.log.unkept(error))
                .ok(),
            None => None,
        };
        let mut asking = self.asking();
        let Some(file) = file else {
            asking.keeper = None;
            return asking
                .ask(attempt, || {
                    unreachable!("without a keeper nothing is packed")
                })
                .await;
        };
        asking
            .ask_begun(attempt, || self.pack(start, spool::Body::File(file)))
            .await
    }

    /// Ends a request that was decided before Sentry had the whole body.
    async fn settle(self, early: Result<Received, Fault>, mut pump: Pump) -> Done {
        let (answer, fault) = match early {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (None, Some(fault)),
        };
        if answer.is_some() {
            drop(pump.take_file());
        }
        let is_error = answer
            .as_ref()
            .is_none_or(|answer| is_error(&answer.response));
        let feed = if is_error { pump.hold() } else { None };
        let is_complete = pump.settle().await;
        let mut copy = pump.take_copy();
        let (file, start) = (pump.take_file(), pump.start().to_vec());
        if !is_complete {
            copy.iter_mut()
                .for_each(|copy| copy.give_up(Dropped::Incomplete));
            tokio::task::spawn_local(pump.discard());
        }
        let came = match (answer, fault) {
            (Some(answer), _) => Came::Answer(answer),
            (None, fault) => {
                let fault = fault.unwrap_or(Fault::Timeout);
                self.keep_file(fault, file.filter(|_| is_complete), &start)
                    .await
            }
        };
        self.conclude(came, copy, feed)
    }

    async fn keep_file(
        &self,
        fault: Fault,
        file: Option<BodyStream>,
        start: &[Bytes],
    ) -> Came<Received> {
        let (Some(keeper), Some(file)) = (self.keeper(), file) else {
            return Came::Lost(fault);
        };
        match file.finish().await {
            Ok(file) => {
                let parcel = self.pack(start, spool::Body::File(file));
                self.asking().keep_instead(keeper, fault, parcel).await
            }
            Err(error) => {
                self.worker.log.unkept(&error);
                Came::Lost(fault)
            }
        }
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            worker: self.worker,
            settings: self.settings,
            connector: self
                .settings
                .upstreams
                .of(self.endpoint.project)
                .connector(),
            keeper: self.keeper(),
            clock: None,
            since: Instant::now(),
        }
    }

    /// Returns the spool, if the request may go there.
    fn keeper(&self) -> Option<&'w Arc<Keeper>> {
        self.worker
            .keeper
            .as_ref()
            .filter(|_| self.origin.is_some())
    }

    /// Asks Sentry, with or without somebody who waits for it.
    fn attempt(&self, request: Request<RequestBody>) -> Attempt<Received> {
        let (settings, endpoint) = (Rc::clone(self.settings), self.endpoint);
        Box::pin(async move {
            let upstream = settings.upstreams.of(endpoint.project);
            let sent = upstream.send(request).await;
            let asked = sent.and_then(|(response, lease)| {
                fail_in_outage(endpoint.kind, response.status())?;
                Ok(Received { response, lease })
            });
            upstream.connector().note(&asked);
            asked
        })
    }

    /// Packs the request up for the spool; `start` is how its body begins.
    fn pack(&self, start: &[Bytes], body: spool::Body) -> Parcel {
        let origin = self.origin.as_ref();
        let origin = origin.expect("only what may be kept is packed");
        let contents = Contents {
            endpoint: self.endpoint,
            method: &origin.method,
            target: origin.target.clone(),
            headers: &origin.headers,
            fields: spool::Head::fields_of(&origin.headers),
            framing: match self.framing {
                Framing::Length(_) => spool::Framing::Length,
                Framing::Chunked => spool::Framing::Chunked,
            },
            received_at: self.received_at,
            start,
        };
        Parcel::new(contents, body)
    }

    /// Turns what came of it into the answer, and hands the copy over.
    fn conclude(self, came: Came<Received>, copy: Option<BodyCopy>, feed: Option<Feed>) -> Done {
        if let (Came::Lost(_), Some(preflight)) = (&came, &self.preflight) {
            return Done {
                outcome: Outcome::Preflight,
                answer: preflight.allow(),
            };
        }
        let stall = self.settings.config().upstream.response_timeout;
        let (verdict, answer) = match came {
            Came::Answer(received) => {
                if let Some(keeper) = &self.worker.keeper {
                    keeper.note(|| self.key(), received.told());
                }
                let Received { response, lease } = received;
                let verdict = Verdict::of_status(response.status());
                (verdict, relay(response, Tail { lease, feed, stall }))
            }
            Came::Kept { id, key } => {
                let keeper = self.worker.keeper.as_ref();
                let limits = keeper.and_then(|keeper| keeper.limits.field(key, Instant::now()));
                (Verdict::Spooled, answer::kept(id, limits.as_deref()))
            }
            Came::Lost(fault) => {
                self.worker.log.lost(&fault);
                (Verdict::Unreachable, answer::lost(&fault))
            }
        };
        self.hand_over(copy, verdict);
        Done {
            outcome: Outcome::Forwarded(verdict),
            answer,
        }
    }

    /// Returns the key of the DSN, as far as the head tells.
    fn key(&self) -> Option<PublicKey> {
        let origin = self.origin.as_ref()?;
        let auth = Auth::find(&origin.headers, origin.target.query(), self.endpoint.key);
        auth.map(|auth| auth.key)
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
        if self.endpoint.kind == EndpointKind::Envelope
            && !copy.may_alert(draft.codings, &mut scanner, wants)
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

impl Origin {
    fn of(head: &request::Parts) -> Option<Box<Origin>> {
        Some(Box::new(Origin {
            method: head.method.clone(),
            target: head.uri.path_and_query()?.clone(),
            headers: head.headers.clone(),
        }))
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
        codings: Codings::from(&head.headers),
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

/// Returns a fault if the answer means that Sentry is down.
pub(crate) fn fail_in_outage(kind: EndpointKind, status: StatusCode) -> Result<(), Fault> {
    if is_outage(kind, status) {
        return Err(Fault::Outage(status.as_u16()));
    }
    Ok(())
}

/// The web API's own 503 is none of our business.
fn is_outage(kind: EndpointKind, status: StatusCode) -> bool {
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

//! One request, phase by phase: find its way, take the start of its body in, ask Sentry, answer.

use std::rc::Rc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::access::{self, Ended, Notes};
use crate::answer::{self, Refusal};
use crate::body::{AnswerBody, Framing};
use crate::connection::Client;
use crate::exchange::Exchange;
use crate::headers;
use crate::metrics::Outcome;
use crate::pump::{Gathered, gather};
use crate::route::{self, Asked, EndpointLabel, Found};
use crate::screen;
use crate::worker::{Settings, Worker};

/// Carries one request through and returns its answer. Counts exactly one outcome.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let started = Instant::now();
    let _in_flight = Rc::clone(&worker).begin(Rc::clone(&client.activity));
    let settings = worker.settings();
    let notes = Notes::default();
    let shared = Shared {
        worker: &worker,
        settings: &settings,
        client: &client,
        notes: &notes,
    };
    let (mut head, incoming) = request.into_parts();
    if head.version == Version::HTTP_2 {
        headers::from_http2(&mut head, incoming.is_end_stream());
    }

    let method = access::is_wanted().then(|| head.method.clone());
    let found = Asked::of(&head).and_then(|asked| route::find(&settings, &asked));
    let (label, carried) = match found {
        Ok(found) => (found.label(), carry(shared, found, head, incoming).await),
        Err(refusal) => (EndpointLabel::NONE, Err(refusal)),
    };
    let done = carried.unwrap_or_else(|refusal| Done::refused(blame(&client, refusal)));

    let took = started.elapsed();
    worker.metrics.request(label, done.outcome, took);
    if let Some(method) = &method {
        notes.log(&Ended {
            method,
            endpoint: label,
            verdict: done.outcome.as_str(),
            status: done.answer.status().as_u16(),
            took,
        });
    }
    done.answer
}

/// What requests share, as one of them sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'w> {
    pub(crate) worker: &'w Rc<Worker>,
    pub(crate) settings: &'w Rc<Settings>,
    pub(crate) client: &'w Client,
    pub(crate) notes: &'w Notes,
}

/// The end of a request.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) answer: Response<AnswerBody>,
}

impl Done {
    fn refused(refusal: Refusal) -> Done {
        Done {
            outcome: Outcome::Refused(refusal),
            answer: answer::refuse(refusal),
        }
    }
}

async fn carry(
    shared: Shared<'_>,
    found: Found,
    mut head: request::Parts,
    mut incoming: Incoming,
) -> Result<Done, Refusal> {
    let framing = framing_of(&head.headers)?;
    let gathered = take_in(shared, framing, &found, &mut incoming).await?;
    shared.notes.bytes.set(gathered.length);
    let asked = Asked::of(&head)?;
    let route = found.resolve(shared.settings, &asked, &gathered.pieces)?;
    let target = route.uri(&head.uri)?;
    let exchange = Exchange::new(shared, route.endpoint, framing, &mut head, target);

    if gathered.is_complete {
        let request = exchange.request(head, &gathered)?;
        return Ok(exchange.send_held(request, gathered).await);
    }
    // Boxed, because it is rare and would make every request's future several times as large.
    Box::pin(exchange.send_streamed(head, gathered, incoming)).await
}

/// Reads the body if it may fit into the buffer, or as much as fits if its start has to be looked at.
async fn take_in(
    shared: Shared<'_>,
    framing: Framing,
    found: &Found,
    incoming: &mut Incoming,
) -> Result<Gathered, Refusal> {
    let (config, memory) = (shared.settings.config(), &shared.worker.memory);
    let length = match framing {
        Framing::Length(length) => length,
        Framing::Chunked => 0,
    };
    if length > config.forward.max_body {
        return Err(Refusal::TooLarge);
    }
    if length > config.forward.buffer as u64 && matches!(found, Found::Known(_)) {
        return Ok(Gathered::nothing(memory));
    }
    gather(
        incoming,
        memory,
        config.forward.buffer,
        config.limits.stall_timeout,
    )
    .await
}

/// A body that breaks off because the screen let no more through has another reason than the client's leaving.
fn blame(client: &Client, refusal: Refusal) -> Refusal {
    match (refusal, client.activity.fault.get()) {
        (Refusal::Aborted, Some(screen::Fault::MalformedBody)) => Refusal::Malformed,
        (Refusal::Aborted, Some(screen::Fault::LateBody)) => Refusal::Timeout,
        (refusal, _) => refusal,
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

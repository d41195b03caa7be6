//! Sends one request from the spool, as it was, and reads the head of the answer.

use std::rc::Rc;
use std::time::Instant;

use event::ProjectId;
use http::header::{HOST, RETRY_AFTER};
use http::uri::Uri;
use http::{HeaderMap, Request, Response, StatusCode};
use spool::{BodyReader, Content, Framing as Kind};

use crate::answer::RATE_LIMITS;
use crate::body::{Feed, Framing, RequestBody, fed};
use crate::error::Fault;
use crate::limits::Told;
use crate::plain::Answer;
use crate::upstream::Upstream;
use crate::worker::Settings;

/// A request on its way out of the spool.
pub(crate) struct Outgoing {
    pub(crate) settings: Rc<Settings>,
    pub(crate) project: Option<ProjectId>,
    pub(crate) request: spool::Request,
}

/// The head of Sentry's answer, as far as the replay needs it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    limits: Option<String>,
    retry_after: Option<String>,
    /// The rest of it, on a connection that can be used again after that.
    rest: Option<Answer>,
}

impl Heard {
    /// Reads the rest of a short answer, so that its connection can be used again; a long one is not worth it.
    pub(crate) async fn put_back(self, upstream: &Upstream) {
        let Some(mut answer) = self.rest else { return };
        if discard(&mut answer).await.is_ok() {
            upstream.links.put(answer, Instant::now());
        }
    }

    pub(crate) fn told(&self) -> Told<'_> {
        Told {
            limits: self.limits.as_deref(),
            retry_after: self.retry_after.as_deref(),
            is_refusal: self.status == StatusCode::TOO_MANY_REQUESTS.as_u16(),
        }
    }
}

/// Sends it; a status that means an outage is a fault.
pub(crate) async fn send(outgoing: Outgoing) -> Result<Heard, Fault> {
    let Outgoing {
        settings,
        project,
        request,
    } = outgoing;
    let upstream = settings.upstreams.of(project);
    let heard = match request.body {
        Content::Memory(body) if upstream.connector().speaks_http1_only() => {
            send_plain(upstream, &request.head, &body).await?
        }
        Content::Memory(body) => {
            let framing = framing(&request.head, body.len() as u64);
            let body = RequestBody::held(framing, [body]);
            send_by_hyper(upstream, &request.head, body).await?
        }
        Content::File(reader) => send_file(upstream, &request.head, reader).await?,
    };
    match heard.status {
        502..=504 => Err(Fault::Outage(heard.status)),
        _ => Ok(heard),
    }
}

/// Writes the request as it was written.
async fn send_plain(upstream: &Upstream, head: &spool::Head, body: &[u8]) -> Result<Heard, Fault> {
    let text = write(upstream, head, body);
    let now = Instant::now();
    let answer = upstream
        .links
        .send(upstream.connector(), &text, now)
        .await?;
    let told = answer.head().told();
    Ok(Heard {
        status: answer.head().status.as_u16(),
        limits: told.limits.map(str::to_owned),
        retry_after: told.retry_after.map(str::to_owned),
        rest: Some(answer),
    })
}

async fn discard(answer: &mut Answer) -> std::io::Result<()> {
    let mut unread = Vec::new();
    answer.take_body(answer.head().length, &mut unread)?;
    while !answer.is_whole() && unread.len() < LONG_ANSWER {
        if !answer.read_more().await? {
            break;
        }
        answer.take_body(0, &mut unread)?;
    }
    Ok(())
}

fn write(upstream: &Upstream, head: &spool::Head, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 1024);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.fields {
        let value = if name.eq_ignore_ascii_case(b"host") {
            upstream.host().as_bytes()
        } else {
            value
        };
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    match head.framing {
        Kind::Length => out.extend_from_slice(body),
        Kind::Chunked => {
            if !body.is_empty() {
                out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
    out
}

async fn send_file(
    upstream: &Upstream,
    head: &spool::Head,
    mut reader: BodyReader,
) -> Result<Heard, Fault> {
    let (feed, body) = fed(framing(head, reader.len()));
    let feeding = async {
        // Dropped before its end, the feed breaks the request off.
        if feed_all(&mut reader, &feed).await.is_ok() {
            feed.finish();
        }
        std::future::pending().await
    };
    tokio::select! {
        heard = send_by_hyper(upstream, head, body) => heard,
        never = feeding => never,
    }
}

async fn feed_all(reader: &mut BodyReader, feed: &Feed) -> Result<(), ()> {
    while let Some(piece) = reader.next().await.map_err(|_| ())? {
        feed.reserve().await?.send(piece);
    }
    Ok(())
}

async fn send_by_hyper(
    upstream: &Upstream,
    head: &spool::Head,
    body: RequestBody,
) -> Result<Heard, Fault> {
    let headers = head
        .header_map()
        .map_err(|error| Fault::NotSent(error.into()))?;
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.target.clone());
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, upstream.host().clone());
    let (response, lease) = upstream.send(request).await?;
    let heard = hear(&response);
    drop((response, lease));
    Ok(heard)
}

fn hear<B>(response: &Response<B>) -> Heard {
    let text = |headers: &HeaderMap, name| {
        let value = headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok());
        value.map(str::to_owned)
    };
    Heard {
        status: response.status().as_u16(),
        limits: text(response.headers(), RATE_LIMITS),
        retry_after: text(response.headers(), RETRY_AFTER),
        rest: None,
    }
}

fn framing(head: &spool::Head, length: u64) -> Framing {
    match head.framing {
        Kind::Length => Framing::Length(length),
        Kind::Chunked => Framing::Chunked,
    }
}

/// Bytes of an answer that are read only for the sake of the connection.
const LONG_ANSWER: usize = 64 << 10;

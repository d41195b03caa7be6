//! A plain request in the form in which it goes to Sentry.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use event::{Auth, Codings, Endpoint, PublicKey};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::fields::{self, Coding, Kept, Passed, Seen};
use super::heads::Familiar;
use crate::connection::Client;
use crate::memory::Held;
use crate::route::{self, Asked, EndpointLabel, Found};
use crate::screen::{chunks, head};
use crate::worker::{Settings, Worker};

/// A request that is all there.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) settings: Rc<Settings>,
    pub(crate) endpoint: Endpoint,
    pub(crate) label: EndpointLabel,
    pub(crate) method: Method,
    /// The head as Sentry gets it, and the body as it came.
    pub(crate) bytes: Bytes,
    /// Where the body begins.
    pub(crate) body: usize,
    /// Where the target stands in the head.
    pub(crate) target: Range<usize>,
    pub(crate) seen: Seen,
    pub(crate) started: Instant,
    /// The request's share of the thread's memory.
    _held: Held,
}

/// What a plain head leads to.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    endpoint: Endpoint,
    method: Method,
    /// Where the target stands in the head as Sentry gets it.
    target: Range<usize>,
    /// Where the fields begin in the head as it came.
    pub(crate) lines: usize,
    pub(crate) passed: Passed,
}

impl Plain {
    /// Finds out what a head leads to, and writes it as Sentry gets it, but for what every request gets added at the end;
    /// `None` when it is not plain after all.
    fn read(settings: &Settings, client: &Client, head: &[u8], out: &mut Vec<u8>) -> Option<Plain> {
        let (line, lines) = fields::split_line(head)?;
        let (method, target) = read_request_line(line)?;
        let asked = Asked {
            method: &method,
            target,
            headers: &listed_headers(settings, lines),
        };
        let Ok(Found::Known(route)) = route::find(settings, &asked) else {
            return None;
        };
        let upstream = settings.upstreams.of(route.endpoint.project);
        if !upstream.connector().speaks_http1_only() {
            return None;
        }
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        let start = out.len();
        out.extend_from_slice(route.target.as_deref().unwrap_or(target).as_bytes());
        let target = start..out.len();
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Some(Plain {
            endpoint: route.endpoint,
            method,
            target,
            lines: head.len() - lines.len(),
            passed: kept(settings, client).pass(lines, upstream.host(), out)?,
        })
    }
}

impl Request {
    /// Makes a whole request ready for Sentry, of whose head something may be known; `None` when it is not plain after all.
    pub(crate) fn read(
        worker: &Worker,
        settings: Rc<Settings>,
        client: &Client,
        bytes: &[u8],
        head: usize,
        familiar: Option<Rc<Familiar>>,
    ) -> Option<Request> {
        let (head, body) = bytes.split_at(head);
        let forward = &settings.config().forward;
        let is_small = body.len() <= forward.buffer && body.len() as u64 <= forward.max_body;
        let mut held = worker.memory.hold();
        if !is_small || !held.grow(bytes.len()) {
            return None;
        }

        let mut out = worker.scratch.spare.take(bytes.len() + ADDED);
        let plain = match familiar.filter(|familiar| settings.heads.hold(familiar)) {
            Some(familiar) => familiar.write(head, &mut out),
            None => {
                let plain = Plain::read(&settings, client, head, &mut out)?;
                settings.heads.remember(head, &out, &plain);
                plain
            }
        };
        kept(&settings, client).finish(&head[plain.lines..], &plain.passed, &mut out);
        let body_start = out.len();
        out.extend_from_slice(body);
        Some(Request {
            endpoint: plain.endpoint,
            label: EndpointLabel::of(plain.endpoint.kind),
            method: plain.method,
            bytes: out.into(),
            body: body_start,
            target: plain.target,
            seen: plain.passed.seen,
            started: Instant::now(),
            settings,
            _held: held,
        })
    }

    /// Returns the body without the framing of chunks.
    pub(crate) fn data(&self) -> Bytes {
        match self.bare() {
            Cow::Borrowed(body) => self.bytes.slice_ref(body),
            Cow::Owned(data) => data.into(),
        }
    }

    /// Returns what [`Request::data`] does, for those who only look at it.
    pub(crate) fn bare(&self) -> Cow<'_, [u8]> {
        let body = &self.bytes[self.body..];
        if self.seen.is_chunked {
            Cow::Owned(chunks::data_of(body))
        } else {
            Cow::Borrowed(body)
        }
    }

    /// Returns the target as Sentry gets it.
    pub(crate) fn path_and_query(&self) -> PathAndQuery {
        PathAndQuery::from_maybe_shared(self.bytes.slice(self.target.clone()))
            .expect("a plain target is a path and a query")
    }

    /// Returns the lines of the fields as Sentry gets them, with the empty one.
    pub(crate) fn lines(&self) -> &[u8] {
        let head = &self.bytes[..self.body];
        fields::split_line(head).map_or(head, |(_, lines)| lines)
    }

    /// Returns the fields as Sentry gets them.
    pub(crate) fn fields(&self) -> Vec<(Bytes, Bytes)> {
        let each = fields::each_line(self.lines()).filter_map(fields::split_field);
        each.map(|(name, value)| (self.bytes.slice_ref(name), self.bytes.slice_ref(value)))
            .collect()
    }

    /// Returns the key of the DSN, as far as the head tells.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        let headers = fields::header_map(self.lines());
        let target = self.path_and_query();
        Auth::find(&headers, target.query(), self.endpoint.key).map(|auth| auth.key)
    }

    /// Returns how the body is coded.
    pub(crate) fn codings(&self) -> Codings {
        match &self.seen.coding {
            Coding::None => Codings::NONE,
            Coding::Field(place) => Codings::from(Some(&self.bytes[place.clone()])),
            Coding::Several => Codings::from(&fields::header_map(self.lines())),
        }
    }
}

fn kept<'a>(settings: &Settings, client: &'a Client) -> Kept<'a> {
    Kept {
        forwarded: &client.forwarded,
        client_ip: settings.config().forward.client_ip,
    }
}

/// Reads method and target of a plain request. The checks of every head have passed: there are three words.
fn read_request_line(line: &[u8]) -> Option<(Method, &str)> {
    let mut words = line.split(|byte| *byte == b' ');
    let method = match words.next()? {
        b"POST" => Method::POST,
        b"GET" => Method::GET,
        _ => return None,
    };
    let target = std::str::from_utf8(words.next()?).ok()?;
    let is_http_11 = words.next()? == b"HTTP/1.1";
    let is_plain = |byte: u8| PLAIN[usize::from(byte)];
    let is_plain = target.starts_with('/') && target.bytes().all(is_plain);
    (is_http_11 && is_plain).then_some((method, target))
}

/// Returns the fields for the allow list, if there is one.
fn listed_headers(settings: &Settings, lines: &[u8]) -> HeaderMap {
    if settings.config().forward.public_keys.is_empty() {
        return HeaderMap::new();
    }
    fields::header_map(lines)
}

/// Which bytes RFC 3986 lets stand in a path and a query; a target with others is left to a parser of more patience.
static PLAIN: [bool; 256] = head::letters_digits_and(b"-._~!$&'()*+,;=:@/?%");

/// Bytes that are added to a head, more or less.
const ADDED: usize = 160;

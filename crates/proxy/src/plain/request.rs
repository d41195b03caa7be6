//! A plain request: where it ends, and the form in which it goes to Sentry.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use event::{Auth, Codings, Endpoint, PublicKey};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::fields::{self, Coding, Kept, Seen};
use crate::connection::Client;
use crate::memory::Held;
use crate::route::{self, Asked, EndpointLabel, Found};
use crate::screen::chunks::{self, Chunks};
use crate::screen::head::{self, Follows};
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
    pub(crate) target: std::ops::Range<usize>,
    pub(crate) seen: Seen,
    pub(crate) started: Instant,
    /// The request's share of the thread's memory.
    _held: Held,
}

/// Follows a request to its end.
#[derive(Debug, Default)]
pub(crate) struct Measurer {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    head: usize,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// Where the request ends.
    Length(usize),
    /// A chunked body, and how far it has been followed.
    Chunks(Chunks, usize),
}

/// How much of a request is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    /// All of it: the lengths of its head and of the whole.
    Whole { head: usize, end: usize },
    /// Its head, and not all of its body.
    Incomplete { is_first: bool },
    /// What is there is not a plain request.
    Other,
}

impl Measurer {
    /// Looks at all that has been read of a request, of which `known` bytes have been looked at before.
    ///
    /// A head that does not come at once is not plain: whoever sends it in pieces pays for more patient code.
    pub(crate) fn measure(&mut self, read: &[u8], known: usize, max_head: usize) -> Measured {
        let is_first = known == 0;
        if is_first {
            self.known = Known::of(read, max_head);
        }
        let Some(Known { head, rest }) = &mut self.known else {
            return Measured::Other;
        };
        let end = match rest {
            Rest::Length(end) => Some(*end).filter(|end| *end <= read.len()),
            Rest::Chunks(chunks, followed) => match chunks.advance(&read[*followed..]) {
                // What is about one connection only would go on with the rest.
                Ok(_) if chunks.has_extras() => return Measured::Other,
                Ok(more) => {
                    *followed += more;
                    Some(*followed).filter(|_| chunks.is_done())
                }
                Err(_) => return Measured::Other,
            },
        };
        match end {
            Some(end) if end - *head <= MAX_BODY => Measured::Whole { head: *head, end },
            None if read.len() - *head <= MAX_BODY => Measured::Incomplete { is_first },
            Some(_) | None => Measured::Other,
        }
    }
}

impl Known {
    fn of(read: &[u8], max_head: usize) -> Option<Known> {
        let (head, checked) = head::check_start(read).ok()??;
        if head > max_head || checked.expects_continue {
            return None;
        }
        let rest = match checked.follows {
            Follows::Length(length) => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MAX_BODY)?;
                Rest::Length(head + length)
            }
            Follows::Chunks => Rest::Chunks(Chunks::new(), head),
        };
        Some(Known { head, rest })
    }
}

impl Request {
    /// Makes a whole request ready for Sentry; `None` when it is not plain after all.
    pub(crate) fn read(
        worker: &Worker,
        client: &Client,
        bytes: &[u8],
        head: usize,
    ) -> Option<Request> {
        let settings = worker.settings();
        let (head, body) = bytes.split_at(head);
        let (line, lines) = fields::split_line(head)?;
        let (method, target) = read_request_line(line)?;
        let asked = Asked {
            method: &method,
            target,
            headers: &listed_headers(&settings, lines),
        };
        let Ok(Found::Known(route)) = route::find(&settings, &asked) else {
            return None;
        };
        let forward = &settings.config().forward;
        let is_small = body.len() <= forward.buffer && body.len() as u64 <= forward.max_body;
        let mut held = worker.memory.hold();
        if !is_small || !held.grow(bytes.len()) {
            return None;
        }

        let upstream = settings.upstreams.of(route.endpoint.project);
        if !upstream.connector().speaks_http1_only() {
            return None;
        }
        let room = bytes.len() + ADDED + upstream.host().len();
        let mut out = worker.scratch.spare.take(room);
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        let start = out.len();
        out.extend_from_slice(route.target.as_deref().unwrap_or(target).as_bytes());
        let target = start..out.len();
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let kept = Kept {
            forwarded: &client.forwarded,
            client_ip: forward.client_ip,
            host: upstream.host(),
        };
        let seen = kept.write(lines, &mut out)?;
        let body_start = out.len();
        out.extend_from_slice(body);
        Some(Request {
            endpoint: route.endpoint,
            label: EndpointLabel::of(route.endpoint.kind),
            method,
            bytes: out.into(),
            body: body_start,
            target,
            seen,
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

/// Bytes of the largest plain body, with its framing if it is chunked.
const MAX_BODY: usize = 64 << 10;

/// Bytes that are added to a head, more or less.
const ADDED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\n";

    fn measure(steps: &[&str]) -> Vec<Measured> {
        let (mut measurer, mut read) = (Measurer::default(), String::new());
        let one = |step: &&str| {
            let known = read.len();
            read.push_str(step);
            measurer.measure(read.as_bytes(), known, 1000)
        };
        steps.iter().map(one).collect()
    }

    #[test]
    fn finds_the_end_of_a_request_however_its_body_is_cut() {
        let with_length = format!("{HEAD}Content-Length: 3\r\n\r\n");
        let head = with_length.len();
        let whole = Measured::Whole {
            head,
            end: head + 3,
        };
        let (first, later) = (
            Measured::Incomplete { is_first: true },
            Measured::Incomplete { is_first: false },
        );
        assert_eq!(
            measure(&[&with_length, "a", "bcPOST"]),
            [first, later, whole]
        );
        assert_eq!(measure(&[&(with_length + "abc")]), [whole]);

        let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let head = chunked.len();
        let whole = Measured::Whole {
            head,
            end: head + 13,
        };
        assert_eq!(
            measure(&[&chunked, "3\r\na", "bc\r\n0\r\n\r\nPOST"]),
            [first, later, whole]
        );
    }

    #[test]
    fn leaves_to_others_what_is_not_plain() {
        let long = format!("{HEAD}X: {}\r\n\r\n", "y".repeat(1000));
        let large = format!("{HEAD}Content-Length: {}\r\n\r\n", MAX_BODY + 1);
        let cases = [
            "POST /api/1/store/ HTTP/1.1\r\nHost: a",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\nHost: a\n\n",
            "POST / HTTP/1.1\r\n\r\n",
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0;a\r\n\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"),
            &format!("{HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
            &long,
            &large,
        ];

        for case in cases {
            assert_eq!(measure(&[case]), [Measured::Other], "{case:?}");
        }
    }

    #[test]
    fn a_chunked_body_may_not_grow_beyond_the_limit() {
        let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));

        let measured = measure(&[&head, &chunk.repeat(15), &chunk, &chunk]);

        let last = measured.last().copied();
        assert_eq!(
            (measured[1], last),
            (
                Measured::Incomplete { is_first: false },
                Some(Measured::Other)
            )
        );
    }
}

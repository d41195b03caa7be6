//! The fields of a plain message, copied line by line: the same rules as in `headers`, on the text instead of a map.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use crate::config::ClientIp;
use crate::headers::Forwarded;

/// What a request to Sentry says besides what the client said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) forwarded: &'a Forwarded,
    pub(crate) client_ip: ClientIp,
}

/// What there is to know of fields that were copied.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) seen: Seen,
    /// Where the digits of `Content-Length` stand, if there are any.
    pub(crate) length: Option<Moved>,
    /// Where the `Host` stands that the client asked for, in its lines.
    asked_host: Range<usize>,
    claimed: Claimed,
}

/// The places of a value that went on as it came.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    /// In the client's lines.
    pub(crate) came: Range<usize>,
    /// In what was written.
    pub(crate) goes: Range<usize>,
}

/// What was seen in a request's fields while they were copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_chunked: bool,
    pub(crate) closes: bool,
    pub(crate) coding: Coding,
}

/// What a message says about the coding of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    None,
    /// One field, whose value stands at this place of what was written.
    Field(Range<usize>),
    Several,
}

/// What a field's name means to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It goes on as it came.
    Other,
    Host,
    Connection,
    ContentEncoding,
    Expect,
    /// Another field that ends at us.
    HopByHop,
    ContentLength,
    TransferEncoding,
    RateLimits,
    RetryAfter,
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
}

impl Kept<'_> {
    /// Writes the client's fields as Sentry gets them, with Sentry's `host`; `None` when they need more than copying.
    ///
    /// `lines` are checked: each ends in CRLF and has a name and a colon.
    pub(crate) fn pass(
        &self,
        lines: &[u8],
        host: &HeaderValue,
        out: &mut Vec<u8>,
    ) -> Option<Passed> {
        let (mut seen, mut claimed) = (Seen::default(), Claimed::default());
        let (mut length, mut asked_host) = (None, None);
        let (mut at, mut unwritten) = (0, 0);
        for line in each_line(lines) {
            let (name, value) = split_field(line)?;
            let meaning = Meaning::of(name);
            let next = at + line.len() + b"\r\n".len();
            let end = at + line.trim_ascii_end().len();
            let came = end - value.len()..end;
            // Most lines go on as they came, and are written together.
            if !meaning.goes_on_as_it_came() {
                out.extend_from_slice(&lines[unwritten..at]);
                unwritten = next;
            }
            match meaning {
                Meaning::Other | Meaning::RateLimits | Meaning::RetryAfter => {}
                Meaning::TransferEncoding => seen.is_chunked = true,
                Meaning::ContentLength => {
                    let goes = moved(&came, unwritten, out.len());
                    length = Some(Moved { came, goes });
                }
                Meaning::ContentEncoding => {
                    seen.coding = match seen.coding {
                        Coding::None => Coding::Field(moved(&came, unwritten, out.len())),
                        Coding::Field(_) | Coding::Several => Coding::Several,
                    };
                }
                Meaning::Host => {
                    asked_host = Some(came);
                    out.extend_from_slice(name);
                    push_value(out, host.as_bytes());
                }
                Meaning::Connection => seen.closes |= has_token(value, b"close"),
                Meaning::Expect | Meaning::HopByHop => {}
                // Only the last of several lines gets the client's address: rare, and easier on a map.
                Meaning::ForwardedFor if claimed.address => return None,
                Meaning::ForwardedFor => claimed.address = self.pass_list(line, out),
                Meaning::ForwardedProto => claimed.protocol |= self.pass_claim(line, out),
                Meaning::ForwardedHost => claimed.host |= self.pass_claim(line, out),
            }
            at = next;
        }
        out.extend_from_slice(&lines[unwritten..at]);
        Some(Passed {
            seen,
            length,
            asked_host: asked_host?,
            claimed,
        })
    }

    /// Writes the fields that we add to such `lines`, unless the client's own stand, and the empty line.
    pub(crate) fn finish(&self, lines: &[u8], passed: &Passed, out: &mut Vec<u8>) {
        if self.client_ip != ClientIp::Keep {
            self.add(&lines[passed.asked_host.clone()], passed.claimed, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Handles the list of addresses that the client claims; returns whether it stands.
    fn pass_list(&self, line: &[u8], out: &mut Vec<u8>) -> bool {
        if self.client_ip == ClientIp::Append {
            out.extend_from_slice(line);
            out.extend_from_slice(b", ");
            push_line(out, self.forwarded.peer.as_bytes());
            return true;
        }
        self.pass_claim(line, out)
    }

    /// Handles what the client claims about the way to us; returns whether it stands.
    fn pass_claim(&self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let stands = self.client_ip != ClientIp::Replace;
        if stands {
            push_line(out, line);
        }
        stands
    }

    fn add(&self, asked_host: &[u8], claimed: Claimed, out: &mut Vec<u8>) {
        let fields = [
            (
                claimed.address,
                &b"x-forwarded-for"[..],
                self.forwarded.peer.as_bytes(),
            ),
            (
                claimed.protocol,
                b"x-forwarded-proto",
                self.forwarded.protocol.as_bytes(),
            ),
            (claimed.host, b"x-forwarded-host", asked_host),
        ];
        for (_, name, value) in fields.into_iter().filter(|(is_there, ..)| !is_there) {
            out.extend_from_slice(name);
            push_value(out, value);
        }
    }
}

impl Passed {
    /// Returns whether an address stands that the client claims: no other client's request is the same.
    pub(crate) fn names_client(&self) -> bool {
        self.claimed.address
    }
}

/// Returns where something stands when the text from `start` on is written behind so many bytes.
fn moved(place: &Range<usize>, start: usize, written: usize) -> Range<usize> {
    written + place.start - start..written + place.end - start
}

/// Which claims of the client stand.
#[derive(Debug, Clone, Copy, Default)]
struct Claimed {
    address: bool,
    protocol: bool,
    host: bool,
}

impl Meaning {
    /// Tells by the length first: it decides for nearly every name.
    pub(crate) fn of(name: &[u8]) -> Meaning {
        let is = |other: &[u8], meaning| name.eq_ignore_ascii_case(other).then_some(meaning);
        let meaning = match name.len() {
            2 => is(b"te", Meaning::HopByHop),
            4 => is(b"host", Meaning::Host),
            6 => is(b"expect", Meaning::Expect),
            7 => is(b"trailer", Meaning::HopByHop).or_else(|| is(b"upgrade", Meaning::HopByHop)),
            10 => is(b"connection", Meaning::Connection)
                .or_else(|| is(b"keep-alive", Meaning::HopByHop)),
            11 => is(b"retry-after", Meaning::RetryAfter),
            14 => is(b"content-length", Meaning::ContentLength)
                .or_else(|| is(b"http2-settings", Meaning::HopByHop)),
            15 => is(b"x-forwarded-for", Meaning::ForwardedFor),
            16 => is(b"content-encoding", Meaning::ContentEncoding)
                .or_else(|| is(b"proxy-connection", Meaning::HopByHop))
                .or_else(|| is(b"x-forwarded-host", Meaning::ForwardedHost)),
            17 => is(b"transfer-encoding", Meaning::TransferEncoding)
                .or_else(|| is(b"x-forwarded-proto", Meaning::ForwardedProto)),
            18 => is(b"proxy-authenticate", Meaning::HopByHop),
            19 => is(b"proxy-authorization", Meaning::HopByHop),
            20 => is(b"x-sentry-rate-limits", Meaning::RateLimits),
            _ => None,
        };
        meaning.unwrap_or(Meaning::Other)
    }

    /// Returns whether a request to Sentry has the field as the client wrote it.
    fn goes_on_as_it_came(self) -> bool {
        match self {
            Meaning::Other
            | Meaning::ContentEncoding
            | Meaning::ContentLength
            | Meaning::TransferEncoding
            | Meaning::RateLimits
            | Meaning::RetryAfter => true,
            Meaning::Host
            | Meaning::Connection
            | Meaning::Expect
            | Meaning::HopByHop
            | Meaning::ForwardedFor
            | Meaning::ForwardedProto
            | Meaning::ForwardedHost => false,
        }
    }
}

/// Splits the first line off, without its CRLF.
pub(crate) fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    Some((text[..end].strip_suffix(b"\r")?, &text[end + 1..]))
}

/// Returns the lines without their CRLF, up to the empty one.
pub(crate) fn each_line(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = split_line(lines).filter(|(line, _)| !line.is_empty())?;
        lines = rest;
        Some(line)
    })
}

/// Splits a line into name and value.
pub(crate) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// Returns whether a list such as that of `Connection` names a token.
pub(crate) fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token))
}

/// Reads fields into a map, for those who want one; what does not fit into a map is left out.
pub(crate) fn header_map(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in each_line(lines).filter_map(split_field) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b": ");
    push_line(out, value);
}

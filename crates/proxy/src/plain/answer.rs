//! Sentry's answer on the short way: its head checked and copied, its body followed to its end.
//!
//! Source: RFC 9112 §4 and §6.3, RFC 9110 §7.6.1.

use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::{Header, ParserConfig, Response, Status};

use super::fields::{Meaning, has_token};
use crate::limits::Told;
use crate::screen::chunks::Chunks;

/// The head of an answer; one is filled again and again, most often with the same.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// As it came: the same bytes need not be read again.
    came: Vec<u8>,
    /// What the framing was before any of the body was followed.
    framing_at_first: Framing,
    /// As the client gets it, but for the empty line.
    pub(crate) text: Vec<u8>,
    pub(crate) status: StatusCode,
    /// Its length in what was read.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    /// Whether Sentry ends the connection after this answer.
    pub(crate) closes: bool,
    /// What it says about rate limits; most answers say nothing.
    rate_limits: Option<Box<str>>,
    retry_after: Option<Box<str>>,
}

/// Where an answer's body ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Framing {
    /// After so many more bytes.
    Length(u64),
    /// Where its chunks say.
    Chunks(Chunks),
    /// Where the connection ends.
    #[default]
    Close,
}

/// The answer is no HTTP that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is malformed")]
pub(crate) struct Malformed;

impl Head {
    /// Becomes the head at the start of `read`, after interim ones; returns whether it is complete.
    pub(crate) fn read(&mut self, read: &mut Vec<u8>) -> Result<bool, Malformed> {
        if !self.came.is_empty() && read.starts_with(&self.came) {
            self.framing = self.framing_at_first;
            return Ok(true);
        }
        self.came.clear();
        while self.read_one(read)? {
            match self.status.as_u16() {
                // What was asked for no longer says Upgrade.
                101 => return Err(Malformed),
                100..=199 => drop(read.drain(..self.length)),
                _ => {
                    self.came.extend_from_slice(&read[..self.length]);
                    self.framing_at_first = self.framing;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn read_one(&mut self, read: &[u8]) -> Result<bool, Malformed> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = Response::new(&mut []);
        let parser = ParserConfig::default();
        let parsed = parser.parse_response_with_uninit_headers(&mut response, read, &mut fields);
        self.length = match parsed {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if read.len() < MAX_HEAD => return Ok(false),
            Ok(Status::Partial) | Err(_) => return Err(Malformed),
        };
        self.status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or(Malformed)?;
        let seen = Seen::of(response.headers)?;
        self.write(&response, seen.is_chunked);
        self.framing = seen.framing(self.status);
        self.closes = seen.closes || response.version == Some(0);
        self.rate_limits = seen.rate_limits;
        self.retry_after = seen.retry_after;
        Ok(true)
    }

    fn write(&mut self, response: &Response<'_, '_>, is_chunked: bool) {
        let out = &mut self.text;
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(response.reason.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        for field in response.headers.iter() {
            let goes_on = match Meaning::of(field.name.as_bytes()) {
                Meaning::Connection | Meaning::Expect | Meaning::HopByHop => false,
                Meaning::ContentLength => !is_chunked,
                Meaning::Other
                | Meaning::Host
                | Meaning::ContentEncoding
                | Meaning::TransferEncoding
                | Meaning::RateLimits
                | Meaning::RetryAfter
                | Meaning::ForwardedFor
                | Meaning::ForwardedProto
                | Meaning::ForwardedHost => true,
            };
            if goes_on {
                out.extend_from_slice(field.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Gives room back beyond so many bytes.
    pub(crate) fn shrink_to(&mut self, room: usize) {
        self.came.shrink_to(room);
        self.text.shrink_to(room);
    }

    /// Returns what the answer says about rate limits.
    pub(crate) fn told(&self) -> Told<'_> {
        Told {
            limits: self.rate_limits.as_deref(),
            retry_after: self.retry_after.as_deref(),
            is_refusal: self.status == StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl Framing {
    /// Follows more of the body; returns how many of the bytes belong to it.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self {
            Framing::Length(left) => {
                let followed = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= followed as u64;
                Ok(followed)
            }
            Framing::Chunks(chunks) => chunks.advance(bytes).map_err(|_| Malformed),
            Framing::Close => Ok(bytes.len()),
        }
    }

    /// Returns whether the body has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunks(chunks) => chunks.is_done(),
            Framing::Close => false,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    rate_limits: Option<Box<str>>,
    retry_after: Option<Box<str>>,
}

impl Seen {
    fn of(fields: &[Header<'_>]) -> Result<Seen, Malformed> {
        let mut seen = Seen::default();
        for field in fields {
            seen.add(field.name.as_bytes(), field.value)?;
        }
        Ok(seen)
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match Meaning::of(name) {
            Meaning::ContentLength => {
                let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                let length = text.parse().ok().filter(|_| is_number).ok_or(Malformed)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(Malformed);
                }
                self.length = Some(length);
            }
            Meaning::TransferEncoding if !value.eq_ignore_ascii_case(b"chunked") => {
                return Err(Malformed);
            }
            Meaning::TransferEncoding => self.is_chunked = true,
            Meaning::Connection => self.closes |= has_token(value, b"close"),
            Meaning::RateLimits => {
                self.rate_limits = std::str::from_utf8(value).ok().map(Box::from)
            }
            Meaning::RetryAfter => {
                self.retry_after = std::str::from_utf8(value).ok().map(Box::from)
            }
            Meaning::Other
            | Meaning::Host
            | Meaning::ContentEncoding
            | Meaning::Expect
            | Meaning::HopByHop
            | Meaning::ForwardedFor
            | Meaning::ForwardedProto
            | Meaning::ForwardedHost => {}
        }
        Ok(())
    }

    fn framing(&self, status: StatusCode) -> Framing {
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Framing::Length(0);
        }
        match (self.is_chunked, self.length) {
            (true, _) => Framing::Chunks(Chunks::new()),
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        }
    }
}

/// Fields of an answer; Sentry's have about twenty.
const MAX_FIELDS: usize = 100;

/// Bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Sentry-Rate-Limits: 60::key\r\n\r\n";
    const CHUNKED: &str =
        "HTTP/1.1 429 Later\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

    /// Reads answers one after the other with one head; returns what it makes of each, body included.
    fn read_all(head: &mut Head, answers: &[&str]) -> Vec<String> {
        let one = |answer: &&str| {
            let mut read = answer.as_bytes().to_vec();
            assert_eq!(head.read(&mut read), Ok(true));
            let followed = head.framing.follow(&read[head.length..]).unwrap();
            let text = String::from_utf8_lossy(&head.text);
            let told = (head.told().limits, head.told().is_refusal);
            format!(
                "{text} {} {} {told:?} {followed} {}",
                head.status,
                head.closes,
                head.framing.is_done()
            )
        };
        answers.iter().map(one).collect()
    }

    #[test]
    fn the_same_head_is_read_alike_whatever_came_before() {
        let answers = [
            format!("{LENGTH}{{}}"),
            format!("{LENGTH}[]rest"),
            format!("{CHUNKED}1\r\na\r\n0\r\n\r\n"),
            format!("{CHUNKED}1\r\nb"),
            format!("{LENGTH}{{"),
            LENGTH.replace("60::key", "61::key") + "{}",
            format!("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n{LENGTH}{{}}"),
        ];
        for first in &answers {
            for second in &answers {
                let both = read_all(&mut Head::default(), &[first, second, second]);
                let alone = read_all(&mut Head::default(), &[second]);
                assert_eq!(
                    (&both[1], &both[2]),
                    (&alone[0], &alone[0]),
                    "{first:?} {second:?}"
                );
            }
        }
    }

    #[test]
    fn an_interim_head_leaves_nothing_in_the_one_that_follows() {
        let (mut head, interim) = (Head::default(), "HTTP/1.1 100 Continue\r\n\r\n");
        let expected = read_all(&mut head, &[LENGTH]);
        let mut read = interim.as_bytes().to_vec();

        assert_eq!((head.read(&mut read), read.len()), (Ok(false), 0));

        assert_eq!(read_all(&mut head, &[LENGTH]), expected);
    }
}

//! The requests that are sent: built before the run, shaped and sized like those of `sentry.python` 2.75.

use std::cell::Cell;
use std::io::Write as _;

use clap::ValueEnum;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

use crate::body::{
    PUBLIC_KEY, envelope, error_event, event_id, large_event, session, transaction, with_attachment,
};

/// What is in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// 2 KB gzip envelope with an error event, the same bytes each time
    Error,
    /// 2 KB gzip envelope with an error event, another event of eight issues each time
    Distinct,
    /// 2 KB gzip envelope with an error event, each of another of 512 issues
    Issues,
    /// 2 KB gzip envelope with a transaction
    Transaction,
    /// 200 B gzip envelope with a session
    Session,
    /// 200 B gzip envelope with a session, each under a head that never came before
    Strange,
    /// 300 KB envelope with one error event
    Event300k,
    /// 5 MB envelope with a small error event and an attachment
    Attachment5m,
}

/// A payload ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    /// The number of the next request that is like no other.
    made: Cell<u64>,
}

#[derive(Debug)]
enum Kind {
    Same(Ready),
    /// With a number that stands at this place of the head.
    Numbered(Ready, usize),
    Distinct(Vec<Template>),
}

/// A request as it goes over the wire.
#[derive(Debug, Clone)]
struct Ready {
    bytes: Vec<u8>,
    body: usize,
}

/// A request whose event id is replaced each time it is sent.
///
/// The bytes with the id are a stored block of the gzip stream, and the checksums of the parts are combined: that takes
/// a microsecond, where compressing anew would take as long as the targets do.
#[derive(Debug)]
struct Template {
    ready: Ready,
    /// Where the event id stands, in the envelope's header and in the event.
    ids: [usize; 2],
    /// The stored part of the envelope, in which both ids are.
    stored: std::ops::Range<usize>,
    /// Checksum of the rest.
    rest: Crc,
}

impl Payload {
    /// Returns its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Builds the requests.
    pub(crate) fn prepare(self) -> Prepared {
        let kind = match self {
            Self::Error => Kind::Same(gzip_request(&envelope(&error_event(0, 0)))),
            Self::Distinct => Kind::Distinct(templates(TEMPLATES, ISSUES)),
            Self::Issues => Kind::Distinct(templates(MANY_ISSUES, MANY_ISSUES)),
            Self::Transaction => Kind::Same(gzip_request(&envelope(&transaction()))),
            Self::Session => Kind::Same(gzip_request(&envelope(&session()))),
            Self::Strange => numbered(&envelope(&session())),
            Self::Event300k => Kind::Same(request("", &envelope(&large_event(300 << 10)))),
            Self::Attachment5m => Kind::Same(request("", &with_attachment(5 << 20))),
        };
        Prepared {
            kind,
            made: Cell::new(0),
        }
    }
}

impl Prepared {
    /// Returns the next request, and how many bytes of it are body.
    pub(crate) fn next<'a>(&'a self, scratch: &'a mut Vec<u8>) -> (&'a [u8], usize) {
        match &self.kind {
            Kind::Same(ready) => (&ready.bytes, ready.body),
            Kind::Numbered(ready, at) => {
                scratch.clear();
                scratch.extend_from_slice(&ready.bytes);
                let number = event_id(self.number());
                scratch[*at..at + number.len()].copy_from_slice(&number);
                (scratch, ready.body)
            }
            Kind::Distinct(templates) => {
                let number = self.number();
                let template = &templates[number as usize % templates.len()];
                template.fill(number, scratch);
                (scratch, template.ready.body)
            }
        }
    }

    fn number(&self) -> u64 {
        self.made.replace(self.made.get() + 1)
    }

    /// Returns the bytes of one body.
    pub(crate) fn body_size(&self) -> usize {
        match &self.kind {
            Kind::Same(ready) | Kind::Numbered(ready, _) => ready.body,
            Kind::Distinct(templates) => templates[0].ready.body,
        }
    }
}

impl Template {
    fn fill(&self, number: u64, scratch: &mut Vec<u8>) {
        scratch.clear();
        scratch.extend_from_slice(&self.ready.bytes);
        let id = event_id(number);
        for at in self.ids {
            scratch[at..at + id.len()].copy_from_slice(&id);
        }
        let mut checksum = Crc::new();
        checksum.update(&scratch[self.stored.clone()]);
        checksum.combine(&self.rest);
        let at = scratch.len() - GZIP_TRAILER;
        scratch[at..at + 4].copy_from_slice(&checksum.sum().to_le_bytes());
    }
}

/// Returns so many requests of so many issues, each with its own message and breadcrumbs.
fn templates(count: u64, issues: u64) -> Vec<Template> {
    (0..count)
        .map(|number| template(number, number % issues))
        .collect()
}

fn template(number: u64, issue: u64) -> Template {
    let envelope = envelope(&error_event(issue, number));
    let id = event_id(number);
    let mut found = envelope
        .windows(id.len())
        .enumerate()
        .filter(|(_, window)| *window == id)
        .map(|(at, _)| at);
    let ids = [(); 2].map(|()| found.next().expect("the header and the event name the id"));
    let cut = ids[1] + id.len();

    let (stored, rest) = envelope.split_at(cut);
    let mut checksum = Crc::new();
    checksum.update(rest);
    let body = gzip_with_stored(stored, rest);
    let ready = request(GZIP, &body);
    let start = ready.bytes.len() - body.len() + GZIP_HEADER.len() + STORED_HEADER;
    Template {
        ready,
        ids: ids.map(|at| start + at),
        stored: start..start + cut,
        rest: checksum,
    }
}

/// Returns a gzip stream of both parts, the first of which can be read in it as it is. Source: RFC 1951 §3.2.4.
fn gzip_with_stored(stored: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(stored.len()).expect("an envelope's head is short");
    let mut bytes = GZIP_HEADER.to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&(!length).to_le_bytes());
    bytes.extend_from_slice(stored);
    let mut encoder = DeflateEncoder::new(bytes, LEVEL);
    encoder.write_all(rest).expect("memory takes every byte");
    let mut bytes = encoder.finish().expect("memory takes every byte");

    let mut checksum = Crc::new();
    checksum.update(stored);
    checksum.update(rest);
    bytes.extend_from_slice(&checksum.sum().to_le_bytes());
    bytes.extend_from_slice(&checksum.amount().to_le_bytes());
    bytes
}

fn gzip_request(body: &[u8]) -> Ready {
    request(GZIP, &gzip(body))
}

fn numbered(body: &[u8]) -> Kind {
    let start = format!("{GZIP}X-Request-Id: ");
    let number = String::from_utf8_lossy(&event_id(0)).into_owned();
    let ready = request(&format!("{start}{number}\r\n"), &gzip(body));
    let found = ready
        .bytes
        .windows(number.len())
        .position(|window| window == number.as_bytes());
    Kind::Numbered(ready, found.expect("the head holds the number"))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
    encoder.write_all(body).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

/// Puts the head that an SDK sends before a body.
fn request(fields: &str, body: &[u8]) -> Ready {
    let mut bytes = format!(
        "POST /api/42/envelope/ HTTP/1.1\r\nHost: sentry.example.com\r\nAccept-Encoding: identity\r\n\
         Content-Length: {}\r\nContent-Type: application/x-sentry-envelope\r\n{fields}\
         User-Agent: sentry.python/2.75.0\r\nX-Sentry-Auth: Sentry sentry_key={PUBLIC_KEY}, sentry_version=7, \
         sentry_client=sentry.python/2.75.0\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Ready {
        bytes,
        body: body.len(),
    }
}

const GZIP: &str = "Content-Encoding: gzip\r\n";
const LEVEL: Compression = Compression::new(6);
const ISSUES: u64 = 8;
const TEMPLATES: u64 = 64;
/// More than any memory of places holds.
const MANY_ISSUES: u64 = 512;

/// Magic, deflate, no flags, no time, unknown system. Source: RFC 1952 §2.3.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Block type, length and its complement.
const STORED_HEADER: usize = 5;
/// Checksum and size.
const GZIP_TRAILER: usize = 8;

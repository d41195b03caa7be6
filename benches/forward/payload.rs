//! The requests that are sent: built before the run, shaped and sized like those of `sentry.python` 2.75.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::Write as _;

use clap::ValueEnum;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use serde_json::{Value, json};

/// What is in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// 2 KB gzip envelope with an error event, the same bytes each time
    Error,
    /// 2 KB gzip envelope with an error event, another event of eight issues each time
    Distinct,
    /// 2 KB gzip envelope with a transaction
    Transaction,
    /// 200 B gzip envelope with a session
    Session,
    /// 300 KB envelope with one error event
    Event300k,
    /// 5 MB envelope with a small error event and an attachment
    Attachment5m,
}

/// A payload ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    /// Events made so far.
    made: Cell<u64>,
}

#[derive(Debug)]
enum Kind {
    Same(Ready),
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
            Self::Distinct => Kind::Distinct((0..TEMPLATES).map(template).collect()),
            Self::Transaction => Kind::Same(gzip_request(&envelope(&transaction()))),
            Self::Session => Kind::Same(gzip_request(&envelope(&session()))),
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
            Kind::Distinct(templates) => {
                let number = self.made.replace(self.made.get() + 1);
                let template = &templates[number as usize % templates.len()];
                template.fill(number, scratch);
                (scratch, template.ready.body)
            }
        }
    }

    /// Returns the bytes of one body.
    pub(crate) fn body_size(&self) -> usize {
        match &self.kind {
            Kind::Same(ready) => ready.body,
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

/// One of [`TEMPLATES`] requests: eight issues, each with several messages and breadcrumbs.
fn template(number: u64) -> Template {
    let envelope = envelope(&error_event(number % ISSUES, number));
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
    let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
    encoder.write_all(body).expect("memory takes every byte");
    request(GZIP, &encoder.finish().expect("memory takes every byte"))
}

/// Puts the head that an SDK sends before a body.
fn request(coding: &str, body: &[u8]) -> Ready {
    let mut bytes = format!(
        "POST /api/42/envelope/ HTTP/1.1\r\nHost: sentry.example.com\r\nAccept-Encoding: identity\r\n\
         Content-Length: {}\r\nContent-Type: application/x-sentry-envelope\r\n{coding}\
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

/// An item of an envelope: its type, the id of its event, its payload.
struct Item {
    kind: &'static str,
    id: Option<String>,
    payload: String,
}

fn envelope(item: &Item) -> Vec<u8> {
    let header = match &item.id {
        Some(id) => format!(
            r#"{{"event_id":"{id}","sent_at":"{NOW}","trace":{{"trace_id":"{}","environment":"production","release":"shop-api@4.2.0","public_key":"{PUBLIC_KEY}"}}}}"#,
            hex(7, 32)
        ),
        None => "{}".to_owned(),
    };
    let (kind, payload) = (item.kind, &item.payload);
    let length = payload.len();
    format!("{header}\n{{\"type\":\"{kind}\",\"content_type\":\"application/json\",\"length\":{length}}}\n{payload}\n")
        .into_bytes()
}

fn with_attachment(size: usize) -> Vec<u8> {
    let mut bytes = envelope(&error_event(0, 0));
    let header = format!(r#"{{"type":"attachment","length":{size},"filename":"heap.bin"}}"#);
    bytes.extend_from_slice(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend((0..size as u64 / 8).flat_map(|number| mixed(number).to_le_bytes()));
    bytes.push(b'\n');
    bytes
}

/// An error event of about 2 KB once compressed. Its group depends on `issue` alone.
fn error_event(issue: u64, variant: u64) -> Item {
    let rest = json!({
        "level": "error",
        "exception": {"values": [{
            "type": format!("PaymentError{issue}"),
            "value": format!("order {} was declined by the bank", mixed(variant) % 1_000_000),
            "module": "shop.payment",
            "mechanism": {"type": "generic", "handled": false},
            "stacktrace": {"frames": (0..6).map(|depth| frame(issue, depth)).collect::<Vec<_>>()},
        }]},
        "breadcrumbs": {"values": (0..16).map(|number| breadcrumb(variant * 16 + number)).collect::<Vec<_>>()},
        "contexts": {
            "trace": {"trace_id": hex(7, 32), "span_id": hex(variant, 16), "op": "http.server"},
            "runtime": {"name": "CPython", "version": "3.11.7"},
        },
        "timestamp": NOW,
        "transaction": "POST /orders",
        "user": {"id": variant.to_string(), "ip_address": "192.0.2.7"},
        "tags": {"shop": "cn-1", "tier": "gold"},
        "modules": {"django": "5.2.1", "urllib3": "2.8.0", "sentry-sdk": "2.75.0", "redis": "6.4.0"},
        "release": "shop-api@4.2.0",
        "environment": "production",
        "server_name": "shop-7",
        "sdk": {"name": "sentry.python", "version": "2.75.0", "integrations": ["argv", "django", "logging", "stdlib"]},
        "platform": "python",
    });
    event_item("event", &id_text(variant), &rest)
}

/// An error event with so many bytes of data of its own.
fn large_event(size: usize) -> Item {
    let mut item = error_event(0, 0);
    item.payload.pop();
    item.payload.push_str(r#","extra":{"queries":[0"#);
    let mut number = 0;
    while item.payload.len() < size {
        write!(item.payload, ",{}", breadcrumb(number)).expect("memory takes every byte");
        number += 1;
    }
    item.payload.push_str("]}}");
    item
}

/// A transaction of about 2 KB once compressed.
fn transaction() -> Item {
    let spans: Vec<Value> = (0..42).map(span).collect();
    let rest = json!({
        "transaction": "POST /orders",
        "transaction_info": {"source": "route"},
        "contexts": {"trace": {"trace_id": hex(7, 32), "span_id": hex(1, 16), "op": "http.server", "status": "ok"}},
        "spans": spans,
        "start_timestamp": NOW,
        "timestamp": NOW,
        "release": "shop-api@4.2.0",
        "environment": "production",
        "sdk": {"name": "sentry.python", "version": "2.75.0"},
        "platform": "python",
    });
    event_item("transaction", &id_text(0), &rest)
}

fn session() -> Item {
    let payload = json!({
        "sid": "ef0902bd-ad6d-475d-a291-b95091c2e8e7", "init": true, "started": NOW, "timestamp": NOW,
        "status": "exited", "errors": 0, "attrs": {"release": "shop-api@4.2.0", "environment": "production"},
    });
    Item {
        kind: "session",
        id: None,
        payload: payload.to_string(),
    }
}

/// Puts the event id first, where a template can replace it.
fn event_item(kind: &'static str, id: &str, rest: &Value) -> Item {
    let rest = rest.to_string();
    Item {
        kind,
        id: Some(id.to_owned()),
        payload: format!(r#"{{"event_id":"{id}","type":"{kind}",{}"#, &rest[1..]).replacen(
            r#""type":"event","#,
            "",
            1,
        ),
    }
}

fn frame(issue: u64, depth: u64) -> Value {
    let names = [
        "handle",
        "dispatch",
        "create_order",
        "charge",
        "call_bank",
        "check",
    ];
    let name = names[depth as usize % names.len()];
    json!({
        "filename": format!("shop/payment/{name}.py"),
        "abs_path": format!("/srv/shop/payment/{name}.py"),
        "function": format!("{name}_{issue}"),
        "module": format!("shop.payment.{name}"),
        "lineno": 40 + depth * 17,
        "pre_context": [format!("def {name}_{issue}(order):"), "    with transaction():", "        lock(order)"],
        "context_line": format!("        return {name}(order, retries={depth})"),
        "post_context": ["", "    # the bank answers within two seconds", "    finally:"],
        "in_app": true,
        "vars": {"order": format!("<Order {}>", hex(depth, 12)), "retries": depth.to_string()},
    })
}

fn breadcrumb(number: u64) -> Value {
    json!({
        "category": "httplib",
        "type": "http",
        "level": "info",
        "timestamp": NOW,
        "data": {
            "url": format!("https://bank.example.com/v2/charges/{}", hex(number, 32)),
            "method": "POST",
            "request_id": hex(number + 1_000_000, 32),
            "status_code": 200,
        },
    })
}

fn span(number: u64) -> Value {
    json!({
        "trace_id": hex(7, 32),
        "span_id": hex(number, 16),
        "parent_span_id": hex(1, 16),
        "op": "db",
        "description": format!("SELECT * FROM orders WHERE id = '{}'", hex(number + 1000, 32)),
        "start_timestamp": NOW,
        "timestamp": NOW,
    })
}

fn id_text(number: u64) -> String {
    String::from_utf8(event_id(number).to_vec()).expect("hexadecimal digits are ASCII")
}

/// Returns 32 hexadecimal digits that are different for every number.
fn event_id(number: u64) -> [u8; 32] {
    let mut id = [0; 32];
    let halves = [mixed(number), mixed(!number)];
    for (index, digit) in id.iter_mut().enumerate() {
        let nibble = halves[index / 16] >> (index % 16 * 4) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    id
}

fn hex(seed: u64, digits: usize) -> String {
    id_text(seed ^ 0x5eed)[..digits].to_owned()
}

/// Mixes the bits of a number (SplitMix64): no two numbers give the same.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const PUBLIC_KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const NOW: &str = "2026-11-23T09:37:58.207498Z";
const GZIP: &str = "Content-Encoding: gzip\r\n";
const LEVEL: Compression = Compression::new(6);
const ISSUES: u64 = 8;
const TEMPLATES: u64 = 64;

/// Magic, deflate, no flags, no time, unknown system. Source: RFC 1952 §2.3.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Block type, length and its complement.
const STORED_HEADER: usize = 5;
/// Checksum and size.
const GZIP_TRAILER: usize = 8;

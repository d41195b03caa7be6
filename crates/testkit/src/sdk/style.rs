//! How different SDKs wrap an event: endpoint, authentication, envelope or store body, coding, framing.
//!
//! Each style copies what a real SDK was seen to send, down to the order of header lines; Java's is written from memory of sentry-java, not seen.

use std::io::Write;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::SdkRequest;

/// The parts of a DSN that an SDK puts into its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkKey {
    /// Public key: 32 hexadecimal digits.
    pub public_key: String,
    /// Project id.
    pub project: u64,
}

impl SdkKey {
    /// Makes a key.
    pub fn new(public_key: impl Into<String>, project: u64) -> Self {
        Self {
            public_key: public_key.into(),
            project,
        }
    }
}

/// What an envelope carries beside its header. Store bodies carry events only.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// An event, with its `event_id`.
    Event(Value),
    /// A transaction, with its `event_id`.
    Transaction(Value),
    /// A session.
    Session(Value),
}

impl Payload {
    fn item_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Transaction(_) => "transaction",
            Self::Session(_) => "session",
        }
    }

    fn value(&self) -> &Value {
        match self {
            Self::Event(value) | Self::Transaction(value) | Self::Session(value) => value,
        }
    }
}

/// The manner of one SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// sentry-sdk 2 (Python): gzip envelope, `X-Sentry-Auth`.
    Python,
    /// @sentry/node 11: chunked envelope, no `Content-Type`, key in the query, item without length, no last newline.
    Node,
    /// @sentry/browser 11: envelope as `text/plain`, key in the query.
    Browser,
    /// sentry (Rust) 0.49: plain envelope, no `Content-Type`, hyphens in the header's event id.
    Rust,
    /// sentry-java 8: gzip envelope, one request per connection.
    Java,
    /// sentry-go 0.11: JSON to `/store/`.
    GoStore,
    /// sentry-sdk 0.14 (Python): gzip JSON to `/store/`.
    PythonStore,
    /// raven-node 2.6: `base64(zlib(json))` to `/store/` without `Content-Encoding`.
    RavenNodeStore,
}

impl Style {
    /// Wraps a payload. `now` becomes the envelope's `sent_at`.
    pub fn request(self, key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
        match self {
            Self::Python => python(key, payload, now),
            Self::Node => node(key, payload, now),
            Self::Browser => browser(key, payload, now),
            Self::Rust => rust(key, payload),
            Self::Java => java(key, payload, now),
            Self::GoStore => go_store(key, payload),
            Self::PythonStore => python_store(key, payload),
            Self::RavenNodeStore => raven_node_store(key, payload, now),
        }
    }
}

fn python(key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
    let mut header = envelope_header(payload, now);
    header["trace"] = json!({
        "trace_id": "f4a9209f0c254095a8fa45aac68f70a3",
        "environment": "production",
        "public_key": key.public_key,
    });
    let value = payload.value().to_string();
    let item = json!({
        "type": payload.item_type(),
        "content_type": "application/json",
        "length": value.len(),
    });
    let body = gzip(format!("{header}\n{item}\n{value}\n").as_bytes());
    SdkRequest::new("POST", envelope_path(key))
        .header("Accept-Encoding", "identity")
        .header("Content-Length", body.len().to_string())
        .header("Content-Type", "application/x-sentry-envelope")
        .header("Content-Encoding", "gzip")
        .header("User-Agent", "sentry.python/2.75.0")
        .header("X-Sentry-Auth", auth(key, 7, "sentry.python/2.75.0"))
        .body(body)
}

fn node(key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
    let mut header = envelope_header(payload, now);
    header["sdk"] = json!({"name": "sentry.javascript.node", "version": "11.12.0"});
    let target = format!(
        "{}?sentry_version=7&sentry_key={}&sentry_client=sentry.javascript.node%2F11.12.0",
        envelope_path(key),
        key.public_key
    );
    SdkRequest::new("POST", target)
        .header("user-agent", "sentry.javascript.node/11.12.0")
        .header("Connection", "keep-alive")
        .header("Transfer-Encoding", "chunked")
        .body(lines_without_length(&header, payload))
}

fn browser(key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
    let mut header = envelope_header(payload, now);
    header["sdk"] = json!({"name": "sentry.javascript.browser", "version": "11.12.0"});
    let target = format!(
        "{}?sentry_version=7&sentry_key={}&sentry_client=sentry.javascript.browser%2F11.12.0",
        envelope_path(key),
        key.public_key
    );
    let body = lines_without_length(&header, payload);
    SdkRequest::new("POST", target)
        .header("Connection", "keep-alive")
        .header("Content-Length", body.len().to_string())
        .header(
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        )
        .header("Content-Type", "text/plain;charset=UTF-8")
        .header("Accept", "*/*")
        .header("Origin", "https://shop.example.com")
        .header("Sec-Fetch-Mode", "cors")
        .header("Referer", "https://shop.example.com/")
        .header("Accept-Encoding", "gzip, deflate, br, zstd")
        .body(body)
}

fn rust(key: &SdkKey, payload: &Payload) -> SdkRequest {
    let mut header = json!({});
    if let Some(id) = event_id(payload) {
        header["event_id"] = json!(hyphened(id));
    }
    let value = payload.value().to_string();
    let item = json!({"type": payload.item_type(), "length": value.len()});
    let body = format!("{header}\n{item}\n{value}\n");
    SdkRequest::new("POST", envelope_path(key))
        .header("x-sentry-auth", auth(key, 7, "sentry.rust/0.49.5"))
        .header("accept", "*/*")
        .header("content-length", body.len().to_string())
        .body(body)
}

fn java(key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
    let mut header = envelope_header(payload, now);
    header["sdk"] = json!({"name": "sentry.java.spring-boot", "version": "8.20.0"});
    let value = payload.value().to_string();
    let item = json!({
        "content_type": "application/json",
        "type": payload.item_type(),
        "length": value.len(),
    });
    let body = gzip(format!("{header}\n{item}\n{value}\n").as_bytes());
    SdkRequest::new("POST", envelope_path(key))
        .header("User-Agent", "sentry.java.spring-boot/8.20.0")
        .header(
            "X-Sentry-Auth",
            auth(key, 7, "sentry.java.spring-boot/8.20.0"),
        )
        .header("Content-Encoding", "gzip")
        .header("Content-Type", "application/x-sentry-envelope")
        .header("Accept", "application/json")
        .header("Connection", "close")
        .header("Content-Length", body.len().to_string())
        .body(body)
}

fn go_store(key: &SdkKey, payload: &Payload) -> SdkRequest {
    let body = payload.value().to_string();
    SdkRequest::new("POST", store_path(key))
        .header("User-Agent", "sentry-go/0.11.0")
        .header("Content-Length", body.len().to_string())
        .header("Content-Type", "application/json")
        .header("X-Sentry-Auth", auth(key, 7, "sentry-go/0.11.0"))
        .header("Accept-Encoding", "gzip")
        .body(body)
}

fn python_store(key: &SdkKey, payload: &Payload) -> SdkRequest {
    let body = gzip(payload.value().to_string().as_bytes());
    SdkRequest::new("POST", store_path(key))
        .header("Accept-Encoding", "identity")
        .header("Content-Length", body.len().to_string())
        .header("Content-Type", "application/json")
        .header("Content-Encoding", "gzip")
        .header("User-Agent", "sentry.python/0.14.4")
        .header("X-Sentry-Auth", auth(key, 7, "sentry.python/0.14.4"))
        .body(body)
}

fn raven_node_store(key: &SdkKey, payload: &Payload, now: SystemTime) -> SdkRequest {
    let body = STANDARD.encode(zlib(payload.value().to_string().as_bytes()));
    let millis = timestamp(now).as_millisecond();
    let auth = format!(
        "Sentry sentry_version=5, sentry_timestamp={millis}, sentry_client=raven-node/2.6.4, sentry_key={}",
        key.public_key
    );
    SdkRequest::new("POST", store_path(key))
        .header("X-Sentry-Auth", auth)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Length", body.len().to_string())
        .header("Connection", "keep-alive")
        .body(body)
}

fn envelope_header(payload: &Payload, now: SystemTime) -> Value {
    let mut header = json!({});
    if let Some(id) = event_id(payload) {
        header["event_id"] = json!(id);
    }
    header["sent_at"] = json!(rfc3339(now));
    header
}

fn lines_without_length(header: &Value, payload: &Payload) -> String {
    let item = json!({"type": payload.item_type()});
    format!("{header}\n{item}\n{}", payload.value())
}

fn event_id(payload: &Payload) -> Option<&str> {
    payload.value().get("event_id").and_then(Value::as_str)
}

fn hyphened(id: &str) -> String {
    match (
        id.get(..8),
        id.get(8..12),
        id.get(12..16),
        id.get(16..20),
        id.get(20..),
    ) {
        (Some(a), Some(b), Some(c), Some(d), Some(e)) => format!("{a}-{b}-{c}-{d}-{e}"),
        _ => id.to_owned(),
    }
}

fn auth(key: &SdkKey, version: u8, client: &str) -> String {
    format!(
        "Sentry sentry_key={}, sentry_version={version}, sentry_client={client}",
        key.public_key
    )
}

fn envelope_path(key: &SdkKey) -> String {
    format!("/api/{}/envelope/", key.project)
}

fn store_path(key: &SdkKey) -> String {
    format!("/api/{}/store/", key.project)
}

/// Returns a time as SDKs write it: `2026-11-23T09:37:58.207498Z`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    format!("{:.6}", timestamp(time))
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_default()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail")
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail")
}

//! The answers we give ourselves: refusals, the 200 for a request that is safe, and the 503 for one that nobody could take.
//!
//! Their shape is Relay's, `{"detail":"…","causes":["…"]}`, which SDKs already log. Like Sentry's, they can be read by the
//! scripts of every site; otherwise a browser would take them for a broken connection.

use std::time::SystemTime;

use bytes::Bytes;
use event::EventId;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION, CONTENT_TYPE, DATE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::AnswerBody;
use crate::error::Fault;
use crate::screen::HeadFault;

/// Why we answered a request ourselves instead of forwarding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message is not HTTP as we accept it.
    Malformed,
    /// The path is no ingest endpoint.
    NotFound,
    /// Project or key is not on the allow list.
    Forbidden,
    /// The method can never reach an ingest endpoint.
    Method,
    /// The body is larger than `forward.max_body`.
    TooLarge,
    /// What came to the tunnel names no DSN.
    NoDsn,
    /// The target is longer than any SDK's.
    TargetTooLong,
    /// The header fields are too many or too large.
    HeadTooLarge,
    /// The client expects something that we do not do.
    Expectation,
    /// The client did not send its request in time.
    Timeout,
    /// The client broke off before its request was complete.
    Aborted,
}

impl Refusal {
    /// Every refusal, in the order of their discriminants.
    pub(crate) const ALL: [Refusal; 11] = [
        Refusal::Malformed,
        Refusal::NotFound,
        Refusal::Forbidden,
        Refusal::Method,
        Refusal::TooLarge,
        Refusal::NoDsn,
        Refusal::TargetTooLong,
        Refusal::HeadTooLarge,
        Refusal::Expectation,
        Refusal::Timeout,
        Refusal::Aborted,
    ];

    /// Returns the refusal's name, as used in metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::NotFound => "not_found",
            Refusal::Forbidden => "forbidden",
            Refusal::Method => "method_not_allowed",
            Refusal::TooLarge => "too_large",
            Refusal::NoDsn => "no_dsn",
            Refusal::TargetTooLong => "target_too_long",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::Expectation => "expectation_failed",
            Refusal::Timeout => "timeout",
            Refusal::Aborted => "aborted",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Refusal::Malformed | Refusal::NoDsn | Refusal::Aborted => StatusCode::BAD_REQUEST,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
            Refusal::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::Expectation => StatusCode::EXPECTATION_FAILED,
            Refusal::Timeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Refusal::Malformed => "the request is malformed",
            Refusal::NotFound => "the path is not an ingest endpoint",
            Refusal::Forbidden => "the project or key is not allowed here",
            Refusal::Method => "the method is not allowed",
            Refusal::TooLarge => "the body is too large",
            Refusal::NoDsn => "the envelope's header names no dsn",
            Refusal::TargetTooLong => "the request target is too long",
            Refusal::HeadTooLarge => "the header fields are too many or too large",
            Refusal::Expectation => "only 100-continue can be expected",
            Refusal::Timeout => "the request did not arrive in time",
            Refusal::Aborted => "the body is incomplete",
        }
    }

    /// Whether the connection can go on: not after a body that nobody will read to its end.
    fn closes(self) -> bool {
        match self {
            Refusal::Malformed
            | Refusal::TooLarge
            | Refusal::TargetTooLong
            | Refusal::HeadTooLarge
            | Refusal::Expectation
            | Refusal::Timeout
            | Refusal::Aborted => true,
            Refusal::NotFound | Refusal::Forbidden | Refusal::Method | Refusal::NoDsn => false,
        }
    }
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Refusal {
        match fault {
            HeadFault::Line | HeadFault::RequestLine | HeadFault::Host | HeadFault::Framing => {
                Refusal::Malformed
            }
            HeadFault::TargetTooLong => Refusal::TargetTooLong,
            HeadFault::FieldsTooLarge => Refusal::HeadTooLarge,
            HeadFault::Expectation => Refusal::Expectation,
            HeadFault::Timeout => Refusal::Timeout,
        }
    }
}

/// Returns the answer to a request that is not forwarded.
pub(crate) fn refuse(refusal: Refusal) -> Response<AnswerBody> {
    let mut response = json(refusal.status(), refusal.detail(), &[]);
    if refusal.closes() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the same answer as bytes, for a connection whose request hyper never saw.
pub(crate) fn refuse_raw(refusal: Refusal) -> Vec<u8> {
    let body = body_text(refusal.detail(), &[]);
    raw(refusal.status(), "connection: close\r\n", &body)
}

/// Returns the answer to a request that neither Sentry nor the spool could take.
///
/// Never with `Retry-After`: JavaScript and Rust SDKs would mute themselves for that time.
pub(crate) fn lost(fault: &Fault) -> Response<AnswerBody> {
    json(
        StatusCode::SERVICE_UNAVAILABLE,
        "Sentry cannot be reached",
        &fault.causes(),
    )
}

/// Returns the answer to a request that is safe with us: Sentry's own `{"id":"…"}`, and its rate limits as we know them.
pub(crate) fn kept(id: Option<EventId>, limits: Option<&str>) -> Response<AnswerBody> {
    let mut response = json_of(StatusCode::OK, kept_text(id));
    if let Some(limits) = limits.and_then(|limits| HeaderValue::from_str(limits).ok()) {
        response.headers_mut().insert(RATE_LIMITS, limits);
    }
    response
}

/// Returns the same answer as bytes.
pub(crate) fn kept_raw(id: Option<EventId>, limits: Option<&str>) -> Vec<u8> {
    let limits = limits.map(|limits| format!("{RATE_LIMITS}: {limits}\r\n"));
    raw(StatusCode::OK, &limits.unwrap_or_default(), &kept_text(id))
}

fn kept_text(id: Option<EventId>) -> String {
    id.map_or_else(|| "{}".to_owned(), |id| format!("{{\"id\":\"{id}\"}}"))
}

/// Returns the answer of [`lost`] as bytes, for a connection that goes on.
pub(crate) fn lost_raw(fault: &Fault) -> Vec<u8> {
    let body = body_text("Sentry cannot be reached", &fault.causes());
    raw(StatusCode::SERVICE_UNAVAILABLE, "", &body)
}

fn json(status: StatusCode, detail: &str, causes: &[String]) -> Response<AnswerBody> {
    json_of(status, body_text(detail, causes))
}

fn json_of(status: StatusCode, text: String) -> Response<AnswerBody> {
    let mut response = own(status, text);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Returns an answer that every site's scripts may read.
pub(crate) fn own(status: StatusCode, text: String) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::own(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    response
}

/// Writes an answer out; `fields` are whole lines.
fn raw(status: StatusCode, fields: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\n\
         access-control-expose-headers: {EXPOSED}\r\ndate: {}\r\n{fields}content-length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        httpdate::fmt_http_date(SystemTime::now()),
        body.len(),
    );
    (head + body).into_bytes()
}

fn body_text(detail: &str, causes: &[String]) -> String {
    let mut text = String::with_capacity(96);
    text.push_str("{\"detail\":");
    push_string(&mut text, detail);
    text.push_str(",\"causes\":[");
    for (index, cause) in causes.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_string(&mut text, cause);
    }
    text.push_str("]}");
    text
}

/// Appends a JSON string; the texts are our own, but a cause may quote the operating system.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            control if control.is_control() => text.push(' '),
            plain => text.push(plain),
        }
    }
    text.push('"');
}

/// What a site's script may read of an answer.
const EXPOSED: &str = "x-sentry-error, x-sentry-rate-limits, retry-after";

pub(crate) const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_valid_json_whatever_they_quote() {
        let mut text = String::new();

        push_string(&mut text, "a \"b\" \\ \n\u{7f} é");

        assert_eq!(text, r#""a \"b\" \\    é""#);
    }

    #[test]
    fn refusals_are_indexed_by_their_discriminant() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal:?}");
        }
    }
}

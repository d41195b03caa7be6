//! Replays requests that real SDKs sent, and reads events as Sentry stores them: nothing may be read otherwise than expected.
//!
//! The corpus lies in `$SENTRY_NOTICE_CORPUS`, else in `../shared/corpus` beside the workspace. Without it the tests say so
//! and pass.

#![expect(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read fails the test"
)]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use event::envelope::Envelope;
use event::model::Exception;
use event::scan::{Scanner, Wants};
use event::title::{main_exception, title};
use event::{
    Auth, AuthSource, Dsn, Endpoint, EndpointKind, Event, EventId, EventKind, ItemType, Level,
    Parsed,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

#[test]
fn reads_every_request_of_real_sdks_as_expected() {
    let Some(corpus) = corpus() else { return };
    let requests: Vec<_> = files(&corpus.join("sdk"))
        .iter()
        .map(|path| Request::load(path))
        .collect();
    assert!(requests.len() > 100, "only {} requests", requests.len());

    let differences: Vec<String> = requests.iter().flat_map(Request::differences).collect();

    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn finds_the_event_id_at_the_start_of_every_envelope_that_has_one() {
    let Some(corpus) = corpus() else { return };
    for request in files(&corpus.join("sdk"))
        .iter()
        .map(|path| Request::load(path))
    {
        let decoded = request.decoded();
        let Ok(envelope) = Envelope::open(&decoded) else {
            continue;
        };
        if request.method == Method::GET {
            continue;
        }
        let start = request.body.slice(..request.body.len().min(4096));

        let found = event::peek::peek(&request.headers, &[start]);

        assert_eq!(found.event_id, envelope.header.event_id, "{}", request.name);
        assert_eq!(found.dsn, envelope.header.dsn(), "{}", request.name);
    }
}

#[test]
fn a_scan_lets_no_event_of_real_sdks_pass_and_nothing_else_stay() {
    let Some(corpus) = corpus() else { return };
    let mut scanner = Scanner::new();
    let (mut alerting, mut silent) = (0, 0);
    for path in files(&corpus.join("sdk")) {
        let request = Request::load(&path);
        let is_envelope = request.endpoint().unwrap().kind == EndpointKind::Envelope;
        if !is_envelope || request.method == Method::OPTIONS {
            continue;
        }
        let decoded = request.decoded();
        let parsed = event::parse_body(&decoded, EndpointKind::Envelope).unwrap();
        let may_alert = |(ty, _)| matches!(ty, ItemType::Event | ItemType::CheckIn | ItemType::Log);
        let expected = parsed.items.iter().any(may_alert);

        let coding = request.headers.get("content-encoding");
        let coding = coding.map(HeaderValue::as_bytes);
        let found = scanner.may_alert(coding, &request.body, Wants { logs: true });

        assert_eq!(found, expected, "{}", request.name);
        *if found { &mut alerting } else { &mut silent } += 1;
    }
    assert!(alerting > 50 && silent > 30, "{alerting} and {silent}");
}

#[test]
fn takes_only_errors_from_the_logs_and_failures_from_the_check_ins_of_real_sdks() {
    let Some(corpus) = corpus() else { return };
    let mut found = Vec::new();
    for path in files(&corpus.join("sdk")) {
        let request = Request::load(&path);
        let of_interest = ["log", "check_in"];
        let names = request.expect["items"].as_array().into_iter().flatten();
        let is_of_interest = names
            .filter_map(Value::as_str)
            .any(|name| of_interest.contains(&name));
        if !is_of_interest || request.method == Method::OPTIONS {
            continue;
        }
        let decoded = request.decoded();

        let parsed = event::parse_body(&decoded, EndpointKind::Envelope).unwrap();

        let events = parsed.events.iter().map(|event| {
            assert!(event.level >= Level::Error, "{}", request.name);
            format!(
                "{} of {}: {}",
                event.kind.as_str(),
                event.platform,
                title(event)
            )
        });
        found.extend(events);
    }
    found.sort();
    assert_eq!(
        found,
        [
            "check_in of other: Cron failure: nightly",
            "log of javascript: log error",
            "log of node: log error",
            "log of python: payment 17 failed for alice",
            "log of rust: log error",
        ]
    );
}

#[test]
fn reads_every_stored_event() {
    let Some(corpus) = corpus() else { return };
    let inputs = files(&corpus.join("grouping/inputs"));
    assert!(inputs.len() > 100, "only {} events", inputs.len());
    for path in inputs {
        let body = fs::read(&path).unwrap();

        let event = event::parse_event(&body, None)
            .unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));

        let stored: Value = serde_json::from_slice(&body).unwrap();
        let stored = match &stored["exception"] {
            Value::Array(list) => list.clone(),
            Value::Object(object) if object.contains_key("values") => {
                object["values"].as_array().unwrap().clone()
            }
            Value::Object(single) => vec![Value::Object(single.clone())],
            _ => Vec::new(),
        };
        let frames = |stored: &Value| {
            stored["stacktrace"]["frames"]
                .as_array()
                .map_or(0, Vec::len)
        };
        let stored: Vec<usize> = stored.iter().map(frames).collect();
        let frames = |read: &Exception<'_>| {
            read.stacktrace
                .as_ref()
                .map_or(0, |stack| stack.frames.len())
        };
        let read: Vec<usize> = event.exceptions.iter().map(frames).collect();
        assert_eq!(read, stored, "{}", path.display());
        assert!(!title(&event).is_empty(), "{}", path.display());
    }
}

#[test]
fn names_the_sample_event_as_sentry_does() {
    let Some(corpus) = corpus() else { return };
    let body = fs::read(corpus.join("sample-event.json")).unwrap();

    let event = event::parse_event(&body, None).unwrap();

    assert_eq!(title(&event), "This is an example Python exception");
    assert_eq!(event.environment.as_deref(), Some("prod"));
    assert_eq!(event.user.unwrap().id.as_deref(), Some("1"));
}

/// One captured request and what a reader should find in it.
struct Request {
    name: String,
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
    expect: Value,
}

impl Request {
    fn load(path: &Path) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let target = json["target"].as_str().unwrap();
        let (path_part, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let headers = json["headers"].as_array().unwrap().iter().map(|pair| {
            let name = pair[0].as_str().unwrap().trim_start_matches(':');
            let value = pair[1].as_str().unwrap();
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        });
        Self {
            name: path
                .iter()
                .rev()
                .take(2)
                .map(|part| part.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" of "),
            method: json["method"].as_str().unwrap().parse().unwrap(),
            path: path_part.to_owned(),
            query,
            headers: headers.collect(),
            body: STANDARD
                .decode(json["body_base64"].as_str().unwrap())
                .unwrap()
                .into(),
            expect: json["expect"].clone(),
        }
    }

    /// The browser's tunnel is no endpoint of Sentry; it takes envelopes.
    fn endpoint(&self) -> Option<Endpoint> {
        let tunnel = (self.path == "/tunnel").then_some(Endpoint {
            kind: EndpointKind::Envelope,
            project: None,
            key: None,
        });
        tunnel.or(Endpoint::of_path(&self.path))
    }

    /// The body comes in pieces, as from a socket.
    fn decoded(&self) -> Bytes {
        let pieces: Vec<Bytes> = (0..self.body.len())
            .step_by(1000)
            .map(|at| self.body.slice(at..self.body.len().min(at + 1000)))
            .collect();
        event::decode_body(
            &self.method,
            self.query.as_deref(),
            &self.headers,
            &pieces,
            32 << 20,
        )
        .unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
    }

    fn differences(&self) -> Vec<String> {
        let endpoint = self
            .endpoint()
            .unwrap_or_else(|| panic!("{}: no endpoint", self.name));
        let decoded = self.decoded();
        let parsed = if self.method == Method::OPTIONS {
            Parsed::default()
        } else {
            event::parse_body(&decoded, endpoint.kind)
                .unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
        };
        assert!(
            parsed.faults.is_empty(),
            "{}: {:?}",
            self.name,
            parsed.faults
        );
        let mut found = json!({
            "endpoint": if self.path == "/tunnel" { "/tunnel" } else { endpoint.kind.as_str() },
            "project": endpoint.project.map(|project| project.to_string()),
            "decoded": self.coding(&decoded),
            "auth": self.auth(&parsed),
        });
        if let Some(items) = items(&decoded) {
            found["items"] = json!(items);
        }
        let mut expect = self.expect.clone();
        if let Some(event) = described(&decoded, &parsed) {
            let described = describe(&event, parsed.header_id, &mut expect);
            found.as_object_mut().unwrap().extend(described);
        }
        let fields = expect.as_object().unwrap().iter();
        fields
            .filter(|(name, _)| *name != "notes" && *name != "exception_in")
            .filter(|(name, expected)| found[name.as_str()] != **expected)
            .map(|(name, expected)| {
                format!(
                    "{}: {name}: found {}, expected {expected}",
                    self.name,
                    found[name.as_str()]
                )
            })
            .collect()
    }

    fn coding(&self, decoded: &Bytes) -> &'static str {
        let coding = self
            .headers
            .get("content-encoding")
            .map(HeaderValue::as_bytes);
        match coding {
            Some(b"gzip") => "gzip",
            Some(b"br") => "br",
            Some(b"deflate") => "deflate(zlib)",
            None if self.method == Method::GET || *decoded == self.body => "identity",
            None if self.body.starts_with(b"eJ") => "base64(zlib)",
            other => panic!("{}: coding {other:?}", self.name),
        }
    }

    fn auth(&self, parsed: &Parsed<'_>) -> Vec<&'static str> {
        let auth = Auth::find(&self.headers, self.query.as_deref(), None);
        let of_request = auth.map(|auth| {
            assert_eq!(auth.key.as_str(), "a".repeat(32), "{}", self.name);
            match auth.source {
                AuthSource::SentryHeader => "X-Sentry-Auth",
                AuthSource::Query => "query",
                AuthSource::Authorization | AuthSource::Path => "unexpected",
            }
        });
        let of_envelope = parsed.dsn.as_ref().map(|dsn: &Dsn| {
            assert_eq!(
                (dsn.key().to_string(), dsn.project().value()),
                ("a".repeat(32), 1),
                "{}",
                self.name
            );
            "envelope-header-dsn"
        });
        of_request.into_iter().chain(of_envelope).collect()
    }
}

/// The types of an envelope's items; `None` for a store body.
fn items(decoded: &[u8]) -> Option<Vec<&'static str>> {
    let items: Vec<_> = Envelope::open(decoded)
        .ok()?
        .items
        .map(|item| item.unwrap().ty.as_str())
        .collect();
    (!items.is_empty()).then_some(items)
}

/// The event that `expect` describes: the first of the body, else the transaction in it. It says nothing of logs and
/// check-ins.
fn described<'b>(decoded: &'b [u8], parsed: &Parsed<'b>) -> Option<Event<'b>> {
    let is_described =
        |event: &&Event<'_>| !matches!(event.kind, EventKind::CheckIn | EventKind::Log);
    if let Some(event) = parsed.events.iter().find(is_described) {
        return Some(event.clone());
    }
    let envelope = Envelope::open(decoded).ok()?;
    let mut items = envelope.items.flatten();
    let item = items.find(|item| item.ty == event::ItemType::Transaction)?;
    let transaction = event::parse_event(item.payload, envelope.header.event_id).unwrap();
    assert!(transaction.exceptions.is_empty());
    Some(transaction)
}

/// Writes an event as `expect` writes it, and puts into `expect` what an absent or hyphenated value means.
///
/// `expect` holds the payload as sent: null are an absent level, platform and id (then the envelope's counts), and the
/// type is only the declared one.
fn describe(
    event: &Event<'_>,
    header_id: Option<EventId>,
    expect: &mut Value,
) -> serde_json::Map<String, Value> {
    let declared = match event.kind {
        kind @ (EventKind::Transaction | EventKind::Feedback) => Some(kind.as_str()),
        EventKind::Error
        | EventKind::Default
        | EventKind::Csp
        | EventKind::Security
        | EventKind::Crash
        | EventKind::CheckIn
        | EventKind::Log => None,
    };
    let level = match &expect["level"] {
        Value::Null if expect["type"] == "transaction" => Some(Level::Info),
        Value::Null => Some(Level::Error),
        Value::String(name) => Level::parse(name),
        number => Level::from_number(number.as_i64().unwrap()),
    };
    expect["level"] = json!(level.unwrap().as_str());
    let id = expect["event_id"]
        .as_str()
        .map_or(header_id, EventId::parse);
    expect["event_id"] = json!(id.map(|id| id.to_string()));
    if expect["platform"].is_null() {
        expect["platform"] = json!("other");
    }
    let described = json!({
        "event_id": event.id.map(|id| id.to_string()),
        "level": event.level.as_str(),
        "type": declared,
        "title": corpus_title(event),
        "platform": event.platform,
        "exception_types": event.exceptions.iter().map(|exception| exception.ty.as_deref()).collect::<Vec<_>>(),
    });
    match described {
        Value::Object(described) => described,
        _ => unreachable!("it was written as an object"),
    }
}

/// Returns the title, also of a transaction in an item of its own, which does not say what it is.
fn corpus_title(event: &Event<'_>) -> String {
    let is_transaction = main_exception(event).is_none() && event.logentry.is_none();
    match &event.transaction {
        Some(transaction) if is_transaction => transaction.to_string(),
        _ => title(event),
    }
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("SENTRY_NOTICE_CORPUS").map_or(beside, PathBuf::from);
    if corpus.is_dir() {
        return Some(corpus);
    }
    // Not `eprintln!`: the test harness would keep it to itself.
    io::stderr()
        .write_all(b"skipped: ../shared/corpus not found\n")
        .unwrap();
    None
}

/// All JSON files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

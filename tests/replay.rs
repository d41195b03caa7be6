//! Every captured request of a real SDK through the proxy: Sentry gets the bytes the SDK sent, and we read what is in them.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use app::{App, Config};
use bytes::Bytes;
use event::EventKind;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use testkit::{Corpus, CorpusRequest, FakeSentry, Framing, Received, SdkRequest};
use tokio::sync::{mpsc, oneshot};

#[tokio::test(flavor = "multi_thread")]
async fn corpus_reaches_sentry_unchanged_and_is_understood() {
    let Some(corpus) = Corpus::find() else {
        // Not `eprintln!`: the test harness would keep it to itself.
        writeln!(
            std::io::stderr(),
            "SKIPPED: ../shared/corpus not found, so no captured SDK request was replayed"
        )
        .expect("stderr is there");
        return;
    };
    let sentry = FakeSentry::start().await.unwrap();
    let proxy = Replay::start(&sentry).await;

    let (mut differences, mut misread, mut replayed) = (Vec::new(), Vec::new(), 0);
    for captured in &corpus.requests().unwrap() {
        sentry.clear();
        let request = captured.to_request();

        let answer = testkit::send(proxy.address, &request).await.unwrap();

        replayed += 1;
        let received = match sentry.received().as_slice() {
            [received] => received.clone(),
            other => {
                differences.push(format!(
                    "{}: {} requests at Sentry, answer {}",
                    captured.name,
                    other.len(),
                    answer.status
                ));
                continue;
            }
        };
        differences.extend(compare(captured, &request, &received));
        misread.extend(misreadings(captured, &received));
    }
    proxy.stop().await;

    assert_eq!(differences, [""; 0]);
    assert_eq!(misread, [""; 0]);
    assert!(replayed >= 170, "the corpus holds {replayed} requests only");
    eprintln!("replayed {replayed} requests: 0 differing, 0 misread");
}

/// The whole program in this process, in front of a fake Sentry.
struct Replay {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<Result<app::Stopped, app::StartError>>,
}

impl Replay {
    async fn start(sentry: &FakeSentry) -> Self {
        let mut config = Config::default();
        config.proxy.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin.listen = config.proxy.listen;
        config.proxy.upstream.url = sentry.url().parse().unwrap();
        config.state = state::Config::Memory;
        config.proxy.tunnel_path = Some("/tunnel".to_owned());
        config.spool = None;
        let app = App::new(config).await.unwrap();
        let address = app.address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(
            async { drop(stopped.await) },
            mpsc::channel(1).1,
            Duration::from_secs(5),
        ));
        Self {
            address,
            stop,
            running,
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

fn compare(captured: &CorpusRequest, sent: &SdkRequest, received: &Received) -> Vec<String> {
    let target = if captured.target == "/tunnel" {
        "/api/1/envelope/"
    } else {
        &captured.target
    };
    let mut different = Vec::new();
    let mut check = |what: &str, is_same: bool| {
        if !is_same {
            different.push(format!("{}: {what} differs", captured.name));
        }
    };
    check("method", received.method == captured.method);
    check("target", received.target == target);
    check("body", received.body == captured.body);
    check(
        "framing",
        framing(&received.framing) == captured.framing || is_empty_length(captured, received),
    );
    check(
        "header lines",
        end_to_end(&received.headers) == end_to_end(&sent.headers),
    );
    different
}

/// Header lines that are the SDK's own, in order and spelling: neither ours to set nor about one connection only.
fn end_to_end(headers: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let ours = [
        "host",
        "connection",
        "expect",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    ];
    let is_sdks = |name: &str| !ours.iter().any(|our| our.eq_ignore_ascii_case(name));
    headers
        .iter()
        .filter(|(name, _)| is_sdks(name))
        .cloned()
        .collect()
}

fn framing(framing: &Framing) -> &'static str {
    match framing {
        Framing::None => "none",
        Framing::Length(_) => "length",
        Framing::Chunked => "chunked",
        Framing::UntilClose => "until close",
    }
}

/// A request without a body may say so by `content-length: 0`.
fn is_empty_length(captured: &CorpusRequest, received: &Received) -> bool {
    captured.framing == "none" && received.framing == Framing::Length(0)
}

/// Reads what arrived at Sentry as the pipeline does, and lists what is not as `expect` says.
fn misreadings(captured: &CorpusRequest, received: &Received) -> Vec<String> {
    let expect = &captured.expect;
    if expect.get("event_id").is_none() {
        return Vec::new();
    }
    let event = match (read(received), holds_event(expect)) {
        (Some(event), true) => event,
        (None, false) => return Vec::new(),
        (event, _) => {
            return vec![format!(
                "{}: read {}",
                captured.name,
                event.map_or("no event", |_| "an event")
            )];
        }
    };
    let mut wrong = Vec::new();
    let mut check = |what: &str, found: String, expected: &Value| {
        let expected = expected
            .as_str()
            .map_or_else(|| expected.to_string(), str::to_owned);
        if found != expected {
            wrong.push(format!(
                "{}: {what} is `{found}`, expected `{expected}`",
                captured.name
            ));
        }
    };
    if !expect["event_id"].is_null() {
        let found = event.id.clone().unwrap_or_default();
        check(
            "event_id",
            found,
            &Value::from(expect["event_id"].as_str().unwrap().replace('-', "")),
        );
    }
    check("level", event.level, &expected_level(expect));
    if !expect["title"].is_null() {
        check("title", event.title, &expect["title"]);
    }
    wrong
}

/// Whether the request carries an event: a transaction in an item of its own is none.
fn holds_event(expect: &Value) -> bool {
    let items = expect["items"].as_array();
    items.is_none_or(|items| items.iter().any(|item| item == "event"))
}

struct Read {
    id: Option<String>,
    level: String,
    title: String,
}

fn read(received: &Received) -> Option<Read> {
    let (path, query) = received
        .target
        .split_once('?')
        .unwrap_or((&received.target, ""));
    let endpoint = event::Endpoint::of_path(path)?;
    let method: Method = received.method.parse().ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in &received.headers {
        headers.append(
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_bytes(value).ok()?,
        );
    }
    let query = Some(query).filter(|query| !query.is_empty());
    let body = event::decode_body(
        &method,
        query,
        &headers,
        std::slice::from_ref(&received.body),
        32 << 20,
    )
    .ok()?;
    let parsed = event::parse_body(&body, endpoint.kind).ok()?;
    let of_an_item =
        |event: &&event::Event<'_>| !matches!(event.kind, EventKind::Log | EventKind::CheckIn);
    let event = parsed.events.iter().find(of_an_item)?;
    Some(Read {
        id: event.id.map(|id| id.to_string()),
        level: event.level.to_string(),
        title: event::title::title(event),
    })
}

/// What a level as sent means: absent is error, Python's numbers have names, `log` is info.
fn expected_level(expect: &Value) -> Value {
    let is_transaction = expect["type"] == "transaction";
    match &expect["level"] {
        Value::Null if is_transaction => "info".into(),
        Value::Null => "error".into(),
        Value::String(level) if level == "log" => "info".into(),
        Value::String(level) if level == "30" => "warning".into(),
        Value::String(level) if level == "40" => "error".into(),
        Value::Number(level) if level.as_i64() == Some(30) => "warning".into(),
        Value::Number(level) if level.as_i64() == Some(40) => "error".into(),
        level => level.clone(),
    }
}

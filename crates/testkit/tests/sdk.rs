//! The requests this crate makes are what SDKs send, and arrive byte for byte.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{
    Client, Corpus, FakeSentry, Framing, Payload, Received, SdkKey, SdkRequest, Style, samples,
    send,
};

const SOON: Duration = Duration::from_secs(10);
const ID: &str = "5a552273622c4d949495df39b7b063c8";
const NOW: Duration = Duration::from_millis(1_795_426_678_207);

#[tokio::test]
async fn wraps_an_event_as_each_sdk_does() {
    let event = Payload::Event(json!({"event_id": ID, "message": "支付失败"}));
    let envelope = "/api/7/envelope/";
    let table = [
        (
            Style::Python,
            envelope,
            Some("application/x-sentry-envelope"),
            "gzip",
            false,
            true,
        ),
        (
            Style::Java,
            envelope,
            Some("application/x-sentry-envelope"),
            "gzip",
            false,
            true,
        ),
        (Style::Rust, envelope, None, "", false, true),
        (
            Style::Browser,
            envelope,
            Some("text/plain;charset=UTF-8"),
            "",
            false,
            false,
        ),
        (Style::Node, envelope, None, "", true, false),
    ];
    for (style, path, content_type, coding, is_chunked, ends_with_newline) in table {
        let received = deliver(&style.request(&key(), &event, UNIX_EPOCH + NOW)).await;

        let plain = decoded(&received);
        let lines: Vec<_> = plain.lines().collect();
        let header: Value = serde_json::from_str(lines[0]).unwrap();
        let item: Value = serde_json::from_str(lines[1]).unwrap();
        let id = header["event_id"].as_str().unwrap().replace('-', "");
        let length = item["length"]
            .as_u64()
            .map(|length| usize::try_from(length).unwrap());
        assert_eq!(received.path(), path, "{style:?}");
        assert_eq!(received.header("content-type"), content_type, "{style:?}");
        assert_eq!(
            received.header("content-encoding").unwrap_or_default(),
            coding,
            "{style:?}"
        );
        assert_eq!(
            received.framing == Framing::Chunked,
            is_chunked,
            "{style:?}"
        );
        assert_eq!(plain.ends_with('\n'), ends_with_newline, "{style:?}");
        assert_eq!(
            (id.as_str(), &item["type"]),
            (ID, &json!("event")),
            "{style:?}"
        );
        assert!(
            length.is_none_or(|length| length == lines[2].len()),
            "{style:?}"
        );
        assert_eq!(length.is_some(), ends_with_newline, "{style:?}");
        assert_eq!(
            serde_json::from_str::<Value>(lines[2]).unwrap()["message"],
            "支付失败"
        );
    }
}

#[tokio::test]
async fn writes_store_bodies_as_each_sdk_does() {
    let event = json!({"event_id": ID});
    for style in [Style::GoStore, Style::PythonStore, Style::RavenNodeStore] {
        let payload = Payload::Event(event.clone());

        let received = deliver(&style.request(&key(), &payload, UNIX_EPOCH + NOW)).await;

        let auth = received.header("x-sentry-auth").unwrap();
        assert_eq!(received.path(), "/api/7/store/");
        assert!(auth.contains(&key().public_key), "{auth}");
        assert_eq!(
            serde_json::from_str::<Value>(&decoded(&received)).unwrap(),
            event
        );
    }
}

#[tokio::test]
async fn tells_when_an_envelope_was_sent() {
    let session = Payload::Session(json!({"sid": ID}));

    let received = deliver(&Style::Node.request(&key(), &session, UNIX_EPOCH + NOW)).await;

    let header = decoded(&received).lines().next().unwrap().to_owned();
    let header: Value = serde_json::from_str(&header).unwrap();
    assert_eq!(header["sent_at"], "2026-11-23T09:37:58.207000Z");
    assert_eq!(header.get("event_id"), None);
}

#[tokio::test]
async fn samples_carry_their_event_id_and_arrive_whole() {
    let sentry = FakeSentry::start().await.unwrap();
    let samples = samples(&key(), 1, UNIX_EPOCH + NOW);

    let mut answered = Vec::new();
    for sample in &samples {
        let answer = send(sentry.address(), &sample.request).await.unwrap();
        answered.push(answer.json()["id"].as_str().map(str::to_owned));
    }

    let expected: Vec<_> = samples
        .iter()
        .map(|sample| sample.event_id.clone())
        .collect();
    assert_eq!(answered, expected);
    for (sample, received) in samples.iter().zip(sentry.received()) {
        assert_eq!(received.body, sample.request.body, "{}", sample.name);
    }
    assert!(sentry.malformed().is_empty());
    assert!(samples[0].name == "sample-event" && samples[0].alerts);
}

#[tokio::test]
async fn repeats_the_same_error_under_another_event_id() {
    let samples: HashMap<_, _> = samples(&key(), 1, UNIX_EPOCH + NOW)
        .into_iter()
        .map(|sample| (sample.name, sample))
        .collect();
    let (first, again) = (
        &samples["python-zero-division"],
        &samples["python-zero-division-again"],
    );

    let exception = |received: &Received| -> Value {
        let event = decoded(received).lines().nth(2).unwrap().to_owned();
        serde_json::from_str::<Value>(&event).unwrap()["exception"].clone()
    };
    let first_exception = exception(&deliver(&first.request).await);
    let exception_again = exception(&deliver(&again.request).await);

    assert_eq!(first_exception, exception_again);
    assert_ne!(first.event_id, again.event_id);
    assert!(first.alerts && !again.alerts);
}

#[tokio::test]
async fn sends_chunks_of_the_wanted_size() {
    let request = SdkRequest::new("POST", "/")
        .header("Transfer-Encoding", "chunked")
        .body("hello")
        .chunk_size(2);

    let received = deliver(&request).await;

    assert_eq!(
        received.framed_body,
        "2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n"
    );
}

#[tokio::test]
async fn replays_the_corpus_byte_for_byte() {
    let Some(corpus) = Corpus::find() else {
        // Past the capture of the test harness, which would hide it.
        writeln!(io::stderr().lock(), "skipped: ../shared/corpus not found").unwrap();
        return;
    };
    let sentry = FakeSentry::start().await.unwrap();
    let mut client = Client::connect(sentry.address()).await.unwrap();

    let captured = corpus.requests().unwrap();
    for captured in &captured {
        let request = captured.to_request();
        let is_last = request.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case(b"close")
        });
        let answer = client.send(&request).await.unwrap();
        let received = sentry.wait_for(1, SOON).await.unwrap().remove(0);

        let wanted = captured.expect["event_id"]
            .as_str()
            .map(|id| id.replace('-', ""));
        // sentry-cli 3.8 sends a payload with another event id than the envelope header's, which is the one Relay answers.
        let is_readable = captured.expect["decoded"] != "br"
            && wanted.is_some()
            && !captured.name.starts_with("sentry-cli");
        assert_eq!(received.body, captured.body, "{}", captured.name);
        assert_eq!(received.target, captured.target, "{}", captured.name);
        assert!(
            received.is_complete && answer.status == 200,
            "{}",
            captured.name
        );
        if is_readable {
            assert_eq!(
                answer.json()["id"].as_str(),
                wanted.as_deref(),
                "{}",
                captured.name
            );
        }
        sentry.clear();
        if is_last {
            client = Client::connect(sentry.address()).await.unwrap();
        }
    }
    assert!(captured.len() >= 100, "only {} requests", captured.len());
    assert!(sentry.malformed().is_empty());
}

async fn deliver(request: &SdkRequest) -> Received {
    let sentry = FakeSentry::start().await.unwrap();
    send(sentry.address(), request).await.unwrap();
    sentry.wait_for(1, SOON).await.unwrap().remove(0)
}

fn decoded(received: &Received) -> String {
    let body = received.body.as_ref();
    let mut text = String::new();
    match (
        received.header("content-encoding"),
        received.header("content-type"),
    ) {
        (Some("gzip"), _) => {
            flate2::read::GzDecoder::new(body)
                .read_to_string(&mut text)
                .unwrap();
        }
        (_, Some("application/octet-stream")) => {
            let zlib = STANDARD.decode(body).unwrap();
            flate2::read::ZlibDecoder::new(zlib.as_slice())
                .read_to_string(&mut text)
                .unwrap();
        }
        _ => text = String::from_utf8(body.to_vec()).unwrap(),
    }
    text
}

fn key() -> SdkKey {
    SdkKey::new("a".repeat(32), 7)
}

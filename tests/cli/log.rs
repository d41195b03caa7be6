//! What the log tells of each request at `log.level = "debug"`, in both formats.

use serde_json::Value;
use testkit::{FakeSentry, SdkRequest};

use crate::program::{RunningProxy, command};

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line_with_its_times_and_ids_and_without_its_key() {
    let sentry = FakeSentry::start().await.unwrap();
    let proxy = run(&sentry, "json");
    let padding = "x".repeat(100_000);
    let cases = [
        ("plain", envelope("")),
        ("large", envelope(&padding)),
        (
            "refused",
            SdkRequest::new("GET", format!("/nowhere/?sentry_key={KEY}")),
        ),
    ];

    let mut lines = Vec::new();
    for (name, request) in cases {
        let answer = testkit::send(proxy.address, &request).await.unwrap();
        let rest = proxy.wait_to_hear("\"message\":\"request\",");
        assert!(!rest.contains(KEY), "{name}: {rest}");
        let line: Value = serde_json::from_str(&format!("{{{rest}")).unwrap();
        assert_eq!(line["status"], answer.status, "{name}: {line}");
        let bytes = u64::try_from(request.body.len()).unwrap();
        assert_eq!(line["bytes"], bytes, "{name}: {line}");
        assert!(line["total_ms"].is_number(), "{name}: {line}");
        lines.push(line);
    }

    for line in &lines[..2] {
        assert_eq!(
            (&line["method"], &line["endpoint"]),
            (&"POST".into(), &"envelope".into())
        );
        assert_eq!(
            (&line["project"], &line["verdict"]),
            (&42.into(), &"accepted".into())
        );
        assert_eq!(
            (&line["event_id"], &line["trace_id"]),
            (&ID.into(), &TRACE.into())
        );
        assert!(
            line["upstream_ms"].as_f64() <= line["total_ms"].as_f64(),
            "{line}"
        );
    }
    assert_eq!(
        (&lines[2]["endpoint"], &lines[2]["method"]),
        (&"none".into(), &"GET".into())
    );
    assert_eq!(
        (&lines[2]["project"], &lines[2]["upstream_ms"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_as_text() {
    let sentry = FakeSentry::start().await.unwrap();
    let proxy = run(&sentry, "text");

    testkit::send(proxy.address, &envelope("")).await.unwrap();

    let line = proxy.wait_to_hear(" request ");
    for part in [
        "method=POST endpoint=\"envelope\" project=42 verdict=\"accepted\" status=200",
        "upstream_ms=",
        "total_ms=",
        &format!("event_id={ID} trace_id=\"{TRACE}\""),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

fn run(sentry: &FakeSentry, format: &str) -> RunningProxy {
    let mut run = command(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &sentry.url(),
    ]);
    run.env("SENTRY_NOTICE__LOG__LEVEL", "debug");
    run.env("SENTRY_NOTICE__LOG__FORMAT", format);
    run.env("SENTRY_NOTICE__ADMIN__LISTEN", "127.0.0.1:0");
    run.env("SENTRY_NOTICE__SPOOL__DIR", "");
    RunningProxy::watch(run.spawn().unwrap())
}

fn envelope(padding: &str) -> SdkRequest {
    let header = format!(r#"{{"event_id":"{ID}","trace":{{"trace_id":"{TRACE}"}}}}"#);
    let item = format!(r#"{{"message":"boom","extra":{{"padding":"{padding}"}}}}"#);
    let length = item.len();
    let body = format!("{header}\n{{\"type\":\"event\",\"length\":{length}}}\n{item}\n");
    SdkRequest::new("POST", format!("/api/42/envelope/?sentry_key={KEY}"))
        .header(
            "X-Sentry-Auth",
            format!("Sentry sentry_key={KEY}, sentry_version=7"),
        )
        .body(body)
}

const KEY: &str = "a94ae32be2584e0bbd7a4cbb95971fee";
const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";
const TRACE: &str = "771a43a4192642f0b136d5159a501700";

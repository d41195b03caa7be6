//! What the pipeline makes of requests, seen from outside: never a change to forwarding, one counted outcome per event.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use testkit::{Behaviour, Listening, SdkRequest};

use crate::stage::{PATIENCE, Stage};

#[path = "support/stage.rs"]
mod stage;

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_bodies_are_forwarded_untouched_and_counted() {
    let stage = Stage::start("").await;
    let deep = [b"{\"message\":".as_slice(), &b"[".repeat(100_000)].concat();
    let cases: [(&str, &str, Vec<u8>, &str); 7] = [
        (
            "gzip",
            "envelope",
            b"\x1f\x8b\x08 not gzip".to_vec(),
            "undecodable",
        ),
        (
            "gzip",
            "envelope",
            gzip(b"{}\n{\"type\":\"event\"}\n{}")[..20].to_vec(),
            "undecodable",
        ),
        ("foo", "store", b"{}".to_vec(), "undecodable"),
        (
            "gzip",
            "envelope",
            gzip(&vec![b' '; 40 << 20]),
            "undecodable",
        ),
        ("", "store", b"\x00\xff not json".to_vec(), "unparsable"),
        ("", "store", deep, "unparsable"),
        ("", "envelope", b"no envelope".to_vec(), "unparsable"),
    ];

    for (coding, endpoint, body, _) in &cases {
        let request = SdkRequest::new("POST", format!("/api/1/{endpoint}/"))
            .header("Content-Encoding", coding.to_string())
            .body(body.clone());

        assert_eq!(stage.send(&request).await, 200);
    }

    for outcome in ["undecodable", "unparsable"] {
        let expected = cases.iter().filter(|case| case.3 == outcome).count();
        let line = format!("sentry_notice_events_total{{outcome=\"{outcome}\"}} {expected}");
        stage.wait_for_count(&line).await;
    }
    let bodies: Vec<Bytes> = stage
        .sentry
        .received()
        .into_iter()
        .map(|received| received.body)
        .collect();
    let sent: Vec<Vec<u8>> = cases.into_iter().map(|case| case.2).collect();
    assert!(bodies == sent, "a body was changed on its way");
    assert!(stage.robots.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sentrys_verdict_decides_what_may_alert() {
    let stage = Stage::start("").await;
    let (mut alerting, mut silent) = (0, 0);

    for (number, status) in [200, 429, 400, 401, 403, 404, 413, 500]
        .into_iter()
        .enumerate()
    {
        stage.sentry.script().next(Behaviour::status(status));

        assert_eq!(
            stage.send(&message(&format!("issue {number}"))).await,
            status
        );

        match status {
            200 | 429 => alerting += 1,
            _ => silent += 1,
        }
    }

    stage
        .wait_for_count(&format!(
            "sentry_notice_events_total{{outcome=\"queued\"}} {alerting}"
        ))
        .await;
    stage
        .wait_for_count(&format!(
            "sentry_notice_events_total{{outcome=\"not_accepted\"}} {silent}"
        ))
        .await;
    assert_eq!(
        stage
            .robots
            .wait_for(alerting, PATIENCE)
            .await
            .unwrap()
            .len(),
        alerting
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_check_ins_of_the_cron_endpoint_alert() {
    let stage = Stage::start("").await;
    let key = "a".repeat(32);
    let asked = |method: &str, slug: &str, status: &str| {
        SdkRequest::new(method, format!("/api/1/cron/{slug}/{key}/?status={status}"))
    };
    let posted = SdkRequest::new("POST", format!("/api/1/cron/monthly/{key}/"))
        .header("Content-Type", "application/json")
        .body(&b"{\"status\":\"error\"}"[..]);

    for request in [
        asked("GET", "nightly", "error"),
        asked("POST", "hourly", "error"),
        posted,
        asked("GET", "daily", "ok"),
    ] {
        assert_eq!(stage.send(&request).await, 200);
    }

    let messages = stage.robots.wait_for(3, PATIENCE).await.unwrap();
    for slug in ["nightly", "hourly", "monthly"] {
        let title = format!("Cron failure: {slug}");
        let count = messages
            .iter()
            .filter(|message| message.text.contains(&title))
            .count();
        assert_eq!(count, 1, "{slug}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_alert_while_sentry_is_down() {
    let stage = Stage::start("").await;
    stage.sentry.listen(Listening::Refusing).await.unwrap();

    let status = stage.send(&message("boom")).await;

    assert_eq!(status, 503);
    assert!(
        stage.robots.wait_for(1, PATIENCE).await.unwrap()[0]
            .text
            .contains("boom")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_again_by_its_id_alerts_once() {
    let stage = Stage::start("").await;
    let body = r#"{"event_id":"9f3c2d1a00004000800000000000beef","message":"boom"}"#;
    let request = SdkRequest::new("POST", "/api/1/store/").body(body);
    stage.sentry.listen(Listening::Refusing).await.unwrap();

    let down = stage.send(&request).await;
    stage.robots.wait_for(1, PATIENCE).await.unwrap();
    stage.sentry.listen(Listening::Serving).await.unwrap();
    let up = stage.send(&request).await;

    let line = "sentry_notice_events_total{outcome=\"held_duplicate\"} 1";
    stage.wait_for_count(line).await;
    assert_eq!((down, up), (503, 200));
    assert_eq!(stage.robots.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_an_outage_alerts_at_once_and_not_again_when_it_is_sent_later() {
    let directory = tempfile::tempdir().unwrap();
    let stage = Stage::start(&spool_in(&directory)).await;
    stage.sentry.listen(Listening::Refusing).await.unwrap();
    let large = SdkRequest {
        body: Bytes::from(
            [
                "{\"message\":\"large\",\"x\":\"",
                &"x".repeat(2 << 20),
                "\"}",
            ]
            .concat(),
        ),
        ..message("large")
    };

    // The second is the same event again, as some SDKs send it.
    for request in [&message("boom"), &message("boom"), &large] {
        assert_eq!(stage.send(request).await, 200);
    }

    let alerts = stage.robots.wait_for(2, PATIENCE).await.unwrap();
    for text in ["boom", "large"] {
        let about = alerts.iter().filter(|alert| alert.text.contains(text));
        assert_eq!(about.count(), 1, "{text}: {alerts:#?}");
    }
    stage.sentry.listen(Listening::Serving).await.unwrap();
    let arrived = stage.sentry.wait_for(3, PATIENCE).await.unwrap();
    assert!(arrived[2].body == large.body);
    for line in [
        "sentry_notice_spool_requests 0",
        "sentry_notice_replayed_total{result=\"delivered\"} 3",
        "sentry_notice_requests_total{endpoint=\"store\",verdict=\"spooled\"} 3",
        "sentry_notice_events_total{outcome=\"queued\"} 2",
        "sentry_notice_events_total{outcome=\"held_duplicate\"} 1",
    ] {
        stage.wait_for_count(line).await;
    }
    let robots = std::sync::Arc::clone(&stage.robots);
    stage.stop().await;
    assert_eq!(robots.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_an_outage_are_silent_where_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("{}[tee]\nalert_on = [\"accepted\"]", spool_in(&directory));
    let stage = Stage::start(&settings).await;
    stage.sentry.listen(Listening::Refusing).await.unwrap();

    assert_eq!(stage.send(&message("boom")).await, 200);

    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"not_accepted\"} 1")
        .await;
    let robots = std::sync::Arc::clone(&stage.robots);
    stage.stop().await;
    assert!(robots.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_sentry_answers_late_alerts_once_and_arrives_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("{}[forward]\npatience = \"0s\"", spool_in(&directory));
    let stage = Stage::start(&settings).await;
    stage.sentry.script().always(Behaviour::usual().held());

    assert_eq!(stage.send(&message("boom")).await, 200);

    stage.robots.wait_for(1, PATIENCE).await.unwrap();
    stage.wait_for_count("sentry_notice_spool_requests 1").await;
    stage.sentry.wait_for(1, PATIENCE).await.unwrap();
    stage.sentry.script().release();
    stage.wait_for_count("sentry_notice_spool_requests 0").await;
    let robots = std::sync::Arc::clone(&stage.robots);
    let (arrived, replayed) = (
        stage.sentry.received().len(),
        "sentry_notice_replayed_total{result=\"delivered\"} 0",
    );
    stage.wait_for_count(replayed).await;
    stage.stop().await;
    assert_eq!((arrived, robots.messages().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_robot_does_not_hold_up_forwarding() {
    let stage = Stage::start("").await;
    stage.robots.script().always(Behaviour::hang());

    let sending = async {
        for number in 0..500 {
            assert_eq!(stage.send(&message(&format!("issue {number}"))).await, 200);
        }
    };

    tokio::time::timeout(PATIENCE, sending)
        .await
        .expect("forwarding goes on");
    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"queued\"} 500")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_the_tap_is_forwarded_and_counted() {
    let stage = Stage::start("[tee]\nmax_body = \"1KiB\"").await;

    let status = stage.send(&message(&"x".repeat(2_000))).await;

    assert_eq!((status, stage.sentry.received().len()), (200, 1));
    stage
        .wait_for_count("sentry_notice_tee_dropped_total{reason=\"too_large\"} 1")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_id_speaks_once_however_often_it_comes() {
    let stage = Stage::start("").await;
    let request = message("boom");

    stage.send(&request).await;
    stage.send(&request).await;

    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"held_duplicate\"} 1")
        .await;
    assert_eq!(stage.sentry.received().len(), 2);
    assert_eq!(stage.robots.wait_for(1, PATIENCE).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_decide_as_in_sentry() {
    let stage = Stage::start("").await;
    let cases = [
        ("", true),
        (r#","level":"error""#, true),
        (r#","level":"fatal""#, true),
        (r#","level":"critical""#, true),
        (r#","level":40"#, true),
        (r#","level":50"#, true),
        (r#","level":"ERROR""#, true),
        (r#","level":null"#, true),
        (r#","level":"warning""#, false),
        (r#","level":"info""#, false),
        (r#","level":"log""#, false),
        (r#","level":"debug""#, false),
        (r#","level":30"#, false),
    ];

    for (number, (level, _)) in cases.iter().enumerate() {
        let body =
            format!(r#"{{"message":"issue number {number}","fingerprint":["{number}"]{level}}}"#);
        stage
            .send(&SdkRequest::new("POST", "/api/1/store/").body(body))
            .await;
    }

    let alerting = cases.iter().filter(|case| case.1).count();
    let silent = cases.len() - alerting;
    stage
        .wait_for_count(&format!(
            "sentry_notice_events_total{{outcome=\"queued\"}} {alerting}"
        ))
        .await;
    stage
        .wait_for_count(&format!(
            "sentry_notice_events_total{{outcome=\"not_alertable\"}} {silent}"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_and_failed_check_ins_alert_and_logs_do_not() {
    let stage = Stage::start("").await;

    for request in [minidump(), check_in(), log()] {
        assert_eq!(stage.send(&request).await, 200);
    }

    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"queued\"} 2")
        .await;
    let robots = std::sync::Arc::clone(&stage.robots);
    stage.stop().await;
    let cards = robots.messages();
    assert_eq!(cards.len(), 2);
    assert!(
        cards[0].text.contains("Minidump") && cards[0].text.contains("fatal"),
        "{}",
        cards[0].text
    );
    assert!(
        cards[1].text.contains("Cron failure: nightly"),
        "{}",
        cards[1].text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_can_be_switched() {
    let stage = Stage::start("[tee]\nkinds = [\"log\"]").await;

    for request in [minidump(), check_in(), message("boom"), log()] {
        assert_eq!(stage.send(&request).await, 200);
    }

    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"not_alertable\"} 3")
        .await;
    let cards = stage.robots.wait_for(1, PATIENCE).await.unwrap();
    assert!(cards[0].text.contains("disk is full"), "{}", cards[0].text);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_delivers_what_was_decided() {
    let stage = Stage::start("").await;

    for number in 0..10 {
        stage.send(&message(&format!("issue {number}"))).await;
    }
    let robots = std::sync::Arc::clone(&stage.robots);
    let stopped = stage.stop().await;

    assert_eq!(stopped.undelivered, 0);
    assert_eq!(robots.messages().len(), 10);
}

fn spool_in(directory: &tempfile::TempDir) -> String {
    format!(
        "[spool]\ndir = \"{}\"\n",
        directory.path().join("spool").display()
    )
}

/// A message of an issue of its own, with an event id that follows from its text.
fn message(text: &str) -> SdkRequest {
    let mut id = [0_u8; 16];
    text.bytes()
        .enumerate()
        .for_each(|(index, byte)| id[index % 16] = id[index % 16].wrapping_mul(31) ^ byte);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = format!(r#"{{"event_id":"{id}","message":"{text}","fingerprint":["{text}"]}}"#);
    SdkRequest::new(
        "POST",
        "/api/1/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    )
    .body(body)
}

/// A crash upload as Breakpad makes it: a form with the dump in a file field.
fn minidump() -> SdkRequest {
    let body = "--frontier\r\nContent-Disposition: form-data; name=\"sentry[release]\"\r\n\r\ngame@1.0\r\n--frontier\r\n\
        Content-Disposition: form-data; name=\"upload_file_minidump\"; filename=\"a.dmp\"\r\n\
        Content-Type: application/octet-stream\r\n\r\nMDMP\u{1}\u{2}\r\n--frontier--\r\n";
    SdkRequest::new(
        "POST",
        "/api/1/minidump/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    )
    .header("Content-Type", "multipart/form-data; boundary=frontier")
    .body(body)
}

fn check_in() -> SdkRequest {
    let item = r#"{"check_in_id":"83a7c03ed0a04e1b97e2e3b18d38f244","monitor_slug":"nightly","status":"error"}"#;
    envelope("check_in", item)
}

fn log() -> SdkRequest {
    let item = r#"{"items":[{"timestamp":1795426692.5,"level":"error","body":"disk is full"}]}"#;
    envelope("log", item)
}

fn envelope(ty: &str, item: &str) -> SdkRequest {
    let body = format!(
        "{{}}\n{{\"type\":\"{ty}\",\"length\":{}}}\n{item}\n",
        item.len()
    );
    SdkRequest::new(
        "POST",
        "/api/1/envelope/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    )
    .header("Content-Type", "application/x-sentry-envelope")
    .body(body)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

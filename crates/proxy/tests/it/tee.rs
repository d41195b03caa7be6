//! The copy for the alert pipeline: complete, bounded, and never in the way.

use event::{Codings, EndpointKind};

use crate::message::{Connection, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{Started, post, start, start_tapped, start_with};

#[tokio::test]
async fn copies_what_the_client_sent() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start(sentry.address);
    let request = "POST /api/42/envelope/?sentry_key=a HTTP/1.1\r\nHost: proxy.test\r\nConnection: close\r\n\
        Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody";

    proxy.connect().await.ask(request).await;

    let captured = proxy.captures.next().await.unwrap();
    assert_eq!(captured.endpoint.kind, EndpointKind::Envelope);
    assert_eq!(captured.endpoint.project, Some(42.into()));
    assert_eq!(captured.method, "POST");
    assert_eq!(captured.path_and_query, "/api/42/envelope/?sentry_key=a");
    assert_eq!(captured.codings, Codings::from(Some(&b"gzip"[..])));
    assert_eq!(captured.body.concat(), b"body");
    assert!(captured.peer.is_loopback());
}

#[tokio::test]
async fn copies_only_what_may_carry_events() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    client.ask(post("/api/1/nel/", b"{}")).await;
    client.ask(post("/api/1/user-feedback/", b"{}")).await;
    client.ask(post("/api/1/store/", b"{}")).await;

    assert_eq!(
        proxy.captures.next().await.unwrap().endpoint.kind,
        EndpointKind::Store
    );
}

#[tokio::test]
async fn copies_only_envelopes_that_may_alert() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    let item = |kind: &str, size: usize| {
        format!(
            "{{}}\n{{\"type\":\"{kind}\"}}\n{{\"a\":\"{}\"}}\n",
            "a".repeat(size)
        )
    };

    // Small ones are plain requests, large ones are not.
    for size in [10, 100_000] {
        for kind in ["transaction", "session", "log", "event"] {
            let envelope = item(kind, size);
            client
                .ask(post("/api/1/envelope/", envelope.as_bytes()))
                .await;
        }
        let captured = proxy.captures.next().await.unwrap();
        assert_eq!(captured.body.concat(), item("event", size).as_bytes());
    }
}

#[tokio::test]
async fn a_flood_of_errors_lets_few_others_pass_without_a_look() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    let (error, session) = (
        b"{}\n{\"type\":\"event\"}\n{}\n",
        b"{}\n{\"type\":\"session\"}\n{}\n",
    );

    for _ in 0..34 {
        client.ask(post("/api/1/envelope/", error)).await;
    }
    for _ in 0..50 {
        client.ask(post("/api/1/envelope/", session)).await;
    }
    client.ask(post("/api/1/store/", b"{}")).await;

    let (mut errors, mut sessions) = (0, 0);
    loop {
        let captured = proxy.captures.next().await.unwrap();
        match captured.body.concat() {
            body if body == error => errors += 1,
            body if body == session => sessions += 1,
            _ => break,
        }
    }
    assert_eq!(errors, 34);
    assert!((1..8).contains(&sessions), "{sessions} sessions");
}

#[tokio::test]
async fn copies_a_chunked_body_without_its_framing() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start(sentry.address);
    let request = "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\n{\"\r\n4\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n";

    proxy.connect().await.ask(request).await;

    assert_eq!(
        proxy.captures.next().await.unwrap().body.concat(),
        b"{\"a\":1}"
    );
}

#[tokio::test]
async fn a_full_tap_drops_copies_and_forwards_on() {
    let sentry = Sentry::answering(OK).await;
    let mut proxy = start_tapped(sentry.address, 250_000, |_| {});
    let mut client = proxy.connect().await;
    let body = noise(100_000);

    for _ in 0..5 {
        assert_eq!(client.ask(post("/api/1/store/", &body)).await.status(), 200);
    }

    assert_eq!(proxy.metric(r#"tee_dropped_total{reason="full"}"#), 3);
    drop(proxy.captures.next().await);
    client.ask(post("/api/1/store/", &body)).await;
    assert_eq!(proxy.metric(r#"tee_dropped_total{reason="full"}"#), 3);
}

#[tokio::test]
async fn a_body_over_the_limit_is_forwarded_without_a_copy() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.tee.max_body = 50_000;
        config.forward.buffer = 100_000;
    });
    let mut client = proxy.connect().await;

    for size in [50_001, 200_000] {
        client.ask(post("/api/1/store/", &noise(size))).await;
        assert_eq!(sentry.request().await.body.len(), size);
    }

    assert_eq!(proxy.metric(r#"tee_dropped_total{reason="too_large"}"#), 2);
}

#[tokio::test]
async fn forwards_on_when_nobody_listens_to_the_tap() {
    let sentry = Sentry::answering(OK).await;
    let Started {
        running, captures, ..
    } = start(sentry.address);
    drop(captures);
    let mut client = Connection::open(running.local_addr()).await;

    for _ in 0..3 {
        assert_eq!(
            client
                .ask(post("/api/1/store/", b"not json \xff"))
                .await
                .status(),
            200
        );
    }
}

#[tokio::test]
async fn many_large_bodies_at_once_stay_within_the_memory_and_arrive_whole() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_tapped(sentry.address, 1 << 20, |config| {
        config.limits.memory = 300_000;
        config.forward.buffer = 1 << 20;
    });
    let body = noise(900_000);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = proxy.connect().await;
        let request = post("/api/1/store/", &body);
        clients.push(tokio::spawn(
            async move { client.ask(request).await.status() },
        ));
    }

    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
        assert!(sentry.request().await.body == body);
    }
    assert!(proxy.metric(r#"tee_dropped_total{reason="full"}"#) >= 9);
}

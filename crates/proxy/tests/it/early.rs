//! Sentry answers before it has the whole body, as it does when the quota is spent.

use std::time::Duration;

use tokio::time::timeout;

use crate::message::{Connection, noise};
use crate::sentry::Sentry;
use crate::setup::{post, start_with};

const LIMITED: &str =
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 5\r\n\r\nquota";

/// Answers after the head and never reads the body nor closes.
async fn deaf() -> Sentry {
    Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read_head().await.unwrap();
        connection.send(LIMITED).await;
        std::future::pending::<()>().await;
    })
    .await
}

/// Answers after the head and closes.
async fn hasty() -> Sentry {
    Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read_head().await.unwrap();
        connection.send(LIMITED).await;
    })
    .await
}

#[tokio::test]
async fn copies_the_whole_body_when_sentry_answers_early() {
    for sentry in [deaf().await, hasty().await] {
        let mut proxy = start_with(sentry.address, |config| config.tee.max_body = 16 << 20);
        let mut client = proxy.connect().await;
        let body = noise(8 << 20);

        let answer = timeout(
            Duration::from_secs(20),
            client.ask(post("/api/1/envelope/", &body)),
        )
        .await
        .unwrap();

        assert_eq!((answer.status(), &*answer.body), (429, &b"quota"[..]));
        let captured = proxy.captures.next().await.unwrap();
        assert_eq!(captured.verdict, proxy::Verdict::Limited);
        assert!(captured.body.concat() == body);
    }
}

#[tokio::test]
async fn answers_early_when_the_body_is_too_large_to_copy() {
    let sentry = deaf().await;
    let proxy = start_with(sentry.address, |config| config.tee.max_body = 1 << 20);
    let mut client = proxy.connect().await;

    let ask = client.ask(post("/api/1/envelope/", &noise(8 << 20)));
    let answer = timeout(Duration::from_secs(20), ask).await.unwrap();

    assert_eq!((answer.status(), &*answer.body), (429, &b"quota"[..]));
    assert_eq!(proxy.metric(r#"tee_dropped_total{reason="too_large"}"#), 1);
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="envelope",verdict="limited"}"#),
        1
    );
}

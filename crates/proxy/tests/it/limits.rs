//! Slow and silent clients are cut off, and the others notice nothing.

use std::time::Duration;

use tokio::time::timeout;

use crate::message::{Connection, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start_with};

const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_408() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.limits.header_timeout = SHORT
    });
    let mut client = proxy.connect().await;

    client.send("POST /api/1/store/ HTTP/1.1\r\nHost:").await;

    let answer = timeout(PATIENCE, client.read()).await.unwrap().unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="none",verdict="timeout"}"#),
        1
    );
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_408_and_not_forwarded() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.limits.stall_timeout = SHORT;
        config.forward.buffer = 10_000;
    });

    for size in [100, 100_000] {
        let mut client = proxy.connect().await;
        let whole = post("/api/1/store/", &noise(size));
        client.send(&whole[..whole.len() - 1]).await;

        let answer = timeout(PATIENCE, client.read()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 408);
    }
    assert!(sentry.request_now().is_none());
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="store",verdict="timeout"}"#),
        2
    );
}

#[tokio::test]
async fn idle_connections_are_closed_silently() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.limits.idle_timeout = SHORT);
    let mut silent = proxy.connect().await;
    let mut spoken = proxy.connect().await;

    assert_eq!(spoken.ask(post("/api/1/store/", b"{}")).await.status(), 200);

    assert!(timeout(PATIENCE, silent.rest()).await.unwrap().is_empty());
    assert!(timeout(PATIENCE, spoken.rest()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let answer = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n",
        &*noise(50_000_000),
    ]
    .concat();
    let sentry = Sentry::answering(answer).await;
    let proxy = start_with(sentry.address, |config| config.limits.stall_timeout = SHORT);
    let mut client = proxy.connect().await;

    client.send(post("/api/1/store/", b"{}")).await;
    client.read_head().await.unwrap();
    let mut other = proxy.connect().await;
    assert_eq!(
        other
            .ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status(),
        404
    );
    proxy.running.shutdown(Duration::from_secs(60));

    timeout(PATIENCE, proxy.running.stopped()).await.unwrap();
}

#[tokio::test]
async fn the_oldest_idle_connection_makes_room_for_a_new_one() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.limits.connections = 3);
    let mut idle: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        assert_eq!(client.ask(post("/api/1/store/", b"{}")).await.status(), 200);
        idle.push(client);
    }

    let mut new = proxy.connect().await;

    assert_eq!(
        timeout(PATIENCE, new.ask(post("/api/1/store/", b"{}")))
            .await
            .unwrap()
            .status(),
        200
    );
    let mut closed = 0;
    for client in &mut idle {
        closed += usize::from(timeout(SHORT, client.rest()).await.is_ok());
    }
    assert_eq!(closed, 1);
}

#[tokio::test]
async fn a_busy_connection_is_not_taken_for_idle() {
    let sentry = Sentry::scripted(|stream, recorder| async move {
        let mut connection = Connection::new(stream);
        recorder.send(connection.read().await.unwrap()).ok();
        tokio::time::sleep(SHORT * 4).await;
        connection.send(OK).await;
        connection.rest().await;
    })
    .await;
    let proxy = start_with(sentry.address, |config| {
        config.limits.idle_timeout = SHORT;
        config.limits.header_timeout = SHORT;
        config.limits.stall_timeout = SHORT;
    });

    assert_eq!(
        proxy
            .connect()
            .await
            .ask(post("/api/1/store/", b"{}"))
            .await
            .status(),
        200
    );
}

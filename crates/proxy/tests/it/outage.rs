//! Sentry gives no answer: the client learns it in time, and the request is counted as lost.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::message::{Connection, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start, start_with};

#[tokio::test]
async fn says_503_without_retry_after_when_sentry_refuses() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut proxy = start(free);

    let answer = proxy
        .connect()
        .await
        .ask(post("/api/1/store/", b"{}"))
        .await;

    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after"), None);
    let body = String::from_utf8(answer.body).unwrap();
    assert!(
        body.starts_with(
            r#"{"detail":"Sentry cannot be reached","causes":["cannot connect to Sentry","#
        ),
        "{body}"
    );
    assert_eq!(
        proxy.captures.next().await.unwrap().verdict,
        proxy::Verdict::Unreachable
    );
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="store",verdict="unreachable"}"#),
        1
    );
}

#[tokio::test]
async fn gives_up_on_a_sentry_that_hangs() {
    let sentry = Sentry::scripted(|stream, recorder| async move {
        let mut connection = Connection::new(stream);
        recorder.send(connection.read().await.unwrap()).ok();
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.response_timeout = Duration::from_millis(200);
        config.forward.buffer = 1000;
    });

    for size in [2, 100_000] {
        let mut client = proxy.connect().await;
        let ask = client.ask(post("/api/1/store/", &noise(size)));
        let answer = timeout(Duration::from_secs(5), ask).await.unwrap();

        assert_eq!(answer.status(), 503);
    }
}

#[tokio::test]
async fn gives_up_on_a_sentry_that_breaks_off() {
    for parts in ["", "HTTP/1.1 20", "garbage\r\n\r\n"] {
        let sentry = Sentry::scripted(move |stream, _| async move {
            let mut connection = Connection::new(stream);
            connection.read().await.unwrap();
            connection.send(parts).await;
        })
        .await;
        let proxy = start(sentry.address);

        let answer = proxy
            .connect()
            .await
            .ask(post("/api/1/store/", b"{}"))
            .await;

        assert_eq!(answer.status(), 503, "{parts:?}");
    }
}

#[tokio::test]
async fn an_outage_status_of_sentry_becomes_our_503() {
    for status in [
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        let sentry = Sentry::answering(format!(
            "HTTP/1.1 {status}\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nbad"
        ))
        .await;
        let proxy = start(sentry.address);
        let mut client = proxy.connect().await;

        let answer = client.ask(post("/api/1/envelope/", b"{}\n")).await;
        assert_eq!((answer.status(), answer.header("retry-after")), (503, None));

        let web = client
            .ask("GET /api/0/projects/ HTTP/1.1\r\nHost: p\r\n\r\n")
            .await;
        assert_eq!(
            (web.header("retry-after"), &*web.body),
            (Some("9"), &b"bad"[..])
        );
    }
}

#[tokio::test]
async fn survives_connections_that_sentry_closed_while_idle() {
    let mut sentry = Sentry::scripted(|stream, recorder| async move {
        let mut connection = Connection::new(stream);
        recorder.send(connection.read().await.unwrap()).ok();
        connection.send(OK).await;
    })
    .await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    for _ in 0..20 {
        assert_eq!(client.ask(post("/api/1/store/", b"{}")).await.status(), 200);
        sentry.request().await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_complete() {
    let sentry = Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read().await.unwrap();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
    })
    .await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    client.send(post("/api/1/store/", b"{}")).await;

    assert!(client.read().await.is_err());
}

#[tokio::test]
async fn an_incomplete_request_never_reaches_sentry_as_complete() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.buffer = 1000);

    for size in [500, 50_000] {
        let mut client = proxy.connect().await;
        let whole = post("/api/1/store/", &noise(size));
        client.send(&whole[..whole.len() - 1]).await;
        drop(client);
        while proxy.metric(r#"requests_total{endpoint="store",verdict="aborted"}"#) == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn an_answer_that_stalls_is_broken_off() {
    let sentry = Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read().await.unwrap();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.response_timeout = Duration::from_millis(200);
    });
    let mut client = proxy.connect().await;

    client.send(post("/api/1/store/", b"{}")).await;

    assert!(
        timeout(Duration::from_secs(5), client.read())
            .await
            .unwrap()
            .is_err()
    );
}

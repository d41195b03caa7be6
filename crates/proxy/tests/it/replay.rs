//! What goes out of the spool when Sentry's answers are odd.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::keep::{Spool, arrives, ask, nobody};
use crate::message::Connection;
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start_keeping};

#[tokio::test]
async fn the_status_alone_decides_that_a_request_was_taken() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    ask(&proxy, post("/api/1/store/", b"{}")).await;
    let mut sentry = Sentry::at(address, |stream, recorder| async move {
        let mut connection = Connection::new(stream);
        while let Ok(message) = connection.read().await {
            recorder.send(message).ok();
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnever more")
                .await;
        }
    })
    .await;

    arrives(&mut sentry).await;

    // Well before the time is up that Sentry has for an answer.
    spool.holds(0).await;
    assert!(sentry.request_now().is_none(), "it was sent twice");
}

/// Answers 500 to requests with one body as long as it is told to, and 200 to others.
async fn breaking_at(address: SocketAddr, is_breaking: fn(usize, &[u8]) -> bool) -> Sentry {
    let asked = Arc::new(AtomicUsize::new(0));
    Sentry::at(address, move |stream, recorder| {
        let asked = Arc::clone(&asked);
        async move {
            let mut connection = Connection::new(stream);
            while let Ok(message) = connection.read().await {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                let broken = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
                let is_broken = is_breaking(number, &message.body);
                recorder.send(message).ok();
                connection.send(if is_broken { broken } else { OK }).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_request_on_which_sentry_breaks_steps_aside_for_the_others() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    for body in ["bad", "good", "fine"] {
        ask(&proxy, post("/api/1/store/", body.as_bytes())).await;
    }

    let mut sentry = breaking_at(address, |_, body| body == b"bad").await;

    let started = Instant::now();
    for expected in ["bad", "good", "fine", "bad"] {
        assert_eq!(arrives(&mut sentry).await.body, expected.as_bytes());
    }
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (spool.queue.counts().requests, spool.queue.counts().refused),
        (1, 0)
    );
}

#[tokio::test]
async fn a_sentry_that_breaks_on_everything_for_a_while_costs_nothing() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    for number in 0..30 {
        ask(
            &proxy,
            post("/api/1/store/", format!("{number}").as_bytes()),
        )
        .await;
    }

    let _sentry = breaking_at(address, |number, _| number < 20).await;

    spool.holds(0).await;
    assert_eq!(
        spool.queue.counts().refused,
        0,
        "it was Sentry, and not they"
    );
    assert_eq!(proxy.metric("replayed_total{result=\"delivered\"}"), 30);
}

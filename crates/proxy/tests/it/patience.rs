//! How long clients wait for a Sentry whose answers are late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proxy::config::Patience;

use crate::keep::{Spool, ask};
use crate::message::Connection;
use crate::sentry::Sentry;
use crate::setup::{post, start_keeping};

/// Answers each request after a while that can be changed, in milliseconds; its answers can be told from ours.
async fn late_by(delay: &Arc<AtomicU64>) -> Sentry {
    let delay = Arc::clone(delay);
    Sentry::scripted(move |stream, recorder| {
        let delay = Arc::clone(&delay);
        async move {
            let mut connection = Connection::new(stream);
            while let Ok(message) = connection.read().await {
                recorder.send(message).ok();
                tokio::time::sleep(Duration::from_millis(delay.load(Ordering::SeqCst))).await;
                connection
                    .send("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn of_a_sentry_that_is_always_late_only_the_first_client_waits() {
    let (spool, delay) = (Spool::new(), Arc::new(AtomicU64::new(3000)));
    let sentry = late_by(&delay).await;
    let proxy = start_keeping(sentry.address, &spool.queue, |config| {
        config.forward.patience = Patience::For(Duration::from_secs(1));
    });

    let started = Instant::now();
    for _ in 0..20 {
        let answer = ask(&proxy, post("/api/1/envelope/", b"{}")).await;
        assert_eq!(answer.status(), 200);
    }
    let took = started.elapsed();

    assert!(
        took >= Duration::from_secs(1),
        "the first waits its second: {took:?}"
    );
    assert!(took < Duration::from_millis(2500), "{took:?}");
    spool.holds(0).await;
    assert_eq!(spool.queue.counts().appended, 20);
    assert_eq!(sentry.connection_count(), 20, "each is sent once");
}

#[tokio::test]
async fn clients_wait_again_once_sentry_answers_in_time() {
    let (spool, delay) = (Spool::new(), Arc::new(AtomicU64::new(600)));
    let sentry = late_by(&delay).await;
    let proxy = start_keeping(sentry.address, &spool.queue, |config| {
        config.forward.patience = Patience::For(Duration::from_millis(300));
    });
    ask(&proxy, post("/api/1/envelope/", b"{}")).await;
    spool.holds(0).await;

    // Late, but in time.
    delay.store(100, Ordering::SeqCst);
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(ask(&proxy, post("/api/1/envelope/", b"{}")).await.status());
        spool.holds(0).await;
    }

    assert_eq!(statuses[0], 200, "not waited for");
    assert!(
        statuses.ends_with(&[202; 5]),
        "Sentry's own answers: {statuses:?}"
    );
}

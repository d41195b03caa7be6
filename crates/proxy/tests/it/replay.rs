//! What goes out of the spool when Sentry's answers are odd.

use crate::keep::{Spool, arrives, ask, nobody};
use crate::message::Connection;
use crate::sentry::Sentry;
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

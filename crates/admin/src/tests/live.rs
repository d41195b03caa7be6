//! Pages that stay open.

use super::*;
use crate::live::{SEATS, watch_over};

#[tokio::test]
async fn tells_open_pages_of_changes_and_lets_them_go_at_the_end() {
    let (close, site) = site(admin(None));

    let mut stream = send(&site, "GET", "/events", &[], "").await.into_body();
    let watching = tokio::spawn(watch_over(site.clone()));
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    close.send(true).unwrap();
    let rest = stream.collect().await;

    assert!(first.starts_with(b"data: "), "{first:?}");
    assert!(rest.is_ok());
    watching.abort();
}

#[tokio::test]
async fn only_so_many_pages_listen_at_a_time() {
    let (_close, site) = site(admin(None));

    let mut streams = Vec::new();
    for _ in 0..SEATS {
        streams.push(send(&site, "GET", "/events", &[], "").await);
    }
    let refused = send(&site, "GET", "/events", &[], "").await;
    streams.pop();
    let again = send(&site, "GET", "/events", &[], "").await;

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(again.status(), StatusCode::OK);
}

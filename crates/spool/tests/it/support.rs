//! Requests that can be told apart, and a spool in a directory that goes away.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use spool::{Body, Claim, Config, Content, Framing, Head, Lane, Queue, Request};

pub(crate) fn config(dir: &Path) -> Config {
    Config::new(dir.join("spool"))
}

pub(crate) fn open(dir: &Path) -> Queue {
    Queue::open(config(dir)).unwrap()
}

pub(crate) fn head(project: u64, number: u64) -> Head {
    Head {
        lane: Lane {
            project: Some(project),
            key: Some("0123456789abcdef0123456789abcdef".into()),
            categories: 1,
        },
        method: Method::POST,
        target: PathAndQuery::from_static("/api/1/envelope/?sentry_version=7"),
        fields: [
            ("Host", "sentry.example.com"),
            ("X-Forwarded-For", "10.0.0.1"),
        ]
        .map(|(name, value)| (Bytes::from_static(name.as_bytes()), value.into()))
        .to_vec(),
        framing: Framing::Length,
        received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number),
        event_id: Some(format!("{number:032x}")),
        note: Some("default".to_owned()),
    }
}

/// Returns a body of a length that no other number has.
pub(crate) fn body(number: u64, length: usize) -> Bytes {
    let mut bytes = number.to_le_bytes().repeat(length / 8 + 1);
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = byte.wrapping_add((index / 8) as u8).wrapping_mul(31);
    }
    bytes.truncate(length);
    bytes.into()
}

pub(crate) async fn append(queue: &Queue, project: u64, number: u64) -> Claim {
    let body = Body::Memory(vec![body(number, 500)]);
    queue.append(head(project, number), body).await.unwrap()
}

/// Returns the number of a request, and its body.
pub(crate) async fn read(request: Request) -> (u64, Bytes) {
    let id = request.head.event_id.unwrap();
    let bytes = match request.body {
        Content::Memory(bytes) => bytes,
        Content::File(mut reader) => {
            let mut bytes = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                assert!(piece.len() <= 64 << 10);
                bytes.extend_from_slice(&piece);
            }
            assert_eq!(bytes.len() as u64, reader.len());
            bytes.into()
        }
    };
    (u64::from_str_radix(&id, 16).unwrap(), bytes)
}

/// Ends every request that waits, and returns their numbers in order.
pub(crate) async fn drain(queue: &Queue) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(claim) = queue.claim(|_| true) {
        numbers.push(read(claim.load().await.unwrap()).await.0);
        claim.finish();
    }
    numbers
}

/// Waits for something that the spool's own threads do in their own time.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, waiting).await.unwrap();
}

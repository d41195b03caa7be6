//! Spools that earlier versions wrote.

use std::fs;
use std::path::{Path, PathBuf};

use spool::{Body, Config, Queue};

use crate::support::{append, body, drain, head, read};

/// The files in `tests/data/v1` were written by [`write_the_files`].
#[tokio::test]
async fn a_spool_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }

    let queue = Queue::open(Config::new(dir.path())).unwrap();

    let counts = queue.counts();
    assert_eq!((counts.requests, counts.refused, counts.damaged), (2, 1, 0));
    let claim = queue.claim(|_| true).unwrap();
    let request = claim.load().await.unwrap();
    assert_eq!(request.head, head(1, 1));
    assert_eq!(read(request).await, (1, body(1, 500)));
    claim.finish();
    let claim = queue.claim(|_| true).unwrap();
    assert_eq!(
        read(claim.load().await.unwrap()).await,
        (4, body(4, 70_000))
    );
    claim.finish();
    assert!(drain(&queue).await.is_empty());
}

#[tokio::test]
#[ignore = "writes the files that the test above reads; for a new version of the format, into a new directory"]
async fn write_the_files() {
    let queue = Queue::open(Config::new(data())).unwrap();
    append(&queue, 1, 1).await.release();
    append(&queue, 1, 2).await.refuse(403);
    append(&queue, 1, 3).await.finish();
    let mut writer = queue.body().await.unwrap();
    writer.push(body(4, 70_000)).await.unwrap();
    let claim = queue.append(head(2, 4), Body::File(writer)).await.unwrap();
    claim.release();
    queue.close().await;
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1")
}

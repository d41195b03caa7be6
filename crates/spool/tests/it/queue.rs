//! What goes in comes out: whole, in order, once.

use std::future::{Future, poll_fn};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use spool::{AppendError, Body, Config, Content, Durability, HeadError, LoadError, Queue};
use tokio::task::JoinSet;

use crate::support::{append, body, config, drain, head, open, read, until};

#[tokio::test]
async fn a_request_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let pieces = vec![Bytes::from_static(b"{}\n"), body(1, 3000)];

    let claim = queue
        .append(head(42, 1), Body::Memory(pieces))
        .await
        .unwrap();
    claim.release();

    let request = queue.claim(|_| true).unwrap().load().await.unwrap();
    assert_eq!(request.head, head(42, 1));
    let Content::Memory(bytes) = request.body else {
        panic!("a small body is in memory");
    };
    assert_eq!(bytes, [b"{}\n", &body(1, 3000)[..]].concat());
}

#[tokio::test]
async fn requests_leave_in_the_order_in_which_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for number in 0..50 {
        append(&queue, number % 3, number).await.release();
    }

    let held = queue.claim(|lane| lane.project == Some(1)).unwrap();
    assert_eq!(read(held.load().await.unwrap()).await.0, 1);
    held.release();

    assert_eq!(drain(&queue).await, (0..50).collect::<Vec<_>>());
    assert_eq!(queue.counts().requests, 0);
}

#[tokio::test]
async fn a_request_that_is_being_sent_goes_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());

    let live = append(&queue, 1, 1).await;
    assert!(queue.claim(|_| true).is_none());
    assert_eq!((queue.counts().requests, queue.counts().waiting), (1, 0));

    let waiting = queue.changed();
    live.release();
    waiting.await;
    let claim = queue.claim(|_| true).unwrap();
    assert!(queue.claim(|_| true).is_none());
    claim.finish();
    assert_eq!(queue.counts().requests, 0);
}

#[tokio::test]
async fn tells_how_long_the_oldest_waits() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    assert_eq!(queue.oldest_waits_for(), None);

    append(&queue, 1, 1).await.release();

    let age = queue.oldest_waits_for().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let held = queue.claim(|_| true).unwrap();
    assert_eq!(queue.oldest_waits_for(), None, "it does not wait");
    held.finish();
}

#[tokio::test]
async fn what_was_being_sent_waits_after_a_restart_and_what_ended_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let held = append(&queue, 1, 1).await;
    append(&queue, 1, 2).await.finish();
    append(&queue, 1, 3).await.refuse(413);
    append(&queue, 1, 4).await.release();
    queue.close().await;
    drop((held, queue));

    let queue = open(dir.path());

    let counts = queue.counts();
    assert_eq!((counts.requests, counts.refused, counts.damaged), (2, 1, 0));
    assert_eq!(drain(&queue).await, [1, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_syncs_and_all_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let mut appends = JoinSet::new();
    for number in 0..2000 {
        let queue = queue.clone();
        appends.spawn(async move { append(&queue, number % 7, number).await.release() });
    }
    appends.join_all().await;
    queue.close().await;

    let queue = open(dir.path());

    let mut numbers = drain(&queue).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_body_passes_through_a_file_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let whole = body(7, 3_333_333);
    let mut writer = queue.body().await.unwrap();
    for piece in whole.chunks(10_007) {
        writer.push(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(writer.len(), whole.len() as u64);

    let claim = queue.append(head(1, 7), Body::File(writer)).await.unwrap();
    assert_eq!(files(dir.path(), ".body"), 1);
    drop((claim, queue));

    let queue = open(dir.path());
    let claim = queue.claim(|_| true).unwrap();
    let request = claim.load().await.unwrap();
    assert!(matches!(request.body, Content::File(_)));
    assert_eq!(read(request).await, (7, whole));
    claim.finish();
    queue.close().await;
    assert_eq!(files(dir.path(), ".body"), 0);
}

#[tokio::test]
async fn a_long_body_in_memory_gets_a_file_and_one_of_a_mebibyte_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for (number, length, count) in [(1, 1 << 20, 0), (2, (1 << 20) + 1, 1)] {
        let body = Body::Memory(vec![body(number, length)]);
        queue.append(head(1, number), body).await.unwrap().release();
        assert_eq!(files(dir.path(), ".body"), count);
    }

    for number in [1, 2] {
        let claim = queue.claim(|_| true).unwrap();
        let (found, bytes) = read(claim.load().await.unwrap()).await;
        assert_eq!((found, &bytes), (number, &body(number, bytes.len())));
        claim.finish();
    }
}

#[tokio::test]
async fn a_body_that_is_not_needed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let mut writer = queue.body().await.unwrap();
    writer.push(body(1, 1 << 20)).await.unwrap();
    assert!(queue.counts().bytes > 1 << 20);

    drop(writer);
    queue.close().await;

    assert_eq!((files(dir.path(), ".body"), queue.counts().bytes), (0, 0));
}

#[tokio::test]
async fn a_body_that_was_damaged_meanwhile_is_found_out_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let body = Body::Memory(vec![body(1, 2 << 20)]);
    queue.append(head(1, 1), body).await.unwrap().release();
    let path = std::fs::read_dir(dir.path().join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "body")
        })
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1_500_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let claim = queue.claim(|_| true).unwrap();
    let error = claim.load().await.unwrap_err();

    assert!(matches!(error, LoadError::Damaged), "{error}");
    drop(claim);
    assert!(queue.claim(|_| true).is_none());
    let counts = queue.counts();
    assert_eq!((counts.damaged, counts.requests), (1, 0));
    queue.close().await;
    assert!(files(dir.path(), ".damaged") > 0);
}

#[tokio::test]
async fn a_full_spool_refuses_and_takes_again_once_it_drained() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(Config {
        max_size: 256 << 10,
        ..config(dir.path())
    })
    .unwrap();
    let refused = loop {
        let body = Body::Memory(vec![body(1, 20 << 10)]);
        match queue.append(head(1, 1), body).await {
            Ok(claim) => claim.release(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full), "{refused}");
    let counts = queue.counts();
    assert!(counts.bytes <= 256 << 10);
    assert_eq!(counts.refused_full, 1);
    assert!(
        queue
            .body()
            .await
            .unwrap()
            .push(body(1, 1 << 20))
            .await
            .is_err()
    );

    drain(&queue).await;

    until(|| queue.counts().bytes < 200 << 10).await;
    append(&queue, 1, 2).await.finish();
}

#[tokio::test]
async fn a_head_that_would_not_pass_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let mut head = head(1, 1);
    head.fields[1].1 = Bytes::from_static(b"a\r\nEvil: yes");

    let error = queue.append(head, Body::Memory(vec![])).await.unwrap_err();

    assert!(matches!(error, AppendError::Head(HeadError::Field(1))));
    assert_eq!(error.reason(), "head");
    assert_eq!(queue.counts().requests, 0);
}

#[tokio::test]
async fn an_append_that_nobody_awaits_is_kept_or_not_but_never_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for number in 0..20 {
        let append = queue.append(head(1, number), Body::Memory(vec![body(number, 9)]));
        let _ = tokio::time::timeout(Duration::ZERO, append).await;
    }
    append(&queue, 1, 100).await.release();

    let counts = queue.counts();

    assert_eq!(counts.requests, counts.waiting);
}

#[tokio::test]
async fn an_append_that_was_dropped_unseen_waits() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let mut appended = 0;
    // The writer may answer before the first look is over; then this one was seen, and the next is tried.
    let unseen = loop {
        appended += 1;
        let mut append =
            Box::pin(queue.append(head(1, appended), Body::Memory(vec![body(appended, 500)])));
        let look = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
        match look {
            Poll::Pending => break append,
            Poll::Ready(claim) => claim.unwrap().release(),
        }
    };

    // The writer has answered, or will find nobody there.
    until(|| queue.counts().appended == appended).await;
    drop(unseen);

    until(|| queue.counts().waiting == appended).await;
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_and_lets_the_directory_go() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    append(&queue, 1, 1).await.release();

    queue.close().await;
    queue.close().await;

    let refused = queue.append(head(1, 2), Body::Memory(vec![])).await;
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert_eq!(drain(&open(dir.path())).await, [1]);
}

#[tokio::test]
async fn a_claim_that_outlives_its_queue_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let claim = append(&first, 1, 1).await;
    first.close().await;
    let second = open(dir.path());

    claim.finish();

    second.close().await;
    assert_eq!(drain(&open(dir.path())).await, [1]);
}

#[tokio::test]
async fn a_spool_that_need_not_survive_power_loss_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        durability: Durability::ProcessEnd,
        ..config(dir.path())
    };
    let queue = Queue::open(config.clone()).unwrap();
    append(&queue, 1, 1).await.release();
    queue.close().await;

    assert_eq!(drain(&Queue::open(config).unwrap()).await, [1]);
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    append(&queue, 1, 1).await.release();
    let body = Body::Memory(vec![body(2, 2 << 20)]);
    queue.append(head(1, 2), body).await.unwrap().release();

    let spool = dir.path().join("spool");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&spool), 0o700);
    for entry in std::fs::read_dir(&spool).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn an_idle_spool_becomes_empty() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    append(&queue, 1, 1).await.finish();

    until(|| queue.counts().bytes == 0).await;

    assert_eq!(files(dir.path(), ".seg"), 0);
    append(&queue, 1, 2).await.release();
    assert_eq!(drain(&queue).await, [2]);
}

fn files(dir: &Path, ending: &str) -> usize {
    let entries = std::fs::read_dir(dir.join("spool")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(ending)).count()
}

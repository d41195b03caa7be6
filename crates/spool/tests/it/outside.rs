//! Looking into a spool's directory from outside.

use std::fs;
use std::path::Path;

use spool::{Body, Exported, OpenError, Which, drop_requests, export, inspect};

use crate::support::{append, body, drain, head, open};

#[tokio::test]
async fn stats_are_right_while_it_runs_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    fill(&queue).await;

    let running = inspect(&dir.path().join("spool")).unwrap();
    queue.close().await;
    let stopped = inspect(&dir.path().join("spool")).unwrap();

    for found in [running, stopped] {
        assert_eq!(found.requests, 4);
        assert_eq!(found.projects, [(Some(1), 2), (Some(2), 2)].into());
        assert_eq!(found.refused, [(403, 1)].into());
        assert_eq!(found.oldest, Some(head(1, 1).received_at));
        assert_eq!((found.damaged, found.damaged_files), (0, 0));
        assert!(found.bytes > 2 << 20);
    }
}

#[tokio::test]
async fn an_export_holds_every_request_as_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    fill(&queue).await;
    let to = dir.path().join("out");

    let exported = export(&dir.path().join("spool"), &to).unwrap();

    let expected = Exported {
        requests: 5,
        damaged: 0,
    };
    assert_eq!(exported, expected);
    let index = fs::read_to_string(to.join("index.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = index
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["state"], "waiting");
    assert_eq!(lines[0]["project"], 1);
    let refused: Vec<_> = lines.iter().filter(|line| line["status"] == 403).collect();
    assert_eq!(
        (refused.len(), &refused[0]["state"]),
        (1, &"refused".into())
    );
    let first = fs::read(to.join(lines[0]["file"].as_str().unwrap())).unwrap();
    let head = "POST /api/1/envelope/?sentry_version=7 HTTP/1.1\r\nHost: sentry.example.com\r\n\
        X-Forwarded-For: 10.0.0.1\r\nContent-Length: 500\r\n\r\n";
    assert_eq!(first, [head.as_bytes(), &body(1, 500)].concat());
    let large = lines
        .iter()
        .find(|line| line["body_bytes"] == 2 << 20)
        .unwrap();
    let large = fs::read(to.join(large["file"].as_str().unwrap())).unwrap();
    assert!(large.ends_with(&body(9, 2 << 20)));

    export(&dir.path().join("spool"), &to).unwrap_err();
}

#[tokio::test]
async fn drops_all_or_only_what_was_refused_once_nobody_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let queue = open(dir.path());
    fill(&queue).await;
    let in_use = drop_requests(&spool, Which::All).unwrap_err();
    assert!(matches!(in_use, OpenError::Locked { .. }), "{in_use}");
    queue.close().await;

    assert_eq!(drop_requests(&spool, Which::Refused).unwrap(), 1);
    let left = inspect(&spool).unwrap();
    assert_eq!((left.requests, left.refused.len()), (4, 0));

    assert_eq!(drop_requests(&spool, Which::All).unwrap(), 4);
    assert_eq!(inspect(&spool).unwrap().requests, 0);
    let queue = open(dir.path());
    assert!(drain(&queue).await.is_empty());
}

#[test]
fn says_that_there_is_no_spool() {
    let dir = tempfile::tempdir().unwrap();
    let missing = inspect(Path::new("/nowhere/spool")).unwrap_err();
    fs::write(dir.path().join("x"), b"").unwrap();
    let foreign = inspect(dir.path()).unwrap_err();

    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
}

/// Two requests of each of two projects, one of them with a file; and one that was refused; and one that is done.
async fn fill(queue: &spool::Queue) {
    append(queue, 1, 1).await.release();
    append(queue, 2, 2).await.release();
    append(queue, 1, 3).await.release();
    append(queue, 1, 4).await.refuse(403);
    append(queue, 1, 5).await.finish();
    let body = Body::Memory(vec![body(9, 2 << 20)]);
    queue.append(head(2, 9), body).await.unwrap().release();
}

//! What only a file can do: survive a restart, be damaged, be full, belong to somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::conformance::{PARCEL, ROUTE, at, claim, hash, key, see, see_on, tell, window, word};
use crate::{Claim, Scope, Word};

crate::conformance::conformance_tests!(fresh());

#[tokio::test]
async fn a_restart_repeats_nothing() {
    let (folder, path) = folder();
    let store = File::open(&path).unwrap();
    see(&store, b'a', 1, 0).await;
    see(&store, b'b', 2, 1).await;
    claim(&store, "a-1", b'a', None, 1).await;
    tell(&store, "oncall", "a-1", 1, 2).await;
    claim(&store, "b-1", b'b', None, 2).await;
    drop(store);

    let store = File::open(&path).unwrap();

    let duplicate = see(&store, b'a', 1, 3).await;
    assert!(duplicate.is_duplicate, "the SDK or the spool sent it again");
    let said = see(&store, b'a', 3, 3).await;
    assert_eq!(said.routes[0].said.unwrap().at, at(2));
    assert_eq!((said.events, said.first_seen), (2, at(0)));
    let waiting = store.pending("oncall", 9).await.unwrap().alone;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&*waiting[0].id, waiting[0].since, &waiting[0].payload[..]),
        ("b-1", at(2), &b"{}"[..])
    );
    assert_eq!(claim(&store, "b-2", b'b', None, 4).await, Claim::Taken);
    tell(&store, "oncall", "b-1", 1, 5).await;
    assert!(see(&store, b'b', 4, 6).await.routes[0].said.is_some());
    drop(folder);
}

#[tokio::test]
async fn a_restart_keeps_windows_users_hashes_and_releases() {
    let (_folder, path) = folder();
    let watch = [crate::Watch {
        events: window(9, 60),
        ..crate::conformance::WATCH
    }];
    let store = File::open(&path).unwrap();
    see_on(&store, b'a', 1, &watch, 0).await;
    see_on(&store, b'a', 2, &watch, 1).await;
    let hashes = [hash(b'x'), hash(b'a')];
    let sighting = Sighting {
        hashes: &hashes,
        user: Some("u1"),
        routes: &watch,
        release: Some("1.0"),
        ..crate::conformance::SIGHTING
    };
    store.observe(&sighting, at(2)).await.unwrap();
    drop(store);

    let store = File::open(&path).unwrap();

    let seen = store.observe(&sighting, at(3)).await.unwrap();
    assert_eq!((seen.issue, seen.events, seen.users), (key(b'a'), 4, 1));
    assert!(!seen.routes[0].is_new_release);
    let seen = see_on(&store, b'x', 3, &watch, 4).await;
    assert_eq!((seen.issue, seen.routes[0].in_events), (key(b'a'), 5));
    let newer = Sighting {
        release: Some("2.0"),
        ..sighting
    };
    let seen = store.observe(&newer, at(5)).await.unwrap();
    assert!(seen.routes[0].is_new_release);
}

#[tokio::test]
async fn a_restart_keeps_budgets_mutes_verdicts_values_and_gathered_messages() {
    let (_folder, path) = folder();
    let mute = Mute {
        id: "1".to_owned(),
        scope: Scope::Issue(key(b'a')),
        since: at(0),
        until: None,
        by: "cli".to_owned(),
        comment: "静默".to_owned(),
    };
    let report = Report {
        robot: "oncall".to_owned(),
        at: at(1),
        reason: Some("bad_token".to_owned()),
        detail: "300001".to_owned(),
        hint: String::new(),
        closed_until: None,
    };
    let store = File::open(&path).unwrap();
    store.mute(&mute).await.unwrap();
    store.report(&report).await.unwrap();
    store.keep("key", b"value").await.unwrap();
    assert_eq!(store.take("b", 1, at(0)).await.unwrap(), Take::Granted);
    store.close("c", at(600), at(0)).await.unwrap();
    see(&store, b'a', 1, 0).await;
    claim(&store, "a-1", b'a', None, 0).await;
    let ids = ["a-1".to_owned()];
    store.gather("oncall", &ids, at(300)).await.unwrap();
    drop(store);

    let store = File::open(&path).unwrap();

    assert_eq!(store.mutes(at(2)).await.unwrap(), [mute]);
    assert_eq!(store.reports().await.unwrap(), [report]);
    assert_eq!(store.keep("key", b"other").await.unwrap(), b"value");
    let after = |seconds| Take::After(Duration::from_secs(seconds));
    assert_eq!(store.take("b", 1, at(10)).await.unwrap(), after(50));
    assert_eq!(store.take("c", 1, at(10)).await.unwrap(), after(590));
    let pending = store.pending("oncall", 9).await.unwrap();
    assert_eq!((pending.alone_total, pending.gathered_total), (0, 1));
    assert_eq!(pending.gathered_until, Some(at(300)));
}

#[tokio::test]
async fn what_was_forgotten_stays_forgotten() {
    let (_folder, path) = folder();
    let store = File::open(&path).unwrap();
    see(&store, b'a', 1, 0).await;
    see(&store, b'b', 2, 10).await;
    store.expire(at(5), at(0), at(20)).await.unwrap();
    store.unmute("none").await.unwrap();
    drop(store);

    let store = File::open(&path).unwrap();

    let left = store.recent(9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].key, key(b'b'));
}

/// As after `kill -9`: the file is copied while it is open, and nothing is flushed for the copy.
#[tokio::test]
async fn a_process_that_is_killed_keeps_what_was_settled_muted_and_granted() {
    let (folder, path) = folder();
    let store = File::open(&path).unwrap();
    let copy = folder.path().join("copy.db");
    see(&store, b'a', 1, 0).await;
    claim(&store, "a-1", b'a', None, 0).await;
    store.take("oncall", 1, at(1)).await.unwrap();
    tell(&store, "oncall", "a-1", 1, 1).await;

    fs::copy(&path, &copy).unwrap();

    let store = File::open(&copy).unwrap();
    let seen = see(&store, b'a', 2, 3).await;
    assert_eq!(seen.routes[0].said.unwrap().at, at(1));
    assert_eq!(store.pending("oncall", 9).await.unwrap().alone_total, 0);
    let refused = store.take("oncall", 1, at(2)).await.unwrap();
    assert!(matches!(refused, Take::After(_)));
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_file_is_in_use() {
    let (_folder, path) = folder();
    let _first = File::open(&path).unwrap();

    let second = File::open(&path).unwrap_err();

    let cause = std::error::Error::source(&second).unwrap().to_string();
    assert!(
        cause.starts_with("another process has it open: "),
        "{cause}"
    );
    assert!(second.to_string().contains("state.db"), "{second}");
}

#[tokio::test]
async fn nobody_else_may_read_it_and_folders_are_made() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data/deep/state.db");

    let _store = File::open(&path).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("foreign", |bytes| *bytes = b"not a database".to_vec()),
        ("empty header", |bytes| bytes[..64].fill(0)),
        ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
        ("zeroed", |bytes| {
            let half = bytes.len() / 2;
            bytes[4_096..half].fill(0);
        }),
        ("bits", |bytes| {
            let length = bytes.len();
            bytes[4_096..length]
                .iter_mut()
                .step_by(97)
                .for_each(|byte| *byte ^= 0x10);
        }),
    ];
    for (what, damage) in damages {
        let (folder, path) = folder();
        let store = File::open(&path).unwrap();
        for event in 0..200 {
            see(&store, event, event, 0).await;
        }
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();

        let store = File::open(&path).unwrap_or_else(|error| panic!("{what}: {error:?}"));

        assert_eq!(see(&store, b'a', 1, 1).await.events, 1, "{what}");
        drop(store);
        assert!(folder.path().join("state.db.damaged").exists(), "{what}");
        assert_eq!(File::open(&path).unwrap().recent(9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_file_of_another_format_is_moved_aside() {
    let (folder, path) = folder();
    let store = File::open(&path).unwrap();
    see(&store, b'a', 1, 0).await;
    drop(store);
    disk::write_format(&path, 99);

    let store = File::open(&path).unwrap();

    assert_eq!(store.recent(9).await.unwrap(), []);
    assert!(folder.path().join("state.db.damaged").exists());
}

#[tokio::test]
async fn a_full_disk_is_told_and_survived_from_memory() {
    let (_folder, path) = folder();
    let store = File::open_bounded(&path, 2 << 20).unwrap();
    assert_eq!(store.trouble(), None);

    let payload = vec![b'x'; 1 << 20];
    let robots = ["oncall".to_owned()];
    for id in ["a", "b", "c"] {
        let parcel = Parcel {
            id,
            robots: &robots,
            payload: &payload,
            ..PARCEL
        };
        assert_eq!(store.claim(&parcel, at(0)).await.unwrap(), Claim::Won);
        store.unmute("none").await.unwrap();
    }

    let trouble = store.trouble().unwrap();
    assert!(trouble.what.contains("beyond 2097152 bytes"), "{trouble:?}");
    assert_eq!(store.pending("oncall", 9).await.unwrap().alone_total, 3);
    for id in ["a", "b", "c"] {
        tell(&store, "oncall", id, 0, 1).await;
    }
    see(&store, b'a', 1, 2).await;
    // The last write is the one at the end: there is room again.
    drop(store);
    let store = File::open_bounded(&path, 2 << 20).unwrap();
    assert_eq!(store.trouble(), None);
    assert_eq!(see(&store, b'a', 2, 3).await.events, 2);
    assert_eq!(store.pending("oncall", 9).await.unwrap().alone_total, 0);
}

#[tokio::test]
async fn the_file_stays_small_when_issues_come_and_go() {
    let (_folder, path) = folder();
    let store = File::open(&path).unwrap();
    for round in 0..4_u64 {
        for number in 0..5_000_u64 {
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(
                &(round * 100_000 + number)
                    .wrapping_mul(0x9e37_79b9)
                    .to_be_bytes(),
            );
            let hashes = [crate::IssueHash(hash)];
            let sighting = Sighting {
                hashes: &hashes,
                ..crate::conformance::SIGHTING
            };
            store.observe(&sighting, at(round)).await.unwrap();
        }
        store.unmute("none").await.unwrap();
        store
            .expire(at(round + 1), at(0), at(round + 1))
            .await
            .unwrap();
        store.unmute("none").await.unwrap();
    }
    drop(store);

    let store = File::open(&path).unwrap();

    assert_eq!(store.recent(9).await.unwrap(), []);
    drop(store);
    let length = fs::metadata(&path).unwrap().len();
    assert!(length < 16 << 20, "{length}");
}

#[tokio::test]
async fn a_void_word_after_a_restart_is_still_void() {
    let (_folder, path) = folder();
    let store = File::open(&path).unwrap();
    see(&store, b'a', 1, 0).await;
    let told = Word {
        is_burst_told: true,
        ..word(b'a', None)
    };
    let parcel = Parcel {
        id: "a-1",
        word: Some(told),
        ..PARCEL
    };
    store.claim(&parcel, at(5)).await.unwrap();
    drop(store);

    let store = File::open(&path).unwrap();

    assert_eq!(claim(&store, "a-2", b'a', None, 6).await, Claim::Taken);
    let said = store.issue(&key(b'a')).await.unwrap().unwrap().routes[0];
    assert_eq!(said.route, ROUTE);
    assert!(said.said.unwrap().is_burst_told);
}

async fn fresh() -> (File, TempDir) {
    let (folder, path) = folder();
    (File::open(&path).unwrap(), folder)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    (folder, path)
}

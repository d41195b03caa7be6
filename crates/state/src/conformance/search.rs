//! What a search finds, and how it goes on.

use super::*;

pub(crate) async fn a_search_goes_through_all_issues_page_by_page(store: &dyn Store) {
    for (event, hash) in (1..=9).zip(b'a'..) {
        // Three at a time are seen in one moment.
        see(store, hash, event, u64::from(event) / 3).await;
    }
    let all = store.recent(99).await.unwrap();
    let search = Search::default();

    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.search(&search, after, 4).await.unwrap();
        assert_eq!(page.known, 9);
        found.extend(page.issues);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    assert_eq!((found, pages), (all, 3));
    let last = Cursor::after(key(b'a'), at(0));
    let nothing = store.search(&search, Some(last), 4).await.unwrap();
    assert_eq!(nothing.issues, []);
}

pub(crate) async fn a_search_finds_what_matches(store: &dyn Store) {
    let events = [
        (
            b'a',
            1,
            "TypeError: x is [not] a function",
            Some("production"),
        ),
        (b'b', 2, "ValueError: 长度", Some("production")),
        (b'c', 1, "TypeError: y.%a*", None),
    ];
    // The last one is seen first.
    for (hash, project, title, environment) in events.into_iter().rev() {
        let hashes = [self::hash(hash)];
        let sighting = Sighting {
            project,
            hashes: &hashes,
            environment,
            title,
            ..SIGHTING
        };
        let now = at(u64::from(b'z' - hash));
        store.observe(&sighting, now).await.unwrap();
    }
    let none = Search::default();
    let project = |number| Search {
        project: Some(number),
        ..none.clone()
    };
    let text = |text: &str| Search {
        text: text.to_owned(),
        ..none.clone()
    };
    let environment = |name: &str| Search {
        environment: Some(name.to_owned()),
        ..none.clone()
    };
    let all_at_once = Search {
        project: Some(1),
        environment: Some("production".to_owned()),
        text: "x IS".to_owned(),
    };

    let cases = [
        (none.clone(), "abc"),
        (project(1), "ac"),
        (project(11), ""),
        (environment("production"), "ab"),
        (environment("prod"), ""),
        (environment(""), "c"),
        (text("typeERROR"), "ac"),
        (text("长"), "b"),
        (text("[not]"), "a"),
        (text("%a*"), "c"),
        (text("."), "c"),
        (all_at_once, "a"),
    ];

    for (search, expected) in cases {
        let found = store.search(&search, None, 9).await.unwrap();
        let names = found
            .issues
            .iter()
            .map(|issue| char::from(issue.key.hash.0[0]));
        assert_eq!(names.collect::<String>(), expected, "{search:?}");
        assert_eq!((found.next, found.known), (None, 3), "{search:?}");
    }
    let issues = store.search(&text("长"), None, 9).await.unwrap().issues;
    assert_eq!(issues[0].environment, "production");
    let alone = store.issue(&issues[0].key).await.unwrap();
    assert_eq!(alone.as_ref(), Some(&issues[0]));
}

pub(crate) async fn a_search_looks_at_so_many_at_a_time(store: &dyn Store) {
    let all = Found::LOOKED_AT as u64 + 200;
    for number in 0..all {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let sighting = Sighting {
            hashes: &[IssueHash(hash)],
            title: &format!("number {number} of many"),
            ..SIGHTING
        };
        store.observe(&sighting, at(number)).await.unwrap();
    }
    let text = "number 7 of".to_owned();
    let oldest = Search {
        text,
        ..Search::default()
    };

    let first = store.search(&oldest, None, 9).await.unwrap();
    let second = store.search(&oldest, first.next, 9).await.unwrap();
    let many = store.search(&Search::default(), None, 300).await.unwrap();

    assert_eq!((first.issues.len(), first.known as u64), (0, all));
    assert!(first.next.is_some(), "there is more to look at");
    assert_eq!((second.issues.len(), second.next), (1, None));
    assert_eq!(second.issues[0].title, "number 7 of many");
    let seen: Vec<SystemTime> = many.issues.iter().map(|issue| issue.last_seen).collect();
    let expected: Vec<SystemTime> = (all - 300..all).rev().map(at).collect();
    assert_eq!(seen, expected);
}

pub(crate) async fn a_search_goes_on_where_an_issue_was_seen_again(store: &dyn Store) {
    for (event, hash) in (1..=5).zip(b'a'..) {
        see(store, hash, event, u64::from(event)).await;
    }
    let search = Search::default();
    let page = store.search(&search, None, 2).await.unwrap();

    see(store, b'd', 9, 9).await;
    let rest = store.search(&search, page.next, 9).await.unwrap();

    let keys: Vec<IssueKey> = rest.issues.iter().map(|issue| issue.key).collect();
    assert_eq!(keys, [key(b'c'), key(b'b'), key(b'a')]);
}

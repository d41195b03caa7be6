//! What is counted of events, and for how long.

use super::*;

pub(crate) async fn counts_an_event_id_once(store: &dyn Store) {
    let first = see(store, b'a', 1, 0).await;
    let again = see(store, b'a', 1, 1).await;
    let other = see(store, b'a', 2, 2).await;

    assert!(!first.is_duplicate && again.is_duplicate && !other.is_duplicate);
    assert_eq!((first.events, again.events, other.events), (1, 1, 2));
    assert_eq!((other.first_seen, other.last_seen), (at(0), at(2)));
    assert_eq!(again.routes[0].events_since_said, 1);
}

pub(crate) async fn events_without_an_id_all_count(store: &dyn Store) {
    let hashes = [hash(b'a')];
    let sighting = Sighting {
        hashes: &hashes,
        ..SIGHTING
    };

    store.observe(&sighting, at(0)).await.unwrap();
    let seen = store.observe(&sighting, at(0)).await.unwrap();

    assert_eq!((seen.events, seen.is_duplicate), (2, false));
}

pub(crate) async fn any_known_hash_names_the_issue(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    see_both(store, [b'b', b'a'], 2).await;
    let seen = see(store, b'b', 3, 0).await;

    assert_eq!((seen.issue, seen.events), (key(b'a'), 3));
}

pub(crate) async fn two_known_issues_stay_two(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    see(store, b'b', 2, 0).await;
    let both = see_both(store, [b'b', b'a'], 3).await;
    let first = see(store, b'a', 4, 0).await;
    let second = see(store, b'b', 5, 0).await;

    assert_eq!(both.issue, key(b'b'));
    assert_eq!((first.issue, first.events), (key(b'a'), 2));
    assert_eq!((second.issue, second.events), (key(b'b'), 3));
}

pub(crate) async fn projects_are_apart(store: &dyn Store) {
    let hashes = [hash(b'a')];
    let elsewhere = Sighting {
        project: 2,
        hashes: &hashes,
        ..SIGHTING
    };

    see(store, b'a', 1, 0).await;
    let seen = store.observe(&elsewhere, at(0)).await.unwrap();

    assert_eq!((seen.issue.project, seen.events), (2, 1));
}

pub(crate) async fn counts_distinct_users(store: &dyn Store) {
    let mut seen = None;
    for (event, user) in [(1, "u1"), (2, "u2"), (3, "u1")] {
        seen = Some(see_user(store, user, event, &[WATCH], 0).await);
    }

    let seen = seen.unwrap();
    assert_eq!((seen.users, seen.are_users_exact), (2, true));
    assert_eq!(store.recent(9).await.unwrap()[0].users, 2);
}

pub(crate) async fn keeps_what_lists_show(store: &dyn Store) {
    let hashes = [hash(b'a')];
    let long = "é".repeat(150);
    for (event, title, level) in [(1, "first", 4), (2, long.as_str(), 5)] {
        let sighting = Sighting {
            hashes: &hashes,
            event_id: Some([event; 16]),
            title,
            level,
            ..SIGHTING
        };
        store
            .observe(&sighting, at(u64::from(event)))
            .await
            .unwrap();
    }

    let issue = store.issue(&key(b'a')).await.unwrap().unwrap();

    assert_eq!(issue.title, "é".repeat(100));
    assert_eq!((issue.level, issue.last_event), (5, Some([2; 16])));
    assert_eq!((issue.first_seen, issue.last_seen), (at(1), at(2)));
    assert_eq!(issue.routes.len(), 1);
    assert_eq!(store.issue(&key(b'z')).await.unwrap(), None);
}

pub(crate) async fn each_route_counts_for_itself(store: &dyn Store) {
    let other = Watch {
        route: OTHER_ROUTE,
        ..WATCH
    };
    see(store, b'a', 1, 0).await;
    see_on(store, b'a', 2, &[other], 1).await;
    let on_other = see_on(store, b'a', 3, &[other], 2).await;
    claim(store, "a-1", b'a', None, 2).await;
    tell(store, "oncall", "a-1", 1, 3).await;

    let on_first = see(store, b'a', 4, 4).await;
    let on_other_again = see_on(store, b'a', 5, &[other], 5).await;

    assert_eq!(
        (on_other.events, on_other.routes[0].events_since_said),
        (3, 2)
    );
    assert_eq!(on_first.routes[0].said.unwrap().at, at(3));
    assert_eq!(on_first.routes[0].events_since_said, 1);
    assert_eq!(on_other_again.routes[0].said, None);
    assert_eq!(on_other_again.routes[0].events_since_said, 3);
}

pub(crate) async fn an_event_counts_on_every_route_it_takes(store: &dyn Store) {
    let both = [
        WATCH,
        Watch {
            route: OTHER_ROUTE,
            ..WATCH
        },
    ];

    see_on(store, b'a', 1, &both, 0).await;
    let seen = see_on(store, b'a', 2, &both, 0).await;

    assert_eq!(seen.events, 2);
    let routes: Vec<(RouteKey, u64)> = seen
        .routes
        .iter()
        .map(|route| (route.route, route.events_since_said))
        .collect();
    assert_eq!(routes, [(ROUTE, 2), (OTHER_ROUTE, 2)]);
}

pub(crate) async fn a_threshold_counts_a_sliding_window(store: &dyn Store) {
    let watch = [Watch {
        events: window(3, 60),
        ..WATCH
    }];
    let times = [0, 30, 60, 61, 89, 90, 200];

    let mut counts = Vec::new();
    for (event, now) in (1..).zip(times) {
        let seen = see_on(store, b'a', event, &watch, now).await;
        counts.push(seen.routes[0].in_events);
    }

    // An event exactly 60 s old is outside of `60 s`.
    assert_eq!(counts, [1, 2, 2, 3, 3, 3, 1]);
}

pub(crate) async fn a_threshold_counts_distinct_users(store: &dyn Store) {
    let watch = [Watch {
        users: window(3, 60),
        ..WATCH
    }];
    let visits = [
        (0, "a"),
        (10, "b"),
        (20, "a"),
        (65, "c"),
        (70, "b"),
        (79, "d"),
        (200, "a"),
    ];

    let mut counts = Vec::new();
    for (event, (now, user)) in (1..).zip(visits) {
        let seen = see_user(store, user, event, &watch, now).await;
        counts.push(seen.routes[0].in_users);
    }

    assert_eq!(counts, [1, 2, 2, 3, 3, 3, 1]);
}

pub(crate) async fn a_burst_counts_a_sliding_window(store: &dyn Store) {
    let watch = [Watch {
        burst: window(4, 10),
        ..WATCH
    }];

    let mut counts = Vec::new();
    for (event, now) in (1..).zip([0, 4, 8, 9, 12, 13, 50]) {
        let seen = see_on(store, b'a', event, &watch, now).await;
        counts.push(seen.routes[0].in_burst);
    }

    assert_eq!(counts, [1, 2, 3, 4, 4, 4, 1]);
}

pub(crate) async fn a_window_counts_no_further_than_asked(store: &dyn Store) {
    let watch = [Watch {
        events: window(2, 60),
        users: window(2, 60),
        burst: window(5, 60),
        ..WATCH
    }];

    let mut last = None;
    for (event, user) in (1..).zip(["a", "b", "c", "d", "e", "f", "g"]) {
        last = Some(see_user(store, user, event, &watch, 0).await);
    }

    let route = last.unwrap().routes[0];
    assert_eq!((route.in_events, route.in_users, route.in_burst), (2, 2, 5));
}

pub(crate) async fn a_clock_set_back_loses_no_count(store: &dyn Store) {
    let watch = [Watch {
        events: window(3, 60),
        ..WATCH
    }];

    see_on(store, b'a', 1, &watch, 5_000).await;
    see_on(store, b'a', 2, &watch, 5_000).await;
    let back = see_on(store, b'a', 3, &watch, 10).await;
    let later = see_on(store, b'a', 4, &watch, 80).await;

    assert_eq!((back.events, back.routes[0].in_events), (3, 3));
    assert_eq!(later.routes[0].in_events, 1);
}

pub(crate) async fn tells_a_release_that_is_new_on_the_route(store: &dyn Store) {
    let other = Watch {
        route: OTHER_ROUTE,
        ..WATCH
    };
    let events = [
        (None, WATCH),
        (Some("1.0"), WATCH),
        (Some("1.0"), WATCH),
        (Some("2.0"), WATCH),
        (Some("1.0"), WATCH),
        (Some("2.0"), WATCH),
        (Some("2.0"), other),
        (Some("3.0"), other),
    ];

    let mut new = Vec::new();
    for (event, (release, watch)) in (1..).zip(events) {
        let hashes = [hash(b'a')];
        let sighting = Sighting {
            hashes: &hashes,
            event_id: Some([event; 16]),
            release,
            routes: &[watch],
            ..SIGHTING
        };
        let seen = store.observe(&sighting, at(0)).await.unwrap();
        new.push(seen.routes[0].is_new_release);
    }

    let expected = [false, false, false, true, false, false, false, true];
    assert_eq!(new, expected);
}

pub(crate) async fn tells_the_event_before(store: &dyn Store) {
    let first = see(store, b'a', 1, 0).await;
    let second = see(store, b'a', 2, 30).await;

    assert_eq!(first.routes[0].previous, None);
    assert_eq!(second.routes[0].previous, Some(at(0)));
}

pub(crate) async fn lists_issues_last_seen_first(store: &dyn Store) {
    for (event, (hash, now)) in (1..).zip([(b'a', 0), (b'b', 1), (b'c', 2), (b'a', 3)]) {
        see(store, hash, event, now).await;
    }

    let all = store.recent(9).await.unwrap();
    let first = store.recent(2).await.unwrap();

    let keys: Vec<IssueKey> = all.iter().map(|issue| issue.key).collect();
    assert_eq!(keys, [key(b'a'), key(b'c'), key(b'b')]);
    assert_eq!(first[..], all[..2]);
}

pub(crate) async fn finds_what_is_quiet(store: &dyn Store) {
    for (event, (hash, now)) in (1..).zip([(b'a', 0), (b'b', 5), (b'c', 1), (b'd', 99)]) {
        see(store, hash, event, now).await;
    }
    // `c` was never spoken of; a word about `b` is on its way; `d` is not quiet.
    for (id, hash) in [("a-1", b'a'), ("b-1", b'b'), ("d-1", b'd')] {
        claim(store, id, hash, None, 100).await;
        tell(store, "oncall", id, 1, 100).await;
    }
    claim(store, "b-2", b'b', Some(100), 101).await;

    let quiet = store.quiet(ROUTE, at(50), 9).await.unwrap();

    assert_eq!(quiet.len(), 1);
    assert_eq!(quiet[0].issue.key, key(b'a'));
    assert_eq!((quiet[0].said.at, quiet[0].last_seen), (at(100), at(0)));
    assert_eq!(store.quiet(OTHER_ROUTE, at(50), 9).await.unwrap(), []);
    tell(store, "oncall", "b-2", 0, 102).await;
    let stopped = Word {
        is_stopped: true,
        ..word(b'a', Some(100))
    };
    let parcel = Parcel {
        id: "a-2",
        word: Some(stopped),
        ..PARCEL
    };
    store.claim(&parcel, at(103)).await.unwrap();
    let quiet = store.quiet(ROUTE, at(50), 9).await.unwrap();
    assert_eq!(quiet.len(), 1, "what has stopped is not quiet again");
    assert_eq!(quiet[0].issue.key, key(b'b'));
}

pub(crate) async fn forgets_issues_not_seen_for_long(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    see(store, b'b', 2, 10).await;

    let gone = store.expire(at(5), at(0), at(20)).await.unwrap();

    assert_eq!((gone.issues, gone.evicted), (1, 0));
    let left = store.recent(9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(see(store, b'a', 3, 20).await.events, 1);
}

pub(crate) async fn an_issue_with_a_word_on_its_way_is_not_forgotten(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;

    let gone = store.expire(at(5), at(0), at(20)).await.unwrap();

    assert_eq!(gone.issues, 0);
    assert_eq!(see(store, b'a', 2, 20).await.events, 2);
}

async fn see_both(store: &dyn Store, hashes: [u8; 2], event: u8) -> Seen {
    let hashes = hashes.map(hash);
    let sighting = Sighting {
        hashes: &hashes,
        event_id: Some([event; 16]),
        ..SIGHTING
    };
    store.observe(&sighting, at(0)).await.unwrap()
}

async fn see_user(store: &dyn Store, user: &str, event: u8, watches: &[Watch], now: u64) -> Seen {
    let hashes = [hash(b'a')];
    let sighting = Sighting {
        hashes: &hashes,
        event_id: Some([event; 16]),
        user: Some(user),
        routes: watches,
        ..SIGHTING
    };
    store.observe(&sighting, at(now)).await.unwrap()
}

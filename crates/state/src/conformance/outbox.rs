//! How a word is claimed, waits, is gathered and is settled.

use super::*;
use crate::outbox::PARCELS;

pub(crate) async fn one_caller_claims_a_word(store: &dyn Store) {
    see(store, b'a', 1, 0).await;

    let first = claim(store, "a-1", b'a', None, 0).await;
    let second = claim(store, "a-2", b'a', None, 0).await;
    let other = claim(store, "b-1", b'b', None, 0).await;

    assert_eq!(
        (first, second, other),
        (Claim::Won, Claim::Taken, Claim::Won)
    );
    assert!(see(store, b'a', 2, 1).await.routes[0].is_claimed);
    tell(store, "oncall", "a-1", 2, 2).await;
    assert!(!see(store, b'a', 3, 3).await.routes[0].is_claimed);
    assert_eq!(claim(store, "a-3", b'a', Some(2), 4).await, Claim::Won);
}

pub(crate) async fn a_word_decided_before_the_last_one_is_void(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;
    tell(store, "oncall", "a-1", 1, 1).await;

    let stale = claim(store, "a-2", b'a', None, 2).await;
    let fresh = claim(store, "a-3", b'a', Some(1), 2).await;

    assert_eq!((stale, fresh), (Claim::Taken, Claim::Won));
}

pub(crate) async fn a_word_for_no_robot_is_said_at_once(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    let parcel = Parcel {
        id: "a-1",
        word: Some(Word {
            is_burst_told: true,
            ..word(b'a', None)
        }),
        ..PARCEL
    };

    let claimed = store.claim(&parcel, at(5)).await.unwrap();

    assert_eq!(claimed, Claim::Won);
    let route = see(store, b'a', 2, 6).await.routes[0];
    let said = route.said.unwrap();
    assert_eq!((said.at, said.silence), (at(5), Duration::from_secs(3_600)));
    assert!(said.is_burst_told && !said.is_stopped && !route.is_claimed);
    assert_eq!(route.events_since_said, 1);
}

pub(crate) async fn settling_starts_a_new_count(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;

    tell(store, "oncall", "a-1", 1, 5).await;

    let seen = see(store, b'a', 2, 6).await;
    let route = seen.routes[0];
    assert_eq!(route.said.unwrap().at, at(5));
    assert_eq!((seen.events, route.events_since_said), (2, 1));
    assert_eq!(store.pending("oncall", 9).await.unwrap().alone_total, 0);
}

pub(crate) async fn events_after_the_telling_are_not_lost(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;
    see(store, b'a', 2, 1).await;
    let told = store.pending("oncall", 9).await.unwrap().alone[0].tally;
    see(store, b'a', 3, 2).await;

    tell(store, "oncall", "a-1", told.unwrap().events_since_said, 3).await;

    let route = see(store, b'a', 4, 4).await.routes[0];
    assert_eq!(told.unwrap().events_since_said, 2);
    assert_eq!(route.events_since_said, 2);
}

pub(crate) async fn several_robots_tell_one_word(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim_for_two(store).await;

    tell(store, "one", "a-1", 1, 5).await;
    let between = see(store, b'a', 2, 6).await.routes[0];
    tell(store, "two", "a-1", 2, 7).await;
    let after = see(store, b'a', 3, 8).await.routes[0];

    assert!(between.is_claimed && !after.is_claimed);
    assert_eq!(between.said.unwrap().at, at(5));
    assert_eq!(after.said.unwrap().at, at(5), "said when the first said it");
    assert_eq!(after.events_since_said, 2);
}

pub(crate) async fn a_word_given_up_rests(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;

    give_up(store, "oncall", "a-1", 60, 5).await;

    let resting = see(store, b'a', 2, 64).await.routes[0];
    assert!(resting.is_claimed && resting.said.is_none());
    assert_eq!(claim(store, "a-2", b'a', None, 64).await, Claim::Taken);
    let rested = see(store, b'a', 3, 65).await.routes[0];
    assert!(!rested.is_claimed);
    assert_eq!(rested.events_since_said, 3);
    assert_eq!(claim(store, "a-2", b'a', None, 65).await, Claim::Won);
}

pub(crate) async fn one_robots_failure_does_not_undo_the_others_word(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim_for_two(store).await;

    tell(store, "one", "a-1", 1, 5).await;
    give_up(store, "two", "a-1", 60, 6).await;

    let route = see(store, b'a', 2, 7).await.routes[0];
    assert_eq!(route.said.unwrap().at, at(5));
    assert!(!route.is_claimed);
}

pub(crate) async fn a_message_without_a_word_waits_too(store: &dyn Store) {
    let robots = ["oncall".to_owned()];
    let parcel = Parcel {
        id: "outage-1",
        robots: &robots,
        payload: b"down",
        ..PARCEL
    };

    let first = store.claim(&parcel, at(0)).await.unwrap();
    let again = store.claim(&parcel, at(1)).await.unwrap();

    assert_eq!((first, again), (Claim::Won, Claim::Taken));
    let waiting = store.pending("oncall", 9).await.unwrap().alone;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0].payload[..], waiting[0].tally),
        (&b"down"[..], None)
    );
    tell(store, "oncall", "outage-1", 0, 2).await;
    assert_eq!(store.pending("oncall", 9).await.unwrap().alone_total, 0);
}

pub(crate) async fn settling_twice_is_settling_once(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    see(store, b'a', 2, 0).await;
    claim(store, "a-1", b'a', None, 0).await;

    tell(store, "oncall", "a-1", 1, 5).await;
    tell(store, "oncall", "a-1", 1, 6).await;
    tell(store, "oncall", "never-put", 1, 6).await;
    tell(store, "nobody", "a-1", 1, 6).await;

    let route = see(store, b'a', 3, 7).await.routes[0];
    assert_eq!(route.said.unwrap().at, at(5));
    assert_eq!(route.events_since_said, 2);
}

pub(crate) async fn waits_in_order_of_priority_then_age(store: &dyn Store) {
    for (id, priority, now) in [("c", 5, 0), ("b", 1, 2), ("a", 1, 1), ("d", 5, 1)] {
        put(store, id, priority, None, now).await;
    }

    let pending = store.pending("oncall", 3).await.unwrap();

    let ids: Vec<&str> = pending.alone.iter().map(|waiting| &*waiting.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!((pending.alone_total, pending.gathered_total), (4, 0));
    let first = &pending.alone[0];
    assert_eq!((first.priority, first.since), (1, at(1)));
    assert_eq!(first.late_after, Duration::from_secs(300));
}

pub(crate) async fn counts_are_fresh_when_read(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;
    see(store, b'a', 2, 9).await;

    let pending = store.pending("oncall", 9).await.unwrap();

    let tally = pending.alone[0].tally.unwrap();
    assert_eq!((tally.events, tally.events_since_said), (2, 2));
    assert_eq!((tally.first_seen, tally.last_seen), (at(0), at(9)));
    assert_eq!((tally.users, tally.are_users_exact), (0, true));
}

pub(crate) async fn gathers_for_a_digest(store: &dyn Store) {
    for id in ["a", "b", "c"] {
        put(store, id, 5, None, 0).await;
    }

    let ids = ["a".to_owned(), "b".to_owned(), "unknown".to_owned()];
    store.gather("oncall", &ids, at(300)).await.unwrap();
    let again = ["a".to_owned()];
    store.gather("oncall", &again, at(900)).await.unwrap();

    let pending = store.pending("oncall", 9).await.unwrap();
    assert_eq!((pending.alone_total, pending.gathered_total), (1, 2));
    assert_eq!(pending.gathered_until, Some(at(300)));
    let early = store.gathered("oncall", 9, at(299)).await.unwrap();
    assert_eq!(early.named, []);
    let due = store.gathered("oncall", 9, at(300)).await.unwrap();
    assert_eq!(due.named.len(), 2);
    tell(store, "oncall", "a", 0, 301).await;
    tell(store, "oncall", "b", 0, 301).await;
    let pending = store.pending("oncall", 9).await.unwrap();
    assert_eq!((pending.gathered_total, pending.gathered_until), (0, None));
}

pub(crate) async fn gathers_from_the_start_where_asked(store: &dyn Store) {
    put(store, "night", 5, Some(28_800), 0).await;
    put(store, "burst", 5, Some(300), 0).await;

    let pending = store.pending("oncall", 9).await.unwrap();
    let due = store.gathered("oncall", 9, at(300)).await.unwrap();

    assert_eq!((pending.alone_total, pending.gathered_total), (0, 2));
    assert_eq!(pending.gathered_until, Some(at(300)));
    assert_eq!(due.named.len(), 1);
    assert_eq!(due.named[0].id, "burst");
}

pub(crate) async fn a_digest_names_the_first_and_counts_the_others(store: &dyn Store) {
    for (hash, id) in [(b'a', "a-1"), (b'b', "b-1"), (b'c', "c-1")] {
        see(store, hash, hash, 0).await;
        see(store, hash, hash + 100, 0).await;
        claim(store, id, hash, None, 0).await;
    }
    let ids = ["c-1", "b-1", "a-1"].map(str::to_owned);
    store.gather("oncall", &ids, at(1)).await.unwrap();

    let due = store.gathered("oncall", 1, at(1)).await.unwrap();

    assert_eq!(due.named[0].id, "a-1");
    assert_eq!(due.named[0].payload, b"{}");
    assert_eq!(due.named[0].tally.unwrap().events_since_said, 2);
    let others: Vec<(&str, u64)> = due
        .others
        .iter()
        .map(|other| (&*other.id, other.events))
        .collect();
    assert_eq!(others, [("b-1", 2), ("c-1", 2)]);
}

pub(crate) async fn one_holder_leads_a_robot(store: &dyn Store) {
    let lead = async |holder: &str, now| {
        let lease = Duration::from_secs(30);
        store.lead("oncall", holder, lease, at(now)).await.unwrap()
    };

    assert!(lead("one", 0).await);
    assert!(!lead("two", 29).await);
    assert!(lead("one", 29).await, "the holder renews");
    assert!(!lead("two", 58).await);
    assert!(lead("two", 59).await, "a dead holder is followed");
    assert!(!lead("one", 60).await);
    store.resign("oncall", "one").await.unwrap();
    assert!(!lead("one", 60).await, "only the holder can resign");
    store.resign("oncall", "two").await.unwrap();
    assert!(lead("one", 61).await);
}

pub(crate) async fn a_full_queue_counts_what_it_misses(store: &dyn Store) {
    for number in 0..PARCELS {
        put(store, &number.to_string(), 5, None, 0).await;
    }
    see(store, b'a', 1, 0).await;

    let full = claim(store, "a-1", b'a', None, 0).await;
    let robots = ["oncall".to_owned(), "other".to_owned()];
    let parcel = Parcel {
        id: "b-1",
        robots: &robots,
        word: Some(word(b'b', None)),
        ..PARCEL
    };
    let elsewhere = store.claim(&parcel, at(0)).await.unwrap();

    assert_eq!((full, elsewhere), (Claim::Full, Claim::Won));
    assert!(!see(store, b'a', 2, 0).await.routes[0].is_claimed);
    assert_eq!(store.pending("oncall", 1).await.unwrap().missed, 2);
    store.settle("oncall", &[], 1, at(1)).await.unwrap();
    assert_eq!(store.pending("oncall", 1).await.unwrap().missed, 1);
    tell(store, "oncall", "0", 0, 1).await;
    assert_eq!(claim(store, "a-1", b'a', None, 1).await, Claim::Won);
}

pub(crate) async fn parcels_that_waited_too_long_go(store: &dyn Store) {
    see(store, b'a', 1, 0).await;
    claim(store, "a-1", b'a', None, 0).await;
    put(store, "night", 5, Some(80_000), 0).await;
    put(store, "young", 5, None, 50_000).await;

    let gone = store.expire(at(0), at(50_000), at(90_000)).await.unwrap();

    assert_eq!(gone.parcels, 1);
    let pending = store.pending("oncall", 9).await.unwrap();
    assert_eq!((pending.alone_total, pending.gathered_total), (1, 1));
    assert!(!see(store, b'a', 2, 90_000).await.routes[0].is_claimed);
}

pub(crate) async fn tells_that_something_was_put(store: &dyn Store) {
    let hour = Duration::from_secs(3_600);
    let putting = async {
        tokio::task::yield_now().await;
        put(store, "a", 5, None, 0).await;
    };

    let told = async { tokio::join!(store.changed(hour), putting) };

    let in_time = tokio::time::timeout(Duration::from_secs(10), told).await;
    assert!(in_time.is_ok());
}

async fn put(store: &dyn Store, id: &str, priority: u8, gather_until: Option<u64>, now: u64) {
    let robots = ["oncall".to_owned()];
    let parcel = Parcel {
        id,
        priority,
        robots: &robots,
        gather_until: gather_until.map(at),
        ..PARCEL
    };
    assert_eq!(store.claim(&parcel, at(now)).await.unwrap(), Claim::Won);
}

async fn claim_for_two(store: &dyn Store) {
    let robots = ["one".to_owned(), "two".to_owned()];
    let parcel = Parcel {
        id: "a-1",
        robots: &robots,
        word: Some(word(b'a', None)),
        ..PARCEL
    };
    assert_eq!(store.claim(&parcel, at(0)).await.unwrap(), Claim::Won);
}

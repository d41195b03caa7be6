//! Budgets, verdicts, mutes and kept values.

use super::*;
use crate::{Mute, Report, Scope, Take, mute};

pub(crate) async fn never_grants_more_than_the_budget_in_any_minute(store: &dyn Store) {
    let mut granted = Vec::new();
    for second in 0..300 {
        if store.take("b", 3, at(second)).await.unwrap() == Take::Granted {
            granted.push(second);
        }
    }

    assert_eq!(granted.len(), 15);
    assert!(granted.windows(4).all(|four| four[3] - four[0] >= 60));
}

pub(crate) async fn says_when_the_budget_opens_again(store: &dyn Store) {
    store.take("b", 2, at(0)).await.unwrap();
    store.take("b", 2, at(10)).await.unwrap();

    let refused = store.take("b", 2, at(45)).await.unwrap();
    let other = store.take("c", 2, at(45)).await.unwrap();

    assert_eq!(refused, Take::After(Duration::from_secs(15)));
    assert_eq!(other, Take::Granted);
}

pub(crate) async fn callers_with_different_budgets_share_a_bucket(store: &dyn Store) {
    for second in 0..4 {
        assert_eq!(store.take("b", 4, at(second)).await.unwrap(), Take::Granted);
    }

    let small = store.take("b", 2, at(10)).await.unwrap();
    let large = store.take("b", 5, at(10)).await.unwrap();

    // Two of the four must be a minute old before a third in that minute may go.
    assert_eq!(small, Take::After(Duration::from_secs(52)));
    assert_eq!(large, Take::Granted);
}

pub(crate) async fn tells_what_is_spent_of_a_bucket(store: &dyn Store) {
    for second in [0, 30, 59] {
        store.take("bucket", 9, at(second)).await.unwrap();
    }

    for (second, expected) in [(59, 3), (60, 2), (90, 1), (119, 0)] {
        let spent = store.spent("bucket", at(second)).await.unwrap();
        assert_eq!(spent, expected, "at {second}");
    }
    assert_eq!(store.spent("other", at(0)).await.unwrap(), 0);
}

pub(crate) async fn a_closed_bucket_grants_nothing(store: &dyn Store) {
    store.close("b", at(600), at(0)).await.unwrap();
    store.close("b", at(60), at(0)).await.unwrap();

    let closed = store.take("b", 5, at(599)).await.unwrap();
    assert_eq!(closed, Take::After(Duration::from_secs(1)));
    assert_eq!(store.take("b", 5, at(600)).await.unwrap(), Take::Granted);
    store.close("b", at(900), at(601)).await.unwrap();
    store.close("b", at(602), at(602)).await.unwrap();
    assert_eq!(store.take("b", 5, at(602)).await.unwrap(), Take::Granted);
}

pub(crate) async fn keeps_the_last_verdict_of_each(store: &dyn Store) {
    let delivered = |robot: &str, now| Report {
        robot: robot.to_owned(),
        at: at(now),
        reason: None,
        detail: String::new(),
        hint: String::new(),
        closed_until: None,
    };
    let refused = Report {
        reason: Some("rate_limited".to_owned()),
        detail: "errcode 130101".to_owned(),
        hint: "less".to_owned(),
        closed_until: Some(at(70)),
        ..delivered("a", 10)
    };

    for report in [&delivered("b", 1), &delivered("a", 2), &refused] {
        store.report(report).await.unwrap();
    }

    assert_eq!(store.reports().await.unwrap(), [refused, delivered("b", 1)]);
}

pub(crate) async fn keeps_mutes_until_they_end(store: &dyn Store) {
    let mute = issue_mute("1", Some(10));

    store.mute(&mute).await.unwrap();

    assert_eq!(store.mutes(at(9)).await.unwrap(), [mute]);
    assert_eq!(store.mutes(at(10)).await.unwrap(), []);
}

pub(crate) async fn keeps_every_kind_of_mute(store: &dyn Store) {
    let patterns = vec![
        (
            "title".to_owned(),
            vec!["*ECONNRESET*".to_owned(), "静默".to_owned()],
        ),
        ("tag.owner".to_owned(), vec!["!x".to_owned()]),
    ];
    let matching = Mute {
        scope: Scope::Matching(patterns),
        ..issue_mute("2", None)
    };
    let replaced = Mute {
        comment: "known".to_owned(),
        ..issue_mute("1", None)
    };

    for mute in [&matching, &issue_mute("1", Some(5)), &replaced] {
        store.mute(mute).await.unwrap();
    }

    assert_eq!(store.mutes(at(9)).await.unwrap(), [replaced, matching]);
}

pub(crate) async fn unmutes(store: &dyn Store) {
    store.mute(&issue_mute("1", None)).await.unwrap();

    assert!(store.unmute("1").await.unwrap());
    assert!(!store.unmute("1").await.unwrap());
    assert_eq!(store.mutes(at(0)).await.unwrap(), []);
}

pub(crate) async fn keeps_no_more_mutes_than_it_may(store: &dyn Store) {
    for number in 0..=mute::MOST {
        let until = (number != 7).then_some(1_000 - (number as u64 % 900));
        let mute = issue_mute(&format!("{number:04}"), until);
        store.mute(&mute).await.unwrap();
    }

    let mutes = store.mutes(at(0)).await.unwrap();

    assert_eq!(mutes.len(), mute::MOST);
    assert!(mutes.iter().any(|mute| mute.id == "0007"));
    assert!(mutes.iter().all(|mute| mute.id != "0899"), "it ends first");
}

pub(crate) async fn keeps_the_first_value_of_a_name(store: &dyn Store) {
    assert_eq!(store.keep("key", b"one").await.unwrap(), b"one");
    assert_eq!(store.keep("key", b"two").await.unwrap(), b"one");
    assert_eq!(store.keep("other", b"\x00\xff").await.unwrap(), b"\x00\xff");
}

fn issue_mute(id: &str, until: Option<u64>) -> Mute {
    Mute {
        id: id.to_owned(),
        scope: Scope::Issue(key(b'a')),
        since: at(0),
        until: until.map(at),
        by: "cli".to_owned(),
        comment: String::new(),
    }
}

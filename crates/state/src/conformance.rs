//! What every backend must do: the same tests for each, as functions over a fresh store.
//!
//! A backend runs them all with `conformance_tests!(fresh())`, where `fresh()` is a future of an empty store and of
//! whatever must live as long as it. Times are the tests' own, far from the real ones: a backend that reads its own clock
//! to decide fails.

pub(crate) mod issues;
pub(crate) mod outbox;
pub(crate) mod robots;
pub(crate) mod search;

use std::time::{Duration, SystemTime};

use crate::{
    Claim, Cursor, End, Found, IssueHash, IssueKey, Parcel, RouteKey, Search, Seen, Settlement,
    Sighting, Store, Watch, Window, Word,
};

/// Hands every claim to a macro, after its first argument.
macro_rules! all_claims {
    ($each:ident, $fresh:expr) => {
        $each! { $fresh;
            issues: counts_an_event_id_once, events_without_an_id_all_count, any_known_hash_names_the_issue,
                two_known_issues_stay_two, projects_are_apart, counts_distinct_users, keeps_what_lists_show,
                each_route_counts_for_itself, an_event_counts_on_every_route_it_takes, a_threshold_counts_a_sliding_window,
                a_threshold_counts_distinct_users, a_burst_counts_a_sliding_window, a_window_counts_no_further_than_asked,
                a_clock_set_back_loses_no_count, tells_a_release_that_is_new_on_the_route, tells_the_event_before,
                lists_issues_last_seen_first, finds_what_is_quiet, forgets_issues_not_seen_for_long,
                an_issue_with_a_word_on_its_way_is_not_forgotten;
            outbox: one_caller_claims_a_word, a_word_decided_before_the_last_one_is_void, a_word_for_no_robot_is_said_at_once,
                settling_starts_a_new_count, events_after_the_telling_are_not_lost, several_robots_tell_one_word,
                a_word_given_up_rests, one_robots_failure_does_not_undo_the_others_word, a_message_without_a_word_waits_too,
                settling_twice_is_settling_once, waits_in_order_of_priority_then_age, counts_are_fresh_when_read,
                gathers_for_a_digest, gathers_from_the_start_where_asked, a_digest_names_the_first_and_counts_the_others,
                one_holder_leads_a_robot, a_full_queue_counts_what_it_misses, parcels_that_waited_too_long_go,
                tells_that_something_was_put;
            robots: never_grants_more_than_the_budget_in_any_minute, says_when_the_budget_opens_again,
                callers_with_different_budgets_share_a_bucket, tells_what_is_spent_of_a_bucket, a_closed_bucket_grants_nothing,
                keeps_the_last_verdict_of_each, keeps_mutes_until_they_end, keeps_every_kind_of_mute, unmutes, keeps_no_more_mutes_than_it_may,
                keeps_the_first_value_of_a_name;
            search: a_search_goes_through_all_issues_page_by_page, a_search_finds_what_matches,
                a_search_looks_at_so_many_at_a_time, a_search_goes_on_where_an_issue_was_seen_again;
        }
    };
}

/// Makes one test of each claim, so that a failure names the claim.
macro_rules! conformance_tests {
    ($fresh:expr) => {
        use $crate::conformance::each_claim;
        $crate::conformance::all_claims!(each_claim, $fresh);
    };
}

macro_rules! each_claim {
    ($fresh:expr; $($module:ident: $($claim:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $claim() {
                let (store, _alive) = $fresh.await;
                $crate::conformance::$module::$claim(&store).await;
            }
        )+)+
    };
}

pub(crate) use {all_claims, conformance_tests, each_claim};

/// Observes one event of an issue named by one letter, on the first route.
pub(crate) async fn see(store: &dyn Store, hash: u8, event: u8, now: u64) -> Seen {
    let hashes = [self::hash(hash)];
    let sighting = Sighting {
        hashes: &hashes,
        event_id: Some([event; 16]),
        ..SIGHTING
    };
    store.observe(&sighting, at(now)).await.unwrap()
}

pub(crate) async fn see_on(
    store: &dyn Store,
    hash: u8,
    event: u8,
    watches: &[Watch],
    now: u64,
) -> Seen {
    let hashes = [self::hash(hash)];
    let sighting = Sighting {
        hashes: &hashes,
        event_id: Some([event; 16]),
        routes: watches,
        ..SIGHTING
    };
    store.observe(&sighting, at(now)).await.unwrap()
}

/// Claims a word about an issue for one robot, and says when the last one was.
pub(crate) async fn claim(
    store: &dyn Store,
    id: &str,
    hash: u8,
    after: Option<u64>,
    now: u64,
) -> Claim {
    let robots = ["oncall".to_owned()];
    let parcel = Parcel {
        id,
        robots: &robots,
        word: Some(word(hash, after)),
        ..PARCEL
    };
    store.claim(&parcel, at(now)).await.unwrap()
}

pub(crate) async fn tell(store: &dyn Store, robot: &str, id: &str, events: u64, now: u64) {
    let end = End::Told { events };
    let settlement = Settlement { id, end };
    store
        .settle(robot, &[settlement], 0, at(now))
        .await
        .unwrap();
}

pub(crate) async fn give_up(store: &dyn Store, robot: &str, id: &str, rest: u64, now: u64) {
    let rest = Duration::from_secs(rest);
    let settlement = Settlement {
        id,
        end: End::GivenUp { rest },
    };
    store
        .settle(robot, &[settlement], 0, at(now))
        .await
        .unwrap();
}

pub(crate) fn word(hash: u8, after: Option<u64>) -> Word {
    Word {
        issue: key(hash),
        route: ROUTE,
        after: after.map(at),
        silence: Duration::from_secs(3_600),
        is_burst_told: false,
        is_stopped: false,
    }
}

pub(crate) fn key(hash: u8) -> IssueKey {
    IssueKey::new(1, self::hash(hash))
}

pub(crate) fn hash(letter: u8) -> IssueHash {
    IssueHash([letter; 16])
}

pub(crate) fn window(count: u16, seconds: u64) -> Option<Window> {
    let within = Duration::from_secs(seconds);
    Some(Window { count, within })
}

/// A moment of the tests, in seconds.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

pub(crate) const ROUTE: RouteKey = RouteKey(7);
pub(crate) const OTHER_ROUTE: RouteKey = RouteKey(8);

pub(crate) const WATCH: Watch = Watch {
    route: ROUTE,
    events: None,
    users: None,
    burst: None,
};

pub(crate) const SIGHTING: Sighting<'static> = Sighting {
    project: 1,
    hashes: &[],
    event_id: None,
    user: None,
    release: None,
    environment: None,
    title: "ZeroDivisionError: division by zero",
    level: 4,
    routes: &[WATCH],
};

pub(crate) const PARCEL: Parcel<'static> = Parcel {
    id: "",
    word: None,
    robots: &[],
    priority: 5,
    gather_until: None,
    late_after: Duration::from_secs(300),
    payload: b"{}",
};

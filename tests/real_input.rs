//! Real Sentry SDKs, through the real program, to a real Sentry-compatible server; cards to a robot simulator.
//!
//! `tests/setup.sh` installs the clients and the server, Bugsink; variables tell these tests where. Without them every
//! test here skips itself, loudly, unless `SENTRY_NOTICE_REQUIRE_REAL` makes that a failure. All tests look at the record
//! of one run, because a run takes about ten seconds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::play::{Card, Record, Request};

#[path = "real_input/children.rs"]
mod children;
#[path = "real_input/play.rs"]
mod play;
#[path = "real_input/rust_client.rs"]
mod rust_client;
#[path = "real_input/slow.rs"]
mod slow;
#[path = "real_input/tools.rs"]
mod tools;

static RECORD: LazyLock<Option<Record>> = LazyLock::new(play::play);

#[test]
fn every_request_of_the_sdks_is_answered_by_sentry() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    for shop in &record.shops {
        let statuses: Vec<u16> = shop.requests.iter().map(|request| request.status).collect();

        assert_eq!(statuses, vec![200; statuses.len()], "{}", shop.name);
        assert!(
            statuses.len() >= shop.events.len(),
            "{} sent too little: {shop:?}",
            shop.name
        );
    }
}

#[test]
fn every_event_is_stored_by_sentry_as_the_sdk_meant_it() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    for shop in &record.shops {
        for event in &shop.events {
            let stored = &record.stored.events[&event.event_id];

            let stored = stored
                .as_ref()
                .unwrap_or_else(|| panic!("{}: {event:?} is not stored", shop.name));
            assert_eq!(stored.release, "shop@1.2.3");
            assert_eq!(stored.environment, "real-input");
            assert_eq!(stored.platform, shop.platform);
        }
    }
}

#[test]
fn envelopes_arrive_byte_for_byte() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    let sent = record.shops.iter().flat_map(|shop| &shop.requests);
    let sent = count(sent.map(|request| request.envelope_sha256.as_str()));
    let arrived = count(record.stored.envelopes.iter().map(String::as_str));

    assert_eq!(
        sent, arrived,
        "envelope hashes, each with how often it was seen"
    );
}

#[test]
fn both_codings_and_large_bodies_were_on_the_wire() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    let requests: Vec<&Request> = record
        .shops
        .iter()
        .flat_map(|shop| &shop.requests)
        .collect();

    for coding in ["identity", "gzip", "br"] {
        assert!(
            requests.iter().any(|request| request.coding == coding),
            "no request was {coding}"
        );
    }
    let with_attachment = requests
        .iter()
        .filter(|request| request.items == ["event", "attachment"]);
    assert_eq!(with_attachment.count(), record.shops.len());
    assert!(
        requests
            .iter()
            .any(|request| request.envelope_bytes > LARGER_THAN_ONE_READ)
    );
}

#[test]
fn sentrys_rate_limits_reach_the_sdk_and_silence_its_traces() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    for shop in &record.shops {
        for request in &shop.requests {
            assert_eq!(
                request.rate_limits.as_deref(),
                Some(BUGSINK_LIMITS),
                "{}",
                shop.name
            );
        }
        // Each shop makes two traces; the answer to the first tells the SDK to keep the second.
        assert_eq!(shop.requests_with(shop.trace_item), 1, "{}", shop.name);
        assert_eq!(shop.requests_with("client_report"), 1, "{}", shop.name);
    }
}

#[test]
fn each_new_error_gets_one_card_and_nothing_else_does() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    let expected = record.new_errors();

    for (shop, event) in &expected {
        let cards: Vec<&Card> = record.cards_about(shop, event).collect();
        assert_eq!(
            cards.len(),
            1,
            "cards about {event:?} of {}: {:#?}",
            shop.project_name,
            record.cards
        );
    }
    assert_eq!(record.cards.len(), expected.len(), "{:#?}", record.cards);
    assert_eq!(record.refusals, [""; 0], "the robot did not take these");
}

#[test]
fn cards_name_level_environment_release_and_event() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    for (shop, event) in record.new_errors() {
        let cards: Vec<&Card> = record.cards_about(shop, event).collect();
        assert!(!cards.is_empty(), "no card about {event:?}");
        for card in cards {
            for expected in [&event.level, "real-input", "shop@1.2.3", &event.event_id] {
                assert!(
                    card.text.contains(expected),
                    "`{expected}` is missing in {card:#?}"
                );
            }
        }
    }
}

#[test]
fn sigterm_ends_the_program_with_success() {
    let Some(record) = RECORD.as_ref() else {
        return;
    };

    assert!(record.exit.success(), "{}\n{}", record.exit, record.log);
}

/// Counts how often each hash occurs.
fn count<'a>(hashes: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for hash in hashes {
        *counts.entry(hash).or_default() += 1;
    }
    counts
}

/// What Bugsink says in every answer to an envelope: it keeps no traces.
const BUGSINK_LIMITS: &str = "86400:transaction;span:organization";

/// The attachments are 48 KiB; Node compresses above 32 KiB, and no read of a socket takes as much at once.
const LARGER_THAN_ONE_READ: u64 = 48 * 1024;

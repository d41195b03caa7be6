//! What a scan says of envelopes, whatever their coding and the pieces they come in.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::endpoint::EndpointKind;
use crate::envelope::ItemType;
use crate::read::parse_body;

const NO_LOGS: Wants = Wants { logs: false };
const LOGS: Wants = Wants { logs: true };

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(data).unwrap();
    encoder.into_inner()
}

fn coded(body: &[u8]) -> [(&'static str, Vec<u8>); 8] {
    [
        ("", body.to_vec()),
        ("identity", body.to_vec()),
        ("UTF-8", body.to_vec()),
        ("gzip", gzip(body)),
        (" GZip ", gzip(body)),
        ("deflate", zlib(body)),
        ("br", brotli(body)),
        ("zstd", zstd::encode_all(body, 1).unwrap()),
    ]
}

/// What every coding and every way of cutting the body into pieces says, which must be the same.
fn may_alert(body: &str, wants: Wants) -> bool {
    let mut scanner = Scanner::new();
    let expected = scanner.may_alert(Codings::NONE, body.as_bytes(), wants);
    for (coding, bytes) in coded(body.as_bytes()) {
        let coding = Some(coding.as_bytes());
        assert_eq!(
            scanner.may_alert(coding, &bytes, wants),
            expected,
            "{coding:?} {body}"
        );
        for size in [1, 7, 1000] {
            let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            let said = scanner.may_alert_in_pieces(coding, &pieces, wants);
            assert_eq!(said, expected, "{coding:?} in pieces of {size}: {body}");
        }
    }
    expected
}

#[test]
fn what_never_alerts_is_nothing() {
    let payload = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    for item in [
        "{\"type\":\"session\"}\n{}",
        "{\"type\":\"session\"}\n{}\n",
        "{\"type\":\"session\"}\n{}\n\n\r\n",
        "{\"type\":\"sessions\",\"length\":2}\n{}",
        "{\"type\":\"sessions\",\"length\":2}\n{}\r\n",
        "{\"length\":2,\"type\":\"transaction\"}\n{}\n{\"type\":\"span\",\"item_count\":2}\n{}",
        " { \"type\" : \"client_report\" , \"length\" : 2 } \r\n{}\n",
        "{\"type\":\"attachment\",\"length\":4,\"filename\":\"a\\\"b\"}\n\n{\"\n\n{\"type\":\"statsd\",\"length\":0}\n\n",
        "{\"type\":\"attachment\",\"length\":0,\"attachment_type\":\"event.attachment\"}\n",
        "{\"type\":\"attachment\",\"length\":16}\n{\"type\":\"event\"}\n{\"type\":\"replay_recording\",\"x\":null,\"y\":true,\"z\":-1.5e3}\n\u{0}\u{1}",
        "{\"type\":\"user_report\"}\n{}\n{\"type\":\"feedback\"}\n{}\n{\"type\":\"profile\"}\n{}\n{\"type\":\"trace_metric\"}\n{}",
        &format!(
            "{{\"type\":\"transaction\"}}\n{payload}\n{{\"type\":\"profile\",\"length\":{}}}\n{payload}",
            payload.len()
        ),
    ] {
        for header in ["{}", "{\"sdk\":{\"name\":\"}\\\"]\",\"a\":[{}]}} \r"] {
            let body = format!("{header}\n{item}");
            assert!(!may_alert(&body, LOGS), "{body}");
            assert_eq!(look(body.as_bytes(), LOGS), Look::Nothing, "{body}");
        }
    }
}

#[test]
fn what_can_alert_is_found_behind_whatever_stands_before_it() {
    for item in [
        "{\"type\":\"event\"}\n{}",
        "{\"type\":\"event\",\"length\":2}\n{}",
        "{\"type\":\"raw_security\"}\n{}",
        "{\"type\":\"security\"}\n{}",
        "{\"type\":\"check_in\"}\n{}",
        "{\"type\":\"unreal_report\",\"length\":1}\nx",
        "{\"type\":\"attachment\",\"length\":1,\"attachment_type\":\"event.minidump\"}\nx",
        "{\"type\":\"attachment\",\"length\":1,\"attachment_type\":\"event.payload\"}\nx",
        "{\"type\":\"brand_new\"}\n{}",
    ] {
        for before in [
            "",
            "{\"type\":\"session\"}\n{}\n",
            "{\"type\":\"span\",\"length\":2}\n{}\n",
        ] {
            let body = format!("{{}}\n{before}{item}");
            assert!(may_alert(&body, NO_LOGS), "{body}");
            assert_eq!(look(body.as_bytes(), NO_LOGS), Look::Maybe, "{body}");
        }
    }
}

#[test]
fn a_header_that_is_no_json_may_alert() {
    for header in [
        "{\"a\":00}",
        "{\"a\":tru}",
        "{\"a\" 1}",
        "{1:2}",
        "{]",
        "[]",
    ] {
        let body = format!("{header}\n{{\"type\":\"session\"}}\n{{}}\n");
        assert!(may_alert(&body, NO_LOGS), "{body}");
    }
}

/// decisions/0021: beside a transaction there can be no event.
#[test]
fn a_transaction_decides_at_once() {
    let start = "{}\n{\"type\":\"transaction\",\"length\":90000}\n{";
    let mut scanner = Scanner::new();

    assert_eq!(look(start.as_bytes(), LOGS), Look::Nothing);
    for (coding, bytes) in coded(start.as_bytes()) {
        let said = scanner.may_alert(Some(coding.as_bytes()), &bytes, LOGS);
        assert!(!said, "{coding}");
    }
    let after_an_event = "{}\n{\"type\":\"event\"}\n{}\n{\"type\":\"transaction\"}\n{}";
    assert!(may_alert(after_an_event, NO_LOGS));
}

#[test]
fn logs_count_if_they_are_wanted() {
    let body = "{}\n{\"type\":\"log\",\"item_count\":1}\n{\"items\":[]}";

    assert!(!may_alert(body, NO_LOGS));
    assert!(may_alert(body, LOGS));
}

#[test]
fn whatever_is_odd_may_alert() {
    let session = "{\"type\":\"session\"}\n{}\n";
    for body in [
        "",
        "\n",
        "{}",
        "{}\n",
        "[]\n",
        "{\n}\n",
        "null",
        "eJyrVipJLS4BAAlgAtA=",
        "{\"message\":\"m\"}",
        "{\"a\":{}\n,\"b\":1}\n",
        "\u{feff}{}\n",
        "{}x\n",
    ] {
        assert!(may_alert(body, NO_LOGS), "{body}");
        assert!(may_alert(&format!("{body}{session}x"), NO_LOGS), "{body}");
    }
    for item in [
        "{\"type\":\"session\"}",
        "{\"type\":\"session\"",
        "{\"typ\\u0065\":\"event\",\"type\":\"session\"}\n{}",
        "{\"type\":\"sess\\u0069on\"}\n{}",
        "{\"type\":\"session\",\"type\":\"event\"}\n{}",
        "{\"type\":\"session\",\"length\":1,\"length\":2}\n{}",
        "{\"type\":\"session\",\"length\":3}\n{}",
        "{\"type\":\"session\",\"length\":1}\n{}",
        "{\"type\":\"session\",\"length\":-1}\n{}",
        "{\"type\":\"session\",\"length\":1.5}\n{}",
        "{\"type\":\"session\",\"length\":2e0}\n{}",
        "{\"type\":\"session\",\"length\":02}\n{}",
        "{\"type\":\"session\",\"length\":\"2\"}\n{}",
        "{\"type\":\"session\",\"length\":null}\n{}",
        "{\"type\":\"session\",\"length\":99999999999999999999}\n{}",
        "{\"type\":\"session\",\"x\":{}}\n{}",
        "{\"type\":5}\n{}",
        "{\"length\":2}\n{}",
        "{\"type\":\"session\",}\n{}",
        "{\"type\":\"session\"}{}\n",
        "{\"type\":\"session\" \"x\":1}\n{}",
        "{,\"type\":\"session\"}\n{}",
        "[]\n{}",
        "garbage",
        "{\n\"type\":\"session\"}\n{}",
    ] {
        assert!(
            may_alert(&format!("{{}}\n{session}{item}"), NO_LOGS),
            "{item}"
        );
    }
}

#[test]
fn headers_and_items_are_bounded() {
    let session = "{\"type\":\"session\"}\n{}\n";
    let padded = |length| format!("{{\"x\":\"{}\"}}\n{session}", "x".repeat(length));

    assert!(!may_alert(&padded(16_000), NO_LOGS));
    assert!(may_alert(&padded(17_000), NO_LOGS));
    assert!(!may_alert(
        &format!("{{}}\n{}", session.repeat(500)),
        NO_LOGS
    ));
    assert!(may_alert(
        &format!("{{}}\n{}", session.repeat(501)),
        NO_LOGS
    ));
    let deep = format!("{{\"x\":{}}}\n{session}", "[".repeat(16_000));
    assert!(may_alert(&deep, NO_LOGS));
}

#[test]
fn a_bomb_is_left_to_those_who_decode() {
    let body = format!("{{}}\n{{\"type\":\"session\"}}\n{}", "x".repeat(8 << 20));
    let mut scanner = Scanner::new();

    for (coding, bytes) in coded(body.as_bytes()) {
        let is_plain = bytes.len() == body.len();
        let said = scanner.may_alert(Some(coding.as_bytes()), &bytes, NO_LOGS);
        assert_eq!(said, !is_plain, "{coding}");
    }
}

#[test]
fn unknown_stacked_and_broken_codings_may_alert() {
    let session = b"{}\n{\"type\":\"session\"}\n{\"sid\":\"7c7b6585-f901-4351-bf8d-02711b721929\"}";
    let mut scanner = Scanner::new();
    let mut say =
        |coding: &str, body: &[u8]| scanner.may_alert(Some(coding.as_bytes()), body, NO_LOGS);

    assert!(say("foo", session));
    assert!(say("gzip, gzip", &gzip(&gzip(session))));
    assert!(say("gzip", &[gzip(session), gzip(b"{}")].concat()));
    for (coding, body) in coded(session).into_iter().skip(3) {
        assert!(!say(coding, &body), "{coding}");
        for cut in 0..body.len() {
            assert!(say(coding, &body[..cut]), "{coding} cut at {cut}");
        }
        assert!(say(coding, session), "{coding}");
    }
    let mut wrong_checksum = gzip(session);
    let at = wrong_checksum.len() - 8;
    wrong_checksum[at] ^= 1;
    assert!(say("gzip", &wrong_checksum));
}

#[test]
fn a_start_that_breaks_off_is_incomplete() {
    for body in [
        "",
        "{",
        "{}",
        "{}\n",
        "{}\n{\"type\":\"ev",
        "{}\n{\"type\":\"session\",\"length\":9}\n{}",
        "{}\n{\"type\":\"session\"}\n{}\n{",
    ] {
        assert_eq!(look(body.as_bytes(), NO_LOGS), Look::Incomplete, "{body}");
    }
}

#[test]
fn whatever_is_read_as_an_event_may_alert() {
    for ty in ItemType::ALL {
        let name = ty.as_str();
        for payload in [
            "{\"message\":\"m\"}",
            "{\"monitor_slug\":\"s\",\"status\":\"error\"}",
            "{\"csp-report\":{\"effective-directive\":\"img-src\",\"blocked-uri\":\"http://b/\"}}",
            "{\"items\":[{\"level\":\"error\",\"body\":\"m\"}]}",
        ] {
            let body = format!("{{}}\n{{\"type\":\"{name}\"}}\n{payload}\n");
            let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();
            if !parsed.events.is_empty() {
                assert!(may_alert(&body, LOGS), "{body}");
            }
        }
    }
}

proptest! {
    /// The one promise: what is said to be nothing is sound, and holds no event; but for what follows a transaction.
    #[test]
    fn nothing_is_said_only_of_what_reads_as_nothing(
        body in "(\\{\\}\n|\n)?(\\{\"type\":\"(event|session|span|attachment|x)\"(,\"length\":[0-9]{1,2})?(,\"attachment_type\":\"event.minidump\")?\\}\n|\\{\\}\n|\\{|\\}|\"|\\\\|,|:|\r\n|a){0,12}",
    ) {
        let mut scanner = Scanner::new();
        if !scanner.may_alert(Codings::NONE, body.as_bytes(), LOGS) {
            let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();
            prop_assert!(parsed.events.is_empty());
            prop_assert_eq!(parsed.faults.len(), 0, "{:?}", parsed.faults);
        }
    }

    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200), flip in any::<(usize, u8)>()) {
        let mut scanner = Scanner::new();
        for coding in ["", "gzip", "deflate", "br", "zstd"] {
            scanner.may_alert(Some(coding.as_bytes()), &body, LOGS);
        }
        for (coding, mut bytes) in coded(b"{}\n{\"type\":\"session\"}\n{\"a\":\"aaaaaaaaaaaaaaaaaaaa\"}\n") {
            let at = flip.0 % bytes.len();
            bytes[at] = flip.1;
            scanner.may_alert(Some(coding.as_bytes()), &bytes, LOGS);
        }
    }
}

#[test]
fn blocks_that_hold_nothing_are_not_followed_for_long() {
    let (session, event) = (
        "{}\n{\"type\":\"session\"}\n{}",
        "{}\n{\"type\":\"event\"}\n{}",
    );
    let said = |envelope: &str, blocks: usize| {
        let mut body = gzip(envelope.as_bytes());
        body.splice(10..10, [0, 0, 0, 0xff, 0xff].repeat(blocks));
        let mut scanner = Scanner::new();
        let whole = scanner.may_alert(Some(&b"gzip"[..]), &body, NO_LOGS);
        let pieces: Vec<_> = body.chunks(5000).map(Bytes::copy_from_slice).collect();
        let in_pieces = scanner.may_alert_in_pieces(Some(&b"gzip"[..]), &pieces, NO_LOGS);
        assert_eq!(whole, in_pieces, "{blocks} blocks");
        whole
    };

    for blocks in [0, 1, 900, 1700, 20_000] {
        assert!(!said(session, blocks), "{blocks} blocks");
        assert!(said(event, blocks), "{blocks} blocks");
    }
    assert!(said(session, 30_000), "150 KB before the first byte");
}

#[test]
fn long_items_before_the_end_are_passed() {
    let noise: String = (0..4000_u32)
        .map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)))
        .collect();
    for length in [300, 700, 3000, 20_000, 32_000] {
        let span = format!("{{}}\n{{\"type\":\"span\"}}\n{}\n", &noise[..length]);
        assert!(!may_alert(&span, NO_LOGS), "{length}");
        let event = format!("{span}{{\"type\":\"event\"}}\n{{}}\n");
        assert!(may_alert(&event, NO_LOGS), "{length}");
    }
}

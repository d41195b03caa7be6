//! Brings an envelope's `sent_at` up to date, for one that is sent long after it came.
//!
//! Sentry takes the difference between `sent_at` and its own clock for an error of the client's clock and, once it passes 55
//! minutes, shifts every timestamp of the envelope by it. Source: Relay, `relay-event-normalization/src/clock_drift.rs`.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::decode;

/// Moves an envelope's `sent_at` by the time that it was kept; every item stays as it is, byte for byte.
///
/// Returns the new body, and changes `Content-Encoding` to `gzip` where the body was coded. `None` when nothing needs to or
/// can be changed: no `sent_at`, no envelope, or more than `limit` bytes of it.
pub fn refresh_sent_at(
    headers: &mut HeaderMap,
    body: &[Bytes],
    kept: Duration,
    limit: usize,
) -> Option<Bytes> {
    let decoded = decode(&*headers, body, limit).ok()?;
    let line = &decoded[..memchr::memchr(b'\n', &decoded).unwrap_or(decoded.len())];
    let (at, text) = find_sent_at(line)?;
    let sent: Timestamp = text.parse().ok()?;
    let moved = sent
        .checked_add(jiff::SignedDuration::try_from(kept).ok()?)
        .ok()?;
    let moved = format!("\"{moved}\"");

    let end = at + text.len() + 2;
    let parts = [&decoded[..at], moved.as_bytes(), &decoded[end..]];
    if !headers.contains_key(CONTENT_ENCODING) {
        return Some(parts.concat().into());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for part in parts {
        encoder.write_all(part).ok()?;
    }
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    encoder.finish().ok().map(Bytes::from)
}

/// Returns where the value of `sent_at` stands in an envelope's header, and its text without the quotes.
fn find_sent_at(line: &[u8]) -> Option<(usize, &str)> {
    #[derive(Deserialize)]
    struct Header<'h> {
        #[serde(borrow)]
        sent_at: Option<&'h RawValue>,
    }
    let value = serde_json::from_slice::<Header<'_>>(line)
        .ok()?
        .sent_at?
        .get();
    let at = value.as_ptr() as usize - line.as_ptr() as usize;
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some((at, text))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const ITEMS: &str = "\n{\"type\":\"event\"}\n{\"sent_at\":\"2026-11-23T09:37:58Z\"}\n\u{0}";

    fn gzip(text: &str) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn moves_the_time_in_the_header_and_nothing_else() {
        let header = "{\"dsn\":\"https://k@h/1\", \"sent_at\" : \"2026-11-23T09:37:58.207498Z\",\"sdk\":{\"sent_at\":1}}";
        let body = format!("{header}{ITEMS}");
        let moved = body.replacen("09:37:58.207498Z", "10:37:58.207498Z", 1);

        let plain = refresh_sent_at(&mut HeaderMap::new(), &[body.clone().into()], HOUR, 1000);
        assert_eq!(plain.unwrap(), moved);

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let coded = refresh_sent_at(&mut headers, &[gzip(&body)], HOUR, 1000).unwrap();
        let mut decoded = String::new();
        GzDecoder::new(&*coded)
            .read_to_string(&mut decoded)
            .unwrap();
        assert_eq!(
            (decoded, &headers[CONTENT_ENCODING]),
            (moved, &HeaderValue::from_static("gzip"))
        );
    }

    #[test]
    fn leaves_alone_what_has_no_time_or_is_odd() {
        for header in [
            "{}",
            "{\"sent_at\":null}",
            "{\"sent_at\":\"yesterday\"}",
            "{\"sent_at\":17}",
            "{\"sent_at\":\"2026-11-23T09:37:58\\u005a\"}",
            "{\"sent_at\":\"2026-11-23T09:37:58Z\",\"sent_at\":\"2026-11-23T09:37:58Z\"}",
            "x",
        ] {
            let body = [Bytes::from(format!("{header}{ITEMS}"))];
            assert_eq!(
                refresh_sent_at(&mut HeaderMap::new(), &body, HOUR, 1000),
                None,
                "{header}"
            );
        }
        let body = [Bytes::from(format!(
            "{{\"sent_at\":\"2026-11-23T09:37:58Z\"}}{ITEMS}"
        ))];
        assert_eq!(
            refresh_sent_at(&mut HeaderMap::new(), &body, HOUR, 50),
            None
        );
    }
}

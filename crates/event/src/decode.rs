//! Undoes the content codings of a body within a bound: the standard ones, stacked, and what raven clients send.
//!
//! Source: RFC 9110 section 8.4; Relay, `relay-server/src/extractors` and `relay-server/src/endpoints/store.rs`.

pub(crate) mod codec;
mod codings;
pub(crate) mod inflate;
mod legacy;
pub(crate) mod whole;

use bytes::Bytes;

use crate::error::DecodeError;

use codec::Chunks;
pub use codings::Codings;

/// Returns a body with its content codings undone, at most `limit` bytes.
///
/// `body` is the body in pieces, as they came. A body without coding in one piece is returned without a copy. A body
/// without coding that does not start like JSON may be `base64(zlib(json))`, as raven-node, -ruby, -go and -php send it
/// without saying so; that is undone, too.
///
/// The limit holds for the result of every coding; of stacked ones there are at most three. Memory in use is at most four
/// times the limit plus a window of 16 MiB.
///
/// # Errors
/// When the coding is unknown, the data broken or incomplete, or the result too large; trying again never helps.
pub fn decode(
    codings: impl Into<Codings>,
    body: &[Bytes],
    limit: usize,
) -> Result<Bytes, DecodeError> {
    let mut codings = codings.into().to_undo()?;
    let Some(outermost) = codings.next() else {
        return legacy::decode(join(body, limit)?, limit);
    };
    let first = outermost.undo(Chunks::new(body), limit)?;
    codings.try_fold(first, |body, coding| {
        coding.undo(Chunks::new(&[body]), limit)
    })
}

/// Returns the first bytes of a decoded body, at most `limit`, even when the body is broken or has not come whole.
///
/// Empty when nothing can be decoded.
pub fn decode_prefix(codings: impl Into<Codings>, body: &[Bytes], limit: usize) -> Bytes {
    let Ok(mut codings) = codings.into().to_undo() else {
        return Bytes::new();
    };
    let Some(outermost) = codings.next() else {
        let enough = limit.saturating_mul(2).saturating_add(64);
        return legacy::decode_prefix(join_prefix(body, enough), limit);
    };
    let first = outermost.undo_prefix(Chunks::new(body), limit);
    codings.fold(first, |body, coding| {
        coding.undo_prefix(Chunks::new(&[body]), limit)
    })
}

/// Returns the event that a GET request carries in the query parameter `sentry_data`, at most `limit` bytes.
///
/// raven-js 1.x sends percent-encoded JSON, other old clients base64, with or without zlib below. `None` when the query
/// has no such parameter.
///
/// # Errors
/// As [`decode`].
pub fn decode_query(query: &str, limit: usize) -> Result<Option<Bytes>, DecodeError> {
    legacy::decode_query(query, limit)
}

fn join(body: &[Bytes], limit: usize) -> Result<Bytes, DecodeError> {
    let length = body.iter().map(Bytes::len).sum::<usize>();
    if length > limit {
        return Err(DecodeError::TooLarge);
    }
    Ok(join_prefix(body, limit))
}

fn join_prefix(body: &[Bytes], limit: usize) -> Bytes {
    match body {
        [] => Bytes::new(),
        [single] => single.slice(..single.len().min(limit)),
        pieces => {
            let mut joined = Vec::new();
            for piece in pieces {
                let room = limit - joined.len();
                joined.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            joined.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::header::CONTENT_ENCODING;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const JSON: &[u8] =
        br#"{"event_id":"0123","message":"payment failed payment failed payment failed"}"#;

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

    fn raw_deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(data: &[u8]) -> Vec<u8> {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        encoder.write_all(data).unwrap();
        encoder.into_inner()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).unwrap()
    }

    fn headers(coding: &str) -> HeaderMap {
        let value = HeaderValue::from_str(coding).unwrap();
        HeaderMap::from_iter([(CONTENT_ENCODING, value)])
    }

    fn decoded(coding: &str, body: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let body = [Bytes::copy_from_slice(body)];
        decode(&headers(coding), &body, 1000).map(Vec::from)
    }

    /// The body as the network delivers it, in small pieces.
    fn pieces(body: &[u8], size: usize) -> Vec<Bytes> {
        body.chunks(size).map(Bytes::copy_from_slice).collect()
    }

    fn coded() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("gzip", gzip(JSON)),
            ("x-gzip", gzip(JSON)),
            ("GZIP", gzip(JSON)),
            ("deflate", zlib(JSON)),
            ("deflate", raw_deflate(JSON)),
            ("br", brotli(JSON)),
            ("zstd", zstd(JSON)),
            ("gzip, br", brotli(&gzip(JSON))),
            ("identity, br , gzip", gzip(&brotli(JSON))),
            ("zstd,deflate,gzip", gzip(&zlib(&zstd(JSON)))),
        ]
    }

    #[test]
    fn undoes_every_coding_in_one_piece_and_in_many() {
        for (coding, body) in coded() {
            let headers = headers(coding);
            for size in [1, 7, body.len()] {
                let decoded = decode(&headers, &pieces(&body, size), 1000);
                assert_eq!(decoded.as_deref(), Ok(JSON), "{coding} in pieces of {size}");
            }
        }
    }

    #[test]
    fn takes_empty_and_meaningless_codings_as_none() {
        for coding in ["", "UTF-8", "utf-8", "identity", " , ", "identity, "] {
            assert_eq!(decoded(coding, JSON).as_deref(), Ok(JSON), "{coding:?}");
        }
        assert_eq!(decode(Codings::NONE, &[], 10), Ok(Bytes::new()));
    }

    #[test]
    fn reads_codings_spread_over_several_headers() {
        let mut headers = headers("gzip");
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("br"));

        let decoded = decode(&headers, &[brotli(&gzip(JSON)).into()], 1000);

        assert_eq!(decoded.as_deref(), Ok(JSON));
    }

    #[test]
    fn refuses_unknown_and_too_many_codings() {
        assert_eq!(decoded("foo", JSON), Err(DecodeError::UnknownCoding));
        assert_eq!(decoded("gzip;q=1", JSON), Err(DecodeError::UnknownCoding));
        assert_eq!(
            decoded("gzip,gzip,gzip,gzip", JSON),
            Err(DecodeError::TooManyCodings)
        );
    }

    #[test]
    fn returns_an_identity_body_without_a_copy() {
        let body = Bytes::from_static(JSON);

        let decoded = decode(Codings::NONE, std::slice::from_ref(&body), 1000).unwrap();

        assert_eq!(decoded.as_ptr(), body.as_ptr());
    }

    #[test]
    fn reads_concatenated_gzip_members_and_ignores_junk_behind_them() {
        let (front, back) = JSON.split_at(10);
        let mut body = [gzip(front), gzip(b""), gzip(back)].concat();
        assert_eq!(decoded("gzip", &body).as_deref(), Ok(JSON));

        body.extend_from_slice(&[0; 20]);
        assert_eq!(decoded("gzip", &body).as_deref(), Ok(JSON));
    }

    #[test]
    fn reads_every_part_of_a_gzip_header() {
        let mut encoder = flate2::GzBuilder::new()
            .filename("payload.json")
            .comment("from a test")
            .extra(vec![7; 300])
            .write(Vec::new(), Compression::default());
        encoder.write_all(JSON).unwrap();
        let body = encoder.finish().unwrap();

        assert_eq!(decoded("gzip", &body).as_deref(), Ok(JSON));
        for length in 0..body.len() {
            assert!(decoded("gzip", &body[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn verifies_checksum_and_length_of_gzip() {
        let body = gzip(JSON);
        for at in body.len() - 8..body.len() {
            let mut body = body.clone();
            body[at] ^= 1;
            assert_eq!(decoded("gzip", &body), Err(DecodeError::Corrupt), "{at}");
        }
    }

    #[test]
    fn a_body_leaves_nothing_to_the_next_one() {
        let bodies = [
            ("gzip", gzip(JSON)),
            ("deflate", zlib(JSON)),
            ("deflate", raw_deflate(JSON)),
        ];
        for (coding, broken) in &bodies {
            for (next, body) in &bodies {
                assert!(decoded(coding, &broken[..broken.len() - 9]).is_err());
                assert_eq!(
                    decoded(next, body).as_deref(),
                    Ok(JSON),
                    "{next} after {coding}"
                );
            }
        }
    }

    #[test]
    fn bounds_the_number_of_gzip_members() {
        assert_eq!(
            decoded("gzip", &gzip(b"").repeat(1001)),
            Err(DecodeError::Corrupt)
        );
    }

    #[test]
    fn stops_at_the_limit_to_the_byte() {
        let mut bodies = coded();
        bodies.retain(|(coding, _)| !coding.contains(','));
        bodies.push(("identity", JSON.to_vec()));
        for (coding, body) in bodies {
            let (headers, body) = (headers(coding), [Bytes::from(body)]);
            let fits = decode(&headers, &body, JSON.len());
            let over = decode(&headers, &body, JSON.len() - 1);

            assert_eq!(fits.as_deref(), Ok(JSON), "{coding}");
            assert_eq!(over, Err(DecodeError::TooLarge), "{coding}");
        }
    }

    #[test]
    fn stops_bombs_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        for (coding, body) in [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("br", brotli(&zeros)),
            ("zstd", zstd(&zeros)),
            ("gzip, gzip", gzip(&gzip(&zeros))),
        ] {
            assert!(
                body.len() < 1 << 16,
                "{coding} compresses to {}",
                body.len()
            );
            assert_eq!(
                decoded(coding, &body),
                Err(DecodeError::TooLarge),
                "{coding}"
            );
        }
    }

    #[test]
    fn refuses_windows_that_cost_more_than_they_hold() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(JSON).unwrap();
        let large_zstd = encoder.finish().unwrap();
        let large_brotli = {
            let params = brotli::enc::BrotliEncoderParams {
                large_window: true,
                lgwin: 30,
                ..Default::default()
            };
            let mut output = Vec::new();
            brotli::BrotliCompress(&mut &JSON[..], &mut output, &params).unwrap();
            output
        };

        assert_eq!(decoded("zstd", &large_zstd), Err(DecodeError::Corrupt));
        assert!(decoded("br", &large_brotli).is_err());
    }

    #[test]
    fn reports_truncated_and_corrupt_data() {
        for (coding, body) in coded() {
            for length in [0, 1, body.len() / 2, body.len() - 1] {
                let result = decoded(coding, &body[..length]);
                let is_broken =
                    matches!(result, Err(DecodeError::Truncated | DecodeError::Corrupt));
                assert!(is_broken, "{coding} cut at {length}: {result:?}");
            }
            assert!(
                decoded(coding, b"certainly not compressed").is_err(),
                "{coding}"
            );
        }
        assert_eq!(
            decoded("gzip", &gzip(JSON)[..30]),
            Err(DecodeError::Truncated)
        );
        assert_eq!(
            decoded("deflate", &zlib(JSON)[..30]),
            Err(DecodeError::Truncated)
        );
        assert_eq!(
            decoded("zstd", &zstd(JSON)[..30]),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn undoes_base64_and_zlib_of_raven_clients() {
        let wrapped = |data: &[u8]| {
            let text = STANDARD.encode(data);
            let lines = text.as_bytes().chunks(60);
            lines
                .map(|line| [line, b"\r\n"].concat())
                .collect::<Vec<_>>()
                .concat()
        };
        for body in [
            STANDARD.encode(zlib(JSON)).into_bytes(),
            STANDARD_NO_PAD.encode(zlib(JSON)).into_bytes(),
            wrapped(&zlib(JSON)),
            STANDARD.encode(JSON).into_bytes(),
        ] {
            assert_eq!(decoded("", &body).as_deref(), Ok(JSON));
        }
    }

    #[test]
    fn bounds_what_hides_in_base64() {
        let bomb = STANDARD.encode(zlib(&vec![0; 8 << 20])).into_bytes();

        assert_eq!(
            decode(Codings::NONE, &[bomb.into()], 100_000),
            Err(DecodeError::TooLarge)
        );
    }

    #[test]
    fn leaves_bodies_alone_that_are_no_base64_of_an_event() {
        for body in [
            &b"null"[..],
            b"",
            b"hello world",
            b"MDMP\x93\xa7\0\0",
            b"AAAA",
            b"[]",
            b"\xef\xbb\xbf{}",
            b" {}",
        ] {
            assert_eq!(decoded("", body).as_deref(), Ok(body));
        }
    }

    #[test]
    fn reads_sentry_data_of_a_query() {
        let escaped = |text: &[u8]| {
            percent_encoding::percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let with_blanks = escaped(JSON).replace("%20", "+");
        let coded = STANDARD.encode(zlib(JSON));
        for data in [
            escaped(JSON),
            with_blanks,
            coded.clone(),
            escaped(coded.as_bytes()),
        ] {
            let query = format!("sentry_version=4&sentry_data={data}&x=1");
            let decoded = decode_query(&query, 1000).unwrap();
            assert_eq!(decoded.as_deref(), Some(JSON), "{query}");
            assert_eq!(decode_query(&query, 20), Err(DecodeError::TooLarge));
        }
        assert_eq!(decode_query("sentry_version=4", 1000), Ok(None));
    }

    #[test]
    fn a_prefix_is_decoded_from_a_part_of_the_body() {
        let event = [JSON, &[b'x'; 100_000]].concat();
        for (coding, body) in [
            ("gzip", gzip(&event)),
            ("deflate", zlib(&event)),
            ("br", brotli(&event)),
            ("zstd", zstd(&event)),
            ("", STANDARD.encode(zlib(&event)).into_bytes()),
            ("", event.clone()),
        ] {
            let whole = decode_prefix(&headers(coding), &pieces(&body, 50), 64);
            assert_eq!(whole, event[..64], "{coding}");
        }
        let mut cut = gzip(JSON);
        cut.truncate(cut.len() - 12);
        let prefix = decode_prefix(&headers("gzip"), &[cut.into()], 4096);
        assert!(prefix.len() > 20 && JSON.starts_with(&prefix), "{prefix:?}");
        assert!(decode_prefix(&headers("foo"), &[Bytes::from_static(JSON)], 64).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics_and_respects_the_limit(
            which in 0_usize..10,
            flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
            limit in 0_usize..200,
        ) {
            let (coding, mut body) = coded().swap_remove(which);
            for (at, byte) in flips {
                let length = body.len();
                body[at % length] = byte;
            }
            let body = pieces(&body, 13);
            if let Ok(decoded) = decode(&headers(coding), &body, limit) {
                prop_assert!(decoded.len() <= limit);
            }
            prop_assert!(decode_prefix(&headers(coding), &body, limit).len() <= limit);
        }

        #[test]
        fn never_panics_on_anything(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[A-Za-z0-9+/=]{0,80}") {
            for coding in ["", "gzip", "deflate", "br", "zstd"] {
                let _ = decoded(coding, &body);
            }
            let _ = decoded("", text.as_bytes());
            let _ = decode_query(&format!("sentry_data={text}"), 50);
        }
    }
}

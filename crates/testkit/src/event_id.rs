//! Finds the event id of an ingest request, well enough to answer `{"id":…}`.
//!
//! Deliberately independent of the `event` crate: a fake that shares the code under test cannot disagree with it.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::received::Received;

/// Returns the event id as 32 lower-case hexadecimal digits: from the envelope header, the store body, or `sentry_data`.
///
/// Undoes gzip, zlib and base64; other codings find nothing.
pub(crate) fn find(request: &Received) -> Option<String> {
    let query = request.query();
    let data = query.iter().find(|(name, _)| name == "sentry_data");
    let plain = match data {
        Some((_, value)) => value.clone().into_bytes(),
        None => decoded(&request.body),
    };
    let first_line = plain.split(|byte| *byte == b'\n').next()?;
    id_of(&plain).or_else(|| id_of(first_line))
}

#[derive(Deserialize)]
struct HasId {
    event_id: String,
}

fn id_of(json: &[u8]) -> Option<String> {
    let HasId { event_id } = serde_json::from_slice(json).ok()?;
    let id = event_id.replace('-', "").to_ascii_lowercase();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

fn decoded(body: &[u8]) -> Vec<u8> {
    match body {
        [0x1f, 0x8b, ..] => bounded(flate2::read::GzDecoder::new(body)),
        [0x78, ..] => bounded(flate2::read::ZlibDecoder::new(body)),
        [b'e', b'J', ..] => match STANDARD.decode(body) {
            Ok(zlib) => bounded(flate2::read::ZlibDecoder::new(zlib.as_slice())),
            Err(_) => Vec::new(),
        },
        _ => body.to_vec(),
    }
}

fn bounded(reader: impl Read) -> Vec<u8> {
    let mut plain = Vec::new();
    let _ = reader.take(MAX_DECODED).read_to_end(&mut plain);
    plain
}

const MAX_DECODED: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, SocketAddr};

    use bytes::Bytes;

    use super::*;
    use crate::received::Origin;

    const ID: &str = "5a552273622c4d949495df39b7b063c8";

    #[test]
    fn finds_the_id_in_every_shape() {
        let store = format!(r#"{{"event_id":"{ID}","level":"error"}}"#).into_bytes();
        let hyphened = r#"{"event_id":"5A552273-622c-4d94-9495-df39b7b063c8"}"#;
        let envelope = format!("{hyphened}\n{{\"type\":\"event\"}}\n{{}}").into_bytes();
        let table = [
            store.clone(),
            envelope.clone(),
            gzip(&envelope),
            zlib(&store),
            STANDARD.encode(zlib(&store)).into_bytes(),
        ];
        for body in table {
            assert_eq!(find(&request("/api/1/store/", body)).as_deref(), Some(ID));
        }
        let image = format!("/api/1/store/?sentry_data=%7B%22event_id%22%3A%22{ID}%22%7D");
        assert_eq!(find(&request(&image, Vec::new())).as_deref(), Some(ID));
    }

    #[test]
    fn finds_nothing_in_other_bodies() {
        for body in [
            "",
            "{}\n",
            "not json",
            r#"{"event_id":"7"}"#,
            "\u{1f}\u{8b}",
            "eJ",
        ] {
            assert_eq!(find(&request("/api/1/envelope/", body.into())), None);
        }
    }

    fn request(target: &str, body: Vec<u8>) -> Received {
        let head = format!("POST {target} HTTP/1.1\r\n\r\n");
        let origin = Origin {
            connection: 1,
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        };
        let request = Received::parse(Bytes::from(head), origin).unwrap();
        Received {
            body: body.into(),
            ..request
        }
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }
}

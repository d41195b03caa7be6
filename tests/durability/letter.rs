//! Numbered requests in the forms in which SDKs send them: the number alone decides every byte.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use testkit::SdkRequest;

use crate::chance::Chance;

/// A request that can be told from all others.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) request: SdkRequest,
    /// Its event's id, which its answer has to name.
    pub(crate) id: String,
}

/// Writes letters.
#[derive(Debug)]
pub(crate) struct Writer {
    seed: u64,
    /// Text that bodies are cut from.
    text: Bytes,
}

impl Writer {
    /// Makes a writer whose letters follow from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut text = BytesMut::with_capacity(LONGEST + SLACK);
        while text.len() < LONGEST + SLACK {
            text.put_slice(&chance.next().to_le_bytes().map(|byte| b'a' + byte % 26));
        }
        Self {
            seed,
            text: text.freeze(),
        }
    }

    /// Writes the letter of a number, between 200 bytes and 20 KB; a few have more than a megabyte.
    pub(crate) fn write(&self, number: u64) -> Letter {
        let mut chance = self.chance(number);
        let size = match chance.once_in(400) {
            true => chance.size(LARGE, LONGEST),
            false => chance.size(200, 20_000),
        };
        self.write_sized(number, size)
    }

    /// Writes the letter of a number with about so many bytes.
    pub(crate) fn write_sized(&self, number: u64, size: usize) -> Letter {
        let mut chance = self.chance(number);
        let start = chance.below(SLACK as u64) as usize;
        let text = &self.text[start..start + size];
        let (id, project) = (format!("{number:032x}"), 1 + number % 4);
        let target =
            |endpoint: &str| format!("/api/{project}/{endpoint}/?n={number}&sentry_key={KEY}");
        let event = event(&id, text);
        let request = match number % 5 {
            0 => SdkRequest::new("POST", target("store"))
                .header("Content-Type", "application/json")
                .body(event),
            1 => SdkRequest::new("POST", target("envelope")).body(envelope(&id, &event)),
            2 => SdkRequest::new("POST", target("envelope"))
                .header("Content-Encoding", "gzip")
                .body(gzip(&envelope(&id, &event))),
            3 => SdkRequest::new("POST", target("envelope"))
                .header("Transfer-Encoding", "chunked")
                .chunk_size(1 + size / 3)
                .body(envelope(&id, &event)),
            // Not as plain as others, so it takes the long way through the proxy.
            _ => SdkRequest::new("POST", target("envelope"))
                .header("Expect", "100-continue")
                .body(envelope(&id, &event)),
        };
        Letter { request, id }
    }

    fn chance(&self, number: u64) -> Chance {
        Chance::new(self.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }
}

/// Returns the number in a target.
pub(crate) fn number(target: &str) -> Option<u64> {
    let (_, rest) = target.split_once("?n=")?;
    rest.split('&').next()?.parse().ok()
}

fn event(id: &str, text: &[u8]) -> Vec<u8> {
    let mut event =
        format!("{{\"event_id\":\"{id}\",\"level\":\"info\",\"message\":\"").into_bytes();
    event.extend_from_slice(text);
    event.extend_from_slice(b"\"}");
    event
}

fn envelope(id: &str, event: &[u8]) -> Vec<u8> {
    let length = event.len();
    let head = format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\",\"length\":{length}}}\n");
    [head.as_bytes(), event, b"\n"].concat()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

const KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// More than `forward.buffer`, also when compressed.
const LARGE: usize = 2 << 20;
const LONGEST: usize = 4 << 20;
const SLACK: usize = 1 << 20;

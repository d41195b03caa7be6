//! How long it takes to see that an envelope cannot alert, beside what it takes to decode and parse the same bytes.
//!
//! `cargo bench --bench scan -- [--seconds N] [--save NAME]` prints medians of alternating rounds. `--save` keeps the
//! table in `benches/runs/NAME.txt`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::EndpointKind;
use event::scan::{Scanner, Wants};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

#[path = "table.rs"]
mod table;

use table::Flags;

fn main() -> ExitCode {
    Flags::publish(|flags| Result::<_, Infallible>::Ok(measure(flags.seconds(2))))
}

fn measure(budget: Duration) -> String {
    let mut table = String::from(
        "envelope              coding     bytes  decoded   scan µs   decode µs   decode + parse µs   may alert\n",
    );
    for (name, ty, size) in [
        ("session", "session", 200),
        ("transaction", "transaction", 10 << 10),
        ("transaction", "transaction", 100 << 10),
        ("error", "event", 10 << 10),
        ("error", "event", 100 << 10),
        ("spans", "span", 10 << 10),
    ] {
        let body = envelope(ty, size);
        for (coding, coded) in [
            ("", body.clone()),
            ("gzip", gzip(&body)),
            ("br", brotli(&body)),
        ] {
            let row = measure_one(coding, &coded, budget);
            let _ = writeln!(
                table,
                "{name:<20} {coding:>7} {:>9} {:>8} {:>9.2} {:>11.2} {:>19.2}   {}",
                coded.len(),
                body.len(),
                row.scan,
                row.decode,
                row.parse,
                row.may_alert,
            );
        }
    }
    table
}

/// Medians in microseconds.
struct Row {
    scan: f64,
    decode: f64,
    parse: f64,
    may_alert: bool,
}

fn measure_one(coding: &'static str, body: &[u8], budget: Duration) -> Row {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
    let pieces = [Bytes::copy_from_slice(body)];
    let mut scanner = Scanner::new();
    let decode = || event::decode::decode(&headers, &pieces, 1 << 20).expect("the body is sound");
    let (mut scan, mut decoded, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
    let started = Instant::now();
    while started.elapsed() < budget / 10 || scan.len() < ROUNDS {
        scan.push(timed(|| {
            usize::from(scanner.may_alert(Some(coding.as_bytes()), body, Wants::default()))
        }));
        decoded.push(timed(|| decode().len()));
        parsed.push(timed(|| {
            let body = decode();
            let parsed = event::parse_body(&body, EndpointKind::Envelope);
            parsed.expect("the body is sound").events.len()
        }));
    }
    Row {
        scan: median(scan),
        decode: median(decoded),
        parse: median(parsed),
        may_alert: scanner.may_alert(Some(coding.as_bytes()), body, Wants::default()),
    }
}

/// Returns the microseconds that one call takes, as the mean of several.
fn timed(mut call: impl FnMut() -> usize) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS {
        black_box(call());
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// An envelope of about this size, filled with spans whose ids do not compress.
fn envelope(ty: &str, size: usize) -> Vec<u8> {
    let mut body = format!(
        "{{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\",\"sent_at\":\"2026-11-25T10:00:00.000Z\"}}\n{{\"type\":\"{ty}\"}}\n{{\"spans\":["
    );
    let mut random = 88_172_645_463_325_252_u64;
    while body.len() < size {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let _ = write!(
            body,
            "{{\"span_id\":\"{random:016x}\",\"op\":\"db.query\",\"description\":\"SELECT * FROM t WHERE id = {:08x}\",\"timestamp\":1764064800.{}}},",
            random >> 40,
            random % 1_000_000,
        );
    }
    body.push_str("{}]}\n");
    body.into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(body).expect("memory takes everything");
    encoder.into_inner()
}

/// Calls in one round.
const CALLS: u32 = 50;

/// Rounds at the least.
const ROUNDS: usize = 30;

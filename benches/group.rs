//! How long it takes to parse and group an event, beside what `serde_json` takes to read the same bytes into a `Value`.
//!
//! `cargo bench --bench group -- [--seconds N] [--save NAME]` prints medians of alternating rounds, and their ratio: the
//! machine may be slow or busy, the ratio stays. `--save` keeps the table in `benches/runs/NAME.txt`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use event::EndpointKind;
use serde_json::{Value, json};

#[path = "table.rs"]
mod table;

use table::Flags;

fn main() -> ExitCode {
    Flags::publish(|flags| Result::<_, Infallible>::Ok(measure(flags.seconds(3))))
}

fn measure(budget: Duration) -> String {
    let mut table = String::from(
        "event                      bytes    frames   parse µs   parse + group µs   Value µs   ratio\n",
    );
    for (name, frames, body) in [
        ("the user's sample", 5, sample_event()),
        ("python, 8 frames", 8, python_event(8, 4)),
        ("python, 10 frames", 10, python_event(10, 5)),
        ("python, 250 frames", 250, python_event(250, 12)),
        ("native, 250 frames", 250, native_event(250)),
    ] {
        let row = measure_one(&body, budget);
        let ratio = row.grouped / row.value;
        let _ = writeln!(
            table,
            "{name:<24} {:>7} {frames:>9} {:>10.1} {:>18.1} {:>10.1} {ratio:>7.2}",
            body.len(),
            row.parsed,
            row.grouped,
            row.value,
        );
    }
    table
}

/// The example of the user who asked for this program, as compact as SDKs send events.
fn sample_event() -> Vec<u8> {
    let text = include_str!("../crates/testkit/src/sdk/samples/sample-event.json");
    let event: Value = serde_json::from_str(text).expect("the sample is sound");
    event.to_string().into_bytes()
}

/// Medians in microseconds.
struct Row {
    parsed: f64,
    grouped: f64,
    value: f64,
}

fn measure_one(body: &[u8], budget: Duration) -> Row {
    let config = grouping::Config::default();
    let parse = || event::parse_body(body, EndpointKind::Store).expect("the event is well formed");
    let (mut parsed, mut grouped, mut value) = (Vec::new(), Vec::new(), Vec::new());
    let started = Instant::now();
    while started.elapsed() < budget || parsed.len() < ROUNDS {
        parsed.push(timed(|| parse().events.len()));
        grouped.push(timed(|| {
            grouping::group(&parse().events[0], &config).hashes.len()
        }));
        value.push(timed(|| {
            usize::from(serde_json::from_slice::<Value>(body).is_ok())
        }));
    }
    Row {
        parsed: median(parsed),
        grouped: median(grouped),
        value: median(value),
    }
}

/// Returns the microseconds that one call takes, as the mean of several.
fn timed(call: impl Fn() -> usize) -> f64 {
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

/// An event as sentry-python sends it: half of the frames in the application, source lines around each, local variables.
fn python_event(frames: usize, lines: usize) -> Vec<u8> {
    let frames: Vec<Value> = (0..frames).map(|number| frame(number, lines)).collect();
    let event = json!({
        "event_id": "9ec79c33ec9942ab8353589fcb2e04dc",
        "level": "error",
        "platform": "python",
        "timestamp": "2026-11-23T10:00:00.000000Z",
        "environment": "production",
        "release": "shop-api@2.3.1",
        "server_name": "web-03",
        "transaction": "shop.api.settle_order",
        "exception": {"values": [{
            "type": "ZeroDivisionError",
            "value": "division by zero in order 88231",
            "mechanism": {"type": "django", "handled": false},
            "stacktrace": {"frames": frames},
        }]},
        "request": {"url": "https://shop.example.com/api/order/settle", "method": "POST"},
        "user": {"id": "u_10427"},
        "tags": {"region": "cn-east"},
        "modules": {"django": "5.2.1", "sentry-sdk": "2.75.0"},
        "sdk": {"name": "sentry.python", "version": "2.75.0"},
    });
    event.to_string().into_bytes()
}

fn frame(number: usize, lines: usize) -> Value {
    let is_ours = number.is_multiple_of(2);
    let package = if is_ours { "shop" } else { "django/core" };
    let context: Vec<String> = (0..lines)
        .map(|line| format!("    value_{line} = compute(order, {line})  # step {line}"))
        .collect();
    json!({
        "filename": format!("{package}/part_{number}.py"),
        "abs_path": format!("/srv/app/{package}/part_{number}.py"),
        "module": format!("{}.part_{number}", package.replace('/', ".")),
        "function": format!("step_{number}"),
        "lineno": 40 + number,
        "context_line": format!("    return step_{}(order, total / count)", number + 1),
        "pre_context": context,
        "post_context": context,
        "in_app": is_ours,
        "vars": {"order": "<Order 88231>", "total": "120", "count": "0"},
    })
}

/// A crash of a C++ program: full signatures, which have to be trimmed, in libraries that the rules know.
fn native_event(frames: usize) -> Vec<u8> {
    let frames: Vec<Value> = (0..frames)
        .map(|number| {
            let package = ["/usr/lib/libstdc++.so.6", "/opt/shop/bin/shop"][number % 2];
            json!({
                "function": format!("void shop::Cart<std::vector<int, std::allocator<int> > >::step_{number}(int, char const*) const"),
                "instruction_addr": format!("{:#x}", 0x7f00_0000 + number),
                "symbol_addr": "0x7f000000",
                "package": package,
                "trust": "cfi",
                "in_app": number % 2 == 1,
            })
        })
        .collect();
    let stacktrace = json!({"frames": frames});
    let exception =
        json!({"type": "SIGSEGV", "value": "Segmentation fault", "stacktrace": stacktrace});
    let event =
        json!({"platform": "native", "level": "fatal", "exception": {"values": [exception]}});
    event.to_string().into_bytes()
}

/// Calls in one round.
const CALLS: u32 = 20;

/// Rounds at the least.
const ROUNDS: usize = 20;

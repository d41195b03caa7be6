//! Real SDKs report a burst to a Sentry that answers three seconds late, and end two seconds after it.
//!
//! Most SDKs send one request at a time, so that a slow answer costs them all that waits behind it.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use brotli::Decompressor;
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Behaviour, FakeSentry, Received};

use crate::children::Running;
use crate::play::{run_to_end, start_program};
use crate::rust_client;
use crate::tools::Tools;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sentry_costs_no_event_of_the_python_sdk() {
    let Some(tools) = Tools::find() else { return };
    for patience in ["1s", "0s"] {
        let lost =
            lost_behind_us(|dsn| script(tools.python("python_burst.py"), dsn), patience).await;
        assert_eq!(lost, [""; 0], "of {COUNT} with a patience of {patience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sentry_costs_no_event_of_the_node_sdk() {
    let Some(tools) = Tools::find() else { return };
    for patience in ["1s", "0s"] {
        let lost = lost_behind_us(|dsn| script(tools.node("node_burst.mjs"), dsn), patience).await;
        assert_eq!(lost, [""; 0], "of {COUNT} with a patience of {patience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sentry_costs_no_event_of_the_rust_sdk() {
    for patience in ["1s", "0s"] {
        let lost = lost_behind_us(|dsn| rust_client::command(dsn, COUNT), patience).await;
        assert_eq!(lost, [""; 0], "of {COUNT} with a patience of {patience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_us_the_rust_sdk_loses_nearly_everything() {
    let sentry = slow_sentry().await;

    let reported = report(rust_client::command(
        &dsn(&sentry.address().to_string()),
        COUNT,
    ));

    let arrived = arrived(&sentry, &reported, Duration::ZERO).await;
    let lost = reported.difference(&arrived).count();
    assert!(lost >= 40, "{lost} of {COUNT}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_us_the_python_sdk_loses_nearly_everything() {
    let Some(tools) = Tools::find() else { return };
    let sentry = slow_sentry().await;
    let dsn = dsn(&sentry.address().to_string());

    let reported = report(script(tools.python("python_burst.py"), &dsn));

    let arrived = arrived(&sentry, &reported, Duration::ZERO).await;
    let lost = reported.difference(&arrived).count();
    assert!(
        lost >= 40,
        "{lost} of {COUNT}: then the other tests prove little"
    );
}

/// Lets a client report through the program; returns what never reached Sentry.
async fn lost_behind_us(client: impl FnOnce(&str) -> Command, patience: &str) -> Vec<String> {
    let sentry = slow_sentry().await;
    let directory = tempfile::tempdir().unwrap();
    let (program, address) = start(&directory, &sentry, patience);

    let reported = report(client(&dsn(&address)));

    let arrived = arrived(&sentry, &reported, WITHIN).await;
    drop(program);
    reported.difference(&arrived).cloned().collect()
}

async fn slow_sentry() -> FakeSentry {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().always(Behaviour::usual().delayed(LATE));
    sentry
}

fn start(directory: &TempDir, sentry: &FakeSentry, patience: &str) -> (Running, String) {
    let config = format!(
        r#"
listen = "127.0.0.1:0"
upstream.url = "{}"
forward.patience = "{patience}"
spool.dir = "{}"
state.kind = "memory"
admin.listen = "127.0.0.1:0"
"#,
        sentry.url(),
        directory.path().join("spool").display(),
    );
    start_program(&config)
}

fn dsn(address: &str) -> String {
    format!("http://{}@{address}/1", "a".repeat(32))
}

fn script(mut client: Command, dsn: &str) -> Command {
    client.args([dsn, &COUNT.to_string()]);
    client
}

/// Runs a client to its end; returns the ids of what it reported.
fn report(mut client: Command) -> BTreeSet<String> {
    let said = run_to_end("the burst", &mut client);
    let is_id =
        |line: &String| line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let reported: BTreeSet<String> = said.into_iter().filter(is_id).collect();
    assert_eq!(reported.len(), COUNT);
    reported
}

/// Returns what was reported and arrived, once that is all or the time is over.
async fn arrived(
    sentry: &FakeSentry,
    reported: &BTreeSet<String>,
    within: Duration,
) -> BTreeSet<String> {
    let deadline = Instant::now() + within;
    loop {
        let received = sentry.received();
        let arrived: BTreeSet<String> = received.iter().filter_map(event_id).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if arrived.is_superset(reported) || sentry.wait_for(received.len() + 1, left).await.is_err()
        {
            return arrived;
        }
    }
}

/// Returns the id in an envelope's header.
fn event_id(received: &Received) -> Option<String> {
    let mut envelope = Vec::new();
    match received.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&received.body[..]).read_to_end(&mut envelope),
        Some("br") => Decompressor::new(&received.body[..], 4096).read_to_end(&mut envelope),
        _ => (&received.body[..]).read_to_end(&mut envelope),
    }
    .ok()?;
    let header = envelope.split(|byte| *byte == b'\n').next()?;
    let header: Value = serde_json::from_slice(header).ok()?;
    // The Rust SDK writes it with hyphens.
    Some(header["event_id"].as_str()?.replace('-', ""))
}

const COUNT: usize = 60;
const LATE: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_secs(60);

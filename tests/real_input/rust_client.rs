//! The Rust SDK as a process of its own: this test program once more, asked for the one test that is a client.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::process::Command;
use std::thread;
use std::time::Duration;

use sentry::ClientOptions;

/// Returns the command that reports a burst of errors and ends; it prints an id for each error.
pub(crate) fn command(dsn: &str, count: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "rust_client::reports_a_burst",
            "--ignored",
            "--nocapture",
        ])
        .env(DSN, dsn)
        .env(COUNT, count.to_string());
    command
}

/// Reports as an application in trouble does, and ends as one that is stopped: after two seconds at most.
#[test]
#[ignore = "a client for other tests"]
#[expect(clippy::disallowed_methods, reason = "errors come one by one")]
fn reports_a_burst() {
    let (Ok(dsn), Ok(count)) = (std::env::var(DSN), std::env::var(COUNT)) else {
        return;
    };
    // reqwest, which both of us use, is built without a choice of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Its own limit for the end is these two seconds.
    let client = sentry::init((dsn, ClientOptions::default()));
    for number in 0..count.parse().unwrap() {
        let fault = std::io::Error::other(format!("order {number} failed"));
        say(&sentry::capture_error(&fault).simple().to_string());
        thread::sleep(GAP);
    }
    drop(client);
}

#[expect(clippy::print_stdout, reason = "what a client says")]
fn say(id: &str) {
    println!("{id}");
}

const DSN: &str = "RUST_CLIENT_DSN";
const COUNT: &str = "RUST_CLIENT_COUNT";
const GAP: Duration = Duration::from_millis(50);

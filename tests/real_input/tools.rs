//! Where the real clients and the real server are, as `tests/setup.sh` wrote it into `target/test-env/env.sh`.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

/// The programs that a run needs.
pub(crate) struct Tools {
    /// A Python that has `sentry-sdk`.
    python: PathBuf,
    /// A Python that has Bugsink.
    bugsink: PathBuf,
    /// The databases that Bugsink starts from.
    pub(crate) snapshot: PathBuf,
    node: PathBuf,
}

impl Tools {
    /// Returns the programs; none, after saying so, when one is not set up.
    ///
    /// # Panics
    ///
    /// When one is not set up, but `SENTRY_NOTICE_REQUIRE_REAL` is set.
    pub(crate) fn find() -> Option<Self> {
        match Self::from_environment() {
            Ok(tools) => Some(tools),
            Err(missing) => {
                let message = format!("`{missing}` is not set\nhint: tests/run.sh sets it");
                assert!(
                    env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
                    "{message}"
                );
                skip(&message);
                None
            }
        }
    }

    fn from_environment() -> Result<Self, &'static str> {
        // node_sdk.mjs reads this one by itself.
        path("SENTRY_NOTICE_NODE_MODULES")?;
        Ok(Self {
            python: path("SENTRY_NOTICE_PYTHON")?,
            bugsink: path("SENTRY_NOTICE_BUGSINK")?,
            snapshot: path("SENTRY_NOTICE_BUGSINK_SNAPSHOT")?,
            node: path("SENTRY_NOTICE_NODE")?,
        })
    }

    /// Returns a command that runs a script of `tests/clients` with the SDK's Python.
    pub(crate) fn python(&self, script: &str) -> Command {
        script_command(&self.python, script)
    }

    /// Returns a command that runs a script of `tests/clients` with Bugsink's Python.
    pub(crate) fn bugsink(&self, script: &str) -> Command {
        script_command(&self.bugsink, script)
    }

    /// Returns a command that runs a script of `tests/clients` with Node.js.
    pub(crate) fn node(&self, script: &str) -> Command {
        script_command(&self.node, script)
    }
}

fn path(variable: &'static str) -> Result<PathBuf, &'static str> {
    env::var_os(variable).map(PathBuf::from).ok_or(variable)
}

fn script_command(program: &PathBuf, script: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(PathBuf::from(CLIENTS).join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    // A machine's web proxy is not for 127.0.0.1.
    command
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    command
}

/// Says that a test did not run, past the capture of the test harness, which would hide it.
fn skip(message: &str) {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "skipped: real-input tests: {message}").expect("stderr is open");
}

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients");

//! A real browser that a test leads step by step, see tests/clients/status_page.mjs.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A browser that looks at one program's admin pages; ended when dropped.
pub(crate) struct Browser {
    steps: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _node: Child,
}

impl Browser {
    /// Starts one; none, after saying so, when it is not set up.
    ///
    /// # Panics
    ///
    /// When it is not set up, but `SENTRY_NOTICE_REQUIRE_REAL` is set.
    pub(crate) fn start(admin: SocketAddr) -> Option<Self> {
        let node = variable("SENTRY_NOTICE_NODE")?;
        variable("SENTRY_NOTICE_NODE_MODULES")?;
        variable("SENTRY_NOTICE_CHROMIUM")?;
        let mut node = Command::new(node)
            .arg(SCRIPT)
            .arg(admin.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Some(Self {
            steps: node.stdin.take().unwrap(),
            answers: BufReader::new(node.stdout.take().unwrap()).lines(),
            _node: node,
        })
    }

    /// Takes a step, such as `{"do": "open"}`, and returns what it saw.
    pub(crate) async fn step(&mut self, step: Value) -> Value {
        let line = format!("{step}\n");
        self.steps.write_all(line.as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, self.answers.next_line()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {step}"));
        let answer = answer
            .unwrap()
            .unwrap_or_else(|| panic!("the browser ended at {step}"));
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(
            answer["error"].is_null(),
            "{}",
            answer["error"].as_str().unwrap_or_default()
        );
        answer["ok"].take()
    }

    /// Waits until a place shows a text; the page must not have been loaded anew meanwhile.
    pub(crate) async fn sees(&mut self, place: &str, text: &str) {
        let is_same = self
            .step(json!({"do": "see", "place": place, "text": text}))
            .await;
        assert_eq!(
            is_same, true,
            "the page was loaded anew before it showed {text}"
        );
    }

    /// Nothing happened that never may: no dialog, no error, no request to elsewhere.
    pub(crate) async fn is_calm(&mut self) {
        assert_eq!(self.step(json!({"do": "alarms"})).await, json!([]));
    }
}

/// Returns where a tool is; none, after saying so, when it is not set up.
pub(crate) fn variable(name: &'static str) -> Option<String> {
    let value = env::var(name).ok();
    if value.is_none() {
        let message =
            format!("`{name}` is not set\nhint: tests/setup.sh && . target/test-env/env.sh");
        assert!(
            env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
            "{message}"
        );
        // Past the capture of the test harness, which would hide it.
        writeln!(io::stderr().lock(), "skipped: browser tests: {message}").unwrap();
    }
    value
}

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/clients/status_page.mjs"
);

/// Longer than the browser's own patience.
const PATIENCE: Duration = Duration::from_secs(60);

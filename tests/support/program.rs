//! The real program as a child of the test: the addresses that it printed, and what it says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The program while it runs; ended when dropped.
pub(crate) struct RunningProxy {
    pub(crate) child: Child,
    /// Where SDKs connect to.
    pub(crate) address: SocketAddr,
    /// Where the admin pages are.
    pub(crate) admin: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl RunningProxy {
    /// Takes charge of a child that was started with its standard error piped, and waits until it listens.
    pub(crate) fn watch(mut child: Child) -> Self {
        let output = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Reads on to the end, so that the program can go on talking.
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut heard = VecDeque::new();
        let mut hear = |text| {
            let found = wait_to_hear(&lines, text, &mut heard);
            found.unwrap_or_else(|| panic!("`{text}` was not said in time, but: {heard:#?}"))
        };
        let (address, admin) = (hear("listening on http://"), hear("admin on http://"));
        Self {
            child,
            address: address.parse().unwrap(),
            admin: admin.parse().unwrap(),
            lines,
        }
    }

    /// Waits for a line with this text and returns what follows it.
    pub(crate) fn wait_to_hear(&self, text: &str) -> String {
        let mut heard = VecDeque::new();
        let found = wait_to_hear(&self.lines, text, &mut heard);
        found.unwrap_or_else(|| panic!("`{text}` was not said in time, but: {heard:#?}"))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a call of the program whose output can be read.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Settings of whoever runs the tests must not change them.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SENTRY_NOTICE__") {
            command.env_remove(name);
        }
    }
    // Tests side by side must not find one another's state in its default place.
    if arguments.first() == Some(&"run") {
        command.env(STATE_KIND, "memory");
    }
    command
}

fn wait_to_hear(
    lines: &mpsc::Receiver<String>,
    text: &str,
    heard: &mut VecDeque<String>,
) -> Option<String> {
    loop {
        let line = lines.recv_timeout(PATIENCE).ok()?;
        if let Some((_, rest)) = line.split_once(text) {
            return Some(rest.trim().to_owned());
        }
        heard.push_back(line);
    }
}

pub(crate) const STATE_KIND: &str = "SENTRY_NOTICE__STATE__KIND";
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sentry-notice");

/// How long to wait for what should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

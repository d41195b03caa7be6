//! Child processes that are watched, waited for with a time limit, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A running program, with every line that it prints.
pub(crate) struct Running {
    name: String,
    child: Child,
    incoming: Receiver<Line>,
    lines: Vec<Line>,
}

/// How a program ended and what it printed.
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The lines of its standard output.
    pub(crate) stdout: Vec<String>,
    /// Everything that it printed, in order, for people.
    pub(crate) log: String,
}

/// A line and where it was printed.
enum Line {
    Stdout(String),
    Stderr(String),
}

impl Running {
    /// Starts a program. Its standard input stays open until it is told to end.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
        let (sender, incoming) = mpsc::channel();
        follow(child.stdout.take(), sender.clone(), Line::Stdout);
        follow(child.stderr.take(), sender, Line::Stderr);
        Self {
            name: name.to_owned(),
            child,
            incoming,
            lines: Vec::new(),
        }
    }

    /// Waits for a line, on either stream, in which `find` finds something.
    pub(crate) fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + START_WITHIN;
        while self.receive(deadline) {
            if let Some(found) = self.lines.last().and_then(|line| find(line.text())) {
                return found;
            }
        }
        panic!("{} did not print {what}:\n{}", self.name, self.log());
    }

    /// Asks the program to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> Ended {
        signal_term(&self.child);
        self.ended(STOP_WITHIN)
    }

    /// Waits until the program ends by itself.
    pub(crate) fn finish(mut self) -> Ended {
        drop(self.child.stdin.take());
        self.ended(FINISH_WITHIN)
    }

    fn ended(&mut self, within: Duration) -> Ended {
        self.drain(within);
        assert!(
            self.is_silent(),
            "{} did not end within {within:?}:\n{}",
            self.name,
            self.log()
        );
        let stdout = self.lines.iter().filter_map(|line| match line {
            Line::Stdout(text) => Some(text.clone()),
            Line::Stderr(_) => None,
        });
        Ended {
            status: self
                .child
                .wait()
                .expect("a child of ours can be waited for"),
            stdout: stdout.collect(),
            log: self.log(),
        }
    }

    /// Keeps lines until both streams are closed or the time is over.
    fn drain(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.receive(deadline) {}
    }

    /// Keeps the next line; false when there is none until the deadline, or never again.
    fn receive(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.incoming
            .recv_timeout(left)
            .map(|line| self.lines.push(line))
            .is_ok()
    }

    /// Tells whether both streams are closed.
    fn is_silent(&self) -> bool {
        self.incoming
            .recv_timeout(Duration::ZERO)
            .is_err_and(|error| error == RecvTimeoutError::Disconnected)
    }

    fn log(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(Line::text).collect();
        lines.join("\n")
    }
}

impl Drop for Running {
    /// Ends the program in the kind way first, so that it can end its own children.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.stdin.take());
            signal_term(&self.child);
            self.drain(STOP_WITHIN);
            // Nothing can be done about a failure here; a second panic would hide the first.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Line {
    fn text(&self) -> &str {
        match self {
            Self::Stdout(text) | Self::Stderr(text) => text,
        }
    }
}

/// Sends each line of a stream to the channel; ends with the stream.
fn follow(
    stream: Option<impl Read + Send + 'static>,
    lines: Sender<Line>,
    kind: fn(String) -> Line,
) {
    let stream = stream.expect("both streams are piped");
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if lines.send(kind(text)).is_err() {
                return;
            }
        }
    });
}

/// Sends SIGTERM; the standard library knows only SIGKILL.
fn signal_term(child: &Child) {
    let kill = format!("kill -TERM {}", child.id());
    let _ = Command::new("sh")
        .args(["-c", &kill])
        .stderr(Stdio::null())
        .status();
}

const START_WITHIN: Duration = Duration::from_secs(60);
const FINISH_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(30);

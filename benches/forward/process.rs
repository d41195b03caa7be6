//! A program that is measured: started in its own directory, watched through /proc, never left behind.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Outcome;

/// A running program and everything that it started. Dropping it kills them all.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    directory: TempDir,
    /// Each thread that was ever seen, so that one that has ended still counts.
    threads: HashMap<u32, Thread>,
}

/// CPU time by what threads are for: their names without numbers, `forward-0` as `forward`.
pub(crate) type CpuByRole = BTreeMap<String, Duration>;

#[derive(Debug)]
struct Thread {
    role: String,
    cpu: Duration,
}

/// Resident memory of all processes of a tree, in bytes. Pages that they share count once for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The sum of what each had at most.
    pub(crate) peak: u64,
}

impl Process {
    /// Starts a program whose files are in `directory`; what it prints goes to a file there.
    pub(crate) fn start(command: &mut Command, directory: TempDir) -> Outcome<Self> {
        let output = fs::File::create(directory.path().join(OUTPUT))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| {
                format!(
                    "could not start `{}`: {error}",
                    command.get_program().display()
                )
            })?;
        Ok(Self {
            child,
            directory,
            threads: HashMap::new(),
        })
    }

    /// Waits until the program accepts connections.
    pub(crate) async fn accepts(&mut self, address: SocketAddr) -> Outcome<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).await.is_err() {
            self.must_be_starting(deadline)?;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until the program has printed `marker`; returns what follows on that line.
    pub(crate) async fn prints(&mut self, marker: &str) -> Outcome<String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let output = self.output();
            let complete = output
                .rsplit_once('\n')
                .map_or("", |(complete, _)| complete);
            if let Some(found) = complete
                .lines()
                .find_map(|line| Some(line.split_once(marker)?.1))
            {
                return Ok(found.to_owned());
            }
            self.must_be_starting(deadline)?;
            sleep(POLL).await;
        }
    }

    /// Returns the CPU time of all threads of all processes, since each started.
    pub(crate) fn cpu(&mut self) -> Duration {
        for process in self.tree() {
            self.threads.extend(threads(process));
        }
        self.threads.values().map(|thread| thread.cpu).sum()
    }

    /// Returns [`Process::cpu`] as it was when last looked at, by role.
    pub(crate) fn cpu_by_role(&self) -> CpuByRole {
        let mut roles = CpuByRole::new();
        for thread in self.threads.values() {
            *roles.entry(thread.role.clone()).or_default() += thread.cpu;
        }
        roles
    }

    /// Waits until the program uses no CPU any more, as far as that happens soon; returns [`Process::cpu`].
    pub(crate) async fn settled(&mut self) -> Duration {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut before = self.cpu();
        let mut quiet = 0;
        while quiet < 2 && Instant::now() < deadline {
            sleep(POLL).await;
            let now = self.cpu();
            quiet = if now - before < QUIET { quiet + 1 } else { 0 };
            before = now;
        }
        before
    }

    /// Returns the resident memory of all processes.
    pub(crate) fn memory(&self) -> Memory {
        let mut memory = Memory { now: 0, peak: 0 };
        for process in self.tree() {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            memory.now += kilobytes(&status, "VmRSS:") << 10;
            memory.peak += kilobytes(&status, "VmHWM:") << 10;
        }
        memory
    }

    fn must_be_starting(&mut self, deadline: Instant) -> Outcome<()> {
        let ended = self.child.try_wait()?;
        if ended.is_none() && Instant::now() < deadline {
            return Ok(());
        }
        let what = ended.map_or("does not listen".to_owned(), |status| {
            format!("ended with {status}")
        });
        Err(format!("{what}: {}", self.output().trim()).into())
    }

    fn output(&self) -> String {
        fs::read(self.directory.path().join(OUTPUT))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Returns the program's process and those that it started, they started, and so on.
    fn tree(&self) -> Vec<u32> {
        let parents = parents();
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            tree.extend(
                parents
                    .iter()
                    .filter(|(_, of)| *of == parent)
                    .map(|(process, _)| *process),
            );
            next += 1;
        }
        tree
    }
}

impl Drop for Process {
    /// Asks the program to end, so that it can wait for its own children; kills what is left after a short time.
    fn drop(&mut self) {
        let tree = self.tree();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause();
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            tree.into_iter()
                .for_each(|process| signal(process, Signal::KILL));
        }
        self.child.wait().ok();
    }
}

/// Tells whether `program` can be started, in the places where Debian keeps servers too.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|file| Path::is_file(file))
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        kill_process(process, signal).ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "dropping cannot await")]
fn pause() {
    std::thread::sleep(POLL);
}

/// Returns every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // The name before the closing parenthesis may hold anything.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((process, parent))
        })
        .collect()
}

/// Returns the threads of a process. Source: proc(5), the first field of `schedstat`, nanoseconds.
fn threads(process: u32) -> Vec<(u32, Thread)> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| {
            let path = thread.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let schedstat = fs::read_to_string(path.join("schedstat")).ok()?;
            let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let is_number = |end: char| end.is_ascii_digit() || end == '-' || end == '\n';
            let thread = Thread {
                role: name.trim_end_matches(is_number).to_owned(),
                cpu: Duration::from_nanos(nanoseconds),
            };
            Some((number, thread))
        })
        .collect()
}

fn kilobytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

const OUTPUT: &str = "output";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
/// A backlog that takes longer is cut off, and shows as CPU of the next turn.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What timers may use in a poll.
const QUIET: Duration = Duration::from_micros(300);

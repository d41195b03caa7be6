//! Disks that are full or fail: no false 200, live traffic unharmed, and everything as before once the disk is better.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::letter::Writer;
use crate::oracle::Oracle;
use crate::program::{PROGRAM, RunningProxy, command};
use crate::upstream::{Door, Mood};
use crate::{proxy_toml, say};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_makes_no_false_200_and_no_harm_to_live_traffic() {
    let mut place = Place::new("");
    let Some(mut proxy) = place.run_on_small_disk() else {
        return;
    };
    let filler = place.seen_by(&proxy).join("filler");

    place.turn(Mood::Refusing).await;
    let statuses = place.send(&proxy, 20).await;
    assert_eq!(statuses, [200; 20], "there is room");
    fill(&filler);
    let statuses = place.send(&proxy, 200).await;
    assert!(
        statuses.ends_with(&[503; 100]),
        "the disk is full: {statuses:?}"
    );
    proxy.wait_to_hear("the spool did not take a request");

    place.turn(Mood::Up).await;
    let statuses = place.send(&proxy, 500).await;
    assert_eq!(statuses, [200; 500], "live traffic needs no disk");

    place.turn(Mood::Refusing).await;
    fill(&filler);
    place.send(&proxy, 200).await;
    fs::remove_file(&filler).unwrap();
    let took = place.until_taken(&proxy).await;
    say(&format!("resumed {took:?} after there was room again"));
    assert!(took <= Duration::from_secs(1), "{took:?}");

    place.turn(Mood::Up).await;
    assert_eq!(place.settle(&mut proxy).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_takes_again_what_fits_once_it_has_drained() {
    let mut place = Place::new("spool.max_size = \"1MiB\"");
    let mut proxy = place.run();

    place.turn(Mood::Refusing).await;
    let statuses = place.send(&proxy, 1000).await;
    let taken = statuses.iter().filter(|status| **status == 200).count();
    let bytes = fs::read_dir(place.spool()).unwrap();
    let bytes: u64 = bytes
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(
        statuses.ends_with(&[503; 10]),
        "the spool is full: {statuses:?}"
    );
    assert!(
        taken > 100 && bytes <= 1 << 20,
        "{taken} requests, {bytes} bytes"
    );

    place.turn(Mood::Up).await;
    assert!(place.oracle.until_nothing_is_owed().await);
    place.turn(Mood::Refusing).await;
    place.until_taken(&proxy).await;
    let statuses = place.send(&proxy, 50).await;
    assert_eq!(statuses, [200; 50]);

    place.turn(Mood::Up).await;
    assert_eq!(place.settle(&mut proxy).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_for_good_makes_no_false_200_and_no_harm_to_live_traffic() {
    if !may_trace() {
        return;
    }
    // Nothing can be durable then, so every 200 that is not Sentry's is false.
    for fault in [
        "fdatasync:error=EIO",
        "fsync:error=EIO",
        "pwrite64:error=ENOSPC",
    ] {
        let mut place = Place::new("");
        // Makes the directory, which cannot be done on such a disk.
        assert_eq!(block_in_place(|| place.run().terminate()), Some(0));
        let mut proxy = place.run_traced(fault);

        place.turn(Mood::Refusing).await;
        let statuses = place.send(&proxy, 50).await;
        assert_eq!(statuses, [503; 50], "{fault}");
        place.turn(Mood::Up).await;
        let statuses = place.send(&proxy, 50).await;
        assert_eq!(statuses, [200; 50], "{fault}");

        assert_eq!(place.settle(&mut proxy).await, Some(0), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_at_times_loses_nothing_acknowledged_and_is_used_again() {
    if !may_trace() {
        return;
    }
    for fault in [
        "fdatasync:error=EIO:when=4..12",
        "fdatasync:error=EIO:when=3+4",
        "fsync:error=EIO:when=2+3",
        "pwrite64:error=ENOSPC:when=6..20",
        "pwrite64:error=EIO:when=5+7",
    ] {
        let mut place = Place::new("");
        let mut proxy = place.run_traced(fault);

        place.turn(Mood::Refusing).await;
        let statuses = place.send(&proxy, 100).await;
        let took = place.until_taken(&proxy).await;
        let taken = statuses.iter().filter(|status| **status == 200).count();
        say(&format!(
            "{fault}: {taken} of 100 taken, took again after {took:?}"
        ));
        assert!(taken > 0, "{fault}");

        proxy.signal(Signal::KILL);
        block_in_place(|| proxy.child.wait().unwrap());
        let mut proxy = place.run();
        place.turn(Mood::Up).await;
        assert_eq!(place.settle(&mut proxy).await, Some(0), "{fault}");
    }
}

/// A Sentry with moods, an oracle, and a directory with a configuration.
struct Place {
    directory: TempDir,
    oracle: Arc<Oracle>,
    mood: watch::Sender<Mood>,
    door: Door,
    writer: Writer,
    next: u64,
}

impl Place {
    fn new(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let toml = proxy_toml(&disk.join("spool"));
        fs::write(directory.path().join("proxy.toml"), toml + settings).unwrap();
        let (oracle, mood) = (Arc::new(Oracle::default()), watch::Sender::new(Mood::Up));
        Self {
            directory,
            door: Door::open(0, Arc::clone(&oracle), mood.subscribe()),
            oracle,
            mood,
            writer: Writer::new(1),
            next: 0,
        }
    }

    fn disk(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn spool(&self) -> PathBuf {
        self.disk().join("spool")
    }

    fn run(&self) -> RunningProxy {
        self.start(command(&[]))
    }

    /// Runs the program in a mount namespace of its own, where the disk has 2 MiB; none where that is not allowed.
    fn run_on_small_disk(&self) -> Option<RunningProxy> {
        let mount = format!("mount -t tmpfs -o size=2m none {}", self.disk().display());
        let mut apart = Command::new("unshare");
        apart.args(["-m", "sh", "-c"]).stderr(Stdio::null());
        let is_allowed = apart.arg(&mount).status();
        if !is_allowed.is_ok_and(|status| status.success()) {
            say("skipped: a full disk: this user may not mount a file system");
            return None;
        }
        let mut apart = Command::new("unshare");
        apart.args([
            "-m",
            "sh",
            "-c",
            &format!("{mount}; exec \"$0\" \"$@\""),
            PROGRAM,
        ]);
        apart.stderr(Stdio::piped());
        Some(self.start(apart))
    }

    /// Returns the disk as the program sees it.
    fn seen_by(&self, proxy: &RunningProxy) -> PathBuf {
        let root = format!("/proc/{}/root", proxy.child.id());
        Path::new(&root).join(self.disk().strip_prefix("/").unwrap())
    }

    /// Runs the program with system calls that fail as `strace -e inject` says.
    fn run_traced(&self, fault: &str) -> RunningProxy {
        let calls = fault.split(':').next().unwrap();
        let mut traced = Command::new("strace");
        // The tracer is the grandchild, so that the child is the program; nothing is written about it.
        traced.args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null"]);
        traced.args([
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={fault}"),
            PROGRAM,
        ]);
        traced.stderr(Stdio::piped());
        self.start(traced)
    }

    fn start(&self, mut command: Command) -> RunningProxy {
        let config = self.directory.path().join("proxy.toml");
        command.args(["run", "--config"]).arg(config);
        command.args(["--upstream", &format!("http://{}", self.door.address)]);
        block_in_place(|| RunningProxy::watch(command.spawn().unwrap()))
    }

    /// Changes Sentry's mood, and waits until it shows.
    async fn turn(&self, mood: Mood) {
        self.mood.send_replace(mood);
        while TcpStream::connect(self.door.address).await.is_ok() != (mood == Mood::Up) {
            tokio::task::yield_now().await;
        }
    }

    /// Sends requests one after the other and returns the statuses of the answers.
    async fn send(&mut self, proxy: &RunningProxy, count: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.send_one(proxy.address).await);
        }
        statuses
    }

    async fn send_one(&mut self, address: SocketAddr) -> u16 {
        let number = self.next;
        self.next += 1;
        let letter = self.writer.write(number);
        self.oracle.sends(number, &letter);
        let answer = testkit::send(address, &letter.request).await.unwrap();
        if answer.status == 200 {
            self.oracle.acknowledged(number);
        }
        answer.status
    }

    /// Sends until a request is taken, and returns how long that took.
    async fn until_taken(&mut self, proxy: &RunningProxy) -> Duration {
        let started = Instant::now();
        while self.send_one(proxy.address).await != 200 {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "nothing is taken any more"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started.elapsed()
    }

    /// Waits until everything acknowledged has arrived, ends the program and returns its exit code.
    async fn settle(&mut self, proxy: &mut RunningProxy) -> Option<i32> {
        self.oracle.until_nothing_is_owed().await;
        let code = block_in_place(|| proxy.terminate());
        let verdict = self.oracle.judge();
        assert_eq!(verdict.lost, [0; 0], "{verdict}");
        assert_eq!(verdict.altered, [""; 0], "{verdict}");
        code
    }
}

/// Writes a file until there is no room left.
fn fill(path: &Path) {
    let mut filler = fs::OpenOptions::new();
    let mut filler = filler.create(true).append(true).open(path).unwrap();
    for size in [64 << 10, 4 << 10, 512, 1] {
        while std::io::Write::write_all(&mut filler, &vec![0; size]).is_ok() {}
    }
}

/// Whether system calls can be made to fail here; says why not.
fn may_trace() -> bool {
    let traced = Command::new("strace")
        .args([
            "-D",
            "-f",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "inject=getppid:error=EIO",
            "true",
        ])
        .stderr(Stdio::null())
        .status();
    match traced {
        Ok(status) if status.success() => return true,
        Ok(_) => say("skipped: a failing disk: this user may not trace"),
        Err(error) => {
            let message =
                format!("a failing disk: strace: {error}\nhint: tests/setup.sh installs it");
            let is_required = std::env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_some();
            assert!(!is_required, "{message}");
            say(&format!("skipped: {message}"));
        }
    }
    false
}

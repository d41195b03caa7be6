//! Nothing that was acknowledged is lost: the real program is killed again and again under load, and an oracle in this process,
//! which is never killed, holds every 2xx against what arrives at Sentry.
//!
//! `SENTRY_NOTICE_KILLS` says how often it is killed, 200 times by default, with a hundred requests acknowledged for each;
//! `SENTRY_NOTICE_SEED` repeats the chances of a run.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::SdkRequest;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet, block_in_place};

use crate::chance::Chance;
use crate::letter::Writer;
use crate::load::Load;
use crate::oracle::{Oracle, Verdict};
use crate::program::{RunningProxy, command};
use crate::upstream::{Door, Mood, flap};

#[path = "durability/chance.rs"]
mod chance;
#[path = "durability/disk.rs"]
mod disk;
#[path = "durability/letter.rs"]
mod letter;
#[path = "durability/load.rs"]
mod load;
#[path = "durability/oracle.rs"]
mod oracle;
#[path = "support/program.rs"]
mod program;
#[path = "durability/upstream.rs"]
mod upstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9_while_sentry_flaps() {
    let kills = number_from("SENTRY_NOTICE_KILLS", 200) as usize;
    let seed = number_from("SENTRY_NOTICE_SEED", std::process::id().into());
    let directory = tempfile::tempdir().unwrap();
    let mut siege = Siege::new(directory.path(), seed);

    let started = Instant::now();
    for _ in 0..kills {
        siege.start();
        siege.wait_and_kill().await;
    }
    siege.start();
    let (load, slowest) = (Arc::clone(&siege.load), siege.slowest_start);
    let (verdict, code) = siege.make_peace().await;

    let [kept, refused] = [&load.kept, &load.refused].map(|count| count.load(Ordering::Relaxed));
    say(&format!(
        "seed {seed}: {kills} kills in {:?}, slowest start {slowest:?}, {kept} from the spool: {verdict}",
        started.elapsed()
    ));
    assert_eq!(
        verdict.lost, [0; 0],
        "acknowledged, and never taken by Sentry"
    );
    assert_eq!(verdict.altered, [""; 0]);
    assert_eq!(verdict.unexcused, [""; 0], "taken twice without an excuse");
    assert!(verdict.twice() * 200 <= verdict.acknowledged, "{verdict}");
    assert!(verdict.acknowledged >= kills * 100, "{verdict}");
    assert!(
        kept as usize > verdict.acknowledged / 20,
        "the spool had little to do: {kept}"
    );
    assert_eq!((refused, code), (0, Some(0)));
}

/// The program under load between clients and a Sentry with moods.
struct Siege {
    config: PathBuf,
    chance: Chance,
    oracle: Arc<Oracle>,
    load: Arc<Load>,
    clients: JoinSet<()>,
    address: watch::Sender<Option<SocketAddr>>,
    mood: watch::Sender<Mood>,
    flapping: JoinHandle<()>,
    now: Option<(Door, RunningProxy)>,
    runs: usize,
    goal: usize,
    slowest_start: Duration,
}

impl Siege {
    fn new(directory: &Path, seed: u64) -> Self {
        let config = directory.join("proxy.toml");
        std::fs::write(&config, proxy_toml(&directory.join("spool"))).unwrap();
        let oracle = Arc::new(Oracle::default());
        // Nobody listens there.
        let (address, addresses) = watch::channel(Some(([127, 0, 0, 1], 9).into()));
        let load = Arc::new(Load {
            writer: Writer::new(seed),
            oracle: Arc::clone(&oracle),
            address: addresses,
            next: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let mood = watch::Sender::new(Mood::Up);
        Self {
            config,
            chance: Chance::new(seed),
            clients: load.start(CLIENTS),
            flapping: tokio::spawn(flap(mood.clone(), Chance::new(seed + 1))),
            oracle,
            load,
            address,
            mood,
            now: None,
            runs: 0,
            goal: 0,
            slowest_start: Duration::ZERO,
        }
    }

    /// Starts the program and lets the clients know.
    fn start(&mut self) {
        let door = Door::open(self.runs, Arc::clone(&self.oracle), self.mood.subscribe());
        let upstream = format!("http://{}", door.address);
        let config = self.config.to_str().unwrap();
        let started = Instant::now();
        let mut command = command(&["run", "--config", config, "--upstream", &upstream]);
        let proxy = block_in_place(|| RunningProxy::watch(command.spawn().unwrap()));
        self.slowest_start = self.slowest_start.max(started.elapsed());
        self.runs += 1;
        self.address.send_replace(Some(proxy.address));
        self.now = Some((door, proxy));
    }

    /// Kills the program after a random number of further requests, a hundred on average.
    async fn wait_and_kill(&mut self) {
        let (acknowledged, _) = self.oracle.counts();
        // Behind by some, it catches up; ahead, it does not wait.
        self.goal += 100;
        let more = (2 * self.goal.saturating_sub(acknowledged)).max(20) as u64;
        let enough = acknowledged + 10 + self.chance.below(more) as usize;
        assert!(
            self.oracle.until_acknowledged(enough).await,
            "the program answers no more"
        );
        tokio::time::sleep(Duration::from_micros(self.chance.below(20_000))).await;

        let (door, mut proxy) = self.now.take().expect("started before");
        proxy.signal(Signal::KILL);
        self.oracle.killed();
        block_in_place(|| proxy.child.wait().unwrap());
        drop(door);
    }

    /// Stops load and faults, waits for what is owed, and ends the program in peace; returns its exit code.
    async fn make_peace(mut self) -> (Verdict, Option<i32>) {
        self.oracle.until_acknowledged(self.goal).await;
        self.address.send_replace(None);
        while self.clients.join_next().await.is_some() {}
        self.flapping.abort();
        self.mood.send_replace(Mood::Up);
        let (acknowledged, owed) = self.oracle.counts();
        let started = Instant::now();
        self.oracle.until_nothing_is_owed().await;
        say(&format!(
            "peace: {owed} of {acknowledged} were owed, for {:?}",
            started.elapsed()
        ));
        let (_door, mut proxy) = self.now.take().expect("started before");
        let metrics = testkit::send(proxy.admin, &SdkRequest::new("GET", "/metrics")).await;
        let metrics = String::from_utf8(metrics.unwrap().body.to_vec()).unwrap();
        for line in [
            "sentry_notice_spool_damaged_total 0",
            "sentry_notice_spool_quarantined 0",
        ] {
            assert!(
                metrics.lines().any(|found| found == line),
                "{line} is missing in\n{metrics}"
            );
        }
        let code = block_in_place(|| proxy.terminate());
        (self.oracle.judge(), code)
    }
}

fn proxy_toml(spool: &Path) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
threads = 2
admin.listen = "127.0.0.1:0"
state.kind = "memory"
forward.patience = "100ms"
upstream.url = "http://127.0.0.1:9"
spool.dir = "{}"
spool.fsync = true
"#,
        spool.display()
    )
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// Says something past the capture of the test harness, which would hide it.
fn say(text: &str) {
    writeln!(std::io::stderr().lock(), "durability: {text}").expect("stderr is open");
}

const CLIENTS: usize = 8;

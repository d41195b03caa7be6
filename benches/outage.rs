//! What an outage costs: SDKs go on reporting while Sentry is down, then everything goes out.
//!
//! ```text
//! cargo bench --bench outage                                        # a minute of 500 requests a second
//! cargo bench --bench outage -- --seconds 10 --rate 2000
//! cargo bench --bench outage -- --dir DIR --save 2026-11-25-outage  # spool on the disk that is meant; the run is kept
//! ```
//!
//! Requests come when they come, and an answer's time counts from when its request was due. The oracle of tests/durability.rs
//! stands on both sides, in this process, and shares the cores.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must fail")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use testkit::Client;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::histogram::Histogram;
use crate::letter::Writer;
use crate::oracle::{Oracle, Verdict};
use crate::program::{RunningProxy, command};
use crate::upstream::{Door, Mood};

#[path = "../tests/durability/chance.rs"]
mod chance;
#[path = "forward/histogram.rs"]
mod histogram;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/durability/letter.rs"]
mod letter;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/durability/oracle.rs"]
mod oracle;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/program.rs"]
mod program;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/durability/upstream.rs"]
mod upstream;

#[derive(Debug, Parser)]
struct Arguments {
    /// How long Sentry is down
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Requests per second
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Bytes of a body, on average
    #[arg(long, default_value_t = 8192)]
    size: u64,
    /// Connections of SDKs
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Where the spool is made; has to be on the disk that is meant, not on a tmpfs
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// Keep what is printed as benches/runs/NAME.txt
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
    #[arg(long, hide = true)]
    list: bool,
}

/// What was found.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    refused: u64,
    latencies: Histogram,
    /// What the disk takes to append and sync 8 KiB meanwhile, for somebody else.
    disk: Histogram,
    /// Resident memory in KiB, once a second; the last is the most there ever was.
    memory: Vec<u64>,
    spool_bytes: u64,
    owed: usize,
    /// From when Sentry was up until it was tried, and from then until it had everything.
    pause: Duration,
    drain: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --benches` asks for this.
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(measure(&arguments));
    let text = describe(&arguments, &found);
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    if let Some(name) = &arguments.save {
        let runs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/runs");
        fs::write(format!("{runs}/{name}.txt"), text).unwrap();
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) -> Found {
    let directory = tempfile::tempdir_in(&arguments.dir).unwrap();
    let (oracle, mood) = (
        Arc::new(Oracle::default()),
        watch::Sender::new(Mood::Refusing),
    );
    let door = Door::open(0, Arc::clone(&oracle), mood.subscribe());
    let mut proxy = start(directory.path(), &door);

    let watching = tokio::spawn(watch_memory(proxy.child.id(), arguments.seconds));
    let (file, seconds) = (directory.path().join("probe"), arguments.seconds);
    let probing = tokio::task::spawn_blocking(move || probe(&file, seconds));
    let (latencies, refused) = load(arguments, &oracle, proxy.address).await;
    let (memory, disk) = (watching.await.unwrap(), probing.await.unwrap());
    let spool_bytes = size_of(&directory.path().join("spool"));

    let (_, owed) = oracle.counts();
    let up = Instant::now();
    mood.send_replace(Mood::Up);
    // A trial may be ten seconds away.
    while oracle.counts().1 == owed && up.elapsed() < Duration::from_secs(90) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pause = up.elapsed();
    oracle.until_nothing_is_owed().await;
    let drain = up.elapsed() - pause;
    proxy.terminate();
    Found {
        verdict: oracle.judge(),
        refused,
        latencies,
        disk,
        memory,
        spool_bytes,
        owed,
        pause,
        drain,
    }
}

fn start(directory: &Path, door: &Door) -> RunningProxy {
    let config = directory.join("proxy.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nupstream.url = \"http://{}\"\nspool.dir = \"{}\"\n",
        door.address,
        directory.join("spool").display()
    );
    fs::write(&config, text).unwrap();
    let mut command = command(&["run", "--config", config.to_str().unwrap()]);
    RunningProxy::watch(command.spawn().unwrap())
}

/// Sends requests at a pace; returns how long the answers took, and how many were no 200.
async fn load(
    arguments: &Arguments,
    oracle: &Arc<Oracle>,
    address: std::net::SocketAddr,
) -> (Histogram, u64) {
    let (due, queue) = mpsc::unbounded_channel();
    let queue = Arc::new(Mutex::new(queue));
    let (writer, size) = (Arc::new(Writer::new(1)), arguments.size);
    let mut clients = JoinSet::new();
    for _ in 0..arguments.connections {
        let (queue, writer, oracle) = (Arc::clone(&queue), Arc::clone(&writer), Arc::clone(oracle));
        clients.spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            let mut answers = Vec::new();
            loop {
                let next = queue.lock().await.recv().await;
                let Some((number, due)) = next else {
                    return answers;
                };
                let size = 200 + Chance::new(number).below(2 * size - 400);
                let letter = writer.write_sized(number, size as usize);
                oracle.sends(number, &letter);
                let status = client.send(&letter.request).await.unwrap().status;
                answers.push((Instant::now() - due, status));
                if status == 200 {
                    oracle.acknowledged(number);
                }
            }
        });
    }
    let mut ticks =
        tokio::time::interval(Duration::from_secs(1) / u32::try_from(arguments.rate).unwrap());
    for number in 0..arguments.rate * arguments.seconds {
        let tick = ticks.tick().await;
        due.send((number, tick.into_std())).unwrap();
    }
    drop(due);
    let (mut latencies, mut refused) = (Histogram::new(), 0);
    for (took, status) in clients.join_all().await.concat() {
        latencies.record(took);
        refused += u64::from(status != 200);
    }
    (latencies, refused)
}

/// Appends and syncs now and then, so that a slow disk is not taken for a slow spool.
#[expect(clippy::disallowed_methods, reason = "a thread of its own")]
fn probe(file: &Path, seconds: u64) -> Histogram {
    let mut file = fs::File::create(file).unwrap();
    let mut took = Histogram::new();
    for _ in 0..seconds * 20 {
        std::thread::sleep(Duration::from_millis(50));
        let started = Instant::now();
        file.write_all(&[7; 8192]).unwrap();
        file.sync_data().unwrap();
        took.record(started.elapsed());
    }
    took
}

async fn watch_memory(process: u32, seconds: u64) -> Vec<u64> {
    let mut memory = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..seconds {
        ticks.tick().await;
        memory.push(resident(process, "VmRSS:"));
    }
    memory.push(resident(process, "VmHWM:"));
    memory
}

fn resident(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn size_of(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

fn describe(arguments: &Arguments, found: &Found) -> String {
    let Arguments {
        seconds,
        rate,
        size,
        connections,
        ..
    } = arguments;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = String::new();
    for line in [
        format!("machine   {cores} cores, shared with clients, fake Sentry and other programs"),
        format!(
            "outage    {seconds} s, {rate} requests/s of {size} bytes on average, {connections} connections"
        ),
        format!(
            "answers   {} taken, {} refused; {}",
            found.verdict.acknowledged,
            found.refused,
            times(&found.latencies)
        ),
        format!(
            "disk      another program meanwhile, appending and syncing 8 KiB: {}",
            times(&found.disk)
        ),
        memory(&found.memory),
        format!(
            "spool     {:.1} MB",
            found.spool_bytes as f64 / f64::from(1 << 20)
        ),
        format!(
            "replay    began {:.2} s after Sentry was up; {} in {:.2} s, {:.0}/s",
            found.pause.as_secs_f64(),
            found.owed,
            found.drain.as_secs_f64(),
            found.owed as f64 / found.drain.as_secs_f64()
        ),
        format!("oracle    {}", found.verdict),
    ] {
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn times(histogram: &Histogram) -> String {
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| histogram.quantile(share) / 1000.0);
    format!("p50 {p50:.2} ms, p99 {p99:.2} ms, longest {most:.2} ms")
}

fn memory(samples: &[u64]) -> String {
    let last = samples.len() - 2;
    let [start, half, end, most] =
        [0, last / 2, last, last + 1].map(|index| samples[index] as f64 / 1024.0);
    format!("memory    start {start:.1} MB, half {half:.1} MB, end {end:.1} MB, most {most:.1} MB")
}

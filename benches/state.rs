//! How many events a second state takes in memory, in a file and in Redis, and how long 100 000 issues take to load.
//!
//! `cargo bench -p state --bench state -- [--seconds N] [--save NAME]`. One task, as in the pipeline, and 64 of them,
//! which Redis answers in pipelines. A word for every hundredth event is a bad day; a new issue and its word with every
//! event is a storm. Redis is measured where `redis-server` is installed. `--save` keeps the table in
//! `benches/runs/NAME.txt`.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use state::{
    Claim, File, IssueHash, Memory, Parcel, Redis, RedisConfig, RouteKey, Search, Sighting, Store,
    Watch, Window, Word,
};
use tempfile::TempDir;

use self::server::Server;

#[expect(dead_code, reason = "the tests of the crate use the rest")]
#[path = "../crates/state/src/redis/server.rs"]
mod server;

#[path = "table.rs"]
mod table;

use table::Flags;

fn main() -> ExitCode {
    Flags::publish(|flags| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        io::Result::Ok(runtime.block_on(measure(flags.seconds(3))))
    })
}

async fn measure(time: Duration) -> String {
    let folder = TempDir::new().expect("a folder for temporary files");
    let mut table = String::from("backend  tasks  words         events/s\n");
    for claims in [Claims::Some, Claims::All] {
        for tasks in [1, 64] {
            let memory: Arc<dyn Store> = Arc::new(Memory::new());
            row(&mut table, memory, tasks, claims, time).await;
            let path = folder.path().join(format!("{tasks}-{claims:?}.db"));
            let file: Arc<dyn Store> = Arc::new(File::open(&path).expect("a new file"));
            row(&mut table, file, tasks, claims, time).await;
        }
    }
    let redis_folder = TempDir::new().expect("a folder for temporary files");
    if let Some(server) = Server::start(redis_folder.path(), &[]) {
        for claims in [Claims::Some, Claims::All] {
            for tasks in [1, 64] {
                let prefix = format!("{tasks}-{claims:?}:");
                let redis: Arc<dyn Store> = Arc::new(connect(&server.url(), prefix).await);
                row(&mut table, redis, tasks, claims, time).await;
            }
        }
    }
    load(&mut table, folder.path()).await;
    table
}

async fn row(
    table: &mut String,
    store: Arc<dyn Store>,
    tasks: usize,
    claims: Claims,
    time: Duration,
) {
    let backend = store.backend();
    let rate = rate(store, tasks, claims, time).await;
    let words = match claims {
        Claims::Some => "1 in 100",
        Claims::All => "each event",
    };
    let _ = writeln!(table, "{backend:<8} {tasks:>5}  {words:<10}  {rate:>10.0}");
}

/// Observes and claims for a while; returns how many events a second.
async fn rate(store: Arc<dyn Store>, tasks: usize, claims: Claims, time: Duration) -> f64 {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        running.spawn(async move {
            while started.elapsed() < time {
                event(&*store, next.fetch_add(1, Ordering::Relaxed), claims).await;
                // Memory never waits, and others want their turn.
                tokio::task::consume_budget().await;
            }
        });
    }
    running.join_all().await;
    next.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

async fn event(store: &dyn Store, number: u64, claims: Claims) {
    let (issue, is_claimed) = match claims {
        Claims::Some => (number % ISSUES, number.is_multiple_of(100)),
        Claims::All => (number, true),
    };
    let hashes = [hash(issue)];
    let user = format!("user-{}", number % 50);
    let sighting = Sighting {
        user: Some(&user),
        ..sighting(&hashes, number)
    };
    let now = SystemTime::now();
    let seen = store.observe(&sighting, now).await.expect("it is there");
    if !is_claimed {
        return;
    }
    let word = Word {
        issue: seen.issue,
        route: ROUTE,
        after: seen.routes[0].said.map(|said| said.at),
        silence: Duration::from_secs(3_600),
        is_burst_told: false,
        is_stopped: false,
    };
    let id = number.to_string();
    // For no robot: a queue of 10 000 would be full at once.
    let parcel = Parcel {
        id: &id,
        word: Some(word),
        robots: &[],
        priority: 5,
        gather_until: None,
        late_after: Duration::from_secs(300),
        payload: &[],
    };
    let claim = store.claim(&parcel, now).await.expect("it is there");
    assert_ne!(claim, Claim::Full);
}

/// Fills a file with 100 000 issues and opens it again; the median of five times.
async fn load(table: &mut String, folder: &Path) {
    let path = folder.join("load.db");
    let file = File::open(&path).expect("a new file");
    for number in 0..LOADED {
        let hashes = [hash(number), hash(number + LOADED)];
        let sighting = sighting(&hashes, number);
        let now = SystemTime::now();
        file.observe(&sighting, now).await.expect("it is there");
    }
    drop(file);
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let file = File::open(&path).expect("the file is whole");
        times.push(started.elapsed());
        let kept = file.recent(usize::MAX).await.expect("it is there").len();
        assert_eq!(kept as u64, LOADED);
    }
    times.sort_unstable();
    let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    let _ = writeln!(
        table,
        "\nopening a file of {LOADED} issues, {} MB: {:.0} ms",
        bytes / 1_000_000,
        times[2].as_secs_f64() * 1_000.0
    );
    search(table, &path).await;
}

/// Looks for issues as the status page does; the median of a hundred times.
async fn search(table: &mut String, path: &Path) {
    let file = File::open(path).expect("the file is whole");
    let nothing = Search {
        text: "nothing has this".to_owned(),
        ..Search::default()
    };
    for (what, search) in [
        ("a page of 50", Search::default()),
        ("one call of a search without hits", nothing),
    ] {
        let mut times = Vec::new();
        for _ in 0..100 {
            let started = Instant::now();
            let found = file.search(&search, None, 50).await.expect("it is there");
            times.push(started.elapsed());
            assert_eq!(found.known as u64, LOADED);
        }
        times.sort_unstable();
        let median = times[50].as_secs_f64() * 1e6;
        let _ = writeln!(table, "{what} of them: {median:.0} µs");
    }
}

async fn connect(url: &str, prefix: String) -> Redis {
    let redis = Redis::new(RedisConfig {
        address: url.parse().expect("a socket"),
        prefix,
        retention: Duration::from_secs(86_400),
        budget: Duration::from_secs(10),
    });
    redis
        .connect()
        .await
        .expect("the server has said that it is ready");
    redis
}

fn sighting<'a>(hashes: &'a [IssueHash], number: u64) -> Sighting<'a> {
    Sighting {
        project: 1,
        hashes,
        event_id: Some(hash(number ^ (1 << 63)).0),
        user: None,
        release: Some("shop@1.2.3"),
        environment: None,
        title: "ZeroDivisionError: division by zero in checkout of a cart with 3 items",
        level: 4,
        routes: &[WATCH],
    }
}

/// Sixteen bytes that look like a hash.
fn hash(number: u64) -> IssueHash {
    let high = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = high.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    IssueHash((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

#[derive(Debug, Clone, Copy)]
enum Claims {
    /// A word for every hundredth event, of some thousand issues.
    Some,
    /// A new issue and its first word with every event.
    All,
}

const ROUTE: RouteKey = RouteKey(1);

const WATCH: Watch = Watch {
    route: ROUTE,
    events: None,
    users: None,
    burst: Some(Window {
        count: 100,
        within: Duration::from_secs(60),
    }),
};

const ISSUES: u64 = 3_000;

const LOADED: u64 = 100_000;

//! How many events the engine decides about in a second on one core, and how many bytes an issue takes in memory.
//!
//! `cargo bench --bench decide -- [--seconds N] [--save NAME]` prints medians of rounds. An event goes the whole way: routes,
//! mutes, count in the state, decision, and where it speaks, into the outbox as JSON. The peer is what the same machine needs
//! to look a title up in a `HashMap` behind a lock and count there, which is the least that any such program does.
//! Times are those that the processor gave this thread, so that a busy machine does not count. `--save` keeps the table in
//! `benches/runs/NAME.txt`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use alert::decide::Known;
use alert::outbox::{Deliveries, Parts};
use alert::{
    Channel, Config, Engine, Failure, MatchKey, Matcher, Message, Metrics, Notifier, Outbox, Route,
    Routes, Rule, Sight, decide,
};
use async_trait::async_trait;
use event::ProjectId;
use event::model::{Event, EventId, Exception, User};
use grouping::Group;
use rustix::time::{ClockId, clock_gettime};
use state::{IssueHash, Memory, RouteKey, Sighting, Store, Watch, Window};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

#[path = "table.rs"]
mod table;

use table::Flags;

fn main() -> ExitCode {
    Flags::publish(|flags| {
        // Memory first: what later rounds leave behind would be counted as free.
        let mut table = format!("{}\n", bytes_an_issue());
        table.push_str(&decisions_a_second(flags.seconds(3)));
        Result::<_, Infallible>::Ok(table)
    })
}

/// Fills a store to its brim: two hashes, a title, a user and an event id each, as a Python program sends them.
fn bytes_an_issue() -> String {
    let runtime = runtime();
    let before = resident();
    let store = Memory::new();
    let issues = u64::try_from(state::Issue::KEPT).unwrap_or_default();
    runtime.block_on(async {
        for number in 0..issues {
            let [first, second] = [number, number + (1 << 40)].map(hash);
            let title = format!("ValueError: order {number:>6} cannot be settled twice");
            let user = format!("u_{}", number % 5_000);
            let sighting = Sighting {
                project: 42,
                hashes: &[first, second],
                event_id: Some(hash(number + (1 << 50)).0),
                user: Some(&user),
                release: Some("shop-api@2.3.1"),
                environment: Some("production"),
                title: &title,
                level: 4,
                routes: &[Watch {
                    route: RouteKey(7),
                    events: None,
                    users: None,
                    burst: Some(Window {
                        count: 100,
                        within: Duration::from_secs(60),
                    }),
                }],
            };
            let seen = store.observe(&sighting, now()).await;
            black_box(seen.is_ok());
        }
    });
    let used = resident().saturating_sub(before);
    let kept = runtime
        .block_on(store.recent(usize::MAX))
        .map_or(0, |issues| issues.len());
    format!(
        "memory   {kept} live issues: {} bytes each (resident memory of the process, event ids included)\n",
        used / u64::try_from(kept.max(1)).unwrap_or(1)
    )
}

fn decisions_a_second(budget: Duration) -> String {
    let mut table =
        String::from("case                                              per second   ns each\n");
    let mut row = |name: &str, rate: f64| {
        let _ = writeln!(table, "{name:<48} {rate:>11.0} {:>9.0}", 1e9 / rate);
    };
    row("peer: count by title in a locked HashMap", peer(budget));
    row("decide alone, held", pure(budget));
    row(
        "engine, 1 route, 1 000 known issues, held",
        engine(budget, one_route(), 1_000, ""),
    );
    row(
        "engine, 1 route, 100 000 known issues, held",
        engine(budget, one_route(), 100_000, ""),
    );
    row(
        "engine, 6 routes of globs, 1 000 issues, held",
        engine(budget, six_routes(), 1_000, "dev"),
    );
    row(
        "engine, 1 route, every issue new, all spoken of",
        new_issues(budget),
    );
    table
}

/// Known issues whose silence lasts: what nearly every event of a storm is.
fn engine(budget: Duration, config: Config, issues: usize, environment: &'static str) -> f64 {
    let runtime = runtime();
    let stage = runtime.block_on(async { Stage::new(config) });
    let groups: Vec<Group> = (0..issues).map(|number| group(number as u64)).collect();
    let (mut id, mut event) = (0_u64, event(0, environment));
    measure(budget, |calls| {
        runtime.block_on(async {
            for _ in 0..calls {
                id += 1;
                event.id = Some(EventId(u128::from(id).to_be_bytes()));
                let group = &groups[id as usize % issues];
                black_box(stage.handle(&event, group).await);
            }
        });
    })
}

fn new_issues(budget: Duration) -> f64 {
    let runtime = runtime();
    let stage = runtime.block_on(async { Stage::new(one_route()) });
    let mut id = 0_u64;
    measure(budget, |calls| {
        runtime.block_on(async {
            for _ in 0..calls {
                id += 1;
                black_box(stage.handle(&event(id, ""), &group(id)).await);
            }
        });
    })
}

fn pure(budget: Duration) -> f64 {
    let runtime = runtime();
    let store = Memory::new();
    let watch = Rule::default().watch(RouteKey(1));
    let sighting = Sighting {
        project: 42,
        hashes: &[hash(1)],
        event_id: None,
        user: None,
        release: None,
        environment: None,
        title: "",
        level: 4,
        routes: &[watch],
    };
    let Ok(seen) = runtime.block_on(store.observe(&sighting, now())) else {
        return 0.0;
    };
    let said = state::Said {
        at: now(),
        silence: Duration::from_secs(3_600),
        is_burst_told: false,
        is_stopped: false,
    };
    let route = state::RouteSeen {
        said: Some(said),
        ..seen.routes[0]
    };
    let known = Known {
        route: &route,
        is_duplicate: false,
        muted_by: None,
    };
    let (rule, now) = (Rule::default(), now());
    measure(budget, |calls| {
        for _ in 0..calls {
            black_box(decide(black_box(&rule), black_box(&known), now));
        }
    })
}

fn peer(budget: Duration) -> f64 {
    let counts: Mutex<HashMap<String, u64>> = Mutex::default();
    let titles: Vec<String> = (0..1_000).map(|number| group(number).title).collect();
    let mut id = 0;
    measure(budget, |calls| {
        for _ in 0..calls {
            id += 1;
            let title: &String = &titles[id % titles.len()];
            if let Ok(mut counts) = counts.lock() {
                *counts.entry(title.clone()).or_default() += 1;
            }
        }
    })
}

struct Stage {
    engine: Engine,
    _deliveries: Deliveries,
}

impl Stage {
    fn new(config: Config) -> Self {
        let (_, settings) = watch::channel(Arc::new(config));
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let (outbox, deliveries) = Outbox::start(Parts {
            robots: vec![Arc::new(Deaf)],
            store: Arc::clone(&store),
            metrics: Metrics::default(),
            clock: Arc::new(SystemTime::now),
            config: settings.clone(),
        });
        Self {
            engine: Engine::new(settings, store, outbox),
            _deliveries: deliveries,
        }
    }

    async fn handle(&self, event: &Event<'_>, group: &Group) -> alert::Outcome {
        let sight = Sight {
            event,
            project: ProjectId::from(42),
            group,
        };
        self.engine.handle(&sight, SystemTime::now()).await
    }
}

/// A robot that takes everything and says nothing.
struct Deaf;

#[async_trait]
impl Notifier for Deaf {
    fn name(&self) -> &str {
        "oncall"
    }

    fn channels(&self) -> Vec<Channel> {
        vec![Channel {
            bucket: "oncall".to_owned(),
            per_minute: 20,
        }]
    }

    async fn notify(&self, _: usize, _: &Message, _: &str, _: SystemTime) -> Result<(), Failure> {
        Ok(())
    }
}

fn one_route() -> Config {
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned()];
    config(root)
}

/// Five routes that do not match, and the root.
fn six_routes() -> Config {
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned()];
    let patterns = ["prod*", "stag*", "*-canary", "eu-*", "/^test-[0-9]+$/"];
    root.children = patterns
        .into_iter()
        .filter_map(|pattern| {
            let patterns = [pattern.to_owned()];
            let matcher = Matcher::new([(MatchKey::Environment, patterns.as_slice())]).ok()?;
            Some(root.child(None, matcher))
        })
        .collect();
    config(root)
}

fn config(root: Route) -> Config {
    Config {
        routes: Routes::new(root),
        ..Config::default()
    }
}

fn event(id: u64, environment: &'static str) -> Event<'static> {
    Event {
        id: Some(EventId(hash(id).0)),
        environment: (!environment.is_empty()).then(|| environment.into()),
        exceptions: vec![Exception {
            ty: Some("ValueError".into()),
            ..Exception::default()
        }],
        user: Some(User {
            id: Some("u_10427".into()),
            ..User::default()
        }),
        ..Event::default()
    }
}

fn group(number: u64) -> Group {
    Group {
        hashes: vec![
            hash(number).to_string(),
            hash(number + (1 << 40)).to_string(),
        ],
        title: format!("ValueError: order {number:>6} cannot be settled twice"),
        ..grouping::group(&Event::default(), &grouping::Config::default())
    }
}

fn hash(number: u64) -> IssueHash {
    IssueHash::of(&format!("bench {number}"))
}

/// Returns calls a second, as the median of rounds.
fn measure(budget: Duration, mut calls: impl FnMut(u32)) -> f64 {
    calls(CALLS);
    let started = processor_time();
    let mut rates = Vec::new();
    while processor_time() - started < budget || rates.len() < ROUNDS {
        let round = processor_time();
        calls(CALLS);
        let used = processor_time() - round;
        rates.push(f64::from(CALLS) / used.as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Returns the resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or_default()
        * 4_096
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs nothing")
}

fn now() -> SystemTime {
    SystemTime::now()
}

/// Calls in one round.
const CALLS: u32 = 20_000;

/// Rounds at the least.
const ROUNDS: usize = 5;

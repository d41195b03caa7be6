//! Three real programs and a real Redis: they speak once, within one budget, whoever is killed.
//!
//! Without the program `redis-server` (tests/setup.sh installs it) each test skips itself, loudly, unless
//! `SENTRY_NOTICE_REQUIRE_REAL` makes that a failure.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use state::{Issue, Redis, RedisConfig, Store};
use tempfile::TempDir;
use testkit::{Client, FakeSentry, Robot, RobotSimulator, SdkRequest};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use self::server::Server;

#[expect(dead_code, reason = "the tests of the crate use the rest")]
#[path = "../crates/state/src/redis/server.rs"]
mod server;

#[tokio::test(flavor = "multi_thread")]
async fn three_programs_speak_once_of_each_issue() {
    let Some(play) = Play::run(Fault::None).await else {
        return;
    };

    assert_eq!(play.issues.len(), ISSUES);
    let events: u64 = play.issues.iter().map(|issue| issue.events).sum();
    assert_eq!(events, EVENTS as u64, "counts are summed");
    assert_eq!(play.first_words, ISSUES as u64);
    assert_eq!(play.refusals, [""; 0]);
    assert_eq!(play.most_repeated(), 1, "{:?}", play.titles);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_takes_no_alert_with_it() {
    let Some(play) = Play::run(Fault::KillProgram).await else {
        return;
    };

    assert_eq!(play.issues.len(), ISSUES);
    assert_eq!(play.refusals, [""; 0]);
    assert!(play.most_repeated() <= 1 + PROGRAMS, "{:?}", play.titles);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_takes_no_alert_with_it() {
    let Some(play) = Play::run(Fault::KillRedis).await else {
        return;
    };

    assert_eq!(play.issues.len(), ISSUES);
    assert_eq!(play.refusals, [""; 0]);
    assert!(play.most_repeated() <= 1 + PROGRAMS, "{:?}", play.titles);
}

/// What goes wrong when a third of the events are through.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    KillProgram,
    KillRedis,
}

/// What came of it all.
struct Play {
    issues: Vec<Issue>,
    first_words: u64,
    refusals: Vec<String>,
    /// Titles of the messages about one issue.
    titles: Vec<String>,
}

impl Play {
    /// Plays all events through three programs; returns when every issue was spoken of and nothing waits.
    async fn run(fault: Fault) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut server = Server::start(folder.path(), &[])?;
        let sentry = FakeSentry::start().await.unwrap();
        let robots = RobotSimulator::start([Robot::new("token").secret("SEC1")])
            .await
            .unwrap();
        let config = configure(
            folder.path(),
            &server.url(),
            &sentry.url(),
            &robots.url("token"),
        );
        let mut programs: Vec<Program> = (0..PROGRAMS).map(|_| Program::start(&config)).collect();

        let addresses: Vec<SocketAddr> = programs.iter().map(|program| program.address).collect();
        let at_a_third = std::sync::Arc::new(Barrier::new(PROGRAMS + 1));
        let mut clients = JoinSet::new();
        for number in 0..PROGRAMS {
            let (addresses, barrier) = (addresses.clone(), std::sync::Arc::clone(&at_a_third));
            clients.spawn(async move {
                send(addresses[number], number, 0..PART / 3).await;
                barrier.wait().await;
                barrier.wait().await;
                // Whoever was before the killed program sends to another one.
                let is_killed = fault == Fault::KillProgram && number == 0;
                let address = addresses[if is_killed { 1 } else { number }];
                send(address, number, PART / 3..PART).await;
            });
        }
        at_a_third.wait().await;
        match fault {
            Fault::None => {}
            Fault::KillProgram => drop(programs.remove(0)),
            Fault::KillRedis => server.kill(),
        }
        at_a_third.wait().await;
        if fault == Fault::KillRedis {
            // Events come while it is away; it is back, empty, before they have all come.
            robots.wait_for(1, PATIENCE).await.unwrap();
            server.restart();
        }
        clients.join_all().await;

        // The empty Redis learns of an issue when it happens again; it does, now and then, at the last program.
        let last = addresses[PROGRAMS - 1];
        let mut going_on = JoinSet::new();
        if fault == Fault::KillRedis {
            going_on.spawn(async move {
                let mut now_and_then = tokio::time::interval(Duration::from_secs(2));
                for round in 0.. {
                    now_and_then.tick().await;
                    let from = PART + round * ISSUES;
                    send(last, PROGRAMS - 1, from..from + ISSUES).await;
                }
            });
        }

        let events = if fault == Fault::None { EVENTS } else { 0 };
        let issues = told(&server.url(), events as u64).await;
        let mut first_words = 0;
        for program in &programs {
            first_words += program
                .count("sentry_notice_alerts_total{reason=\"first_seen\"} ")
                .await;
        }
        let refusals = robots.refusals().into_iter();
        let messages = robots.messages().into_iter();
        Some(Self {
            issues,
            first_words,
            refusals: refusals.map(|refusal| format!("{refusal:?}")).collect(),
            titles: messages
                .filter_map(|message| message.title)
                .filter(|title| title.contains("Issue"))
                .collect(),
        })
    }

    /// How often the issue was told alone that was told most often.
    fn most_repeated(&self) -> usize {
        let times = |title: &String| self.titles.iter().filter(|other| *other == title).count();
        self.titles.iter().map(times).max().unwrap_or_default()
    }
}

/// The real program.
struct Program {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentry-notice"));
        command
            .args(["run", "--config"])
            .arg(config)
            .env("SENTRY_NOTICE__SPOOL__DIR", "")
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address_after = |what: &str| {
            let line = lines.find_map(|line| {
                let line = line.unwrap();
                line.strip_prefix(what).map(str::to_owned)
            });
            line.expect("the program says where it listens")
                .parse()
                .unwrap()
        };
        let address = address_after("listening on http://");
        let admin = address_after("admin on http://");
        // What it says later is read, so that the pipe does not fill.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            child,
            address,
            admin,
        }
    }

    /// Reads one counter; 0 when it has not been counted.
    async fn count(&self, name: &str) -> u64 {
        let request = SdkRequest::new("GET", "/metrics");
        let answer = testkit::send(self.admin, &request).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// As `kill -9`.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, redis: &str, sentry: &str, robot: &str) -> std::path::PathBuf {
    let file = folder.join("proxy.toml");
    let text = format!(
        r#"listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
upstream.url = "{sentry}"
state.kind = "redis"
state.url = "{redis}"
state.timeout = "20s" # the machine may be busy; what a late answer does is tested where time is simulated
log.level = "error"
[robot.oncall]
webhook = "{robot}"
secret = "SEC1"
[alert]
robot = "oncall"
digest = "2s"
burst = ""
"#
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// Sends some of a client's events, each to the next issue.
async fn send(address: SocketAddr, number: usize, events: std::ops::Range<usize>) {
    let mut client = Client::connect(address).await.unwrap();
    for event in events {
        let issue = event % ISSUES;
        let body = format!(
            r#"{{"event_id":"{number:016x}{event:016x}","exception":{{"values":[{{"type":"Issue{issue}","value":"boom"}}]}}}}"#
        );
        let request = SdkRequest::new(
            "POST",
            "/api/42/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        );
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let answer = client.send(&request).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

/// Waits until so many events are counted, every issue was spoken of and nothing waits; returns the issues.
async fn told(url: &str, events: u64) -> Vec<Issue> {
    let redis = Redis::new(RedisConfig {
        address: url.parse().unwrap(),
        prefix: "sentry-notice:".to_owned(),
        retention: Duration::from_secs(86_400),
        budget: PATIENCE,
    });
    redis.connect().await.unwrap();
    let asking = async {
        let mut often = tokio::time::interval(Duration::from_millis(100));
        loop {
            often.tick().await;
            let issues = redis.recent(2 * ISSUES).await.unwrap();
            let is_told = |issue: &Issue| {
                issue
                    .routes
                    .iter()
                    .all(|on| on.said.is_some() && !on.is_claimed)
            };
            let counted: u64 = issues.iter().map(|issue| issue.events).sum();
            if counted >= events && issues.len() >= ISSUES && issues.iter().all(is_told) {
                return issues;
            }
        }
    };
    let told = tokio::time::timeout(TOLD_WITHIN, asking).await;
    told.expect("every issue is told")
}

const PROGRAMS: usize = 3;
const ISSUES: usize = 300;
const EVENTS: usize = 30_000;
/// Events of one client.
const PART: usize = EVENTS / PROGRAMS;

const PATIENCE: Duration = Duration::from_secs(30);

/// A budget that is closed for a minute, and the machine's other work.
const TOLD_WITHIN: Duration = Duration::from_secs(240);

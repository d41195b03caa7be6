//! How long after an SDK's request a robot has the message, and whether a robot that hangs makes forwarding slower.
//!
//! `cargo bench --bench speak -- [--seconds N] [--save NAME]` runs the whole program in this process between a fake Sentry and
//! a robot simulator. The first part sends new issues, one after the other, to so many robots that nothing is held, and takes
//! the time from before the request to the moment the simulator has the message. The second part sends requests at a steady
//! pace, each a new issue, in alternating turns with robots that answer and robots that hang.
//! `--save` keeps the table in `benches/runs/NAME.txt`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use app::{App, Loaded, Sources};
use testkit::{Behaviour, FakeSentry, Robot, RobotSimulator, SdkRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[path = "table.rs"]
mod table;

use table::Flags;

fn main() -> ExitCode {
    Flags::publish(|flags| measure(flags.seconds(10)))
}

fn measure(turn: Duration) -> Outcome<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut table =
        String::from("ms                                            median      p99      max\n");
    runtime.block_on(async {
        let mut times = until_said().await?;
        row(
            &mut table,
            "SDK's request → robot has the message",
            &mut times,
        );
        let [mut well, mut hung] = forwarding(turn).await?;
        row(&mut table, "forwarding, robots answer", &mut well);
        row(&mut table, "forwarding, robots hang", &mut hung);
        let ratio = percentile(&mut hung, 0.99) / percentile(&mut well, 0.99);
        let _ = writeln!(
            table,
            "p99 with hanging robots / with answering ones: {ratio:.2}"
        );
        Outcome::Ok(())
    })?;
    Ok(table)
}

/// Sends issues until every robot has its share, and returns how long each took to be said, in milliseconds.
async fn until_said() -> Outcome<Vec<f64>> {
    let stage = Stage::start().await?;
    let mut messages = stage.robots.subscribe();
    let mut times = Vec::new();
    for number in 0..ROBOTS * ALERTS {
        let started = SystemTime::now();
        testkit::send(
            stage.address,
            &request(number % ROBOTS, &format!("issue {number}")),
        )
        .await?;
        let message = tokio::time::timeout(PATIENCE, messages.recv()).await??;
        let said = message.at.duration_since(started).unwrap_or_default();
        times.push(said.as_secs_f64() * 1e3);
    }
    stage.stop().await;
    Ok(times)
}

/// Sends requests at a steady pace, and returns how long each took, in milliseconds: with robots that answer, that hang.
async fn forwarding(turn: Duration) -> Outcome<[Vec<f64>; 2]> {
    let [mut well, mut hung] = [Vec::new(), Vec::new()];
    for number in 0..TURNS {
        pace(turn, number, false, &mut well).await?;
        pace(turn, number, true, &mut hung).await?;
    }
    Ok([well, hung])
}

async fn pace(turn: Duration, round: usize, hangs: bool, times: &mut Vec<f64>) -> Outcome<()> {
    let stage = Stage::start().await?;
    if hangs {
        stage.robots.script().always(Behaviour::hang());
    }
    let mut clock = tokio::time::interval(PACE);
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < turn {
        clock.tick().await;
        number += 1;
        let request = request(number % ROBOTS, &format!("round {round} issue {number}"));
        let asked = Instant::now();
        testkit::send(stage.address, &request).await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    stage.stop().await;
    Ok(())
}

/// The whole program between its two simulators; each project has a robot of its own.
struct Stage {
    _sentry: FakeSentry,
    robots: Arc<RobotSimulator>,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Stage {
    async fn start() -> Outcome<Self> {
        let sentry = FakeSentry::start().await?;
        let robots = (0..ROBOTS).map(|number| Robot::new(format!("token{number}")));
        let robots = Arc::new(RobotSimulator::start(robots).await?);
        let text = configuration(&sentry, &robots);
        let sources = Sources {
            text: Some(("bench".to_owned(), text)),
            ..Sources::default()
        };
        let loaded = Loaded::read(&sources).map_err(|problems| format!("{problems:?}"))?;
        let app = App::new(loaded.config).await?;
        let address = app.address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            // A bench that could not run says so by its own requests.
            let _ = app.run(stopped, mpsc::channel(1).1, Duration::ZERO).await;
        });
        Ok(Self {
            _sentry: sentry,
            robots,
            address,
            stop,
            running,
        })
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.running.await;
    }
}

fn configuration(sentry: &FakeSentry, robots: &RobotSimulator) -> String {
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\nthreads = 1\n[upstream]\nurl = \"{}\"\n[state]\nkind = \"memory\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        sentry.url()
    );
    for number in 0..ROBOTS {
        let webhook = robots.url(&format!("token{number}"));
        let _ = write!(
            text,
            "[robot.r{number}]\nwebhook = \"{webhook}\"\n[[alert.route]]\nmatch = {{ project = {} }}\nrobot = \"r{number}\"\n",
            number + 1
        );
    }
    text
}

fn request(project: usize, message: &str) -> SdkRequest {
    let body = format!(
        "{{\"level\":\"error\",\"fingerprint\":[\"{message}\"],\"message\":\"{message}\"}}"
    );
    SdkRequest::new("POST", format!("/api/{}/store/", project + 1)).body(body)
}

fn row(table: &mut String, name: &str, times: &mut [f64]) {
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| percentile(times, part));
    let _ = writeln!(table, "{name:<42} {median:>8.1} {p99:>8.1} {max:>8.1}");
}

fn percentile(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let at = (times.len() as f64 * part) as usize;
    times[at.min(times.len() - 1)]
}

/// Robots, and alerts each of them says alone within a minute.
const ROBOTS: usize = 60;
const ALERTS: usize = 15;

/// Between two requests of the second part.
const PACE: Duration = Duration::from_millis(10);

/// Turns of each kind.
const TURNS: usize = 3;

const PATIENCE: Duration = Duration::from_secs(10);

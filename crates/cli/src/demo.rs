//! `demo`: the real proxy between an embedded fake Sentry and an embedded robot, and what arrives at both.

mod verdict;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use app::{App, Loaded, Reload, Sources};
use testkit::{FakeSentry, Robot, RobotSimulator, Sample, SdkKey};
use tokio::sync::{mpsc, oneshot};

use crate::args::DemoArguments;
use crate::report::{fail, print, say};

use self::verdict::Verdict;

pub(crate) fn demo(arguments: &DemoArguments) -> ExitCode {
    let runtime = match crate::run::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(play(arguments)) {
        Ok(code) => code,
        Err(failure) => failure,
    }
}

async fn play(arguments: &DemoArguments) -> Result<ExitCode, ExitCode> {
    let sentry = FakeSentry::start().await.map_err(|error| fail(&error))?;
    let robot = Robot::new(TOKEN).secret(SECRET);
    let robots = RobotSimulator::start([robot])
        .await
        .map_err(|error| fail(&error))?;
    let spool = tempfile::tempdir().map_err(|error| fail(&error))?;
    let app = start(arguments, &sentry, &robots, spool.path()).await?;
    let (address, admin) = (app.address(), app.admin_address());
    introduce(address, admin);

    let (stop, stopped) = oneshot::channel::<()>();
    let proxy = tokio::spawn(app.run(async { drop(stopped.await) }, no_reloads(), GRACE));
    let narrator = tokio::spawn(narrate(robots.subscribe()));
    let ended = finish(arguments.seconds);
    let samples = samples(SystemTime::now());
    let sent = send_samples(address, &samples).await?;
    ended.await;

    let verdict = Verdict::of(
        &samples,
        &sent,
        &sentry.received(),
        &robots.messages(),
        &robots.refusals(),
    );
    // The receiver is gone only if the proxy has ended already.
    let _ = stop.send(());
    let _ = proxy.await;
    narrator.abort();
    Ok(conclude(&verdict, arguments.seconds))
}

/// The demo's configuration does not change.
fn no_reloads() -> mpsc::Receiver<Reload> {
    mpsc::channel(1).1
}

async fn start(
    arguments: &DemoArguments,
    sentry: &FakeSentry,
    robots: &RobotSimulator,
    spool: &Path,
) -> Result<App, ExitCode> {
    let config = configure(arguments, &sentry.url(), &robots.url(TOKEN), spool);
    let sources = Sources {
        text: Some(("demo".to_owned(), config)),
        ..Sources::default()
    };
    let Loaded { config, .. } = Loaded::read(&sources).map_err(|problems| {
        problems.iter().for_each(say);
        ExitCode::FAILURE
    })?;
    App::new(config).await.map_err(|error| {
        let code = fail(&error);
        say("    hint: --listen 127.0.0.1:0 takes any free port");
        code
    })
}

fn configure(arguments: &DemoArguments, sentry: &str, robot: &str, spool: &Path) -> String {
    let DemoArguments {
        listen, language, ..
    } = arguments;
    format!(
        r#"listen = "{listen}"
spool.dir = {spool:?}
upstream.url = "{sentry}"
admin.listen = "127.0.0.1:0"
sentry.url = "https://sentry.example.com"
project.1.name = "shop-api"
alert.robot = "demo"
state.kind = "memory"
[robot.demo]
webhook = "{robot}"
secret = "{SECRET}"
language = "{language}"
"#
    )
}

fn introduce(address: SocketAddr, admin: SocketAddr) {
    print(
        "The real proxy runs between a fake Sentry and a fake DingTalk robot, both inside this process.",
    );
    print(format!("  DSN          http://{KEY}@{address}/1"));
    print(format!("  status page  http://{admin}/"));
    print("Point any SDK at the DSN; every card the robot accepts is printed here.");
    print("");
}

fn samples(now: SystemTime) -> Vec<Sample> {
    // Event ids differ from run to run, as those of real SDKs do.
    let run = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    testkit::samples(&SdkKey::new(KEY, 1), run, now)
}

async fn send_samples(address: SocketAddr, samples: &[Sample]) -> Result<Vec<u16>, ExitCode> {
    let mut statuses = Vec::with_capacity(samples.len());
    for sample in samples {
        let answer = testkit::send(address, &sample.request)
            .await
            .map_err(|error| {
                say(format!("cannot send the sample `{}`", sample.name));
                fail(&error)
            })?;
        let expected = if sample.alerts {
            "alerts"
        } else {
            "stays silent"
        };
        print(format!(
            "→ {:<28} Sentry answered {}; {expected}: {}",
            sample.name, answer.status, sample.why
        ));
        statuses.push(answer.status);
    }
    Ok(statuses)
}

async fn narrate(mut messages: tokio::sync::broadcast::Receiver<testkit::Message>) {
    loop {
        match messages.recv().await {
            Ok(message) => {
                print(format!(
                    "\n┌ DingTalk shows: {}",
                    message.title.unwrap_or_default()
                ));
                message
                    .text
                    .lines()
                    .for_each(|line| print(format!("│ {line}")));
                print("└");
            }
            Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => {
                print(format!("… {missed} more cards"))
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Resolves after so many seconds, or on Ctrl-C and SIGTERM.
fn finish(seconds: Option<u64>) -> impl Future<Output = ()> {
    let signal = app::stop_signal();
    let limit = seconds.map(|seconds| tokio::time::sleep(Duration::from_secs(seconds)));
    async move {
        let interrupted = async {
            match signal {
                Ok(signal) => drop(signal.await),
                Err(_) => std::future::pending().await,
            }
        };
        match limit {
            Some(limit) => tokio::select! { () = limit => {}, () = interrupted => {} },
            None => interrupted.await,
        }
    }
}

fn conclude(verdict: &Verdict, seconds: Option<u64>) -> ExitCode {
    print("");
    print(verdict);
    if seconds.is_some() && !verdict.is_good() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

const KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOKEN: &str = "demo";
const SECRET: &str = "SECdemo";

/// How long what is in flight may take at the end.
const GRACE: Duration = Duration::from_secs(5);

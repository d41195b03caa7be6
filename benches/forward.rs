//! How much does it cost to forward? Ours, nginx, nginx with a mirror and HAProxy side by side, in one run.
//!
//! ```text
//! cargo bench --bench forward                                    # a selection, under three minutes
//! cargo bench --bench forward -- --all --save 2026-11-23-all     # every payload at every number of connections
//! cargo bench --bench forward -- --payload error --connections 64 --rounds 9 --targets us,nginx
//! cargo bench --bench forward -- --rate                          # latency at half of our peak, open loop
//! cargo bench --bench forward -- --idle 8000 --storm 8000        # memory of idle connections; a burst of connects
//! ```
//!
//! Clients and a fake Sentry run in this process and cost every target the same. Targets take turns every one or two
//! seconds, and every ratio is a median of ratios within one turn, because the speed of a shared machine drifts. CPU is
//! what the kernel counted for all threads of all processes of a target, until the target had nothing left to do.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench talks to whoever runs it"
)]

#[path = "forward/arguments.rs"]
mod arguments;
#[path = "forward/body.rs"]
mod body;
#[path = "forward/client.rs"]
mod client;
#[path = "forward/compare.rs"]
mod compare;
#[path = "forward/histogram.rs"]
mod histogram;
#[path = "forward/idle.rs"]
mod idle;
#[path = "forward/load.rs"]
mod load;
#[path = "forward/machine.rs"]
mod machine;
#[path = "forward/origin.rs"]
mod origin;
#[path = "forward/pace.rs"]
mod pace;
#[path = "forward/payload.rs"]
mod payload;
#[path = "forward/peer.rs"]
mod peer;
#[path = "forward/process.rs"]
mod process;
#[path = "forward/rate.rs"]
mod rate;
#[path = "forward/report.rs"]
mod report;
#[path = "forward/sample.rs"]
mod sample;
#[path = "forward/storm.rs"]
mod storm;
#[path = "forward/target.rs"]
mod target;
#[path = "forward/wire.rs"]
mod wire;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Mode};
use crate::origin::Origin;
use crate::report::Report;
use crate::target::{Setup, Target};

/// What any part of the bench returns; a text is enough, because a person reads it.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.is_bench() {
        eprintln!("forward: nothing measured; hint: `cargo bench --bench forward`");
        return ExitCode::SUCCESS;
    }
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Outcome<()> {
    let runtime = LocalRuntime::new()?;
    let origin = Origin::start()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            measured = run(arguments, &origin) => measured,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminated.recv() => Err("terminated".into()),
        }
    })
}

/// Runs the chosen modes one after the other; leaving it early ends every process that it started.
async fn run(arguments: &Arguments, origin: &Origin) -> Outcome<()> {
    let mut report = Report::new();
    machine::describe(&mut report, arguments);
    let setup = Setup {
        origin,
        threads: arguments.threads(),
    };
    let targets = Target::installed(&arguments.targets, &mut report);
    for mode in arguments.modes() {
        match mode {
            Mode::Compare => compare::run(arguments, &setup, &targets, &mut report).await?,
            Mode::Rate(rate) => rate::run(arguments, rate, &setup, &targets, &mut report).await?,
            Mode::Idle(connections) => {
                idle::run(connections, &setup, &targets, &mut report).await?
            }
            Mode::Storm(connections) => {
                storm::run(connections, arguments, &setup, &targets, &mut report).await?;
            }
        }
    }
    report.save(arguments.save.as_deref())
}

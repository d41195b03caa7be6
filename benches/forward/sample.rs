//! One turn of one target under full load: requests, latency, CPU, memory.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Outcome;
use crate::load::{self, Tally};
use crate::payload::Prepared;
use crate::process::{CpuByRole, Memory, Process};
use crate::target::Running;

/// What one turn showed.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Body bytes per second.
    pub(crate) bytes: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
    /// Microseconds per request; no number without a process.
    pub(crate) cpu: f64,
    /// Microseconds per request of the threads of each role.
    pub(crate) cpu_by_role: Vec<(String, f64)>,
    pub(crate) memory: Option<Memory>,
    /// Requests without the right answer, and those that arrived more or less often than they were answered.
    pub(crate) errors: u64,
    pub(crate) failure: Option<String>,
}

/// Gives a target its turn. Connecting is not measured; work that is left over at the end is.
pub(crate) async fn take(
    running: &mut Running,
    connections: usize,
    prepared: &Rc<Prepared>,
    time: Duration,
) -> Outcome<Sample> {
    let mut clients = load::warm_up(running.address, connections, prepared)
        .await
        .map_err(|error| format!("{}: {error}", running.target.name()))?;
    let before = settled(running).await;
    let roles_before = roles(running);
    let arrived_before = running.door.arrived();
    let tally = load::run(&mut clients, prepared, time).await;
    let after = settled(running).await;
    let arrived = running.door.arrived().since(arrived_before);

    let lost = arrived.requests.abs_diff(tally.requests);
    let is_changed = lost == 0 && arrived.body_bytes != tally.body_bytes;
    let failure =
        (lost > 0).then(|| format!("{} answered, {} arrived", tally.requests, arrived.requests));
    Ok(Sample {
        errors: tally.failures + lost + u64::from(is_changed),
        failure: tally.failure.clone().or(failure),
        memory: running.process.as_ref().map(|process| process.memory()),
        cpu: match (before, after) {
            (Some(before), Some(after)) => each(after - before, &tally),
            _ => f64::NAN,
        },
        cpu_by_role: roles(running)
            .into_iter()
            .map(|(role, cpu)| {
                let before = roles_before.get(&role).copied().unwrap_or_default();
                (role, each(cpu - before, &tally))
            })
            .collect(),
        ..of(&tally)
    })
}

/// Returns what the clients alone know.
fn of(tally: &Tally) -> Sample {
    let seconds = tally.took.as_secs_f64();
    Sample {
        rate: tally.requests as f64 / seconds,
        bytes: tally.body_bytes as f64 / seconds,
        p50: tally.latencies.quantile(0.5),
        p99: tally.latencies.quantile(0.99),
        cpu: f64::NAN,
        cpu_by_role: Vec::new(),
        memory: None,
        errors: tally.failures,
        failure: None,
    }
}

/// Returns the microseconds per request.
fn each(cpu: Duration, tally: &Tally) -> f64 {
    cpu.as_secs_f64() * 1e6 / tally.requests as f64
}

fn roles(running: &Running) -> CpuByRole {
    running
        .process
        .as_ref()
        .map(Process::cpu_by_role)
        .unwrap_or_default()
}

async fn settled(running: &mut Running) -> Option<Duration> {
    match &mut running.process {
        Some(process) => Some(process.settled().await),
        None => None,
    }
}

/// Reads the metrics that a target serves: each line is a name with labels, a space, a value.
pub(crate) async fn metrics(admin: SocketAddr) -> Outcome<String> {
    let read = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    Ok(timeout(METRICS_TIMEOUT, read).await??)
}

/// Adds up a counter over all its labels.
pub(crate) fn counted(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line
            .strip_prefix(name)
            .filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    // Not `sum`, which is -0 where there is nothing to add.
    samples.fold(0.0, |sum, sample| sum + sample)
}

const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

//! How long it takes until everybody is served when many clients connect at once.

use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::client::Client;
use crate::machine;
use crate::payload::{Payload, Prepared};
use crate::report::{Report, Table, median, number};
use crate::target::{Setup, Target};

/// What became of one storm.
struct Storm {
    /// Until the last client had its answer.
    seconds: f64,
    /// Connects that the kernel dropped because a listen queue was full; they are tried again after a second.
    overflows: u64,
    failures: usize,
}

/// Lets the storm break over each target in turn.
pub(crate) async fn run(
    connections: usize,
    arguments: &Arguments,
    setup: &Setup<'_>,
    targets: &[Target],
    report: &mut Report,
) -> Outcome<()> {
    // Each client may have a connection to the origin too, and both ends of everything but the target are here.
    machine::must_allow(connections * 2 + SPARE_DESCRIPTORS)?;
    let prepared = Rc::new(Payload::Session.prepare());
    let mut all: Vec<(Target, Vec<Storm>)> =
        targets.iter().map(|target| (*target, Vec::new())).collect();
    for _ in 0..arguments.rounds {
        for (target, storms) in &mut all {
            let mut running = target.start(setup).await?;
            storms.push(measure(running.address, connections, &prepared).await?);
            if let Some(process) = &mut running.process {
                process.settled().await;
            }
        }
    }
    report.table(
        &format!("{connections} connects at once, each with one request"),
        &rows(&all),
    );
    Ok(())
}

async fn measure(
    address: SocketAddr,
    connections: usize,
    prepared: &Rc<Prepared>,
) -> Outcome<Storm> {
    let before = listen_overflows()?;
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let prepared = Rc::clone(prepared);
        clients.spawn_local(async move {
            let mut client = Client::connect(address).await?;
            client.exchange(&prepared).await?;
            std::io::Result::Ok(client)
        });
    }
    // Nobody leaves before everybody is served.
    let mut served = Vec::new();
    let everybody = async {
        while let Some(client) = clients.join_next().await {
            served.extend(client.ok().and_then(Result::ok));
        }
    };
    timeout(STORM_TIMEOUT, everybody).await.ok();
    Ok(Storm {
        seconds: started.elapsed().as_secs_f64(),
        overflows: listen_overflows()? - before,
        failures: connections - served.len(),
    })
}

fn rows(all: &[(Target, Vec<Storm>)]) -> Table {
    let mut table = Table::new(&[
        "target",
        "seconds",
        "slowest",
        "listen overflows",
        "not served",
    ]);
    for (target, storms) in all {
        let slowest = storms.iter().map(|storm| storm.seconds).fold(0.0, f64::max);
        table.row(vec![
            target.name(),
            number(median(storms.iter().map(|storm| storm.seconds)), 2),
            number(slowest, 2),
            storms
                .iter()
                .map(|storm| storm.overflows)
                .sum::<u64>()
                .to_string(),
            storms
                .iter()
                .map(|storm| storm.failures)
                .sum::<usize>()
                .to_string(),
        ]);
    }
    table
}

/// Returns how often a connect has found a full listen queue on this machine, the origin's included.
///
/// Source: `/proc/net/netstat`, a line of names and a line of values for each group.
fn listen_overflows() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let mut fields = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = fields
        .find(|(name, _)| *name == "ListenOverflows")
        .ok_or("no `ListenOverflows` here")?;
    Ok(value.parse()?)
}

const STORM_TIMEOUT: Duration = Duration::from_secs(60);
const SPARE_DESCRIPTORS: usize = 200;

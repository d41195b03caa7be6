//! What a connection costs while nobody says anything.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Outcome;
use crate::client::Client;
use crate::machine;
use crate::payload::Payload;
use crate::report::{Report, Table, megabytes, number};
use crate::target::{Running, Setup, Target};

/// Opens many connections to each target and looks at its memory: before they speak, and after one request each.
pub(crate) async fn run(
    connections: usize,
    setup: &Setup<'_>,
    targets: &[Target],
    report: &mut Report,
) -> Outcome<()> {
    machine::must_allow(connections + SPARE_DESCRIPTORS)?;
    let mut table = Table::new(&[
        "target",
        "RSS before MB",
        "silent: KB each",
        "after a request: KB each",
    ]);
    for target in targets {
        match target {
            // It opens a connection to the origin for each client at once, for which there are no descriptors.
            Target::Direct | Target::HaproxyTcp => {}
            Target::Us | Target::Nginx | Target::NginxMirror | Target::Haproxy => {
                table.row(measure(*target, connections, setup).await?);
            }
        }
    }
    report.table(
        &format!("{connections} idle connections, growth of RSS for each"),
        &table,
    );
    Ok(())
}

async fn measure(target: Target, connections: usize, setup: &Setup<'_>) -> Outcome<Vec<String>> {
    let running = target.start(setup).await?;
    let before = steady_memory(&running).await;
    let mut clients = Client::connect_all(running.address, connections).await?;
    let silent = steady_memory(&running).await;
    let prepared = Rc::new(Payload::Session.prepare());
    for client in &mut clients {
        client
            .exchange(&prepared)
            .await
            .map_err(|error| format!("{}: {error}", target.name()))?;
    }
    let after = steady_memory(&running).await;
    let each = |memory: u64| {
        number(
            (memory as f64 - before as f64) / 1024.0 / connections as f64,
            2,
        )
    };
    Ok(vec![
        target.name(),
        megabytes(before),
        each(silent),
        each(after),
    ])
}

/// Returns the resident memory once it stands still, in bytes.
async fn steady_memory(running: &Running) -> u64 {
    let look = || {
        running
            .process
            .as_ref()
            .map_or(0, |process| process.memory().now)
    };
    let deadline = Instant::now() + STEADY_TIMEOUT;
    let mut memory = look();
    loop {
        sleep(STEADY).await;
        let now = look();
        if now == memory || Instant::now() > deadline {
            return now;
        }
        memory = now;
    }
}

const STEADY: Duration = Duration::from_millis(400);
const STEADY_TIMEOUT: Duration = Duration::from_secs(10);
const SPARE_DESCRIPTORS: usize = 200;

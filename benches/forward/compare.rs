//! As many requests as possible: every target takes turns at every payload and number of connections.

use std::rc::Rc;
use std::time::Duration;

use crate::Outcome;
use crate::arguments::{Arguments, Cell};
use crate::payload::Prepared;
use crate::process::Memory;
use crate::report::{Report, Table, median, megabytes, number};
use crate::sample::{self, Sample};
use crate::target::{Running, Setup, Target};

/// A target and what its turns showed, in order.
struct Series {
    running: Running,
    /// Before the first request of the cell.
    idle: Option<Memory>,
    samples: Vec<Sample>,
}

/// Measures every cell, then shows how we stand against each target.
pub(crate) async fn run(
    arguments: &Arguments,
    setup: &Setup<'_>,
    targets: &[Target],
    report: &mut Report,
) -> Outcome<()> {
    let mut ratios = Table::new(&["us / peer", "req/s", "p50", "p99", "CPU/req", "peak RSS"]);
    for cell in arguments.cells() {
        let prepared = Rc::new(cell.payload.prepare());
        let series = measure(arguments, cell, &prepared, setup, targets).await?;
        report.table(&title(cell, &prepared), &rows(&series));
        notes(&series, report).await;
        compare(cell, &series, &mut ratios);
    }
    report.table("ratios: median over the turns of ours divided by theirs (req/s: more is better; the rest: less is better)", &ratios);
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    cell: Cell,
    prepared: &Rc<Prepared>,
    setup: &Setup<'_>,
    targets: &[Target],
) -> Outcome<Vec<Series>> {
    let mut all = Vec::new();
    for target in targets {
        let running = target.start(setup).await?;
        all.push(Series {
            idle: running.process.as_ref().map(|process| process.memory()),
            running,
            samples: Vec::new(),
        });
    }
    let time = Duration::try_from_secs_f64(arguments.seconds)?;
    for round in 0..arguments.rounds {
        for turn in 0..all.len() {
            // Nobody always follows the same neighbour.
            let count = all.len();
            let series = &mut all[(turn + round) % count];
            let sample =
                sample::take(&mut series.running, cell.connections, prepared, time).await?;
            series.samples.push(sample);
        }
    }
    Ok(all)
}

fn title(cell: Cell, prepared: &Prepared) -> String {
    let Cell {
        payload,
        connections,
    } = cell;
    format!(
        "{} ({} bytes), {connections} connections",
        payload.name(),
        prepared.body_size()
    )
}

fn rows(all: &[Series]) -> Table {
    let mut table = Table::new(&[
        "target",
        "req/s",
        "MB/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/req",
        "RSS idle MB",
        "now",
        "peak",
        "errors",
    ]);
    for series in all {
        let middle = |value: fn(&Sample) -> f64| median(series.samples.iter().map(value));
        let memory = |value: fn(Memory) -> u64| {
            series
                .last_memory()
                .map_or("-".to_owned(), |memory| megabytes(value(memory)))
        };
        table.row(vec![
            series.running.target.name(),
            number(middle(|sample| sample.rate), 0),
            number(middle(|sample| sample.bytes) / 1e6, 1),
            number(middle(|sample| sample.p50), 0),
            number(middle(|sample| sample.p99), 0),
            number(middle(|sample| sample.cpu), 1),
            series
                .idle
                .map_or("-".to_owned(), |memory| megabytes(memory.now)),
            memory(|memory| memory.now),
            memory(|memory| memory.peak),
            series.errors().to_string(),
        ]);
    }
    table
}

/// Adds what a row cannot hold: errors in words, and whether our pipeline really saw everything.
async fn notes(all: &[Series], report: &mut Report) {
    for series in all {
        let name = series.running.target.name();
        if let Some(failure) = series
            .samples
            .iter()
            .find_map(|sample| sample.failure.as_deref())
        {
            report.line(&format!(
                "  {name}: ERRORS, figures are worthless: {failure}"
            ));
        }
        if let Some(roles) = series.cpu_by_role() {
            report.line(&format!("  {name}: CPU µs/req of threads: {roles}"));
        }
        if let Some(admin) = series.running.admin {
            match sample::metrics(admin).await {
                Ok(metrics) => report.line(&format!("  {name}: {}", pipeline(&metrics))),
                Err(error) => report.line(&format!("  {name}: metrics are missing: {error}")),
            }
        }
    }
}

fn pipeline(metrics: &str) -> String {
    let counted = |name| sample::counted(metrics, name);
    format!(
        "{} requests, {} copies dropped, {} events looked into, {} alerts decided",
        counted("sentry_notice_requests_total"),
        counted("sentry_notice_tee_dropped_total"),
        counted("sentry_notice_events_total"),
        counted("sentry_notice_alerts_total"),
    )
}

/// Adds our ratio to each peer; turns of the same round are compared.
fn compare(cell: Cell, all: &[Series], ratios: &mut Table) {
    let Some(us) = all
        .iter()
        .find(|series| series.running.target == Target::Us)
    else {
        return;
    };
    for peer in all
        .iter()
        .filter(|series| series.running.target != Target::Us)
    {
        let ratio = |value: fn(&Sample) -> f64| {
            let pairs = us.samples.iter().zip(&peer.samples);
            number(median(pairs.map(|(us, peer)| value(us) / value(peer))), 2)
        };
        let Cell {
            payload,
            connections,
        } = cell;
        ratios.row(vec![
            format!(
                "{} x{connections} / {}",
                payload.name(),
                peer.running.target.name()
            ),
            ratio(|sample| sample.rate),
            ratio(|sample| sample.p50),
            ratio(|sample| sample.p99),
            ratio(|sample| sample.cpu),
            ratio(|sample| sample.memory.map_or(f64::NAN, |memory| memory.peak as f64)),
        ]);
    }
}

impl Series {
    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }

    /// Returns the CPU per request of each role in words, if there are several.
    fn cpu_by_role(&self) -> Option<String> {
        let roles = &self.samples.last()?.cpu_by_role;
        let middle = |role: &str| {
            let of_role = |sample: &Sample| {
                let found = sample.cpu_by_role.iter().find(|(name, _)| name == role);
                found.map_or(f64::NAN, |(_, cpu)| *cpu)
            };
            format!(
                "{role} {}",
                number(median(self.samples.iter().map(of_role)), 1)
            )
        };
        let words: Vec<String> = roles.iter().map(|(role, _)| middle(role)).collect();
        (words.len() > 1).then(|| words.join(", "))
    }

    fn last_memory(&self) -> Option<Memory> {
        self.samples.last().and_then(|sample| sample.memory)
    }
}

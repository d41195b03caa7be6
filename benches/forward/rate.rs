//! What a target adds to the latency of requests that come at half of our peak.

use std::rc::Rc;
use std::time::Duration;

use crate::Outcome;
use crate::arguments::{Arguments, Cell};
use crate::load::{self, Tally};
use crate::pace::{self, Pace};
use crate::payload::Prepared;
use crate::report::{Report, Table, median, number};
use crate::sample;
use crate::target::{Running, Setup, Target};

/// A target and its turns, in order.
struct Series {
    running: Running,
    tallies: Vec<Tally>,
}

/// Measures every target at the given pace, or at half of what we manage at most.
pub(crate) async fn run(
    arguments: &Arguments,
    rate: Option<f64>,
    setup: &Setup<'_>,
    targets: &[Target],
    report: &mut Report,
) -> Outcome<()> {
    let time = Duration::try_from_secs_f64(arguments.seconds)?;
    for cell in arguments.paced_cells() {
        let prepared = Rc::new(cell.payload.prepare());
        let rate = match rate {
            Some(rate) => rate,
            None => peak(cell, &prepared, setup, time).await? / 2.0,
        };
        let pace = Pace { rate, time };
        let all = measure(arguments, cell, &prepared, pace, setup, targets).await?;
        report.table(&title(cell, &prepared, rate), &rows(&all));
        for series in &all {
            if let Some(failure) = series
                .tallies
                .iter()
                .find_map(|tally| tally.failure.as_deref())
            {
                report.line(&format!(
                    "  {}: ERRORS, figures are worthless: {failure}",
                    series.running.target.name()
                ));
            }
        }
    }
    Ok(())
}

/// Returns how many requests per second we manage at most.
async fn peak(
    cell: Cell,
    prepared: &Rc<Prepared>,
    setup: &Setup<'_>,
    time: Duration,
) -> Outcome<f64> {
    let mut us = Target::Us.start(setup).await?;
    let mut rates = Vec::new();
    for _ in 0..PEAK_TURNS {
        let sample = sample::take(&mut us, cell.connections, prepared, time).await?;
        rates.push(sample.rate);
    }
    Ok(median(rates))
}

async fn measure(
    arguments: &Arguments,
    cell: Cell,
    prepared: &Rc<Prepared>,
    pace: Pace,
    setup: &Setup<'_>,
    targets: &[Target],
) -> Outcome<Vec<Series>> {
    let mut all = Vec::new();
    for target in targets {
        all.push(Series {
            running: target.start(setup).await?,
            tallies: Vec::new(),
        });
    }
    for round in 0..arguments.rounds {
        for turn in 0..all.len() {
            let count = all.len();
            let series = &mut all[(turn + round) % count];
            let clients = load::warm_up(series.running.address, cell.connections, prepared).await?;
            if let Some(process) = &mut series.running.process {
                process.settled().await;
            }
            series
                .tallies
                .push(pace::run(clients, prepared, pace).await?);
        }
    }
    Ok(all)
}

fn title(cell: Cell, prepared: &Prepared, rate: f64) -> String {
    let Cell {
        payload,
        connections,
    } = cell;
    format!(
        "{} ({} bytes) at {rate:.0} requests/s, {connections} connections, latency from when a request is due",
        payload.name(),
        prepared.body_size()
    )
}

fn rows(all: &[Series]) -> Table {
    let mut table = Table::new(&[
        "target",
        "req/s",
        "p50 µs",
        "p99 µs",
        "added p50",
        "added p99",
        "errors",
    ]);
    let direct = all
        .iter()
        .find(|series| series.running.target == Target::Direct);
    for series in all {
        let middle = |value: fn(&Tally) -> f64| median(series.tallies.iter().map(value));
        let added = |share: f64| {
            let pairs = direct
                .into_iter()
                .flat_map(|direct| series.tallies.iter().zip(&direct.tallies));
            median(pairs.map(|(tally, direct)| {
                tally.latencies.quantile(share) - direct.latencies.quantile(share)
            }))
        };
        table.row(vec![
            series.running.target.name(),
            number(
                middle(|tally| tally.requests as f64 / tally.took.as_secs_f64()),
                0,
            ),
            number(middle(|tally| tally.latencies.quantile(0.5)), 0),
            number(middle(|tally| tally.latencies.quantile(0.99)), 0),
            number(added(0.5), 0),
            number(added(0.99), 0),
            series
                .tallies
                .iter()
                .map(|tally| tally.failures)
                .sum::<u64>()
                .to_string(),
        ]);
    }
    table
}

const PEAK_TURNS: usize = 3;

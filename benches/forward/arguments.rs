//! The flags after `--`.

use clap::Parser;
use clap::builder::ArgPredicate;

use crate::payload::Payload;
use crate::target::Target;

/// How much does it cost to forward?
#[derive(Debug, Parser)]
#[command(name = "forward", max_term_width = 100)]
pub(crate) struct Arguments {
    /// Payloads, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    payload: Vec<Payload>,
    /// Numbers of connections, separated by commas
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Targets, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [
            Target::Direct, Target::Us, Target::Nginx, Target::NginxMirror, Target::Haproxy, Target::HaproxyTcp,
        ]
    )]
    pub(crate) targets: Vec<Target>,
    /// How long one turn of a target lasts
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// Turns of each target
    #[arg(
        long,
        default_value_t = 4,
        default_value_if("all", ArgPredicate::IsPresent, "5")
    )]
    pub(crate) rounds: usize,
    /// Threads of each target; 0 = one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Measure every payload at 1, 64 and 1000 connections
    #[arg(long)]
    all: bool,
    /// Measure latency at so many requests per second, or at half of our peak
    #[arg(long, value_name = "REQUESTS", value_parser = rate)]
    rate: Option<Option<f64>>,
    /// Measure the memory of so many idle connections
    #[arg(long, value_name = "CONNECTIONS")]
    idle: Option<usize>,
    /// Measure how long so many connects at once take
    #[arg(long, value_name = "CONNECTIONS")]
    storm: Option<usize>,
    /// Keep the result in benches/runs/NAME.txt
    #[arg(long, value_name = "NAME")]
    pub(crate) save: Option<String>,
    /// What `cargo bench` says, and `cargo test` does not
    #[arg(long, hide = true)]
    bench: bool,
    /// What `cargo test` says to benches with a harness
    #[arg(long, hide = true)]
    test: bool,
    /// What tools say to see which tests there are
    #[arg(long, hide = true)]
    list: bool,
}

/// One kind of measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// As many requests as possible.
    Compare,
    /// This many requests per second; half of our peak if not given.
    Rate(Option<f64>),
    /// Memory of this many idle connections.
    Idle(usize),
    /// This many connects at once.
    Storm(usize),
}

/// A payload at a number of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) payload: Payload,
    pub(crate) connections: usize,
}

/// Reads a number of requests per second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if f64::is_finite(rate) && rate >= 1.0 => Ok(rate),
        Ok(_) | Err(_) => Err("expected requests per second, at least 1".to_owned()),
    }
}

impl Arguments {
    /// Tells whether anything is to be measured; `cargo test` also runs benches, to see that they start.
    pub(crate) fn is_bench(&self) -> bool {
        self.bench && !self.test && !self.list
    }

    /// Returns what to measure, one after the other.
    pub(crate) fn modes(&self) -> Vec<Mode> {
        let modes = [
            self.rate.map(Mode::Rate),
            self.idle.map(Mode::Idle),
            self.storm.map(Mode::Storm),
        ];
        let modes: Vec<Mode> = modes.into_iter().flatten().collect();
        if modes.is_empty() {
            vec![Mode::Compare]
        } else {
            modes
        }
    }

    /// Returns how many threads each target has.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Returns what to compare: the flags' payloads at the flags' connections, a selection without flags.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        if !self.all && self.payload.is_empty() && self.connections.is_empty() {
            return SELECTION
                .map(|(payload, connections)| Cell {
                    payload,
                    connections,
                })
                .to_vec();
        }
        let connections: &[usize] = if self.all { &EVERY_CONNECTIONS } else { &[64] };
        let mut cells = self.product(&EVERY_PAYLOAD, connections);
        cells.retain(|cell| !self.all || cell.is_sensible());
        cells
    }

    /// Returns what to measure at a given pace.
    pub(crate) fn paced_cells(&self) -> Vec<Cell> {
        self.product(&[Payload::Transaction, Payload::Distinct], &[64])
    }

    /// Returns every payload at every number of connections: the flags', else those given.
    fn product(&self, payloads: &[Payload], connections: &[usize]) -> Vec<Cell> {
        let payloads = if self.payload.is_empty() {
            payloads
        } else {
            &self.payload
        };
        let connections = if self.connections.is_empty() {
            connections
        } else {
            &self.connections
        };
        let cells = payloads.iter().flat_map(|payload| {
            connections.iter().map(|connections| Cell {
                payload: *payload,
                connections: *connections,
            })
        });
        cells.collect()
    }
}

impl Cell {
    /// Tells whether the bodies in flight fit a small machine: nginx writes large ones to files.
    fn is_sensible(self) -> bool {
        self.payload != Payload::Attachment5m || self.connections < 1000
    }
}

const SELECTION: [(Payload, usize); 5] = [
    (Payload::Transaction, 64),
    (Payload::Distinct, 64),
    (Payload::Error, 1000),
    (Payload::Session, 1),
    (Payload::Attachment5m, 1),
];
const EVERY_PAYLOAD: [Payload; 7] = [
    Payload::Error,
    Payload::Distinct,
    Payload::Issues,
    Payload::Transaction,
    Payload::Session,
    Payload::Event300k,
    Payload::Attachment5m,
];
const EVERY_CONNECTIONS: [usize; 3] = [1, 64, 1000];

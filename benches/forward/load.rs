//! Closed loop: every connection sends its next request as soon as the last one is answered.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::histogram::Histogram;
use crate::payload::Prepared;

/// What came of some time under load.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) body_bytes: u64,
    /// Requests without the right answer; each ends its connection.
    pub(crate) failures: u64,
    /// What was wrong with one of them.
    pub(crate) failure: Option<String>,
    pub(crate) latencies: Histogram,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

impl Tally {
    /// Returns a tally of nothing.
    pub(crate) fn new() -> Self {
        Self {
            requests: 0,
            body_bytes: 0,
            failures: 0,
            failure: None,
            latencies: Histogram::new(),
            took: Duration::ZERO,
        }
    }

    /// Counts one exchange.
    pub(crate) fn count(&mut self, exchanged: &io::Result<usize>, latency: Duration) {
        match exchanged {
            Ok(body) => {
                self.requests += 1;
                self.body_bytes += *body as u64;
                self.latencies.record(latency);
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// Counts a request that has no answer to speak of.
    pub(crate) fn fail(&mut self, failure: String) {
        self.failures += 1;
        self.failure.get_or_insert(failure);
    }
}

/// Connects, and lets every connection exchange at least one request, for a short time that is not counted.
///
/// # Errors
/// When a connection or a request fails: then there is nothing to measure.
pub(crate) async fn warm_up(
    address: SocketAddr,
    connections: usize,
    prepared: &Rc<Prepared>,
) -> io::Result<Vec<Client>> {
    let mut clients = Client::connect_all(address, connections).await?;
    let tally = run(&mut clients, prepared, WARM_UP).await;
    match tally.failure {
        Some(failure) => Err(io::Error::other(failure)),
        None => Ok(clients),
    }
}

/// Keeps all connections busy for a while, then waits for what is in flight; broken connections are left out.
pub(crate) async fn run(
    clients: &mut Vec<Client>,
    prepared: &Rc<Prepared>,
    time: Duration,
) -> Tally {
    let is_over = Rc::new(Cell::new(false));
    let tally = Rc::new(RefCell::new(Tally::new()));
    let started = Instant::now();
    let mut loops = JoinSet::new();
    for client in clients.drain(..) {
        let repeated = exchange_until(
            client,
            Rc::clone(prepared),
            Rc::clone(&is_over),
            Rc::clone(&tally),
        );
        loops.spawn_local(repeated);
    }
    sleep(time).await;
    is_over.set(true);

    let in_flight = async {
        while let Some(ended) = loops.join_next().await {
            clients.extend(ended.expect("a client task does not panic"));
        }
    };
    let is_answered = timeout(IN_FLIGHT_TIMEOUT, in_flight).await.is_ok();
    let took = started.elapsed();
    let mut tally = tally.borrow().clone();
    if !is_answered {
        (0..loops.len()).for_each(|_| tally.fail("not answered".to_owned()));
    }
    tally.took = took;
    tally
}

/// Returns the connection once its last request is answered, nothing once it is broken.
async fn exchange_until(
    mut client: Client,
    prepared: Rc<Prepared>,
    is_over: Rc<Cell<bool>>,
    tally: Rc<RefCell<Tally>>,
) -> Option<Client> {
    loop {
        let started = Instant::now();
        let exchanged = client.exchange(&prepared).await;
        tally.borrow_mut().count(&exchanged, started.elapsed());
        if exchanged.is_err() {
            return None;
        }
        if is_over.get() {
            return Some(client);
        }
    }
}

const WARM_UP: Duration = Duration::from_millis(150);
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(15);

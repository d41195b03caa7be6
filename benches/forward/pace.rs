//! Open loop: requests come when they come, whether or not earlier ones are answered.
//!
//! A latency counts from when its request was due, so that a target that stalls cannot hide it by slowing the clients
//! ("coordinated omission").

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::body::mixed;
use crate::client::Client;
use crate::load::Tally;
use crate::payload::Prepared;

/// When requests come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Requests per second, on average; the gaps are those of independent clients (exponentially distributed).
    pub(crate) rate: f64,
    pub(crate) time: Duration,
}

/// Sends requests at a pace, each over the connection that has been free for the longest time.
pub(crate) async fn run(
    clients: Vec<Client>,
    prepared: &Rc<Prepared>,
    pace: Pace,
) -> io::Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::new()));
    let (due, queue) = mpsc::unbounded_channel();
    let queue = Rc::new(Mutex::new(queue));
    let mut loops = JoinSet::new();
    for client in clients {
        loops.spawn_local(exchange_when_due(
            client,
            Rc::clone(&queue),
            Rc::clone(prepared),
            Rc::clone(&tally),
        ));
    }
    drop(queue);

    let started = Instant::now();
    let asked = announce(&due, started, pace).await?;
    drop(due);
    let in_flight = async { while loops.join_next().await.is_some() {} };
    timeout(IN_FLIGHT_TIMEOUT, in_flight).await.ok();
    let mut tally = tally.borrow().clone();
    tally.took = started.elapsed();
    let silent = asked - tally.requests - tally.failures;
    (0..silent).for_each(|_| tally.fail("not answered".to_owned()));
    Ok(tally)
}

/// Announces each request when it is due; returns how many there were.
async fn announce(
    due: &mpsc::UnboundedSender<Instant>,
    started: Instant,
    pace: Pace,
) -> io::Result<u64> {
    let alarm = Alarm::new()?;
    let mut asked = 0;
    let mut at = Duration::ZERO;
    loop {
        at += gap(asked, pace.rate);
        if at > pace.time {
            return Ok(asked);
        }
        let instant = started + at;
        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tokio::task::yield_now().await;
        } else {
            alarm.rings_after(left).await?;
        }
        asked += 1;
        due.send(instant)
            .map_err(|_| io::Error::other("every connection is broken"))?;
    }
}

async fn exchange_when_due(
    mut client: Client,
    queue: Rc<Mutex<mpsc::UnboundedReceiver<Instant>>>,
    prepared: Rc<Prepared>,
    tally: Rc<RefCell<Tally>>,
) {
    loop {
        let next = queue.lock().await.recv().await;
        let Some(due) = next else {
            return;
        };
        let exchanged = client.exchange(&prepared).await;
        tally.borrow_mut().count(&exchanged, due.elapsed());
        if exchanged.is_err() {
            return;
        }
    }
}

/// A timer that is exact to some microseconds; tokio's own is exact to a millisecond.
struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    #[expect(
        deprecated,
        reason = "sound for an `OwnedFd`; its successor is unsafe to call"
    )]
    fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self {
            timer: AsyncFd::new(timer)?,
        })
    }

    async fn rings_after(&self, wait: Duration) -> io::Result<()> {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: zero,
            it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let rung = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(rung) = rung {
                return rung.map(|_| ());
            }
        }
    }
}

/// The time before a request; the same for every target.
fn gap(number: u64, rate: f64) -> Duration {
    let uniform = (mixed(number) >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-(1.0 - uniform).ln() / rate)
}

const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(15);

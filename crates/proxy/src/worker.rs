//! What the requests of one forwarding thread share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::scan::Scanner;
use spool::AppendError;
use tokio::sync::Notify;

use crate::config::Config;
use crate::error::Fault;
use crate::flood::Flood;
use crate::keep::Keeper;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::patrol::{Activity, Patrol};
use crate::plain::{Heads, Spare};
use crate::plan::Plan;
use crate::tap::Tap;
use crate::upstream::Upstreams;

/// One forwarding thread's state.
#[derive(Debug)]
pub(crate) struct Worker {
    settings: RefCell<Rc<Settings>>,
    pub(crate) tap: Tap,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Log,
    pub(crate) patrol: Rc<Patrol>,
    pub(crate) memory: Rc<Memory>,
    pub(crate) scratch: Scratch,
    pub(crate) scanner: RefCell<Scanner>,
    pub(crate) flood: Flood,
    pub(crate) keeper: Option<Arc<Keeper>>,
    in_flight: Cell<usize>,
    /// Attempts whose clients have been answered already.
    detached: Rc<Cell<usize>>,
    /// Told when nothing is in flight any more.
    idle: Notify,
    is_over: Cell<bool>,
}

/// Buffers that are used again and again. Input and output are filled and emptied within one poll.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// For what clients send.
    pub(crate) input: RefCell<Box<[u8]>>,
    /// For what they get.
    pub(crate) output: RefCell<Vec<u8>>,
    /// For requests on their way.
    pub(crate) spare: Spare,
}

/// What a reload replaces; a request keeps those it began with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) plan: Arc<Plan>,
    pub(crate) upstreams: Upstreams,
    /// Plain heads, and what they lead to under these settings.
    pub(crate) heads: Heads,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    worker: Rc<Worker>,
    activity: Rc<Activity>,
}

/// An attempt that goes on without its client.
#[derive(Debug)]
pub(crate) struct Detached(Rc<Cell<usize>>);

/// Says once in a while what would otherwise be said for every request.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lost: Seldom,
    unkept: Seldom,
}

/// When something was said last, and how often it was not since.
#[derive(Debug, Default)]
struct Seldom {
    last: Cell<Option<Instant>>,
    unsaid: Cell<u64>,
}

impl Settings {
    pub(crate) fn new(plan: Arc<Plan>) -> Rc<Settings> {
        let upstreams = Upstreams::new(&plan.connectors, &plan.config.upstream.routes);
        Rc::new(Settings {
            plan,
            upstreams,
            heads: Heads::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.plan.config
    }
}

impl Worker {
    pub(crate) fn new(
        plan: Arc<Plan>,
        tap: Tap,
        metrics: Arc<Metrics>,
        keeper: Option<Arc<Keeper>>,
    ) -> Worker {
        let share = plan.config.limits.memory / plan.config.thread_count();
        Worker {
            memory: Memory::new(share),
            settings: RefCell::new(Settings::new(plan)),
            tap,
            metrics,
            log: Log::default(),
            patrol: Patrol::new(),
            scratch: Scratch {
                input: RefCell::new(vec![0; SCRATCH].into()),
                output: RefCell::default(),
                spare: Spare::default(),
            },
            scanner: RefCell::default(),
            flood: Flood::default(),
            keeper,
            in_flight: Cell::new(0),
            detached: Rc::default(),
            idle: Notify::new(),
            is_over: Cell::new(false),
        }
    }

    pub(crate) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// Serves requests from now on as another plan says.
    pub(crate) fn adopt(&self, plan: Arc<Plan>) {
        self.settings.replace(Settings::new(plan));
    }

    /// Returns whether one more connection may be accepted, if need be instead of an idle one.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_full() || self.patrol.has_idle()
    }

    /// Ends the connection that has been idle for longest if there is no room for another.
    pub(crate) fn make_room(&self) {
        if self.is_full() {
            self.patrol.evict();
        }
    }

    fn is_full(&self) -> bool {
        let settings = self.settings.borrow();
        let config = settings.config();
        let share = config.limits.connections.div_ceil(config.thread_count());
        self.patrol.count() >= share.max(1)
    }

    /// Notes that a request begins.
    pub(crate) fn begin(self: Rc<Self>, activity: Rc<Activity>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        activity.begin();
        InFlight {
            worker: self,
            activity,
        }
    }

    /// Counts an attempt that goes on without its client, until the guard is dropped.
    pub(crate) fn detach(&self) -> Detached {
        self.detached.set(self.detached.get() + 1);
        Detached(Rc::clone(&self.detached))
    }

    /// Returns whether so many attempts wait for a slow Sentry that further ones would only add to its load and ours.
    pub(crate) fn has_many_detached(&self) -> bool {
        self.detached.get() >= MAX_DETACHED
    }

    /// Waits until nothing is in flight, also of clients that have left.
    pub(crate) async fn until_idle(&self) {
        while self.in_flight.get() > 0 {
            self.idle.notified().await;
        }
    }

    /// Says that the thread ends: what is dropped from now on is not carried on.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.end();
        let left = self.worker.in_flight.get() - 1;
        self.worker.in_flight.set(left);
        if left == 0 {
            self.worker.idle.notify_one();
        }
    }
}

impl Log {
    /// Reports a request that was lost; the same is not said again for a while, only counted.
    pub(crate) fn lost(&self, fault: &Fault) {
        let Some(others) = self.lost.say(Instant::now()) else {
            return;
        };
        let may_have_arrived = !fault.is_unsent();
        tracing::error!(
            error = fault as &dyn std::error::Error,
            others,
            may_have_arrived,
            "request lost: Sentry could not take it"
        );
    }

    /// Reports that the spool did not take a request, as seldom.
    pub(crate) fn unkept(&self, error: &AppendError) {
        let Some(others) = self.unkept.say(Instant::now()) else {
            return;
        };
        let reason = error.reason();
        let error: &dyn std::error::Error = error;
        tracing::error!(error, reason, others, "the spool did not take a request");
    }

    /// Notes that a request waits in the spool.
    pub(crate) fn kept(&self, fault: &Fault) {
        let error: &dyn std::error::Error = fault;
        tracing::debug!(error, "request waits in the spool");
    }
}

impl Seldom {
    /// Returns how often it was not said since the last time, if it is to be said now.
    fn say(&self, now: Instant) -> Option<u64> {
        let last = self.last.get();
        if last.is_some_and(|last| now.duration_since(last) < SILENCE) {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.unsaid.take())
    }
}

/// Bytes read at once from a client.
const SCRATCH: usize = 64 << 10;

/// Attempts without a client of one thread.
const MAX_DETACHED: usize = 64;

const SILENCE: Duration = Duration::from_secs(10);

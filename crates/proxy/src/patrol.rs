//! Looks after the connections of one thread: who keeps us waiting for too long, who must go, and who must hear of the drain.
//!
//! A coarse clock that one task advances replaces a timer per connection: a request needs no clock and no timer for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::config::Limits;
use crate::screen::Fault;

/// The connections of one thread.
#[derive(Debug)]
pub(crate) struct Patrol {
    now: Rc<Cell<Tick>>,
    connections: RefCell<Vec<Rc<Activity>>>,
    is_draining: Cell<bool>,
}

/// What one connection does; written by its task, read by the patrol.
#[derive(Debug)]
pub(crate) struct Activity {
    now: Rc<Cell<Tick>>,
    slot: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    waiting: Cell<Waiting>,
    /// Whether the last read found nothing.
    is_blocked: Cell<bool>,
    /// When the present wait began.
    since: Cell<Tick>,
    /// When writing began to find no room.
    unwritten_since: Cell<Option<Tick>>,
    /// Bytes of the present body, and how long we have waited for them.
    received: Cell<u64>,
    waited: Cell<Tick>,
    in_flight: Cell<u32>,
    /// When we stop waiting for Sentry.
    deadline: Cell<Option<Tick>>,
    order: Cell<Order>,
    /// Why nothing more is read from the client.
    pub(crate) fault: Cell<Option<Fault>>,
}

/// What a client keeps us waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// What a connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    None,
    /// Finish what is in flight, then end.
    Drain,
    /// Take no more from the client: it was too slow.
    StopReading,
    /// End at once: the client does not read its answer.
    End,
}

/// A connection's place in the patrol, kept as long as it lives.
#[derive(Debug)]
pub(crate) struct Registered {
    patrol: Rc<Patrol>,
    pub(crate) activity: Rc<Activity>,
}

/// Tenths of a second since the thread began.
type Tick = u32;

impl Patrol {
    pub(crate) fn new() -> Rc<Patrol> {
        Rc::new(Patrol {
            now: Rc::default(),
            connections: RefCell::default(),
            is_draining: Cell::new(false),
        })
    }

    pub(crate) fn register(self: &Rc<Self>) -> Registered {
        let mut connections = self.connections.borrow_mut();
        let activity = Rc::new(Activity::new(Rc::clone(&self.now), connections.len()));
        if self.is_draining.get() {
            activity.order.set(Order::Drain);
        }
        connections.push(Rc::clone(&activity));
        Registered {
            patrol: Rc::clone(self),
            activity,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Advances the clock and sends those home who were too slow.
    pub(crate) fn advance(&self, limits: &Limits) {
        self.now.set(self.now.get().wrapping_add(1));
        let connections = self.connections.borrow();
        for activity in connections.iter() {
            if let Some(order) = activity.overdue(limits) {
                activity.command(order);
            } else if activity.is_past_deadline() {
                activity.wake();
            }
        }
    }

    /// Ends the connection that has been idle for longest, if any is idle.
    pub(crate) fn evict(&self) {
        let connections = self.connections.borrow();
        let idle = connections.iter().filter(|activity| activity.is_idle());
        if let Some(oldest) = idle.max_by_key(|activity| activity.age()) {
            oldest.command(Order::StopReading);
        }
    }

    pub(crate) fn has_idle(&self) -> bool {
        self.connections
            .borrow()
            .iter()
            .any(|activity| activity.is_idle())
    }

    /// Tells every connection, also those to come, to finish.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
        for activity in self.connections.borrow().iter() {
            activity.command(Order::Drain);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.patrol.connections.borrow_mut();
        let slot = self.activity.slot.get();
        connections.swap_remove(slot);
        if let Some(moved) = connections.get(slot) {
            moved.slot.set(slot);
        }
    }
}

impl Activity {
    fn new(now: Rc<Cell<Tick>>, slot: usize) -> Activity {
        Activity {
            slot: Cell::new(slot),
            waker: RefCell::new(None),
            waiting: Cell::new(Waiting::Request),
            is_blocked: Cell::new(true),
            since: Cell::new(now.get()),
            unwritten_since: Cell::new(None),
            received: Cell::new(0),
            waited: Cell::new(0),
            in_flight: Cell::new(0),
            deadline: Cell::new(None),
            order: Cell::new(Order::None),
            fault: Cell::new(None),
            now,
        }
    }

    /// Returns what to do; called whenever the connection's task runs, so that it can be woken again.
    pub(crate) fn order(&self, context: &Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        self.order.get()
    }

    /// Waits for something from Sentry, `None` if it takes longer than `limit`. Costs no timer, and is as coarse as the clock.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let last = self
            .now
            .get()
            .saturating_add(ticks(limit).saturating_add(1));
        self.deadline.set(Some(last));
        let mut future = std::pin::pin!(future);
        let output = poll_fn(|context| {
            self.order(context);
            match future.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.is_past_deadline() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.deadline.set(None);
        output
    }

    fn is_past_deadline(&self) -> bool {
        self.deadline
            .get()
            .is_some_and(|deadline| self.now.get() >= deadline)
    }

    /// Returns whether the connection should end with what is in flight.
    pub(crate) fn is_draining(&self) -> bool {
        self.order.get() != Order::None
    }

    pub(crate) fn must_stop_reading(&self) -> bool {
        self.order.get() == Order::StopReading
    }

    /// A read found nothing.
    pub(crate) fn read_blocked(&self, waiting: Waiting) {
        let is_same_head = waiting == Waiting::Head && self.waiting.get() == Waiting::Head;
        if !is_same_head && (self.waiting.get() != waiting || !self.is_blocked.get()) {
            self.since.set(self.now.get());
        }
        self.waiting.set(waiting);
        self.is_blocked.set(true);
    }

    /// A read found so many bytes.
    pub(crate) fn read_some(&self, count: usize) {
        if self.waiting.get() == Waiting::Body && self.is_blocked.get() {
            self.waited.set(self.waited.get() + self.age());
        }
        self.is_blocked.set(false);
        self.received.set(self.received.get() + count as u64);
    }

    /// A head is complete: what comes next is its body or another request.
    pub(crate) fn head_passed(&self) {
        self.waiting.set(Waiting::Request);
        self.received.set(0);
        self.waited.set(0);
    }

    /// A write found room, or none.
    pub(crate) fn wrote(&self, is_blocked: bool) {
        if !is_blocked {
            self.unwritten_since.set(None);
            if self.waiting.get() == Waiting::Request {
                self.since.set(self.now.get());
            }
        } else if self.unwritten_since.get().is_none() {
            self.unwritten_since.set(Some(self.now.get()));
        }
    }

    /// A request begins; while one is served, the connection is not idle.
    pub(crate) fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(crate) fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.since.set(self.now.get());
    }

    /// Returns how many requests of the connection are being served, also those that it no longer waits for.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    fn command(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.get() == Waiting::Request
            && self.is_blocked.get()
            && self.in_flight.get() == 0
            && self.order.get() == Order::None
    }

    fn age(&self) -> Tick {
        self.now.get().wrapping_sub(self.since.get())
    }

    fn overdue(&self, limits: &Limits) -> Option<Order> {
        if matches!(self.order.get(), Order::StopReading | Order::End) {
            return None;
        }
        let unwritten = self
            .unwritten_since
            .get()
            .map_or(0, |since| self.now.get().wrapping_sub(since));
        if unwritten > ticks(limits.stall_timeout) {
            return Some(Order::End);
        }
        let is_late = self.is_blocked.get()
            && match self.waiting.get() {
                Waiting::Request => {
                    self.in_flight.get() == 0 && self.age() > ticks(limits.idle_timeout)
                }
                Waiting::Head => self.age() > ticks(limits.header_timeout),
                Waiting::Body => self.is_body_late(limits),
            };
        is_late.then_some(Order::StopReading)
    }

    /// A body may pause for a while, but must keep a minimal rate over the time we wait for it.
    fn is_body_late(&self, limits: &Limits) -> bool {
        let waited = self.waited.get() + self.age();
        let due = u64::from(waited) * MIN_BYTES_PER_TICK;
        let stall = ticks(limits.stall_timeout);
        self.age() > stall || (waited > stall && self.received.get() < due)
    }
}

/// How often the clock advances.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Bytes of a body per tick: 200 per second.
const MIN_BYTES_PER_TICK: u64 = 20;

fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(Tick::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_timeout: TICK * 10,
            stall_timeout: TICK * 20,
            idle_timeout: TICK * 30,
            ..Limits::default()
        }
    }

    /// Lets ticks pass until the connection gets an order; returns how many.
    fn until_ordered(patrol: &Patrol, activity: &Activity) -> (u32, Order) {
        for tick in 1..1000 {
            patrol.advance(&limits());
            if activity.order.get() != Order::None {
                return (tick, activity.order.get());
            }
        }
        (0, Order::None)
    }

    #[test]
    fn each_wait_has_its_own_limit() {
        for (waiting, expected) in [
            (Waiting::Request, 31),
            (Waiting::Head, 11),
            (Waiting::Body, 21),
        ] {
            let patrol = Patrol::new();
            let registered = patrol.register();

            registered.activity.read_some(10);
            registered.activity.read_blocked(waiting);

            assert_eq!(
                until_ordered(&patrol, &registered.activity),
                (expected, Order::StopReading),
                "{waiting:?}"
            );
        }
    }

    #[test]
    fn a_head_that_trickles_does_not_gain_time() {
        let patrol = Patrol::new();
        let Registered { activity, .. } = &patrol.register();
        activity.read_blocked(Waiting::Head);

        for _ in 0..10 {
            patrol.advance(&limits());
            activity.read_some(1);
            activity.read_blocked(Waiting::Head);
        }

        assert_eq!(until_ordered(&patrol, activity), (1, Order::StopReading));
    }

    #[test]
    fn a_body_that_trickles_is_cut_and_a_steady_one_is_not() {
        for (bytes, expected) in [(1, Order::StopReading), (100, Order::None)] {
            let patrol = Patrol::new();
            let Registered { activity, .. } = &patrol.register();
            activity.head_passed();

            for _ in 0..200 {
                activity.read_blocked(Waiting::Body);
                patrol.advance(&limits());
                activity.read_some(bytes);
            }

            assert_eq!(activity.order.get(), expected, "{bytes}");
        }
    }

    #[test]
    fn a_served_request_is_not_idle_and_an_unread_answer_ends_the_connection() {
        let patrol = Patrol::new();
        let Registered { activity, .. } = &patrol.register();
        activity.begin();
        assert_eq!(until_ordered(&patrol, activity), (0, Order::None));

        activity.wrote(true);

        assert_eq!(until_ordered(&patrol, activity), (21, Order::End));
    }

    #[test]
    fn evicts_the_connection_that_has_been_idle_for_longest() {
        let patrol = Patrol::new();
        let oldest = patrol.register();
        oldest.activity.begin();
        patrol.advance(&limits());
        let idle = patrol.register();
        patrol.advance(&limits());
        let newest = patrol.register();

        patrol.evict();

        let orders = [&oldest, &idle, &newest].map(|entry| entry.activity.order.get());
        assert_eq!(orders, [Order::None, Order::StopReading, Order::None]);
        drop(idle);
        assert_eq!(patrol.count(), 2);
        drop(oldest);
        drop(newest);
        assert_eq!(patrol.count(), 0);
        assert!(!patrol.has_idle());
    }
}

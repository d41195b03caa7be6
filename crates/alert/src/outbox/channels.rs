//! The ways into one chat: each with a budget of its own, in turn, and left alone for a while after a failure.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use state::{Store, Take, Unavailable};
use tokio::time::Instant;

use super::plan::Share;
use crate::notifier::{Channel, Notifier};

/// A robot's channels, and which may be used when.
pub(super) struct Channels {
    channels: Vec<State>,
    next: usize,
}

/// Why no channel may be used, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// After a passing fault.
    Rest(Duration),
    /// The service closed it.
    Closed(Duration),
    /// The budget is spent.
    Budget(Duration),
}

struct State {
    channel: Channel,
    /// Until when the service closed it, as far as this process knows.
    closed_until: Option<Instant>,
    /// After a passing fault, until when; and how long the next pause will be.
    paused_until: Option<Instant>,
    pause: Duration,
    /// How often in a row it refused everything until somebody mends it.
    refusals: u32,
    /// When the attempts of the last minute ended. The service counts a message when it arrives, which may be seconds after
    /// it was taken out of the budget: a minute after that, it may still count.
    ended: VecDeque<Instant>,
}

impl Channels {
    pub(super) fn of(robot: &dyn Notifier) -> Self {
        let channels = robot.channels().into_iter().map(|channel| State {
            channel,
            closed_until: None,
            paused_until: None,
            pause: FIRST_PAUSE,
            refusals: 0,
            ended: VecDeque::new(),
        });
        Self {
            channels: channels.collect(),
            next: 0,
        }
    }

    /// Takes one message out of the first budget that has room; else says how long none has. `before` is the channel that
    /// was tried before with the same message, whose service drops repeats.
    pub(super) async fn take(
        &mut self,
        store: &dyn Store,
        share: Share,
        before: Option<usize>,
        now: SystemTime,
    ) -> Result<Result<usize, Wait>, Unavailable> {
        let mut shortest: Option<Wait> = None;
        for at in self.in_turn(before) {
            let rest = left(self.channels[at].paused_until).map(Wait::Rest);
            let arriving = || self.channels[at].until_arrived(share).map(Wait::Budget);
            let wait = match rest.or_else(arriving) {
                Some(wait) => wait,
                None => match self.take_from(store, at, share, now).await? {
                    Take::Granted => {
                        self.next = at + 1;
                        return Ok(Ok(at));
                    }
                    Take::After(wait) if left(self.channels[at].closed_until).is_some() => {
                        Wait::Closed(wait.max(SHORTEST_WAIT))
                    }
                    Take::After(wait) => Wait::Budget(wait.max(SHORTEST_WAIT)),
                },
            };
            let is_shorter = shortest.is_none_or(|known| wait.duration() < known.duration());
            shortest = if is_shorter { Some(wait) } else { shortest };
        }
        Ok(Err(shortest.unwrap_or(Wait::Rest(LONGEST_PAUSE))))
    }

    pub(super) fn bucket(&self, at: usize) -> &str {
        &self.channels[at].channel.bucket
    }

    /// Notes that an attempt has ended, however.
    pub(super) fn ended(&mut self, at: usize) {
        let ended = &mut self.channels[at].ended;
        while ended.front().is_some_and(|at| at.elapsed() >= MINUTE) {
            ended.pop_front();
        }
        ended.push_back(Instant::now());
    }

    /// Notes a delivery.
    pub(super) fn succeeded(&mut self, at: usize) {
        let state = &mut self.channels[at];
        state.paused_until = None;
        state.pause = FIRST_PAUSE;
        state.refusals = 0;
    }

    /// Notes that the service closed a channel.
    pub(super) fn closed(&mut self, at: usize, closed: Duration) {
        self.channels[at].closed_until = Some(Instant::now() + closed);
    }

    /// Notes a passing fault: the channel rests, longer each time.
    pub(super) fn failed(&mut self, at: usize) {
        let state = &mut self.channels[at];
        state.paused_until = Some(Instant::now() + state.pause);
        state.pause = (state.pause * 2).min(LONGEST_PAUSE);
    }

    /// Notes that everything is refused until somebody mends it; returns how long to leave it alone.
    pub(super) fn refused(&mut self, at: usize) -> Duration {
        let state = &mut self.channels[at];
        state.refusals = state.refusals.saturating_add(1);
        match state.refusals {
            0 | 1 => Duration::from_secs(60),
            2.. => Duration::from_secs(600),
        }
    }

    fn in_turn(&self, before: Option<usize>) -> Vec<usize> {
        let count = self.channels.len();
        let turn = (0..count).map(|step| (self.next + step) % count);
        let before = before.filter(|at| *at < count);
        before.into_iter().chain(turn).collect()
    }

    async fn take_from(
        &self,
        store: &dyn Store,
        at: usize,
        share: Share,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let Channel { bucket, per_minute } = &self.channels[at].channel;
        store.take(bucket, share.of(*per_minute), now).await
    }
}

impl State {
    /// How long until one more message cannot arrive within a minute of as many as its share allows.
    fn until_arrived(&self, share: Share) -> Option<Duration> {
        let share = usize::try_from(share.of(self.channel.per_minute)).unwrap_or(usize::MAX);
        let last = self.ended.len().checked_sub(share)?;
        left(self.ended.get(last).map(|ended| *ended + MINUTE))
    }
}

impl Wait {
    pub(super) fn duration(self) -> Duration {
        match self {
            Self::Rest(wait) | Self::Closed(wait) | Self::Budget(wait) => wait,
        }
    }
}

/// What is left until a moment, if anything is.
fn left(until: Option<Instant>) -> Option<Duration> {
    let left = until?.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

const MINUTE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

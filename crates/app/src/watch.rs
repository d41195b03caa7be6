//! What the proxy says about itself: Sentry away and back, the spool nearly full, state in memory alone.
//!
//! It looks twice a second, and speaks through the robot of `[self]`. That another robot is broken is told by the outbox.

mod condition;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use alert::{Notice, NoticeKind, Outbox};
use proxy::{Outage, Outlook};
use spool::{Counts, Queue};
use state::{Store, Take, Unavailable};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::condition::{Condition, State, Turn};

/// Everything that is looked at, and the way to the robot.
pub(crate) struct Watching {
    pub(crate) metrics: Arc<proxy::Metrics>,
    pub(crate) outlook: Outlook,
    pub(crate) spool: Option<(Queue, u64)>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Outbox,
    pub(crate) alert: watch::Receiver<Arc<alert::Config>>,
    pub(crate) outage_after: watch::Receiver<Duration>,
}

impl Watching {
    /// Looks and speaks until it is aborted.
    pub(crate) async fn run(self) {
        let mut conditions = Conditions::new();
        let mut unsaid = Vec::new();
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let (now, clock) = (Instant::now(), SystemTime::now());
            let after = *self.outage_after.borrow();
            for kind in conditions.look(&self.sample(), after, now, clock) {
                tracing::info!(notice = kind.as_str(), "noticed");
                unsaid.push(Unsaid { kind, at: clock });
            }
            self.speak(&mut unsaid, clock).await;
        }
    }

    fn sample(&self) -> Sample {
        let spool = self.spool.as_ref();
        Sample {
            outages: self.outlook.outages(),
            spool: spool.map(|(queue, size)| (queue.counts(), *size)),
            lost: self.metrics.lost(),
            trouble: self.store.trouble().map(|trouble| trouble.since),
            backend: self.store.backend(),
        }
    }

    /// Says what is unsaid, and forgets what others said meanwhile or what is too old.
    async fn speak(&self, unsaid: &mut Vec<Unsaid>, now: SystemTime) {
        let mut left = Vec::new();
        for one in unsaid.drain(..) {
            let age = now.duration_since(one.at).unwrap_or_default();
            match self.say(&one).await {
                Ok(Said::Done) => {}
                Ok(Said::ByOther) if age < OTHERS_TURN => left.push(one),
                Ok(Said::ByOther) => {}
                Err(_) if age < GIVE_UP => left.push(one),
                Err(error) => {
                    let (notice, error) = (one.kind.as_str(), &error as &dyn std::error::Error);
                    tracing::error!(notice, error, "cannot be told");
                }
            }
        }
        *unsaid = left;
    }

    async fn say(&self, unsaid: &Unsaid) -> Result<Said, Unavailable> {
        let Some(robot) = self.alert.borrow().own_robot.clone() else {
            return Ok(Said::Done);
        };
        let subject = subject(&unsaid.kind);
        let name = unsaid.kind.as_str();
        if self.is_shared_matter(&unsaid.kind) {
            // The replicas that notice the same share one word a minute.
            let bucket = format!("self:{name}:{subject}");
            if self.store.take(&bucket, 1, unsaid.at).await? != Take::Granted {
                return Ok(Said::ByOther);
            }
        }
        let since = unsaid.at.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().as_secs();
        let notice = Notice {
            id: format!("{name}-{subject}-{since}"),
            at: unsaid.at,
            kind: unsaid.kind.clone(),
        };
        self.outbox.tell(&robot, notice, unsaid.at).await?;
        Ok(Said::Done)
    }

    /// Each has a spool of its own; and without the shared state, nobody knows what others say.
    fn is_shared_matter(&self, kind: &NoticeKind) -> bool {
        let is_own = matches!(kind, NoticeKind::SpoolNearlyFull { .. });
        self.store.is_shared() && !is_own && self.store.trouble().is_none()
    }
}

/// A word that is still to be said.
struct Unsaid {
    kind: NoticeKind,
    at: SystemTime,
}

enum Said {
    Done,
    /// Another replica was given the word, or nobody may speak for a moment.
    ByOther,
}

/// How everything stands at one moment.
#[derive(Debug, Clone, Default)]
struct Sample {
    outages: Vec<Outage>,
    /// The spool's numbers, and how many bytes it may hold.
    spool: Option<(Counts, u64)>,
    /// Requests lost since the start.
    lost: u64,
    /// Since when state has been in memory alone.
    trouble: Option<Instant>,
    backend: &'static str,
}

/// What is watched, from one look to the next.
struct Conditions {
    sentries: BTreeMap<String, (Condition, Sample)>,
    spool: Condition,
    is_nearly_full: bool,
    state: Condition,
    /// The looks of the last minute, oldest first.
    past: VecDeque<(Instant, Sample)>,
}

impl Conditions {
    fn new() -> Self {
        Self {
            sentries: BTreeMap::new(),
            spool: Condition::new(Duration::ZERO, Duration::ZERO),
            is_nearly_full: false,
            state: Condition::new(STATE_AFTER, SETTLE),
            past: VecDeque::new(),
        }
    }

    /// Takes in how everything stands, and returns what is to be said.
    fn look(
        &mut self,
        sample: &Sample,
        outage_after: Duration,
        now: Instant,
        clock: SystemTime,
    ) -> Vec<NoticeKind> {
        let mut notices = self.look_at_sentries(sample, outage_after, now, clock);
        notices.extend(self.look_at_spool(sample, now));
        notices.extend(self.look_at_state(sample, now));
        self.past.push_back((now, sample.clone()));
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        notices
    }

    fn look_at_sentries(
        &mut self,
        sample: &Sample,
        after: Duration,
        now: Instant,
        clock: SystemTime,
    ) -> Vec<NoticeKind> {
        self.note_outages(sample, after);
        let mut notices = Vec::new();
        for (upstream, (condition, start)) in &mut self.sentries {
            condition.set_after(after);
            let is_this = |outage: &&Outage| outage.upstream == *upstream;
            let state = match sample.outages.iter().find(is_this) {
                Some(outage) => State::Wrong(outage.since),
                None if sample.backlog() > 0 => State::Mending,
                None => State::Well,
            };
            let upstream = upstream.clone();
            notices.extend(condition.look(state, now).map(|turn| match turn {
                Turn::Began(since) => NoticeKind::SentryDown {
                    since: clock - now.saturating_duration_since(since),
                    waiting: sample.backlog(),
                    upstream,
                    lost: sample.lost.saturating_sub(start.lost),
                },
                Turn::Ended(lasted) => NoticeKind::SentryBack {
                    lasted,
                    waited: sample.waited_since(start),
                    delivered: sample.delivered_since(start),
                    upstream,
                    lost: sample.lost.saturating_sub(start.lost),
                },
            }));
        }
        notices
    }

    /// Remembers how everything stood before each outage: what was there before is not counted as its own. It began with the
    /// first request that failed, which is noticed some failures later.
    fn note_outages(&mut self, sample: &Sample, after: Duration) {
        for outage in &sample.outages {
            let earlier = self.past.iter().rev().find(|(at, _)| *at < outage.since);
            // Where not all is remembered that was seen, the oldest is nearest.
            let oldest = self.past.front().filter(|_| self.past.len() == REMEMBERED);
            let earlier = earlier.or(oldest);
            let before = earlier.map(|(_, sample)| sample.clone());
            let known = self.sentries.entry(outage.upstream.clone());
            let fresh = || (Condition::new(after, SETTLE), Sample::default());
            let (condition, start) = known.or_insert_with(fresh);
            if condition.is_over() {
                *start = before.unwrap_or_default();
            }
        }
    }

    fn look_at_spool(&mut self, sample: &Sample, now: Instant) -> Option<NoticeKind> {
        let (counts, size) = sample.spool?;
        let used = counts.bytes;
        let limit = if self.is_nearly_full {
            ROOMY
        } else {
            NEARLY_FULL
        };
        self.is_nearly_full = used >= size / 100 * limit;
        let state = match self.is_nearly_full {
            true => State::Wrong(now),
            false => State::Well,
        };
        match self.spool.look(state, now)? {
            Turn::Began(_) => Some(NoticeKind::SpoolNearlyFull { used, size }),
            Turn::Ended(_) => None,
        }
    }

    fn look_at_state(&mut self, sample: &Sample, now: Instant) -> Option<NoticeKind> {
        let state = sample.trouble.map_or(State::Well, State::Wrong);
        let backend = sample.backend.to_owned();
        Some(match self.state.look(state, now)? {
            Turn::Began(_) => NoticeKind::StateFallback { backend },
            Turn::Ended(lasted) => NoticeKind::StateBack { backend, lasted },
        })
    }
}

impl Sample {
    fn counts(&self) -> Counts {
        self.spool.map(|(counts, _)| counts).unwrap_or_default()
    }

    fn backlog(&self) -> u64 {
        self.counts().requests
    }

    /// Counts what has waited since a moment: what waited then, and what came since.
    fn waited_since(&self, start: &Sample) -> u64 {
        let (now, then) = (self.counts(), start.counts());
        then.requests + now.appended.saturating_sub(then.appended)
    }

    fn delivered_since(&self, start: &Sample) -> u64 {
        let (now, then) = (self.counts(), start.counts());
        let finished = now.finished.saturating_sub(then.finished);
        finished.min(self.waited_since(start))
    }
}

/// Tells one matter from others of its kind.
fn subject(kind: &NoticeKind) -> &str {
    match kind {
        NoticeKind::SentryDown { upstream, .. } | NoticeKind::SentryBack { upstream, .. } => {
            upstream
        }
        NoticeKind::RobotBroken { robot, .. } | NoticeKind::RobotBack { robot, .. } => robot,
        NoticeKind::SpoolNearlyFull { .. } => "spool",
        NoticeKind::StateFallback { backend } | NoticeKind::StateBack { backend, .. } => backend,
    }
}

/// How often to look.
const TURN: Duration = Duration::from_millis(500);

/// Looks that are remembered.
const REMEMBERED: usize = 120;

/// How long Sentry, or the state, must be back to be back.
const SETTLE: Duration = Duration::from_secs(5);

/// How long state must have been in memory alone: a restart of Redis takes less.
const STATE_AFTER: Duration = Duration::from_secs(10);

/// Percent of the spool's size: from here on it is nearly full, and from there down it is not any more.
const NEARLY_FULL: u64 = 80;
const ROOMY: u64 = 60;

/// How long to ask for the word, should nobody have it: after Redis came back, all are silent for some seconds.
const OTHERS_TURN: Duration = Duration::from_secs(20);

/// How long a word is kept that cannot be put into the outbox.
const GIVE_UP: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests;

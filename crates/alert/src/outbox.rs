//! Delivers what is to be said: one queue per robot in the state, one loop per robot that empties it.
//!
//! Top-down: `Outbox::put` keeps a message in the state; `worker` is the loop that reads, sends and settles; `plan` says
//! what is to be sent next, and of what share of the budget; `channels` knows which of a robot's webhooks may be used;
//! `batch` makes messages of what waits; `health` and `journal` keep what people look at.

mod batch;
mod channels;
mod health;
mod journal;
mod plan;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::model::Level;
use state::{Claim, Parcel, Store, Unavailable, Word};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use self::worker::Worker;
use crate::decide::Reason;
use crate::stored::Stored;
use crate::{Alert, Config, Metrics, Notice, Notifier};

pub use self::health::{Health, RobotHealth};
pub use self::journal::{Journal, Sent};

/// The way into the outbox. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

/// The tasks that deliver; one per robot.
pub struct Deliveries {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
}

/// Reads the wall clock; an argument so that tests can run on simulated time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What an outbox rests on.
pub struct Parts {
    /// The robots there are.
    pub robots: Vec<Arc<dyn Notifier>>,
    /// Where messages are kept until they are delivered.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
}

/// An alert on its way into the outbox, and what its delivery means for its issue.
#[derive(Debug, Clone)]
pub(crate) struct Posting<'a> {
    pub(crate) alert: Alert,
    pub(crate) word: Word,
    pub(crate) robots: &'a [String],
    /// How old it may become before it goes into a digest.
    pub(crate) late_after: Duration,
    /// When set, it goes into the digest that is due then.
    pub(crate) gather_until: Option<SystemTime>,
}

struct Shared {
    store: Arc<dyn Store>,
    metrics: Metrics,
    clock: Clock,
    config: watch::Receiver<Arc<Config>>,
    health: Health,
    journal: Journal,
    /// Tells a robot's loop that something was put; the state tells of what others put.
    put: BTreeMap<String, Notify>,
    /// Names this process among its replicas.
    holder: String,
}

impl Outbox {
    /// Starts one loop per robot on the current runtime; what still waits in the state is delivered too.
    pub fn start(parts: Parts) -> (Self, Deliveries) {
        let robots = parts.robots.iter();
        let shared = Arc::new(Shared {
            health: Health::of(&parts.robots),
            journal: Journal::default(),
            put: robots
                .map(|robot| (robot.name().to_owned(), Notify::new()))
                .collect(),
            holder: holder(parts.store.as_ref(), (parts.clock)()),
            store: parts.store,
            metrics: parts.metrics,
            clock: parts.clock,
            config: parts.config,
        });
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for robot in parts.robots {
            let worker = Worker::new(robot, Arc::clone(&shared));
            tasks.spawn(worker.run(stopping.clone()));
        }
        let outbox = Self {
            shared: Arc::clone(&shared),
        };
        let deliveries = Deliveries {
            tasks,
            stop,
            shared,
        };
        (outbox, deliveries)
    }

    /// Returns a view of the robots' state.
    pub fn health(&self) -> Health {
        self.shared.health.clone()
    }

    /// Returns a view of the messages sent last.
    pub fn journal(&self) -> Journal {
        self.shared.journal.clone()
    }

    /// Lets a robot speak about the proxy itself; once per notice id, also among replicas. Of no effect when there is no
    /// robot of this name.
    ///
    /// # Errors
    /// When the state cannot be reached; trying again helps later.
    pub async fn tell(
        &self,
        robot: &str,
        notice: Notice,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.shared.tell(robot, notice, now).await
    }

    /// Keeps an alert until it is delivered, unless somebody else says the same.
    pub(crate) async fn put(
        &self,
        posting: &Posting<'_>,
        now: SystemTime,
    ) -> Result<Claim, Unavailable> {
        let alert = &posting.alert;
        let payload = match posting.robots.is_empty() {
            true => Vec::new(),
            false => Stored::Alert(Box::new(alert.clone())).encode(),
        };
        let parcel = Parcel {
            id: &alert.id,
            word: Some(posting.word),
            robots: posting.robots,
            priority: priority(alert.subject.level, alert.reason),
            gather_until: posting.gather_until,
            late_after: posting.late_after,
            payload: &payload,
        };
        let claim = self.shared.store.claim(&parcel, now).await?;
        if claim == Claim::Won && !posting.robots.is_empty() {
            self.shared.metrics.count_alert(alert.reason);
            self.shared.wake(posting.robots);
        }
        Ok(claim)
    }
}

impl Deliveries {
    /// Waits until everything that may go now is delivered, at most for `grace`, and returns how many messages still wait.
    /// With a durable state they are delivered after the next start; else they are lost.
    pub async fn finish(mut self, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        let _ = self.stop.send(true);
        self.shared.wake_all();
        while let Ok(Some(_)) = timeout_at(deadline, self.tasks.join_next()).await {}
        self.tasks.shutdown().await;
        self.shared.waiting().await
    }
}

impl Shared {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn wake(&self, robots: &[String]) {
        let robots = robots.iter().filter_map(|robot| self.put.get(robot));
        robots.for_each(Notify::notify_one);
    }

    fn wake_all(&self) {
        self.put.values().for_each(Notify::notify_one);
    }

    async fn tell(&self, robot: &str, notice: Notice, now: SystemTime) -> Result<(), Unavailable> {
        if !self.put.contains_key(robot) {
            return Ok(());
        }
        let robots = [robot.to_owned()];
        let id = notice.id.clone();
        let parcel = Parcel {
            id: &id,
            word: None,
            robots: &robots,
            priority: URGENT - 1,
            gather_until: None,
            late_after: Duration::from_secs(300),
            payload: &Stored::Notice(Box::new(notice)).encode(),
        };
        self.store.claim(&parcel, now).await?;
        self.wake(&robots);
        Ok(())
    }

    /// Counts what waits for all robots.
    async fn waiting(&self) -> usize {
        let mut waiting = 0;
        for robot in self.put.keys() {
            if let Ok(pending) = self.store.pending(robot, 0).await {
                waiting += pending.alone_total + pending.gathered_total;
            }
        }
        waiting
    }
}

/// Smaller is sooner: fatal before error, first words before others; that something has stopped comes last.
fn priority(level: Level, reason: Reason) -> u8 {
    let level = match level {
        Level::Fatal => 0,
        Level::Error => 1,
        Level::Warning => 2,
        Level::Info => 3,
        Level::Debug => 4,
    };
    match reason {
        Reason::Stopped => 5 * URGENT + level,
        Reason::FirstSeen
        | Reason::Threshold
        | Reason::Burst
        | Reason::StillHappening
        | Reason::Regression
        | Reason::NewRelease
        | Reason::MuteEnded => level * URGENT + reason.urgency(),
    }
}

/// A name that no other process has; where there can be no other, always the same.
fn holder(store: &dyn Store, now: SystemTime) -> String {
    use std::hash::{BuildHasher, RandomState};
    if !store.is_shared() {
        return "the only one".to_owned();
    }
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let noise = RandomState::new().hash_one(since);
    format!("{}-{noise:016x}", std::process::id())
}

/// What has a smaller priority may use more of the budget, and waits for it instead of going into a digest.
const URGENT: u8 = 8;

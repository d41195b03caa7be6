//! Delivers alerts: one queue and one task per robot; budget, retries, and settlement after delivery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use state::{End, Settlement, Store, Take};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Alert, Failure, Message, Metrics, Notifier, Retry};

/// The way into the outbox. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    robots: Arc<BTreeMap<String, mpsc::Sender<Delivery>>>,
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

/// The tasks that deliver; one per robot.
pub struct Deliveries {
    tasks: JoinSet<()>,
    waiting: Arc<AtomicUsize>,
}

/// What the status page shows of a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotHealth {
    /// The robot's name in the config.
    pub name: String,
    /// Messages it may send in any 60 seconds.
    pub per_minute: u32,
    /// The newest attempt: when, and the failure if it was one.
    pub last: Option<(SystemTime, Result<(), Failure>)>,
}

/// Reads the wall clock; an argument so that tests can run on simulated time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Outbox {
    /// Starts one task per robot on the current runtime.
    pub fn start(
        robots: Vec<Arc<dyn Notifier>>,
        store: Arc<dyn Store>,
        metrics: Metrics,
        clock: Clock,
    ) -> (Self, Deliveries) {
        let waiting = Arc::new(AtomicUsize::new(0));
        let health = robots.iter().map(|robot| health_of(robot.as_ref()));
        let shared = Arc::new(Shared {
            store,
            metrics,
            clock,
            health: Health(Arc::new(Mutex::new(health.collect()))),
        });
        let mut tasks = JoinSet::new();
        let mut senders = BTreeMap::new();
        for robot in robots {
            let (sender, receiver) = mpsc::channel(QUEUE);
            senders.insert(robot.name().to_owned(), sender);
            let worker = Worker {
                robot,
                shared: Arc::clone(&shared),
                waiting: Arc::clone(&waiting),
            };
            tasks.spawn(worker.run(receiver));
        }
        let outbox = Self {
            robots: Arc::new(senders),
            waiting: Arc::clone(&waiting),
            shared,
        };
        (outbox, Deliveries { tasks, waiting })
    }

    /// Queues an alert that was claimed for each named robot; a robot without room is counted.
    pub fn push(&self, alert: Alert, robots: &[String]) {
        let alert = Arc::new(alert);
        let permits: Vec<_> = robots
            .iter()
            .filter_map(|name| self.reserve(name))
            .collect();
        for permit in permits {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            permit.send(Delivery(Arc::clone(&alert)));
        }
        self.shared
            .metrics
            .set_outbox(self.waiting.load(Ordering::Relaxed));
    }

    /// Takes a place in a robot's queue; a robot without room is counted, since the others may still deliver.
    fn reserve(&self, robot: &str) -> Option<mpsc::Permit<'_, Delivery>> {
        let place = self.robots.get(robot)?.try_reserve().ok();
        if place.is_none() {
            self.shared.metrics.count_message(robot, "outbox_full");
        }
        place
    }

    /// Returns a view of the robots' state that does not keep the outbox open.
    pub fn health(&self) -> Health {
        self.shared.health.clone()
    }
}

/// A view of every robot's state.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<RobotHealth>>>);

impl Health {
    /// Returns the state of every robot, by name.
    pub fn robots(&self) -> Vec<RobotHealth> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RobotHealth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliveries {
    /// Waits until every queue is empty, at most for `grace`, and returns how many deliveries were left undone.
    ///
    /// Every [`Outbox`] handle must have been dropped, or the queues never end.
    pub async fn finish(mut self, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        while let Ok(Some(_)) = timeout_at(deadline, self.tasks.join_next()).await {}
        self.tasks.shutdown().await;
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Delivery(Arc<Alert>);

struct Shared {
    store: Arc<dyn Store>,
    metrics: Metrics,
    clock: Clock,
    health: Health,
}

impl Shared {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

struct Worker {
    robot: Arc<dyn Notifier>,
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
}

impl Worker {
    async fn run(self, mut queue: mpsc::Receiver<Delivery>) {
        while let Some(Delivery(alert)) = queue.recv().await {
            let delivered = self.deliver(&alert).await;
            self.account(delivered);
            self.settle(&alert, delivered).await;
        }
    }

    /// Tries until it is delivered, refused for good, or too old; returns whether it was delivered.
    async fn deliver(&self, alert: &Alert) -> bool {
        let message = Arc::new(Message::Alert(Box::new(alert.clone())));
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            self.wait_for_budget().await;
            let wait = match self.attempt(&message, &alert.id).await {
                Ok(()) => return true,
                Err(Retry::Never) => return false,
                Err(Retry::Paused(closed)) => closed,
                Err(Retry::Soon) => pause,
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() + wait > deadline {
                return false;
            }
            sleep(wait).await;
        }
    }

    async fn wait_for_budget(&self) {
        let (name, budget) = (self.robot.name(), self.robot.budget());
        loop {
            let now = self.shared.now();
            match self.shared.store.take(name, budget, now).await {
                Ok(Take::Granted) => return,
                Ok(Take::After(wait)) => sleep(wait.max(SHORTEST_WAIT)).await,
                Err(error) => {
                    tracing::debug!(error = %error, "cannot ask for the message budget");
                    sleep(FIRST_PAUSE).await;
                }
            }
        }
    }

    async fn attempt(&self, message: &Arc<Message>, id: &str) -> Result<(), Retry> {
        let now = self.shared.now();
        let verdict = self.notify(message, id, now).await;
        let result = verdict
            .as_ref()
            .map_or_else(|failure| failure.reason, |()| "ok");
        self.shared.metrics.count_message(self.robot.name(), result);
        let retry = verdict.as_ref().map_err(|failure| failure.retry).copied();
        self.remember(now, verdict);
        retry
    }

    /// Asks the robot in a task of its own, so that a panic over one message ends with that message.
    async fn notify(
        &self,
        message: &Arc<Message>,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let (robot, message, id) = (Arc::clone(&self.robot), Arc::clone(message), id.to_owned());
        let asked = tokio::spawn(async move { robot.notify(&message, &id, now).await });
        asked.await.unwrap_or_else(|error| {
            Err(Failure {
                reason: "panicked",
                detail: error.to_string(),
                hint: "this is a fault of sentry-notice; please report it",
                retry: Retry::Never,
            })
        })
    }

    /// Keeps the verdict for the status page; logs it when it differs from the one before.
    fn remember(&self, now: SystemTime, verdict: Result<(), Failure>) {
        let mut health = self.shared.health.lock();
        let Some(robot) = health
            .iter_mut()
            .find(|robot| robot.name == self.robot.name())
        else {
            return;
        };
        let before = robot.last.as_ref().map(|(_, verdict)| reason(verdict));
        if let Err(failure) = &verdict
            && before != Some(Some(failure.reason))
        {
            tracing::warn!(
                robot = robot.name,
                reason = failure.reason,
                detail = failure.detail,
                hint = failure.hint,
                "robot did not take a message"
            );
        }
        if verdict.is_ok() && before.flatten().is_some() {
            tracing::info!(robot = robot.name, "robot takes messages again");
        }
        robot.last = Some((now, verdict));
    }

    fn account(&self, delivered: bool) {
        let waiting = self.waiting.fetch_sub(1, Ordering::Relaxed) - 1;
        self.shared.metrics.set_outbox(waiting);
        if !delivered {
            tracing::error!(robot = self.robot.name(), "gave up on an alert");
            self.shared
                .metrics
                .count_message(self.robot.name(), "given_up");
        }
    }

    async fn settle(&self, alert: &Alert, delivered: bool) {
        let events = alert.counts.events_since_said;
        let rest = Duration::ZERO;
        let end = match delivered {
            true => End::Told { events },
            false => End::GivenUp { rest },
        };
        let settlement = Settlement { id: &alert.id, end };
        let settled = self
            .shared
            .store
            .settle(self.robot.name(), &[settlement], 0, self.shared.now())
            .await;
        if let Err(error) = settled {
            tracing::warn!(error = %error, "cannot note that an alert was said; it may be said again");
        }
    }
}

fn health_of(robot: &dyn Notifier) -> RobotHealth {
    RobotHealth {
        name: robot.name().to_owned(),
        per_minute: robot.budget(),
        last: None,
    }
}

fn reason(verdict: &Result<(), Failure>) -> Option<&'static str> {
    verdict.as_ref().err().map(|failure| failure.reason)
}

/// Alerts one robot's queue may hold; at 18 a minute this is nearly an hour.
const QUEUE: usize = 1_000;

/// How long one alert is tried before it is given up.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

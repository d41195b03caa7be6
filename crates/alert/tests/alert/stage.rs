//! One engine with its robots on simulated time, and what the robots were told.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use alert::outbox::{Deliveries, Parts};
use alert::{
    Alert, Channel, Clock, Config, Digest, Engine, Failure, Message, Metrics, Notifier, Outbox,
    Outcome, Reason, Retry, Route, Routes, Rule, Sight,
};
use async_trait::async_trait;
use event::ProjectId;
use event::model::{Event, EventId, Level};
use grouping::Group;
use prometheus_client::registry::Registry;
use state::{Memory, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// An engine, its robots and everything around them.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) outbox: Outbox,
    pub(crate) deliveries: Deliveries,
    pub(crate) robots: BTreeMap<String, Arc<Robot>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) config: watch::Sender<Arc<Config>>,
    registry: Registry,
}

impl Stage {
    /// One robot, `oncall`, that speaks about everything by the default rule.
    pub(crate) fn new(robot: Robot) -> Self {
        Self::with(robot, config(Rule::default()))
    }

    pub(crate) fn with(robot: Robot, config: Config) -> Self {
        Self::on(Arc::new(Memory::new()), vec![robot], config)
    }

    pub(crate) fn on(store: Arc<dyn Store>, robots: Vec<Robot>, config: Config) -> Self {
        let started = Instant::now();
        let clock: Clock = Arc::new(move || start() + started.elapsed());
        Self::at(store, robots, config, clock)
    }

    pub(crate) fn at(
        store: Arc<dyn Store>,
        robots: Vec<Robot>,
        config: Config,
        clock: Clock,
    ) -> Self {
        let metrics = Metrics::default();
        let mut registry = Registry::with_prefix("sentry_notice");
        metrics.register(&mut registry);
        let robots = robots
            .into_iter()
            .map(|robot| (robot.name.clone(), Arc::new(robot)));
        let robots: BTreeMap<String, Arc<Robot>> = robots.collect();
        let notifiers = robots.values();
        let notifiers = notifiers.map(|robot| Arc::clone(robot) as Arc<dyn Notifier>);
        let (config, settings) = watch::channel(Arc::new(config));
        let (outbox, deliveries) = Outbox::start(Parts {
            robots: notifiers.collect(),
            store: Arc::clone(&store),
            metrics,
            clock: Arc::clone(&clock),
            config: settings.clone(),
        });
        let engine = Engine::new(settings, Arc::clone(&store), outbox.clone());
        Self {
            engine,
            outbox,
            deliveries,
            robots,
            store,
            clock,
            config,
            registry,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    pub(crate) fn robot(&self) -> &Robot {
        &self.robots["oncall"]
    }

    /// Lets an event of an issue happen, with an id of its own.
    pub(crate) async fn event(&self, issue: &str) -> Outcome {
        self.of(issue, Event::default()).await
    }

    /// Lets an event of an issue happen, with an id of its own and the facts of another.
    pub(crate) async fn of(&self, issue: &str, event: Event<'_>) -> Outcome {
        let id = Some(wide_id(IDS.fetch_add(1, Relaxed)));
        self.handle(&Event { id, ..event }, issue).await
    }

    pub(crate) async fn handle(&self, event: &Event<'_>, issue: &str) -> Outcome {
        let group = Group {
            hashes: vec![issue.to_owned()],
            title: issue.to_owned(),
            ..grouping::group(event, &grouping::Config::default())
        };
        let sight = Sight {
            event,
            project: ProjectId::from(42),
            group: &group,
        };
        self.engine.handle(&sight, self.now()).await
    }

    pub(crate) fn metrics_text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// Returns the value of a counter by its name and labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics_text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("sentry_notice_{name} ")));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

/// A robot that takes its time and refuses as told.
pub(crate) struct Robot {
    pub(crate) name: String,
    pub(crate) delay: Duration,
    pub(crate) panics: AtomicU32,
    pub(crate) refusals: Mutex<VecDeque<Retry>>,
    /// Until when everything is refused, and how.
    pub(crate) refuses_until: Mutex<Option<(SystemTime, Retry)>>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) log: Mutex<Log>,
}

#[derive(Default)]
pub(crate) struct Log {
    ids: Vec<String>,
    told: Vec<Told>,
}

/// A message that a robot took.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) id: String,
    pub(crate) channel: usize,
    pub(crate) message: Message,
}

impl Told {
    pub(crate) fn alert(&self) -> &Alert {
        match &self.message {
            Message::Alert(alert) => alert,
            other => panic!("not an alert: {other:?}"),
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        match &self.message {
            Message::Digest(digest) => digest,
            other => panic!("not a digest: {other:?}"),
        }
    }

    pub(crate) fn is_digest(&self) -> bool {
        matches!(self.message, Message::Digest(_))
    }

    /// Events that the message tells.
    pub(crate) fn events(&self) -> u64 {
        match &self.message {
            Message::Alert(alert) => alert.counts.events_since_said,
            Message::Digest(digest) => digest.events,
            Message::Notice(_) | Message::Test { .. } => 0,
        }
    }

    /// Alerts that the message names or counts.
    pub(crate) fn alerts(&self) -> u64 {
        match &self.message {
            Message::Alert(_) => 1,
            Message::Digest(digest) => digest.alerts_total,
            Message::Notice(_) | Message::Test { .. } => 0,
        }
    }
}

impl Default for Robot {
    fn default() -> Self {
        Self::named("oncall")
    }
}

impl Robot {
    pub(crate) fn named(name: &str) -> Self {
        let bucket = format!("bucket-{name}");
        Self {
            name: name.to_owned(),
            delay: Duration::ZERO,
            panics: AtomicU32::new(0),
            refusals: Mutex::default(),
            refuses_until: Mutex::default(),
            channels: vec![Channel {
                bucket,
                per_minute: 18,
            }],
            log: Mutex::default(),
        }
    }

    pub(crate) fn refusing(refusals: impl IntoIterator<Item = Retry>) -> Self {
        Self {
            refusals: Mutex::new(refusals.into_iter().collect()),
            ..Self::default()
        }
    }

    pub(crate) fn refusing_for(duration: Duration, retry: Retry) -> Self {
        Self {
            refuses_until: Mutex::new(Some((start() + duration, retry))),
            ..Self::default()
        }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.log.lock().unwrap().told.clone()
    }

    /// Minutes, counted from the beginning, and reasons of the alerts told.
    pub(crate) fn reasons(&self) -> Vec<(u64, Reason)> {
        let told = self.told();
        told.iter()
            .map(|told| (told.at.as_secs() / 60, told.alert().reason))
            .collect()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.log.lock().unwrap().ids.len()
    }

    pub(crate) fn distinct_ids(&self) -> usize {
        let ids = self.log.lock().unwrap().ids.clone();
        ids.into_iter().collect::<HashSet<_>>().len()
    }

    fn refusal(&self, now: SystemTime) -> Option<Retry> {
        if let Some((until, retry)) = *self.refuses_until.lock().unwrap()
            && now < until
        {
            return Some(retry);
        }
        self.refusals.lock().unwrap().pop_front()
    }
}

#[async_trait]
impl Notifier for Robot {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> Vec<Channel> {
        self.channels.clone()
    }

    async fn notify(
        &self,
        channel: usize,
        message: &Message,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Failure> {
        sleep(self.delay).await;
        let panics = self
            .panics
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        assert!(panics.is_err(), "as told");
        let refusal = self.refusal(now);
        let mut log = self.log.lock().unwrap();
        log.ids.push(id.to_owned());
        if let Some(retry) = refusal {
            return Err(Failure {
                reason: "test",
                detail: "as told".to_owned(),
                hint: "mend it",
                retry,
            });
        }
        log.told.push(Told {
            at: now.duration_since(start()).unwrap(),
            id: id.to_owned(),
            channel,
            message: message.clone(),
        });
        Ok(())
    }
}

/// Everything goes to `oncall` by one rule.
pub(crate) fn config(rule: Rule) -> Config {
    let mut root = Route::root(rule);
    root.robots = vec!["oncall".to_owned()];
    Config {
        routes: Routes::new(root),
        ..Config::default()
    }
}

pub(crate) fn fatal() -> Event<'static> {
    Event {
        level: Level::Fatal,
        ..Event::default()
    }
}

pub(crate) fn wide_id(number: u32) -> EventId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    EventId(id)
}

pub(crate) async fn minutes(minutes: u64) {
    sleep(Duration::from_secs(minutes * 60)).await;
}

pub(crate) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// 2026-11-25 00:00 UTC, a Wednesday.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_564_800)
}

/// Event ids, different in all stages.
static IDS: AtomicU32 = AtomicU32::new(1_000);

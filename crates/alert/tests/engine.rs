//! The engine and the outbox together, on a paused clock: timelines of events, and what a robot was told.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use alert::outbox::Deliveries;
use alert::{
    Clock, Config, Engine, Failure, Hold, Message, Metrics, Notifier, Outbox, Outcome, Reason,
    Retry, Sight,
};
use async_trait::async_trait;
use event::ProjectId;
use event::model::{Event, EventId, EventKind, Level};
use grouping::Group;
use state::{IssueHash, IssueKey, Memory, Mute, Scope, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn speaks_at_first_sight_then_is_silent_for_repeat() {
    let stage = Stage::new(Robot::default());

    let mut outcomes = Vec::new();
    for id in 0..62_u8 {
        outcomes.push(stage.event("a", id).await);
        sleep(Duration::from_secs(60)).await;
    }

    let said: Vec<u64> = stage.robot.told().iter().map(|told| told.minute).collect();
    assert_eq!(said, [0, 60]);
    assert_eq!(outcomes[0], Outcome::Queued(Reason::FirstSeen));
    assert_eq!(outcomes[60], Outcome::Queued(Reason::StillHappening));
    let is_silent = |outcome: &Outcome| matches!(outcome, Outcome::Held(Hold::RepeatWindow { .. }));
    assert!(outcomes[1..60].iter().all(is_silent));
}

#[tokio::test(start_paused = true)]
async fn the_second_word_counts_the_events_since_the_first() {
    let stage = Stage::new(Robot::default());

    for id in 0..10 {
        stage.event("a", id).await;
        sleep(Duration::from_secs(60)).await;
    }
    sleep(Duration::from_secs(3_600)).await;
    stage.event("a", 10).await;
    sleep(Duration::from_secs(1)).await;

    let told = stage.robot.told();
    assert_eq!(told.len(), 2);
    assert_eq!((told[1].events, told[1].since_said), (11, 10));
}

#[tokio::test(start_paused = true)]
async fn different_issues_speak_at_once_each() {
    let stage = Stage::new(Robot::default());

    for (id, hash) in ["a", "b", "c"].into_iter().enumerate() {
        stage.event(hash, u8::try_from(id).unwrap()).await;
    }
    sleep(Duration::from_secs(1)).await;

    assert_eq!(stage.robot.told().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_id_seen_before_is_held() {
    let stage = Stage::new(Robot::default());

    stage.event("a", 1).await;
    let again = stage.event("a", 1).await;

    assert_eq!(again, Outcome::Held(Hold::DuplicateEvent));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_alert_is_not_counted() {
    let stage = Stage::new(Robot::default());
    let warning = Event {
        level: Level::Warning,
        ..Event::default()
    };
    let transaction = Event {
        kind: EventKind::Transaction,
        ..Event::default()
    };

    for event in [warning, transaction] {
        assert_eq!(stage.handle(&event, "a").await, Outcome::NotAlertable);
    }

    assert!(stage.store.recent(9).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_a_word_is_on_its_way_no_other_is_queued() {
    let robot = Robot {
        delay: Duration::from_secs(5),
        ..Robot::default()
    };
    let stage = Stage::new(robot);

    stage.event("a", 1).await;
    let meanwhile = stage.event("a", 2).await;

    assert_eq!(meanwhile, Outcome::AlreadyClaimed);
}

#[tokio::test(start_paused = true)]
async fn a_muted_issue_is_held_until_the_mute_ends() {
    let stage = Stage::new(Robot::default());
    let mute = Mute {
        id: "1".to_owned(),
        scope: Scope::Issue(IssueKey::new(42, IssueHash::of("a"))),
        since: (stage.clock)(),
        until: Some((stage.clock)() + Duration::from_secs(600)),
        by: "page".to_owned(),
        comment: String::new(),
    };
    stage.store.mute(&mute).await.unwrap();

    let muted = stage.event("a", 1).await;
    sleep(Duration::from_secs(601)).await;
    let free = stage.event("a", 2).await;

    assert_eq!(
        muted,
        Outcome::Held(Hold::Muted {
            by: "page".to_owned()
        })
    );
    assert_eq!(free, Outcome::Queued(Reason::FirstSeen));
}

#[tokio::test(start_paused = true)]
async fn without_a_robot_it_decides_and_stays_silent() {
    let stage = Stage::with(Robot::default(), Config::default());

    assert_eq!(stage.event("a", 1).await, Outcome::NoRobot);
    assert!(matches!(
        stage.event("a", 2).await,
        Outcome::Held(Hold::RepeatWindow { .. })
    ));
    assert!(stage.robot.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn never_sends_more_than_the_budget_in_any_minute() {
    let stage = Stage::new(Robot::default());

    for id in 0..60 {
        stage.event(&format!("issue {id}"), id).await;
    }
    sleep(Duration::from_secs(600)).await;

    let told = stage.robot.told();
    let (all, budget) = (told.len(), 18);
    assert_eq!(all, 60);
    let spans = told
        .windows(budget + 1)
        .map(|span| span[budget].at - span[0].at);
    assert!(spans.min().unwrap() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn tries_again_after_a_passing_fault_with_the_same_id() {
    let stage = Stage::new(Robot::refusing([Retry::Soon, Retry::Soon]));

    stage.event("a", 1).await;
    sleep(Duration::from_secs(60)).await;

    let told = stage.robot.told();
    assert_eq!(stage.robot.attempts(), 3);
    assert_eq!(told.len(), 1);
    assert_eq!(stage.robot.distinct_ids(), 1);
    assert!(
        stage
            .metrics_text()
            .contains("sentry_notice_messages_total{robot=\"oncall\",result=\"ok\"} 1")
    );
}

#[tokio::test(start_paused = true)]
async fn waits_out_a_closed_robot() {
    let stage = Stage::new(Robot::refusing([Retry::Paused(Duration::from_secs(600))]));

    stage.event("a", 1).await;
    sleep(Duration::from_secs(599)).await;
    let before = stage.robot.attempts();
    sleep(Duration::from_secs(2)).await;

    assert_eq!((before, stage.robot.attempts()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_word_given_up_is_said_with_the_next_event() {
    let stage = Stage::new(Robot::refusing([Retry::Never]));

    stage.event("a", 1).await;
    sleep(Duration::from_secs(1)).await;
    let next = stage.event("a", 2).await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(next, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(stage.robot.told().len(), 1);
    assert!(stage.metrics_text().contains("result=\"given_up\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_fails_for_half_an_hour_is_given_up() {
    let stage = Stage::new(Robot::refusing([Retry::Soon; 100]));

    stage.event("a", 1).await;
    sleep(Duration::from_secs(2 * 3_600)).await;

    let attempts = stage.robot.attempts();
    assert!((30..50).contains(&attempts), "{attempts}");
    assert!(stage.metrics_text().contains("result=\"given_up\"} 1"));
    assert!(
        stage
            .metrics_text()
            .contains("sentry_notice_outbox_alerts 0")
    );
}

#[tokio::test(start_paused = true)]
async fn shutting_down_delivers_what_waits_within_the_grace_and_counts_the_rest() {
    let stage = Stage::new(Robot {
        delay: Duration::from_secs(4),
        ..Robot::default()
    });
    for id in 0..5 {
        stage.event(&format!("issue {id}"), id).await;
    }
    let Stage {
        engine,
        deliveries,
        robot,
        ..
    } = stage;
    drop(engine);

    let left = deliveries.finish(Duration::from_secs(10)).await;

    assert_eq!(robot.told().len(), 2);
    assert_eq!(left, 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_message_does_not_end_the_robot() {
    let stage = Stage::new(Robot {
        panics: 1.into(),
        ..Robot::default()
    });

    stage.event("a", 1).await;
    stage.event("b", 2).await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(stage.robot.told().len(), 1);
    assert!(stage.metrics_text().contains("result=\"panicked\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn obeys_a_new_configuration_from_the_next_event_on() {
    let stage = Stage::new(Robot::default());

    let before = stage.event("a", 1).await;
    let stricter = Config {
        min_level: Level::Fatal,
        ..Config::default()
    };
    stage.config.send_replace(Arc::new(stricter));
    let after = stage.event("b", 2).await;

    assert_eq!(before, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(after, Outcome::NotAlertable);
}

#[test]
fn every_outcome_has_a_name_of_its_own() {
    let left = Duration::ZERO;
    let by = String::new();
    let outcomes = [
        Outcome::Queued(Reason::FirstSeen),
        Outcome::Held(Hold::DuplicateEvent),
        Outcome::Held(Hold::Muted { by }),
        Outcome::Held(Hold::RepeatWindow { left }),
        Outcome::NotAlertable,
        Outcome::NotAccepted,
        Outcome::AlreadyClaimed,
        Outcome::NoRobot,
        Outcome::OutboxFull,
        Outcome::Undecodable,
        Outcome::Unparsable,
        Outcome::StateUnavailable,
        Outcome::Panicked,
    ];

    let names: std::collections::HashSet<&str> = outcomes.iter().map(Outcome::as_str).collect();

    assert_eq!(names.len(), outcomes.len());
}

#[tokio::test(start_paused = true)]
async fn health_shows_the_last_verdict() {
    let stage = Stage::new(Robot::refusing([Retry::Never]));

    let before = stage.health.robots();
    stage.event("a", 1).await;
    sleep(Duration::from_secs(1)).await;

    assert_eq!(before[0].last, None);
    let robots = stage.health.robots();
    let (_, verdict) = robots[0].last.as_ref().unwrap();
    assert_eq!(verdict.as_ref().unwrap_err().reason, "test");
}

/// One engine with one robot, on simulated time.
struct Stage {
    engine: Engine,
    deliveries: Deliveries,
    robot: Arc<Robot>,
    store: Arc<dyn Store>,
    health: alert::Health,
    registry: prometheus_client::registry::Registry,
    clock: Clock,
    config: watch::Sender<Arc<Config>>,
}

impl Stage {
    fn new(robot: Robot) -> Self {
        let config = Config {
            robots: vec!["oncall".to_owned()],
            ..Config::default()
        };
        Self::with(robot, config)
    }

    fn with(robot: Robot, config: Config) -> Self {
        let started = Instant::now();
        let clock: Clock = Arc::new(move || SystemTime::UNIX_EPOCH + DAY + started.elapsed());
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let robot = Arc::new(robot);
        let metrics = Metrics::default();
        let mut registry = prometheus_client::registry::Registry::with_prefix("sentry_notice");
        metrics.register(&mut registry);
        let notifier: Arc<dyn Notifier> = Arc::clone(&robot) as _;
        let (outbox, deliveries) = Outbox::start(
            vec![notifier],
            Arc::clone(&store),
            metrics,
            Arc::clone(&clock),
        );
        let health = outbox.health();
        let (config, settings) = watch::channel(Arc::new(config));
        let engine = Engine::new(settings, Arc::clone(&store), outbox);
        Self {
            engine,
            deliveries,
            robot,
            store,
            health,
            registry,
            clock,
            config,
        }
    }

    async fn event(&self, hash: &str, id: u8) -> Outcome {
        let event = Event {
            id: Some(EventId([id; 16])),
            ..Event::default()
        };
        self.handle(&event, hash).await
    }

    async fn handle(&self, event: &Event<'_>, hash: &str) -> Outcome {
        let group = Group {
            hashes: vec![hash.to_owned()],
            ..grouping::group(event, &grouping::Config::default())
        };
        let project = ProjectId::parse("42").unwrap();
        let sight = Sight {
            event,
            project,
            group: &group,
        };
        self.engine.handle(&sight, (self.clock)()).await
    }

    fn metrics_text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// A robot that takes its time and refuses as told.
#[derive(Default)]
struct Robot {
    delay: Duration,
    panics: AtomicU32,
    refusals: Mutex<VecDeque<Retry>>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    ids: Vec<String>,
    told: Vec<Told>,
}

#[derive(Debug, Clone)]
struct Told {
    at: Duration,
    minute: u64,
    events: u64,
    since_said: u64,
}

impl Robot {
    fn refusing(refusals: impl IntoIterator<Item = Retry>) -> Self {
        Self {
            refusals: Mutex::new(refusals.into_iter().collect()),
            ..Self::default()
        }
    }

    fn told(&self) -> Vec<Told> {
        self.log.lock().unwrap().told.clone()
    }

    fn attempts(&self) -> usize {
        self.log.lock().unwrap().ids.len()
    }

    fn distinct_ids(&self) -> usize {
        let ids = self.log.lock().unwrap().ids.clone();
        ids.into_iter()
            .collect::<std::collections::HashSet<_>>()
            .len()
    }
}

#[async_trait]
impl Notifier for Robot {
    fn name(&self) -> &str {
        "oncall"
    }

    fn budget(&self) -> u32 {
        18
    }

    async fn notify(&self, message: &Message, id: &str, now: SystemTime) -> Result<(), Failure> {
        sleep(self.delay).await;
        let panics = self
            .panics
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        assert!(panics.is_err(), "as told");
        let Message::Alert(alert) = message else {
            panic!("the engine sends alerts only");
        };
        let mut log = self.log.lock().unwrap();
        log.ids.push(id.to_owned());
        if let Some(retry) = self.refusals.lock().unwrap().pop_front() {
            return Err(Failure {
                reason: "test",
                detail: "as told".to_owned(),
                hint: "",
                retry,
            });
        }
        let at = now.duration_since(SystemTime::UNIX_EPOCH + DAY).unwrap();
        log.told.push(Told {
            at,
            minute: at.as_secs() / 60,
            events: alert.counts.events,
            since_said: alert.counts.events_since_said,
        });
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

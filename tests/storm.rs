//! Storms on simulated time, through the real engine and the real client, against a simulator that closes a robot which
//! speaks too much: nothing is refused, nothing is lost, every count is right.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use alert::outbox::{Deliveries, Parts};
use alert::{
    Channel, Config, Engine, Failure, Message, Metrics, Notifier, Outbox, Outcome, Route, Routes,
    Rule, Sight,
};
use async_trait::async_trait;
use dingtalk::{HttpSettings, Language, MessageKind, OpenLinks, RobotConfig, Webhook};
use event::ProjectId;
use event::model::{Event, EventId, Level};
use grouping::Group;
use state::{Memory, Store};
use testkit::{Behaviour, Listening, RobotFailure, RobotSimulator};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

#[test]
fn a_hundred_thousand_events_of_a_thousand_issues_in_a_minute() {
    run(|stage| async move {
        let mut chance = Chance(7);
        for number in 0..100_000_u32 {
            let issue = if number < 1_000 {
                number
            } else {
                chance.below(1_000)
            };
            stage.event(issue, number).await;
            if number % 100 == 99 {
                sleep(Duration::from_millis(60)).await;
            }
        }
        let storm = stage.messages_until_now();
        sleep(Duration::from_secs(30 * 60)).await;

        stage.assert_quiet_and_complete(1_000, 100_000).await;
        assert!(storm <= 20, "{storm} messages in the first minute");
        let all = stage.told().len();
        assert!(all <= 60, "{all} messages for one storm");
    });
}

#[test]
fn a_day_of_random_load() {
    run(|stage| async move {
        let mut chance = Chance(11);
        let (mut number, mut issues) = (0_u32, HashSet::new());
        for second in 0..(24 * 60 * 60_u32) {
            // Quiet most of the time, with storms of some minutes; new issues appear all day.
            let is_storm = (second / 300) % 37 == 5;
            let events = match chance.below(100) {
                0..=2 => 5,
                3..=20 => 1,
                _ if is_storm => 12,
                _ => 0,
            };
            for _ in 0..events {
                let known = 50 + second / 60;
                let issue = chance.below(known);
                issues.insert(issue);
                number += 1;
                stage.event(issue, number).await;
            }
            if second % 60 == 0 {
                stage.housekeeping().await;
            }
            sleep(Duration::from_secs(1)).await;
        }
        sleep(Duration::from_secs(30 * 60)).await;

        assert!(number > 40_000, "{number} events");
        stage
            .assert_quiet_and_complete(issues.len(), u64::from(number))
            .await;
    });
}

#[test]
fn a_day_in_which_one_answer_in_twenty_is_a_failure() {
    run(|stage| async move {
        let mut chance = Chance(13);
        let mut issues = HashSet::new();
        let mut number = 0_u32;
        for minute in 0..(24 * 60_u32) {
            for _ in 0..chance.below(4) {
                let issue = chance.below(100 + minute);
                issues.insert(issue);
                number += 1;
                stage.event(issue, number).await;
            }
            if chance.below(20) == 0 {
                stage.fail_once(chance.below(3)).await;
            }
            sleep(Duration::from_secs(60)).await;
        }
        sleep(Duration::from_secs(60 * 60)).await;

        stage.assert_complete(issues.len(), u64::from(number)).await;
    });
}

#[test]
fn ten_minutes_in_which_the_robot_hangs_lose_nothing() {
    let settings = HttpSettings {
        // Of real time.
        timeout: Duration::from_millis(500),
        ..HttpSettings::default()
    };
    run_with(&settings, |stage| {
        ten_bad_minutes(stage, || Fault::Says(Behaviour::hang()))
    });
}

#[test]
fn ten_minutes_in_which_nobody_listens_lose_nothing() {
    run(|stage| ten_bad_minutes(stage, || Fault::Refuses));
}

#[test]
fn ten_minutes_in_which_the_robot_is_closed_lose_nothing() {
    let closed = || {
        RobotFailure::Errcode(
            130_101,
            "send too fast, exceed 20 times per minute".to_owned(),
        )
    };
    run(|stage| ten_bad_minutes(stage, move || Fault::Says(closed().into())));
}

/// What a robot's service does for ten minutes.
enum Fault {
    Says(Behaviour),
    Refuses,
}

/// Issues come before, while and after the robot fails: each is told, and afterwards at once again.
async fn ten_bad_minutes(stage: Stage, fault: impl Fn() -> Fault) {
    let (mut chance, mut issues) = (Chance(17), HashSet::new());
    let mut number = 0;
    for second in (0..14 * 60_u32).step_by(5) {
        match second {
            120 => stage.set_fault(fault()).await,
            720 => stage.mend().await,
            _ => {}
        }
        // New issues all the time, and known ones again.
        let issue = chance.below(10 + second / 10);
        issues.insert(issue);
        number += 1;
        stage.event(issue, number).await;
        sleep(Duration::from_secs(5)).await;
    }
    let bad = stage.told_between(150, 720);
    sleep(Duration::from_secs(30 * 60)).await;
    let told = stage.told().len();
    let fresh = 90_000;
    issues.insert(fresh);
    number += 1;
    stage.event(fresh, number).await;
    sleep(Duration::from_secs(2)).await;

    assert_eq!(bad, 0, "nothing could be told in the bad minutes");

    let all = stage.told();
    assert_eq!(
        all.len(),
        told + 1,
        "after it all, a new issue is told at once"
    );
    let title = format!("Error: number {fresh}");
    assert_eq!(all[told].titles, [title]);
    stage.assert_complete(issues.len(), u64::from(number)).await;
}

/// The engine on a paused clock, the simulator on a running one.
struct Stage {
    engine: Engine,
    store: Arc<dyn Store>,
    live: Arc<Live>,
    simulator: Arc<RobotSimulator>,
    clock: alert::Clock,
    began: SystemTime,
    _deliveries: Deliveries,
}

impl Stage {
    async fn event(&self, issue: u32, number: u32) -> Outcome {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let event = Event {
            id: Some(EventId(id)),
            level: if issue.is_multiple_of(50) {
                Level::Fatal
            } else {
                Level::Error
            },
            ..Event::default()
        };
        let group = Group {
            hashes: vec![format!(
                "{:032x}",
                u128::from(issue) * 0x1_0000_0001_0000_0001
            )],
            title: format!("Error: number {issue}"),
            ..grouping::group(&event, &grouping::Config::default())
        };
        let sight = Sight {
            event: &event,
            project: ProjectId::from(42),
            group: &group,
        };
        self.engine.handle(&sight, (self.clock)()).await
    }

    async fn housekeeping(&self) {
        let now = (self.clock)();
        let past = now - Duration::from_secs(24 * 60 * 60);
        self.store.expire(past, past, now).await.unwrap();
        self.engine.sweep(now).await;
    }

    /// Fails the next request in one of the ways that pass.
    async fn fail_once(&self, way: u32) {
        let failure = match way {
            0 => RobotFailure::Errcode(-1, "系统繁忙".to_owned()),
            1 => RobotFailure::Html(502),
            _ => RobotFailure::AntiFlood,
        };
        self.simulator.fail_next(1, failure);
    }

    async fn set_fault(&self, fault: Fault) {
        match fault {
            Fault::Says(behaviour) => self.simulator.script().always(behaviour),
            Fault::Refuses => self.listen(Listening::Refusing).await,
        }
    }

    async fn mend(&self) {
        self.simulator.script().always(Behaviour::usual());
        self.listen(Listening::Serving).await;
    }

    async fn listen(&self, listening: Listening) {
        let (simulator, real) = (Arc::clone(&self.simulator), self.live.real.clone());
        // A blocking task keeps the paused clock where it is.
        let listening = tokio::task::spawn_blocking(move || {
            real.block_on(async move { simulator.listen(listening).await })
        });
        listening.await.unwrap().unwrap();
    }

    /// Counts the messages between two seconds of the play.
    fn told_between(&self, from: u64, to: u64) -> usize {
        let at = |second| self.began + Duration::from_secs(second);
        let told = self.told();
        told.iter()
            .filter(|told| told.at > at(from) && told.at < at(to))
            .count()
    }

    fn told(&self) -> Vec<Told> {
        self.live.told.lock().unwrap().clone()
    }

    fn messages_until_now(&self) -> usize {
        self.told().len()
    }

    /// What must be true of every storm.
    async fn assert_quiet_and_complete(&self, issues: usize, events: u64) {
        let refusals = self.simulator.refusals();
        assert!(
            refusals.is_empty(),
            "{:?}",
            refusals.first().map(|refusal| &refusal.errmsg)
        );
        self.assert_complete(issues, events).await;
    }

    async fn assert_complete(&self, issues: usize, events: u64) {
        let refusals = self.simulator.refusals();
        assert!(refusals.iter().all(|refusal| refusal.errcode != 130_101));
        let told = self.told();
        let is_slow = |span: &[Told]| span[20].at >= span[0].at + Duration::from_secs(60);
        assert!(
            told.windows(21).all(is_slow),
            "more than 20 messages in a minute"
        );

        // Every issue has been spoken of, and nothing waits.
        let pending = self.store.pending("oncall", 0).await.unwrap();
        assert_eq!(
            (pending.alone_total, pending.gathered_total, pending.missed),
            (0, 0, 0)
        );
        let known = self.store.recent(usize::MAX).await.unwrap();
        assert_eq!(known.len(), issues);
        assert!(known.iter().all(|issue| issue.routes[0].said.is_some()));

        // Every event is counted, and told in one message or still to be told in the next.
        assert_eq!(known.iter().map(|issue| issue.events).sum::<u64>(), events);
        let waiting: u64 = known
            .iter()
            .map(|issue| issue.routes[0].events_since_said)
            .sum();
        let told_events: u64 = told.iter().map(|told| told.events).sum();
        assert_eq!(told_events + waiting, events);

        // Each has been shown, none of them twice, and those named have their name on a card.
        assert_eq!(self.simulator.repeats(), [""; 0]);
        let counted: u64 = told.iter().map(|told| told.alerts).sum();
        assert!(
            counted >= issues as u64,
            "{counted} alerts for {issues} issues"
        );
        let shown = self.simulator.messages();
        let newest = &told[told.len() - shown.len()..];
        for (told, shown) in newest.iter().zip(&shown) {
            let is_shown = |title: &String| shown.text.contains(title.as_str());
            assert!(told.titles.iter().all(is_shown), "{told:?}: {}", shown.text);
        }
    }
}

/// A message that the simulator took.
#[derive(Debug, Clone)]
struct Told {
    at: SystemTime,
    alerts: u64,
    events: u64,
    titles: Vec<String>,
}

/// The real client, asked from simulated time: the simulator is told what time it is.
struct Live {
    robot: Arc<dingtalk::Robot>,
    simulator: Arc<RobotSimulator>,
    real: tokio::runtime::Handle,
    told: Mutex<Vec<Told>>,
}

#[async_trait]
impl Notifier for Live {
    fn name(&self) -> &str {
        self.robot.name()
    }

    fn channels(&self) -> Vec<Channel> {
        self.robot.channels()
    }

    async fn notify(
        &self,
        channel: usize,
        message: &Message,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Failure> {
        self.set_clock(now);
        let (robot, real) = (Arc::clone(&self.robot), self.real.clone());
        let (asked, id) = (message.clone(), id.to_owned());
        let asking = tokio::task::spawn_blocking(move || {
            real.block_on(async move { robot.notify(channel, &asked, &id, now).await })
        });
        let real = std::time::Instant::now();
        let verdict = asking.await.unwrap();
        // What the request took on the simulator's clock shall have passed here too.
        sleep(real.elapsed()).await;
        verdict?;
        self.told.lock().unwrap().push(told(message, now));
        Ok(())
    }
}

impl Live {
    fn set_clock(&self, now: SystemTime) {
        let clock = self.simulator.clock();
        match now.duration_since(clock.now()) {
            Ok(behind) => clock.advance(behind),
            Err(ahead) => clock.turn_back(ahead.duration()),
        }
    }
}

fn told(message: &Message, at: SystemTime) -> Told {
    let (alerts, events, titles) = match message {
        Message::Alert(alert) => {
            let title = alert.subject.title.clone();
            (1, alert.counts.events_since_said, vec![title])
        }
        Message::Digest(digest) => {
            let titles = digest
                .alerts
                .iter()
                .map(|alert| alert.subject.title.clone());
            (digest.alerts_total, digest.events, titles.collect())
        }
        other => panic!("nobody asked for {other:?}"),
    };
    Told {
        at,
        alerts,
        events,
        titles,
    }
}

/// Plays a storm on a paused clock.
fn run<F: Future<Output = ()>>(storm: impl FnOnce(Stage) -> F) {
    run_with(&HttpSettings::default(), storm);
}

fn run_with<F: Future<Output = ()>>(settings: &HttpSettings, storm: impl FnOnce(Stage) -> F) {
    let real = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let paused = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let simulator = real.block_on(RobotSimulator::start([testkit::Robot::new(TOKEN)]));
    let live = live(&real, Arc::new(simulator.unwrap()), settings);
    paused.block_on(async {
        storm(stage(live)).await;
    });
}

fn live(real: &Runtime, simulator: Arc<RobotSimulator>, settings: &HttpSettings) -> Arc<Live> {
    // An error means that another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let robot = RobotConfig {
        name: "oncall".to_owned(),
        webhooks: vec![Webhook::parse(&simulator.url(TOKEN)).unwrap()],
        secret: None,
        secrets: Vec::new(),
        keyword: None,
        per_minute: 18,
        message: MessageKind::Markdown,
        mention: alert::Mention::default(),
        language: Language::En,
        timezone: jiff::tz::TimeZone::UTC,
        open_links_in: OpenLinks::Browser,
        mention_all_every: Duration::ZERO,
        template: None,
    };
    let robot = dingtalk::Robot::new(robot, settings).unwrap();
    Arc::new(Live {
        robot: Arc::new(robot),
        simulator,
        real: real.handle().clone(),
        told: Mutex::default(),
    })
}

fn stage(live: Arc<Live>) -> Stage {
    let (started, began) = (SystemTime::now(), Instant::now());
    let clock: alert::Clock = Arc::new(move || started + began.elapsed());
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned()];
    let config = Config {
        routes: Routes::new(root),
        project_names: BTreeMap::from([(ProjectId::from(42), "shop-api".to_owned())]),
        ..Config::default()
    };
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let (_, settings) = watch::channel(Arc::new(config));
    let (outbox, deliveries) = Outbox::start(Parts {
        robots: vec![Arc::clone(&live) as Arc<dyn Notifier>],
        store: Arc::clone(&store),
        metrics: Metrics::default(),
        clock: Arc::clone(&clock),
        config: settings.clone(),
    });
    Stage {
        engine: Engine::new(settings, Arc::clone(&store), outbox),
        simulator: Arc::clone(&live.simulator),
        store,
        live,
        clock,
        began: started,
        _deliveries: deliveries,
    }
}

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.0 >> 33).unwrap();
        high % bound
    }
}

const TOKEN: &str = "0123456789abcdef";

//! A state that is slow, hung or broken holds nobody up, and loses only what it must, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use alert::{Outcome, Reason, Rule};
use async_trait::async_trait;
use state::{
    Claim, Cursor, Expired, Found, Gathered, Issue, IssueKey, Memory, Mute, Parcel, Pending, Quiet,
    Report, RouteKey, Search, Seen, Settlement, Sighting, Store, Take, Unavailable,
};
use tokio::time::{Instant, sleep};

use crate::stage::{Robot, Stage, config, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_broken_state_costs_its_events_a_counted_outcome_and_no_time() {
    let fault = Arc::new(Fault::default());
    let stage = stage(&fault);
    fault.set(Mode::Broken);

    let started = Instant::now();
    let mut outcomes = Vec::new();
    for number in 0..1_000 {
        outcomes.push(stage.event(&format!("issue {number}")).await);
    }

    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == Outcome::StateUnavailable)
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(fault.asked() < 10, "left alone after the first failure");
}

#[tokio::test(start_paused = true)]
async fn a_hung_state_is_waited_for_once_a_while() {
    let fault = Arc::new(Fault::default());
    let stage = stage(&fault);
    fault.set(Mode::Hung);

    let started = Instant::now();
    for number in 0..1_000 {
        let outcome = stage.event(&format!("issue {number}")).await;
        assert_eq!(outcome, Outcome::StateUnavailable);
    }

    assert!(
        started.elapsed() <= Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_state_still_decides() {
    let fault = Arc::new(Fault::default());
    let stage = stage(&fault);
    fault.set(Mode::Slow(Duration::from_millis(50)));

    let outcome = stage.event("a").await;
    seconds(5).await;

    assert_eq!(outcome, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(stage.robot().told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn deciding_and_delivering_go_on_when_the_state_is_back() {
    for mode in [Mode::Broken, Mode::Hung] {
        let fault = Arc::new(Fault::default());
        let stage = stage(&fault);
        stage.event("before").await;
        fault.set(mode);
        stage.event("lost").await;
        minutes(10).await;
        fault.set(Mode::Well);
        seconds(10).await;

        let outcome = stage.event("after").await;
        minutes(1).await;

        assert_eq!(outcome, Outcome::Queued(Reason::FirstSeen));
        let titles: Vec<String> = stage
            .robot()
            .told()
            .iter()
            .map(|told| told.alert().subject.title.clone())
            .collect();
        assert_eq!(titles, ["before", "after"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_not_sent_again_because_the_state_could_not_be_told() {
    let fault = Arc::new(Fault::default());
    let robot = Robot {
        delay: Duration::from_secs(2),
        ..Robot::default()
    };
    let store = Faulty(Memory::new(), Arc::clone(&fault), false);
    let stage = Stage::on(Arc::new(store), vec![robot], config(Rule::default()));
    stage.event("a").await;
    seconds(1).await;

    fault.set(Mode::Broken);
    minutes(5).await;
    fault.set(Mode::Well);
    minutes(5).await;

    assert_eq!(stage.robot().attempts(), 1);
    let outcome = stage.event("a").await;
    assert!(matches!(outcome, Outcome::Held(_)), "{outcome:?}");
}

fn stage(fault: &Arc<Fault>) -> Stage {
    let store = Faulty(Memory::new(), Arc::clone(fault), false);
    Stage::on(
        Arc::new(store),
        vec![Robot::default()],
        config(Rule::default()),
    )
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Well,
    Slow(Duration),
    Hung,
    Broken,
}

/// How a state misbehaves.
pub(crate) struct Fault {
    mode: std::sync::Mutex<Mode>,
    asked: AtomicU64,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            mode: std::sync::Mutex::new(Mode::Well),
            asked: AtomicU64::new(0),
        }
    }
}

impl Fault {
    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.asked.store(0, Relaxed);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    async fn pass(&self) -> Result<(), Unavailable> {
        self.asked.fetch_add(1, Relaxed);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Well => Ok(()),
            Mode::Slow(by) => {
                sleep(by).await;
                Ok(())
            }
            Mode::Hung => std::future::pending().await,
            Mode::Broken => Err(Unavailable {
                backend: "faulty",
                source: "gone".into(),
            }),
        }
    }
}

/// A memory behind a fault, which several processes may share.
pub(crate) struct Faulty(Memory, Arc<Fault>, bool);

impl Faulty {
    /// Returns one that works.
    pub(crate) fn shared() -> Self {
        Self(Memory::new(), Arc::default(), false)
    }

    /// Returns one that works and says that it lasts.
    pub(crate) fn durable() -> Self {
        Self(Memory::new(), Arc::default(), true)
    }
}

#[async_trait]
impl Store for Faulty {
    fn backend(&self) -> &'static str {
        "faulty"
    }

    fn is_durable(&self) -> bool {
        self.2
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        self.1.pass().await?;
        self.0.observe(sighting, now).await
    }

    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable> {
        self.1.pass().await?;
        self.0.claim(parcel, now).await
    }

    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        self.1.pass().await?;
        self.0.lead(robot, holder, lease, now).await
    }

    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.resign(robot, holder).await
    }

    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable> {
        self.1.pass().await?;
        self.0.pending(robot, limit).await
    }

    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.gather(robot, ids, until).await
    }

    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable> {
        self.1.pass().await?;
        self.0.gathered(robot, named, now).await
    }

    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.settle(robot, settlements, missed, now).await
    }

    async fn changed(&self, within: Duration) {
        self.0.changed(within).await;
    }

    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable> {
        self.1.pass().await?;
        self.0.quiet(route, before, limit).await
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        self.1.pass().await?;
        self.0.take(bucket, per_minute, now).await
    }

    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable> {
        self.1.pass().await?;
        self.0.spent(bucket, now).await
    }

    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.close(bucket, until, now).await
    }

    async fn report(&self, report: &Report) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.report(report).await
    }

    async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        self.1.pass().await?;
        self.0.reports().await
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        self.1.pass().await?;
        self.0.mute(mute).await
    }

    async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        self.1.pass().await?;
        self.0.unmute(id).await
    }

    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        self.1.pass().await?;
        self.0.mutes(now).await
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        self.1.pass().await?;
        self.0.recent(limit).await
    }

    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable> {
        self.1.pass().await?;
        self.0.search(search, after, limit).await
    }

    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable> {
        self.1.pass().await?;
        self.0.issue(key).await
    }

    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable> {
        self.1.pass().await?;
        self.0.expire(before, stale, now).await
    }

    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable> {
        self.1.pass().await?;
        self.0.keep(name, value).await
    }
}

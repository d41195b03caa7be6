//! Replicas on simulated time around one store that goes away, forgets and comes back.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::time::{Instant, advance};

use super::*;
use crate::conformance::{
    PARCEL, ROUTE, at, claim, conformance_tests, give_up, key, see, tell, word,
};
use crate::{End, Memory, Scope};

conformance_tests!(fresh());

#[tokio::test(start_paused = true)]
async fn one_replica_speaks_for_all() {
    let stage = Stage::new();
    let replicas = [
        stage.replica().await,
        stage.replica().await,
        stage.replica().await,
    ];

    let mut won = 0;
    for (event, replica) in (1..).zip(&replicas) {
        see(replica, b'a', event, 0).await;
        let claim = claim(replica, &format!("a-{event}"), b'a', None, 0).await;
        won += usize::from(claim == Claim::Won);
    }

    assert_eq!(won, 1);
    assert_eq!(see(&replicas[0], b'a', 9, 1).await.events, 4);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_costs_one_call_and_is_told() {
    let stage = Stage::new();
    let replica = stage.replica().await;
    stage.shared.set(Mood::Down);

    let before = stage.shared.calls();
    for event in 0..100 {
        see(&replica, b'a', event, 0).await;
    }

    assert_eq!(stage.shared.calls() - before, 1);
    let trouble = replica.trouble().unwrap();
    assert_eq!(trouble.what, "`double` is away: told to");
    stage.shared.set(Mood::Up);
    stage.pass(2).await;
    assert_eq!(replica.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn single_late_answers_are_passed_over_and_three_in_a_row_are_not() {
    let stage = Stage::new();
    let replica = stage.replica().await;
    see(&replica, b'a', 1, 0).await;

    stage.shared.set(Mood::Late);
    see(&replica, b'a', 2, 0).await;
    assert!(replica.pending("oncall", 9).await.is_err());
    stage.shared.set(Mood::Up);
    assert_eq!(replica.trouble(), None);
    assert_eq!(
        see(&replica, b'a', 3, 0).await.events,
        3,
        "it was counted all the same"
    );

    stage.shared.set(Mood::Late);
    let lease = Duration::from_secs(30);
    assert!(replica.lead("oncall", "me", lease, at(0)).await.is_err());
    let taken = replica.take("oncall", 18, at(0)).await.unwrap();
    assert!(matches!(taken, Take::After(_)), "{taken:?}");
    tell(&replica, "oncall", "a-1", 1, 0).await;
    assert!(replica.trouble().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_late_is_made_once() {
    let stage = Stage::new();
    let replica = stage.replica().await;
    see(&replica, b'a', 1, 0).await;

    stage.shared.set(Mood::Late);
    assert_eq!(claim(&replica, "a-1", b'a', None, 0).await, Claim::Won);
    stage.shared.set(Mood::Up);
    stage.pass(1).await;

    assert_eq!(replica.trouble(), None);
    assert_eq!(replica.pending("oncall", 9).await.unwrap().alone_total, 1);
    assert_eq!(replica.replica.local.parcels().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_word_on_its_way_in_the_store_is_not_said_again_without_it() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    see(&one, b'a', 1, 0).await;
    claim(&one, "a-1", b'a', None, 0).await;
    see(&other, b'a', 2, 0).await;

    stage.shared.set(Mood::Down);

    for replica in [&one, &other] {
        assert!(see(replica, b'a', 3, 1).await.routes[0].is_claimed);
        assert_eq!(claim(replica, "a-2", b'a', None, 1).await, Claim::Taken);
    }
    assert_eq!(claim(&other, "a-2", b'a', None, 301).await, Claim::Won);
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_without_the_store_is_added_to_it() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    see(&one, b'a', 1, 0).await;
    stage.shared.set(Mood::Down);
    let now = stage.seconds();
    for event in 2..12 {
        see(&one, b'a', event, now).await;
        see(&one, b'b', event + 50, now).await;
    }
    see(&other, b'a', 20, now).await;
    // A word about `b` is told after its tenth event, and two come after it.
    claim(&one, "b-1", b'b', None, now).await;
    tell(&one, "oncall", "b-1", 10, now + 1).await;
    see(&one, b'b', 62, now + 2).await;
    see(&one, b'b', 63, now + 2).await;

    stage.shared.set(Mood::Up);
    stage.pass(4).await;

    let there = stage.shared.memory();
    let issue = there.issue(&key(b'a')).await.unwrap().unwrap();
    assert_eq!((issue.events, issue.routes[0].events_since_said), (12, 12));
    let issue = there.issue(&key(b'b')).await.unwrap().unwrap();
    assert_eq!(issue.events, 12);
    assert!(issue.routes[0].events_since_said <= 2, "{issue:?}");
    assert_eq!(issue.routes[0].said.unwrap().at, at(now + 1));
}

#[tokio::test(start_paused = true)]
async fn what_this_replica_saw_is_not_repeated_without_the_store() {
    let stage = Stage::new();
    let replica = stage.replica().await;
    see(&replica, b'a', 1, 0).await;
    claim(&replica, "a-1", b'a', None, 0).await;
    tell(&replica, "oncall", "a-1", 1, 1).await;
    see(&replica, b'a', 2, 2).await;

    stage.shared.set(Mood::Down);
    let seen = see(&replica, b'a', 3, 3).await;

    assert_eq!(seen.events, 3);
    assert_eq!(seen.routes[0].said.unwrap().at, at(1));
    assert!(see(&replica, b'a', 2, 3).await.is_duplicate);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_without_the_store_is_told_to_it() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    stage.shared.set(Mood::Down);
    let now = stage.seconds();
    see(&one, b'a', 1, now).await;
    assert_eq!(claim(&one, "a-1", b'a', None, now).await, Claim::Won);
    tell(&one, "oncall", "a-1", 1, now + 1).await;

    stage.shared.set(Mood::Up);
    stage.pass(3).await;

    let seen = see(&other, b'a', 2, stage.seconds()).await;
    assert_eq!(seen.routes[0].said.unwrap().at, at(now + 1));
    let there = stage
        .shared
        .memory()
        .issue(&key(b'a'))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(there.title, "ZeroDivisionError: division by zero");
}

#[tokio::test(start_paused = true)]
async fn what_waits_without_the_store_is_handed_over_once() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    stage.shared.set(Mood::Down);
    for (replica, event) in [(&one, 1), (&other, 2)] {
        see(replica, b'a', event, 0).await;
        claim(replica, "a-1", b'a', None, 0).await;
    }
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 1);

    stage.shared.set(Mood::Up);
    stage.pass(3).await;

    for replica in [&one, &other] {
        let waiting = replica.pending("oncall", 9).await.unwrap();
        assert_eq!(waiting.alone_total, 1);
        assert_eq!(waiting.alone[0].payload, b"{}");
    }
    tell(&other, "oncall", "a-1", 2, 9).await;
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
    assert!(see(&one, b'a', 3, 10).await.routes[0].said.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_word_that_one_of_two_robots_told_is_handed_over_for_the_other() {
    let stage = Stage::new();
    let one = stage.replica().await;
    stage.shared.set(Mood::Down);
    let now = stage.seconds();
    see(&one, b'a', 1, now).await;
    let robots = ["one".to_owned(), "two".to_owned()];
    let parcel = Parcel {
        id: "a-1",
        robots: &robots,
        word: Some(word(b'a', None)),
        ..PARCEL
    };
    one.claim(&parcel, at(now)).await.unwrap();
    tell(&one, "one", "a-1", 1, now).await;

    stage.shared.set(Mood::Up);
    stage.pass(3).await;

    assert_eq!(one.pending("one", 9).await.unwrap().alone_total, 0);
    assert_eq!(one.pending("two", 9).await.unwrap().alone_total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_sent_but_not_settled_is_settled_later() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    see(&one, b'a', 1, 0).await;
    claim(&one, "a-1", b'a', None, 0).await;

    stage.shared.set(Mood::Down);
    tell(&other, "oncall", "a-1", 1, 1).await;
    stage.shared.set(Mood::Up);
    stage.pass(3).await;

    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
    assert!(see(&one, b'a', 2, 2).await.routes[0].said.is_some());
}

#[tokio::test(start_paused = true)]
async fn messages_in_a_store_that_stays_away_are_sent_from_memory() {
    let stage = Stage::new();
    let one = stage.replica().await;
    see(&one, b'a', 1, 0).await;
    claim(&one, "a-1", b'a', None, 0).await;

    stage.shared.set(Mood::Down);
    stage.pass(1).await;
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
    stage.pass(10).await;

    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 1);
    tell(&one, "oncall", "a-1", 1, 12).await;
    stage.shared.set(Mood::Up);
    stage.pass(5).await;
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgot_everything_is_reminded() {
    let stage = Stage::new();
    let one = stage.replica().await;
    let mute = Mute {
        id: "1".to_owned(),
        scope: Scope::Issue(key(b'z')),
        since: at(0),
        until: None,
        by: "cli".to_owned(),
        comment: String::new(),
    };
    one.mute(&mute).await.unwrap();
    one.keep("key", b"value").await.unwrap();
    for (event, (id, hash)) in (1..).zip([("a-1", b'a'), ("b-1", b'b')]) {
        see(&one, hash, event, 0).await;
        claim(&one, id, hash, None, 0).await;
    }
    tell(&one, "oncall", "a-1", 1, 1).await;

    stage.shared.forget();
    stage.pass(2).await;

    let other = stage.replica().await;
    let waiting = other.pending("oncall", 9).await.unwrap();
    assert_eq!(waiting.alone_total, 1, "the one that was not told");
    assert_eq!(waiting.alone[0].id, "b-1");
    assert_eq!(other.mutes(at(2)).await.unwrap(), [mute]);
    assert_eq!(other.keep("key", b"other").await.unwrap(), b"value");
    let seen = see(&one, b'a', 9, 2).await;
    assert_eq!(seen.routes[0].said.unwrap().at, at(1));
    assert_eq!(
        see(&other, b'a', 10, 3).await.routes[0].said.unwrap().at,
        at(1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_settled_message_is_not_put_again() {
    let stage = Stage::new();
    let (one, leader) = (stage.replica().await, stage.replica().await);
    see(&one, b'a', 1, 0).await;
    claim(&one, "a-1", b'a', None, 0).await;
    tell(&leader, "oncall", "a-1", 1, 1).await;
    see(&one, b'b', 2, 0).await;
    claim(&one, "b-1", b'b', None, 0).await;
    give_up(&leader, "oncall", "b-1", 0, 1).await;
    stage.pass(2).await;

    stage.shared.forget();
    stage.pass(2).await;

    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
}

#[tokio::test(start_paused = true)]
async fn mutes_set_by_one_replica_are_seen_by_all_within_a_second() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    let mute = Mute {
        id: "1".to_owned(),
        scope: Scope::Issue(key(b'a')),
        since: at(0),
        until: None,
        by: "cli".to_owned(),
        comment: String::new(),
    };

    one.mute(&mute).await.unwrap();
    stage.pass(1).await;

    let mutes = [mute];
    assert_eq!(one.mutes(at(1)).await.unwrap(), mutes);
    assert_eq!(other.mutes(at(1)).await.unwrap(), mutes);
    stage.shared.set(Mood::Down);
    assert!(other.unmute("1").await.unwrap());
    assert_eq!(other.mutes(at(2)).await.unwrap(), []);
    assert_eq!(
        one.mutes(at(2)).await.unwrap(),
        mutes,
        "until it hears of it"
    );
    stage.shared.set(Mood::Up);
    stage.pass(5).await;
    assert_eq!(one.mutes(at(6)).await.unwrap(), []);
    assert_eq!(other.mutes(at(6)).await.unwrap(), []);
}

/// Whatever goes away and comes back, in no 60 seconds more than the budget is granted by all replicas together.
#[tokio::test(start_paused = true)]
async fn all_replicas_together_keep_the_budget_through_outages() {
    for replicas in [1_u64, 5, 25] {
        let stage = Stage::new();
        let mut all = Vec::new();
        for _ in 0..replicas {
            all.push(stage.replica().await);
        }
        stage.pass(2).await;
        stage.shared.state.lock().unwrap().lag = Duration::from_millis(2_000 / replicas.max(2));
        let mut granted = Vec::new();
        let outages = [(10, 11), (30, 200), (203, 204), (260, 420), (500, 501)];
        for quarter in 0..620 * 4 {
            let is_down = outages
                .iter()
                .any(|(from, to)| (*from * 4..*to * 4).contains(&quarter));
            stage
                .shared
                .set(if is_down { Mood::Down } else { Mood::Up });
            for replica in &all {
                let now = stage.seconds();
                while replica.take("oncall", 18, at(now)).await.unwrap() == Take::Granted {
                    granted.push(now);
                }
            }
            stage.step().await;
        }

        let most = granted.iter().enumerate().map(|(from, start)| {
            granted[from..]
                .iter()
                .take_while(|at| *at - start < 60)
                .count()
        });
        let most = most.max().unwrap();
        assert!(most <= 18, "{replicas} replicas: {most} in a minute");
        assert!(
            granted.len() > 100,
            "{replicas} replicas: {}",
            granted.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_alone_replica_keeps_its_whole_budget() {
    let stage = Stage::new();
    let one = stage.replica().await;
    stage.pass(1).await;
    stage.shared.set(Mood::Down);
    see(&one, b'a', 1, 0).await;

    let taken = one.take("oncall", 18, at(stage.seconds())).await.unwrap();

    assert_eq!(taken, Take::Granted);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_closed_without_the_store_stays_closed_for_all() {
    let stage = Stage::new();
    let (one, other) = (stage.replica().await, stage.replica().await);
    stage.shared.set(Mood::Down);
    let now = stage.seconds();
    one.close("oncall", at(now + 600), at(now)).await.unwrap();

    stage.shared.set(Mood::Up);
    stage.pass(5).await;

    let now = stage.seconds();
    let taken = other.take("oncall", 18, at(now)).await.unwrap();
    assert!(matches!(taken, Take::After(wait) if wait > Duration::from_secs(500)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_going_away_is_asked_less_and_less() {
    let stage = Stage::new();
    let one = stage.replica().await;

    let mut returns = 0;
    for _ in 0..1_200 {
        let is_well = one.trouble().is_none();
        returns += usize::from(is_well);
        stage
            .shared
            .set(if is_well { Mood::Down } else { Mood::Up });
        see(&one, b'a', 1, 0).await;
        stage.pass(1).await;
    }

    assert!(returns < 120, "{returns}");
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_without_the_store_gives_way_to_what_is_kept_there() {
    let stage = Stage::new();
    let other = stage.replica().await;
    assert_eq!(other.keep("key", b"shared").await.unwrap(), b"shared");
    stage.shared.set(Mood::Down);

    let one = stage.replica().await;
    assert_eq!(one.keep("key", b"own").await.unwrap(), b"own");
    stage.shared.set(Mood::Up);
    stage.pass(5).await;

    assert_eq!(one.keep("key", b"own").await.unwrap(), b"shared");
    assert_eq!(other.keep("key", b"new").await.unwrap(), b"shared");
}

#[tokio::test(start_paused = true)]
async fn starts_without_the_store() {
    let stage = Stage::new();
    stage.shared.set(Mood::Down);

    let one = stage.replica().await;

    assert!(one.trouble().is_some());
    assert_eq!(see(&one, b'a', 1, 0).await.events, 1);
    assert_eq!(claim(&one, "a-1", b'a', None, 0).await, Claim::Won);
    stage.shared.set(Mood::Up);
    stage.pass(5).await;
    assert_eq!(one.trouble(), None);
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_not_said_twice_by_the_outbox() {
    let stage = Stage::new();
    let one = stage.replica().await;
    see(&one, b'a', 1, 0).await;

    stage.shared.set(Mood::Mute);
    assert_eq!(claim(&one, "a-1", b'a', None, 0).await, Claim::Won);
    stage.shared.set(Mood::Up);
    stage.pass(5).await;

    let waiting = one.pending("oncall", 9).await.unwrap();
    assert_eq!(waiting.alone_total, 1);
    let settlement = Settlement {
        id: "a-1",
        end: End::Told { events: 1 },
    };
    one.settle("oncall", &[settlement], 0, at(6)).await.unwrap();
    assert_eq!(one.pending("oncall", 9).await.unwrap().alone_total, 0);
    assert_eq!(see(&one, b'a', 2, 7).await.routes[0].route, ROUTE);
}

/// The shared store and its clock.
struct Stage {
    shared: Arc<Double>,
    started: Instant,
}

/// A shared store in memory that does as it is told.
struct Double {
    state: Mutex<State>,
}

struct State {
    memory: Arc<Memory>,
    mood: Mood,
    calls: usize,
    epoch: usize,
    up_since: Instant,
    /// How much later each replica finds it than the one before.
    lag: Duration,
    replicas: HashMap<String, Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Up,
    Down,
    /// Does what it is asked, and its answers are lost.
    Mute,
    /// Does what it is asked, too late.
    Late,
}

impl Stage {
    fn new() -> Self {
        let state = State {
            memory: Arc::new(Memory::new()),
            mood: Mood::Up,
            calls: 0,
            epoch: 0,
            up_since: Instant::now(),
            lag: Duration::ZERO,
            replicas: HashMap::new(),
        };
        Self {
            shared: Arc::new(Double {
                state: Mutex::new(state),
            }),
            started: Instant::now(),
        }
    }

    async fn replica(&self) -> Fallback {
        let started = self.started;
        let clock: Clock = Arc::new(move || at(0) + started.elapsed());
        Fallback::with(Arc::clone(&self.shared) as Arc<dyn Shared>, clock).await
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Lets time pass in small steps, so that every heartbeat comes.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.step().await;
        }
    }

    async fn step(&self) {
        advance(Duration::from_millis(250)).await;
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
    }
}

impl Double {
    fn set(&self, mood: Mood) {
        let mut state = self.state.lock().unwrap();
        if state.mood != mood {
            state.up_since = Instant::now();
        }
        state.mood = mood;
    }

    fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.state.lock().unwrap().memory)
    }

    /// As `FLUSHALL` does.
    fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.memory = Arc::new(Memory::new());
        state.epoch += 1;
    }

    fn begin(&self) -> Result<Arc<Memory>, Unavailable> {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        match state.mood {
            Mood::Up | Mood::Mute | Mood::Late => Ok(Arc::clone(&state.memory)),
            Mood::Down => Err(lost()),
        }
    }

    fn end<T>(&self, answer: T) -> Result<T, Unavailable> {
        match self.state.lock().unwrap().mood {
            Mood::Up | Mood::Down => Ok(answer),
            Mood::Mute => Err(lost()),
            Mood::Late => Err(crate::redis::late()),
        }
    }
}

fn lost() -> Unavailable {
    Unavailable {
        backend: "double",
        source: "told to".into(),
    }
}

#[async_trait]
impl Shared for Double {
    async fn beat(&self, replica: &str, _now: SystemTime) -> Result<Beat, Unavailable> {
        drop(self.begin()?);
        let (replicas, rank, epoch, is_late) = {
            let mut state = self.state.lock().unwrap();
            state.replicas.insert(replica.to_owned(), Instant::now());
            let gone = Duration::from_secs(15);
            state.replicas.retain(|_, seen| seen.elapsed() < gone);
            let names = state.replicas.keys();
            let rank = names.filter(|name| name.as_str() < replica).count();
            let lag = state.lag * u32::try_from(rank).unwrap();
            let is_late = state.up_since.elapsed() < lag;
            let epoch = state.epoch.to_string();
            (state.replicas.len(), rank, epoch, is_late)
        };
        if is_late {
            return Err(lost());
        }
        self.end(Beat {
            replicas,
            rank,
            epoch,
        })
    }

    async fn add(&self, counted: &Counted) -> Result<(), Unavailable> {
        self.begin()?.add(counted);
        self.end(())
    }
}

macro_rules! pass_on {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for Double {
            fn backend(&self) -> &'static str {
                "double"
            }

            fn is_durable(&self) -> bool {
                true
            }

            async fn changed(&self, within: Duration) {
                self.memory().changed(within).await;
            }

            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer, Unavailable> {
                let answer = self.begin()?.$method($($argument),*).await?;
                self.end(answer)
            })+
        }
    };
}

pass_on! {
    observe(sighting: &Sighting<'_>, now: SystemTime) -> Seen;
    claim(parcel: &Parcel<'_>, now: SystemTime) -> Claim;
    lead(robot: &str, holder: &str, lease: Duration, now: SystemTime) -> bool;
    resign(robot: &str, holder: &str) -> ();
    pending(robot: &str, limit: usize) -> Pending;
    gather(robot: &str, ids: &[String], until: SystemTime) -> ();
    gathered(robot: &str, named: usize, now: SystemTime) -> Gathered;
    settle(robot: &str, settlements: &[Settlement<'_>], missed: u64, now: SystemTime) -> ();
    quiet(route: RouteKey, before: SystemTime, limit: usize) -> Vec<Quiet>;
    take(bucket: &str, per_minute: u32, now: SystemTime) -> Take;
    spent(bucket: &str, now: SystemTime) -> u32;
    close(bucket: &str, until: SystemTime, now: SystemTime) -> ();
    report(report: &Report) -> ();
    reports() -> Vec<Report>;
    mute(mute: &Mute) -> ();
    unmute(id: &str) -> bool;
    mutes(now: SystemTime) -> Vec<Mute>;
    recent(limit: usize) -> Vec<Issue>;
    search(search: &Search, after: Option<Cursor>, limit: usize) -> Found;
    issue(key: &IssueKey) -> Option<Issue>;
    expire(before: SystemTime, stale: SystemTime, now: SystemTime) -> Expired;
    keep(name: &str, value: &[u8]) -> Vec<u8>;
}

async fn fresh() -> (Fallback, Stage) {
    let stage = Stage::new();
    (stage.replica().await, stage)
}

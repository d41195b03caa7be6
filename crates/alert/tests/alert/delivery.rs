//! How messages are delivered although robots refuse, hang, break and processes end.

use std::sync::Arc;
use std::time::Duration;

use alert::{Channel, Config, Hold, Message, Notice, NoticeKind, Outcome, Reason, Retry, Rule};
use state::{Memory, Store};

use crate::budget::fits;
use crate::isolation::Faulty;
use crate::stage::{Robot, Stage, Told, config, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn tries_again_after_a_passing_fault_with_the_same_id() {
    let stage = Stage::new(Robot::refusing([Retry::Soon, Retry::Soon]));

    stage.event("a").await;
    minutes(1).await;

    assert_eq!(stage.robot().attempts(), 3);
    assert_eq!(stage.robot().told().len(), 1);
    assert_eq!(stage.robot().distinct_ids(), 1);
    assert_eq!(
        stage.metric("messages_total{robot=\"oncall\",result=\"ok\"}"),
        1
    );
    assert_eq!(
        stage.metric("messages_total{robot=\"oncall\",result=\"test\"}"),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_robot_is_left_alone_and_its_queue_becomes_a_digest() {
    let stage = Stage::new(Robot::refusing([Retry::Paused(Duration::from_secs(600))]));

    for number in 0..5 {
        stage.event(&format!("issue {number}")).await;
        seconds(10).await;
    }
    seconds(548).await;
    let before = stage.robot().attempts();
    minutes(6).await;

    assert_eq!(before, 1);
    let told = stage.robot().told();
    assert_eq!((told.len(), told[0].at.as_secs()), (1, 600));
    assert_eq!(told[0].digest().alerts_total, 5);
}

#[tokio::test(start_paused = true)]
async fn one_closed_webhook_leaves_the_work_to_the_others() {
    let channel = |name: &str| Channel {
        bucket: name.to_owned(),
        per_minute: 18,
    };
    let robot = Robot {
        channels: vec![channel("one"), channel("two")],
        ..Robot::refusing([Retry::Paused(Duration::from_secs(600))])
    };
    let stage = Stage::new(robot);

    stage.event("a").await;
    stage.event("b").await;
    seconds(1).await;

    let channels: Vec<usize> = stage
        .robot()
        .told()
        .iter()
        .map(|told| told.channel)
        .collect();
    assert_eq!(channels, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_message_refused_for_good_is_given_up_and_its_issue_rests_a_minute() {
    let stage = Stage::new(Robot::refusing([Retry::Never]));

    stage.event("a").await;
    stage.event("b").await;
    seconds(30).await;
    let resting = stage.event("a").await;
    seconds(31).await;
    let rested = stage.event("a").await;
    seconds(1).await;

    assert_eq!(resting, Outcome::AlreadyClaimed);
    assert_eq!(rested, Outcome::Queued(Reason::FirstSeen));
    let told = stage.robot().told();
    assert_eq!((told.len(), told[1].events()), (2, 3));
    assert_eq!(
        stage.metric("messages_total{robot=\"oncall\",result=\"given_up\"}"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_robot_that_needs_mending_keeps_its_messages_and_is_asked_seldom() {
    let robot = Robot::refusing_for(Duration::from_secs(7_200), Retry::AfterRepair);
    let stage = Stage::new(robot);

    for number in 0..30 {
        stage.event(&format!("issue {number}")).await;
        minutes(3).await;
    }
    minutes(60).await;

    let attempts = stage.robot().attempts() - stage.robot().told().len();
    assert!((5..15).contains(&attempts), "{attempts}");
    let told = stage.robot().told();
    assert_eq!(told.iter().map(Told::alerts).sum::<u64>(), 30);
    assert!(told.len() <= 3, "{}", told.len());
}

#[tokio::test(start_paused = true)]
async fn another_robot_tells_when_one_is_broken_and_when_it_is_back() {
    let broken = Robot::refusing_for(Duration::from_secs(90), Retry::AfterRepair);
    let with_own = Config {
        own_robot: Some("ops".to_owned()),
        ..config(Rule::default())
    };
    let robots = vec![broken, Robot::named("ops")];
    let stage = Stage::on(Arc::new(Memory::new()), robots, with_own);

    stage.event("a").await;
    minutes(20).await;

    let told = stage.robots["ops"].told();
    let kinds: Vec<&NoticeKind> = told.iter().map(|told| notice(&told.message)).collect();
    let [
        NoticeKind::RobotBroken { robot, detail, .. },
        NoticeKind::RobotBack { lasted, .. },
    ] = kinds[..]
    else {
        panic!("{kinds:?}");
    };
    assert_eq!((robot.as_str(), detail.as_str()), ("oncall", "as told"));
    // Left alone for a minute, then for ten.
    assert_eq!(lasted.as_secs(), 660);
    assert_eq!(stage.robots["oncall"].told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_told_once() {
    let stage = Stage::new(Robot::default());
    let notice = Notice {
        id: "sentry-down-1".to_owned(),
        at: stage.now(),
        kind: NoticeKind::SentryDown {
            since: stage.now(),
            waiting: 3,
            upstream: String::new(),
            lost: 0,
        },
    };

    for robot in ["oncall", "oncall", "nobody"] {
        let told = stage.outbox.tell(robot, notice.clone(), stage.now()).await;
        told.unwrap();
    }
    seconds(1).await;

    assert_eq!(stage.robot().told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_bad_minutes_of_any_kind_lose_nothing() {
    let passing = Robot::refusing_for(Duration::from_secs(600), Retry::Soon);
    let closed = Retry::Paused(Duration::from_secs(60));
    let robots = [
        passing,
        Robot::refusing_for(Duration::from_secs(600), closed),
        Robot::refusing_for(Duration::from_secs(600), Retry::AfterRepair),
    ];
    for robot in robots {
        let stage = Stage::new(robot);

        for number in 0..200 {
            stage.event(&format!("issue {}", number % 100)).await;
            seconds(6).await;
        }
        minutes(60).await;

        let told = stage.robot().told();
        assert!(fits(&told, 18));
        let alerts: u64 = told.iter().map(Told::alerts).sum();
        let waiting = stage.metric("outbox_alerts");
        assert_eq!((alerts, waiting), (100, 0));
        for number in 0..100 {
            let outcome = stage.event(&format!("issue {number}")).await;
            let is_known = matches!(
                outcome,
                Outcome::Held(Hold::RepeatWindow { .. }) | Outcome::Queued(Reason::StillHappening)
            );
            assert!(is_known, "{outcome:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_robot_that_hangs_is_not_waited_for_without_end() {
    let stage = Stage::new(Robot {
        delay: Duration::from_secs(3_600),
        ..Robot::default()
    });

    stage.event("a").await;
    minutes(5).await;

    let timed_out = stage.metric("messages_total{robot=\"oncall\",result=\"timed_out\"}");
    assert!((5..=7).contains(&timed_out), "{timed_out}");
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_may_have_arrived_is_tried_again_as_it_was() {
    let stage = Stage::new(Robot::refusing([
        Retry::Paused(Duration::from_secs(60)),
        Retry::Soon,
        Retry::Soon,
    ]));
    for number in 0..3 {
        stage.event(&format!("issue {number}")).await;
    }
    minutes(5).await;
    seconds(2).await;
    stage.event("late").await;
    minutes(10).await;

    let told = stage.robot().told();
    assert_eq!(told.iter().map(Told::alerts).sum::<u64>(), 4);
    assert_eq!(
        stage.robot().distinct_ids(),
        3,
        "one alert, one digest, one alert"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_state_is_delivered_by_the_next_process() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let dead = Robot::refusing_for(Duration::from_secs(1 << 30), Retry::Soon);
    let first = Stage::on(Arc::clone(&store), vec![dead], config(Rule::default()));
    for number in 0..3 {
        first.event(&format!("issue {number}")).await;
    }
    seconds(5).await;
    let clock = Arc::clone(&first.clock);
    // Killed: nothing is finished, nothing is given back.
    drop(first);

    let next = Stage::at(
        store,
        vec![Robot::default()],
        config(Rule::default()),
        clock,
    );
    minutes(3).await;

    let told = next.robot().told();
    assert_eq!(told.iter().map(Told::alerts).sum::<u64>(), 3);
    let again = next.event("issue 1").await;
    assert!(matches!(again, Outcome::Held(Hold::RepeatWindow { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_waited_through_a_long_outage_is_told_in_one_message() {
    let stage = Stage::new(Robot::refusing_for(Duration::from_secs(3_000), Retry::Soon));

    for number in 0..20 {
        stage.event(&format!("issue {number}")).await;
        minutes(2).await;
    }
    minutes(30).await;

    let told = stage.robot().told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].digest().alerts_total, told[0].digest().alerts.len()),
        (20, 10)
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_is_dropped_and_counted() {
    let stage = Stage::new(Robot::default());
    let robots = ["oncall".to_owned()];
    let parcel = state::Parcel {
        id: "of another version",
        word: None,
        robots: &robots,
        priority: 0,
        gather_until: None,
        late_after: Duration::from_secs(60),
        payload: b"{\"riddle\":1}",
    };

    stage.store.claim(&parcel, stage.now()).await.unwrap();
    stage.event("a").await;
    minutes(1).await;

    assert_eq!(stage.robot().told().len(), 1);
    assert_eq!(
        stage.metric("messages_total{robot=\"oncall\",result=\"unreadable\"}"),
        1
    );
    assert_eq!(stage.metric("outbox_alerts"), 0);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_delivers_what_waits_within_the_grace_and_counts_the_rest() {
    let stage = Stage::new(Robot {
        delay: Duration::from_secs(4),
        ..Robot::default()
    });
    for number in 0..5 {
        stage.event(&format!("issue {number}")).await;
    }
    let robot = Arc::clone(&stage.robots["oncall"]);

    let left = stage.deliveries.finish(Duration::from_secs(10)).await;

    assert_eq!((robot.told().len(), left), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_leaves_what_must_wait_to_a_state_that_lasts() {
    let store: Arc<dyn Store> = Arc::new(Faulty::durable());
    let robots = vec![Robot::default()];
    let first = Stage::on(Arc::clone(&store), robots, config(Rule::default()));
    for number in 0..40 {
        first.event(&format!("issue {number}")).await;
    }
    seconds(1).await;
    let clock = Arc::clone(&first.clock);
    let robot = Arc::clone(&first.robots["oncall"]);

    let started = tokio::time::Instant::now();
    let left = first.deliveries.finish(Duration::from_secs(60)).await;
    let ended = started.elapsed();
    let robots = vec![Robot::default()];
    let next = Stage::at(store, robots, config(Rule::default()), clock);
    minutes(10).await;

    assert_eq!((robot.told().len(), left), (15, 25));
    assert!(ended < Duration::from_secs(2), "{ended:?}");
    let told = next.robot().told();
    assert_eq!((told.len(), told[0].digest().alerts_total), (1, 25));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_tells_what_is_gathered_and_would_be_lost() {
    let stage = Stage::new(Robot::default());
    for number in 0..40 {
        stage.event(&format!("issue {number}")).await;
    }
    seconds(1).await;
    let robot = Arc::clone(&stage.robots["oncall"]);

    let left = stage.deliveries.finish(Duration::from_secs(10)).await;

    let alerts: u64 = robot.told().iter().map(Told::alerts).sum();
    assert_eq!((alerts, left), (40, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_message_does_not_end_the_robot() {
    let stage = Stage::new(Robot {
        panics: 1.into(),
        ..Robot::default()
    });

    stage.event("a").await;
    stage.event("b").await;
    seconds(1).await;

    assert_eq!(stage.robot().told().len(), 1);
    assert_eq!(
        stage.metric("messages_total{robot=\"oncall\",result=\"panicked\"}"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn health_and_journal_show_the_last_verdicts() {
    let stage = Stage::new(Robot::refusing([Retry::Never]));
    let health = stage.outbox.health();

    let before = health.robots();
    stage.event("a").await;
    seconds(1).await;
    let refused = health.robots();
    stage.event("b").await;
    seconds(1).await;

    assert_eq!((before[0].last.as_ref(), before[0].per_minute), (None, 18));
    let report = refused[0].last.as_ref().unwrap();
    assert_eq!(
        (report.reason.as_deref(), report.hint.as_str()),
        (Some("test"), "mend it")
    );
    assert_eq!(stage.store.reports().await.unwrap()[0].reason, None);
    let results: Vec<&str> = stage
        .outbox
        .journal()
        .messages()
        .iter()
        .map(|sent| sent.result)
        .collect();
    assert_eq!(results, ["ok", "test"]);
}

fn notice(message: &Message) -> &NoticeKind {
    match message {
        Message::Notice(notice) => &notice.kind,
        other => panic!("not a notice: {other:?}"),
    }
}

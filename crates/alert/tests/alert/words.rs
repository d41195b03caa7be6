//! When something is said about an issue, and what: timelines of one issue.

use std::time::Duration;

use alert::{Config, Counted, Hold, Outcome, Reason, Rule, Threshold};
use event::model::{Event, EventKind, Level, User};
use state::{IssueHash, Window};

use crate::stage::{Robot, Stage, config, minutes, seconds, wide_id};

#[tokio::test(start_paused = true)]
async fn speaks_at_first_sight_then_after_growing_silences() {
    let stage = Stage::new(Robot::default());

    let mut outcomes = Vec::new();
    for _ in 0..(8 * 60) {
        outcomes.push(stage.event("a").await);
        minutes(1).await;
    }

    let still = Reason::StillHappening;
    let expected = [
        (0, Reason::FirstSeen),
        (60, still),
        (180, still),
        (420, still),
    ];
    assert_eq!(stage.robot().reasons(), expected);
    assert_eq!(outcomes[0], Outcome::Queued(Reason::FirstSeen));
    assert_eq!(outcomes[60], Outcome::Queued(still));
    let is_silent = |outcome: &Outcome| matches!(outcome, Outcome::Held(Hold::RepeatWindow { .. }));
    assert!(outcomes[1..60].iter().all(is_silent));
}

#[tokio::test(start_paused = true)]
async fn each_event_is_told_in_exactly_one_message() {
    let stage = Stage::new(Robot::default());

    for _ in 0..300 {
        stage.event("a").await;
        minutes(2).await;
    }

    let told = stage.robot().told();
    let counts: Vec<(u64, u64)> = told
        .iter()
        .map(|told| (told.alert().counts.events, told.events()))
        .collect();
    assert_eq!(counts, [(1, 1), (31, 30), (91, 60), (211, 120)]);
}

#[tokio::test(start_paused = true)]
async fn every_word_has_an_id_of_its_own_also_right_after_the_first() {
    let stage = Stage::new(Robot::default());

    // The first word is delivered in the very moment in which the issue is first seen.
    for _ in 0..100 {
        stage.event("a").await;
    }
    seconds(1).await;
    stage.event("a").await;
    minutes(61).await;
    stage.event("a").await;
    seconds(1).await;

    assert_eq!(stage.robot().told().len(), 3);
    assert_eq!(stage.robot().distinct_ids(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_keeps_silent_until_enough_happened() {
    let stage = Stage::with(Robot::default(), config(threshold(3, Counted::Events)));

    for pause in [40, 40, 40, 10, 5, 0] {
        stage.event("a").await;
        seconds(pause).await;
    }

    let held = stage.metric("events_total{outcome=\"held_threshold\"}");
    assert_eq!(held, 0, "the stage counts no outcomes");
    let [told] = &stage.robot().told()[..] else {
        panic!("{:?}", stage.robot().told());
    };
    // Forty seconds apart, three events never fall into one minute.
    assert_eq!(
        (told.at.as_secs(), told.alert().reason),
        (130, Reason::Threshold)
    );
    assert_eq!(told.events(), 5);
    let window = told.alert().counts.window.unwrap();
    assert_eq!((window.count, window.of), (3, Counted::Events));
}

#[tokio::test(start_paused = true)]
async fn a_threshold_of_users_counts_distinct_ones() {
    let stage = Stage::with(Robot::default(), config(threshold(3, Counted::Users)));

    let mut outcomes = Vec::new();
    for user in ["a", "b", "a", "b", "c", "d"] {
        outcomes.push(stage.of("issue", by(user)).await);
        seconds(1).await;
    }

    let below = Outcome::Held(Hold::BelowThreshold { have: 2, need: 3 });
    assert_eq!(outcomes[3], below);
    assert_eq!(outcomes[4], Outcome::Queued(Reason::Threshold));
    assert_eq!(stage.robot().told()[0].alert().counts.users, 3);
}

#[tokio::test(start_paused = true)]
async fn a_burst_breaks_the_silence_once_until_it_runs_out() {
    let stage = Stage::new(Robot::default());

    // A storm of an hour and a half, two events a second.
    for _ in 0..(90 * 60 * 2) {
        stage.event("a").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    let expected = [
        (0, Reason::FirstSeen),
        (0, Reason::Burst),
        (60, Reason::StillHappening),
    ];
    assert_eq!(stage.robot().reasons(), expected);
    let told = stage.robot().told();
    assert_eq!(told[1].alert().counts.events, 100);
    assert_eq!(told[1].alert().counts.window.unwrap().count, 100);
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_comes_back_after_long_is_a_regression() {
    let stage = Stage::new(Robot::default());

    stage.event("a").await;
    minutes(8 * 24 * 60).await;
    stage.event("a").await;
    minutes(30).await;
    stage.event("a").await;
    minutes(31).await;
    stage.event("a").await;
    seconds(1).await;

    let reasons: Vec<Reason> = stage
        .robot()
        .reasons()
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    let expected = [
        Reason::FirstSeen,
        Reason::Regression,
        Reason::StillHappening,
    ];
    assert_eq!(reasons, expected);
    let quiet = stage.robot().told()[1].alert().counts.quiet.unwrap();
    assert_eq!(quiet.as_secs(), 8 * 24 * 3_600);
}

#[tokio::test(start_paused = true)]
async fn a_new_release_breaks_the_silence() {
    let stage = Stage::new(Robot::default());

    for release in ["1.0", "1.0", "2.0", "1.0", "2.0", "3.0"] {
        stage.of("a", of_release(release)).await;
        minutes(5).await;
    }

    let expected = [(0, Reason::FirstSeen), (10, Reason::NewRelease)];
    assert_eq!(stage.robot().reasons(), expected, "one a silence");
}

#[tokio::test(start_paused = true)]
async fn says_once_that_an_issue_has_stopped_and_at_once_that_it_is_back() {
    let rule = Rule {
        quiet_after: Some(Duration::from_secs(600)),
        ..Rule::default()
    };
    let stage = Stage::with(Robot::default(), config(rule));

    for minute in 0..120 {
        if [0, 1, 2, 60].contains(&minute) {
            stage.event("a").await;
        }
        stage.engine.sweep(stage.now()).await;
        minutes(1).await;
    }

    let expected = [
        (0, Reason::FirstSeen),
        (13, Reason::Stopped),
        (60, Reason::Regression),
        (71, Reason::Stopped),
    ];
    assert_eq!(stage.robot().reasons(), expected);
    let stopped = &stage.robot().told()[1];
    assert_eq!((stopped.events(), stopped.alert().counts.events), (2, 3));
    assert_eq!(stopped.alert().counts.quiet.unwrap().as_secs(), 660);
    assert_eq!(stopped.alert().subject.title, "a");
}

#[tokio::test(start_paused = true)]
async fn an_event_id_seen_before_is_held_also_when_it_is_replayed_from_the_spool() {
    let stage = Stage::new(Robot::default());
    let event = Event {
        id: Some(wide_id(7)),
        ..Event::default()
    };

    let spooled = stage.handle(&event, "a").await;
    minutes(3 * 60).await;
    let replayed = stage.handle(&event, "a").await;

    assert_eq!(spooled, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(replayed, Outcome::Held(Hold::DuplicateEvent));
    assert_eq!(stage.robot().told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_own_clock_lies_changes_nothing() {
    let stage = Stage::new(Robot::default());
    let long_ago = Event {
        timestamp: Some(std::time::SystemTime::UNIX_EPOCH),
        ..Event::default()
    };
    let far = Event {
        timestamp: Some(stage.now() + Duration::from_secs(1 << 40)),
        ..Event::default()
    };

    stage.of("a", long_ago).await;
    seconds(1).await;
    let outcome = stage.of("a", far).await;

    assert!(matches!(outcome, Outcome::Held(Hold::RepeatWindow { .. })));
    assert_eq!(stage.robot().reasons(), [(0, Reason::FirstSeen)]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_links_two_known_issues_belongs_to_one_of_them() {
    let stage = Stage::new(Robot::default());
    stage.event("a").await;
    stage.event("b").await;
    let event = Event::default();
    let group = grouping::Group {
        hashes: vec!["b".to_owned(), "a".to_owned()],
        ..grouping::group(&event, &grouping::Config::default())
    };
    let sight = alert::Sight {
        event: &event,
        project: event::ProjectId::from(42),
        group: &group,
    };
    seconds(1).await;

    let outcome = stage.engine.handle(&sight, stage.now()).await;

    assert!(matches!(outcome, Outcome::Held(Hold::RepeatWindow { .. })));
    let issues = stage.store.recent(9).await.unwrap();
    assert_eq!([issues[0].events, issues[1].events], [2, 1]);
    assert_eq!(issues[0].key.hash, IssueHash::of("b"));
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
        assert_eq!(stage.of("a", event).await, Outcome::NotAlertable);
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

    stage.event("a").await;
    let meanwhile = stage.event("a").await;

    assert_eq!(meanwhile, Outcome::AlreadyClaimed);
}

#[tokio::test(start_paused = true)]
async fn without_a_robot_it_decides_and_stays_silent() {
    let stage = Stage::with(Robot::default(), Config::default());

    assert_eq!(stage.event("a").await, Outcome::NoRobot);
    let next = stage.event("a").await;

    assert!(matches!(next, Outcome::Held(Hold::RepeatWindow { .. })));
    assert!(stage.robot().told().is_empty());
    assert_eq!(stage.metric("alerts_total{reason=\"first_seen\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn obeys_a_new_configuration_from_the_next_event_on() {
    let stage = Stage::new(Robot::default());

    let before = stage.event("a").await;
    let stricter = Config {
        min_level: Level::Fatal,
        ..Config::default()
    };
    stage.config.send_replace(stricter.into());
    let after = stage.event("b").await;

    assert_eq!(before, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(after, Outcome::NotAlertable);
}

#[test]
fn every_outcome_has_a_name_of_its_own() {
    let left = Duration::ZERO;
    let by = String::new();
    let (until, (have, need)) = (std::time::SystemTime::UNIX_EPOCH, (1, 2));
    let speech = alert::decide::Speech {
        reason: Reason::FirstSeen,
        silence: left,
        is_burst_told: false,
        is_stopped: false,
    };
    let outcomes = [
        Outcome::Queued(Reason::FirstSeen),
        Outcome::Held(Hold::DuplicateEvent),
        Outcome::Held(Hold::Muted { by }),
        Outcome::Held(Hold::BelowThreshold { have, need }),
        Outcome::Held(Hold::RepeatWindow { left }),
        Outcome::Held(Hold::OutsideActiveHours { until, speech }),
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

fn threshold(count: u16, of: Counted) -> Rule {
    let within = Duration::from_secs(60);
    let window = Window { count, within };
    Rule {
        threshold: Threshold { window, of },
        ..Rule::default()
    }
}

fn by(user: &'static str) -> Event<'static> {
    Event {
        user: Some(User {
            id: Some(user.into()),
            ..User::default()
        }),
        ..Event::default()
    }
}

fn of_release(release: &'static str) -> Event<'static> {
    Event {
        release: Some(release.into()),
        ..Event::default()
    }
}

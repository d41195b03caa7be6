//! What goes alone, what is gathered into digests, and that no robot ever speaks too much.

use std::sync::Arc;
use std::time::Duration;

use alert::{Channel, Config, Matcher, Reason, Retry, Route, Routes, Rule};
use state::{Memory, Store};

use crate::isolation::Faulty;
use crate::stage::{Robot, Stage, Told, config, fatal, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn different_issues_speak_at_once_each() {
    let stage = Stage::new(Robot::default());

    for issue in ["a", "b", "c"] {
        stage.event(issue).await;
    }
    seconds(1).await;

    assert_eq!(stage.robot().told().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_exceeds_the_budget_is_told_in_one_digest() {
    let stage = Stage::new(Robot::default());

    for number in 0..60 {
        stage.event(&format!("issue {number}")).await;
    }
    minutes(10).await;

    let told = stage.robot().told();
    // Three of eighteen are kept for what is urgent and for the digest.
    assert_eq!(told.len(), 16);
    assert!(
        told[..15]
            .iter()
            .all(|told| told.at.as_secs() == 0 && !told.is_digest())
    );
    let digest = told[15].digest();
    assert_eq!(told[15].at.as_secs(), 300);
    assert_eq!(
        (digest.alerts.len(), digest.alerts_total, digest.others()),
        (10, 45, 35)
    );
    assert_eq!((digest.events, digest.missed), (45, 0));
    assert_eq!(digest.status_url, None);
}

#[tokio::test(start_paused = true)]
async fn a_digest_links_to_all_issues_where_the_operator_said_they_are_listed() {
    let public_url = Some("https://notice.example.com".to_owned());
    let config = Config {
        public_url: public_url.clone(),
        ..config(Rule::default())
    };
    let stage = Stage::with(Robot::default(), config);

    for number in 0..60 {
        stage.event(&format!("issue {number}")).await;
    }
    minutes(10).await;

    let told = stage.robot().told();
    assert_eq!(told[15].digest().status_url, public_url);
}

#[tokio::test(start_paused = true)]
async fn never_sends_more_than_the_budget_in_any_minute_whatever_comes() {
    let stage = Stage::new(Robot::default());

    // An hour of twenty new issues a minute, half of them fatal.
    for number in 0..1_200 {
        let event = if number % 2 == 0 {
            fatal()
        } else {
            Default::default()
        };
        stage.of(&format!("issue {number}"), event).await;
        seconds(3).await;
    }
    minutes(15).await;

    let told = stage.robot().told();
    assert!(fits(&told, 18), "{:?}", moments(&told));
    let alerts: u64 = told.iter().map(Told::alerts).sum();
    assert_eq!(alerts, 1_200, "each issue is named or counted once");
    assert_eq!(stage.metric("outbox_alerts"), 0);
}

#[tokio::test(start_paused = true)]
async fn while_something_is_gathered_single_messages_are_few() {
    let stage = Stage::new(Robot::default());
    for number in 0..40 {
        stage.event(&format!("first {number}")).await;
    }

    // The storm goes on for the four minutes until the digest.
    for number in 0..240 {
        stage.event(&format!("then {number}")).await;
        seconds(1).await;
    }
    minutes(10).await;

    let told = stage.robot().told();
    let alone = told.iter().filter(|told| !told.is_digest());
    let during = alone.filter(|told| (60..300).contains(&told.at.as_secs()));
    assert!(during.clone().count() <= 4 * 6, "{:?}", moments(&told));
    assert!(told.iter().filter(|told| told.is_digest()).count() <= 2);
}

#[tokio::test(start_paused = true)]
async fn fatal_comes_before_error_and_first_words_before_repeats() {
    let robot = Robot {
        delay: Duration::from_secs(2),
        ..Robot::default()
    };
    let rule = Rule {
        repeat: Duration::from_secs(60),
        ..Rule::default()
    };
    let stage = Stage::with(robot, config(rule));
    stage.event("old").await;
    seconds(61).await;

    stage.event("while it is busy").await;
    seconds(1).await;
    stage.event("old").await;
    stage.event("new").await;
    stage.of("fatal", fatal()).await;
    seconds(30).await;

    let told = stage.robot().told();
    let titles: Vec<&str> = told
        .iter()
        .map(|told| told.alert().subject.title.as_str())
        .collect();
    assert_eq!(titles, ["old", "while it is busy", "fatal", "new", "old"]);
    assert_eq!(told[4].alert().reason, Reason::StillHappening);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_issue_in_a_storm_waits_for_no_digest() {
    let stage = Stage::new(Robot::default());
    for number in 0..100 {
        stage.event(&format!("issue {number}")).await;
    }
    seconds(5).await;

    for number in 0..4 {
        stage.of(&format!("fatal {number}"), fatal()).await;
    }
    minutes(2).await;

    let told = stage.robot().told();
    let fatal = told
        .iter()
        .filter(|told| !told.is_digest() && told.alert().subject.title.starts_with("fatal"));
    let moments: Vec<u64> = fatal.map(|told| told.at.as_secs()).collect();
    // Two are said at once, the others as soon as the first minute is over.
    assert_eq!(moments, [5, 5, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_storm_ends_and_single_messages_go_at_once_again() {
    let stage = Stage::new(Robot::default());
    for number in 0..40 {
        stage.event(&format!("issue {number}")).await;
    }
    minutes(6).await;

    stage.event("later").await;
    seconds(1).await;

    let told = stage.robot().told();
    let last = told.last().unwrap();
    assert_eq!(
        (last.at.as_secs(), last.alert().reason),
        (360, Reason::FirstSeen)
    );
}

#[tokio::test(start_paused = true)]
async fn slow_answers_do_not_bring_more_messages_into_a_minute() {
    let robot = Robot {
        delay: Duration::from_millis(900),
        ..Robot::default()
    };
    let stage = Stage::new(robot);

    for number in 0..300 {
        stage.of(&format!("issue {number}"), fatal()).await;
        seconds(1).await;
    }
    minutes(15).await;

    // The first arrives when its answer is due, the last at once.
    let told = stage.robot().told();
    let (all, budget) = (told.len(), 18);
    assert!(all > 60, "{all}");
    let spans = told.windows(budget + 1);
    let shortest = spans
        .map(|span| span[budget].at - span[0].at)
        .min()
        .unwrap();
    assert!(shortest >= Duration::from_millis(60_900), "{shortest:?}");
}

#[tokio::test(start_paused = true)]
async fn several_webhooks_share_the_work_of_one_chat() {
    let channel = |name: &str| Channel {
        bucket: name.to_owned(),
        per_minute: 18,
    };
    let robot = Robot {
        channels: vec![channel("one"), channel("two"), channel("three")],
        ..Robot::default()
    };
    let stage = Stage::new(robot);

    for number in 0..100 {
        stage.event(&format!("issue {number}")).await;
    }
    seconds(1).await;

    let told = stage.robot().told();
    assert_eq!(told.len(), 45);
    for channel in 0..3 {
        assert_eq!(
            told.iter().filter(|told| told.channel == channel).count(),
            15
        );
    }
}

#[tokio::test(start_paused = true)]
async fn routes_and_names_that_use_one_webhook_share_its_budget() {
    let same = |name: &str| Robot {
        channels: vec![Channel {
            bucket: "same".to_owned(),
            per_minute: 18,
        }],
        ..Robot::named(name)
    };
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned()];
    let mut child = root.child(None, Matcher::default());
    child.robots = vec!["alias".to_owned()];
    child.continues = true;
    let mut other = root.child(None, Matcher::default());
    other.robots = vec!["oncall".to_owned()];
    root.children = vec![child, other];
    let config = Config {
        routes: Routes::new(root),
        ..Config::default()
    };
    let robots = vec![same("oncall"), same("alias")];
    let stage = Stage::on(Arc::new(Memory::new()), robots, config);

    for number in 0..60 {
        stage.event(&format!("issue {number}")).await;
        seconds(1).await;
    }
    minutes(20).await;

    let mut all = stage.robots["oncall"].told();
    all.extend(stage.robots["alias"].told());
    all.sort_by_key(|told| told.at);
    assert!(fits(&all, 18), "{:?}", moments(&all));
    let alerts: u64 = all.iter().map(Told::alerts).sum();
    assert_eq!(alerts, 120);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_one_issue_is_a_handful_of_messages_with_exact_counts() {
    let stage = Stage::new(Robot::default());

    for _ in 0..100_000 {
        stage.event("a").await;
        tokio::time::sleep(Duration::from_micros(600)).await;
    }
    minutes(61).await;
    stage.event("a").await;
    seconds(1).await;

    let told = stage.robot().told();
    let events: u64 = told.iter().map(Told::events).sum();
    assert!(told.len() <= 3, "{}", told.len());
    assert_eq!(events, 100_001);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_counted_in_the_next_digest_and_tried_again() {
    let robot = Robot::refusing_for(Duration::from_secs(120), Retry::Soon);
    let stage = Stage::new(robot);
    let bound = state::outbox::PARCELS;
    for number in 0..bound + 5 {
        stage.event(&format!("issue {number}")).await;
    }
    assert_eq!(stage.store.pending("oncall", 0).await.unwrap().missed, 5);

    minutes(30).await;
    let told = stage.robot().told();
    let alerts: u64 = told.iter().map(Told::alerts).sum();
    let missed: u64 = told
        .iter()
        .filter(|told| told.is_digest())
        .map(|told| told.digest().missed)
        .sum();
    assert_eq!((alerts, missed), (bound as u64, 5));

    stage.event(&format!("issue {}", bound + 1)).await;
    seconds(1).await;
    assert_eq!(
        stage.robot().told().last().unwrap().alert().counts.events,
        2
    );
}

/// Returns whether no span of a minute holds more than `budget` messages.
pub(crate) fn fits(told: &[Told], budget: usize) -> bool {
    told.windows(budget + 1)
        .all(|span| span[budget].at - span[0].at >= Duration::from_secs(60))
}

fn moments(told: &[Told]) -> Vec<(u64, bool)> {
    told.iter()
        .map(|told| (told.at.as_secs(), told.is_digest()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_two_processes_share_lets_one_of_them_send() {
    let store: Arc<dyn Store> = Arc::new(Faulty::shared());
    let one = Stage::on(
        Arc::clone(&store),
        vec![Robot::default()],
        config(Rule::default()),
    );
    let two = Stage::at(
        store,
        vec![Robot::default()],
        config(Rule::default()),
        Arc::clone(&one.clock),
    );

    for number in 0..40 {
        let stage = if number % 2 == 0 { &one } else { &two };
        stage.event(&format!("issue {number}")).await;
        one.handle(&event(number), &format!("issue {number}")).await;
        two.handle(&event(number), &format!("issue {number}")).await;
    }
    minutes(10).await;

    let (first, second) = (one.robot().told(), two.robot().told());
    assert!(first.is_empty() || second.is_empty(), "one leads the robot");
    let mut all = [first, second].concat();
    all.sort_by_key(|told| told.at);
    assert!(fits(&all, 18));
    assert_eq!(all.iter().map(Told::alerts).sum::<u64>(), 40);
    assert_eq!(all.iter().map(Told::events).sum::<u64>(), 80);
}

fn event(number: u32) -> event::model::Event<'static> {
    event::model::Event {
        id: Some(crate::stage::wide_id(u32::MAX - number)),
        ..Default::default()
    }
}

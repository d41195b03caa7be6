//! Who is told: routes, mentions, hours.

use std::time::Duration;

use alert::{
    Active, Config, Hold, MatchKey, Matcher, Mention, Outcome, People, Reason, Route, Routes, Rule,
};
use event::model::Event;
use jiff::tz::TimeZone;
use state::Memory;

use crate::stage::{Robot, Stage, config, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn the_silence_of_one_route_does_not_silence_another() {
    let stage = two_routes();

    let staging = stage.of("a", in_environment("staging")).await;
    minutes(10).await;
    let production = stage.of("a", in_environment("production")).await;
    minutes(10).await;
    let again = stage.of("a", in_environment("staging")).await;
    seconds(1).await;

    assert_eq!(staging, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(production, Outcome::Queued(Reason::FirstSeen));
    assert!(matches!(again, Outcome::Held(Hold::RepeatWindow { .. })));
    let [told] = &stage.robots["oncall"].told()[..] else {
        panic!("production goes to oncall, once");
    };
    assert_eq!(told.alert().route, ["alert", "prod"]);
    assert_eq!((told.alert().counts.events, told.events()), (2, 1));
    assert_eq!(stage.robots["dev"].told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_two_routes_is_said_on_both_and_has_one_outcome() {
    let mut root = Route::root(Rule::default());
    let mut all = root.child(Some("all".to_owned()), Matcher::default());
    all.robots = vec!["dev".to_owned()];
    all.continues = true;
    let mut prod = root.child(Some("prod".to_owned()), environment("prod*"));
    prod.robots = vec!["oncall".to_owned(), "dev".to_owned()];
    root.children = vec![all, prod];
    let stage = stage(Routes::new(root));

    let first = stage.of("a", in_environment("production")).await;
    let staging = stage.of("b", in_environment("staging")).await;
    seconds(1).await;

    assert_eq!(first, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(staging, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(stage.robots["oncall"].told().len(), 1);
    assert_eq!(stage.robots["dev"].told().len(), 3);
    assert_eq!(stage.metric("alerts_total{reason=\"first_seen\"}"), 3);
}

#[tokio::test(start_paused = true)]
async fn one_alert_for_two_robots_is_one_word() {
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned(), "dev".to_owned()];
    let stage = stage(Routes::new(root));

    stage.event("a").await;
    seconds(1).await;
    let next = stage.event("a").await;

    assert!(matches!(next, Outcome::Held(Hold::RepeatWindow { .. })));
    let ids = ["oncall", "dev"].map(|robot| stage.robots[robot].told()[0].id.clone());
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn cards_say_whom_to_mention() {
    let person = |mobile: &str| Mention {
        mobiles: vec![mobile.to_owned()],
        ..Mention::default()
    };
    let mut root = Route::root(Rule::default());
    root.robots = vec!["oncall".to_owned()];
    root.mention = Some(person("1"));
    let config = Config {
        routes: Routes::new(root),
        people: People([("alice".to_owned(), person("2"))].into()),
        ..Config::default()
    };
    let stage = Stage::with(Robot::default(), config);
    let owned = Event {
        tags: vec![("owner".into(), "alice".into())],
        ..Event::default()
    };

    stage.of("a", owned).await;
    seconds(1).await;

    let told = stage.robot().told();
    assert_eq!(told[0].alert().mention, Some(person("1")));
    assert_eq!(told[0].alert().owners, person("2"));
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_night_is_told_in_one_message_in_the_morning() {
    let rule = Rule {
        active: Active {
            spans: vec!["Mon-Fri 08:00-22:00".parse().unwrap()],
            zone: TimeZone::UTC,
        },
        ..Rule::default()
    };
    let stage = Stage::with(Robot::default(), config(rule));

    // It is midnight.
    let mut outcomes = Vec::new();
    for round in 0..6 {
        for issue in ["a", "b", "c"] {
            outcomes.push((round, stage.event(issue).await));
        }
        minutes(60).await;
    }
    minutes(119).await;
    assert_eq!(stage.robot().told().len(), 0);
    minutes(2).await;

    let is_gathered =
        |outcome: &Outcome| matches!(outcome, Outcome::Held(Hold::OutsideActiveHours { .. }));
    assert!(
        outcomes[..3]
            .iter()
            .all(|(_, outcome)| is_gathered(outcome))
    );
    assert!(
        outcomes[3..]
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::AlreadyClaimed)
    );
    let [told] = &stage.robot().told()[..] else {
        panic!("{:?}", stage.robot().told());
    };
    assert_eq!(told.at.as_secs() / 60, 8 * 60);
    let digest = told.digest();
    assert_eq!(
        (digest.alerts.len(), digest.alerts_total, digest.events),
        (3, 3, 18)
    );
    let next = stage.event("a").await;
    assert!(matches!(next, Outcome::Held(Hold::RepeatWindow { .. })));
}

#[tokio::test(start_paused = true)]
async fn one_issue_of_the_night_is_told_as_a_card_of_its_own() {
    let rule = Rule {
        active: Active {
            spans: vec!["08:00-22:00".parse().unwrap()],
            zone: TimeZone::UTC,
        },
        ..Rule::default()
    };
    let stage = Stage::with(Robot::default(), config(rule));

    stage.event("a").await;
    minutes(9 * 60).await;

    let told = stage.robot().told();
    assert_eq!((told.len(), told[0].alert().reason), (1, Reason::FirstSeen));
}

/// Production goes to `oncall`, the rest to `dev`.
fn two_routes() -> Stage {
    let mut root = Route::root(Rule::default());
    root.robots = vec!["dev".to_owned()];
    let mut prod = root.child(Some("prod".to_owned()), environment("prod*"));
    prod.robots = vec!["oncall".to_owned()];
    root.children = vec![prod];
    stage(Routes::new(root))
}

fn stage(routes: Routes) -> Stage {
    let config = Config {
        routes,
        ..Config::default()
    };
    let robots = vec![Robot::default(), Robot::named("dev")];
    Stage::on(std::sync::Arc::new(Memory::new()), robots, config)
}

fn environment(pattern: &str) -> Matcher {
    let patterns = [pattern.to_owned()];
    Matcher::new([(MatchKey::Environment, patterns.as_slice())]).unwrap()
}

fn in_environment(name: &'static str) -> Event<'static> {
    Event {
        environment: Some(name.into()),
        ..Event::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_of_another_rhythm_repeats_for_itself() {
    let mut root = Route::root(Rule {
        repeat_factor: 1.0,
        ..Rule::default()
    });
    root.robots = vec!["dev".to_owned()];
    let mut prod = root.child(Some("prod".to_owned()), environment("prod*"));
    prod.robots = vec!["oncall".to_owned()];
    prod.rule.repeat = Duration::from_secs(600);
    root.children = vec![prod];
    let stage = stage(Routes::new(root));

    for _ in 0..61 {
        stage.of("a", in_environment("production")).await;
        stage.of("a", in_environment("staging")).await;
        minutes(1).await;
    }

    assert_eq!(stage.robots["oncall"].told().len(), 7);
    assert_eq!(stage.robots["dev"].told().len(), 2);
}

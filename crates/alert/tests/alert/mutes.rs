//! Mutes: what they hold back, and what is told when they end.

use std::time::{Duration, SystemTime};

use alert::mute::Author;
use alert::{Hold, Outcome, Reason, Rule};
use state::{IssueHash, IssueKey};

use crate::stage::{Robot, Stage, Told, config, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_muted_issue_is_held_until_the_mute_ends() {
    let stage = Stage::new(Robot::default());
    let author = by("page", Some(stage.now() + TEN_MINUTES));
    let issue = IssueKey::new(42, IssueHash::of("a"));
    let mutes = stage.engine.mutes();
    mutes.mute_issue(issue, author, stage.now()).await.unwrap();

    let muted = stage.event("a").await;
    let other = stage.event("b").await;
    seconds(601).await;
    let free = stage.event("a").await;

    let by = "page".to_owned();
    assert_eq!(muted, Outcome::Held(Hold::Muted { by }));
    assert_eq!(other, Outcome::Queued(Reason::FirstSeen));
    assert_eq!(free, Outcome::Queued(Reason::FirstSeen));
    seconds(1).await;
    assert_eq!(
        stage.robot().told()[1].events(),
        2,
        "those muted are counted"
    );
}

#[tokio::test(start_paused = true)]
async fn what_went_on_while_it_was_muted_is_told_when_the_mute_ends() {
    let stage = Stage::new(Robot::default());
    let mutes = stage.engine.mutes();
    let until = |after| by("link", Some(stage.now() + after));
    stage.event("a").await;
    stage.event("quiet").await;
    seconds(1).await;
    for issue in ["a", "quiet"] {
        let issue = IssueKey::new(42, IssueHash::of(issue));
        mutes
            .mute_issue(issue, until(TEN_MINUTES), stage.now())
            .await
            .unwrap();
    }
    let conditions = vec![("title".to_owned(), vec!["new*".to_owned()])];
    mutes
        .mute_matching(conditions, until(TEN_MINUTES), stage.now())
        .await
        .unwrap();
    for issue in ["a", "a", "a", "new"] {
        let held = stage.event(issue).await;
        assert!(
            matches!(held, Outcome::Held(Hold::Muted { .. })),
            "{held:?}"
        );
    }

    sweep(&stage, 70).await;

    let told = stage.robot().told();
    let told: Vec<_> = told[2..]
        .iter()
        .map(|told| {
            let alert = told.alert();
            let title = alert.subject.title.as_str();
            (title, alert.reason, told.events(), told.at.as_secs() / 60)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", Reason::MuteEnded, 3, 10),
            ("new", Reason::MuteEnded, 1, 10)
        ]
    );
    let again = stage.event("a").await;
    assert!(
        matches!(again, Outcome::Held(Hold::RepeatWindow { .. })),
        "{again:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_mute_of_many_issues_stays_within_the_budget() {
    let stage = Stage::new(Robot::default());
    let author = by("cli", Some(stage.now() + TEN_MINUTES));
    let conditions = vec![("level".to_owned(), vec!["error".to_owned()])];
    let mutes = stage.engine.mutes();
    mutes
        .mute_matching(conditions, author, stage.now())
        .await
        .unwrap();
    for number in 0..60 {
        stage.event(&format!("issue {number}")).await;
    }

    sweep(&stage, 200).await;

    let told = stage.robot().told();
    assert_eq!(told.iter().map(Told::alerts).sum::<u64>(), 60);
    assert!(
        told.len() <= 36 && crate::budget::fits(&told, 18),
        "{}",
        told.len()
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_quiet_while_muted_is_not_told_at_the_end() {
    let rule = Rule {
        quiet_after: Some(Duration::from_secs(300)),
        ..Rule::default()
    };
    let stage = Stage::with(Robot::default(), config(rule));
    // The second one is held by the silence after the first, and told by nobody.
    stage.event("a").await;
    seconds(1).await;
    stage.event("a").await;
    let author = by("page", Some(stage.now() + TEN_MINUTES));
    let issue = IssueKey::new(42, IssueHash::of("a"));
    let mutes = stage.engine.mutes();
    mutes.mute_issue(issue, author, stage.now()).await.unwrap();

    sweep(&stage, 70).await;

    let reasons = stage.robot().reasons();
    assert_eq!(reasons, [(0, Reason::FirstSeen), (10, Reason::Stopped)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_mute_that_was_removed_or_made_longer() {
    let stage = Stage::new(Robot::default());
    let mutes = stage.engine.mutes();
    let until = |after| by("link", Some(stage.now() + after));
    let [removed, longer] = ["a", "b"].map(|issue| IssueKey::new(42, IssueHash::of(issue)));
    let mute = mutes
        .mute_issue(removed, until(TEN_MINUTES), stage.now())
        .await
        .unwrap();
    mutes
        .mute_issue(longer, until(TEN_MINUTES), stage.now())
        .await
        .unwrap();
    stage.event("a").await;
    stage.event("b").await;

    mutes.unmute(&mute.id).await.unwrap();
    mutes
        .mute_issue(longer, until(10 * TEN_MINUTES), stage.now())
        .await
        .unwrap();
    sweep(&stage, 70).await;

    assert_eq!(stage.robot().told().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_issue_muted_since_is_not_said_to_have_stopped() {
    let rule = Rule {
        quiet_after: Some(Duration::from_secs(600)),
        ..Rule::default()
    };
    let stage = Stage::with(Robot::default(), config(rule));
    stage.event("a").await;
    seconds(1).await;
    let conditions = vec![("title".to_owned(), vec!["a".to_owned()])];
    let author = by("cli", None);
    let mutes = stage.engine.mutes();
    mutes
        .mute_matching(conditions, author, stage.now())
        .await
        .unwrap();

    minutes(30).await;
    stage.engine.sweep(stage.now()).await;
    seconds(1).await;

    assert_eq!(stage.robot().reasons(), [(0, Reason::FirstSeen)]);
}

fn by(who: &str, until: Option<SystemTime>) -> Author {
    Author {
        by: who.to_owned(),
        until,
        comment: String::new(),
    }
}

/// Sweeps every ten seconds, so many times.
async fn sweep(stage: &Stage, times: usize) {
    for _ in 0..times {
        seconds(10).await;
        stage.engine.sweep(stage.now()).await;
    }
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

//! What is said: an alert of an event, or of an issue that has stopped, and what it means for the state.

use std::time::SystemTime;

use event::endpoint::ProjectId;
use event::model::Level;
use state::{Issue, IssueHash, IssueKey, IssueRoute, Quiet, RouteSeen, Said, Seen, Word};

use super::Sight;
use crate::alert::{Alert, Counts, Subject, WindowCount};
use crate::decide::{Reason, Speech};
use crate::matcher::Facts;
use crate::outbox::Posting;
use crate::route::Route;
use crate::rule::{Counted, Rule};
use crate::{Config, Mention};

/// What may be said of an event on one of its routes.
pub(super) struct Utterance<'a> {
    pub(super) config: &'a Config,
    pub(super) sight: &'a Sight<'a>,
    pub(super) seen: &'a Seen,
    pub(super) route: &'a Route,
    pub(super) on_route: &'a RouteSeen,
}

impl<'a> Utterance<'a> {
    pub(super) fn posting(&self, speech: &Speech, gather_until: Option<SystemTime>) -> Posting<'a> {
        let after = self.on_route.said.map(|said| said.at);
        let identity = (self.alert_id(after), self.seen.issue);
        let counts = self.counts(speech.reason);
        let (config, route) = (self.config, self.route);
        let alert = self
            .sight
            .alert(config, route, speech.reason, counts, identity);
        Posting {
            alert,
            word: word_of(speech, self.seen.issue, route, after),
            robots: &route.robots,
            late_after: route.rule.digest,
            gather_until,
        }
    }

    /// The same issue after the same last word gets the same id, whoever says it and however often it is tried.
    fn alert_id(&self, after: Option<SystemTime>) -> String {
        let (word, since) = match after {
            None => ("first", self.seen.first_seen),
            Some(said) => ("after", said),
        };
        alert_id(self.seen.issue, self.route, word, since)
    }

    fn counts(&self, reason: Reason) -> Counts {
        let (seen, on_route) = (self.seen, self.on_route);
        let gap = on_route
            .previous
            .and_then(|previous| seen.last_seen.duration_since(previous).ok());
        Counts {
            events: seen.events,
            events_since_said: on_route.events_since_said,
            users: seen.users,
            are_users_exact: seen.are_users_exact,
            first_seen: seen.first_seen,
            last_seen: seen.last_seen,
            last_said: on_route.said.map(|said| said.at),
            window: window_of(&self.route.rule, reason),
            quiet: gap.filter(|_| reason == Reason::Regression),
        }
    }
}

/// An issue on one of its routes, and what is known of it without an event.
pub(super) struct Recalled<'a> {
    issue: &'a Issue,
    said: Option<Said>,
    last_seen: SystemTime,
    events_since_said: u64,
    project_name: Option<&'a str>,
    level: Level,
}

impl<'a> Recalled<'a> {
    /// An issue that has been quiet.
    pub(super) fn quiet(quiet: &'a Quiet, config: &'a Config) -> Self {
        Self {
            issue: &quiet.issue,
            said: Some(quiet.said),
            last_seen: quiet.last_seen,
            events_since_said: quiet.events_since_said,
            project_name: config.project_name(quiet.issue.key.project),
            level: level_of(quiet.issue.level),
        }
    }

    pub(super) fn on_route(issue: &'a Issue, route: &IssueRoute, config: &'a Config) -> Self {
        Self {
            issue,
            said: route.said,
            last_seen: route.last_seen,
            events_since_said: route.events_since_said,
            project_name: config.project_name(issue.key.project),
            level: level_of(issue.level),
        }
    }

    pub(super) fn facts(&self) -> Facts<'a> {
        Facts {
            project: ProjectId::from(self.issue.key.project),
            project_name: self.project_name,
            level: self.level,
            title: &self.issue.title,
            culprit: "",
            event: None,
        }
    }

    pub(super) fn posting<'r>(
        &self,
        config: &Config,
        route: &'r Route,
        speech: &Speech,
        gather_until: Option<SystemTime>,
        now: SystemTime,
    ) -> Posting<'r> {
        let issue = self.issue;
        let subject = Subject::of_issue(issue, self.level, config);
        let after = self.said.map(|said| said.at);
        let (word, since) = match after {
            None => ("first", issue.first_seen),
            Some(said) => ("after", said),
        };
        let alert = Alert {
            id: alert_id(issue.key, route, word, since),
            issue: issue.key,
            reason: speech.reason,
            links: config.links.of_issue(issue),
            subject,
            counts: self.counts(speech.reason, now),
            route: route.path().to_vec(),
            // Neither good news nor what people had asked not to hear of wakes anybody.
            mention: Some(Mention::default()),
            owners: Mention::default(),
        };
        Posting {
            alert,
            word: word_of(speech, issue.key, route, after),
            robots: &route.robots,
            late_after: route.rule.digest,
            gather_until,
        }
    }

    fn counts(&self, reason: Reason, now: SystemTime) -> Counts {
        let issue = self.issue;
        let quiet = now.duration_since(self.last_seen).ok();
        Counts {
            events: issue.events,
            events_since_said: self.events_since_said,
            users: issue.users,
            are_users_exact: issue.are_users_exact,
            first_seen: issue.first_seen,
            last_seen: self.last_seen,
            last_said: self.said.map(|said| said.at),
            window: None,
            quiet: quiet.filter(|_| reason == Reason::Stopped),
        }
    }
}

fn word_of(speech: &Speech, issue: IssueKey, route: &Route, after: Option<SystemTime>) -> Word {
    Word {
        issue,
        route: route.key(),
        after,
        silence: speech.silence,
        is_burst_told: speech.is_burst_told,
        is_stopped: speech.is_stopped,
    }
}

fn alert_id(issue: IssueKey, route: &Route, word: &str, since: SystemTime) -> String {
    let since = since
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // Short: DingTalk's idempotency key has few characters.
    let name = format!("{issue}-{:08x}-{word}-{}", route.key().0, since.as_millis());
    IssueHash::of(&name).to_string()
}

/// Returns what a reason counted, by the rule it rests on.
pub fn window_of(rule: &Rule, reason: Reason) -> Option<WindowCount> {
    let (window, of) = match reason {
        Reason::Threshold => (rule.threshold.window, rule.threshold.of),
        Reason::Burst => (rule.burst?, Counted::Events),
        Reason::FirstSeen
        | Reason::StillHappening
        | Reason::Regression
        | Reason::NewRelease
        | Reason::MuteEnded
        | Reason::Stopped => return None,
    };
    Some(WindowCount {
        count: window.count,
        of,
        within: window.within,
    })
}

/// Undoes `level as u8`.
fn level_of(number: u8) -> Level {
    let levels = [
        Level::Debug,
        Level::Info,
        Level::Warning,
        Level::Error,
        Level::Fatal,
    ];
    levels.get(usize::from(number)).copied().unwrap_or_default()
}

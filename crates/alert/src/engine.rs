//! One grouped event through route → observe → decide → claim.

mod breaker;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::endpoint::ProjectId;
use event::model::{Event, Level};
use grouping::Group;
use state::{Claim, IssueHash, Quiet, RouteSeen, Seen, Sighting, Store, Unavailable, Watch, Word};
use tokio::sync::watch;

use self::breaker::Breaker;
use crate::alert::{Alert, Counts, Subject, WindowCount};
use crate::decide::{Decision, Hold, Known, Reason, Speech, decide, decide_quiet};
use crate::matcher::Facts;
use crate::mute::Mutes;
use crate::outbox::Posting;
use crate::route::Route;
use crate::rule::{Counted, Rule};
use crate::{Config, Mention, Outbox, Outcome};

/// The part of the pipeline that knows what was seen and said. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    config: watch::Receiver<Arc<Config>>,
    store: Arc<dyn Store>,
    outbox: Outbox,
    mutes: Mutes,
    breaker: Arc<Breaker>,
}

/// One event, where it came from and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'e> {
    /// The event.
    pub event: &'e Event<'e>,
    /// The numeric project id of the DSN.
    pub project: ProjectId,
    /// Its group.
    pub group: &'e Group,
}

impl Engine {
    /// Returns an engine that remembers in `store`, speaks through `outbox` and obeys the newest `config`.
    pub fn new(
        config: watch::Receiver<Arc<Config>>,
        store: Arc<dyn Store>,
        outbox: Outbox,
    ) -> Self {
        Self {
            mutes: Mutes::new(Arc::clone(&store)),
            breaker: Arc::default(),
            config,
            store,
            outbox,
        }
    }

    /// Returns the mutes that this engine obeys.
    pub fn mutes(&self) -> Mutes {
        self.mutes.clone()
    }

    /// Returns whether an event's kind and level may alert at all: asked before the event is grouped.
    pub fn may_alert(&self, event: &Event<'_>) -> bool {
        self.config.borrow().may_alert(event)
    }

    /// Takes one event and returns what became of it.
    ///
    /// Never waits for a robot: what is to be said is put into the outbox. Waits at most a second for the state, and then
    /// not at all for a while.
    pub async fn handle(&self, sight: &Sight<'_>, now: SystemTime) -> Outcome {
        let config = Arc::clone(&self.config.borrow());
        if !config.may_alert(sight.event) {
            return Outcome::NotAlertable;
        }
        let deciding = self.speak_or_hold(&config, sight, now);
        self.breaker
            .guard(deciding)
            .await
            .unwrap_or(Outcome::StateUnavailable)
    }

    /// Says of issues that they have stopped, where the route wants that; to be called every few seconds.
    pub async fn sweep(&self, now: SystemTime) {
        let config = Arc::clone(&self.config.borrow());
        for route in config.routes.iter() {
            let Some(quiet_after) = route.rule.quiet_after else {
                continue;
            };
            let sweeping = self.say_what_stopped(&config, route, quiet_after, now);
            if self.breaker.guard(sweeping).await.is_none() {
                return;
            }
        }
    }

    async fn speak_or_hold(
        &self,
        config: &Config,
        sight: &Sight<'_>,
        now: SystemTime,
    ) -> Result<Outcome, Unavailable> {
        let facts = config.facts(sight);
        let routes = config.routes.taken_by(&facts);
        let seen = self.observe(sight, &routes, now).await?;
        self.mutes.refresh(now).await?;
        let muted_by = self.mutes.muted_by(&config.mutes, &seen.issue, &facts, now);
        let mut outcome = None;
        for (route, on_route) in routes.into_iter().zip(&seen.routes) {
            let known = Known {
                route: on_route,
                is_duplicate: seen.is_duplicate,
                muted_by: muted_by.as_deref(),
            };
            let decision = decide(&route.rule, &known, now);
            let word = Utterance {
                config,
                sight,
                seen: &seen,
                route,
                on_route,
            };
            let became = self.obey(&word, decision, now).await?;
            outcome = Some(Outcome::louder(outcome, became));
        }
        Ok(outcome.unwrap_or(Outcome::NoRobot))
    }

    async fn observe(
        &self,
        sight: &Sight<'_>,
        routes: &[&Route],
        now: SystemTime,
    ) -> Result<Seen, Unavailable> {
        let user = sight.event.user.as_ref().and_then(|user| user.key());
        let hashes = sight.group.hashes.iter();
        let hashes: Vec<IssueHash> = hashes.map(|hash| IssueHash::of(hash)).collect();
        let watches: Vec<Watch> = routes.iter().map(|route| route.watch()).collect();
        let sighting = Sighting {
            project: sight.project.value(),
            hashes: &hashes,
            event_id: sight.event.id.map(|id| id.0),
            user: user.map(AsRef::as_ref),
            release: sight.event.release.as_deref(),
            title: &sight.group.title,
            level: sight.event.level as u8,
            routes: &watches,
        };
        self.store.observe(&sighting, now).await
    }

    async fn obey(
        &self,
        word: &Utterance<'_>,
        decision: Decision,
        now: SystemTime,
    ) -> Result<Outcome, Unavailable> {
        let (speech, gather_until) = match decision {
            Decision::Say(speech) => (speech, None),
            Decision::Hold(Hold::OutsideActiveHours { until, speech }) => (speech, Some(until)),
            Decision::Hold(hold) => return Ok(Outcome::Held(hold)),
        };
        if word.on_route.is_claimed {
            return Ok(Outcome::AlreadyClaimed);
        }
        let posting = word.posting(&speech, gather_until);
        let claim = self.outbox.put(&posting, now).await?;
        Ok(match (claim, gather_until) {
            (Claim::Taken, _) => Outcome::AlreadyClaimed,
            (Claim::Full, _) => Outcome::OutboxFull,
            (Claim::Won, _) if word.route.robots.is_empty() => Outcome::NoRobot,
            (Claim::Won, None) => Outcome::Queued(speech.reason),
            (Claim::Won, Some(until)) => Outcome::Held(Hold::OutsideActiveHours { until, speech }),
        })
    }

    async fn say_what_stopped(
        &self,
        config: &Config,
        route: &Route,
        quiet_after: Duration,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let before = now
            .checked_sub(quiet_after)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let quiet = self.store.quiet(route.key(), before, AT_ONCE).await?;
        if quiet.is_empty() {
            return Ok(());
        }
        self.mutes.refresh(now).await?;
        for quiet in &quiet {
            let stopped = Stopped::of(quiet, config);
            let facts = stopped.facts();
            let issue = &quiet.issue.key;
            let muted_by = self.mutes.muted_by(&config.mutes, issue, &facts, now);
            let decision = decide_quiet(&route.rule, &quiet.said, muted_by.as_deref(), now);
            let (speech, gather_until) = match decision {
                Decision::Say(speech) => (speech, None),
                Decision::Hold(Hold::OutsideActiveHours { until, speech }) => (speech, Some(until)),
                Decision::Hold(_) => continue,
            };
            let posting = stopped.posting(config, route, &speech, gather_until, now);
            self.outbox.put(&posting, now).await?;
        }
        Ok(())
    }
}

impl Sight<'_> {
    /// Returns what an event would be said as, on a route.
    pub fn alert(
        &self,
        config: &Config,
        route: &Route,
        reason: Reason,
        counts: Counts,
        (id, issue): (String, state::IssueKey),
    ) -> Alert {
        let subject = Subject::of(self, config);
        let exception_type = subject.exception_type.as_deref();
        Alert {
            id,
            issue,
            reason,
            links: config.links.of(self.project, self.event.id, exception_type),
            subject,
            counts,
            route: route.path().to_vec(),
            mention: route.mention.clone(),
            owners: config.people.named_by(&route.mention_tag, self.event),
        }
    }
}

/// What may be said of an event on one of its routes.
struct Utterance<'a> {
    config: &'a Config,
    sight: &'a Sight<'a>,
    seen: &'a Seen,
    route: &'a Route,
    on_route: &'a RouteSeen,
}

impl<'a> Utterance<'a> {
    fn posting(&self, speech: &Speech, gather_until: Option<SystemTime>) -> Posting<'a> {
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

/// An issue that has stopped, and what is known of it without an event.
struct Stopped<'a> {
    quiet: &'a Quiet,
    project_name: Option<&'a str>,
    level: Level,
}

impl<'a> Stopped<'a> {
    fn of(quiet: &'a Quiet, config: &'a Config) -> Self {
        let project = ProjectId::from(quiet.issue.key.project);
        let project_name = config.project_names.get(&project).map(String::as_str);
        Self {
            quiet,
            project_name,
            level: level_of(quiet.issue.level),
        }
    }

    fn facts(&self) -> Facts<'a> {
        Facts {
            project: ProjectId::from(self.quiet.issue.key.project),
            project_name: self.project_name,
            level: self.level,
            title: &self.quiet.issue.title,
            culprit: "",
            event: None,
        }
    }

    fn posting<'r>(
        &self,
        config: &Config,
        route: &'r Route,
        speech: &Speech,
        gather_until: Option<SystemTime>,
        now: SystemTime,
    ) -> Posting<'r> {
        let Quiet { issue, said, .. } = self.quiet;
        let subject = Subject::of_issue(issue, self.level, config);
        let alert = Alert {
            id: alert_id(issue.key, route, "after", said.at),
            issue: issue.key,
            reason: speech.reason,
            links: config.links.of(subject.project, subject.event_id, None),
            subject,
            counts: Counts {
                events: issue.events,
                events_since_said: self.quiet.events_since_said,
                users: issue.users,
                are_users_exact: issue.are_users_exact,
                first_seen: issue.first_seen,
                last_seen: self.quiet.last_seen,
                last_said: Some(said.at),
                window: None,
                quiet: now.duration_since(self.quiet.last_seen).ok(),
            },
            route: route.path().to_vec(),
            // Good news wakes nobody.
            mention: Some(Mention::default()),
            owners: Mention::default(),
        };
        Posting {
            alert,
            word: word_of(speech, issue.key, route, Some(said.at)),
            robots: &route.robots,
            late_after: route.rule.digest,
            gather_until,
        }
    }
}

fn word_of(
    speech: &Speech,
    issue: state::IssueKey,
    route: &Route,
    after: Option<SystemTime>,
) -> Word {
    Word {
        issue,
        route: route.key(),
        after,
        silence: speech.silence,
        is_burst_told: speech.is_burst_told,
        is_stopped: speech.is_stopped,
    }
}

fn alert_id(issue: state::IssueKey, route: &Route, word: &str, since: SystemTime) -> String {
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

/// Issues of one route that are said to have stopped in one sweep.
const AT_ONCE: usize = 100;

//! One grouped event through route → observe → decide → claim.

mod breaker;
mod word;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::endpoint::ProjectId;
use event::model::Event;
use grouping::Group;
use state::{Claim, Issue, IssueHash, IssueKey, Seen, Sighting, Store, Unavailable, Watch};
use tokio::sync::watch;

use self::breaker::Breaker;
use self::word::{Recalled, Utterance};
use crate::alert::{Alert, Counts, Subject};
use crate::decide::{Decision, Hold, Known, Reason, decide, decide_quiet, decide_unmuted};
use crate::mute::{Keyring, Mutes};
use crate::route::Route;
use crate::{Activity, Config, Outbox, Outcome};

pub use self::word::window_of;

/// The part of the pipeline that knows what was seen and said. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    config: watch::Receiver<Arc<Config>>,
    store: Arc<dyn Store>,
    outbox: Outbox,
    mutes: Mutes,
    keyring: Option<Keyring>,
    breaker: Arc<Breaker>,
    activity: Activity,
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
            keyring: None,
            breaker: Arc::default(),
            activity: Activity::default(),
            config,
            store,
            outbox,
        }
    }

    /// Lets cards carry links that mute, signed by `keyring`, where the configuration says under which address they are served.
    pub fn link_mutes(self, keyring: Keyring) -> Self {
        Self {
            keyring: Some(keyring),
            ..self
        }
    }

    /// Returns a view of what happened to issues lately.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
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

    /// Says of issues that they have stopped, where the route wants that, and that they went on while they were muted, once
    /// the mute has ended; to be called every few seconds.
    pub async fn sweep(&self, now: SystemTime) {
        let config = Arc::clone(&self.config.borrow());
        let recalling = self.say_what_was_muted(&config, now);
        if self.breaker.guard(recalling).await.is_none() {
            return;
        }
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
        if muted_by.is_some() && !seen.is_duplicate {
            self.mutes.note(&seen.issue, &facts, now);
        }
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
        let outcome = outcome.unwrap_or(Outcome::NoRobot);
        self.activity.note(seen.issue, &outcome, now);
        Ok(outcome)
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
            environment: sight.event.environment.as_deref(),
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
        let held = |until| Outcome::Held(Hold::OutsideActiveHours { until, speech });
        if word.on_route.is_claimed {
            return Ok(gather_until.map_or(Outcome::AlreadyClaimed, held));
        }
        let mut posting = word.posting(&speech, gather_until);
        posting.alert.links.mutes = self.mute_links(word.config, word.seen.issue, now).await;
        Ok(match self.outbox.put(&posting, now).await? {
            Claim::Taken => gather_until.map_or(Outcome::AlreadyClaimed, held),
            Claim::Full => Outcome::OutboxFull,
            Claim::Won if word.route.robots.is_empty() => Outcome::NoRobot,
            Claim::Won => gather_until.map_or(Outcome::Queued(speech.reason), held),
        })
    }

    /// Returns the links of a card; none when they cannot be signed: better than no card.
    async fn mute_links(
        &self,
        config: &Config,
        issue: IssueKey,
        now: SystemTime,
    ) -> Vec<(Duration, String)> {
        let url = config.public_url.as_deref();
        let (Some(url), Some(keyring)) = (url, &self.keyring) else {
            return Vec::new();
        };
        let links = keyring.links(url, issue, now).await;
        links.unwrap_or_default()
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
            let stopped = Recalled::quiet(quiet, config);
            let issue = &quiet.issue.key;
            let muted_by = self
                .mutes
                .muted_by(&config.mutes, issue, &stopped.facts(), now);
            let decision = decide_quiet(&route.rule, &quiet.said, muted_by.as_deref(), now);
            self.recall(config, &stopped, route, decision, now).await?;
        }
        Ok(())
    }

    /// Says of issues that they went on while they were muted, once the mute has ended.
    async fn say_what_was_muted(
        &self,
        config: &Config,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.mutes.refresh(now).await?;
        for key in self.mutes.ended(RECALLED, now) {
            if let Some(issue) = self.store.issue(&key).await? {
                self.say_what_went_on(config, &issue, now).await?;
            }
        }
        Ok(())
    }

    async fn say_what_went_on(
        &self,
        config: &Config,
        issue: &Issue,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let untold = issue.routes.iter();
        for on_route in untold.filter(|on| on.events_since_said > 0 && !on.is_claimed) {
            let mut routes = config.routes.iter();
            let Some(route) = routes.find(|route| route.key() == on_route.route) else {
                continue;
            };
            let known = Recalled::on_route(issue, on_route, config);
            let muted_by = self
                .mutes
                .muted_by(&config.mutes, &issue.key, &known.facts(), now);
            if muted_by.is_none() {
                let decision = decide_unmuted(&route.rule, on_route.said.as_ref(), now);
                self.recall(config, &known, route, decision, now).await?;
            }
        }
        Ok(())
    }

    /// Says something of an issue of which no event is at hand.
    async fn recall(
        &self,
        config: &Config,
        known: &Recalled<'_>,
        route: &Route,
        decision: Decision,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let (speech, gather_until) = match decision {
            Decision::Say(speech) => (speech, None),
            Decision::Hold(Hold::OutsideActiveHours { until, speech }) => (speech, Some(until)),
            Decision::Hold(_) => return Ok(()),
        };
        let mut posting = known.posting(config, route, &speech, gather_until, now);
        posting.alert.links.mutes = self.mute_links(config, posting.alert.issue, now).await;
        self.outbox.put(&posting, now).await?;
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

/// Issues of ended mutes that are looked at in one sweep: each is a question to the state, and all have a second.
const RECALLED: usize = 10;

/// Issues of one route that are said to have stopped in one sweep.
const AT_ONCE: usize = 100;

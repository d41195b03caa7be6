//! One grouped event through observe → decide → claim → outbox.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::endpoint::ProjectId;
use event::model::Event;
use grouping::Group;
use state::{Claim, IssueHash, Parcel, RouteKey, Seen, Sighting, Store, Unavailable, Watch, Word};
use tokio::sync::watch;

use crate::decide::{Decision, Reason, decide};
use crate::{Alert, Config, Counts, Outbox, Outcome, Subject};

/// The part of the pipeline that knows what was seen and said.
pub struct Engine {
    config: watch::Receiver<Arc<Config>>,
    store: Arc<dyn Store>,
    outbox: Outbox,
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
            config,
            store,
            outbox,
        }
    }

    /// Returns whether an event's kind and level may alert at all: asked before the event is grouped.
    pub fn may_alert(&self, event: &Event<'_>) -> bool {
        self.config.borrow().may_alert(event)
    }

    /// Takes one event and returns what became of it.
    ///
    /// Never waits for a robot: what is to be said is handed to the outbox.
    pub async fn handle(&self, sight: &Sight<'_>, now: SystemTime) -> Outcome {
        let config = Arc::clone(&self.config.borrow());
        if !config.may_alert(sight.event) {
            return Outcome::NotAlertable;
        }
        let outcome = self.speak_or_hold(&config, sight, now).await;
        outcome.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "cannot decide about an event");
            Outcome::StateUnavailable
        })
    }

    async fn speak_or_hold(
        &self,
        config: &Config,
        sight: &Sight<'_>,
        now: SystemTime,
    ) -> Result<Outcome, Unavailable> {
        let seen = self.observe(sight, now).await?;
        let mutes = self.store.mutes(now).await?;
        let (reason, silence) = match decide(&config.rule, &seen, &mutes, now) {
            Decision::Say(reason, silence) => (reason, silence),
            Decision::Hold(hold) => return Ok(Outcome::Held(hold)),
        };
        let alert = sight.alert(config, &seen, reason, now);
        match self.claim(config, &seen, &alert, silence, now).await? {
            Claim::Taken => return Ok(Outcome::AlreadyClaimed),
            Claim::Full => return Ok(Outcome::OutboxFull),
            Claim::Won => {}
        }
        if config.robots.is_empty() {
            return Ok(Outcome::NoRobot);
        }
        self.outbox.push(alert, &config.robots);
        Ok(Outcome::Queued(reason))
    }

    async fn claim(
        &self,
        config: &Config,
        seen: &Seen,
        alert: &Alert,
        silence: Duration,
        now: SystemTime,
    ) -> Result<Claim, Unavailable> {
        let word = Word {
            issue: seen.issue,
            route: ROOT,
            after: seen.routes[0].said.map(|said| said.at),
            silence,
            is_burst_told: false,
            is_stopped: false,
        };
        let parcel = Parcel {
            id: &alert.id,
            word: Some(word),
            robots: &config.robots,
            priority: 0,
            gather_until: None,
            late_after: silence,
            payload: &[],
        };
        self.store.claim(&parcel, now).await
    }

    async fn observe(&self, sight: &Sight<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        let user = sight.event.user.as_ref().and_then(|user| user.key());
        let hashes = sight.group.hashes.iter();
        let hashes: Vec<IssueHash> = hashes.map(|hash| IssueHash::of(hash)).collect();
        let sighting = Sighting {
            project: sight.project.value(),
            hashes: &hashes,
            event_id: sight.event.id.map(|id| id.0),
            user: user.map(AsRef::as_ref),
            release: sight.event.release.as_deref(),
            title: &sight.group.title,
            level: sight.event.level as u8,
            routes: &[WATCH],
        };
        self.store.observe(&sighting, now).await
    }
}

impl Sight<'_> {
    fn alert(&self, config: &Config, seen: &Seen, reason: Reason, now: SystemTime) -> Alert {
        let subject = Subject::of(self, config);
        let exception_type = subject.exception_type.as_deref();
        Alert {
            id: alert_id(seen, now),
            issue: seen.issue,
            reason,
            links: config.links.of(self.project, self.event.id, exception_type),
            subject,
            counts: Counts {
                events: seen.events,
                events_since_said: seen.routes[0].events_since_said,
                users: seen.users,
                first_seen: seen.first_seen,
                last_seen: seen.last_seen,
                last_said: seen.routes[0].said.map(|said| said.at),
            },
            route: config.route(),
        }
    }
}

/// The same issue after the same last word gets the same id, whoever says it and however often it is tried.
fn alert_id(seen: &Seen, now: SystemTime) -> String {
    let since = seen.routes[0].said.map_or(now, |said| said.at);
    let since = since
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}-{}", seen.issue, since.as_millis())
}

/// The only route there is yet.
const ROOT: RouteKey = RouteKey(0);

const WATCH: Watch = Watch {
    route: ROOT,
    events: None,
    users: None,
    burst: None,
};

//! One grouped event through observe → decide → claim → outbox.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::endpoint::ProjectId;
use event::model::Event;
use grouping::Group;
use state::{Said, Seen, Sighting, Store, Unavailable};

use crate::decide::{Decision, Reason, decide};
use crate::{Alert, Config, Counts, Outbox, Outcome, Subject};

/// The part of the pipeline that knows what was seen and said.
pub struct Engine {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    outbox: Outbox,
}

impl Engine {
    /// Returns an engine that remembers in `store` and speaks through `outbox`.
    pub fn new(config: Arc<Config>, store: Arc<dyn Store>, outbox: Outbox) -> Self {
        Self {
            config,
            store,
            outbox,
        }
    }

    /// Takes one event of a project and returns what became of it.
    ///
    /// Never waits for a robot: what is to be said is handed to the outbox.
    pub async fn handle(
        &self,
        event: &Event<'_>,
        project: ProjectId,
        group: &Group,
        now: SystemTime,
    ) -> Outcome {
        if !self.config.may_alert(event) {
            return Outcome::NotAlertable;
        }
        let outcome = self.speak_or_hold(event, project, group, now).await;
        outcome.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "cannot decide about an event");
            Outcome::StateUnavailable
        })
    }

    async fn speak_or_hold(
        &self,
        event: &Event<'_>,
        project: ProjectId,
        group: &Group,
        now: SystemTime,
    ) -> Result<Outcome, Unavailable> {
        let seen = self.observe(event, project, group, now).await?;
        let mutes = self.store.mutes(now).await?;
        let (reason, silence) = match decide(&self.config.rule, &seen, &mutes, now) {
            Decision::Say(reason, silence) => (reason, silence),
            Decision::Hold(hold) => return Ok(Outcome::Held(hold)),
        };
        if self.config.robots.is_empty() {
            let said = Said { at: now, silence };
            self.store.settle(&seen.issue, Some(&said)).await?;
            return Ok(Outcome::NoRobot);
        }
        if !self.store.claim(&seen.issue, LEASE, now).await? {
            return Ok(Outcome::AlreadyClaimed);
        }
        let alert = self.alert(event, project, group, &seen, reason, now);
        let issue = seen.issue;
        if self.outbox.push(alert, silence, &self.config.robots) {
            return Ok(Outcome::Queued(reason));
        }
        self.store.settle(&issue, None).await?;
        Ok(Outcome::OutboxFull)
    }

    async fn observe(
        &self,
        event: &Event<'_>,
        project: ProjectId,
        group: &Group,
        now: SystemTime,
    ) -> Result<Seen, Unavailable> {
        let user = event.user.as_ref().and_then(|user| user.key());
        let project = project.to_string();
        let sighting = Sighting {
            project: &project,
            hashes: &group.hashes,
            event_id: event.id.map(|id| id.0),
            user: user.map(AsRef::as_ref),
            title: &group.title,
        };
        self.store.observe(&sighting, now).await
    }

    fn alert(
        &self,
        event: &Event<'_>,
        project: ProjectId,
        group: &Group,
        seen: &Seen,
        reason: Reason,
        now: SystemTime,
    ) -> Alert {
        let subject = Subject::of(event, project, group, &self.config);
        let exception_type = subject.exception_type.as_deref();
        Alert {
            id: alert_id(seen, now),
            issue: seen.issue.clone(),
            reason,
            links: self.config.links.of(project, event.id, exception_type),
            subject,
            counts: Counts {
                events: seen.events,
                events_since_said: seen.events_since_said,
                users: seen.users,
                first_seen: seen.first_seen,
                last_seen: seen.last_seen,
                last_said: seen.said.map(|said| said.at),
            },
            route: self.config.route(),
        }
    }
}

/// The same issue after the same last word gets the same id, whoever says it and however often it is tried.
fn alert_id(seen: &Seen, now: SystemTime) -> String {
    let since = seen.said.map_or(now, |said| said.at);
    let since = since
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}-{}", seen.issue, since.as_millis())
}

/// How long a claim lasts when nobody settles it: longer than the outbox keeps trying.
const LEASE: Duration = Duration::from_secs(60 * 60);

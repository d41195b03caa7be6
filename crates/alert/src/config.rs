//! What the operator chose: what alerts, the routes, mutes, people, the names and links of projects.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use event::endpoint::ProjectId;
use event::model::{Event, EventId, EventKind, Level};
use state::Issue;

use crate::matcher::Facts;
use crate::mute::StandingMute;
use crate::{People, Routes, Sight, alert};

/// Everything the alert engine is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The lowest level that alerts.
    pub min_level: Level,
    /// The kinds of events that alert.
    pub kinds: Vec<Kind>,
    /// Who is told what, and when.
    pub routes: Routes,
    /// Mutes that stand in the file.
    pub mutes: Vec<StandingMute>,
    /// Who owner tags name.
    pub people: People,
    /// The robot that speaks about the proxy itself; `None` is none.
    pub own_robot: Option<String>,
    /// Where people reach the status page, without a slash at its end; `None` when nobody said.
    pub public_url: Option<String>,
    /// What project ids are called.
    pub project_names: BTreeMap<ProjectId, String>,
    /// How links into Sentry are made.
    pub links: Links,
}

/// A kind of events that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Errors and messages.
    Event,
    /// Browser security reports.
    Security,
    /// Minidumps and Unreal crash reports.
    Crash,
    /// Check-ins of cron jobs that failed.
    CheckIn,
    /// Log entries.
    Log,
}

/// How links into Sentry's web pages are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The web address, without a slash at its end.
    pub url: String,
    /// The organization's slug.
    pub organization: String,
    /// A template with `{url}`, `{organization}`, `{project_id}`, and `{event_id}` or, with hyphens, `{event_uuid}`.
    pub event_url: String,
    /// A template with `{url}`, `{organization}`, `{project_id}` and `{type}`; empty for no such link.
    pub similar_url: String,
}

impl Config {
    /// Returns whether an event's kind and level may alert at all.
    pub fn may_alert(&self, event: &Event<'_>) -> bool {
        let is_wanted = Kind::of(event.kind).is_some_and(|kind| self.kinds.contains(&kind));
        is_wanted && event.level >= self.min_level
    }

    /// Returns what a project id is called, if the operator said so.
    pub fn project_name(&self, project: u64) -> Option<&str> {
        let project = ProjectId::from(project);
        self.project_names.get(&project).map(String::as_str)
    }

    /// Returns what routes and mutes look at in an event.
    pub fn facts<'e>(&'e self, sight: &Sight<'e>) -> Facts<'e> {
        Facts {
            project: sight.project,
            project_name: self.project_names.get(&sight.project).map(String::as_str),
            level: sight.event.level,
            title: &sight.group.title,
            culprit: &sight.group.culprit,
            event: Some(sight.event),
        }
    }
}

impl Kind {
    /// Returns the kind an event counts as; `None` for what never alerts.
    pub fn of(kind: EventKind) -> Option<Self> {
        match kind {
            EventKind::Error | EventKind::Default => Some(Self::Event),
            EventKind::Csp | EventKind::Security => Some(Self::Security),
            EventKind::Crash => Some(Self::Crash),
            EventKind::CheckIn => Some(Self::CheckIn),
            EventKind::Log => Some(Self::Log),
            EventKind::Transaction | EventKind::Feedback => None,
        }
    }
}

impl Links {
    /// Returns the links of one event: none without a web address, and each only when its facts are there.
    pub fn of(
        &self,
        project: ProjectId,
        event_id: Option<EventId>,
        exception_type: Option<&str>,
    ) -> alert::Links {
        let fill = |template: &str, name: &str, value: &str| {
            let is_set = !self.url.is_empty() && !template.is_empty();
            is_set.then(|| self.fill(template, project).replace(name, value))
        };
        alert::Links {
            event: event_id.and_then(|id| {
                let link = fill(&self.event_url, "{event_id}", &id.to_string())?;
                Some(link.replace("{event_uuid}", &hyphenated(&id.to_string())))
            }),
            similar: exception_type.and_then(|ty| fill(&self.similar_url, "{type}", &encode(ty))),
            mutes: Vec::new(),
        }
    }

    /// Returns the links of an issue of which no event is at hand: to its newest event.
    pub fn of_issue(&self, issue: &Issue) -> alert::Links {
        let event_id = issue.last_event.map(EventId);
        self.of(ProjectId::from(issue.key.project), event_id, None)
    }

    fn fill(&self, template: &str, project: ProjectId) -> String {
        template
            .replace("{url}", &self.url)
            .replace("{organization}", &self.organization)
            .replace("{project_id}", &project.to_string())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_level: Level::Error,
            kinds: vec![Kind::Event, Kind::Security, Kind::Crash, Kind::CheckIn],
            routes: Routes::default(),
            mutes: Vec::new(),
            people: People::default(),
            own_robot: None,
            public_url: None,
            project_names: BTreeMap::new(),
            links: Links::default(),
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            url: String::new(),
            organization: "sentry".to_owned(),
            event_url: "{url}/organizations/{organization}/issues/?project={project_id}&query={event_id}".to_owned(),
            similar_url: "{url}/organizations/{organization}/issues/?project={project_id}&query=is:unresolved+error.type:{type}&statsPeriod=24h".to_owned(),
        }
    }
}

/// `9f3c2d1a-0000-4000-8000-00000000beef`
fn hyphenated(id: &str) -> String {
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|part| id.get(part).unwrap_or_default());
    parts.join("-")
}

/// Encodes an exception type as one quoted search term.
fn encode(ty: &str) -> String {
    let quoted = format!("\"{}\"", ty.replace(['"', '\\', '*'], ""));
    utf8_percent_encode(&quoted, NON_ALPHANUMERIC).to_string()
}

//! One issue in memory, packed: two hundred thousand of them are kept.

use serde::{Deserialize, Serialize};

use super::moment;
use super::routes::RouteRecord;
use super::users::Users;
use crate::search::Sieve;
use crate::{Issue, IssueKey, RouteKey, Sighting, Tally};

/// One issue; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: IssueKey,
    title: Box<str>,
    environment: Box<str>,
    /// All zero when there is none.
    last_event: [u8; 16],
    pub(super) events: u64,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) users: Users,
    level: u8,
    /// The route most events take.
    first: RouteRecord,
    /// What few issues have.
    more: Option<Box<More>>,
}

/// A pointer of one word for all others.
#[derive(Debug, Default, Serialize, Deserialize)]
struct More {
    /// The routes besides the first.
    routes: Vec<RouteRecord>,
    /// The hashes besides the key's that lead to the issue, as the index names them.
    aliases: Vec<u64>,
}

impl Record {
    pub(super) fn new(key: IssueKey, route: RouteKey, now: u64) -> Self {
        Self {
            key,
            title: Box::default(),
            environment: Box::default(),
            last_event: [0; 16],
            events: 0,
            first_seen: now,
            last_seen: now,
            users: Users::default(),
            level: 0,
            first: RouteRecord::new(route),
            more: None,
        }
    }

    /// Notes what the newest event says about itself.
    pub(super) fn note(&mut self, sighting: &Sighting<'_>, now: u64) {
        self.events += 1;
        self.last_seen = now;
        self.level = sighting.level;
        let title = cut(sighting.title);
        if *self.title != *title {
            self.title = title.into();
        }
        let environment = cut_environment(sighting.environment);
        if *self.environment != *environment {
            self.environment = environment.into();
        }
        self.last_event = sighting.event_id.unwrap_or(self.last_event);
    }

    /// Notes another hash that leads to it; beyond [`ALIASES`] the oldest ones are looked up no more after a restart.
    pub(super) fn alias(&mut self, short: u64) {
        let aliases = &mut self.more.get_or_insert_default().aliases;
        if aliases.len() >= ALIASES {
            aliases.remove(0);
        }
        aliases.push(short);
    }

    pub(super) fn aliases(&self) -> Vec<u64> {
        self.more
            .as_ref()
            .map_or_else(Vec::new, |more| more.aliases.clone())
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteRecord> {
        let more = self.more.iter().flat_map(|more| &more.routes);
        std::iter::once(&self.first).chain(more)
    }

    pub(super) fn routes_mut(&mut self) -> impl Iterator<Item = &mut RouteRecord> {
        let more = self.more.iter_mut().flat_map(|more| &mut more.routes);
        std::iter::once(&mut self.first).chain(more)
    }

    pub(super) fn route(&self, route: RouteKey) -> Option<&RouteRecord> {
        self.routes().find(|record| record.route == route)
    }

    /// Returns the record of a route, a new one when the issue has not taken it yet.
    pub(super) fn route_mut(&mut self, route: RouteKey) -> &mut RouteRecord {
        if self.first.route == route {
            return &mut self.first;
        }
        let more = &mut self.more.get_or_insert_default().routes;
        let at = more.iter().position(|record| record.route == route);
        let at = at.unwrap_or_else(|| {
            // Routes that a reload took away must not pile up.
            if more.len() >= ROUTES {
                more.remove(0);
            }
            more.push(RouteRecord::new(route));
            more.len() - 1
        });
        &mut more[at]
    }

    pub(super) fn tally(&self, route: RouteKey) -> Tally {
        Tally {
            events: self.events,
            events_since_said: self.route(route).map_or(0, RouteRecord::since_said),
            users: self.users.count(),
            are_users_exact: self.users.is_exact(),
            first_seen: moment(self.first_seen),
            last_seen: moment(self.last_seen),
        }
    }

    pub(super) fn passes(&self, sieve: &mut Sieve<'_>) -> bool {
        sieve.is_match(self.key.project, &self.environment, &self.title)
    }

    pub(super) fn issue(&self) -> Issue {
        Issue {
            key: self.key,
            title: self.title.to_string(),
            environment: self.environment.to_string(),
            level: self.level,
            last_event: Some(self.last_event).filter(|id| *id != [0; 16]),
            events: self.events,
            users: self.users.count(),
            are_users_exact: self.users.is_exact(),
            first_seen: moment(self.first_seen),
            last_seen: moment(self.last_seen),
            routes: self.routes().map(RouteRecord::listed).collect(),
        }
    }
}

/// Cuts a title to what is kept of it, on a character boundary.
pub(crate) fn cut(title: &str) -> &str {
    &title[..title.floor_char_boundary(Issue::TITLE)]
}

/// Cuts an environment to what is kept of it; none is empty.
pub(crate) fn cut_environment(environment: Option<&str>) -> &str {
    let environment = environment.unwrap_or_default();
    &environment[..environment.floor_char_boundary(Issue::ENVIRONMENT)]
}

/// Hashes kept of one issue besides the first.
const ALIASES: usize = 32;

/// Routes of one issue told apart besides the first one.
const ROUTES: usize = 31;

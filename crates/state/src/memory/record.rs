//! One issue in memory, packed: two hundred thousand of them are kept.

use serde::{Deserialize, Serialize};

use super::moment;
use super::routes::RouteRecord;
use super::users::Users;
use crate::{Issue, IssueKey, RouteKey, Sighting, Tally};

/// One issue; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: IssueKey,
    /// The hashes besides the key's that lead to it, as the index names them.
    pub(super) aliases: Option<Box<[u64]>>,
    title: Box<str>,
    /// All zero when there is none.
    last_event: [u8; 16],
    pub(super) events: u64,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) users: Users,
    level: u8,
    /// The route most events take.
    first: RouteRecord,
    /// The others.
    more: Option<Box<[RouteRecord]>>,
}

impl Record {
    pub(super) fn new(key: IssueKey, route: RouteKey, now: u64) -> Self {
        Self {
            key,
            aliases: None,
            title: Box::default(),
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
        self.last_event = sighting.event_id.unwrap_or(self.last_event);
    }

    /// Notes another hash that leads to it; beyond [`ALIASES`] the oldest ones are looked up no more after a restart.
    pub(super) fn alias(&mut self, short: u64) {
        let mut aliases = std::mem::take(&mut self.aliases).map_or_else(Vec::new, Vec::from);
        if aliases.len() >= ALIASES {
            aliases.remove(0);
        }
        aliases.push(short);
        self.aliases = Some(aliases.into());
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteRecord> {
        std::iter::once(&self.first).chain(self.more.iter().flatten())
    }

    pub(super) fn routes_mut(&mut self) -> impl Iterator<Item = &mut RouteRecord> {
        std::iter::once(&mut self.first).chain(self.more.iter_mut().flatten())
    }

    pub(super) fn route(&self, route: RouteKey) -> Option<&RouteRecord> {
        self.routes().find(|record| record.route == route)
    }

    /// Returns the record of a route, a new one when the issue has not taken it yet.
    pub(super) fn route_mut(&mut self, route: RouteKey) -> &mut RouteRecord {
        let at = self.routes().position(|record| record.route == route);
        let at = at.unwrap_or_else(|| {
            let mut more = std::mem::take(&mut self.more)
                .map(Vec::from)
                .unwrap_or_default();
            // Routes that a reload took away must not pile up.
            if more.len() >= ROUTES {
                more.remove(0);
            }
            more.push(RouteRecord::new(route));
            let at = more.len();
            self.more = Some(more.into());
            at
        });
        match (at, &mut self.more) {
            (1.., Some(more)) => &mut more[at - 1],
            _ => &mut self.first,
        }
    }

    pub(super) fn tally(&self, route: RouteKey) -> Tally {
        Tally {
            events: self.events,
            events_since_said: self.route(route).map_or(0, |record| record.since_said),
            users: self.users.count(),
            are_users_exact: self.users.is_exact(),
            first_seen: moment(self.first_seen),
            last_seen: moment(self.last_seen),
        }
    }

    pub(super) fn issue(&self) -> Issue {
        Issue {
            key: self.key,
            title: self.title.to_string(),
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

/// Hashes kept of one issue besides the first.
const ALIASES: usize = 32;

/// Routes of one issue told apart besides the first one.
const ROUTES: usize = 31;

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
    /// The title and, behind it, the environment.
    text: Box<str>,
    title_bytes: u8,
    level: u8,
    /// Whether a file does not hold it as it is. This and the next field are about its place among all issues; they are here
    /// because here is room.
    #[serde(skip)]
    pub(super) is_unsaved: bool,
    /// Whether there is no issue, but its place.
    #[serde(skip)]
    pub(super) is_free: bool,
    /// All zero when there is none.
    last_event: [u8; 16],
    pub(super) events: u64,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) users: Users,
    /// Another hash that leads to the issue, as the index names it: most have a second one. Zero is none.
    alias: u64,
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
    /// Further hashes that lead to the issue.
    aliases: Vec<u64>,
}

impl Record {
    pub(super) fn new(key: IssueKey, route: RouteKey, now: u64) -> Self {
        Self {
            key,
            text: Box::default(),
            title_bytes: 0,
            level: 0,
            is_unsaved: false,
            is_free: false,
            last_event: [0; 16],
            events: 0,
            first_seen: now,
            last_seen: now,
            users: Users::default(),
            alias: 0,
            first: RouteRecord::new(route),
            more: None,
        }
    }

    /// Makes what stands in the place of an issue that is gone.
    pub(super) fn vacant(key: IssueKey) -> Self {
        Self {
            is_free: true,
            ..Self::new(key, RouteKey(0), 0)
        }
    }

    /// Notes what the newest event says about itself.
    pub(super) fn note(&mut self, sighting: &Sighting<'_>, now: u64) {
        self.events += 1;
        self.last_seen = now;
        self.level = sighting.level;
        let title = cut(sighting.title);
        let environment = cut_environment(sighting.environment);
        if self.texts() != (title, environment) {
            self.text = [title, environment].concat().into();
            self.title_bytes = u8::try_from(title.len()).expect("cut to fewer than 256 bytes");
        }
        self.last_event = sighting.event_id.unwrap_or(self.last_event);
    }

    /// Notes another hash that leads to it; beyond [`ALIASES`] the oldest ones lead to it no more.
    pub(super) fn alias(&mut self, short: u64) {
        if self.alias == 0 {
            self.alias = short;
            return;
        }
        let aliases = &mut self.more.get_or_insert_default().aliases;
        if aliases.len() >= ALIASES {
            aliases.remove(0);
        }
        aliases.push(short);
    }

    pub(super) fn aliases(&self) -> impl Iterator<Item = u64> {
        let more = self.more.iter().flat_map(|more| &more.aliases);
        Some(self.alias)
            .filter(|alias| *alias != 0)
            .into_iter()
            .chain(more.copied())
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
        let (title, environment) = self.texts();
        sieve.is_match(self.key.project, environment, title)
    }

    /// Returns the title and the environment.
    fn texts(&self) -> (&str, &str) {
        // A file may hold anything.
        let split = self.text.split_at_checked(self.title_bytes.into());
        split.unwrap_or((&self.text, ""))
    }

    pub(super) fn issue(&self) -> Issue {
        let (title, environment) = self.texts();
        Issue {
            key: self.key,
            title: title.to_owned(),
            environment: environment.to_owned(),
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

/// Hashes kept of one issue besides the first two.
const ALIASES: usize = 32;

/// Routes of one issue told apart besides the first one.
const ROUTES: usize = 31;

const _: () = assert!(Issue::TITLE <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    /// With its title, two entries in the index and its event's id, an issue takes less than 300 bytes (bench `decide`).
    #[test]
    fn a_record_takes_168_bytes() {
        assert_eq!(size_of::<Record>(), 168);
    }
}

//! What is known of one issue on one route: the last word, and the events since.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration, moment};
use crate::{IssueRoute, RouteKey, RouteSeen, Said, Watch, Window, Word};

/// One issue on one route; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RouteRecord {
    pub(super) route: RouteKey,
    /// The hash of the first release seen; 0 is none.
    release: u32,
    since_said: u32,
    is_burst_told: bool,
    is_stopped: bool,
    said_at: u64,
    silence: u64,
    pub(super) last_seen: u64,
    recent: Option<Box<Recent>>,
}

/// What few issues have: several events within a window, several releases.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Recent {
    /// Events before the last one, oldest first.
    events: VecDeque<u64>,
    /// Users and when each was seen last.
    users: Vec<(u64, u64)>,
    /// Releases after the first one, the one longest unseen first.
    releases: Vec<u32>,
    /// The longest window anybody asked for.
    within: u64,
}

/// What one event adds.
pub(super) struct Addition {
    pub(super) now: u64,
    pub(super) user: Option<u64>,
    pub(super) release: Option<u32>,
}

impl RouteRecord {
    pub(super) fn new(route: RouteKey) -> Self {
        Self {
            route,
            release: 0,
            is_burst_told: false,
            is_stopped: false,
            said_at: NEVER,
            silence: 0,
            since_said: 0,
            last_seen: NEVER,
            recent: None,
        }
    }

    /// Counts an event.
    pub(super) fn count(&mut self, watch: &Watch, addition: &Addition) -> RouteSeen {
        let now = addition.now;
        let previous = self.previous();
        let is_new_release = addition
            .release
            .is_some_and(|release| self.add_release(release));
        // The threshold is asked for only until the first word.
        let is_unsaid = self.said_at == NEVER;
        let events = watch.events.filter(|_| is_unsaid);
        let users = watch.users.filter(|_| is_unsaid);
        self.keep_previous(events, watch.burst, now);
        if let (Some(window), Some(user)) = (users, addition.user) {
            self.keep_user(window, user, now);
        }
        self.since_said = self.since_said.saturating_add(1);
        self.last_seen = now;
        RouteSeen {
            previous: previous.map(moment),
            is_new_release,
            in_events: events.map_or(0, |window| self.events_within(window, now)),
            in_users: users.map_or(0, |window| self.users_within(window, now)),
            in_burst: watch
                .burst
                .map_or(0, |window| self.events_within(window, now)),
            ..self.seen()
        }
    }

    /// Returns what is known without counting anything.
    pub(super) fn seen(&self) -> RouteSeen {
        RouteSeen {
            route: self.route,
            said: self.said(),
            is_claimed: false,
            events_since_said: self.since_said(),
            previous: self.previous().map(moment),
            is_new_release: false,
            in_events: 0,
            in_users: 0,
            in_burst: 0,
        }
    }

    pub(super) fn since_said(&self) -> u64 {
        u64::from(self.since_said)
    }

    pub(super) fn said(&self) -> Option<Said> {
        (self.said_at != NEVER).then(|| Said {
            at: moment(self.said_at),
            silence: Duration::from_millis(self.silence),
            is_burst_told: self.is_burst_told,
            is_stopped: self.is_stopped,
        })
    }

    pub(super) fn tell(&mut self, word: &Word, events: u64, now: u64) {
        self.said_at = now;
        self.silence = duration(word.silence);
        self.is_burst_told = word.is_burst_told;
        self.is_stopped = word.is_stopped;
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.since_said = self.since_said.saturating_sub(events);
    }

    /// Takes over what another store knows; returns the last word when that store does not know of it.
    pub(super) fn learn(&mut self, there: &RouteSeen) -> Option<Said> {
        self.since_said = u32::try_from(there.events_since_said).unwrap_or(u32::MAX);
        let said = there.said;
        let newer = self
            .said()
            .filter(|here| said.is_none_or(|said| said.at < here.at));
        if let (None, Some(said)) = (newer, said) {
            self.said_at = super::millis(said.at);
            self.silence = duration(said.silence);
            self.is_burst_told = said.is_burst_told;
            self.is_stopped = said.is_stopped;
        }
        newer
    }

    #[cfg(test)]
    pub(super) fn add(&mut self, events: u64) {
        self.since_said += u32::try_from(events).unwrap();
    }

    pub(super) fn listed(&self) -> IssueRoute {
        IssueRoute {
            route: self.route,
            said: self.said(),
            is_claimed: false,
            events_since_said: self.since_said(),
            last_seen: moment(self.previous().unwrap_or_default()),
        }
    }

    /// Gives back the room of what no window reaches any more.
    pub(super) fn trim(&mut self, now: u64) {
        let Some(recent) = &mut self.recent else {
            return;
        };
        let is_within = |at: u64| now.saturating_sub(at) < recent.within;
        recent.events.retain(|at| is_within(*at));
        recent.users.retain(|(_, at)| is_within(*at));
        let is_idle = recent.events.is_empty() && recent.users.is_empty();
        if is_idle && recent.releases.is_empty() {
            self.recent = None;
        } else if is_idle {
            recent.events = VecDeque::new();
            recent.users = Vec::new();
        }
    }

    fn previous(&self) -> Option<u64> {
        (self.last_seen != NEVER).then_some(self.last_seen)
    }

    /// Remembers a release; true when it is new where others are known.
    fn add_release(&mut self, release: u32) -> bool {
        if self.release == 0 {
            self.release = release;
        }
        if self.release == release {
            return false;
        }
        let releases = &mut self.recent.get_or_insert_default().releases;
        let known = releases.iter().position(|known| *known == release);
        if let Some(at) = known {
            releases.remove(at);
        } else if releases.len() >= RELEASES {
            releases.remove(0);
        }
        releases.push(release);
        known.is_none()
    }

    /// Keeps the time of the event before this one, when a window still reaches back to it.
    fn keep_previous(&mut self, events: Option<Window>, burst: Option<Window>, now: u64) {
        let windows = [events, burst].into_iter().flatten();
        let (count, within) = windows.fold((0, 0), |(count, within), window| {
            (window.count.max(count), duration(window.within).max(within))
        });
        let is_within = |at: u64| now.saturating_sub(at) < within;
        if let Some(recent) = &mut self.recent {
            for at in recent.events.iter_mut().rev().take_while(|at| **at > now) {
                *at = now;
            }
            while recent.events.front().is_some_and(|at| !is_within(*at)) {
                recent.events.pop_front();
            }
        }
        let previous = self.previous().filter(|at| is_within(*at) && count > 1);
        let Some(previous) = previous else { return };
        let recent = self.recent.get_or_insert_default();
        recent.within = recent.within.max(within);
        recent.events.push_back(previous.min(now));
        let most = usize::from(count) - 1;
        while recent.events.len() > most {
            recent.events.pop_front();
        }
    }

    /// This event and those before it within the window, at most its count.
    fn events_within(&self, window: Window, now: u64) -> u16 {
        let within = duration(window.within);
        let before = self.recent.as_ref().map_or(0, |recent| {
            let old = recent
                .events
                .partition_point(|at| now.saturating_sub(*at) >= within);
            recent.events.len() - old
        });
        capped(before + 1, window)
    }

    fn keep_user(&mut self, window: Window, user: u64, now: u64) {
        let within = duration(window.within);
        let recent = self.recent.get_or_insert_default();
        recent.within = recent.within.max(within);
        let users = &mut recent.users;
        users.retain(|(known, at)| *known != user && now.saturating_sub(*at) < within);
        users.push((user, now));
        if users.len() > usize::from(window.count) {
            users.remove(0);
        }
    }

    fn users_within(&self, window: Window, now: u64) -> u16 {
        let within = duration(window.within);
        let users = self.recent.as_ref().map_or(0, |recent| {
            let is_within = |at: u64| now.saturating_sub(at) < within;
            recent.users.iter().filter(|(_, at)| is_within(*at)).count()
        });
        capped(users, window)
    }
}

fn capped(count: usize, window: Window) -> u16 {
    u16::try_from(count).map_or(window.count, |count| count.min(window.count))
}

/// Stands for a moment that never was.
const NEVER: u64 = u64::MAX;

/// Releases told apart besides the first one.
const RELEASES: usize = 15;

//! All issues in memory: found by any of their hashes, kept in the order they were seen, the oldest evicted when full.

use super::index::{self, Index};
use super::persist::Known;
use super::record::Record;
use super::routes::{Addition, RouteRecord};
use super::unsaved::{Batch, encode};
use super::{MIXER, folded, moment, user_hash};
use crate::search::Sieve;
use crate::{
    Cursor, Found, Issue, IssueHash, IssueKey, RouteKey, Said, Search, Seen, Sighting, Tally, Word,
};

/// Every issue that is known.
#[derive(Debug)]
pub(super) struct Issues {
    room: usize,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Where the issue of a hash is. Sixty-four bits of project and hash name it: of a million md5s, two are taken for one
    /// another once in 30 million times.
    index: Index,
    newest: u32,
    oldest: u32,
    len: usize,
    user_room: usize,
    /// What a file does not hold yet, when there is one.
    unsaved: Option<Unsaved>,
}

/// Slots with changes, and issues that are gone.
#[derive(Debug, Default)]
struct Unsaved {
    /// Those with a word that was said: they go into the next batch.
    said: Vec<u32>,
    /// Those that were only counted.
    counted: Vec<u32>,
    gone: Vec<IssueKey>,
}

/// Hashes in short, and where their issues are.
type Places = [Option<(u64, Option<u32>)>; HASHES];

#[derive(Debug)]
struct Slot {
    record: Record,
    newer: u32,
    older: u32,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.record.is_free
    }

    /// Returns whether a hash is one of the issue that is here.
    fn has(&self, hash: u64) -> bool {
        !self.is_free() && self.hashes().any(|known| known == hash)
    }

    fn hashes(&self) -> impl Iterator<Item = u64> {
        let IssueKey { project, hash } = &self.record.key;
        std::iter::once(short(*project, hash)).chain(self.record.aliases())
    }
}

impl Issues {
    pub(super) fn with_room_for(room: usize) -> Self {
        Self {
            room: room.max(1),
            slots: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            newest: NOWHERE,
            oldest: NOWHERE,
            len: 0,
            user_room: USER_ROOM,
            unsaved: None,
        }
    }

    /// Counts an event; also returns how many issues had to go for it.
    pub(super) fn observe(
        &mut self,
        sighting: &Sighting<'_>,
        is_duplicate: bool,
        now: u64,
        may_go: impl Fn(&IssueKey) -> bool,
    ) -> (Seen, usize) {
        let found = self.find_all(sighting);
        let known = found.iter().flatten().find_map(|(_, at)| *at);
        if is_duplicate {
            let seen = known.map_or_else(|| unknown(sighting, now), |at| self.seen(at, sighting));
            return (seen, 0);
        }
        let mut evicted = 0;
        let at = known.unwrap_or_else(|| {
            evicted = self.make_room(may_go);
            self.add(sighting, now)
        });
        self.attach(&found, at);
        self.touch(at);
        self.mark_slot(at);
        (self.count(at, sighting, now), evicted)
    }

    pub(super) fn said(&self, key: &IssueKey, route: RouteKey) -> Option<Said> {
        self.find(key)?.route(route)?.said()
    }

    pub(super) fn events_since_said(&self, key: &IssueKey, route: RouteKey) -> u64 {
        let record = self.find(key).and_then(|record| record.route(route));
        record.map_or(0, RouteRecord::since_said)
    }

    pub(super) fn tell(&mut self, word: &Word, events: u64, now: u64) {
        let Some(at) = self.find_at(&word.issue) else {
            return;
        };
        let record = &mut self.slots[at as usize].record;
        record.route_mut(word.route).tell(word, events, now);
        record.is_unsaved = true;
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.said.push(at);
        }
    }

    /// Takes over what another store knows of an issue; returns the words that only this one knows of.
    pub(super) fn learn(&mut self, seen: &Seen) -> Vec<(RouteKey, Said)> {
        let Some(at) = self.find_at(&seen.issue) else {
            return Vec::new();
        };
        let record = &mut self.slots[at as usize].record;
        record.events = record.events.max(seen.events);
        record.first_seen = record.first_seen.min(super::millis(seen.first_seen));
        let routes = seen.routes.iter();
        routes
            .filter_map(|there| {
                let newer = record.route_mut(there.route).learn(there);
                newer.map(|said| (there.route, said))
            })
            .collect()
    }

    #[cfg(test)]
    pub(super) fn count_elsewhere(&mut self, counted: &crate::redis::Counted) {
        let Some(at) = self.find_at(&counted.issue) else {
            return;
        };
        let record = &mut self.slots[at as usize].record;
        record.events += counted.events;
        record.last_seen = record.last_seen.max(super::millis(counted.last_seen));
        for (route, events) in &counted.routes {
            record.route_mut(*route).add(*events);
        }
    }

    pub(super) fn said_since(&self, since: u64) -> Vec<(IssueKey, RouteKey, Said)> {
        let live = self.slots.iter().filter(|slot| !slot.is_free());
        let routes = live.flat_map(|slot| {
            let routes = slot.record.routes();
            routes.map(|route| (slot.record.key, route.route, route.said()))
        });
        routes
            .filter_map(|(key, route, said)| Some((key, route, said?)))
            .filter(|(_, _, said)| super::millis(said.at) >= since)
            .collect()
    }

    pub(super) fn tally(&self, key: &IssueKey, route: RouteKey) -> Option<Tally> {
        Some(self.find(key)?.tally(route))
    }

    pub(super) fn issue(&self, key: &IssueKey) -> Option<Issue> {
        Some(self.find(key)?.issue())
    }

    pub(super) fn recent(&self, limit: usize) -> impl Iterator<Item = Issue> {
        let newest = self.slot(self.newest);
        let slots = std::iter::successors(newest, |slot| self.slot(slot.older));
        slots.take(limit).map(|slot| slot.record.issue())
    }

    /// Looks at the next issues of a search.
    pub(super) fn search(&self, search: &Search, after: Option<Cursor>, limit: usize) -> Found {
        let mut sieve = Sieve::new(search);
        let mut found = Found {
            known: self.len,
            ..Found::default()
        };
        let mut at = after.map_or(self.newest, |cursor| self.place_after(&cursor));
        let mut looked_at = 0;
        let mut last = None;
        while let Some(slot) = self.slot(at) {
            if found.issues.len() == limit || looked_at == Found::LOOKED_AT {
                found.next = last;
                break;
            }
            looked_at += 1;
            let record = &slot.record;
            last = Some(Cursor {
                last_seen: record.last_seen,
                issue: record.key,
            });
            if record.passes(&mut sieve) {
                found.issues.push(record.issue());
            }
            at = slot.older;
        }
        found
    }

    /// Returns the slot that comes after a place. Where its issue was seen again, or is gone, what was seen before it comes
    /// next.
    fn place_after(&self, cursor: &Cursor) -> u32 {
        let known = self.find_at(&cursor.issue).and_then(|at| self.slot(at));
        if let Some(slot) = known.filter(|slot| slot.record.last_seen == cursor.last_seen) {
            return slot.older;
        }
        let mut at = self.newest;
        while let Some(slot) = self.slot(at) {
            if slot.record.last_seen <= cursor.last_seen {
                break;
            }
            at = slot.older;
        }
        at
    }

    /// Returns what was spoken of on a route, has not been seen there since `before`, and is not known to have stopped.
    pub(super) fn quiet(&self, route: RouteKey, before: u64) -> Vec<(IssueKey, u64)> {
        let records = self.slots.iter().filter(|slot| !slot.is_free());
        let quiet = records.filter_map(|Slot { record, .. }| {
            let on_route = record.route(route)?;
            let is_told = on_route.said().is_some_and(|said| !said.is_stopped);
            let is_quiet = on_route.last_seen < before;
            (is_told && is_quiet).then_some((record.key, on_route.last_seen))
        });
        quiet.collect()
    }

    /// Forgets issues last seen before a moment; returns how many.
    pub(super) fn expire(
        &mut self,
        before: u64,
        now: u64,
        may_go: impl Fn(&IssueKey) -> bool,
    ) -> usize {
        let mut gone = 0;
        let mut at = self.oldest;
        while let Some(slot) = self.slot(at) {
            let (newer, record) = (slot.newer, &slot.record);
            if record.last_seen >= before {
                break;
            }
            if may_go(&record.key) {
                self.remove(at);
                gone += 1;
            }
            at = newer;
        }
        self.forget_stale_hashes();
        let live = self.slots.iter_mut().filter(|slot| !slot.is_free());
        live.flat_map(|slot| slot.record.routes_mut())
            .for_each(|route| route.trim(now));
        gone
    }

    /// Starts to mark what a file does not know.
    pub(super) fn mark(&mut self, known: Known) {
        self.stop_marking();
        self.unsaved = Some(Unsaved::default());
        if known == Known::Nothing {
            for at in 0..u32::try_from(self.slots.len()).unwrap_or(NOWHERE) {
                self.mark_slot(at);
            }
        }
    }

    pub(super) fn stop_marking(&mut self) {
        self.unsaved = None;
        self.slots
            .iter_mut()
            .for_each(|slot| slot.record.is_unsaved = false);
    }

    pub(super) fn has_unsaved(&self) -> bool {
        let unsaved = self.unsaved.as_ref();
        unsaved.is_some_and(|unsaved| !unsaved.counted.is_empty() || unsaved.is_pressing())
    }

    /// Takes what is not saved: every issue that is gone or was spoken of, and of the others at most so many.
    pub(super) fn take_unsaved(&mut self, most: usize, batch: &mut Batch) {
        let Some(unsaved) = &mut self.unsaved else {
            return;
        };
        let gone = unsaved.gone.drain(..);
        batch.issues.extend(gone.map(|key| (key, None)));
        let left = unsaved.counted.len().saturating_sub(most);
        let counted = unsaved.counted.drain(left..);
        for at in unsaved.said.drain(..).chain(counted) {
            let slot = &mut self.slots[at as usize];
            if std::mem::take(&mut slot.record.is_unsaved) && !slot.is_free() {
                let key = slot.record.key;
                batch.issues.push((key, encode(&slot.record)));
            }
        }
        batch.is_partial = left > 0;
    }

    /// Puts back the issues that a file held; beyond the room there is, the ones longest unseen stay out.
    pub(super) fn restore(&mut self, mut records: Vec<Record>) {
        if records.len() > self.room {
            records.sort_unstable_by_key(|record| std::cmp::Reverse(record.last_seen));
            records.truncate(self.room);
        }
        self.slots.reserve_exact(records.len());
        self.index.reserve(records.len() * 2);
        // Records are large: each is moved once, and only their places are sorted.
        let mut order = Vec::with_capacity(records.len());
        for record in records {
            order.push((record.last_seen, self.restore_one(record)));
        }
        order.sort_unstable();
        order.iter().for_each(|(_, at)| self.link(*at));
    }

    fn restore_one(&mut self, record: Record) -> u32 {
        let own = short(record.key.project, &record.key.hash);
        let aliases: Vec<u64> = record.aliases().collect();
        self.user_room = self.user_room.saturating_sub(record.users.kept());
        self.len += 1;
        let at = self.push(record);
        for hash in std::iter::once(own).chain(aliases) {
            self.lead(hash, at);
        }
        at
    }

    fn mark_slot(&mut self, at: u32) {
        let Some(unsaved) = &mut self.unsaved else {
            return;
        };
        let slot = &mut self.slots[at as usize];
        if !std::mem::replace(&mut slot.record.is_unsaved, true) {
            unsaved.counted.push(at);
        }
    }

    fn count(&mut self, at: u32, sighting: &Sighting<'_>, now: u64) -> Seen {
        let user = sighting.user.map(user_hash);
        let addition = Addition {
            now,
            user,
            release: sighting.release.map(release_hash),
        };
        let record = &mut self.slots[at as usize].record;
        record.note(sighting, now);
        if let Some(user) = user {
            record.users.insert(user, &mut self.user_room);
        }
        let watches = sighting.routes.iter();
        let routes = watches
            .map(|watch| record.route_mut(watch.route).count(watch, &addition))
            .collect();
        seen(record, false, routes)
    }

    fn seen(&mut self, at: u32, sighting: &Sighting<'_>) -> Seen {
        let record = &mut self.slots[at as usize].record;
        let watches = sighting.routes.iter();
        let routes = watches
            .map(|watch| record.route_mut(watch.route).seen())
            .collect();
        seen(record, true, routes)
    }

    /// Returns each hash in short, and where its issue is if it is known.
    fn find_all(&self, sighting: &Sighting<'_>) -> Places {
        let mut found = [None; HASHES];
        for (slot, hash) in found.iter_mut().zip(sighting.hashes) {
            let short = short(sighting.project, hash);
            *slot = Some((short, self.at(short)));
        }
        found
    }

    fn find(&self, key: &IssueKey) -> Option<&Record> {
        let at = self.at(short(key.project, &key.hash))?;
        let record = &self.slot(at)?.record;
        (record.key == *key).then_some(record)
    }

    fn find_at(&self, key: &IssueKey) -> Option<u32> {
        let at = self.at(short(key.project, &key.hash))?;
        (self.slot(at)?.record.key == *key).then_some(at)
    }

    fn at(&self, short: u64) -> Option<u32> {
        let is_there = |at| self.slot(at).is_some_and(|slot| slot.has(short));
        self.index.find(short, is_there)
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)
    }

    /// Lets the hashes that are not known name the issue.
    fn attach(&mut self, found: &Places, at: u32) {
        for (hash, _) in found.iter().flatten().filter(|(_, known)| known.is_none()) {
            let slot = &mut self.slots[at as usize];
            if !slot.has(*hash) {
                slot.record.alias(*hash);
            }
            self.lead(*hash, at);
        }
    }

    /// Lets a hash of an issue lead to it.
    fn lead(&mut self, hash: u64, at: u32) {
        if self.at(hash).is_none() {
            self.index.insert(hash, at);
        }
    }

    fn add(&mut self, sighting: &Sighting<'_>, now: u64) -> u32 {
        let key = IssueKey::new(sighting.project, sighting.hashes[0]);
        let route = sighting.routes.first().map(|watch| watch.route);
        let record = Record::new(key, route.unwrap_or(RouteKey(0)), now);
        self.len += 1;
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize].record = record;
                at
            }
            None => self.push(record),
        };
        self.link(at);
        at
    }

    fn push(&mut self, record: Record) -> u32 {
        // Doubling would leave half of the largest allocation unused.
        if self.slots.len() == self.slots.capacity() {
            self.slots
                .reserve_exact((self.slots.len() / 8).max(SLOTS_AT_ONCE));
        }
        let at = u32::try_from(self.slots.len()).unwrap_or(NOWHERE);
        self.slots.push(Slot {
            record,
            newer: NOWHERE,
            older: NOWHERE,
        });
        at
    }

    /// Lets the issues longest unseen go until there is room for one more; returns how many went.
    fn make_room(&mut self, may_go: impl Fn(&IssueKey) -> bool) -> usize {
        let mut gone = 0;
        let mut at = self.oldest;
        while self.len >= self.room {
            let Some(slot) = self.slot(at) else { break };
            let newer = slot.newer;
            if may_go(&slot.record.key) {
                self.remove(at);
                gone += 1;
            }
            at = newer;
        }
        if self.index.len() > self.room * HASHES {
            self.forget_stale_hashes();
        }
        gone
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.gone.push(slot.record.key);
        }
        self.user_room += slot.record.users.kept();
        slot.record = Record::vacant(slot.record.key);
        self.free.push(at);
        self.len -= 1;
    }

    fn forget_stale_hashes(&mut self) {
        let slots = &self.slots;
        self.index.retain(|tag, at| {
            let slot = slots.get(at as usize).filter(|slot| !slot.is_free());
            slot.is_some_and(|slot| slot.hashes().any(|hash| index::tag(hash) == tag))
        });
    }

    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (NOWHERE, before);
        match self.slots.get_mut(before as usize) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}

impl Unsaved {
    fn is_pressing(&self) -> bool {
        !self.said.is_empty() || !self.gone.is_empty()
    }
}

fn seen(record: &Record, is_duplicate: bool, routes: Vec<crate::RouteSeen>) -> Seen {
    Seen {
        issue: record.key,
        events: record.events,
        users: record.users.count(),
        are_users_exact: record.users.is_exact(),
        first_seen: moment(record.first_seen),
        last_seen: moment(record.last_seen),
        is_duplicate,
        routes,
    }
}

/// A duplicate of an event whose issue has been forgotten.
fn unknown(sighting: &Sighting<'_>, now: u64) -> Seen {
    let key = IssueKey::new(sighting.project, sighting.hashes[0]);
    let mut record = Record::new(key, RouteKey(0), now);
    let watches = sighting.routes.iter();
    let routes = watches
        .map(|watch| record.route_mut(watch.route).seen())
        .collect();
    seen(&record, true, routes)
}

fn short(project: u64, hash: &IssueHash) -> u64 {
    folded(hash.0) ^ project.wrapping_mul(MIXER)
}

/// FNV-1a, never zero.
pub(crate) fn release_hash(release: &str) -> u32 {
    let hash = release.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}

const NOWHERE: u32 = u32::MAX;

/// Hashes of one event that are looked at; grouping gives three at most.
const HASHES: usize = 4;

/// Users kept in sets, all issues together.
const USER_ROOM: usize = 2_000_000;

const SLOTS_AT_ONCE: usize = 1_024;

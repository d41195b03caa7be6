//! What happens to requests that are in the spool already: they are marked, expire, and make room.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::age::Now;
use crate::age::{AgeClock, seconds};
use crate::body;
use crate::counters::Counters;
use crate::frame::Mark;
use crate::index::{Index, Segment, State};
use crate::marks;
use crate::record::BodyFile;
use crate::repair;
use crate::segment::{DAMAGED, Stamp};
use crate::shared::Shared;

/// The tidying end.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    clock: AgeClock,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, clock: AgeClock) -> Keeper {
        Keeper { shared, clock }
    }

    /// Removes the file of a body whose request ended.
    pub(crate) fn remove_body(&self, sequence: u64, body: BodyFile) {
        // Else a power loss could leave the request without its body, and it would count as damaged.
        if let Err(error) = marks::sync(&self.shared, sequence) {
            Counters::add(&self.shared.counters.write_errors, 1);
            tracing::warn!(%error, "the end of a request cannot be made safe");
        }
        let len = body::file_len(body.len);
        self.shared.remove(&body::name(body.id), len);
    }

    /// Removes segments that nobody needs.
    pub(crate) fn remove_empty(&self) {
        repair::remove_empty(&self.shared);
    }

    /// Lets old requests go, and makes room.
    pub(crate) fn tidy(&self, now: Now) {
        self.expire(now);
        self.remove_empty();
        self.close_files();
        for _ in 0..STEPS {
            if !self.make_room(now) {
                break;
            }
        }
    }

    /// Closes files of segments that are gone, so that their room comes back.
    fn close_files(&self) {
        let segments: BTreeSet<u64> = {
            let index = self.shared.index();
            index.segments().map(|(first, _)| *first).collect()
        };
        self.shared.files().keep_only(&segments);
    }

    fn expire(&self, now: Now) {
        let age = self.clock.age(now.instant);
        let Some(limit) = age.checked_sub(self.shared.config.max_age.as_secs()) else {
            return;
        };
        let old = old(&self.shared.index(), limit);
        Counters::add(&self.shared.counters.expired, old.len() as u64);
        if !old.is_empty() {
            tracing::error!(
                requests = old.len(),
                "requests in the spool were too old and are lost"
            );
        }
        old.into_iter()
            .for_each(|sequence| self.drop_request(sequence));
    }

    /// Ends a request.
    pub(crate) fn drop_request(&self, sequence: u64) {
        let finished = self.shared.index().finish(sequence);
        let Some(finished) = finished else { return };
        marks::mark(&self.shared, sequence, Mark::Done);
        if let Some(body) = finished.body {
            self.remove_body(sequence, body);
        }
    }

    /// Does the one thing that gives back most for least; `false` if there is nothing to do.
    fn make_room(&self, now: Now) -> bool {
        let is_pressed = !self.shared.has_room(self.shared.config.max_size / 8);
        let wasteful = wasteful(
            &self.shared.index(),
            self.shared.config.segment_size(),
            is_pressed,
        );
        if let Some(first) = wasteful {
            return self.compact(first, now);
        }
        is_pressed && (self.forget_damaged() || self.evict())
    }

    fn compact(&self, first: u64, now: Now) -> bool {
        let stamp = Stamp {
            age: self.clock.age(now.instant),
            wall: seconds(now.wall),
        };
        let compacted = repair::compact(&self.shared, first, Some(stamp));
        if let Err(error) = &compacted {
            tracing::warn!(%error, "a segment of the spool cannot be made smaller");
        }
        compacted.is_ok()
    }

    /// Removes the oldest damaged file.
    fn forget_damaged(&self) -> bool {
        let entries = self
            .shared
            .fs
            .list(&self.shared.config.dir)
            .unwrap_or_default();
        let damaged = entries
            .into_iter()
            .filter(|entry| entry.name.ends_with(DAMAGED));
        let oldest = damaged.min_by(|one, other| one.name.cmp(&other.name));
        if let Some(entry) = &oldest {
            tracing::warn!(name = entry.name, "a damaged file is removed to make room");
            self.shared.remove(&entry.name, entry.len);
        }
        oldest.is_some()
    }

    /// Drops the refused requests of the oldest segment that has some: they must not keep fresh ones out.
    fn evict(&self) -> bool {
        let refused = oldest_refused(&self.shared.index());
        Counters::add(&self.shared.counters.evicted, refused.len() as u64);
        let has_any = !refused.is_empty();
        refused
            .into_iter()
            .for_each(|sequence| self.drop_request(sequence));
        self.remove_empty();
        has_any
    }
}

fn old(index: &Index, limit: u64) -> Vec<u64> {
    let mut old = Vec::new();
    for (_, segment) in index.segments() {
        let ripe = segment
            .kept()
            .take_while(|(_, slot)| u64::from(slot.age) < limit);
        let free = ripe.filter(|(_, slot)| slot.state != State::Held);
        old.extend(free.map(|(sequence, _)| sequence));
    }
    old
}

/// Returns the closed segment that wastes most, if that is worth the work.
fn wasteful(index: &Index, segment_size: u64, is_pressed: bool) -> Option<u64> {
    let is_worth = |segment: &Segment| match is_pressed {
        true => segment.wasted > (segment.len / 8).max(segment_size / 64),
        false => segment.wasted > (segment.len / 4 * 3).max(segment_size / 16),
    };
    index
        .segments()
        .filter(|(_, segment)| segment.is_closed && is_worth(segment))
        .max_by_key(|(_, segment)| segment.wasted)
        .map(|(first, _)| *first)
}

fn oldest_refused(index: &Index) -> Vec<u64> {
    let mut segments = index
        .segments()
        .map(|(_, segment)| segment.refused().collect());
    segments
        .find(|refused: &Vec<u64>| !refused.is_empty())
        .unwrap_or_default()
}

/// How often in a row room is made, so that marks do not wait long.
const STEPS: usize = 4;

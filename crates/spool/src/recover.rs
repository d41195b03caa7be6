//! Opens a spool: finds every request that is still there, whatever happened to the files, and counts those that are not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::age::{AgeClock, Now};
use crate::body;
use crate::chance::Chance;
use crate::config::Config;
use crate::counters::Counters;
use crate::dir::{self, Lock};
use crate::error::OpenError;
use crate::frame::Mark;
use crate::fs::{Access, Entry, File, Fs, read_exact};
use crate::index::State;
use crate::load::{Loaded, Record, load};
use crate::repair;
use crate::scan::markers;
use crate::segment::{
    self, BODY, DAMAGED, HEADER, Header, LOCK, Previous, SEGMENT, Stamp, TEMPORARY,
};
use crate::shared::Shared;

mod strays;

/// A spool that was opened.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lock: Lock,
    pub(crate) clock: AgeClock,
    /// The next sequence number.
    pub(crate) next: u64,
    /// The last segment.
    pub(crate) previous: Previous,
}

/// Locks the directory and reads everything in it.
///
/// # Errors
/// As [`OpenError`] says; damage is none.
pub(crate) fn recover(
    fs: Arc<dyn Fs>,
    config: Config,
    mut chance: Chance,
    now: Now,
) -> Result<Recovered, OpenError> {
    let dir = config.dir.clone();
    let lock = dir::claim(&*fs, &dir)?;
    let entries = fs
        .list(&dir)
        .map_err(|error| OpenError::io("read", &dir, error))?;
    let headers = headers(&*fs, &dir, &entries);
    let last = headers.values().next_back();
    let name = (lock.name)
        .or(last.map(|header| header.spool))
        .unwrap_or_else(|| chance.next());
    lock.sign(&*fs, &dir, name);

    let shared = Arc::new(Shared::new(fs, config, name, chance));
    let mut recovery = Recovery::new(shared, entries, &headers, lock.closed);
    recovery.sweep();
    recovery.load_all();
    let base = Stamp {
        age: recovery.latest.age.max(recovery.highest_age.into()),
        wall: recovery.latest.wall,
    };
    let clock = AgeClock::resume(base, now.wall, now.instant);
    recovery.adopt_strays(clock.age(now.instant));
    recovery.match_bodies();
    recovery.conclude();
    Ok(Recovered {
        shared: recovery.shared,
        lock,
        clock,
        // One number stays unused, so that no new segment is taken for one that was removed.
        next: recovery.next + 1,
        previous: recovery.previous,
    })
}

struct Recovery {
    shared: Arc<Shared>,
    entries: Vec<Entry>,
    /// Where segments end, by first sequence number, as the segments after say.
    ends: HashMap<u64, u64>,
    /// First sequence numbers of the segments that were found.
    seen: BTreeSet<u64>,
    /// Segments that a later version wrote.
    newer: BTreeSet<String>,
    /// The last segment and where it ends, if the spool was closed.
    closed: Option<Previous>,
    latest: Stamp,
    highest_age: u32,
    next: u64,
    previous: Previous,
    /// Segments that do not fit among the others.
    strays: Vec<Loaded>,
    damaged: u64,
}

impl Recovery {
    fn new(
        shared: Arc<Shared>,
        entries: Vec<Entry>,
        headers: &BTreeMap<String, Header>,
        closed: Option<Previous>,
    ) -> Recovery {
        let is_newer = |header: &Header| header.version > segment::VERSION;
        let newer = headers.iter().filter(|(_, header)| is_newer(header));
        Recovery {
            ends: ends(headers, shared.name),
            newer: newer.map(|(name, _)| name.clone()).collect(),
            shared,
            entries,
            seen: BTreeSet::new(),
            closed,
            latest: Stamp::default(),
            highest_age: 0,
            next: 1,
            previous: Previous::default(),
            strays: Vec::new(),
            damaged: 0,
        }
    }

    /// Removes what was in the making, and adds up what is there.
    fn sweep(&mut self) {
        let ours = |entry: &&Entry| dir::is_ours(&entry.name) && entry.name != LOCK;
        for entry in self.entries.iter().filter(ours) {
            Counters::add(&self.shared.counters.bytes, entry.len);
            if entry.name.ends_with(TEMPORARY) {
                self.shared.remove(&entry.name, entry.len);
            }
        }
    }

    fn load_all(&mut self) {
        let names = self.names(SEGMENT);
        for (index, (name, len)) in names.iter().enumerate() {
            let Ok(file) = self.shared.fs.open(&self.shared.path(name), Access::Write) else {
                tracing::warn!(name, "a segment of the spool cannot be opened");
                continue;
            };
            if *len > u64::from(u32::MAX) {
                repair::set_aside(&self.shared, name);
                continue;
            }
            if self.newer.contains(name) {
                self.seen
                    .extend(segment::read_name(name).map(|(first, _)| first));
                tracing::warn!(
                    name,
                    "a later version wrote this segment; it stays as it is"
                );
                continue;
            }
            let follower = names
                .get(index + 1)
                .and_then(|(name, _)| segment::read_name(name));
            self.read(&*file, name, follower.map(|(first, _)| first));
        }
        // A file may have been written over with another, whole.
        for (first, _) in names
            .iter()
            .filter_map(|(name, _)| segment::read_name(name))
        {
            if self.seen.insert(first) {
                self.damaged += self
                    .ends
                    .get(&first)
                    .map_or(1, |end| end.saturating_sub(first));
            }
        }
    }

    fn read(&mut self, file: &dyn File, name: &str, follower: Option<u64>) {
        let (marker, other) = markers(file, name);
        let loaded = load(file, name, marker);
        let other = other.map(|other| load(file, name, other));
        self.seen.insert(loaded.first);
        match other.filter(|other| !other.is_empty()) {
            None => self.take(file, loaded, follower),
            Some(other) => {
                for part in [loaded, other] {
                    self.seen.insert(part.first);
                    self.damaged += part.lost(follower);
                    self.strays.push(part);
                }
            }
        }
    }

    fn take(&mut self, file: &dyn File, mut loaded: Loaded, follower: Option<u64>) {
        let is_ours = (loaded.scanned.header).is_none_or(|header| header.spool == self.shared.name);
        if let Some(last) = self.closed
            && last.first == loaded.first
        {
            loaded.expect(last.end);
        }
        if is_ours && let Some(end) = self.ends.get(&loaded.first) {
            loaded.link(*end);
        }
        let lost = loaded.lost(follower);
        self.damaged += lost;
        let is_stray = !is_ours || !loaded.is_regular() || loaded.first < self.next;
        if is_stray && !loaded.records.is_empty() {
            self.strays.push(loaded);
            return;
        }
        if is_ours {
            self.latest = self.latest.max_by_age(loaded.latest);
            self.highest_age = self.highest_age.max(loaded.age);
            self.next = self.next.max(loaded.end());
        }
        match (loaded.records.is_empty(), lost) {
            (true, 0) => self.shared.remove(&loaded.name, loaded.scanned.len),
            (true, _) => repair::set_aside(&self.shared, &loaded.name),
            (false, _) => self.keep(file, &loaded, lost),
        }
    }

    fn keep(&mut self, file: &dyn File, loaded: &Loaded, lost: u64) {
        self.insert(loaded);
        if lost > 0 {
            repair::repair(&self.shared, &loaded.name, loaded.first);
        } else if loaded.seal.is_none() {
            repair::seal(&self.shared, file, loaded.first, loaded.latest);
        }
    }

    fn insert(&mut self, loaded: &Loaded) {
        self.previous = Previous {
            first: loaded.first,
            end: loaded.end(),
        };
        let mut index = self.shared.index();
        let marker = loaded.scanned.marker;
        let segment = index.open_segment(loaded.first, &loaded.name, marker);
        segment.len = loaded.scanned.len;
        segment.is_closed = true;
        segment.end = loaded.end();
        segment.wasted = loaded.wasted;
        for record in &loaded.records {
            let Record { offset, frame, .. } = record;
            index.push(
                loaded.first,
                *offset,
                frame,
                (&record.summary, record.state()),
            );
        }
    }

    /// Drops requests whose body's file is not there, and files that belong to no request.
    fn match_bodies(&mut self) {
        let files: BTreeMap<String, u64> = self.names(BODY).into_iter().collect();
        let known = self.shared.index().bodies().clone();
        for (sequence, body) in &known {
            let name = body::name(body.id);
            let found = files.get(&name);
            if found != Some(&body::file_len(body.len)) {
                self.damaged += 1;
                repair::drop_request(&self.shared, *sequence);
                if found.is_some() {
                    repair::set_aside(&self.shared, &name);
                }
            }
        }
        let mut owned: Vec<u64> = known.values().map(|body| body.id).collect();
        owned.sort_unstable();
        for (name, len) in files {
            let is_owned =
                body::read_name(&name).is_some_and(|id| owned.binary_search(&id).is_ok());
            match (is_owned, self.damaged) {
                (true, _) => {}
                (false, 0) => self.shared.remove(&name, len),
                // The request that it belongs to may be among the damaged.
                (false, _) => repair::set_aside(&self.shared, &name),
            }
        }
    }

    fn conclude(&self) {
        let counters = &self.shared.counters;
        counters.damaged.store(self.damaged, Ordering::Relaxed);
        repair::remove_empty(&self.shared);
        let index = self.shared.index();
        if self.damaged > 0 {
            tracing::error!(
                damaged = self.damaged,
                "requests in the spool cannot be read any more; files that end in `{DAMAGED}` are what is left of them"
            );
        }
        if index.requests() > 0 {
            let requests = index.requests();
            tracing::info!(requests, "the spool holds requests from before");
        }
    }

    fn names(&self, ending: &str) -> Vec<(String, u64)> {
        let matching = self
            .entries
            .iter()
            .filter(|entry| entry.name.ends_with(ending));
        let mut names: Vec<_> = matching
            .map(|entry| (entry.name.clone(), entry.len))
            .collect();
        names.sort_unstable();
        names
    }
}

impl Record {
    fn state(&self) -> State {
        self.refused.map_or(State::Waiting, State::Refused)
    }

    /// Returns the mark that the record has.
    pub(crate) fn mark(&self) -> Mark {
        self.refused.map_or(Mark::Kept, Mark::Refused)
    }
}

/// Reads the headers that can be read, by name, which is by sequence number.
pub(crate) fn headers(fs: &dyn Fs, dir: &Path, entries: &[Entry]) -> BTreeMap<String, Header> {
    let segments = entries.iter().filter(|entry| entry.name.ends_with(SEGMENT));
    segments
        .filter_map(|entry| {
            let file = fs.open(&dir.join(&entry.name), Access::Read).ok()?;
            let mut bytes = [0; HEADER];
            read_exact(&*file, &mut bytes, 0).ok()?;
            Some((entry.name.clone(), Header::from_bytes(&bytes)?))
        })
        .collect()
}

fn ends(headers: &BTreeMap<String, Header>, spool: u64) -> HashMap<u64, u64> {
    headers
        .values()
        .filter(|header| header.spool == spool && header.version <= segment::VERSION)
        .map(|header| (header.previous.first, header.previous.end))
        .collect()
}

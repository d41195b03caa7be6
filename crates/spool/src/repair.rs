//! Brings files into order when a spool is opened: damaged ones are set aside, what is sound in them lives on.
//!
//! Nothing here has to succeed, not on a disk that is full, say: what was read is in the index already.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::counters::Counters;
use crate::frame::{self, Kind, Mark};
use crate::fs::{Access, File, read_exact, write_all};
use crate::load::{Loaded, Record, load};
use crate::marks;
use crate::rewrite::{Copied, Kept, rewrite};
use crate::segment::{self, DAMAGED, HEADER, Header, Previous, SEGMENT, Stamp, TEMPORARY, VERSION};
use crate::shared::Shared;

/// Keeps a damaged segment aside, and puts one with its sound requests in its place.
pub(crate) fn repair(shared: &Shared, name: &str, first: u64) {
    let repaired = link_aside(shared, name).and_then(|()| compact(shared, first, None));
    if let Err(error) = repaired {
        tracing::warn!(name, %error, "a damaged segment cannot be set aside");
    }
}

/// Replaces a closed segment by one that has only the requests that are needed; the time goes into its header.
///
/// # Errors
/// When a file cannot be read or written; the segment stays as it was.
pub(crate) fn compact(shared: &Shared, first: u64, now: Option<Stamp>) -> io::Result<()> {
    let Some((name, marker, end, old_len, kept)) = plan(shared, first) else {
        return Ok(());
    };
    let path = shared.path(&name);
    let from = shared.fs.open(&path, Access::Read)?;
    let old = header_of(&*from).unwrap_or_default();
    let header = Header {
        version: VERSION,
        spool: shared.name,
        marker,
        first,
        time: now.unwrap_or(old.time),
        ..old
    };
    let temporary = shared.path(&format!("{name}{TEMPORARY}"));
    let to = shared.fs.create(&temporary)?;
    let copied = rewrite(&*from, &*to, header, &kept, end)
        .and_then(|copied| shared.sync(&*to).map(|()| copied))
        .and_then(|copied| replace(shared, (&temporary, &path), first, copied))
        .inspect_err(|_| {
            Counters::add(&shared.counters.write_errors, 1);
            let _ = shared.fs.remove(&temporary);
        })?;
    Counters::add(&shared.counters.bytes, copied.len);
    Counters::take(&shared.counters.bytes, old_len);
    mark_again(shared, first, &kept);
    shared.sync_dir()
}

/// Moves the requests of a segment that does not fit among the others into a new one. Returns it unless there was none to
/// move.
pub(crate) fn adopt(
    shared: &Shared,
    name: &str,
    records: &[Record],
    (first, age): (u64, u64),
) -> io::Result<Option<Loaded>> {
    if records.is_empty() {
        return Ok(None);
    }
    let age = u32::try_from(age).unwrap_or(u32::MAX);
    let kept: Vec<Kept> = records
        .iter()
        .zip(first..)
        .map(|(record, sequence)| Kept {
            offset: record.offset,
            len: record.frame.len(),
            sequence,
            age,
            mark: record.mark(),
        })
        .collect();
    let end = first + kept.len() as u64;
    write_new(shared, name, &kept, (first, end, age))
        .map(Some)
        .inspect_err(|error| {
            tracing::warn!(name, %error, "a segment that belongs elsewhere cannot be taken over");
        })
}

/// Closes a segment that a process left open.
pub(crate) fn seal(shared: &Shared, file: &dyn File, first: u64, latest: Stamp) {
    let mut index = shared.index();
    let segment = index.segment_mut(first);
    let mut seal = Vec::new();
    let age = u32::try_from(latest.age).unwrap_or(u32::MAX);
    let wall = latest.wall.to_le_bytes();
    frame::write(
        &mut seal,
        segment.marker,
        (segment.end, age, Kind::Seal),
        [&wall[..]],
    );
    if write_all(file, &seal, segment.len).is_ok() {
        segment.len += seal.len() as u64;
        Counters::add(&shared.counters.bytes, seal.len() as u64);
    }
}

/// Ends a request that cannot be read.
pub(crate) fn drop_request(shared: &Shared, sequence: u64) {
    shared.index().finish(sequence);
    marks::mark(shared, sequence, Mark::Done);
}

/// Gives a file the name of a damaged one.
pub(crate) fn set_aside(shared: &Shared, name: &str) {
    let aside = shared.path(&format!("{name}{DAMAGED}"));
    if let Err(error) = shared.fs.rename(&shared.path(name), &aside) {
        tracing::warn!(name, %error, "a damaged file cannot be set aside");
    }
}

/// Gives a file that lives on a second name as a damaged one; its bytes are counted twice once it is replaced.
pub(crate) fn link_aside(shared: &Shared, name: &str) -> io::Result<()> {
    let path = shared.path(name);
    let linked = shared
        .fs
        .link(&path, &shared.path(&format!("{name}{DAMAGED}")));
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        linked => linked?,
    }
    let len = shared.fs.open(&path, Access::Read)?.length()?;
    Counters::add(&shared.counters.bytes, len);
    shared.sync_dir()
}

/// Removes closed segments without requests.
pub(crate) fn remove_empty(shared: &Shared) {
    let empty: Vec<u64> = shared
        .index()
        .segments()
        .filter(|(_, segment)| segment.is_closed && segment.kept == 0)
        .map(|(first, _)| *first)
        .collect();
    for first in empty {
        let removed = shared.index().remove_segment(first);
        if let Some(segment) = removed {
            shared.files().close(first);
            shared.remove(&segment.name, segment.len);
        }
    }
}

type Plan = (String, u64, u64, u64, Vec<Kept>);

fn plan(shared: &Shared, first: u64) -> Option<Plan> {
    let index = shared.index();
    let segment = index.segment(first)?;
    let kept = segment
        .kept()
        .map(|(sequence, slot)| Kept {
            offset: slot.offset(),
            len: slot.len(),
            sequence,
            age: slot.age,
            mark: slot.state.mark(),
        })
        .collect();
    let name = segment.name.clone();
    Some((name, segment.marker, segment.end, segment.len, kept))
}

/// Puts a new file in the place of a segment's. In one step for all who look into the index, so that nobody takes a place in
/// one file for one in the other.
fn replace(
    shared: &Shared,
    (temporary, path): (&Path, &Path),
    first: u64,
    copied: Copied,
) -> io::Result<Copied> {
    let mut index = shared.index();
    shared.fs.rename(temporary, path)?;
    for sequence in &copied.damaged {
        index.finish(*sequence);
    }
    index.segment_mut(first).move_to(copied.len, &copied.places);
    Counters::add(&shared.counters.damaged, copied.damaged.len() as u64);
    Ok(copied)
}

/// Marks what changed while the segment was copied, and so was written into the old file.
fn mark_again(shared: &Shared, first: u64, kept: &[Kept]) {
    let written: HashMap<u64, Mark> = kept.iter().map(|kept| (kept.sequence, kept.mark)).collect();
    let states: Vec<_> = match shared.index().segment(first) {
        Some(segment) => segment.states().collect(),
        None => return,
    };
    for (sequence, state) in states {
        if written.get(&sequence) != Some(&state.mark()) {
            marks::mark(shared, sequence, state.mark());
        }
    }
}

fn header_of(file: &dyn File) -> Option<Header> {
    let mut bytes = [0; HEADER];
    read_exact(file, &mut bytes, 0).ok()?;
    Header::from_bytes(&bytes)
}

fn write_new(
    shared: &Shared,
    from: &str,
    kept: &[Kept],
    (first, end, age): (u64, u64, u32),
) -> io::Result<Loaded> {
    let marker = shared.draw();
    let name = segment::name(first, marker);
    debug_assert!(name.ends_with(SEGMENT), "it is found again");
    let header = Header {
        version: VERSION,
        spool: shared.name,
        marker,
        first,
        previous: Previous::default(),
        time: Stamp {
            age: age.into(),
            wall: 0,
        },
    };
    let from = shared.fs.open(&shared.path(from), Access::Read)?;
    let path = shared.path(&name);
    let to = shared.fs.create(&path)?;
    rewrite(&*from, &*to, header, kept, end)
        .and_then(|copied| {
            shared.sync(&*to)?;
            shared.sync_dir()?;
            Counters::add(&shared.counters.bytes, copied.len);
            Ok(load(&*to, &name, marker))
        })
        .inspect_err(|_| {
            let _ = shared.fs.remove(&path);
        })
}

//! Looks into a spool's directory from outside, whether a process has it open or not; and empties one that nobody has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::age::Now;
use crate::chance::Chance;
use crate::config::Config;
use crate::dir;
use crate::error::OpenError;
use crate::frame::FRAME;
use crate::fs::{Access, Disk, Entry, File, Fs, read_exact};
use crate::keeper::Keeper;
use crate::load::{Loaded, Record, load};
use crate::record;
use crate::recover::{self, recover};
use crate::scan::markers;
use crate::segment::{DAMAGED, LOCK, SEGMENT};

/// What is in a spool's directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Bytes of all files.
    pub bytes: u64,
    /// Requests that wait or are being sent.
    pub requests: u64,
    /// Requests of these, by project.
    pub projects: BTreeMap<Option<u64>, u64>,
    /// Requests that Sentry refused, by status.
    pub refused: BTreeMap<u16, u64>,
    /// When the oldest of the requests that wait was sent.
    pub oldest: Option<SystemTime>,
    /// Requests, or places that may have held some, that cannot be read any more, in files that were not set aside yet.
    pub damaged: u64,
    /// Files that were set aside because of damage.
    pub damaged_files: u64,
}

/// What to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Everything, damaged files included.
    All,
    /// The requests that Sentry refused.
    Refused,
}

/// Returns what is in a spool's directory. Changes nothing; works while a process has it open.
///
/// # Errors
/// When the directory is missing, holds no spool, or cannot be read.
pub fn inspect(dir: &Path) -> Result<Inspection, OpenError> {
    let entries = entries(&Disk, dir)?;
    let mut found = Inspection {
        bytes: ours(&entries).map(|entry| entry.len).sum(),
        ..Inspection::default()
    };
    let damaged = entries.iter().filter(|entry| entry.name.ends_with(DAMAGED));
    found.damaged_files = damaged.count() as u64;
    let mut oldest = None;
    walk(&Disk, dir, &entries, |file, loaded| {
        found.damaged += loaded.lost(None);
        for record in &loaded.records {
            match record.refused {
                Some(status) => *found.refused.entry(status).or_default() += 1,
                None => {
                    found.requests += 1;
                    let project = record.summary.lane.project;
                    *found.projects.entry(project).or_default() += 1;
                    let sequence = record.frame.sequence;
                    if oldest.is_none_or(|oldest| sequence < oldest) {
                        oldest = Some(sequence);
                        found.oldest = received_at(file, record);
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Removes requests from the directory of a spool that no process has open. Returns how many there were.
///
/// # Errors
/// When the directory is missing, holds no spool, is in use, or cannot be changed.
pub fn drop_requests(dir: &Path, which: Which) -> Result<u64, OpenError> {
    let found = inspect(dir)?;
    let refused = found.refused.values().sum();
    match which {
        Which::All => {
            let _lock = dir::claim(&Disk, dir)?;
            let entries = entries(&Disk, dir)?;
            for Entry { name, .. } in ours(&entries) {
                let path = dir.join(name);
                Disk.remove(&path)
                    .map_err(|error| OpenError::io("remove", path, error))?;
            }
            Ok(found.requests + refused)
        }
        Which::Refused => {
            drop_refused(dir)?;
            Ok(refused)
        }
    }
}

/// Returns what the spool put into a directory, but for the lock.
fn ours(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries
        .iter()
        .filter(|entry| dir::is_ours(&entry.name) && entry.name != LOCK)
}

/// Lists a spool's directory.
pub(crate) fn entries(fs: &dyn Fs, dir: &Path) -> Result<Vec<Entry>, OpenError> {
    let entries = fs.list(dir).map_err(|error| match error.kind() {
        ErrorKind::NotFound => OpenError::Missing {
            dir: dir.to_owned(),
            parent: dir.to_owned(),
        },
        _ => dir::sort(error, "read", dir),
    })?;
    match dir::foreign(&entries) {
        Some(found) => Err(OpenError::Foreign {
            dir: dir.to_owned(),
            found: found.to_owned(),
        }),
        None => Ok(entries),
    }
}

/// Reads every segment, the oldest first, and hands over what is in it; requests that are in two files once.
pub(crate) fn walk(
    fs: &dyn Fs,
    dir: &Path,
    entries: &[Entry],
    mut each: impl FnMut(&dyn File, &Loaded) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let headers = recover::headers(fs, dir, entries);
    let ends: HashMap<u64, u64> = headers
        .values()
        .map(|header| (header.previous.first, header.previous.end))
        .collect();
    let mut seen = BTreeSet::new();
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.retain(|name| name.ends_with(SEGMENT));
    names.sort_unstable();
    for name in names {
        let path = dir.join(name);
        let file = match fs.open(&path, Access::Read) {
            // The process that has the spool open is done with it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| OpenError::io("open", &path, error))?,
        };
        let (marker, other) = markers(&*file, name);
        for marker in [Some(marker), other].into_iter().flatten() {
            let mut loaded = load(&*file, name, marker);
            if let Some(end) = ends.get(&loaded.first) {
                loaded.link(*end);
            }
            loaded
                .records
                .retain(|record| seen.insert((marker, record.frame.sequence)));
            let is_part = loaded.is_empty() && Some(marker) == other;
            if !is_part {
                each(&*file, &loaded)?;
            }
        }
    }
    Ok(())
}

/// Reads the payload of a request.
pub(crate) fn payload(file: &dyn File, record: &Record) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; record.frame.length as usize];
    read_exact(file, &mut bytes, record.offset + FRAME as u64)?;
    Ok(bytes.into())
}

fn received_at(file: &dyn File, record: &Record) -> Option<SystemTime> {
    let payload = payload(file, record).ok()?;
    let (head, ..) = record::decode(&payload).ok()?;
    Some(head.received_at)
}

fn drop_refused(dir: &Path) -> Result<(), OpenError> {
    let now = Now::read();
    let config = Config::new(dir);
    let recovered = recover(Arc::new(Disk), config, Chance::from_system(), now)?;
    let shared = &recovered.shared;
    let keeper = Keeper::new(Arc::clone(shared), recovered.clock);
    let refused = shared.index().refused_requests();
    for sequence in refused {
        keeper.drop_request(sequence);
    }
    keeper.remove_empty();
    Ok(())
}

//! Writes down what became of requests, in place: eight bytes each, into the page cache, by whoever says it.
//!
//! Not behind the caller's back: were the process killed in between, the request would be sent again.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use crate::counters::Counters;
use crate::frame::{MARK, Mark};
use crate::fs::{Access, File, write_all};
use crate::index::{Spot, State};
use crate::shared::Shared;

/// Open files of the segments that were marked last, by first sequence number. Never those of the log: who shares an open
/// file shares its write errors, and each is reported once.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: HashMap<u64, (u32, Arc<dyn File>)>,
}

/// Marks a request, if it is still there. Needs no room on the disk, and is not synced: after a power loss, the request may
/// be sent again.
pub(crate) fn mark(shared: &Shared, sequence: u64, mark: Mark) {
    let marked = shared.while_open(|| try_mark(shared, sequence, mark));
    if let Some(Err(error)) = marked {
        Counters::add(&shared.counters.write_errors, 1);
        tracing::warn!(%error, "a request that is done cannot be marked and may be sent again");
    }
}

/// Makes the mark of a request safe from power loss.
pub(crate) fn sync(shared: &Shared, sequence: u64) -> io::Result<()> {
    match find(shared, sequence)? {
        Some((_, file)) => shared.sync(&*file),
        None => Ok(()),
    }
}

fn try_mark(shared: &Shared, sequence: u64, mark: Mark) -> io::Result<()> {
    let Some((spot, file)) = find(shared, sequence)? else {
        return Ok(());
    };
    let bytes = mark.to_bytes(sequence, spot.marker);
    write_all(&*file, &bytes, spot.offset + MARK)
}

/// Returns where a request is, and the open file; a file that took the segment's place meanwhile has it elsewhere.
fn find(shared: &Shared, sequence: u64) -> io::Result<Option<(Spot, Arc<dyn File>)>> {
    let mut spot = shared.index().spot(sequence);
    loop {
        let Some(found) = spot else { return Ok(None) };
        if let Some(file) = shared.files().find(&found) {
            return Ok(Some((found, file)));
        }
        let opened = shared.fs.open(&shared.path(&found.name), Access::Write);
        spot = shared.index().spot(sequence);
        if spot.as_ref() == Some(&found) {
            let file = opened?;
            shared.files().keep(&found, Arc::clone(&file));
            return Ok(Some((found, file)));
        }
    }
}

impl Files {
    fn find(&self, spot: &Spot) -> Option<Arc<dyn File>> {
        let (generation, file) = self.files.get(&spot.segment)?;
        (*generation == spot.generation).then(|| Arc::clone(file))
    }

    fn keep(&mut self, spot: &Spot, file: Arc<dyn File>) {
        if self.files.len() >= FILES {
            self.files.clear();
        }
        self.files.insert(spot.segment, (spot.generation, file));
    }

    /// Closes the files of all but these segments.
    pub(crate) fn keep_only(&mut self, segments: &BTreeSet<u64>) {
        self.files.retain(|segment, _| segments.contains(segment));
    }

    /// Closes the file of a segment that is gone.
    pub(crate) fn close(&mut self, segment: u64) {
        self.files.remove(&segment);
    }
}

impl State {
    /// Returns the mark of a request that does this.
    pub(crate) fn mark(self) -> Mark {
        match self {
            State::Waiting | State::Held => Mark::Kept,
            State::Refused(status) => Mark::Refused(status),
            State::Done => Mark::Done,
        }
    }
}

const FILES: usize = 16;

//! What memory holds and a file does not yet: marked as it changes, taken in batches by the one who writes.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{IssueKey, RouteKey};

/// Things other than issues, each kept under a name of its own. The order of the variants is part of the file's format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Row {
    /// A message in a robot's queue, by robot and id.
    Parcel(Box<str>, Box<str>),
    /// A word on its way.
    Claim(IssueKey, RouteKey),
    /// How many messages found no room in a robot's queue.
    Missed(Box<str>),
    /// A message budget.
    Budget(Box<str>),
    /// A robot's last verdict.
    Report(Box<str>),
    /// A mute.
    Mute(Box<str>),
    /// A kept value.
    Kept(Box<str>),
}

/// Changes that belong together: a file holds all of them or none.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Issues, `None` for those that are gone; later entries win.
    pub(crate) issues: Vec<(IssueKey, Option<Vec<u8>>)>,
    /// Everything else.
    pub(crate) rows: Vec<(Row, Option<Vec<u8>>)>,
    /// Event ids counted since the last batch.
    pub(crate) event_ids: Vec<u64>,
    /// Whether more issues wait for the next batch.
    pub(crate) is_partial: bool,
}

/// The names of rows that changed.
#[derive(Debug, Default)]
pub(super) struct Marks {
    is_on: bool,
    rows: HashSet<Row>,
}

impl Marks {
    pub(super) fn switch_on(&mut self) {
        self.is_on = true;
    }

    pub(super) fn switch_off(&mut self) {
        *self = Self::default();
    }

    /// Notes that a row changed; the name is made only when somebody keeps it.
    pub(super) fn mark(&mut self, row: impl FnOnce() -> Row) {
        if self.is_on {
            self.rows.insert(row());
        }
    }

    pub(super) fn has_any(&self) -> bool {
        !self.rows.is_empty()
    }

    pub(super) fn take(&mut self) -> HashSet<Row> {
        std::mem::take(&mut self.rows)
    }
}

/// Turns a value into the bytes that a file keeps.
pub(super) fn encode(value: &impl Serialize) -> Option<Vec<u8>> {
    // Writing to a vector cannot fail, and our own types have no lengths that are not known.
    postcard::to_allocvec(value).ok()
}

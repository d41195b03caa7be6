//! The way between memory and a file: what changed goes out in batches, what was kept comes in at the start.

use super::queues::{Held, StoredRow};
use super::record::Record;
use super::unsaved::{Batch, Row, encode};
use super::{Inner, Memory};
use crate::IssueKey;

/// What a file held, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Issues, in any order.
    issues: Vec<Record>,
    rows: Vec<Loaded>,
    event_ids: Vec<u64>,
}

/// A row, its value read.
#[derive(Debug)]
enum Loaded {
    Parcel(Box<str>, Box<str>, StoredRow),
    Claim(IssueKey, crate::RouteKey, Held),
    Missed(Box<str>, u64),
    Budget(Box<str>, super::budget::Budget),
    Report(crate::Report),
    Mute(crate::Mute),
    Kept(Box<str>, Vec<u8>),
}

impl Kept {
    /// Makes room for so many issues.
    pub(crate) fn expect(&mut self, issues: usize) {
        self.issues.reserve_exact(issues);
    }

    /// Reads an issue.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub(crate) fn issue(&mut self, value: &[u8]) -> Result<(), postcard::Error> {
        self.issues.push(postcard::from_bytes(value)?);
        Ok(())
    }

    /// Reads a row.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub(crate) fn row(&mut self, name: &[u8], value: &[u8]) -> Result<(), postcard::Error> {
        let loaded = match postcard::from_bytes(name)? {
            Row::Parcel(robot, id) => Loaded::Parcel(robot, id, postcard::from_bytes(value)?),
            Row::Claim(issue, route) => Loaded::Claim(issue, route, postcard::from_bytes(value)?),
            Row::Missed(robot) => Loaded::Missed(robot, postcard::from_bytes(value)?),
            Row::Budget(bucket) => Loaded::Budget(bucket, postcard::from_bytes(value)?),
            Row::Report(_) => Loaded::Report(postcard::from_bytes(value)?),
            Row::Mute(_) => Loaded::Mute(postcard::from_bytes(value)?),
            Row::Kept(name) => Loaded::Kept(name, postcard::from_bytes(value)?),
        };
        self.rows.push(loaded);
        Ok(())
    }

    /// Takes event ids, in the order they came.
    pub(crate) fn event_ids(&mut self, ids: impl Iterator<Item = u64>) {
        self.event_ids.extend(ids);
    }
}

impl Memory {
    /// Fills an empty store with what a file held.
    pub(crate) fn restore(&self, kept: Kept) {
        let mut inner = self.lock();
        inner.issues.restore(kept.issues);
        inner.event_ids.restore(&kept.event_ids);
        kept.rows.into_iter().for_each(|row| inner.restore(row));
    }

    /// Starts to mark what changes. With `Known::Nothing` everything there is counts as changed.
    pub(crate) fn mark(&self, known: Known) {
        let mut inner = self.lock();
        inner.issues.mark(known);
        inner.event_ids.mark(known);
        inner.queues.mark(known);
        inner.mark(known);
    }

    /// Stops to mark, because nobody can keep it now.
    pub(crate) fn stop_marking(&self) {
        let mut inner = self.lock();
        inner.issues.stop_marking();
        inner.event_ids.stop_marking();
        inner.queues.stop_marking();
        inner.marks.switch_off();
    }

    /// Returns whether anything changed that was not taken.
    pub(crate) fn has_unsaved(&self) -> bool {
        let inner = self.lock();
        inner.issues.has_unsaved()
            || inner.event_ids.has_unsaved()
            || inner.queues.has_unsaved()
            || inner.marks.has_any()
    }

    /// Takes what changed: everything that was said or is to be said, and at most so many issues that were only counted.
    pub(crate) fn take_unsaved(&self, counted: usize) -> Batch {
        let mut inner = self.lock();
        let mut batch = Batch::default();
        inner.issues.take_unsaved(counted, &mut batch);
        batch.event_ids = inner.event_ids.take_unsaved();
        batch.rows = inner.queues.take_unsaved();
        let names = inner.marks.take();
        let rows = names.into_iter().map(|name| {
            let value = inner.row(&name);
            (name, value)
        });
        batch.rows.extend(rows);
        batch
    }
}

/// What a file knows already when marking starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Everything,
    Nothing,
}

impl Inner {
    fn restore(&mut self, row: Loaded) {
        match row {
            Loaded::Parcel(robot, id, row) => self.queues.restore_parcel(&robot, &id, row),
            Loaded::Claim(issue, route, held) => self.queues.restore_claim(issue, route, held),
            Loaded::Missed(robot, missed) => self.queues.restore_missed(&robot, missed),
            Loaded::Budget(bucket, budget) => drop(self.budgets.insert(bucket, budget)),
            Loaded::Report(report) => drop(self.reports.insert(report.robot.clone(), report)),
            Loaded::Mute(mute) => drop(self.mutes.insert(mute.id.clone(), mute)),
            Loaded::Kept(name, value) => drop(self.kept.insert(name.into(), value)),
        }
    }

    fn mark(&mut self, known: Known) {
        self.marks.switch_on();
        if known == Known::Everything {
            return;
        }
        let marks = &mut self.marks;
        let budgets = self.budgets.keys().map(|name| Row::Budget(name.clone()));
        let reports = self.reports.keys().map(|name| Row::Report(boxed(name)));
        let mutes = self.mutes.keys().map(|name| Row::Mute(boxed(name)));
        let kept = self.kept.keys().map(|name| Row::Kept(boxed(name)));
        for row in budgets.chain(reports).chain(mutes).chain(kept) {
            marks.mark(|| row);
        }
    }

    fn row(&self, row: &Row) -> Option<Vec<u8>> {
        match row {
            Row::Budget(name) => encode(self.budgets.get(name)?),
            Row::Report(name) => encode(self.reports.get(&**name)?),
            Row::Mute(name) => encode(self.mutes.get(&**name)?),
            Row::Kept(name) => encode(self.kept.get(&**name)?),
            Row::Parcel(..) | Row::Missed(_) | Row::Claim(..) => None,
        }
    }
}

fn boxed(name: &str) -> Box<str> {
    name.into()
}

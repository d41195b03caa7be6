//! What the spool counts; the numbers of one moment are [`Counts`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The numbers of an open spool at one moment. Those of the second half count up from 0 at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes of all files of the directory.
    pub bytes: u64,
    /// Requests that wait or are being sent.
    pub requests: u64,
    /// Requests of these that wait.
    pub waiting: u64,
    /// Requests that Sentry refused and that are kept.
    pub refused: u64,
    /// Whether the last write did not succeed.
    pub is_failing: bool,

    /// Requests that were made durable.
    pub appended: u64,
    /// Requests that were no longer needed.
    pub finished: u64,
    /// Requests that passed the age limit.
    pub expired: u64,
    /// Refused requests that were dropped to make room.
    pub evicted: u64,
    /// Requests that could not be appended because the spool was full.
    pub refused_full: u64,
    /// Requests, or places that may have held some, that cannot be read any more.
    pub damaged: u64,
    /// Writes and syncs that did not succeed.
    pub write_errors: u64,
}

/// The numbers as they change.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    pub(crate) is_failing: AtomicBool,
    pub(crate) appended: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) write_errors: AtomicU64,
}

impl Counters {
    /// Returns the numbers, but for those that the index knows.
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            bytes: read(&self.bytes),
            is_failing: self.is_failing.load(Ordering::Relaxed),
            appended: read(&self.appended),
            finished: read(&self.finished),
            expired: read(&self.expired),
            evicted: read(&self.evicted),
            refused_full: read(&self.refused_full),
            damaged: read(&self.damaged),
            write_errors: read(&self.write_errors),
            ..Counts::default()
        }
    }

    pub(crate) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn take(counter: &AtomicU64, number: u64) {
        counter.fetch_sub(number, Ordering::Relaxed);
    }
}

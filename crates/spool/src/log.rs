//! The end of the spool that grows: requests go into the open segment in batches, and are safe when the batch is.
//!
//! A segment whose write or sync did not succeed is never written to again: after a failed sync nobody knows what the disk
//! holds, and the system forgets that it did not write. The batch is tried once more in a new segment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::age::{AgeClock, Now, seconds};
use crate::batch::{self, Entry};
use crate::counters::Counters;
use crate::error::AppendError;
use crate::frame::{self, Frame, Kind};
use crate::fs::{File, write_all};
use crate::index::State;
use crate::segment::{self, Header, Previous, Stamp, VERSION};
use crate::shared::Shared;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    clock: AgeClock,
    open: Option<Open>,
    next: u64,
    previous: Previous,
    /// How often in a row nothing could be written, and when the last time was.
    failures: u32,
    failed_at: Instant,
    buffer: Vec<u8>,
}

/// The open segment.
#[derive(Debug)]
struct Open {
    name: String,
    file: Arc<dyn File>,
    marker: u64,
    first: u64,
    /// What is safe; more may be in the file.
    len: u64,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, clock: AgeClock, next: u64, previous: Previous) -> Log {
        Log {
            shared,
            clock,
            open: None,
            next,
            previous,
            failures: 0,
            failed_at: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Makes requests durable, all in one step; each is held by whoever asked. Returns their sequence numbers.
    pub(crate) fn commit(&mut self, batch: &[Entry], now: Now) -> Vec<Result<u64, AppendError>> {
        let mut room = self.room();
        let admitted: Vec<bool> = batch
            .iter()
            .map(|entry| {
                room.checked_sub(entry.len())
                    .inspect(|left| room = *left)
                    .is_some()
            })
            .collect();
        let entries: Vec<&Entry> = batch
            .iter()
            .zip(&admitted)
            .filter_map(|(entry, is_admitted)| is_admitted.then_some(entry))
            .collect();
        let full = (batch.len() - entries.len()) as u64;
        Counters::add(&self.shared.counters.refused_full, full);

        let written = match entries.is_empty() {
            true => Ok(()),
            false => self.write(&entries, now),
        };
        let mut sequences = self.next - entries.len() as u64..;
        admitted
            .into_iter()
            .map(|is_admitted| match (&written, is_admitted) {
                (_, false) => Err(AppendError::Full),
                (Ok(()), true) => Ok(sequences.next().expect("sequence numbers do not end")),
                (Err(error), true) => Err(AppendError::Disk(again(error))),
            })
            .collect()
    }

    /// Writes down what the clocks say, so that ages go on after a restart; also finds out whether the disk is well again.
    pub(crate) fn tick(&mut self, now: Now) {
        let _ = self.write(&[], now);
    }

    /// Closes the open segment; the next request opens another.
    pub(crate) fn close_segment(&mut self, now: Now) {
        let Some(open) = self.open.take() else { return };
        let mut seal = Vec::new();
        let age = self.age(now);
        let wall = seconds(now.wall).to_le_bytes();
        frame::write(
            &mut seal,
            open.marker,
            (self.next, age, Kind::Seal),
            [&wall[..]],
        );
        let mut len = open.len;
        if write_all(&*open.file, &seal, open.len).is_ok() {
            len += seal.len() as u64;
            Counters::add(&self.shared.counters.bytes, seal.len() as u64);
        }
        self.retire(open.first, len);
        // No two segments begin with the same number.
        self.next = self.next.max(open.first + 1);
    }

    /// Returns the segment that was closed last.
    pub(crate) fn last(&self) -> Previous {
        self.previous
    }

    /// Returns the bytes that the cap leaves for frames.
    fn room(&self) -> u64 {
        let used = self.shared.counters.bytes.load(Ordering::Relaxed);
        (self.shared.config.max_size).saturating_sub(used + OVERHEAD)
    }

    fn write(&mut self, entries: &[&Entry], now: Now) -> io::Result<()> {
        let pause = FIRST_PAUSE * self.failures.saturating_sub(1).min(5);
        if self.failures > 0 && now.instant < self.failed_at + pause {
            return Err(io::Error::other("the disk failed a moment ago"));
        }
        let written = self
            .attempt(entries, now)
            .or_else(|_| self.attempt(entries, now));
        self.shared
            .counters
            .is_failing
            .store(written.is_err(), Ordering::Relaxed);
        match &written {
            Ok(()) => self.failures = 0,
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                self.failed_at = now.instant;
            }
        }
        written
    }

    fn attempt(&mut self, entries: &[&Entry], now: Now) -> io::Result<()> {
        let expected: u64 = entries.iter().map(|entry| entry.len()).sum();
        if let Some(open) = &self.open
            && open.len + expected > self.shared.config.segment_size()
        {
            self.close_segment(now);
        }
        let (open, is_new) = match self.open.take() {
            Some(open) => (open, false),
            None => (self.create()?, true),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let frames = self.encode(&mut buffer, &open, entries, now);
        let written = self.persist(&open, &buffer, is_new);
        let len = buffer.len() as u64;
        buffer.clear();
        buffer.shrink_to(BUFFER);
        self.buffer = buffer;
        match written {
            Ok(()) => {
                self.enter(open, len, entries.iter().zip(frames), is_new);
                Ok(())
            }
            Err(error) => {
                self.give_up(&open, is_new, &error);
                // What could not be written may still turn up, so its numbers are not given out again.
                self.next += (entries.len() as u64).max(1);
                Err(error)
            }
        }
    }

    fn create(&mut self) -> io::Result<Open> {
        let marker = self.shared.draw();
        let name = segment::name(self.next, marker);
        let file = self.shared.fs.create(&self.shared.path(&name));
        let file = file.inspect_err(|error| self.count(error))?;
        Ok(Open {
            name,
            file,
            marker,
            first: self.next,
            len: 0,
        })
    }

    /// Writes header, frames or tick into the buffer; returns the frames, and where they are in it.
    fn encode(
        &self,
        buffer: &mut Vec<u8>,
        open: &Open,
        entries: &[&Entry],
        now: Now,
    ) -> Vec<(usize, Frame)> {
        let time = Stamp {
            age: self.clock.age(now.instant),
            wall: seconds(now.wall),
        };
        if open.len == 0 {
            let header = Header {
                version: VERSION,
                spool: self.shared.name,
                marker: open.marker,
                first: open.first,
                previous: self.previous,
                time,
            };
            buffer.extend_from_slice(&header.to_bytes());
        } else if entries.is_empty() {
            let wall = time.wall.to_le_bytes();
            let fields = (self.next, self.age(now), Kind::Tick);
            frame::write(buffer, open.marker, fields, [&wall[..]]);
        }
        batch::encode(buffer, open.marker, self.age(now), entries, self.next)
    }

    fn persist(&self, open: &Open, buffer: &[u8], is_new: bool) -> io::Result<()> {
        write_all(&*open.file, buffer, open.len)?;
        self.shared.sync(&*open.file)?;
        if is_new {
            self.shared.sync_dir()?;
        }
        Ok(())
    }

    /// Takes over what is safe now.
    fn enter<'e>(
        &mut self,
        mut open: Open,
        written: u64,
        entries: impl Iterator<Item = (&'e &'e Entry, (usize, Frame))>,
        is_new: bool,
    ) {
        let mut index = self.shared.index();
        if is_new {
            index.open_segment(open.first, &open.name, open.marker);
        }
        let before = self.next;
        for (entry, (start, frame)) in entries {
            let offset = open.len + start as u64;
            index.push(open.first, offset, &frame, (&entry.summary, State::Held));
            self.next = frame.sequence + 1;
        }
        open.len += written;
        index.segment_mut(open.first).len = open.len;
        drop(index);
        Counters::add(&self.shared.counters.bytes, written);
        Counters::add(&self.shared.counters.appended, self.next - before);
        self.open = Some(open);
    }

    /// Leaves a segment that cannot be trusted any more as it was before.
    fn give_up(&mut self, open: &Open, is_new: bool, error: &io::Error) {
        self.count(error);
        if is_new {
            let _ = self.shared.fs.remove(&self.shared.path(&open.name));
        } else {
            let _ = open.file.set_len(open.len);
            self.retire(open.first, open.len);
        }
    }

    fn retire(&mut self, first: u64, len: u64) {
        self.previous = Previous {
            first,
            end: self.next,
        };
        let mut index = self.shared.index();
        let segment = index.segment_mut(first);
        segment.len = len;
        segment.is_closed = true;
        segment.end = self.next;
    }

    fn count(&self, error: &io::Error) {
        Counters::add(&self.shared.counters.write_errors, 1);
        if self.failures == 0 {
            tracing::warn!(%error, "the spool cannot be written");
        }
    }

    fn age(&self, now: Now) -> u32 {
        u32::try_from(self.clock.age(now.instant)).unwrap_or(u32::MAX)
    }
}

/// Returns an error that says the same.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const BUFFER: usize = 1 << 20;
/// Bytes that a segment's header and seal take, and a tick.
const OVERHEAD: u64 = 256;

//! The two threads of a spool: one writes what comes, in batches that share one sync; the other tidies up behind.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::age::Now;
use crate::batch::Entry;
use crate::body::Draft;
use crate::error::AppendError;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::record::BodyFile;
use crate::segment::Previous;
use crate::shared::Shared;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    Append(Box<Append>),
    /// Writes the clocks down.
    Tick,
    /// Closes the open segment, so that it can go.
    CloseSegment,
    Stop,
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) entry: Entry,
    /// The body's file.
    pub(super) draft: Option<Draft>,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// Something for the keeper to do.
#[derive(Debug)]
pub(super) enum Note {
    /// A request ended, whose segment or body can go now.
    Ended(u64, Option<BodyFile>),
    /// A body is not needed.
    Discard(Draft),
    Stop,
}

/// Starts the thread that writes; it returns the segment that it closed last.
pub(super) fn write(
    mut log: Log,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
) -> io::Result<JoinHandle<Previous>> {
    let run = move || {
        while let Ok(job) = jobs.recv() {
            let mut batch = Vec::new();
            let other = gather(job, &jobs, &mut batch);
            commit(&mut log, &shared, batch);
            let now = Now::read();
            match other {
                None | Some(Job::Append(_)) => {}
                Some(Job::Tick) => log.tick(now),
                Some(Job::CloseSegment) => log.close_segment(now),
                Some(Job::Stop) => break,
            }
        }
        log.close_segment(Now::read());
        log.last()
    };
    Builder::new().name("spool-writer".to_owned()).spawn(run)
}

/// Starts the thread that tidies up.
pub(super) fn keep(
    keeper: Keeper,
    shared: Arc<Shared>,
    notes: Receiver<Note>,
    jobs: Sender<Job>,
) -> io::Result<JoinHandle<()>> {
    let mut keeping = Keeping {
        keeper,
        shared,
        jobs,
        tidied: Instant::now(),
        ticked: Instant::now(),
        appended: 0,
    };
    let run = move || while keeping.step(&notes).is_continue() {};
    Builder::new().name("spool-keeper".to_owned()).spawn(run)
}

/// Collects requests as long as there are any, up to a bound; returns the job that is none.
fn gather(job: Job, jobs: &Receiver<Job>, batch: &mut Vec<Append>) -> Option<Job> {
    let mut bytes = 0;
    let mut next = Some(job);
    while let Some(job) = next {
        let Job::Append(append) = job else {
            return Some(job);
        };
        bytes += append.entry.len();
        batch.push(*append);
        next = if bytes < BATCH {
            jobs.try_recv().ok()
        } else {
            None
        };
    }
    None
}

fn commit(log: &mut Log, shared: &Shared, batch: Vec<Append>) {
    if batch.is_empty() {
        return;
    }
    let mut entries = Vec::with_capacity(batch.len());
    let mut waiting = Vec::with_capacity(batch.len());
    for append in batch {
        entries.push(append.entry);
        waiting.push((append.draft, append.permit, append.reply));
    }
    let results = log.commit(&entries, Now::read());
    drop(entries);
    for ((draft, permit, reply), result) in waiting.into_iter().zip(results) {
        drop(permit);
        let sequence = result.as_ref().ok().copied();
        if let (Some(draft), Some(_)) = (draft, sequence) {
            draft.keep();
        }
        if let (Err(_), Some(sequence)) = (reply.send(result), sequence) {
            // Nobody waits for the answer any more, but the request is safe.
            shared.index().release(sequence);
            shared.waiting.notify_one();
        }
    }
}

struct Keeping {
    keeper: Keeper,
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    tidied: Instant,
    ticked: Instant,
    /// Requests that had been appended when it was tidied.
    appended: u64,
}

impl Keeping {
    fn step(&mut self, notes: &Receiver<Note>) -> ControlFlow<()> {
        let next = self.tidied + TIDY;
        match notes.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(note) => self.take(note)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        }
        while let Ok(note) = notes.try_recv() {
            self.take(note)?;
        }
        self.keeper.remove_empty();
        if Instant::now() >= next {
            self.tidy();
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, note: Note) -> ControlFlow<()> {
        match note {
            Note::Ended(_, None) => ControlFlow::Continue(()),
            Note::Discard(draft) => {
                drop(draft);
                ControlFlow::Continue(())
            }
            Note::Ended(sequence, Some(body)) => {
                self.keeper.remove_body(sequence, body);
                ControlFlow::Continue(())
            }
            Note::Stop => {
                self.keeper.remove_empty();
                ControlFlow::Break(())
            }
        }
    }

    fn tidy(&mut self) {
        let now = Now::read();
        self.keeper.tidy(now);
        self.tidied = now.instant;
        let counters = &self.shared.counters;
        let appended = counters.appended.load(Ordering::Relaxed);
        let is_idle = std::mem::replace(&mut self.appended, appended) == appended;
        let (is_empty, is_open) = {
            let index = self.shared.index();
            let is_open = index.segments().any(|(_, segment)| !segment.is_closed);
            (index.requests() + index.refused() == 0, is_open)
        };
        let is_failing = counters.is_failing.load(Ordering::Relaxed);
        let is_time = !is_empty && now.instant >= self.ticked + TICK;
        // The writer is gone when the spool closes; then nothing is left to be done.
        if is_failing || is_time {
            self.ticked = now.instant;
            let _ = self.jobs.send(Job::Tick);
        } else if is_empty && is_open && is_idle {
            let _ = self.jobs.send(Job::CloseSegment);
        }
    }
}

/// How many bytes are written with one sync, about.
const BATCH: u64 = 4 << 20;
const TIDY: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_secs(60);

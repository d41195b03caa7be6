//! The spool as its users see it.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use crate::age::{AgeClock, Now};
use crate::batch::Entry;
use crate::body::Draft;
use crate::chance::Chance;
use crate::config::Config;
use crate::counters::Counts;
use crate::dir::Lock;
use crate::error::{AppendError, OpenError};
use crate::fs::{Disk, Fs};
use crate::keeper::Keeper;
use crate::log::Log;
use crate::record::{self, Head, Lane, MAX_INLINE, Place, Summary};
use crate::recover::recover;
use crate::segment::Previous;
use crate::shared::Shared;

mod body;
mod claim;
mod threads;

pub use body::{BodyReader, BodyWriter};
pub use claim::{Claim, Content, Request};
use threads::{Append, Job, Note};

/// A durable queue of requests, in a directory that belongs to it alone. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

/// The body of a request that is appended.
#[derive(Debug)]
pub enum Body {
    /// All of it, in memory. One longer than 1 MiB goes into a file on its way.
    Memory(Vec<Bytes>),
    /// All of it, in a file of the spool.
    File(BodyWriter),
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    clock: AgeClock,
    jobs: mpsc::Sender<Job>,
    notes: mpsc::Sender<Note>,
    /// Memory that requests on their way to the disk may take, in KiB.
    memory: Arc<Semaphore>,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<Previous>,
    keeper: JoinHandle<()>,
    lock: Lock,
}

impl Queue {
    /// Opens the spool in a directory: reads what is there, up to a second for a gigabyte, and starts two threads.
    ///
    /// # Errors
    /// As [`OpenError`] says. Damaged files are none; they are set aside and counted.
    pub fn open(config: Config) -> Result<Queue, OpenError> {
        Queue::open_on(config, Arc::new(Disk))
    }

    /// Opens the spool on a file system.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub fn open_on(config: Config, fs: Arc<dyn Fs>) -> Result<Queue, OpenError> {
        let dir = config.dir.clone();
        let recovered = recover(fs, config, Chance::from_system(), Now::read())?;
        let shared = recovered.shared;
        let (jobs, job_receiver) = mpsc::channel();
        let (notes, note_receiver) = mpsc::channel();
        let log = Log::new(
            Arc::clone(&shared),
            recovered.clock,
            recovered.next,
            recovered.previous,
        );
        let keeper = Keeper::new(Arc::clone(&shared), recovered.clock);
        let failed = |error: io::Error| OpenError::io("start threads for", dir.clone(), error);
        let writer = threads::write(log, Arc::clone(&shared), job_receiver).map_err(failed)?;
        let to_writer = jobs.clone();
        let keeper =
            threads::keep(keeper, Arc::clone(&shared), note_receiver, to_writer).map_err(failed)?;
        let threads = Threads {
            writer,
            keeper,
            lock: recovered.lock,
        };
        Ok(Queue {
            inner: Arc::new(Inner {
                shared,
                clock: recovered.clock,
                jobs,
                notes,
                memory: Arc::new(Semaphore::new(MEMORY)),
                threads: Mutex::new(Some(threads)),
            }),
        })
    }

    /// Makes a request durable. Returns once it and everything that is needed to find it survive what
    /// [`Durability`](crate::Durability) says; the request is held by the returned claim then, and waits once that is
    /// dropped or released. Many calls share one sync.
    ///
    /// If the returned future is dropped early, the request may be kept nevertheless, and waits.
    ///
    /// # Errors
    /// As [`AppendError`] says; nothing of the request is kept then, and no promise was made.
    pub async fn append(&self, head: Head, body: Body) -> Result<Claim, AppendError> {
        let (draft, pieces) = match body {
            Body::File(writer) => (Some(writer.into_draft().await?), Vec::new()),
            Body::Memory(pieces) if length(&pieces) > MAX_INLINE => {
                let mut writer = self.body().await?;
                for piece in pieces {
                    writer.push(piece).await?;
                }
                (Some(writer.into_draft().await?), Vec::new())
            }
            Body::Memory(pieces) => (None, pieces),
        };
        let (draft, place) = match draft {
            None => (None, Place::Inline),
            Some((draft, file)) => (Some(draft), Place::File(file)),
        };
        let entry = Entry {
            head: record::encode(&head, place)?,
            summary: Summary {
                lane: head.lane,
                place,
            },
            body: pieces,
        };
        self.submit(entry, draft).await
    }

    /// Starts a body that is too long for memory, in a file of the spool.
    ///
    /// # Errors
    /// When the file cannot be made, or the spool is closed.
    pub async fn body(&self) -> Result<BodyWriter, AppendError> {
        let shared = Arc::clone(&self.inner.shared);
        let draft = spawn_blocking(move || Draft::create(shared)).await;
        let draft = draft.map_err(|_| AppendError::Closed)??;
        Ok(BodyWriter::new(draft, self.inner.notes.clone()))
    }

    /// Takes the oldest request that waits in a lane that may go; it is held until the claim ends. `may_go` is asked while the
    /// queue is locked, so it must be quick and not use the queue.
    pub fn claim(&self, may_go: impl FnMut(&Lane) -> bool) -> Option<Claim> {
        let sequence = self.inner.shared.index().take(may_go)?;
        Some(Claim::new(Arc::clone(&self.inner), sequence))
    }

    /// Waits until a request came to wait since this was last awaited. For one task; look for requests before and after.
    pub async fn changed(&self) {
        self.inner.shared.waiting.notified().await;
    }

    /// Returns the numbers of the moment.
    pub fn counts(&self) -> Counts {
        let index = self.inner.shared.index();
        Counts {
            requests: index.requests(),
            waiting: index.lanes().waiting(),
            refused: index.refused(),
            ..self.inner.shared.counters.read()
        }
    }

    /// Returns for how long the oldest of the requests that wait has been in the spool, in whole seconds; `None` when none
    /// waits.
    pub fn oldest_waits_for(&self) -> Option<Duration> {
        let came_in = self.inner.shared.index().oldest_waiting()?;
        let age = self.inner.clock.age(Now::read().instant);
        Some(Duration::from_secs(age.saturating_sub(u64::from(came_in))))
    }

    /// Returns how many requests there are of each project, refused ones included.
    pub fn projects(&self) -> BTreeMap<Option<u64>, u64> {
        self.inner.shared.index().lanes().projects()
    }

    /// Ends the queue: what was appended is written, the threads end, the directory is free. Requests that are held wait in
    /// the next process; what becomes of them after this is not written down.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        // Fails only where blocking tasks cannot run any more; the last clone closes the queue then.
        let _ = spawn_blocking(move || inner.stop()).await;
    }

    async fn submit(&self, entry: Entry, draft: Option<Draft>) -> Result<Claim, AppendError> {
        let kibibytes = entry.len().div_ceil(1024).min(MEMORY as u64) as u32;
        let memory = Arc::clone(&self.inner.memory);
        let permit = memory
            .acquire_many_owned(kibibytes)
            .await
            .map_err(|_| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let append = Append {
            entry,
            draft,
            permit,
            reply,
        };
        let sent = self.inner.jobs.send(Job::Append(Box::new(append)));
        sent.map_err(|_| AppendError::Closed)?;
        let mut waiting = Waiting {
            answer,
            shared: &self.inner.shared,
        };
        let answered = (&mut waiting.answer).await;
        let sequence = answered.map_err(|_| AppendError::Closed)??;
        Ok(Claim::new(Arc::clone(&self.inner), sequence))
    }
}

/// Waits for the writer's answer. Dropped when the answer is there and was not looked at, it lets the request wait.
struct Waiting<'a> {
    answer: oneshot::Receiver<Result<u64, AppendError>>,
    shared: &'a Shared,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(Ok(sequence)) = self.answer.try_recv() {
            self.shared.index().release(sequence);
            self.shared.waiting.notify_one();
        }
    }
}

impl Inner {
    fn stop(&self) {
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(threads) = threads else { return };
        self.memory.close();
        // A thread that is gone already has nothing left to do.
        let _ = self.jobs.send(Job::Stop);
        let last = threads.writer.join();
        let _ = self.notes.send(Note::Stop);
        let _ = threads.keeper.join();
        self.shared.close();
        if let Ok(last) = last {
            threads.lock.close(self.shared.name, last);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

/// 16 MiB.
const MEMORY: usize = 16 << 10;

//! The thread that writes what changed in memory to the file, and tries again when the disk fails.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::disk::{Disk, DiskError, set_aside};
use crate::memory::Known;
use crate::{Memory, OpenError, Trouble};

/// The hold on the writing thread; dropping it writes what is left and waits for that.
#[derive(Debug)]
pub(super) struct Saver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    most: u64,
    signal: Mutex<Signal>,
    signalled: Condvar,
    /// Numbers the changes that somebody waits for.
    wanted: AtomicU64,
    progress: watch::Sender<Progress>,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Debug, Default)]
struct Signal {
    is_pressing: bool,
    is_stopped: bool,
}

/// How far the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Every change up to this number is on the disk.
    Saved(u64),
    /// The disk fails, and nobody should wait for it.
    Stuck,
}

/// What the thread works on.
struct Work {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
    disk: Option<Disk>,
    retry_at: Instant,
}

impl Saver {
    /// Opens the file, fills memory from it, and starts the thread.
    pub(super) fn start(path: &Path, most: u64, memory: &Arc<Memory>) -> Result<Self, OpenError> {
        let disk = open(path, most, memory).map_err(|source| OpenError::File {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        memory.mark(Known::Everything);
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            most,
            signal: Mutex::default(),
            signalled: Condvar::new(),
            wanted: AtomicU64::new(0),
            progress: watch::Sender::new(Progress::Saved(0)),
            trouble: Mutex::default(),
        });
        let work = Work {
            memory: Arc::clone(memory),
            shared: Arc::clone(&shared),
            disk: Some(disk),
            retry_at: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || work.run())
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Asks for a write now instead of within a second.
    pub(super) fn wake(&self) {
        let mut signal = lock(&self.shared.signal);
        if !std::mem::replace(&mut signal.is_pressing, true) {
            self.shared.signalled.notify_one();
        }
    }

    /// Returns when everything done before the call is on the disk, or the disk fails.
    pub(super) async fn saved(&self) {
        let ticket = self.shared.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        let mut progress = self.shared.progress.subscribe();
        self.wake();
        let is_done = |progress: &Progress| match progress {
            Progress::Saved(saved) => *saved >= ticket,
            Progress::Stuck => true,
        };
        // An error means that the thread is gone, and nobody should wait for it either.
        let _ = progress.wait_for(is_done).await;
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.shared.trouble).clone()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        lock(&self.shared.signal).is_stopped = true;
        self.shared.signalled.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(mut self) {
        loop {
            let is_stopped = self.wait();
            match self.disk.take() {
                Some(disk) => self.write(disk),
                None if is_stopped || Instant::now() >= self.retry_at => self.attach(),
                None => {}
            }
            if is_stopped {
                return;
            }
        }
    }

    /// Waits until there is a reason to write; true when it is the last one.
    fn wait(&self) -> bool {
        let signal = lock(&self.shared.signal);
        let is_idle = |signal: &mut Signal| !signal.is_pressing && !signal.is_stopped;
        let waited = self
            .shared
            .signalled
            .wait_timeout_while(signal, TICK, is_idle);
        let (mut signal, _) = waited.unwrap_or_else(PoisonError::into_inner);
        signal.is_pressing = false;
        signal.is_stopped
    }

    /// Writes everything that is not saved, in as many batches as it takes.
    fn write(&mut self, mut disk: Disk) {
        loop {
            let wanted = self.shared.wanted.load(Ordering::SeqCst);
            if self.memory.has_unsaved() {
                let batch = self.memory.take_unsaved(BATCH);
                if let Err(error) = disk.write(&batch) {
                    drop(disk);
                    return self.detach(&error);
                }
                if batch.is_partial {
                    continue;
                }
            }
            self.shared.progress.send_replace(Progress::Saved(wanted));
            self.disk = Some(disk);
            return;
        }
    }

    /// Lets memory go on alone.
    fn detach(&mut self, error: &DiskError) {
        self.memory.stop_marking();
        self.retry_at = Instant::now() + RETRY;
        self.report(error);
        self.shared.progress.send_replace(Progress::Stuck);
    }

    /// Tells of a failure once; later ones of the same trouble are silent.
    fn report(&self, error: &DiskError) {
        let mut trouble = lock(&self.shared.trouble);
        if trouble.is_none() {
            let path = self.shared.path.display();
            tracing::error!(
                %path,
                %error,
                "state cannot be written; alerts go on from memory, and a restart would repeat some"
            );
            *trouble = Some(Trouble {
                what: format!("cannot write `{path}`: {error}"),
                since: Instant::now(),
            });
        }
    }

    /// Writes all of memory into a new file.
    fn attach(&mut self) {
        let wanted = self.shared.wanted.load(Ordering::SeqCst);
        self.memory.mark(Known::Nothing);
        let next = || self.memory.take_unsaved(BATCH);
        match Disk::replace(&self.shared.path, self.shared.most, next) {
            Ok(disk) => self.disk = Some(disk),
            Err(error) => return self.detach(&error),
        }
        self.shared.progress.send_replace(Progress::Saved(wanted));
        if lock(&self.shared.trouble).take().is_some() {
            tracing::info!(path = %self.shared.path.display(), "state is written again");
        }
    }
}

/// Opens the file and fills memory from it; a damaged one is set aside, and memory stays empty.
fn open(path: &Path, most: u64, memory: &Memory) -> Result<Disk, DiskError> {
    let (disk, kept) = match Disk::open(path, most) {
        Err(DiskError::Damaged(what)) => {
            let aside = set_aside(path)?;
            tracing::error!(
                path = %path.display(),
                moved_to = %aside.display(),
                what,
                "state file is damaged and was moved aside; what was seen and said is forgotten, so alerts may repeat"
            );
            Disk::open(path, most)?
        }
        opened => opened?,
    };
    memory.restore(kept);
    Ok(disk)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a count may wait to be written.
const TICK: Duration = Duration::from_secs(1);

/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Issues that one write takes: memory is locked while they are encoded.
const BATCH: usize = 4_096;

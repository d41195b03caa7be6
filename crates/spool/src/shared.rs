//! What the threads and the callers of an open spool have in common.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::chance::Chance;
use crate::config::{Config, Durability};
use crate::counters::Counters;
use crate::fs::{File, Fs};
use crate::index::Index;
use crate::marks::Files;

/// An open spool.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) config: Config,
    /// The name of the spool that its segments carry.
    pub(crate) name: u64,
    pub(crate) counters: Counters,
    /// Told when a request waits.
    pub(crate) waiting: Notify,
    /// Whether the directory is ours: once it is not, another process may have put files in the place of those we know.
    is_open: RwLock<bool>,
    index: Mutex<Index>,
    files: Mutex<Files>,
    chance: Mutex<Chance>,
}

impl Shared {
    pub(crate) fn new(fs: Arc<dyn Fs>, config: Config, name: u64, chance: Chance) -> Shared {
        Shared {
            fs,
            config,
            name,
            counters: Counters::default(),
            waiting: Notify::new(),
            is_open: RwLock::new(true),
            index: Mutex::default(),
            files: Mutex::default(),
            chance: Mutex::new(chance),
        }
    }

    /// Returns the index, for a moment. What is in it holds together even after a panic, because every method of it does.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to files that are there, unless the directory is no longer ours.
    pub(crate) fn while_open<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let is_open = self.is_open.read().unwrap_or_else(PoisonError::into_inner);
        is_open.then(act)
    }

    /// Gives the directory up; waits for who is in the middle of something.
    pub(crate) fn close(&self) {
        *self.is_open.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Returns the files that marks are written into, for a moment.
    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a number that nobody can guess.
    pub(crate) fn draw(&self) -> u64 {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.next()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }

    /// Whether so many bytes more would still be within the cap.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.counters.bytes.load(Ordering::Relaxed) + bytes <= self.config.max_size
    }

    /// Makes a file's bytes durable, if that is wanted.
    pub(crate) fn sync(&self, file: &dyn File) -> io::Result<()> {
        match self.config.durability {
            Durability::PowerLoss => file.sync(),
            Durability::ProcessEnd => Ok(()),
        }
    }

    /// Makes the directory's names durable, if that is wanted.
    pub(crate) fn sync_dir(&self) -> io::Result<()> {
        match self.config.durability {
            Durability::PowerLoss => self.fs.sync_dir(&self.config.dir),
            Durability::ProcessEnd => Ok(()),
        }
    }

    /// Removes a file of a known length; one that is gone is as good as removed.
    pub(crate) fn remove(&self, name: &str, len: u64) {
        match self.fs.remove(&self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Counters::add(&self.counters.write_errors, 1);
                tracing::warn!(name, %error, "a file of the spool cannot be removed");
            }
            Ok(()) | Err(_) => Counters::take(&self.counters.bytes, len),
        }
    }
}

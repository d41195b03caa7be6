//! A real disk that fails when it is told to, under the whole queue.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use spool::fs::{Access, Disk, Entry, File, Fs};
use spool::{AppendError, Body, Queue};

use crate::support::{append, config, drain, head, open, until};

/// The disk of the machine, with faults.
#[derive(Debug, Default, Clone)]
pub(crate) struct Failing {
    /// What taking the lock says.
    pub(crate) lock: Arc<Mutex<Option<ErrorKind>>>,
    /// Whether every sync fails with EIO.
    sync: Arc<AtomicBool>,
    /// Whether every write fails with ENOSPC.
    write: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn File>,
    faults: Failing,
}

#[tokio::test]
async fn a_disk_that_fails_is_never_trusted_and_is_found_well_again() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Failing::default();
    let queue = Queue::open_on(config(dir.path()), Arc::new(fs.clone())).unwrap();
    append(&queue, 1, 1).await.release();

    for (number, fault) in [(10, &fs.sync), (20, &fs.write)] {
        fault.store(true, Ordering::Relaxed);
        for number in number..number + 5 {
            let refused = queue.append(head(1, number), Body::Memory(vec![])).await;
            assert!(matches!(refused, Err(AppendError::Disk(_))));
        }
        assert!(queue.counts().is_failing);
        fault.store(false, Ordering::Relaxed);
        // It finds out by itself.
        until(|| !queue.counts().is_failing).await;
        append(&queue, 1, number + 9).await.release();
    }
    assert!(queue.counts().write_errors > 0);
    queue.close().await;

    let queue = open(dir.path());
    assert_eq!(
        (drain(&queue).await, queue.counts().damaged),
        (vec![1, 19, 29], 0)
    );
}

impl Failing {
    fn wrap(&self, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FailingFile {
            file: file?,
            faults: self.clone(),
        }))
    }
}

impl Fs for Failing {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }

    fn restrict(&self, dir: &Path) -> io::Result<()> {
        Disk.restrict(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        Disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.wrap(Disk.create(path))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.wrap(Disk.open(path, access))
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match *self.lock.lock().unwrap() {
            Some(kind) => Err(kind.into()),
            None => Disk.lock(path),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
}

impl File for FailingFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.faults.write.load(Ordering::Relaxed) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults.sync.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.sync()
    }
}

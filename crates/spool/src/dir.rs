//! The spool's directory: made, checked, locked.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::OpenError;
use crate::fs::{Entry, File, Fs, write_all};
use crate::segment::{BODY, DAMAGED, LOCK, Previous, SEGMENT, TEMPORARY};

/// A directory that nobody else uses as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Arc<dyn File>,
    /// The name of the spool, if it has one.
    pub(crate) name: Option<u64>,
    /// The last segment and where it ends, if the spool was closed.
    pub(crate) closed: Option<Previous>,
}

/// Makes sure of the directory and locks it.
pub(crate) fn claim(fs: &dyn Fs, dir: &Path) -> Result<Lock, OpenError> {
    let entries = match fs.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(fs, dir)?;
            Vec::new()
        }
        Err(error) => return Err(sort(error, "read", dir)),
    };
    refuse_foreign(dir, &entries)?;
    let lock = lock(fs, dir)?;
    // May belong to somebody else, as mounted directories do; the files in it are ours alone in any case.
    let _ = fs.restrict(dir);
    Ok(lock)
}

/// Returns a name of a directory that no spool makes, if none in it is of a spool.
pub(crate) fn foreign(entries: &[Entry]) -> Option<&str> {
    if entries.iter().any(|entry| is_ours(&entry.name)) {
        return None;
    }
    let mut others = entries.iter().filter(|entry| entry.name != "lost+found");
    others.next().map(|entry| entry.name.as_str())
}

/// Whether a spool makes files of this name.
pub(crate) fn is_ours(name: &str) -> bool {
    let endings = [SEGMENT, BODY, TEMPORARY, DAMAGED];
    name == LOCK || endings.iter().any(|ending| name.ends_with(ending))
}

impl Lock {
    /// Writes down who we are, for those who find the directory locked, and the spool's name.
    pub(crate) fn sign(&self, fs: &dyn Fs, dir: &Path, name: u64) {
        let process = std::process::id();
        let signed = self
            .write(&format!("{TITLE}\nname {name:016x}\nprocess {process}\n"))
            .and_then(|()| self.file.sync())
            .and_then(|()| fs.sync_dir(dir));
        if let Err(error) = signed {
            // A full disk is no reason not to start: what is in the spool may leave, and make room.
            tracing::warn!(%error, "the spool's lock file cannot be written");
        }
        // Whoever made the directory may not have synced it.
        for parent in dir.ancestors().skip(1) {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let _ = fs.sync_dir(parent);
        }
    }

    /// Writes down where the spool ends, so that a damaged end is noticed.
    pub(crate) fn close(&self, name: u64, last: Previous) {
        let Previous { first, end } = last;
        // Nothing is lost without.
        let _ = self.write(&format!(
            "{TITLE}\nname {name:016x}\nclosed {first} {end}\n"
        ));
    }

    fn write(&self, text: &str) -> io::Result<()> {
        write_all(&*self.file, text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }
}

fn make(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    let parent = parent(dir);
    if !exists(fs, &parent)? {
        let grandparent = self::parent(&parent);
        if !exists(fs, &grandparent)? {
            return Err(OpenError::Missing {
                dir: dir.to_owned(),
                parent: grandparent,
            });
        }
        make_one(fs, &parent)?;
    }
    make_one(fs, dir)
}

fn exists(fs: &dyn Fs, dir: &Path) -> Result<bool, OpenError> {
    match fs.list(dir) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // One may make directories where one must not look.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(true),
        Err(error) => Err(sort(error, "read", dir)),
    }
}

fn make_one(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    let made = match fs.make_dir(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    made.and_then(|()| fs.sync_dir(&parent(dir)))
        .map_err(|error| sort(error, "make directory", dir))
}

fn refuse_foreign(dir: &Path, entries: &[Entry]) -> Result<(), OpenError> {
    match foreign(entries) {
        None => Ok(()),
        Some(found) => Err(OpenError::Foreign {
            dir: dir.to_owned(),
            found: found.to_owned(),
        }),
    }
}

fn lock(fs: &dyn Fs, dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join(LOCK);
    match fs.lock(&path) {
        Ok(file) => {
            let name = read(&*file, "name ").and_then(|text| u64::from_str_radix(&text, 16).ok());
            let closed = read(&*file, "closed ").and_then(|text| {
                let (first, end) = text.split_once(' ')?;
                Some(Previous {
                    first: first.parse().ok()?,
                    end: end.parse().ok()?,
                })
            });
            Ok(Lock { file, name, closed })
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(OpenError::Locked {
            dir: dir.to_owned(),
            process: holder(fs, &path),
        }),
        Err(error) => Err(sort(error, "lock", dir)),
    }
}

fn holder(fs: &dyn Fs, path: &Path) -> Option<u32> {
    let file = fs.open(path, crate::fs::Access::Read).ok()?;
    read(&*file, "process ")?.parse().ok()
}

/// Reads the rest of a line that starts so.
fn read(file: &dyn File, start: &str) -> Option<String> {
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    line.map(str::to_owned)
}

fn parent(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => dir.to_owned(),
    }
}

/// Names what the file system said about a directory.
pub(crate) fn sort(error: io::Error, action: &'static str, dir: &Path) -> OpenError {
    match error.kind() {
        ErrorKind::NotADirectory => OpenError::NotADirectory(dir.to_owned()),
        ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly(dir.to_owned()),
        ErrorKind::PermissionDenied => OpenError::Forbidden(dir.to_owned()),
        _ => OpenError::io(action, dir, error),
    }
}

const TITLE: &str = "sentry-notice spool";

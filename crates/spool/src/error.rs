//! Why a spool cannot be opened, a request cannot be kept, or one that is kept cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use crate::record::HeadError;

/// Why a spool cannot be opened. Trying again helps only after somebody did something; [`hint`](Self::hint) says what.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not there, nor is the one that it would be made in.
    #[error("spool directory `{}` does not exist{}", dir.display(), Self::nor(dir, parent))]
    Missing {
        /// The spool's directory.
        dir: PathBuf,
        /// The first directory that would have to exist: the same, where nothing would be made.
        parent: PathBuf,
    },
    /// Something else has the directory's name.
    #[error("`{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The directory lies on a file system that is mounted read-only.
    #[error("spool directory `{}` is on a read-only file system", .0.display())]
    ReadOnly(PathBuf),
    /// The directory may not be written to.
    #[error("spool directory `{}` may not be written to", .0.display())]
    Forbidden(PathBuf),
    /// The directory holds something, and no spool.
    #[error("directory `{}` holds `{found}` and no spool", dir.display())]
    Foreign {
        /// The spool's directory.
        dir: PathBuf,
        /// A name found there.
        found: String,
    },
    /// Another process uses the directory.
    #[error("spool directory `{}` is in use by {}", dir.display(), Self::process(*.process))]
    Locked {
        /// The spool's directory.
        dir: PathBuf,
        /// The process's id, if it could be read.
        process: Option<u32>,
    },
    /// The file system says something else.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What could not be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Returns what the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            OpenError::Missing { .. } => {
                "make the directory, or mount its disk: only it and its parent are made by themselves"
            }
            OpenError::NotADirectory(_) => "set `spool.dir` to a directory",
            OpenError::ReadOnly(_) => "mount it writable, or set `spool.dir` to another directory",
            OpenError::Forbidden(_) => {
                "let the user that the proxy runs as own the directory, or set `spool.dir` to another"
            }
            OpenError::Foreign { .. } => "set `spool.dir` to an empty directory",
            OpenError::Locked { .. } => "stop the other process, or give each its own `spool.dir`",
            OpenError::Io { .. } => "see what the system says about the disk",
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        OpenError::Io {
            action,
            path: path.into(),
            source,
        }
    }

    fn nor(dir: &Path, parent: &Path) -> String {
        match parent == dir {
            true => String::new(),
            false => format!(", nor does `{}`", parent.display()),
        }
    }

    fn process(id: Option<u32>) -> String {
        id.map_or_else(
            || "another process".to_owned(),
            |id| format!("process {id}"),
        )
    }
}

/// Why a request is not safe. Nothing of it is kept then.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The files of the spool are as large as they may be. Trying again helps once requests have left.
    #[error("the spool is full")]
    Full,
    /// The disk did not take it. Trying again helps once the disk is better; that is found out by trying.
    #[error("the disk did not take the request")]
    Disk(#[source] io::Error),
    /// The head cannot be kept, now or later.
    #[error("the request's head cannot be kept")]
    Head(#[from] HeadError),
    /// The spool is closed.
    #[error("the spool is closed")]
    Closed,
}

impl AppendError {
    /// Returns one of `full`, `disk`, `head` and `closed`, as a label.
    pub fn reason(&self) -> &'static str {
        match self {
            AppendError::Full => "full",
            AppendError::Disk(_) => "disk",
            AppendError::Head(_) => "head",
            AppendError::Closed => "closed",
        }
    }
}

/// Why a request that is kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its bytes are no longer what was written. It is lost and counted; the file is kept aside.
    #[error("the request on disk is damaged")]
    Damaged,
    /// It could not be read just now. Trying again helps.
    #[error("the request on disk cannot be read now")]
    Unavailable(#[source] io::Error),
}

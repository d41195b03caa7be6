//! The few things that the spool asks of a file system, so that tests can put a simulated disk under it.

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

mod disk;
#[cfg(test)]
pub(crate) mod sim;

pub use disk::Disk;

/// A file system. What a call has done is safe from power loss only after [`File::sync`] for bytes and lengths, and
/// [`Fs::sync_dir`] for names.
pub trait Fs: Debug + Send + Sync + 'static {
    /// Makes one directory that only its owner may enter.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the file system says.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a directory's permissions from everybody but its owner.
    ///
    /// # Errors
    /// When it belongs to somebody else, for example.
    fn restrict(&self, dir: &Path) -> io::Result<()>;

    /// Lists what is in a directory; names that are not UTF-8 are none of ours and left out.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and whatever the file system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes a new file for reading and writing that only its owner may open.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the file system says.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`, and whatever the file system says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;

    /// Opens or makes a file and locks it for as long as it stays open.
    ///
    /// # Errors
    /// `WouldBlock` when another holds the lock, and whatever the file system says.
    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file within its directory, atomically, over one that exists.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name in its directory.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the file system says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name; the bytes go with the last name and the last open file.
    ///
    /// # Errors
    /// `NotFound`, and whatever the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory safe from power loss.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Positions are in bytes from its start; reads and writes may do less than asked.
pub trait File: Debug + Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn length(&self) -> io::Result<u64>;

    /// Reads up to a buffer full; 0 at the end.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of the bytes.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length safe from power loss. After an error it says nothing about what was written before, now or
    /// when called again: the system may have dropped it.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync(&self) -> io::Result<()>;
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What an opened file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// Writes all bytes.
pub(crate) fn write_all(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills the buffer; an early end of the file is `UnexpectedEof`.
pub(crate) fn read_exact(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

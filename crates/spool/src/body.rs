//! Bodies that are too long for a segment: one file each, written and read in blocks that each have a check.
//!
//! A file `<id>.body` is a row of blocks: 8 bytes of check (XXH3-64, seeded with the id plus the block's number), then 64
//! KiB of the body, less in the last block. Its record knows the id, the length, and a check over all checks.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::counters::Counters;
use crate::error::{AppendError, LoadError};
use crate::fs::{Access, File, read_exact, write_all};
use crate::record::BodyFile;
use crate::segment::BODY;
use crate::shared::Shared;

/// A body file in the making; it goes away with this value, unless a record came to know it.
#[derive(Debug)]
pub(crate) struct Draft {
    shared: Arc<Shared>,
    file: Arc<dyn File>,
    id: u64,
    len: u64,
    /// Bytes in the file.
    written: u64,
    block: Vec<u8>,
    blocks: u64,
    /// The checks of the blocks, 8 bytes each.
    checks: Vec<u8>,
    is_kept: bool,
}

/// A body file that is read from its start.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Arc<dyn File>,
    body: BodyFile,
    block: u64,
}

impl Draft {
    /// Makes a file.
    pub(crate) fn create(shared: Arc<Shared>) -> Result<Draft, AppendError> {
        let id = shared.draw();
        let path = shared.path(&name(id));
        let file = shared.fs.create(&path).map_err(|error| {
            Counters::add(&shared.counters.write_errors, 1);
            AppendError::Disk(error)
        })?;
        Ok(Draft {
            shared,
            file,
            id,
            len: 0,
            written: 0,
            block: Vec::new(),
            blocks: 0,
            checks: Vec::new(),
            is_kept: false,
        })
    }

    /// Returns the length of the body so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a piece of the body.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), AppendError> {
        while !piece.is_empty() {
            let room = BLOCK - self.block.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.block.extend_from_slice(now);
            self.len += now.len() as u64;
            piece = later;
            if self.block.len() == BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Makes the whole body durable.
    pub(crate) fn seal(&mut self) -> Result<BodyFile, AppendError> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        let synced = self.shared.sync(&*self.file);
        synced
            .and_then(|()| self.shared.sync_dir())
            .map_err(|error| self.failed(error))?;
        Ok(BodyFile {
            id: self.id,
            len: self.len,
            check: xxh3_64_with_seed(&self.checks, self.id),
        })
    }

    /// Leaves the file to the record that knows it now.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    fn flush(&mut self) -> Result<(), AppendError> {
        let bytes = (CHECK + self.block.len()) as u64;
        if !self.shared.has_room(bytes) {
            Counters::add(&self.shared.counters.refused_full, 1);
            return Err(AppendError::Full);
        }
        let check = check(&self.block, self.id, self.blocks).to_le_bytes();
        write_all(&*self.file, &check, self.written)
            .and_then(|()| write_all(&*self.file, &self.block, self.written + CHECK as u64))
            .map_err(|error| self.failed(error))?;
        self.checks.extend_from_slice(&check);
        self.block.clear();
        self.blocks += 1;
        self.written += bytes;
        Counters::add(&self.shared.counters.bytes, bytes);
        Ok(())
    }

    fn failed(&self, error: io::Error) -> AppendError {
        Counters::add(&self.shared.counters.write_errors, 1);
        AppendError::Disk(error)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shared.remove(&name(self.id), self.written);
        }
    }
}

impl Reader {
    /// Opens a body's file, as [`new`](Self::new) does.
    pub(crate) fn open(shared: &Shared, body: BodyFile) -> Result<Reader, LoadError> {
        let path = shared.path(&name(body.id));
        let file = shared.fs.open(&path, Access::Read);
        Reader::new(file.map_err(fault)?, body)
    }

    /// Reads an open file once to see that it is what was written.
    pub(crate) fn new(file: Arc<dyn File>, body: BodyFile) -> Result<Reader, LoadError> {
        let mut reader = Reader {
            file,
            body,
            block: 0,
        };
        let mut checks = Vec::new();
        while let Some(block) = reader.next()? {
            let check = check(&block, body.id, reader.block - 1);
            checks.extend_from_slice(&check.to_le_bytes());
        }
        if xxh3_64_with_seed(&checks, body.id) != body.check {
            return Err(LoadError::Damaged);
        }
        reader.block = 0;
        Ok(reader)
    }

    /// Returns the length of the body.
    pub(crate) fn len(&self) -> u64 {
        self.body.len
    }

    /// Returns the next block, up to 64 KiB.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, LoadError> {
        let left = self.body.len.saturating_sub(self.block * BLOCK as u64);
        if left == 0 {
            return Ok(None);
        }
        let length = left.min(BLOCK as u64) as usize;
        let mut bytes = vec![0; CHECK + length];
        let offset = self.block * (CHECK + BLOCK) as u64;
        read_exact(&*self.file, &mut bytes, offset).map_err(fault)?;
        let mut bytes = Bytes::from(bytes);
        let stored = bytes.split_to(CHECK);
        if stored != check(&bytes, self.body.id, self.block).to_le_bytes()[..] {
            return Err(LoadError::Damaged);
        }
        self.block += 1;
        Ok(Some(bytes))
    }
}

/// Returns the name of a body's file.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}{BODY}")
}

/// Reads a body's id out of its file's name.
pub(crate) fn read_name(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(BODY)?, 16).ok()
}

/// Returns the length of the file of a body of this length.
pub(crate) fn file_len(len: u64) -> u64 {
    len + len.div_ceil(BLOCK as u64) * CHECK as u64
}

/// Sorts what the disk says about a file that should be readable.
pub(crate) fn fault(error: io::Error) -> LoadError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => LoadError::Damaged,
        // EIO: the disk has lost what it held. There is no kind for it.
        _ if error.raw_os_error() == Some(5) => LoadError::Damaged,
        _ => LoadError::Unavailable(error),
    }
}

fn check(block: &[u8], id: u64, number: u64) -> u64 {
    xxh3_64_with_seed(block, id.wrapping_add(number))
}

const BLOCK: usize = 64 << 10;
const CHECK: usize = 8;

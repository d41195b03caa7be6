//! The file itself: three tables of a redb database.
//!
//! `issues`: project and hash → record · `rows`: name → value, whatever is no issue · `event_ids`: number → up to 512 ids,
//! oldest first. Names and values are postcard; [`FORMAT`] changes with them.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use super::bounded::Bounded;
use crate::IssueKey;
use crate::memory::{Batch, EVENT_IDS, Kept};

/// An open file.
pub(super) struct Disk {
    database: Database,
    path: PathBuf,
    /// Rows of event ids and how many each has, oldest first.
    event_ids: VecDeque<(u64, usize)>,
    writes: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// Another process has it.
    #[error("another process has it open: give each its own `state.path`, or share state in Redis")]
    InUse,
    /// Its content is not what was written, or not by this version.
    #[error("its content cannot be read: {0}")]
    Damaged(String),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The database refuses.
    #[error(transparent)]
    Database(Box<redb::Error>),
}

impl Disk {
    /// Opens the file, making it where there is none, and reads all of it.
    pub(super) fn open(path: &Path, most: u64) -> Result<(Self, Kept), DiskError> {
        let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
        if let Some(folder) = folder {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        // redb asserts where it finds what it could not have written.
        let opened = catch_unwind(AssertUnwindSafe(|| open(path, most)));
        opened.unwrap_or_else(|_| Err(DiskError::Damaged("its pages contradict each other".into())))
    }

    /// Writes a batch, wholly and synced to the disk, or not at all.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), DiskError> {
        self.transact(|transaction, event_ids| apply(transaction, batch, event_ids))?;
        self.writes += 1;
        if self.writes.is_multiple_of(WRITES_BETWEEN_LOOKS) {
            self.compact_if_loose()?;
        }
        Ok(())
    }

    /// Makes a new file of what the batches hold, and puts it in the place of the old one when it is whole; the last
    /// batch says that it is no part.
    pub(super) fn replace(
        path: &Path,
        most: u64,
        mut next: impl FnMut() -> Batch,
    ) -> Result<Self, DiskError> {
        // Whoever has the old file now must keep it.
        let old = match Self::open(path, u64::MAX) {
            Err(DiskError::Damaged(_)) => {
                set_aside(path)?;
                None
            }
            opened => Some(opened?),
        };
        let new = beside(path, ".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let (mut disk, _) = Self::open(&new, most)?;
        disk.transact(|transaction, event_ids| {
            loop {
                let batch = next();
                apply(transaction, &batch, event_ids)?;
                if !batch.is_partial {
                    return Ok(());
                }
            }
        })?;
        fs::rename(&new, path)?;
        drop(old);
        path.clone_into(&mut disk.path);
        Ok(disk)
    }

    /// Gives room back to the system when most of the file holds nothing.
    pub(super) fn compact_if_loose(&mut self) -> Result<(), DiskError> {
        let length = fs::metadata(&self.path)?.len();
        if length < SMALL {
            return Ok(());
        }
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        let stats = transaction.stats()?;
        transaction.abort()?;
        if stats.stored_bytes() + stats.metadata_bytes() < length / 3 {
            self.database.compact().map_err(redb::Error::from)?;
        }
        Ok(())
    }

    fn transact(
        &mut self,
        write: impl FnOnce(
            &redb::WriteTransaction,
            &mut VecDeque<(u64, usize)>,
        ) -> Result<(), redb::Error>,
    ) -> Result<(), DiskError> {
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        write(&transaction, &mut self.event_ids)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::Corrupted(what) => Self::Damaged(what),
            error => Self::Database(Box::new(error)),
        }
    }
}

impl From<redb::StorageError> for DiskError {
    fn from(error: redb::StorageError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<DatabaseError> for DiskError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::UpgradeRequired(version) => {
                Self::Damaged(format!("it has version {version} of redb's format"))
            }
            DatabaseError::RepairAborted => Self::Damaged("it cannot be repaired".into()),
            DatabaseError::Storage(redb::StorageError::Io(error)) if is_foreign(&error) => {
                Self::Damaged(error.to_string())
            }
            error => redb::Error::from(error).into(),
        }
    }
}

/// Moves a damaged file out of the way, over the one moved before it, and returns where it is.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, ".damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn open(path: &Path, most: u64) -> Result<(Disk, Kept), DiskError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let database = Database::builder()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(Bounded::new(file, most)?)?;
    let mut disk = Disk {
        database,
        path: path.to_owned(),
        event_ids: VecDeque::new(),
        writes: 0,
    };
    let kept = read(&mut disk)?;
    disk.compact_if_loose()?;
    Ok((disk, kept))
}

/// Reads everything; a file that was just made gets its tables.
fn read(disk: &mut Disk) -> Result<Kept, DiskError> {
    disk.transact(|transaction, _| {
        transaction.open_table(ISSUES)?;
        transaction.open_table(ROWS)?;
        transaction.open_table(EVENT_ID_ROWS)?;
        let mut meta = transaction.open_table(META)?;
        let is_new = meta.get("format")?.is_none();
        if is_new {
            meta.insert("format", FORMAT)?;
        }
        Ok(())
    })?;
    let transaction = disk.database.begin_read().map_err(redb::Error::from)?;
    let meta = transaction.open_table(META).map_err(redb::Error::from)?;
    let format = meta.get("format")?.map(|format| format.value());
    if format != Some(FORMAT) {
        let what = format!("it has format {format:?}, and this version knows {FORMAT}");
        return Err(DiskError::Damaged(what));
    }
    let mut kept = Kept::default();
    let damaged = |error: postcard::Error| DiskError::Damaged(error.to_string());
    let issues = transaction.open_table(ISSUES).map_err(redb::Error::from)?;
    kept.expect(usize::try_from(issues.len()?).unwrap_or(0));
    for entry in issues.iter()? {
        kept.issue(entry?.1.value()).map_err(damaged)?;
    }
    let rows = transaction.open_table(ROWS).map_err(redb::Error::from)?;
    for entry in rows.iter()? {
        let (name, value) = entry?;
        kept.row(name.value(), value.value()).map_err(damaged)?;
    }
    let ids = transaction
        .open_table(EVENT_ID_ROWS)
        .map_err(redb::Error::from)?;
    for entry in ids.iter()? {
        let (number, value) = entry?;
        let (ids, _) = value.value().as_chunks();
        disk.event_ids.push_back((number.value(), ids.len()));
        kept.event_ids(ids.iter().map(|id| u64::from_le_bytes(*id)));
    }
    Ok(kept)
}

fn apply(
    transaction: &redb::WriteTransaction,
    batch: &Batch,
    event_ids: &mut VecDeque<(u64, usize)>,
) -> Result<(), redb::Error> {
    let mut issues = transaction.open_table(ISSUES)?;
    for (key, record) in &batch.issues {
        let key = issue_name(key);
        match record {
            Some(record) => drop(issues.insert(key.as_slice(), record.as_slice())?),
            None => drop(issues.remove(key.as_slice())?),
        }
    }
    let mut rows = transaction.open_table(ROWS)?;
    for (name, value) in &batch.rows {
        let name = postcard::to_allocvec(name).map_err(|error| corrupted(&error))?;
        match value {
            Some(value) => drop(rows.insert(name.as_slice(), value.as_slice())?),
            None => drop(rows.remove(name.as_slice())?),
        }
    }
    let mut ids = transaction.open_table(EVENT_ID_ROWS)?;
    append(&mut ids, &batch.event_ids, event_ids)
}

/// Adds event ids to the newest row until it is full, and lets the oldest rows go.
fn append(
    table: &mut redb::Table<'_, u64, &'static [u8]>,
    ids: &[u64],
    index: &mut VecDeque<(u64, usize)>,
) -> Result<(), redb::Error> {
    let mut left = ids;
    while !left.is_empty() {
        let next = index.back().map_or(0, |(number, _)| number + 1);
        let (number, has) = index
            .back()
            .copied()
            .filter(|(_, has)| *has < IDS_PER_ROW)
            .unwrap_or((next, 0));
        let (now, later) = left.split_at(left.len().min(IDS_PER_ROW - has));
        let mut bytes = match table.get(number)? {
            Some(row) if has > 0 => row.value().to_vec(),
            _ => Vec::new(),
        };
        bytes.extend(now.iter().flat_map(|id| id.to_le_bytes()));
        table.insert(number, bytes.as_slice())?;
        if has > 0 {
            index.pop_back();
        }
        index.push_back((number, has + now.len()));
        left = later;
    }
    while index.len() * IDS_PER_ROW > EVENT_IDS + IDS_PER_ROW {
        if let Some((number, _)) = index.pop_front() {
            table.remove(number)?;
        }
    }
    Ok(())
}

fn issue_name(key: &IssueKey) -> [u8; 24] {
    let mut name = [0; 24];
    name[..8].copy_from_slice(&key.project.to_be_bytes());
    name[8..].copy_from_slice(&key.hash.0);
    name
}

fn corrupted(error: &postcard::Error) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}

/// Whether an error of opening says that the file is none of redb's.
fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Makes a file look like one of another version.
#[cfg(test)]
pub(super) fn write_format(path: &Path, format: u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert("format", format).unwrap();
    drop(meta);
    transaction.commit().unwrap();
}

const ISSUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("issues");
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const EVENT_ID_ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("event_ids");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// What the values look like; a file of another format is set aside.
const FORMAT: u64 = 2;

/// Bytes of the file that redb may hold in memory.
const CACHE: usize = 32 << 20;

const IDS_PER_ROW: usize = 512;

/// A file below this many bytes is never compacted.
const SMALL: u64 = 32 << 20;

const WRITES_BETWEEN_LOOKS: u64 = 10_000;

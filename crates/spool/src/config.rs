//! What the operator chose: where the spool is, how much it may hold and for how long.

use std::path::PathBuf;
use std::time::Duration;

/// Everything a spool is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory. It and its parent are made when missing; what lies further up has to exist.
    pub dir: PathBuf,
    /// How many bytes the files of the directory may have together. A request that would pass it is refused.
    pub max_size: u64,
    /// How long a request is kept, in time that the spool was open; see the crate's documentation.
    pub max_age: Duration,
    /// What an appended request survives.
    pub durability: Durability,
}

/// What a request survives once `append` has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process and of the machine's power: everything is synced.
    #[default]
    PowerLoss,
    /// The end of the process only: nothing is synced.
    ProcessEnd,
}

impl Config {
    /// Returns the defaults, 2 GiB and 72 hours, safe against power loss, for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            max_size: 2 << 30,
            max_age: Duration::from_secs(72 * 3600),
            durability: Durability::PowerLoss,
        }
    }

    /// Returns the size at which a segment is closed: small enough that the cap holds several.
    pub(crate) fn segment_size(&self) -> u64 {
        (self.max_size / 16).clamp(SEGMENT_MIN, SEGMENT_MAX)
    }
}

/// Tests fill segments often.
const SEGMENT_MIN: u64 = if cfg!(test) { 2 << 10 } else { 64 << 10 };
const SEGMENT_MAX: u64 = 16 << 20;

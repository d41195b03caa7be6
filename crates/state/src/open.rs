//! Which store to use, and how to open it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::fallback::Clock;
use crate::{Fallback, File, Memory, OpenError, Redis, RedisConfig, Store};

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// In this process; a restart forgets it.
    Memory,
    /// In a file, for one process.
    File(PathBuf),
    /// In Redis, for all that share its prefix.
    Redis(RedisConfig),
}

/// Opens the store. Needs a tokio runtime; Redis need not be there yet.
///
/// # Errors
/// When the file cannot be used; see [`File::open`].
pub async fn open(config: &Config, clock: Clock) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match config {
        Config::Memory => Arc::new(Memory::new()),
        Config::File(path) => Arc::new(File::open(path)?),
        Config::Redis(config) => {
            let redis = Redis::new(config.clone());
            Arc::new(Fallback::start(redis, clock).await)
        }
    })
}

impl Default for Config {
    fn default() -> Self {
        Self::File(PathBuf::from("data/state.db"))
    }
}

//! Starts the log, as the configuration wants it.

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Sends log lines to stderr from now on, in the configured format.
///
/// # Errors
/// When a log was started before; trying again never helps.
pub fn start(config: LogConfig) -> Result<(), TryInitError> {
    start_on(config, io::stderr)
}

fn start_on<W>(config: LogConfig, writer: W) -> Result<(), TryInitError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = LevelFilter::from_level(config.level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false);
    match config.format {
        LogFormat::Text => registry().with(level).with(lines).try_init(),
        LogFormat::Json => registry()
            .with(level)
            .with(lines.json().flatten_event(true))
            .try_init(),
    }
}

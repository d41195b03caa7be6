//! The signals we obey: SIGTERM and SIGINT stop, SIGHUP reloads.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns a future that resolves with the name of the first SIGTERM or SIGINT from now on.
///
/// # Errors
/// When the signals cannot be watched.
pub fn stop_signal() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Watches SIGHUP from now on.
///
/// # Errors
/// When the signal cannot be watched.
pub fn reload_signal() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

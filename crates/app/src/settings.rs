//! What can change while the process runs, and how its parts hear of it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Config, TeeConfig};

/// The configuration in force, and the way to those who obey it.
pub(crate) struct Settings {
    config: Config,
    alert: watch::Sender<Arc<alert::Config>>,
    reading: watch::Sender<Arc<Reading>>,
    upstream: watch::Sender<String>,
}

/// How captured requests are read.
pub(crate) struct Reading {
    pub(crate) tee: TeeConfig,
    pub(crate) grouping: grouping::Config,
}

/// Why a new configuration is not obeyed; the old one stays in force as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A value can only change by a restart.
    #[error("`{0}` can only change by a restart")]
    NeedsRestart(&'static str),
    /// The forwarding side cannot use it.
    #[error(transparent)]
    Proxy(#[from] proxy::ReloadError),
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            alert: watch::Sender::new(Arc::new(config.alert.clone())),
            reading: watch::Sender::new(Arc::new(Reading::of(config))),
            upstream: watch::Sender::new(config.proxy.upstream.url.to_string()),
            config: config.clone(),
        }
    }

    pub(crate) fn alert(&self) -> watch::Receiver<Arc<alert::Config>> {
        self.alert.subscribe()
    }

    pub(crate) fn reading(&self) -> watch::Receiver<Arc<Reading>> {
        self.reading.subscribe()
    }

    pub(crate) fn upstream(&self) -> watch::Receiver<String> {
        self.upstream.subscribe()
    }

    /// Puts a new configuration in force: for new requests and events at once.
    ///
    /// # Errors
    /// When a value differs that can only change by a restart, or the forwarding side cannot use it.
    pub(crate) fn apply(
        &mut self,
        config: Config,
        proxy: &proxy::Running,
    ) -> Result<(), ReloadError> {
        if let Some(key) = needs_restart(&self.config, &config) {
            return Err(ReloadError::NeedsRestart(key));
        }
        proxy.reload(config.proxy.clone())?;
        self.alert.send_replace(Arc::new(config.alert.clone()));
        self.reading.send_replace(Arc::new(Reading::of(&config)));
        self.upstream
            .send_replace(config.proxy.upstream.url.to_string());
        self.config = config;
        Ok(())
    }
}

impl Reading {
    fn of(config: &Config) -> Self {
        Self {
            tee: config.tee.clone(),
            grouping: config.grouping.clone(),
        }
    }
}

/// Returns the key of a value that differs and cannot change while the process runs.
fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let differs = [
        ("robot", old.robots != new.robots),
        ("admin", old.admin != new.admin),
        ("spool", old.spool != new.spool),
        ("tee.memory", old.tee.memory != new.tee.memory),
        ("state", old.state != new.state),
        ("state.retention", old.retention != new.retention),
        ("log", old.log != new.log),
    ];
    differs
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(key, _)| key)
}

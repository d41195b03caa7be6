//! What can change while the process runs, and how its parts hear of it.

use std::sync::Arc;
use std::time::Duration;

use admin::reload::Changed;
use tokio::sync::watch;

use crate::config::{Config, TeeConfig};

/// The configuration in force, and the way to those who obey it.
pub(crate) struct Settings {
    config: Config,
    alert: watch::Sender<Arc<alert::Config>>,
    reading: watch::Sender<Arc<Reading>>,
    warnings: watch::Sender<Arc<Vec<String>>>,
    outage_after: watch::Sender<Duration>,
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
            warnings: watch::Sender::new(Arc::new(config.warnings.clone())),
            outage_after: watch::Sender::new(config.outage_after),
            config: config.clone(),
        }
    }

    pub(crate) fn alert(&self) -> watch::Receiver<Arc<alert::Config>> {
        self.alert.subscribe()
    }

    pub(crate) fn reading(&self) -> watch::Receiver<Arc<Reading>> {
        self.reading.subscribe()
    }

    pub(crate) fn warnings(&self) -> watch::Receiver<Arc<Vec<String>>> {
        self.warnings.subscribe()
    }

    pub(crate) fn outage_after(&self) -> watch::Receiver<Duration> {
        self.outage_after.subscribe()
    }

    /// Puts a new configuration in force: for new requests and events at once. Returns what differs.
    ///
    /// # Errors
    /// When a value differs that can only change by a restart, or the forwarding side cannot use it.
    pub(crate) fn apply(
        &mut self,
        config: Config,
        proxy: &proxy::Running,
    ) -> Result<Changed, ReloadError> {
        if let Some(key) = needs_restart(&self.config, &config) {
            return Err(ReloadError::NeedsRestart(key));
        }
        let changed = changes(&self.config, &config);
        proxy.reload(config.proxy.clone())?;
        self.alert.send_replace(Arc::new(config.alert.clone()));
        self.reading.send_replace(Arc::new(Reading::of(&config)));
        self.warnings
            .send_replace(Arc::new(config.warnings.clone()));
        self.outage_after.send_replace(config.outage_after);
        self.config = config;
        Ok(changed)
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

/// Returns the tables and keys that differ and can change while the process runs. Certificates are read anew in any case.
fn changes(old: &Config, new: &Config) -> Changed {
    let (proxy, alert) = ((&old.proxy, &new.proxy), (&old.alert, &new.alert));
    let tee = (proxy.0.tee != proxy.1.tee)
        || (old.tee != new.tee)
        || (alert.0.min_level, &alert.0.kinds) != (alert.1.min_level, &alert.1.kinds);
    let differs = [
        ("upstream", proxy.0.upstream != proxy.1.upstream),
        ("forward", proxy.0.forward != proxy.1.forward),
        ("tunnel", proxy.0.tunnel_path != proxy.1.tunnel_path),
        ("tls", proxy.0.tls != proxy.1.tls),
        (
            "spool.refresh_sent_at",
            proxy.0.refresh_sent_at != proxy.1.refresh_sent_at,
        ),
        ("tee", tee),
        ("sentry", alert.0.links != alert.1.links),
        ("project", alert.0.project_names != alert.1.project_names),
        ("grouping", !old.grouping.is_written_as(&new.grouping)),
        ("alert", alert.0.routes != alert.1.routes),
        ("mute", alert.0.mutes != alert.1.mutes),
        ("people", alert.0.people != alert.1.people),
        (
            "self",
            (&alert.0.own_robot, old.outage_after) != (&alert.1.own_robot, new.outage_after),
        ),
        ("admin.public_url", alert.0.public_url != alert.1.public_url),
    ];
    let differing = differs.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name).collect()
}

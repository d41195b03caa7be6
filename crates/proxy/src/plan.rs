//! A configuration made ready: everything in it that can fail has been done. Threads share it and can be given another.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Config;
use crate::error::TlsError;
use crate::tls;
use crate::upstream::Connector;

/// A configuration made ready.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// The way to the default upstream, then one for each route.
    pub(crate) connectors: Vec<Connector>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

impl Plan {
    /// Reads certificates and prepares connections.
    ///
    /// # Errors
    /// When TLS cannot be set up as configured.
    pub(crate) fn new(config: Config) -> Result<Arc<Plan>, TlsError> {
        Plan::with(config, &[])
    }

    /// As [`Plan::new`], after another plan: what that one knows of an upstream that stays is not forgotten.
    pub(crate) fn after(old: &Plan, config: Config) -> Result<Arc<Plan>, TlsError> {
        Plan::with(config, &old.connectors)
    }

    fn with(config: Config, known: &[Connector]) -> Result<Arc<Plan>, TlsError> {
        let upstream = &config.upstream;
        let origins: Vec<_> = [&upstream.url]
            .into_iter()
            .chain(upstream.routes.iter().map(|route| &route.url))
            .collect();
        let needs_tls = origins.iter().any(|origin| origin.is_https());
        let settings = needs_tls.then(|| tls::client(upstream)).transpose()?;
        let connectors = origins
            .into_iter()
            .map(|origin| {
                let connector = Connector::new(origin, upstream, settings.as_ref())?;
                let before = known.iter().find(|known| known.origin() == origin);
                Ok(before.map_or(connector.clone(), |before| connector.knowing(before)))
            })
            .collect::<Result<_, _>>()?;
        let tls = config.tls.as_ref().map(tls::server).transpose()?;
        Ok(Arc::new(Plan {
            config,
            connectors,
            tls,
        }))
    }
}

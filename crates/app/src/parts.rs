//! The two halves of a process before they run: what forwards, and what alerts.

use std::sync::Arc;
use std::time::SystemTime;

use admin::{Draw, Probe};
use alert::outbox::{Deliveries, Parts};
use alert::{Engine, Key, Keyring, Notifier, Outbox};
use dingtalk::HttpSettings;
use prometheus_client::registry::Registry;
use proxy::{Captures, Proxy};
use spool::Queue;
use state::Store;

use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::process::StartError;
use crate::settings::Settings;
use crate::spool_metrics::SpoolMetrics;
use crate::status;

/// What forwards: the proxy, and the spool for what Sentry does not take.
pub(crate) struct Forwarding {
    pub(crate) proxy: Proxy,
    pub(crate) captures: Captures,
    pub(crate) metrics: Arc<proxy::Metrics>,
    /// The spool, and the bytes it may hold.
    pub(crate) spool: Option<(Queue, u64)>,
    /// How SDKs speak to it: `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// What alerts: from the copies of requests to the robots.
pub(crate) struct Alerting {
    pub(crate) pipeline: Pipeline,
    pub(crate) engine: Engine,
    pub(crate) keyring: Keyring,
    pub(crate) outbox: Outbox,
    pub(crate) deliveries: Deliveries,
    pub(crate) metrics: alert::Metrics,
    /// Draws what the robots sent.
    pub(crate) draw: Draw,
}

impl Forwarding {
    /// Listens, and opens the spool.
    pub(crate) fn bind(config: &Config, registry: &mut Registry) -> Result<Self, StartError> {
        let metrics = Arc::new(proxy::Metrics::default());
        metrics.register(registry);
        let (tap, captures) = proxy::tap::channel(config.tee.memory);
        let mut proxy = Proxy::bind(config.proxy.clone(), tap, Arc::clone(&metrics))?;
        let size = config.spool.as_ref().map(|spool| spool.max_size);
        let queue = config.spool.clone().map(Queue::open).transpose()?;
        if let Some(queue) = &queue {
            registry.register_collector(Box::new(SpoolMetrics(queue.clone())));
            proxy = proxy.keep_in(queue.clone());
        }
        Ok(Self {
            proxy,
            captures,
            metrics,
            spool: queue.zip(size),
            scheme: config.scheme(),
        })
    }

    /// Returns what reads its numbers for the pages.
    pub(crate) fn probe(&self) -> Probe {
        let metrics = Arc::clone(&self.metrics);
        status::probe(metrics, self.proxy.outlook(), self.spool.clone())
    }
}

impl Alerting {
    /// Starts the robots' loops; what still waits in the state is delivered from now on.
    pub(crate) fn start(
        config: &Config,
        settings: &Settings,
        store: &Arc<dyn Store>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let metrics = alert::Metrics::default();
        metrics.register(registry);
        let (outbox, deliveries) = Outbox::start(Parts {
            robots: robots(config)?,
            store: Arc::clone(store),
            metrics: metrics.clone(),
            clock: Arc::new(SystemTime::now),
            config: settings.alert(),
        });
        let given = config.admin.mute_key.as_ref();
        let keyring = Keyring::new(Arc::clone(store), given, random_key()?);
        let engine = Engine::new(settings.alert(), Arc::clone(store), outbox.clone())
            .link_mutes(keyring.clone());
        Ok(Self {
            pipeline: Pipeline::new(settings.reading(), engine.clone(), metrics.clone()),
            engine,
            keyring,
            outbox,
            deliveries,
            metrics,
            draw: status::draw(&config.robots),
        })
    }
}

fn robots(config: &Config) -> Result<Vec<Arc<dyn Notifier>>, StartError> {
    config
        .robots
        .iter()
        .map(|(name, robot)| {
            let robot = dingtalk::Robot::new(robot.clone(), &HttpSettings::default());
            let robot = robot.map_err(|source| StartError::Robot {
                name: name.clone(),
                source,
            })?;
            Ok(Arc::new(robot) as Arc<dyn Notifier>)
        })
        .collect()
}

/// Returns what the key of mute links is made of, should the state keep none yet.
fn random_key() -> Result<Key, StartError> {
    let mut bytes = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| StartError::Random)?;
    Ok(Key::new(bytes))
}

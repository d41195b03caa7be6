//! One process: everything wired together, started and stopped inside a test as well as by the command line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use admin::reload::Asked;
use admin::{Admin, Muting, Ready};
use alert::Engine;
use alert::outbox::Deliveries;
use prometheus_client::registry::Registry;
use proxy::{Captures, Proxy};
use spool::Queue;
use state::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::fallback::FallbackGauge;
use crate::parts::{Alerting, Forwarding};
use crate::pipeline::Pipeline;
use crate::reload::{Reload, obey};
use crate::settings::Settings;
use crate::vitals::{Stage, Vitals};
use crate::watch::Watching;

/// A proxy with its alert pipeline and admin pages, bound to its addresses and ready to run.
pub struct App {
    proxy: Proxy,
    admin: Admin,
    admin_listener: TcpListener,
    pipeline: Pipeline,
    engine: Engine,
    metrics: alert::Metrics,
    captures: Captures,
    deliveries: Deliveries,
    settings: Settings,
    retention: Duration,
    spool: Option<Queue>,
    watching: Watching,
    asked: Option<mpsc::Receiver<Asked>>,
    /// There as long as the pipeline is.
    pipeline_lives: Arc<()>,
    tell: Box<dyn Fn(Stage) + Send + Sync>,
}

/// Why a process cannot start. Trying again helps once the address is free.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The proxy's own parts cannot start.
    #[error(transparent)]
    Proxy(#[from] proxy::BindError),
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] spool::OpenError),
    /// The admin pages' address cannot be bound.
    #[error("cannot listen on {address} for the admin pages")]
    Admin {
        /// The address of `admin.listen`.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Where state is kept cannot be used.
    #[error(transparent)]
    State(#[from] state::OpenError),
    /// The system gives no random numbers.
    #[error("cannot make a key for mute links: the system gives no random numbers")]
    Random,
    /// A robot's client cannot be built.
    #[error("cannot start robot `{name}`")]
    Robot {
        /// The robot's name in the config.
        name: String,
        /// What its client said.
        source: dingtalk::RobotError,
    },
}

impl StartError {
    /// Returns what the operator can do about it, where the error itself does not say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StartError::Spool(error) => Some(error.hint()),
            StartError::Proxy(_)
            | StartError::State(_)
            | StartError::Admin { .. }
            | StartError::Random
            | StartError::Robot { .. } => None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Deliveries that were still waiting when the grace period ended; their alerts are lost.
    pub undelivered: usize,
}

impl App {
    /// Binds every address and builds every part; nothing is served yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// When an address cannot be bound, the spool or the state file cannot be used, or a robot's client cannot be built.
    pub async fn new(config: Config) -> Result<Self, StartError> {
        install_crypto();
        let mut registry = Registry::with_prefix("sentry_notice");
        let store = state::open(&config.state, Arc::new(SystemTime::now)).await?;
        registry.register_collector(Box::new(FallbackGauge(Arc::clone(&store))));
        let settings = Settings::new(&config);
        let alerting = Alerting::start(&config, &settings, &store, &mut registry)?;
        let forwarding = Forwarding::bind(&config, &mut registry)?;
        let address = config.admin.listen;
        let admin_listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Admin { address, source })?;
        let watching = Watching {
            metrics: Arc::clone(&forwarding.metrics),
            outlook: forwarding.proxy.outlook(),
            spool: forwarding.spool.clone(),
            store: Arc::clone(&store),
            outbox: alerting.outbox.clone(),
            alert: settings.alert(),
            outage_after: settings.outage_after(),
        };
        let (reload, asked) = admin::Reload::channel();
        let admin = Admin {
            token: config.admin.token,
            reload,
            ..pages((&alerting, &forwarding), registry, store, &settings)
        };
        Ok(Self {
            admin,
            admin_listener,
            proxy: forwarding.proxy,
            captures: forwarding.captures,
            spool: forwarding.spool.map(|(queue, _)| queue),
            pipeline: alerting.pipeline,
            engine: alerting.engine,
            metrics: alerting.metrics,
            deliveries: alerting.deliveries,
            settings,
            retention: config.retention,
            watching,
            asked: Some(asked),
            pipeline_lives: Arc::default(),
            tell: Box::new(|_| {}),
        })
    }

    /// Returns what comes from those who ask over HTTP for the configuration to be read anew; `None` when taken already.
    /// Unless somebody takes it, they are told that nobody reads configurations.
    pub fn reload_requests(&mut self) -> Option<mpsc::Receiver<Asked>> {
        self.asked.take()
    }

    /// Returns where SDKs connect to.
    pub fn address(&self) -> SocketAddr {
        self.proxy.local_addr()
    }

    /// Returns where the admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        // A bound listener has an address; the configured one stands in should the system forget it.
        self.admin_listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Returns what tells whether every part still moves.
    pub fn vitals(&self) -> Vitals {
        Vitals::new(self.proxy.pulse(), &self.pipeline_lives)
    }

    /// Names somebody to be told of each stage the process comes to.
    pub fn telling(self, tell: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            ..self
        }
    }

    /// Serves until `stop` resolves; then stops accepting, finishes what is in flight and delivers what was decided,
    /// each for at most `grace`.
    ///
    /// Each configuration that comes through `reloads` is put in force, or refused and logged.
    ///
    /// # Errors
    /// When the operating system gives no threads to forward on.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        reloads: mpsc::Receiver<Reload>,
        grace: Duration,
    ) -> Result<Stopped, StartError> {
        drop(self.asked);
        let proxy = self.proxy.start()?;
        let (end, ended) = watch::channel(false);
        let ready = self.admin.ready.clone();
        let store = Arc::clone(&self.admin.store);
        let expiry = tokio::spawn(expire(store, self.metrics, self.retention));
        let sweeping = tokio::spawn(sweep(self.engine));
        let watching = tokio::spawn(self.watching.run());
        let admin = spawn_admin(self.admin_listener, self.admin, ended);
        let mut pipeline = spawn_pipeline(self.pipeline, self.captures, self.pipeline_lives);
        ready.set(true);
        (self.tell)(Stage::Serving);

        tokio::select! {
            () = stop => {}
            () = obey(reloads, self.settings, &proxy, &self.tell) => {}
        }

        ready.set(false);
        (self.tell)(Stage::Stopping);
        proxy.shutdown(grace);
        proxy.stopped().await;
        if let Some(queue) = self.spool {
            queue.close().await;
        }
        // The taps went with the proxy's threads, so the pipeline ends when it has taken every copy.
        if tokio::time::timeout(grace, &mut pipeline).await.is_err() {
            pipeline.abort();
        }
        sweeping.abort();
        watching.abort();
        let undelivered = self.deliveries.finish(grace).await;
        expiry.abort();
        let _ = end.send(true);
        let _ = admin.await;
        Ok(Stopped { undelivered })
    }
}

/// Names the crypto of every TLS connection that does not name its own; once a process.
pub(crate) fn install_crypto() {
    // An error means that one is installed already, by us or by the program around us.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Returns what the pages show; who may see it is the caller's to say.
fn pages(
    (alerting, forwarding): (&Alerting, &Forwarding),
    registry: Registry,
    store: Arc<dyn Store>,
    settings: &Settings,
) -> Admin {
    Admin {
        registry: Arc::new(registry),
        muting: Muting {
            mutes: alerting.engine.mutes(),
            keyring: alerting.keyring.clone(),
        },
        reload: admin::Reload::default(),
        store,
        robots: alerting.outbox.health(),
        journal: alerting.outbox.journal(),
        activity: alerting.engine.activity(),
        config: settings.alert(),
        warnings: settings.warnings(),
        probe: forwarding.probe(),
        draw: Arc::clone(&alerting.draw),
        scheme: forwarding.scheme,
        listen: forwarding.proxy.local_addr(),
        ready: Ready::default(),
        token: None,
    }
}

fn spawn_admin(
    listener: TcpListener,
    admin: Admin,
    mut ended: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the sender is gone, which is an end too.
            let _ = ended.wait_for(|ended| *ended).await;
        };
        if let Err(error) = admin::serve(listener, admin, stop).await {
            tracing::error!(error = %error, "admin pages stopped");
        }
    })
}

/// Runs the pipeline, and keeps `lives` for as long.
fn spawn_pipeline(pipeline: Pipeline, captures: Captures, lives: Arc<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        pipeline.run(captures).await;
        drop(lives);
    })
}

/// Says of issues that they have stopped, where a route wants that.
async fn sweep(engine: Engine) {
    let mut turns = tokio::time::interval(Duration::from_secs(10));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        engine.sweep(SystemTime::now()).await;
    }
}

async fn expire(store: Arc<dyn Store>, metrics: alert::Metrics, retention: Duration) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        let now = SystemTime::now();
        let ago = |age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        match store.expire(ago(retention), ago(STALE), now).await {
            Ok(expired) => metrics.count_expired(&expired),
            Err(error) => tracing::debug!(error = %error, "cannot forget old issues"),
        }
    }
}

/// How long a message may wait before nobody wants it any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

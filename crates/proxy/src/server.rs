//! Listens on every forwarding thread, accepts connections, and drains them when told to stop.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use spool::Queue;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, sleep, timeout};

use crate::config::Config;
use crate::connection;
use crate::error::{BindError, ReloadError};
use crate::keep::Keeper;
use crate::metrics::Metrics;
use crate::patrol::TICK;
use crate::plan::Plan;
use crate::pulse::{Beat, Pulse};
use crate::replay::Replay;
use crate::tap::Tap;
use crate::worker::Worker;

/// A proxy that owns its listening sockets but does not serve yet.
#[derive(Debug)]
pub struct Proxy {
    commands: watch::Sender<Command>,
    address: SocketAddr,
    listeners: Vec<std::net::TcpListener>,
    tap: Tap,
    metrics: Arc<Metrics>,
    keeper: Option<Arc<Keeper>>,
    pulse: Pulse,
}

/// A proxy that serves. Dropping it stops its threads at once; [`Running::shutdown`] lets them finish first.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    commands: watch::Sender<Command>,
    threads: Vec<JoinHandle<()>>,
}

/// A view of every Sentry that requests go to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outlook(watch::Receiver<Command>);

/// What is known of one Sentry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamState {
    /// Its address.
    pub origin: String,
    /// The projects that live there; none for the one where all others live.
    pub projects: Vec<event::ProjectId>,
    /// Since when it has not answered; `None` while it does. Requests are tried now and then meanwhile, the others kept.
    pub down_since: Option<Instant>,
    /// Whether its answers take longer than clients are let wait.
    pub is_late: bool,
}

/// A Sentry that does not answer: the last requests failed, and it is asked now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Its address in the configuration.
    pub upstream: String,
    /// When the first of these requests failed.
    pub since: Instant,
}

/// What the threads are told; they look at the latest only.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) plan: Arc<Plan>,
    /// Set once they have to stop: how long they may take.
    pub(crate) grace: Option<Duration>,
}

/// What one thread begins with.
struct Seed {
    listener: std::net::TcpListener,
    tap: Tap,
    metrics: Arc<Metrics>,
    keeper: Option<Arc<Keeper>>,
    beat: Beat,
    commands: watch::Receiver<Command>,
}

impl Proxy {
    /// Listens on the configured address, once per forwarding thread, and prepares everything else that can fail.
    ///
    /// # Errors
    /// When the address cannot be listened on or TLS cannot be set up; trying again helps only after something changed.
    pub fn bind(config: Config, tap: Tap, metrics: Arc<Metrics>) -> Result<Proxy, BindError> {
        let (wanted, count) = (config.listen, config.thread_count());
        let plan = Plan::new(config).map_err(BindError::Tls)?;
        let (address, listeners) = listen(wanted, count).map_err(|source| BindError::Listen {
            address: wanted,
            source,
        })?;
        Ok(Proxy {
            commands: watch::Sender::new(Command { plan, grace: None }),
            address,
            pulse: Pulse::new(listeners.len()),
            listeners,
            tap,
            metrics,
            keeper: None,
        })
    }

    /// Keeps in this queue what Sentry does not take in time, and sends it when Sentry takes it again.
    pub fn keep_in(mut self, queue: Queue) -> Proxy {
        self.keeper = Some(Arc::new(Keeper::new(queue)));
        self
    }

    /// Returns the address that is listened on, with the port that was picked for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns a view of the upstreams, which goes along with every reload.
    pub fn outlook(&self) -> Outlook {
        Outlook(self.commands.subscribe())
    }

    /// Returns what tells whether the forwarding threads move, once they are started.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Starts the forwarding threads.
    ///
    /// # Errors
    /// When the operating system gives no more threads or descriptors.
    pub fn start(self) -> Result<Running, BindError> {
        let (sender, commands) = (self.commands.clone(), self.commands.subscribe());
        let (ready, built) = std::sync::mpsc::channel();
        // Nobody accepts before everybody is ready: a crowd at the door would take the descriptors that the others need.
        let door = Arc::new(Mutex::new(()));
        let shut = door.lock().unwrap_or_else(PoisonError::into_inner);
        let mut threads = Vec::with_capacity(self.listeners.len());
        for (index, listener) in self.listeners.into_iter().enumerate() {
            let (tap, metrics) = (self.tap.clone(), Arc::clone(&self.metrics));
            let seed = Seed {
                listener,
                tap,
                metrics,
                keeper: self.keeper.clone(),
                beat: self.pulse.of_thread(index),
                commands: commands.clone(),
            };
            let (ready, door) = (ready.clone(), Arc::clone(&door));
            let thread = thread::Builder::new()
                .name(format!("forward-{index}"))
                .spawn(move || run(seed, ready, &door))
                .map_err(BindError::Thread)?;
            threads.push(thread);
        }
        if let Some(keeper) = self.keeper {
            let (metrics, commands) = (self.metrics, commands.clone());
            let ready = ready.clone();
            let thread = thread::Builder::new()
                .name("replay".to_owned())
                .spawn(move || replay(keeper, metrics, commands, ready))
                .map_err(BindError::Thread)?;
            threads.push(thread);
        }
        drop(ready);
        while let Ok(built) = built.recv() {
            built.map_err(BindError::Thread)?;
        }
        drop(shut);
        Ok(Running {
            address: self.address,
            commands: sender,
            threads,
        })
    }
}

impl Running {
    /// Returns the address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves from now on as another configuration says, certificates read anew; requests in flight end as they began.
    ///
    /// # Errors
    /// When the new configuration cannot be used as it is; then the old one stays in force as a whole.
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let old = Arc::clone(&self.commands.borrow().plan);
        if let Some(name) = restart_for(&old.config, &config) {
            return Err(ReloadError::NeedsRestart(name));
        }
        let plan = Plan::after(&old, config).map_err(ReloadError::Tls)?;
        self.commands.send_modify(|command| command.plan = plan);
        Ok(())
    }

    /// Stops accepting, lets what is in flight finish for at most `grace`, then stops; at once when nothing is in flight.
    pub fn shutdown(&self, grace: Duration) {
        self.commands
            .send_modify(|command| command.grace = Some(grace));
    }

    /// Waits until every thread has ended, after [`Running::shutdown`].
    pub async fn stopped(self) {
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    tracing::error!("a forwarding thread panicked");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("cannot wait for the forwarding threads");
        }
    }
}

impl Outlook {
    /// Returns the upstreams that do not answer now.
    pub fn outages(&self) -> Vec<Outage> {
        let down = self.upstreams().into_iter().filter_map(|upstream| {
            Some(Outage {
                since: upstream.down_since?,
                upstream: upstream.origin,
            })
        });
        down.collect()
    }

    /// Returns the state of each upstream, the default one first.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        let plan = Arc::clone(&self.0.borrow().plan);
        let routes = plan.config.upstream.routes.iter();
        let projects =
            std::iter::once(Vec::new()).chain(routes.map(|route| route.projects.clone()));
        let connectors = plan.connectors.iter().zip(projects);
        connectors
            .map(|(connector, projects)| UpstreamState {
                origin: connector.origin().to_string(),
                projects,
                down_since: connector.breaker().open_since(),
                is_late: connector.lateness().is_usual(),
            })
            .collect()
    }
}

/// Returns the name of a value that differs and cannot change while the proxy runs.
fn restart_for(old: &Config, new: &Config) -> Option<&'static str> {
    if old.listen != new.listen {
        return Some("listen");
    }
    (old.thread_count() != new.thread_count()).then_some("threads")
}

/// One forwarding thread, from its first connection to its last.
fn run(seed: Seed, ready: std::sync::mpsc::Sender<io::Result<()>>, door: &Mutex<()>) {
    let entered = runtime().and_then(|runtime| {
        let _context = runtime.enter();
        let listener = TcpListener::from_std(seed.listener)?;
        Ok((runtime, listener))
    });
    let (runtime, listener) = match entered {
        Ok(entered) => entered,
        Err(error) => {
            ready.send(Err(error)).ok();
            return;
        }
    };
    ready.send(Ok(())).ok();
    drop(ready);
    drop(door.lock());
    let plan = Arc::clone(&seed.commands.borrow().plan);
    let worker = Rc::new(Worker::new(plan, seed.tap, seed.metrics, seed.keeper));
    runtime.block_on(serve(worker, listener, seed.beat, seed.commands));
}

/// The thread that sends what the spool holds.
fn replay(
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
    commands: watch::Receiver<Command>,
    ready: std::sync::mpsc::Sender<io::Result<()>>,
) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            ready.send(Err(error)).ok();
            return;
        }
    };
    ready.send(Ok(())).ok();
    drop(ready);
    let plan = Arc::clone(&commands.borrow().plan);
    runtime.block_on(Replay::new(plan, keeper, metrics).run(commands));
}

async fn serve(
    worker: Rc<Worker>,
    listener: TcpListener,
    beat: Beat,
    mut commands: watch::Receiver<Command>,
) {
    let mut connections = JoinSet::new();
    let patrolling = tokio::task::spawn_local(patrol(Rc::clone(&worker), beat));
    let grace = loop {
        let has_room = worker.has_room();
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok(accepted) => admit(&worker, &mut connections, accepted),
                Err(error) => wait_out(&error).await,
            },
            () = sleep(ACCEPT_PAUSE), if !has_room => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            changed = commands.changed() => match changed.ok().map(|()| commands.borrow_and_update().clone()) {
                Some(Command { plan, grace: None }) => worker.adopt(plan),
                Some(Command { grace: Some(grace), .. }) => break grace,
                None => break Duration::ZERO,
            },
        }
    };
    // What the kernel has already accepted for us would be reset when the listener closes.
    while let Some(accepted) = accept_now(&listener) {
        admit(&worker, &mut connections, accepted);
    }
    drop(listener);
    worker.patrol.drain();
    let finished = async {
        while connections.join_next().await.is_some() {}
        worker.until_idle().await;
    };
    let _ = timeout(grace, finished).await;
    worker.end();
    patrolling.abort();
}

/// Advances the clock of the thread's connections for ever, which shows that the thread moves.
async fn patrol(worker: Rc<Worker>, beat: Beat) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        beat.beat();
        worker.patrol.advance(&worker.settings().config().limits);
    }
}

fn admit(
    worker: &Rc<Worker>,
    connections: &mut JoinSet<()>,
    (stream, peer): (TcpStream, SocketAddr),
) {
    worker.make_room();
    let registered = worker.patrol.register();
    connections.spawn_local(connection::serve(
        Rc::clone(worker),
        stream,
        peer,
        registered,
    ));
}

/// Waits before accepting again when the process has no descriptor or memory left: the error would repeat at once.
async fn wait_out(error: &io::Error) {
    let is_about_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !is_about_one_connection {
        tracing::warn!(%error, "cannot accept connections for the moment");
        sleep(ACCEPT_PAUSE).await;
    }
}

fn accept_now(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let mut context = Context::from_waker(Waker::noop());
    match listener.poll_accept(&mut context) {
        Poll::Ready(accepted) => accepted.ok(),
        Poll::Pending => None,
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// Opens one listening socket per thread, all on the same address: the kernel spreads connections over them.
fn listen(
    address: SocketAddr,
    count: usize,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    check_is_free(address)?;
    let first = listen_once(address)?;
    let resolved = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(listen_once(resolved)?);
    }
    Ok((resolved, listeners))
}

/// Fails if somebody listens already: sockets that share a port would let two proxies run on the same one unnoticed.
fn check_is_free(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn listen_once(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// How long not to accept after running out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

//! A scripted HTTP/1.1 server on 127.0.0.1: the part that all fakes share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::behaviour::Answer;
use crate::received::{Origin, Received};
use crate::record::{Bounds, Recorder};
use crate::script::Script;
use crate::wire::Source;

mod conversation;

use conversation::{Ending, converse};

/// How a fake server treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Accepts and answers.
    Serving,
    /// Refuses connections, as a stopped process does; the port stays ours.
    Refusing,
    /// Accepts connections and never reads from them.
    Silent,
    /// Never accepts: connecting hangs (Linux drops the SYN when the backlog is full).
    Stuck,
}

/// Bytes that were not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which accepted connection they came on, counted from 1.
    pub connection: u64,
    /// The head, when one could be told apart.
    pub head: Bytes,
    /// What is wrong with them.
    pub why: String,
}

/// What the connections of one server have in common.
pub(crate) struct Stage {
    pub(crate) usual: Box<dyn Fn(&Received) -> Answer + Send + Sync>,
    pub(crate) script: Script,
    pub(crate) received: Recorder<Received>,
    pub(crate) malformed: Recorder<Malformed>,
    pub(crate) connections: AtomicU64,
}

impl Stage {
    pub(crate) fn new(usual: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            usual: Box::new(usual),
            script: Script::new(),
            received: Recorder::new("requests", Bounds::default()),
            malformed: Recorder::new("malformed requests", Bounds::default()),
            connections: AtomicU64::new(0),
        }
    }
}

/// A listener that can be closed and opened again on the same port.
pub(crate) struct Server {
    address: SocketAddr,
    stage: Arc<Stage>,
    acceptor: Mutex<Option<Acceptor>>,
    _reservation: Option<TcpSocket>,
}

impl Server {
    /// Binds a free port of 127.0.0.1 and serves it.
    pub(crate) async fn start(stage: Stage) -> io::Result<Self> {
        let (address, reservation) = reserve()?;
        let server = Self {
            address,
            stage: Arc::new(stage),
            acceptor: Mutex::new(None),
            _reservation: reservation,
        };
        server.listen(Listening::Serving).await?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Changes how connections are treated. Those that are open are cut, as when a process dies.
    pub(crate) async fn listen(&self, listening: Listening) -> io::Result<()> {
        self.stop().await;
        let acceptor = match listening {
            Listening::Refusing => return Ok(()),
            Listening::Serving => self.acceptor(BACKLOG, serve)?,
            Listening::Silent => self.acceptor(BACKLOG, keep_unread)?,
            Listening::Stuck => self.stuck().await?,
        };
        *self.current() = Some(acceptor);
        Ok(())
    }

    /// Closes the listener and every connection, and waits until that is done.
    pub(crate) async fn stop(&self) {
        let acceptor = self.current().take();
        if let Some(acceptor) = acceptor {
            acceptor.stop().await;
        }
    }

    fn acceptor<F>(
        &self,
        backlog: u32,
        serve: impl Fn(TcpStream, Origin, Arc<Stage>) -> F + Send + 'static,
    ) -> io::Result<Acceptor>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = bind(self.address)?.listen(backlog)?;
        let stage = Arc::clone(&self.stage);
        Ok(Acceptor::spawn(|stopped| {
            accept(listener, stage, serve, stopped)
        }))
    }

    async fn stuck(&self) -> io::Result<Acceptor> {
        let listener = bind(self.address)?.listen(0)?;
        let filler = TcpStream::connect(self.address).await?;
        Ok(Acceptor::spawn(|stopped| async move {
            let _ = stopped.await;
            drop((listener, filler));
        }))
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Acceptor>> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that owns a listener and its connections; it ends with its owner.
struct Acceptor {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Acceptor {
    fn spawn<F>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop: Some(stop),
            task: tokio::spawn(run(stopped)),
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.task).await;
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F>(
    listener: TcpListener,
    stage: Arc<Stage>,
    serve: impl Fn(TcpStream, Origin, Arc<Stage>) -> F,
    mut stopped: oneshot::Receiver<()>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let connection = stage.connections.fetch_add(1, Ordering::Relaxed) + 1;
                    connections.spawn(serve(stream, Origin { connection, peer }, Arc::clone(&stage)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, origin: Origin, stage: Arc<Stage>) {
    let _ = stream.set_nodelay(true);
    let (stream, ending) = converse(Source::new(stream), origin, &stage).await;
    match ending {
        Ending::Reset => reset(stream.into_stream()),
        Ending::Fin => finish(stream).await,
    }
}

async fn keep_unread(stream: TcpStream, _origin: Origin, _stage: Arc<Stage>) {
    std::future::pending::<()>().await;
    drop(stream);
}

fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Sends FIN and reads on for a moment: closing with unread bytes would turn the FIN into a RST that eats the answer.
async fn finish(mut stream: Source<TcpStream>) {
    if stream.stream().shutdown().await.is_ok() {
        let _ = tokio::time::timeout(LINGER, stream.discard()).await;
    }
}

/// Picks a port, and on Linux keeps it bound without listening: connecting is refused, and nobody else is given the port
/// while the server is down.
fn reserve() -> io::Result<(SocketAddr, Option<TcpSocket>)> {
    let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?;
    Ok((address, cfg!(target_os = "linux").then_some(socket)))
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

const BACKLOG: u32 = 1024;
const MAX_CONNECTIONS: usize = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const LINGER: Duration = Duration::from_secs(1);

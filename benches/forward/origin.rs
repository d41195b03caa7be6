//! A fake Sentry that costs little: reads each request to its end and answers with a constant.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::wire;

/// The thread on which all doors are served.
#[derive(Debug)]
pub(crate) struct Origin {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One address of the origin, so that each target has its own counters and its own queue of connects.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    /// Ends serving when dropped.
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    body_bytes: AtomicU64,
    is_keeping: AtomicBool,
    kept: Mutex<Option<Vec<u8>>>,
}

/// What came through a door: requests, and bytes of their bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) requests: u64,
    pub(crate) body_bytes: u64,
}

impl Origin {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || {
                runtime.block_on(async { stopped.await.ok() });
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Opens a new address on a free port.
    ///
    /// It listens several times, because the kernel lets only `somaxconn` connects wait on each, and a burst must be
    /// limited by the target and not by its origin.
    pub(crate) fn open(&self) -> Outcome<Door> {
        let _context = self.handle.enter();
        let seen = Arc::new(Seen::default());
        let mut serving = JoinSet::new();
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        for _ in 0..LISTENERS {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            address = listener.local_addr()?;
            serving.spawn_on(accept(listener, Arc::clone(&seen)), &self.handle);
        }
        Ok(Door {
            address,
            seen,
            _serving: serving,
        })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Door {
    /// Returns what has arrived since the door was opened.
    pub(crate) fn arrived(&self) -> Arrived {
        Arrived {
            requests: self.seen.requests.load(Ordering::Acquire),
            body_bytes: self.seen.body_bytes.load(Ordering::Acquire),
        }
    }

    /// Keeps the body of the last request from now on, or stops keeping; returns what was kept.
    pub(crate) fn keep_bodies(&self, is_keeping: bool) -> Option<Vec<u8>> {
        self.seen.is_keeping.store(is_keeping, Ordering::Release);
        self.seen
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Arrived {
    /// Returns what has arrived since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            body_bytes: self.body_bytes - earlier.body_bytes,
        }
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    // A target that closes its connections in mid-request is seen by the clients.
                    let serving = serve(stream, Arc::clone(&seen));
                    connections.spawn(async { serving.await.unwrap_or_default() });
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; SMALL_BUFFER];
    let mut filled = 0;
    loop {
        let Some(frame) = wire::frame(&buffer[..filled])? else {
            if filled == buffer.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
            continue;
        };
        let held = frame.body.min(filled - frame.head);
        let mut kept = seen.is_keeping.load(Ordering::Relaxed).then(Vec::new);
        keep(&mut kept, &buffer[frame.head..frame.head + held]);
        buffer.copy_within(frame.head + held..filled, 0);
        filled -= frame.head + held;
        skip(&mut stream, frame.body - held, &mut buffer, &mut kept).await?;

        seen.requests.fetch_add(1, Ordering::AcqRel);
        seen.body_bytes
            .fetch_add(frame.body as u64, Ordering::AcqRel);
        if kept.is_some() {
            *seen.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        stream.write_all(ANSWER).await?;
    }
}

/// Reads the rest of a body, of which nothing is left in the buffer.
async fn skip(
    stream: &mut TcpStream,
    mut left: usize,
    buffer: &mut Vec<u8>,
    kept: &mut Option<Vec<u8>>,
) -> io::Result<()> {
    if left > buffer.len() {
        buffer.resize(LARGE_BUFFER, 0);
    }
    while left > 0 {
        let room = left.min(buffer.len());
        let read = stream.read(&mut buffer[..room]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        keep(kept, &buffer[..read]);
        left -= read;
    }
    Ok(())
}

fn keep(kept: &mut Option<Vec<u8>>, piece: &[u8]) {
    if let Some(kept) = kept {
        kept.extend_from_slice(piece);
    }
}

/// The body of every answer, as Sentry answers an envelope.
pub(crate) const ANSWER_BODY: &[u8] = br#"{"id":"fc6d8c0c43fc4630ad850ee518f1b9d0"}"#;

/// What Sentry answers, without the fields that only a browser reads.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n{\"id\":\"fc6d8c0c43fc4630ad850ee518f1b9d0\"}";

const LISTENERS: usize = 4;
const BACKLOG: u32 = 4096;
const SMALL_BUFFER: usize = 8 << 10;
const LARGE_BUFFER: usize = 256 << 10;

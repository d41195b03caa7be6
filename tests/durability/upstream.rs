//! A Sentry with moods, in the process of the test: it tells the oracle what arrives and how it treated it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::chance::Chance;
use crate::oracle::{Arrived, Ending, Oracle};

/// How requests are treated for a while. Moods in which attempts end without a status are bad to one request in a few only,
/// because each of these may be taken twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes everything.
    Up,
    /// Refuses connections, and cuts those that it has.
    Refusing,
    /// Answers 503.
    Unavailable,
    /// Takes its time over some.
    Slow,
    /// Cuts the answer's body off: the status was told.
    Curt,
    /// Resets some connections instead of answering.
    Resetting,
    /// Does not answer some until the mood changes.
    Hanging,
    /// Breaks some answers off within the head.
    Tearing,
}

/// Where one start of the program finds Sentry; gone when dropped.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
    /// Keeps the port ours while nobody listens there.
    _reserved: TcpSocket,
}

impl Door {
    /// Opens a door for a start of the program.
    pub(crate) fn open(run: usize, oracle: Arc<Oracle>, mood: watch::Receiver<Mood>) -> Self {
        let reserved = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = reserved.local_addr().unwrap();
        Self {
            address,
            serving: tokio::spawn(serve(address, run, oracle, mood)),
            _reserved: reserved,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Changes the mood again and again, as chance has it; most of the time Sentry is up or plainly down.
pub(crate) async fn flap(mood: watch::Sender<Mood>, mut chance: Chance) {
    loop {
        let next = match chance.below(100) {
            0..50 => Mood::Up,
            50..70 => Mood::Refusing,
            70..88 => Mood::Unavailable,
            88..92 => Mood::Curt,
            92..94 => Mood::Slow,
            94..96 => Mood::Resetting,
            96..98 => Mood::Hanging,
            _ => Mood::Tearing,
        };
        mood.send_replace(next);
        // Outages are as frequent, but shorter than what lies between them.
        let longest = if next == Mood::Up { 800 } else { 200 };
        tokio::time::sleep(chance.milliseconds(20, longest)).await;
    }
}

async fn serve(
    address: SocketAddr,
    run: usize,
    oracle: Arc<Oracle>,
    mut mood: watch::Receiver<Mood>,
) {
    loop {
        let refusing = mood.wait_for(|mood| *mood != Mood::Refusing);
        if refusing.await.is_err() {
            return;
        }
        let listener = bind(address).unwrap().listen(1024).unwrap();
        let mut connections = JoinSet::new();
        let mut closing = mood.clone();
        let mut closing = std::pin::pin!(closing.wait_for(|mood| *mood == Mood::Refusing));
        loop {
            tokio::select! {
                _ = &mut closing => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let seed = (run as u64) << 32 | u64::from(stream.peer_addr().map_or(0, |peer| peer.port()));
                        let visit = Visit {
                            stream,
                            read: Vec::new(),
                            run,
                            oracle: Arc::clone(&oracle),
                            mood: mood.clone(),
                            chance: Chance::new(seed),
                        };
                        connections.spawn(visit.receive());
                    }
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
    }
}

/// One connection.
struct Visit {
    stream: TcpStream,
    read: Vec<u8>,
    run: usize,
    oracle: Arc<Oracle>,
    mood: watch::Receiver<Mood>,
    chance: Chance,
}

impl Visit {
    async fn receive(mut self) {
        let _ = self.stream.set_nodelay(true);
        while self.take_one().await.is_ok_and(|goes_on| goes_on) {}
    }

    /// Takes one request; returns whether the connection goes on.
    async fn take_one(&mut self) -> io::Result<bool> {
        let Some(head) = self.head().await? else {
            return Ok(false);
        };
        let body = self.body(&head).await?;
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let arrived = Arrived {
            method: line.next().unwrap_or_default(),
            target: line.next().unwrap_or_default(),
            body: &body,
            run: self.run,
        };
        let Some(slip) = self.oracle.arrived(&arrived) else {
            return Ok(false);
        };
        let mut mood = *self.mood.borrow_and_update();
        let is_bad = matches!(
            mood,
            Mood::Resetting | Mood::Hanging | Mood::Tearing | Mood::Slow
        );
        if is_bad && !self.chance.once_in(BAD) {
            mood = Mood::Up;
        }
        let (ending, goes_on) = self.treat(mood).await;
        self.oracle.ended(slip, ending);
        Ok(goes_on)
    }

    async fn treat(&mut self, mood: Mood) -> (Ending, bool) {
        match mood {
            Mood::Up => self.answer(TAKEN, Ending::Taken).await,
            Mood::Slow => {
                tokio::time::sleep(self.chance.milliseconds(50, 500)).await;
                self.answer(TAKEN, Ending::Taken).await
            }
            Mood::Unavailable => self.answer(DECLINED, Ending::Declined).await,
            Mood::Curt => {
                let cut = &TAKEN[..TAKEN.len() - 1];
                let (ending, _) = self.answer(cut, Ending::Taken).await;
                (ending, false)
            }
            Mood::Tearing => {
                let _ = self.stream.write_all(&TAKEN[..5]).await;
                (Ending::Torn, false)
            }
            Mood::Resetting | Mood::Refusing => {
                let _ = self.stream.set_zero_linger();
                (Ending::Reset, false)
            }
            Mood::Hanging => {
                let _ = self.mood.changed().await;
                (Ending::Hung, false)
            }
        }
    }

    async fn answer(&mut self, answer: &[u8], ending: Ending) -> (Ending, bool) {
        match self.stream.write_all(answer).await {
            Ok(()) => (ending, true),
            Err(_) => (Ending::Gone, false),
        }
    }

    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        let head = head.to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            return self.chunks().await;
        }
        let length = head.split_once("\r\ncontent-length:");
        let length = length.and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        self.take(length.unwrap_or(0)).await
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.read, b"\r\n") {
                    break end;
                }
                self.read_more().await?;
            };
            let line = self.take(end + 2).await?;
            let length = std::str::from_utf8(&line[..end]).unwrap();
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            body.extend(self.take(length).await?);
            self.take(2).await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.read_more().await?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|found| found == wanted)
}

const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const DECLINED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// To one request in so many a bad mood is bad.
const BAD: u64 = 80;

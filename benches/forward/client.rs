//! One client connection: sends a prepared request, reads the answer to its end and checks it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::origin::ANSWER_BODY;
use crate::payload::Prepared;
use crate::wire;

/// A keep-alive connection to a target.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    scratch: Vec<u8>,
}

impl Client {
    /// Connects within [`CONNECT_TIMEOUT`].
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Connects many times, one after the other, so that no listen queue overflows.
    pub(crate) async fn connect_all(
        address: SocketAddr,
        connections: usize,
    ) -> io::Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(Self::connect(address).await?);
        }
        Ok(clients)
    }

    /// Sends the next request of a payload and waits for its answer; returns the bytes of the request's body.
    ///
    /// # Errors
    /// When the answer is not the origin's, or the connection ends; it cannot be used again then.
    pub(crate) async fn exchange(&mut self, prepared: &Prepared) -> io::Result<usize> {
        let (request, body) = prepared.next(&mut self.scratch);
        self.stream.write_all(request).await?;
        if self.answer.is_empty() {
            self.answer.resize(ANSWER_BUFFER, 0);
        }
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed without a whole answer",
                ));
            }
            filled += read;
            if is_complete(&self.answer[..filled])? {
                return Ok(body);
            }
        }
    }
}

/// Tells whether the answer is there; it must be the origin's.
fn is_complete(answer: &[u8]) -> io::Result<bool> {
    let Some(frame) = wire::frame(answer)? else {
        return if answer.len() < ANSWER_BUFFER {
            Ok(false)
        } else {
            Err(unexpected(answer))
        };
    };
    let body = &answer[frame.head..];
    if !wire::is_ok(answer) || frame.body != ANSWER_BODY.len() || !ANSWER_BODY.starts_with(body) {
        return Err(unexpected(answer));
    }
    Ok(body.len() == frame.body)
}

fn unexpected(answer: &[u8]) -> io::Error {
    io::Error::other(format!("answered `{}`", wire::first_line(answer)))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BUFFER: usize = 2 << 10;

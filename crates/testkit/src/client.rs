//! A raw HTTP/1.1 client over one TCP connection: what it writes is what you gave it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::sdk::SdkRequest;
use crate::wire::{self, BodyBuffer, Framing, Headers, Source, Version, WireError};

/// Sends one request on a connection of its own and returns the answer.
///
/// # Errors
///
/// When the server cannot be reached, or what it answers is not an HTTP/1.1 answer, or none comes within 30 s.
pub async fn send(address: SocketAddr, request: &SdkRequest) -> Result<Response, ClientError> {
    Client::connect(address).await?.send(request).await
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("could not connect to {0}")]
    Unreachable(SocketAddr, #[source] io::Error),
    /// The request could not be written.
    #[error("could not write the request")]
    Unwritable(#[source] io::Error),
    /// The connection ended before the answer.
    #[error("the server closed the connection without an answer")]
    Unanswered,
    /// The answer could not be read.
    #[error("could not read the answer")]
    Unreadable(#[from] WireError),
    /// No whole answer within the time limit.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// An answer, raw and read.
#[derive(Clone, Debug)]
pub struct Response {
    /// The head as it came.
    pub head: Bytes,
    /// HTTP version.
    pub version: Version,
    /// Status code.
    pub status: u16,
    /// Header lines in the order and spelling of the wire.
    pub headers: Headers,
    /// How the end of the body was marked.
    pub framing: Framing,
    /// The body as it came, chunk lines included; at most 64 MiB.
    pub framed_body: Bytes,
    /// The body without framing; at most 64 MiB.
    pub body: Bytes,
}

impl Response {
    /// Returns the value of the first header line called `name`, in any spelling; not UTF-8 counts as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = wire::values(&self.headers, name);
        values
            .first()
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the body as JSON, `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn parse(head: Bytes, method: &str) -> Result<Self, WireError> {
        let mut lines = [httparse::EMPTY_HEADER; wire::MAX_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        match response.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(WireError::Malformed("the answer's head is not HTTP/1.x")),
        }
        let headers = wire::owned(response.headers, &head);
        let status = response.code.unwrap_or_default();
        let framing = match wire::framing(&headers)? {
            _ if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) => Framing::None,
            Framing::None => Framing::UntilClose,
            framing => framing,
        };
        Ok(Self {
            version: wire::version(response.version),
            status,
            framing,
            headers,
            head,
            framed_body: Bytes::new(),
            body: Bytes::new(),
        })
    }
}

/// A connection that stays open between requests.
#[derive(Debug)]
pub struct Client {
    host: String,
    writer: RequestWriter,
    reader: ResponseReader,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached within 30 s.
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(address));
        let stream = connecting
            .await
            .map_err(|_| ClientError::Late(PATIENCE))?
            .map_err(|error| ClientError::Unreachable(address, error))?;
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        Ok(Self {
            host: address.to_string(),
            writer: RequestWriter(writer),
            reader: ResponseReader(Source::new(reader)),
        })
    }

    /// Sends a request and returns its answer. An early answer is returned even if the request could not be written whole.
    ///
    /// # Errors
    ///
    /// See [`send`]. The connection is of no use afterwards.
    pub async fn send(&mut self, request: &SdkRequest) -> Result<Response, ClientError> {
        let (head, body) = request.render(&self.host);
        let writer = &mut self.writer;
        let writing = async {
            writer.write(&head).await?;
            writer.write(&body).await
        };
        let reading = self.reader.read_answer_to(&request.method);
        tokio::pin!(writing, reading);
        tokio::select! {
            biased;
            answer = &mut reading => answer,
            written = &mut writing => match (reading.await, written) {
                (Ok(answer), _) => Ok(answer),
                (Err(_), Err(unwritten)) => Err(unwritten),
                (Err(error), Ok(())) => Err(error),
            },
        }
    }

    /// Takes the connection apart, for pipelining and for half-written requests.
    pub fn split(self) -> (RequestWriter, ResponseReader) {
        (self.writer, self.reader)
    }
}

/// The half of a connection that requests go into.
#[derive(Debug)]
pub struct RequestWriter(OwnedWriteHalf);

impl RequestWriter {
    /// Writes these bytes.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or does not take the bytes within 30 s.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let writing = tokio::time::timeout(PATIENCE, self.0.write_all(bytes));
        let written = writing.await.map_err(|_| ClientError::Late(PATIENCE))?;
        written.map_err(ClientError::Unwritable)
    }

    /// Sends FIN; answers can still be read.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        self.0.shutdown().await.map_err(ClientError::Unwritable)
    }

    /// Makes the connection end with RST once both halves are dropped.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn reset_on_drop(&self) -> io::Result<()> {
        self.0.as_ref().set_zero_linger()
    }
}

/// The half of a connection that answers come out of.
#[derive(Debug)]
pub struct ResponseReader(Source<OwnedReadHalf>);

impl ResponseReader {
    /// Reads the next answer to a request that was not `HEAD`, interim ones (1xx) left out.
    ///
    /// # Errors
    ///
    /// See [`send`].
    pub async fn read(&mut self) -> Result<Response, ClientError> {
        self.read_answer_to("GET").await
    }

    /// Reads the next answer, also an interim one such as `100 Continue`.
    ///
    /// # Errors
    ///
    /// See [`send`].
    pub async fn read_interim(&mut self) -> Result<Response, ClientError> {
        self.in_time("GET").await
    }

    async fn read_answer_to(&mut self, method: &str) -> Result<Response, ClientError> {
        loop {
            let response = self.in_time(method).await?;
            if !matches!(response.status, 100 | 102..=199) {
                return Ok(response);
            }
        }
    }

    async fn in_time(&mut self, method: &str) -> Result<Response, ClientError> {
        match tokio::time::timeout(PATIENCE, self.response(method)).await {
            Ok(response) => response,
            Err(_) => Err(ClientError::Late(PATIENCE)),
        }
    }

    async fn response(&mut self, method: &str) -> Result<Response, ClientError> {
        let head = self.0.head().await?.ok_or(ClientError::Unanswered)?;
        let mut response = Response::parse(head, method)?;
        let mut body = BodyBuffer::new(response.framing, MAX_BODY);
        self.0.body(response.framing, &mut body).await?;
        (response.framed_body, response.body, _) = body.finish();
        Ok(response)
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 64 * 1024 * 1024;

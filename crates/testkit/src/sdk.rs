//! Requests as SDKs send them, with every byte of head and body under control.

use bytes::{BufMut, Bytes, BytesMut};

use crate::behaviour::{put_chunk, put_line};
use crate::wire::Headers;

mod sample;
mod style;

pub use sample::{Sample, samples};
pub use style::{Payload, SdkKey, Style};

/// A request to be sent. Header lines go out in this order and spelling.
///
/// `Host` is added in front and `Content-Length` at the end when they are missing; a `Transfer-Encoding` line makes the body
/// go out in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkRequest {
    /// Method.
    pub method: String,
    /// Request target: path and query.
    pub target: String,
    /// Header lines.
    pub headers: Headers,
    /// Body without framing.
    pub body: Bytes,
    /// Bytes per chunk, when chunked.
    pub chunk_size: usize,
}

impl SdkRequest {
    /// Makes a request without header lines and body.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            chunk_size: DEFAULT_CHUNK,
        }
    }

    /// Adds a header line.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    /// Replaces the number of bytes per chunk (at least one).
    pub fn chunk_size(self, bytes: usize) -> Self {
        Self {
            chunk_size: bytes.max(1),
            ..self
        }
    }

    /// Returns head and framed body as they go on the wire to `host`.
    pub fn render(&self, host: &str) -> (Bytes, Bytes) {
        let mut head = BytesMut::new();
        head.put_slice(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_bytes());
        if !self.has("host") {
            put_line(&mut head, "Host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            put_line(&mut head, name, value);
        }
        let is_chunked = self.has("transfer-encoding");
        if !is_chunked && !self.body.is_empty() && !self.has("content-length") {
            let length = self.body.len().to_string();
            put_line(&mut head, "Content-Length", length.as_bytes());
        }
        head.put_slice(b"\r\n");
        let body = match is_chunked {
            true => self.chunks(),
            false => self.body.clone(),
        };
        (head.freeze(), body)
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    fn chunks(&self) -> Bytes {
        let mut framed = BytesMut::new();
        for chunk in self.body.chunks(self.chunk_size) {
            put_chunk(&mut framed, chunk);
        }
        framed.put_slice(b"0\r\n\r\n");
        framed.freeze()
    }
}

const DEFAULT_CHUNK: usize = 16 * 1024;

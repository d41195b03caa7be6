//! Reads HTTP/1.1 messages from a byte stream and keeps every byte of them as it came (RFC 9112).
//!
//! Tests must see what really was on the wire: spelling and order of header lines, chunk borders, trailing bytes. An HTTP
//! library normalises those away, so this reader does not use one above the tokeniser.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: neither `content-length` nor `transfer-encoding`.
    None,
    /// `content-length`, in bytes.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// Everything until the connection ends (answers only).
    UntilClose,
}

/// Version of HTTP in the start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`.
    Http11,
}

/// Header lines in the order and spelling of the wire; repeated names stay repeated.
pub type Headers = Vec<(String, Bytes)>;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection ended inside a message.
    #[error("the connection ended inside a message")]
    Closed,
    /// The bytes are not HTTP/1.x as RFC 9112 wants it.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// A head or a chunk line is longer than the reader allows.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// The socket gave up.
    #[error("could not read from the connection")]
    Unreadable(#[from] io::Error),
}

/// A body while it is read: as framed, and with the framing taken off.
///
/// Both keep at most `limit` bytes; `length` goes on counting.
#[derive(Debug)]
pub(crate) struct BodyBuffer {
    framed: BytesMut,
    plain: BytesMut,
    length: u64,
    limit: usize,
    is_chunked: bool,
}

impl BodyBuffer {
    pub(crate) fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framed: BytesMut::new(),
            plain: BytesMut::new(),
            length: 0,
            limit,
            is_chunked: framing == Framing::Chunked,
        }
    }

    /// Returns the bytes as framed, the bytes without framing, and the whole length without framing.
    pub(crate) fn finish(self) -> (Bytes, Bytes, u64) {
        let plain = self.plain.freeze();
        let framed = if self.is_chunked {
            self.framed.freeze()
        } else {
            plain.clone()
        };
        (framed, plain, self.length)
    }

    fn data(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        keep(&mut self.plain, bytes, self.limit);
        self.frame(bytes);
    }

    fn frame(&mut self, bytes: &[u8]) {
        if self.is_chunked {
            keep(&mut self.framed, bytes, self.limit);
        }
    }
}

/// A stream with what was read ahead of the message at hand.
#[derive(Debug)]
pub(crate) struct Source<S> {
    stream: S,
    ahead: BytesMut,
}

impl<S: AsyncRead + Unpin> Source<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
        }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Returns the raw head with its empty line, or nothing when the connection ends between messages.
    pub(crate) async fn head(&mut self) -> Result<Option<Bytes>, WireError> {
        let mut line_start = 0;
        let mut scanned = 0;
        loop {
            while let Some(offset) = self.ahead[scanned..].iter().position(|byte| *byte == b'\n') {
                let end = scanned + offset;
                if end == 0 || self.ahead[end - 1] != b'\r' {
                    return Err(WireError::Malformed("a line of the head ends without CR"));
                }
                if end == line_start + 1 {
                    return Ok(Some(self.ahead.split_to(end + 1).freeze()));
                }
                line_start = end + 1;
                scanned = line_start;
            }
            scanned = self.ahead.len();
            if scanned > MAX_HEAD {
                return Err(WireError::TooLong(MAX_HEAD));
            }
            match self.fill().await {
                Err(WireError::Closed) if self.ahead.is_empty() => return Ok(None),
                filled => filled?,
            }
        }
    }

    /// Reads a body into `body`; what came before a failure is in `body` too.
    pub(crate) async fn body(
        &mut self,
        framing: Framing,
        body: &mut BodyBuffer,
    ) -> Result<(), WireError> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.exactly(length, body).await,
            Framing::Chunked => self.chunks(body).await,
            Framing::UntilClose => self.until_close(body).await,
        }
    }

    /// Reads and drops everything until the peer closes or the socket fails.
    pub(crate) async fn discard(&mut self) {
        self.ahead.clear();
        while let Ok(count) = self.stream.read_buf(&mut self.ahead).await {
            if count == 0 {
                return;
            }
            self.ahead.clear();
        }
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.ahead.reserve(READ_SIZE);
        match self.stream.read_buf(&mut self.ahead).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    async fn exactly(&mut self, mut length: u64, body: &mut BodyBuffer) -> Result<(), WireError> {
        while length > 0 {
            if self.ahead.is_empty() {
                self.fill().await?;
            }
            let take = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(self.ahead.len());
            body.data(&self.ahead.split_to(take));
            length -= take as u64;
        }
        Ok(())
    }

    async fn until_close(&mut self, body: &mut BodyBuffer) -> Result<(), WireError> {
        loop {
            body.data(&self.ahead.split());
            match self.fill().await {
                Err(WireError::Closed) => return Ok(()),
                filled => filled?,
            }
        }
    }

    async fn chunks(&mut self, body: &mut BodyBuffer) -> Result<(), WireError> {
        loop {
            let line = self.line().await?;
            body.frame(&line);
            let size = chunk_size(&line)?;
            if size == 0 {
                return self.trailers(body).await;
            }
            self.exactly(size, body).await?;
            let end = self.line().await?;
            body.frame(&end);
            if end.as_ref() != b"\r\n" {
                return Err(WireError::Malformed("a chunk is longer than it says"));
            }
        }
    }

    async fn trailers(&mut self, body: &mut BodyBuffer) -> Result<(), WireError> {
        for _ in 0..MAX_HEADERS {
            let line = self.line().await?;
            body.frame(&line);
            if line.as_ref() == b"\r\n" {
                return Ok(());
            }
        }
        Err(WireError::Malformed("too many trailers"))
    }

    async fn line(&mut self) -> Result<Bytes, WireError> {
        let mut scanned = 0;
        loop {
            if let Some(offset) = self.ahead[scanned..].iter().position(|byte| *byte == b'\n') {
                let line = self.ahead.split_to(scanned + offset + 1).freeze();
                return match line.ends_with(b"\r\n") {
                    true => Ok(line),
                    false => Err(WireError::Malformed("a chunk line ends without CR")),
                };
            }
            scanned = self.ahead.len();
            if scanned > MAX_LINE {
                return Err(WireError::TooLong(MAX_LINE));
            }
            self.fill().await?;
        }
    }
}

/// Returns how the body behind these header lines is framed.
///
/// # Errors
///
/// When the lines leave room for two readings (RFC 9112, section 6.3): both kinds of framing, a repeated or unreadable
/// `content-length`, a transfer coding other than a single `chunked`.
pub(crate) fn framing(headers: &Headers) -> Result<Framing, WireError> {
    let lengths = values(headers, "content-length");
    let codings = values(headers, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::None),
        ([length], []) => decimal(length).map(Framing::Length),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([], _) => Err(WireError::Malformed(
            "transfer-encoding is not one `chunked`",
        )),
        (_, []) => Err(WireError::Malformed("content-length is repeated")),
        (_, _) => Err(WireError::Malformed(
            "content-length beside transfer-encoding",
        )),
    }
}

/// Returns the values of every line called `name`, in order.
pub(crate) fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a Bytes> {
    headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// Copies the tokens of `httparse` into header lines that own their bytes.
pub(crate) fn owned(headers: &[httparse::Header<'_>], head: &Bytes) -> Headers {
    headers
        .iter()
        .map(|header| (header.name.to_owned(), head.slice_ref(header.value)))
        .collect()
}

/// Returns the version behind `httparse`'s minor number.
pub(crate) fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

fn keep(buffer: &mut BytesMut, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(buffer.len()).min(bytes.len());
    buffer.extend_from_slice(&bytes[..room]);
}

fn chunk_size(line: &[u8]) -> Result<u64, WireError> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if !matches!(line[digits], b'\r' | b';' | b' ' | b'\t') {
        return Err(WireError::Malformed("a chunk size is not hexadecimal"));
    }
    std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(WireError::Malformed("a chunk size is empty or too large"))
}

fn decimal(value: &[u8]) -> Result<u64, WireError> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WireError::Malformed("content-length is not a number"));
    }
    text.parse()
        .map_err(|_| WireError::Malformed("content-length is too large"))
}

/// Most header lines of one message.
pub(crate) const MAX_HEADERS: usize = 256;
const MAX_HEAD: usize = 256 * 1024;
const MAX_LINE: usize = 16 * 1024;
const READ_SIZE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_chunk_borders_and_takes_them_off() {
        let wire = b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\nnext".as_slice();
        let mut source = Source::new(wire);
        let mut body = BodyBuffer::new(Framing::Chunked, 1024);

        source.body(Framing::Chunked, &mut body).await.unwrap();

        let (framed, plain, length) = body.finish();
        assert_eq!(plain.as_ref(), b"hello!");
        assert_eq!(framed.as_ref(), &wire[..wire.len() - 4]);
        assert_eq!(length, 6);
        assert_eq!(source.ahead.as_ref(), b"next");
    }

    #[tokio::test]
    async fn keeps_no_more_than_the_limit_and_counts_on() {
        let mut source = Source::new(b"0123456789".as_slice());
        let mut body = BodyBuffer::new(Framing::Length(10), 4);

        source.body(Framing::Length(10), &mut body).await.unwrap();

        let (framed, plain, length) = body.finish();
        assert_eq!(
            (framed.as_ref(), plain.as_ref()),
            (&b"0123"[..], &b"0123"[..])
        );
        assert_eq!(length, 10);
    }

    #[tokio::test]
    async fn refuses_broken_chunks() {
        let table: [&[u8]; 7] = [
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"4\r\nhello\r\n0\r\n\r\n",
            b"11111111111111111\r\n",
            b"-1\r\n",
            b"5\r\nhel",
        ];
        for wire in table {
            let mut body = BodyBuffer::new(Framing::Chunked, 1024);

            let result = Source::new(wire).body(Framing::Chunked, &mut body).await;

            assert!(result.is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[tokio::test]
    async fn refuses_a_head_with_bare_line_feeds() {
        let wire = b"GET / HTTP/1.1\nHost: a\n\n".as_slice();

        let head = Source::new(wire).head().await;

        assert!(matches!(head, Err(WireError::Malformed(_))), "{head:?}");
    }

    #[tokio::test]
    async fn tells_a_clean_end_from_a_torn_head() {
        assert!(Source::new(b"".as_slice()).head().await.unwrap().is_none());
        assert!(matches!(
            Source::new(b"GET / HT".as_slice()).head().await,
            Err(WireError::Closed)
        ));
    }

    #[test]
    fn refuses_framing_with_two_readings() {
        let line = |name: &str, value: &'static str| (name.to_owned(), Bytes::from(value));
        let table = [
            vec![line("Content-Length", "1"), line("content-length", "1")],
            vec![
                line("Content-Length", "1"),
                line("Transfer-Encoding", "chunked"),
            ],
            vec![
                line("Transfer-Encoding", "chunked"),
                line("Transfer-Encoding", "chunked"),
            ],
            vec![line("Transfer-Encoding", "chunked, chunked")],
            vec![line("Content-Length", "+2")],
            vec![line("Content-Length", "")],
            vec![line("Content-Length", "99999999999999999999")],
        ];
        for headers in table {
            assert!(framing(&headers).is_err(), "{headers:?}");
        }
    }
}

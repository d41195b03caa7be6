//! A request as a fake server received it.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::wire::{self, Framing, Headers, Version, WireError};

/// A request, raw and read.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which accepted connection it came on, counted from 1.
    pub connection: u64,
    /// Where the connection came from.
    pub peer: SocketAddr,
    /// The head as it came: request line, header lines, empty line.
    pub head: Bytes,
    /// Method.
    pub method: String,
    /// Request target: path and query, or whatever stood there.
    pub target: String,
    /// HTTP version.
    pub version: Version,
    /// Header lines in the order and spelling of the wire.
    pub headers: Headers,
    /// How the end of the body is marked.
    pub framing: Framing,
    /// The body as it came, chunk lines included. Bounded, see `body_length`.
    pub framed_body: Bytes,
    /// The body without framing. Bounded, see `body_length`.
    pub body: Bytes,
    /// Bytes of the body without framing, also of what was too much to keep.
    pub body_length: u64,
    /// Whether the body came to its end. False when the peer gave up, or when the server was told not to read on.
    pub is_complete: bool,
    /// When the head was in.
    pub at: Instant,
}

/// Which connection bytes came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) connection: u64,
    pub(crate) peer: SocketAddr,
}

impl Received {
    pub(crate) fn parse(head: Bytes, origin: Origin) -> Result<Self, WireError> {
        let mut lines = [httparse::EMPTY_HEADER; wire::MAX_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(WireError::Malformed("the head is empty")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(WireError::Malformed("too many header lines"));
            }
            Err(_) => return Err(WireError::Malformed("the head is not HTTP/1.x")),
        }
        let headers = wire::owned(request.headers, &head);
        Ok(Self {
            connection: origin.connection,
            peer: origin.peer,
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            version: wire::version(request.version),
            framing: wire::framing(&headers)?,
            headers,
            head,
            framed_body: Bytes::new(),
            body: Bytes::new(),
            body_length: 0,
            is_complete: false,
            at: Instant::now(),
        })
    }

    /// Returns the value of the first header line called `name`, in any spelling; not UTF-8 counts as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = wire::values(&self.headers, name);
        values
            .first()
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the values of all header lines called `name`, in order.
    pub fn header_values(&self, name: &str) -> Vec<&Bytes> {
        wire::values(&self.headers, name)
    }

    /// Returns the target up to `?`.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the query, percent-decoded (`+` is a blank), in order.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (unescaped(name), unescaped(value)))
            .collect()
    }

    pub(crate) fn size(&self) -> usize {
        let framed = match self.framing {
            Framing::Chunked => self.framed_body.len(),
            Framing::None | Framing::Length(_) | Framing::UntilClose => 0,
        };
        self.head.len() * 2 + framed + self.body.len()
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Tells whether the peer means to close after the answer.
    pub(crate) fn is_last(&self) -> bool {
        let mut tokens = self
            .header("connection")
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim);
        match self.version {
            Version::Http10 => !tokens.any(|token| token.eq_ignore_ascii_case("keep-alive")),
            Version::Http11 => tokens.any(|token| token.eq_ignore_ascii_case("close")),
        }
    }
}

fn unescaped(text: &str) -> String {
    let blanks = text.replace('+', " ");
    percent_encoding::percent_decode_str(&blanks)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ORIGIN: Origin = Origin {
        connection: 1,
        peer: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    };

    #[test]
    fn keeps_order_spelling_and_repeats_of_header_lines() {
        let head = "POST /a?b=%2B+c&d HTTP/1.1\r\nHOST:x\r\nx-A: 1\r\nX-a:\t2 \r\nContent-Encoding:\r\n\r\n";

        let request = Received::parse(Bytes::from(head), ORIGIN).unwrap();

        let lines: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref()))
            .collect();
        assert_eq!(
            lines,
            [
                ("HOST", b"x".as_slice()),
                ("x-A", b"1"),
                ("X-a", b"2"),
                ("Content-Encoding", b"")
            ]
        );
        assert_eq!(request.header_values("x-a"), ["1", "2"]);
        assert_eq!(request.path(), "/a");
        assert_eq!(
            request.query(),
            [
                ("b".to_owned(), "+ c".to_owned()),
                ("d".to_owned(), String::new())
            ]
        );
    }

    #[test]
    fn knows_when_the_peer_means_to_close() {
        let table = [
            ("HTTP/1.1", "", false),
            ("HTTP/1.1", "Connection: Foo, Close\r\n", true),
            ("HTTP/1.0", "", true),
            ("HTTP/1.0", "Connection: keep-alive\r\n", false),
        ];
        for (version, line, expected) in table {
            let head = format!("GET / {version}\r\n{line}\r\n");

            let request = Received::parse(Bytes::from(head), ORIGIN).unwrap();

            assert_eq!(request.is_last(), expected, "{version} {line}");
        }
    }
}

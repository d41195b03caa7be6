//! What a fake server does with one request: how much it reads, when and what it answers, where it breaks off.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use serde_json::Value;

/// One way to treat a request. Built from a constructor and refined by the methods that return `Self`.
///
/// ```
/// use std::time::Duration;
/// use testkit::{Answer, Behaviour, Break, Point};
///
/// let slow = Behaviour::answer(Answer::new(200)).delayed(Duration::from_millis(50));
/// let torn = Behaviour::usual().broken_at(Point::Body, Break::Reset);
/// # let _ = (slow, torn);
/// ```
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub(crate) reading: Reading,
    pub(crate) is_held: bool,
    pub(crate) delay: Duration,
    pub(crate) reply: Reply,
    pub(crate) broken: Option<(Point, Break)>,
    pub(crate) pace: Option<Pace>,
    pub(crate) is_closing: bool,
}

impl Behaviour {
    /// Treats the request as a healthy server would.
    pub fn usual() -> Self {
        Self::reply(Reply::Usual)
    }

    /// Gives this answer instead of the usual one; the server behind it takes no notice of the request.
    pub fn answer(answer: Answer) -> Self {
        Self::reply(Reply::Answer(answer))
    }

    /// Answers with this status and no body.
    pub fn status(status: u16) -> Self {
        Self::answer(Answer::new(status))
    }

    /// Writes exactly these bytes instead of an HTTP answer, and closes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::reply(Reply::Raw(bytes.into())).closing()
    }

    /// Answers 200 and then sends chunks for as long as the peer reads them.
    pub fn endless() -> Self {
        Self::reply(Reply::Endless)
    }

    /// Reads the whole request and never answers.
    pub fn hang() -> Self {
        Self::reply(Reply::Nothing)
    }

    /// Reads the head, then neither reads on nor answers.
    pub fn hang_unread() -> Self {
        Self::hang().never_reading_on()
    }

    /// Waits this long after the request before the answer.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Keeps the answer back until [`Script::release`](crate::Script::release).
    pub fn held(self) -> Self {
        Self {
            is_held: true,
            ..self
        }
    }

    /// Answers as soon as the head is in, and reads the body afterwards (as Sentry does with a 429).
    pub fn early(self) -> Self {
        Self {
            reading: Reading::AfterAnswer,
            ..self
        }
    }

    /// Answers as soon as the head is in, and neither reads the body nor closes.
    pub fn never_reading_on(self) -> Self {
        Self {
            reading: Reading::Never,
            ..self
        }
    }

    /// Ends the connection at this point of the answer.
    pub fn broken_at(self, point: Point, how: Break) -> Self {
        Self {
            broken: Some((point, how)),
            ..self
        }
    }

    /// Announces `connection: close` and closes after the answer.
    pub fn closing(self) -> Self {
        Self {
            is_closing: true,
            ..self
        }
    }

    /// Writes the answer in pieces of `size` bytes with a pause after each.
    pub fn trickled(self, size: usize, pause: Duration) -> Self {
        let size = size.max(1);
        Self {
            pace: Some(Pace { size, pause }),
            ..self
        }
    }

    fn reply(reply: Reply) -> Self {
        Self {
            reading: Reading::Whole,
            is_held: false,
            delay: Duration::ZERO,
            reply,
            broken: None,
            pace: None,
            is_closing: false,
        }
    }
}

/// Where an answer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before its first byte: the server did its work, and the answer is lost.
    Start,
    /// In the middle of the head.
    Head,
    /// In the middle of the body.
    Body,
    /// After its last byte, unannounced: the next request on the connection meets a dead server.
    End,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// FIN: the peer reads an end of file.
    Fin,
    /// RST: the peer reads "connection reset".
    Reset,
}

/// A complete HTTP answer. Header lines are sent in this order and spelling; framing is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines without framing and `connection`.
    pub headers: Vec<(String, Bytes)>,
    /// Body without framing.
    pub body: Bytes,
    /// How the end of the body is marked.
    pub framing: AnswerFraming,
}

impl Answer {
    /// Makes an answer without headers and body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            framing: AnswerFraming::Length,
        }
    }

    /// Makes an answer with `content-type: application/json` and this value as body.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(value.to_string())
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

    /// Sends the body in chunks of this many bytes (at least one).
    pub fn chunked(self, size: usize) -> Self {
        let framing = AnswerFraming::Chunked { size: size.max(1) };
        Self { framing, ..self }
    }

    /// Sends the body without framing; its end is the end of the connection.
    pub fn until_close(self) -> Self {
        Self {
            framing: AnswerFraming::UntilClose,
            ..self
        }
    }

    /// Returns head and body as they go on the wire in answer to a request with this method.
    pub(crate) fn render(&self, method: &str, after: After) -> (Bytes, Bytes) {
        let is_bodiless = matches!(self.status, 100..=199 | 204 | 304);
        let mut head = BytesMut::new();
        head.put_slice(format!("HTTP/1.1 {} {}\r\n", self.status, self.reason()).as_bytes());
        for (name, value) in &self.headers {
            put_line(&mut head, name, value);
        }
        if !is_bodiless {
            self.put_framing(&mut head);
        }
        if after == After::Close || self.framing == AnswerFraming::UntilClose {
            put_line(&mut head, "connection", b"close");
        }
        head.put_slice(b"\r\n");
        let body = match is_bodiless || method == "HEAD" {
            true => Bytes::new(),
            false => self.framed_body(),
        };
        (head.freeze(), body)
    }

    fn reason(&self) -> &'static str {
        StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown")
    }

    fn put_framing(&self, head: &mut BytesMut) {
        match self.framing {
            AnswerFraming::Length => {
                put_line(
                    head,
                    "content-length",
                    self.body.len().to_string().as_bytes(),
                );
            }
            AnswerFraming::Chunked { .. } => put_line(head, "transfer-encoding", b"chunked"),
            AnswerFraming::UntilClose => {}
        }
    }

    fn framed_body(&self) -> Bytes {
        let AnswerFraming::Chunked { size } = self.framing else {
            return self.body.clone();
        };
        let mut framed = BytesMut::new();
        for chunk in self.body.chunks(size) {
            put_chunk(&mut framed, chunk);
        }
        framed.put_slice(b"0\r\n\r\n");
        framed.freeze()
    }
}

/// How the end of an answer's body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFraming {
    /// `content-length`.
    Length,
    /// `transfer-encoding: chunked`.
    Chunked {
        /// Bytes per chunk.
        size: usize,
    },
    /// The end of the connection.
    UntilClose,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    AfterAnswer,
    Never,
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Usual,
    Answer(Answer),
    Raw(Bytes),
    Endless,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) size: usize,
    pub(crate) pause: Duration,
}

/// Appends one chunk in chunked coding.
pub(crate) fn put_chunk(framed: &mut BytesMut, chunk: &[u8]) {
    framed.put_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
    framed.put_slice(chunk);
    framed.put_slice(b"\r\n");
}

/// Appends one header line.
pub(crate) fn put_line(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_each_framing() {
        let answer = Answer::new(200).header("X-Order", "1").body("hello");

        let (head, body) = answer.render("GET", After::KeepAlive);
        let (chunked_head, chunked) = answer.clone().chunked(2).render("GET", After::Close);
        let (bare_head, bare) = answer.clone().until_close().render("GET", After::KeepAlive);

        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nX-Order: 1\r\ncontent-length: 5\r\n\r\n"
        );
        assert_eq!(body, "hello");
        assert!(chunked_head.ends_with(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"));
        assert_eq!(chunked, "2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n");
        assert!(bare_head.ends_with(b"X-Order: 1\r\nconnection: close\r\n\r\n"));
        assert_eq!(bare, "hello");
    }

    #[test]
    fn sends_no_body_where_http_forbids_one() {
        let answer = Answer::new(200).body("hello");

        let (head, body) = answer.render("HEAD", After::KeepAlive);
        let (empty_head, _) = Answer::new(204).render("GET", After::KeepAlive);

        assert!(head.ends_with(b"content-length: 5\r\n\r\n") && body.is_empty());
        assert_eq!(empty_head, "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

//! Follows a chunked body to its end, more strictly than hyper, which decodes it afterwards.
//!
//! Source: RFC 9112 §7.1.

use memchr::memchr;

/// How far a chunked body has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of chunk extensions and trailers so far.
    extra: usize,
}

/// The body is not chunked as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkFault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerEnd,
    EndLf,
    Done,
}

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks {
            state: State::Size { size: 0, digits: 0 },
            extra: 0,
        }
    }

    /// Takes more of the connection; returns how many of the bytes belong to this body.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data { left } = self.state {
                let taken = left.min((bytes.len() - at) as u64);
                at += taken as usize;
                self.state = if taken == left {
                    State::DataCr
                } else {
                    State::Data { left: left - taken }
                };
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// Returns whether there were extensions or trailers, which end at a proxy.
    pub(crate) fn has_extras(&self) -> bool {
        self.extra > 0
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkFault> {
        match (self.state, byte) {
            (State::Size { size, digits }, _)
                if byte.is_ascii_hexdigit() && digits < MAX_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16).ok_or(ChunkFault)?;
                Ok(State::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                })
            }
            (State::Size { size, digits: 1.. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Size { size, digits: 1.. }, b';') => {
                self.spend()?;
                Ok(State::Extension { size })
            }
            (State::Extension { size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { .. } | State::Trailer, _) if is_text(byte) => self.spend(),
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, _) if byte.is_ascii_graphic() => {
                self.spend()?;
                Ok(State::Trailer)
            }
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(ChunkFault),
        }
    }

    fn spend(&mut self) -> Result<State, ChunkFault> {
        self.extra += 1;
        if self.extra > MAX_EXTRA {
            Err(ChunkFault)
        } else {
            Ok(self.state)
        }
    }
}

/// Returns the data of a body that has been followed to its end.
pub(crate) fn data_of(body: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(end) = memchr(b'\n', rest) {
        let digits = rest[..end].split(|byte| !byte.is_ascii_hexdigit()).next();
        let size = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let chunk = size.filter(|size| *size > 0);
        let Some(chunk) = chunk.and_then(|size| rest.get(end + 1..end + 1 + size)) else {
            break;
        };
        data.extend_from_slice(chunk);
        rest = rest.get(end + 1 + chunk.len() + 2..).unwrap_or_default();
    }
    data
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Digits of a chunk's size: always within 64 bits.
const MAX_DIGITS: u8 = 15;

/// Bytes of all extensions and trailers of one body.
const MAX_EXTRA: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: &[u8], step: usize) -> Result<(usize, bool), ChunkFault> {
        let mut chunks = Chunks::new();
        let mut used = 0;
        for piece in bytes.chunks(step) {
            used += chunks.advance(piece)?;
        }
        Ok((used, chunks.is_done()))
    }

    #[test]
    fn ends_where_the_body_ends_however_it_is_cut() {
        let body =
            b"3;a=\"b\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1";
        let end = body.len() - b"GET / HTTP/1.1".len();

        for step in [1, 2, 3, 7, body.len()] {
            assert_eq!(run(body, step), Ok((end, true)), "{step}");
        }
    }

    #[test]
    fn returns_the_data_without_its_framing() {
        let body = b"3;a=\"b\"\r\nabc\r\n00A\r\n01234\r\n789\r\n0\r\nX-Trailer: 1\r\n\r\n";

        assert_eq!(data_of(body), b"abc01234\r\n789");
        assert_eq!(data_of(b"0\r\n\r\n"), b"");
    }

    #[test]
    fn refuses_what_other_servers_might_accept() {
        let bodies: [&[u8]; 16] = [
            b"\r\n",
            b"x\r\n",
            b"0x3\r\nabc\r\n",
            b"+3\r\n",
            b"-1\r\n",
            b" 3\r\n",
            b"3 \r\n",
            b"3\nabc\r\n",
            b"3\r\nabc\n",
            b"3\r\nabcd\r\n",
            b"3\r\r\n",
            b"ffffffffffffffff\r\n",
            b"3;\x00\r\n",
            b"3;a\nb\r\n",
            b"0\r\n\n",
            b"0\r\n folded\r\n",
        ];
        for body in bodies {
            assert_eq!(
                run(body, body.len()),
                Err(ChunkFault),
                "{:?}",
                body.escape_ascii().to_string()
            );
        }
        let bomb = [b"1;", &[b'a'; MAX_EXTRA + 1][..]].concat();
        assert_eq!(run(&bomb, 1000), Err(ChunkFault));
    }
}

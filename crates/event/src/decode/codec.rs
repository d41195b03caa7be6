//! The four standard content codings, each read from a body in pieces into a bounded buffer.
//!
//! Source: RFC 1950 to 1952 (deflate, gzip), RFC 7932 (Brotli), RFC 8878 (Zstandard).

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::slice;

use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::Crc;

use super::inflate::{Inflater, check_gzip_trailer, has_gzip_member, is_zlib, skip_gzip_header};
use super::whole::WholeInflater;
use crate::error::DecodeError;

/// One content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Several members in a row included.
    Gzip,
    /// zlib, as the RFC wants it and raven-python sends it, else the bare deflate of some others.
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Returns the coding of this name, or `None` for names that mean none.
    pub(crate) fn of_name(name: &[u8]) -> Result<Option<Self>, DecodeError> {
        NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, coding)| *coding)
            .ok_or(DecodeError::UnknownCoding)
    }

    /// Undoes the coding; more than `limit` bytes are an error.
    pub(crate) fn undo(self, input: Chunks<'_>, limit: usize) -> Result<Bytes, DecodeError> {
        if let Some(bytes) = self.undo_at_once(&input, limit) {
            return Ok(bytes);
        }
        let mut output = Output::new(limit);
        self.undo_into(input, &mut output)?;
        Ok(output.bytes.into())
    }

    /// Undoes the coding up to `limit` bytes, or up to where the input ends or is broken.
    pub(crate) fn undo_prefix(self, input: Chunks<'_>, limit: usize) -> Bytes {
        let mut output = Output::new(limit);
        let mut bytes = match self.undo_into(input, &mut output) {
            Ok(()) | Err(_) => output.bytes,
        };
        bytes.truncate(limit);
        bytes.into()
    }

    /// Undoes the coding of a body that is there as a whole and sound; `None` is no answer.
    fn undo_at_once(self, input: &Chunks<'_>, limit: usize) -> Option<Bytes> {
        match self {
            Self::Gzip => WHOLE.with_borrow_mut(|inflater| inflater.gunzip(input, limit)),
            Self::Deflate | Self::Brotli | Self::Zstd => None,
        }
    }

    fn undo_into(self, input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
        match self {
            Self::Gzip => gunzip(input, output),
            Self::Deflate => inflate_any(input, output),
            Self::Brotli => unbrotli(input, output),
            Self::Zstd => unzstd(input, output),
        }
    }
}

/// Undoes zlib alone, without a try at bare deflate.
pub(crate) fn undo_zlib(mut input: Chunks<'_>, limit: usize) -> Result<Bytes, DecodeError> {
    let mut output = Output::new(limit);
    inflate(Inflater::start_zlib, &mut input, &mut output)?;
    Ok(output.bytes.into())
}

/// As [`undo_zlib`], but returns what came before the limit, the end or the fault.
pub(crate) fn undo_zlib_prefix(mut input: Chunks<'_>, limit: usize) -> Bytes {
    let mut output = Output::new(limit);
    let mut bytes = match inflate(Inflater::start_zlib, &mut input, &mut output) {
        Ok(()) | Err(_) => output.bytes,
    };
    bytes.truncate(limit);
    bytes.into()
}

/// A body in pieces, read as one.
#[derive(Clone)]
pub(crate) struct Chunks<'b> {
    current: &'b [u8],
    rest: slice::Iter<'b, Bytes>,
}

impl<'b> Chunks<'b> {
    pub(crate) fn new(pieces: &'b [Bytes]) -> Self {
        Self {
            current: &[],
            rest: pieces.iter(),
        }
    }

    pub(crate) fn of_slice(body: &'b [u8]) -> Self {
        Self {
            current: body,
            rest: [].iter(),
        }
    }

    pub(crate) fn remaining(&mut self) -> &'b [u8] {
        while self.current.is_empty() {
            match self.rest.next() {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        self.current
    }

    /// Returns the first two bytes, zeros where there are none, without taking them.
    pub(crate) fn first_two(&self) -> [u8; 2] {
        let mut bytes = self.clone().bytes().flatten();
        [(); 2].map(|()| bytes.next().unwrap_or_default())
    }

    /// Returns what is left, if it is in one piece.
    pub(crate) fn as_one_piece(&self) -> Option<&'b [u8]> {
        let mut rest = self.clone();
        let piece = rest.remaining();
        rest.consume(piece.len());
        rest.is_at_end().then_some(piece)
    }

    pub(crate) fn is_at_end(&mut self) -> bool {
        self.remaining().is_empty()
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.remaining().read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.remaining())
    }

    fn consume(&mut self, count: usize) {
        self.current = &self.current[count..];
    }
}

/// Decoded bytes; one byte above the limit is room enough to notice that it was passed.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    fn room(&self) -> usize {
        self.limit.saturating_add(1) - self.bytes.len()
    }

    /// Grows ahead of `coded` bytes of deflate: by what they usually become, within the limit.
    fn make_room(&mut self, coded: usize) {
        if self.bytes.capacity() > self.bytes.len() {
            return;
        }
        let guess = coded.saturating_mul(USUAL_RATIO).max(self.bytes.len());
        let window = guess.clamp(MIN_WINDOW, MAX_WINDOW);
        self.bytes.reserve_exact(window.min(self.room()));
    }

    fn check(&self) -> Result<(), DecodeError> {
        if self.bytes.len() > self.limit {
            return Err(DecodeError::TooLarge);
        }
        Ok(())
    }

    fn read(&mut self, decoder: impl Read) -> Result<(), DecodeError> {
        let room = u64::try_from(self.room()).unwrap_or(u64::MAX);
        let result = decoder.take(room).read_to_end(&mut self.bytes);
        self.check()?;
        result.map(|_| ()).map_err(|fault| match fault.kind() {
            io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
            _ => DecodeError::Corrupt,
        })
    }
}

fn gunzip(mut input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
    for _ in 0..MAX_GZIP_MEMBERS {
        skip_gzip_header(&mut input)?;
        let start = output.bytes.len();
        inflate(Inflater::start_bare, &mut input, output)?;
        let mut content = Crc::new();
        content.update(&output.bytes[start..]);
        check_gzip_trailer(&mut input, &content)?;
        if !has_gzip_member(&mut input) {
            return Ok(());
        }
    }
    Err(DecodeError::Corrupt)
}

fn inflate_any(mut input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
    if is_zlib(&input.first_two()) {
        let result = inflate(Inflater::start_zlib, &mut input.clone(), output);
        if result != Err(DecodeError::Corrupt) {
            return result;
        }
        output.bytes.clear();
    }
    if input.is_at_end() {
        return Err(DecodeError::Truncated);
    }
    inflate(Inflater::start_bare, &mut input, output)
}

/// Inflates with the thread's own state.
fn inflate(
    start: fn(&mut Inflater),
    input: &mut Chunks<'_>,
    output: &mut Output,
) -> Result<(), DecodeError> {
    INFLATER.with_borrow_mut(|inflater| {
        start(inflater);
        loop {
            output.make_room(input.remaining().len());
            let has_ended = inflater.step(input, &mut output.bytes)?;
            output.check()?;
            if has_ended {
                return Ok(());
            }
        }
    })
}

/// With its large-window extension on, as it is by default, the decoder allocates up to 1 GiB for a body of 200 bytes.
fn unbrotli(mut input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
    let mut decoder = Decompressor::new(&mut input, BROTLI_BUFFER);
    decoder.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    match output.read(decoder) {
        Err(DecodeError::Corrupt) if input.is_at_end() => Err(DecodeError::Truncated),
        result => result,
    }
}

fn unzstd(mut input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
    if input.is_at_end() {
        return Err(DecodeError::Truncated);
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(input).map_err(|_| DecodeError::Corrupt)?;
    decoder
        .window_log_max(ZSTD_WINDOW_LOG)
        .map_err(|_| DecodeError::Corrupt)?;
    output.read(decoder)
}

thread_local! {
    static INFLATER: RefCell<Inflater> = RefCell::new(Inflater::new());
    static WHOLE: RefCell<WholeInflater> = RefCell::new(WholeInflater::new());
}

/// What the names of codings mean, in lower case; the usual ones come first.
const NAMES: [(&[u8], Option<Coding>); 8] = [
    (b"gzip", Some(Coding::Gzip)),
    (b"", None),
    (b"br", Some(Coding::Brotli)),
    (b"deflate", Some(Coding::Deflate)),
    (b"zstd", Some(Coding::Zstd)),
    (b"identity", None),
    (b"utf-8", None),
    (b"x-gzip", Some(Coding::Gzip)),
];

/// No real body has more than one.
const MAX_GZIP_MEMBERS: usize = 1000;

/// Bodies of SDKs shrink to a quarter or a sixth.
const USUAL_RATIO: usize = 8;

/// How far the buffer of decoded bytes grows at a time.
const MIN_WINDOW: usize = 1 << 10;
const MAX_WINDOW: usize = 1 << 20;

pub(crate) const BROTLI_BUFFER: usize = 4096;

/// 8 MiB, the window that RFC 8878 section 3.1.1.1.2 asks every decoder to support.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 23;

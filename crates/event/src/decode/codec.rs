//! The four standard content codings, each read from a body in pieces into a bounded buffer.
//!
//! Source: RFC 1950 to 1952 (deflate, gzip), RFC 7932 (Brotli), RFC 8878 (Zstandard).

use std::io::{self, BufRead, Read};
use std::slice;

use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::error::DecodeError;

/// One content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Several members in a row included.
    Gzip,
    /// zlib, as the RFC wants it and raven-python sends it, else the bare deflate of some others.
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Returns the coding of this name, or `None` for names that mean none.
    pub(super) fn of_name(name: &[u8]) -> Result<Option<Self>, DecodeError> {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" | b"utf-8" => Ok(None),
            b"gzip" | b"x-gzip" => Ok(Some(Self::Gzip)),
            b"deflate" => Ok(Some(Self::Deflate)),
            b"br" => Ok(Some(Self::Brotli)),
            b"zstd" => Ok(Some(Self::Zstd)),
            _ => Err(DecodeError::UnknownCoding),
        }
    }

    /// Undoes the coding; more than `limit` bytes are an error.
    pub(super) fn undo(self, input: Chunks<'_>, limit: usize) -> Result<Bytes, DecodeError> {
        let mut output = Output::new(limit);
        self.undo_into(input, &mut output)?;
        Ok(output.bytes.into())
    }

    /// Undoes the coding up to `limit` bytes, or up to where the input ends or is broken.
    pub(super) fn undo_prefix(self, input: Chunks<'_>, limit: usize) -> Bytes {
        let mut output = Output::new(limit);
        let mut bytes = match self.undo_into(input, &mut output) {
            Ok(()) | Err(_) => output.bytes,
        };
        bytes.truncate(limit);
        bytes.into()
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
pub(super) fn undo_zlib(input: Chunks<'_>, limit: usize) -> Result<Bytes, DecodeError> {
    let mut output = Output::new(limit);
    inflate(Decompress::new(true), input, &mut output)?;
    Ok(output.bytes.into())
}

/// As [`undo_zlib`], but returns what came before the limit, the end or the fault.
pub(super) fn undo_zlib_prefix(input: Chunks<'_>, limit: usize) -> Bytes {
    let mut output = Output::new(limit);
    let mut bytes = match inflate(Decompress::new(true), input, &mut output) {
        Ok(()) | Err(_) => output.bytes,
    };
    bytes.truncate(limit);
    bytes.into()
}

/// Returns whether the data starts with a zlib header: method 8 and a valid header checksum (RFC 1950 section 2.2).
pub(super) fn is_zlib(data: &[u8]) -> bool {
    match data {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

/// A body in pieces, read as one.
#[derive(Clone)]
pub(super) struct Chunks<'b> {
    current: &'b [u8],
    rest: slice::Iter<'b, Bytes>,
}

impl<'b> Chunks<'b> {
    pub(super) fn new(pieces: &'b [Bytes]) -> Self {
        Self {
            current: &[],
            rest: pieces.iter(),
        }
    }

    fn remaining(&mut self) -> &'b [u8] {
        while self.current.is_empty() {
            match self.rest.next() {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        self.current
    }

    fn is_at_end(&mut self) -> bool {
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
        output.read(GzDecoder::new(&mut input))?;
        if input.remaining().first() != Some(&GZIP_MAGIC) {
            return Ok(());
        }
    }
    Err(DecodeError::Corrupt)
}

fn inflate_any(mut input: Chunks<'_>, output: &mut Output) -> Result<(), DecodeError> {
    let first_two = input.clone().bytes().take(2).flatten().collect::<Vec<_>>();
    if is_zlib(&first_two) {
        let result = inflate(Decompress::new(true), input.clone(), output);
        if result != Err(DecodeError::Corrupt) {
            return result;
        }
        output.bytes.clear();
    }
    if input.is_at_end() {
        return Err(DecodeError::Truncated);
    }
    inflate(Decompress::new(false), input, output)
}

/// `flate2`'s readers take the end of the input for the end of the data; this loop tells them apart.
fn inflate(
    mut state: Decompress,
    mut input: Chunks<'_>,
    output: &mut Output,
) -> Result<(), DecodeError> {
    loop {
        let window = output.bytes.len().clamp(MIN_WINDOW, MAX_WINDOW);
        output.bytes.reserve(window.min(output.room()));
        let (read, written) = (state.total_in(), state.total_out());
        let status = state
            .decompress_vec(input.remaining(), &mut output.bytes, FlushDecompress::None)
            .map_err(|_| DecodeError::Corrupt)?;
        let consumed = state.total_in() - read;
        input.consume(usize::try_from(consumed).expect("no more than the slice it came from"));
        output.check()?;
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError => {
                let is_stuck = consumed == 0 && state.total_out() == written;
                if is_stuck && input.is_at_end() {
                    return Err(DecodeError::Truncated);
                }
                if is_stuck {
                    return Err(DecodeError::Corrupt);
                }
            }
        }
    }
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

const GZIP_MAGIC: u8 = 0x1f;

/// Every member costs a fresh decoder of 40 KiB; real bodies have one.
const MAX_GZIP_MEMBERS: usize = 1000;

/// How far the buffer of decoded bytes grows at a time.
const MIN_WINDOW: usize = 16 << 10;
const MAX_WINDOW: usize = 1 << 20;

const BROTLI_BUFFER: usize = 4096;

/// 8 MiB, the window that RFC 8878 section 3.1.1.1.2 asks every decoder to support.
const ZSTD_WINDOW_LOG: u32 = 23;

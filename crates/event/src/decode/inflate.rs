//! Deflate, bare or wrapped in zlib or gzip, undone step by step with state that serves one body after the other.
//!
//! Source: RFC 1950 (zlib), RFC 1951 (deflate), RFC 1952 (gzip).

use std::io::{BufRead as _, Read as _};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::codec::Chunks;
use crate::error::DecodeError;

/// The state of one decoder, 48 KiB; making it costs more than what small bodies cost.
pub(crate) struct Inflater(Decompress);

impl Inflater {
    pub(crate) fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Forgets the body before and expects bare deflate.
    pub(crate) fn start_bare(&mut self) {
        self.0.reset(false);
    }

    /// Forgets the body before and expects zlib; its checksum is verified.
    pub(crate) fn start_zlib(&mut self) {
        self.0.reset(true);
    }

    /// Inflates at most 16 KiB into the spare room of `output`, which must have some; returns whether the data has ended.
    ///
    /// `flate2`'s readers take the end of the input for the end of the data; this tells them apart.
    pub(crate) fn step(
        &mut self,
        input: &mut Chunks<'_>,
        output: &mut Vec<u8>,
    ) -> Result<bool, DecodeError> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let piece = input.remaining();
        let piece = &piece[..piece.len().min(MAX_STEP)];
        let status = self
            .0
            .decompress_vec(piece, output, FlushDecompress::None)
            .map_err(|_| DecodeError::Corrupt)?;
        let consumed = self.0.total_in() - read;
        input.consume(usize::try_from(consumed).expect("no more than the slice it came from"));
        let is_stuck = consumed == 0 && self.0.total_out() == written;
        match status {
            Status::StreamEnd => Ok(true),
            Status::Ok | Status::BufError if !is_stuck => Ok(false),
            Status::Ok | Status::BufError if input.is_at_end() => Err(DecodeError::Truncated),
            Status::Ok | Status::BufError => Err(DecodeError::Corrupt),
        }
    }

    /// Returns how many bytes of the body have been read.
    pub(crate) fn consumed(&self) -> u64 {
        self.0.total_in()
    }
}

/// Skips the header of a gzip member.
pub(crate) fn skip_gzip_header(input: &mut Chunks<'_>) -> Result<(), DecodeError> {
    let [id1, id2, method, flags, ..] = take::<10>(input)?;
    if [id1, id2, method] != GZIP_MAGIC || flags & RESERVED != 0 {
        return Err(DecodeError::Corrupt);
    }
    if flags & EXTRA != 0 {
        let length = u16::from_le_bytes(take(input)?);
        for _ in 0..length {
            take::<1>(input)?;
        }
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            while take(input)? != [0] {}
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        take::<2>(input)?;
    }
    Ok(())
}

/// Verifies what stands behind a gzip member: the checksum and the length of its content.
pub(crate) fn check_gzip_trailer(input: &mut Chunks<'_>, content: &Crc) -> Result<(), DecodeError> {
    let checksum = u32::from_le_bytes(take(input)?);
    let length = u32::from_le_bytes(take(input)?);
    if (checksum, length) == (content.sum(), content.amount()) {
        Ok(())
    } else {
        Err(DecodeError::Corrupt)
    }
}

/// Returns whether another gzip member follows; padding and junk behind the last one are ignored, as by gzip itself.
pub(crate) fn has_gzip_member(input: &mut Chunks<'_>) -> bool {
    input.remaining().first() == Some(&GZIP_MAGIC[0])
}

/// Returns whether the data starts with a zlib header: method 8 and a valid header checksum (RFC 1950 section 2.2).
pub(crate) fn is_zlib(data: &[u8]) -> bool {
    match data {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn take<const N: usize>(input: &mut Chunks<'_>) -> Result<[u8; N], DecodeError> {
    let mut bytes = [0; N];
    input
        .read_exact(&mut bytes)
        .map_err(|_| DecodeError::Truncated)?;
    Ok(bytes)
}

/// Bytes read at a time: blocks that hold nothing cost time and fill no output.
const MAX_STEP: usize = 16 << 10;

/// Two bytes of magic, and the method deflate.
pub(super) const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

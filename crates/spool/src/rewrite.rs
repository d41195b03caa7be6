//! Copies the requests of a segment that are still needed into a new file.

use std::collections::BTreeMap;
use std::io;

use crate::frame::{self, FRAME, Kind, MARK, Mark};
use crate::fs::{File, read_exact, write_all};
use crate::segment::{HEADER, Header, u64_at};

/// A request that is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) offset: u64,
    /// Length of its frame.
    pub(crate) len: u64,
    /// Its sequence number in the new file.
    pub(crate) sequence: u64,
    pub(crate) age: u32,
    pub(crate) mark: Mark,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) len: u64,
    /// Where each request is now.
    pub(crate) places: BTreeMap<u64, u64>,
    /// Requests that turned out to be damaged.
    pub(crate) damaged: Vec<u64>,
}

/// Writes a closed segment: the header, the requests with gaps for the numbers between, and the seal. Syncs nothing.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn rewrite(
    from: &dyn File,
    to: &dyn File,
    header: Header,
    kept: &[Kept],
    end: u64,
) -> io::Result<Copied> {
    let mut writer = Writer {
        to,
        header,
        buffer: header.to_bytes().to_vec(),
        copied: Copied::default(),
        next: header.first,
    };
    let mut frame = Vec::new();
    for request in kept {
        frame.clear();
        frame.resize(request.len as usize, 0);
        match read_exact(from, &mut frame, request.offset) {
            Ok(()) if is_sound(&frame) => writer.copy(&frame, request)?,
            Ok(()) => writer.copied.damaged.push(request.sequence),
            Err(error) => return Err(error),
        }
    }
    writer.seal(end)
}

struct Writer<'t> {
    to: &'t dyn File,
    header: Header,
    buffer: Vec<u8>,
    copied: Copied,
    next: u64,
}

impl Writer<'_> {
    fn copy(&mut self, frame: &[u8], request: &Kept) -> io::Result<()> {
        self.skip_to(request.sequence);
        let place = self.copied.len + self.buffer.len() as u64;
        let start = self.buffer.len() + MARK as usize;
        let marker = self.header.marker;
        let fields = (request.sequence, request.age, Kind::Request);
        frame::write(&mut self.buffer, marker, fields, [&frame[FRAME..]]);
        let mark = request.mark.to_bytes(request.sequence, marker);
        self.buffer[start..start + mark.len()].copy_from_slice(&mark);
        self.copied.places.insert(request.sequence, place);
        self.next = request.sequence + 1;
        if self.buffer.len() < BUFFER {
            return Ok(());
        }
        self.flush()
    }

    fn seal(mut self, end: u64) -> io::Result<Copied> {
        self.skip_to(end);
        let age = u32::try_from(self.header.time.age).unwrap_or(u32::MAX);
        let wall = self.header.time.wall.to_le_bytes();
        let fields = (self.next, age, Kind::Seal);
        frame::write(&mut self.buffer, self.header.marker, fields, [&wall[..]]);
        self.flush()?;
        Ok(self.copied)
    }

    fn skip_to(&mut self, sequence: u64) {
        if sequence > self.next {
            let end = sequence.to_le_bytes();
            let age = u32::try_from(self.header.time.age).unwrap_or(u32::MAX);
            let fields = (self.next, age, Kind::Gap);
            frame::write(&mut self.buffer, self.header.marker, fields, [&end[..]]);
            self.next = sequence;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(self.to, &self.buffer, self.copied.len)?;
        self.copied.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn is_sound(frame: &[u8]) -> bool {
    frame.len() >= FRAME && frame::is_sound(frame, u64_at(frame, 0))
}

const BUFFER: usize = 1 << 20;
const _: () = assert!(
    HEADER < BUFFER,
    "the header is written with the first frames"
);

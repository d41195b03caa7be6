//! Reads a segment from its start to its end, past everything that is damaged.

use std::ops::Range;

use memchr::memmem;

use crate::frame::{self, FRAME, Frame};
use crate::fs::{File, read_exact};
use crate::segment::{self, HEADER, Header, u64_at};

/// What was found besides the frames.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// The header, unless it is damaged or another segment's.
    pub(crate) header: Option<Header>,
    /// What every frame starts with.
    pub(crate) marker: u64,
    /// Length of the file.
    pub(crate) len: u64,
    /// Where no frame is.
    pub(crate) damage: Vec<Range<u64>>,
}

/// A sound frame: its place, its fields, and all its bytes.
#[derive(Debug)]
pub(crate) struct Found<'b> {
    pub(crate) offset: u64,
    pub(crate) frame: Frame,
    pub(crate) bytes: &'b [u8],
}

impl Found<'_> {
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[FRAME..]
    }
}

/// Reads a segment, and hands over every sound frame in the order of the file.
pub(crate) fn scan(file: &dyn File, marker: u64, mut each: impl FnMut(Found<'_>)) -> Scanned {
    let len = file.length().unwrap_or(0);
    let mut window = Window::new(file, len);
    let header = Header::from_bytes(window.bytes(0, HEADER as u64));
    let mut scanned = Scanned {
        header: header.filter(|header| header.marker == marker),
        marker,
        len,
        damage: Vec::new(),
    };
    let mut offset = match (scanned.header, marker) {
        (Some(_), _) => HEADER as u64,
        (None, 0) => len,
        (None, _) => next_marker(&mut window, 0, marker),
    };
    if scanned.header.is_none() && len > 0 {
        scanned.damage.push(0..offset);
    }
    while offset < len {
        if let Some(frame) = sound(&mut window, offset, marker) {
            let bytes = window.bytes(offset, frame.len());
            each(Found {
                offset,
                frame,
                bytes,
            });
            offset += frame.len();
        } else {
            let next = next_marker(&mut window, offset + 1, marker);
            note(&mut scanned.damage, offset..next);
            offset = next;
        }
    }
    scanned
}

/// Returns what frames of a file may start with: what its header says or, if that is damaged, what the first frame does; and
/// what its name says. They differ only in a file that was renamed, or written over with a piece of another. 0 stands for
/// nothing that could be found out.
pub(crate) fn markers(file: &dyn File, name: &str) -> (u64, Option<u64>) {
    let mut window = Window::new(file, file.length().unwrap_or(0));
    let named = segment::read_name(name).map(|(_, marker)| marker);
    let said = match Header::from_bytes(window.bytes(0, HEADER as u64)) {
        Some(header) => Some(header.marker),
        None => {
            let first = window.bytes(HEADER as u64, 8);
            let first = (first.len() == 8).then(|| u64_at(first, 0));
            first.filter(|first| sound(&mut window, HEADER as u64, *first).is_some())
        }
    };
    let marker = said.or(named).unwrap_or(0);
    (marker, named.filter(|named| *named != marker))
}

fn sound(window: &mut Window<'_>, offset: u64, marker: u64) -> Option<Frame> {
    let frame = frame::peek(window.bytes(offset, FRAME as u64), marker)?;
    let bytes = window.bytes(offset, frame.len());
    let is_whole = bytes.len() as u64 == frame.len();
    (is_whole && frame::is_sound(bytes, marker)).then_some(frame)
}

/// Returns where the marker is found next, or the end of the file.
fn next_marker(window: &mut Window<'_>, mut from: u64, marker: u64) -> u64 {
    let needle = marker.to_le_bytes();
    while from < window.len {
        let haystack = window.bytes(from, SEARCHED);
        if let Some(place) = memmem::find(haystack, &needle) {
            return from + place as u64;
        }
        let seen = haystack.len() as u64;
        if from + seen >= window.len {
            break;
        }
        from += seen - (needle.len() as u64 - 1);
    }
    window.len
}

/// Adds a damaged place; those that touch are one.
fn note(damage: &mut Vec<Range<u64>>, place: Range<u64>) {
    match damage.last_mut() {
        Some(last) if last.end == place.start => last.end = place.end,
        Some(_) | None => damage.push(place),
    }
}

/// A part of a file in memory, read ahead.
struct Window<'f> {
    file: &'f dyn File,
    len: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn File, len: u64) -> Window<'f> {
        Window {
            file,
            len,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// Returns the bytes at a place, fewer at the end of the file.
    fn bytes(&mut self, offset: u64, wanted: u64) -> &[u8] {
        let wanted = wanted.min(self.len.saturating_sub(offset));
        let held = self.start..self.start + self.buffer.len() as u64;
        if offset < held.start || offset + wanted > held.end {
            self.load(
                offset,
                wanted.max(AHEAD).min(self.len.saturating_sub(offset)),
            );
        }
        let from = (offset - self.start) as usize;
        &self.buffer[from..from + wanted as usize]
    }

    fn load(&mut self, offset: u64, wanted: u64) {
        self.start = offset;
        self.buffer.clear();
        self.buffer.resize(wanted as usize, 0);
        if read_exact(self.file, &mut self.buffer, offset).is_err() {
            // A bad sector must not take its neighbours along: what cannot be read counts as zeros.
            for (index, piece) in self.buffer.chunks_mut(SECTOR).enumerate() {
                if read_exact(self.file, piece, offset + (index * SECTOR) as u64).is_err() {
                    piece.fill(0);
                }
            }
        }
    }
}

const AHEAD: u64 = 1 << 20;
const SEARCHED: u64 = 64 << 10;
const SECTOR: usize = 4096;

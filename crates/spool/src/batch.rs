//! Requests on their way into a segment.

use bytes::Bytes;

use crate::frame::{self, FRAME, Frame, Kind};
use crate::record::Summary;

/// A request as it goes into a segment.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) summary: Summary,
    /// The payload without the inline body.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<Bytes>,
}

impl Entry {
    /// Returns the bytes that the entry takes in a segment.
    pub(crate) fn len(&self) -> u64 {
        let body: usize = self.body.iter().map(Bytes::len).sum();
        (FRAME + self.head.len() + body) as u64
    }
}

/// Appends the frames of requests with numbers from `first` on; returns them, and where they are in the buffer.
pub(crate) fn encode(
    buffer: &mut Vec<u8>,
    marker: u64,
    age: u32,
    entries: &[&Entry],
    first: u64,
) -> Vec<(usize, Frame)> {
    let mut frames = Vec::with_capacity(entries.len());
    for (entry, sequence) in entries.iter().zip(first..) {
        let start = buffer.len();
        let body = entry.body.iter().map(|piece| &piece[..]);
        let payload = std::iter::once(&entry.head[..]).chain(body);
        frame::write(buffer, marker, (sequence, age, Kind::Request), payload);
        let frame = Frame {
            sequence,
            age,
            kind: Kind::Request,
            length: (buffer.len() - start - FRAME) as u32,
        };
        frames.push((start, frame));
    }
    frames
}

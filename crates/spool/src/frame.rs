//! One frame of a segment, and the mark that says what became of its request.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | the segment's marker |
//! | 8 | 8 | mark, written in place later: 0 = kept; else kind, 0, status (2), and 4 bytes of check |
//! | 16 | 8 | check: XXH3-64, seeded with the marker, of everything from here on |
//! | 24 | 8 | sequence number |
//! | 32 | 4 | age of the spool when written, in seconds |
//! | 36 | 4 | length of the payload |
//! | 40 | 1 | kind |
//! | 41 | 3 | zero |
//! | 44 | … | payload |
//!
//! The marker cannot be guessed, so no client can put bytes into a body that would be taken for a frame once damage makes
//! us search for the next one.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::segment::{u32_at, u64_at};

/// What a frame says besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) sequence: u64,
    pub(crate) age: u32,
    pub(crate) kind: Kind,
    pub(crate) length: u32,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request; see [`crate::record`].
    Request = 1,
    /// Requests that were here and are no longer needed: from the sequence number up to the one (8 bytes) in the payload.
    Gap = 2,
    /// The clocks: the wall clock (8 bytes) in the payload. Takes no sequence number.
    Tick = 3,
    /// The end of the segment: the sequence number is that of the next. Takes none.
    Seal = 4,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing yet.
    Kept,
    /// It is no longer needed.
    Done,
    /// Sentry refused it with this status.
    Refused(u16),
}

/// Appends a frame; the payload comes in pieces.
pub(crate) fn write<'p>(
    buffer: &mut Vec<u8>,
    marker: u64,
    (sequence, age, kind): (u64, u32, Kind),
    payload: impl IntoIterator<Item = &'p [u8]>,
) {
    let start = buffer.len();
    buffer.resize(start + FRAME, 0);
    payload
        .into_iter()
        .for_each(|piece| buffer.extend_from_slice(piece));
    let frame = &mut buffer[start..];
    let length = u32::try_from(frame.len() - FRAME).expect("payloads are bounded");
    frame[..8].copy_from_slice(&marker.to_le_bytes());
    frame[24..32].copy_from_slice(&sequence.to_le_bytes());
    frame[32..36].copy_from_slice(&age.to_le_bytes());
    frame[36..40].copy_from_slice(&length.to_le_bytes());
    frame[40] = kind as u8;
    let check = xxh3_64_with_seed(&frame[24..], marker);
    frame[16..24].copy_from_slice(&check.to_le_bytes());
}

/// Reads a frame's fields without its check; `None` if there is no frame.
pub(crate) fn peek(bytes: &[u8], marker: u64) -> Option<Frame> {
    let bytes = bytes.get(..FRAME)?;
    if u64_at(bytes, 0) != marker {
        return None;
    }
    Some(Frame {
        sequence: u64_at(bytes, 24),
        age: u32_at(bytes, 32),
        length: u32_at(bytes, 36),
        kind: Kind::from_byte(bytes[40])?,
    })
    .filter(|frame| frame.length <= MAX_PAYLOAD)
}

/// Whether a whole frame is what was written.
pub(crate) fn is_sound(frame: &[u8], marker: u64) -> bool {
    u64_at(frame, 16) == xxh3_64_with_seed(&frame[24..], marker)
}

impl Frame {
    /// Returns the length of the whole frame.
    pub(crate) fn len(&self) -> u64 {
        FRAME as u64 + u64::from(self.length)
    }
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Request, Kind::Gap, Kind::Tick, Kind::Seal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

impl Mark {
    /// Returns the mark's bytes for one frame.
    pub(crate) fn to_bytes(self, sequence: u64, marker: u64) -> [u8; 8] {
        let (kind, status) = match self {
            Mark::Kept => return [0; 8],
            Mark::Done => (1, 0),
            Mark::Refused(status) => (2, status),
        };
        let [low, high] = status.to_le_bytes();
        let mut bytes = [kind, 0, low, high, 0, 0, 0, 0];
        let check = Self::check(&bytes, sequence, marker);
        bytes[4..].copy_from_slice(&check);
        bytes
    }

    /// Reads a mark. One that is damaged counts as none: sending twice is better than not at all.
    pub(crate) fn from_bytes(bytes: &[u8], sequence: u64, marker: u64) -> Mark {
        if bytes[4..8] != Self::check(bytes, sequence, marker) {
            return Mark::Kept;
        }
        match bytes[0] {
            1 => Mark::Done,
            2 => Mark::Refused(u16::from_le_bytes([bytes[2], bytes[3]])),
            _ => Mark::Kept,
        }
    }

    fn check(bytes: &[u8], sequence: u64, marker: u64) -> [u8; 4] {
        let mut checked = [0; 12];
        checked[..4].copy_from_slice(&bytes[..4]);
        checked[4..].copy_from_slice(&sequence.to_le_bytes());
        let [a, b, c, d, ..] = xxh3_64_with_seed(&checked, marker).to_le_bytes();
        [a, b, c, d]
    }
}

/// Length of a frame without its payload.
pub(crate) const FRAME: usize = 44;
/// Where in a frame the mark is.
pub(crate) const MARK: u64 = 8;
/// The longest payload: a body that is kept inline and a head.
pub(crate) const MAX_PAYLOAD: u32 = (1 << 20) + (512 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_back_and_every_flipped_bit_is_seen() {
        let mut buffer = Vec::new();
        write(&mut buffer, 77, (5, 6, Kind::Request), [&b"ab"[..], b"c"]);

        let frame = peek(&buffer, 77).unwrap();
        assert_eq!((frame.sequence, frame.age, frame.length), (5, 6, 3));
        assert!(is_sound(&buffer, 77));
        for bit in 0..buffer.len() * 8 {
            let byte = bit / 8;
            if (8..16).contains(&byte) {
                continue;
            }
            let mut flipped = buffer.clone();
            flipped[byte] ^= 1 << (bit % 8);
            let is_taken = peek(&flipped, 77).is_some() && is_sound(&flipped, 77);
            assert!(!is_taken, "bit {bit}");
        }
    }

    #[test]
    fn a_mark_holds_only_where_it_was_set() {
        for mark in [Mark::Kept, Mark::Done, Mark::Refused(403)] {
            let bytes = mark.to_bytes(9, 77);

            assert_eq!(Mark::from_bytes(&bytes, 9, 77), mark);
            assert_eq!(Mark::from_bytes(&bytes, 10, 77), Mark::Kept);
            assert_eq!(Mark::from_bytes(&bytes, 9, 78), Mark::Kept);
        }
        assert_eq!(Mark::from_bytes(&[1; 8], 9, 77), Mark::Kept);
    }
}

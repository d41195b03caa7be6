//! A segment's name and first bytes: which frames follow, and how the segment hangs together with the one before.
//!
//! A segment is a header of 80 bytes and then frames ([`crate::frame`]). Numbers are little-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `SN-SPOOL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 8 | name of the spool, drawn once per directory |
//! | 24 | 8 | marker that every frame of this segment starts with, drawn per segment; also in the file's name |
//! | 32 | 8 | sequence number of the first frame |
//! | 40 | 8 | first sequence number of the segment before, 0 for none |
//! | 48 | 8 | where that one ends: its last sequence number + 1 |
//! | 56 | 8 | age of the spool, in seconds |
//! | 64 | 8 | wall clock, in seconds since 1970 |
//! | 72 | 8 | check: XXH3-64 of the bytes before |

use xxhash_rust::xxh3::xxh3_64;

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) spool: u64,
    pub(crate) marker: u64,
    pub(crate) first: u64,
    pub(crate) previous: Previous,
    pub(crate) time: Stamp,
}

/// The segment before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Previous {
    pub(crate) first: u64,
    pub(crate) end: u64,
}

/// What the spool's clock and the wall clock said at one moment, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    pub(crate) age: u64,
    pub(crate) wall: u64,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        let numbers = [
            self.spool,
            self.marker,
            self.first,
            self.previous.first,
            self.previous.end,
            self.time.age,
            self.time.wall,
        ];
        for (place, number) in bytes[16..72].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let check = xxh3_64(&bytes[..72]);
        bytes[72..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` if it is damaged or none of ours.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER)?;
        if &bytes[..8] != MAGIC || u64_at(bytes, 72) != xxh3_64(&bytes[..72]) {
            return None;
        }
        Some(Header {
            version: u32_at(bytes, 8),
            spool: u64_at(bytes, 16),
            marker: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            previous: Previous {
                first: u64_at(bytes, 40),
                end: u64_at(bytes, 48),
            },
            time: Stamp {
                age: u64_at(bytes, 56),
                wall: u64_at(bytes, 64),
            },
        })
    }
}

/// Returns the file name of a segment.
pub(crate) fn name(first: u64, marker: u64) -> String {
    format!("{first:020}-{marker:016x}{SEGMENT}")
}

/// Reads first sequence number and marker out of a file name.
pub(crate) fn read_name(name: &str) -> Option<(u64, u64)> {
    let (first, marker) = name.strip_suffix(SEGMENT)?.split_once('-')?;
    Some((first.parse().ok()?, u64::from_str_radix(marker, 16).ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Length of a segment's header.
pub(crate) const HEADER: usize = 80;
/// The version that is written.
pub(crate) const VERSION: u32 = 1;
/// How names of segments end.
pub(crate) const SEGMENT: &str = ".seg";
/// How names of segments in the making end.
pub(crate) const TEMPORARY: &str = ".tmp";
/// How names of files end that hold something unreadable.
pub(crate) const DAMAGED: &str = ".damaged";
/// How names of body files end.
pub(crate) const BODY: &str = ".body";
/// The file that is locked, and that marks the directory as ours.
pub(crate) const LOCK: &str = "spool.lock";

const MAGIC: &[u8; 8] = b"SN-SPOOL";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_name_are_read_back() {
        let header = Header {
            version: VERSION,
            spool: 1,
            marker: u64::MAX,
            first: 3,
            previous: Previous { first: 4, end: 5 },
            time: Stamp { age: 6, wall: 7 },
        };

        let mut bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Some(header));
        assert_eq!(read_name(&name(3, u64::MAX)), Some((3, u64::MAX)));

        bytes[33] ^= 1;
        assert_eq!(Header::from_bytes(&bytes), None);
        assert_eq!(Header::from_bytes(&bytes[..79]), None);
        assert_eq!(read_name("x.seg"), None);
    }
}

//! Gzip that is there as a whole, inflated in one go by libdeflate: twice as fast as step by step.
//!
//! It only ever says what the step-by-step decoder would say too, or nothing: then that one has to be asked. Why there
//! are two: docs/decisions/0031-libdeflate-for-whole-bodies.md.

use bytes::{Buf as _, Bytes, BytesMut};
use libdeflater::{DecompressionError, Decompressor, crc32};
use memchr::memchr;
use memchr::memmem::Finder;

use super::codec::Chunks;
use super::inflate::{GZIP_MAGIC, skip_gzip_header};

/// The state of one decoder, 12 KiB; it serves one body after the other.
pub(crate) struct WholeInflater {
    inflater: Decompressor,
    /// Finds the start of another member.
    member: Finder<'static>,
    /// Room for what bodies hold, used again once nobody holds the one before.
    room: BytesMut,
}

/// How much of a body fitted into a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inflated {
    /// All of it, so many bytes; its checksum is right.
    All(usize),
    /// Its first bytes, so many.
    Start(usize),
}

impl WholeInflater {
    pub(crate) fn new() -> Self {
        Self {
            inflater: Decompressor::new(),
            member: Finder::new(&GZIP_MAGIC),
            room: BytesMut::new(),
        }
    }

    /// Returns what a gzip body in one piece holds; `None` when it takes more patience to find out: it comes in pieces, is
    /// broken, holds more than `limit` bytes or more than one member, or something follows it.
    pub(crate) fn gunzip(&mut self, body: &Chunks<'_>, limit: usize) -> Option<Bytes> {
        let member = Member::of(body)?;
        if member.length > limit || member.length > member.deflate.len().saturating_mul(MAX_RATIO) {
            return None;
        }
        let mut output = if member.length <= MAX_ROOM {
            self.room.clear();
            self.room.resize(member.length, 0);
            self.room.split()
        } else {
            BytesMut::zeroed(member.length)
        };
        let inflated = self
            .inflater
            .deflate_decompress(member.deflate, &mut output);
        let is_all = inflated.is_ok_and(|length| self.is_all(&member, &output[..length]));
        is_all.then(|| output.freeze())
    }

    /// Inflates as much of a gzip body in one piece as fits into `output`; `None` as for [`WholeInflater::gunzip`].
    ///
    /// libdeflate does not say how far it came before the room was used up. But it came to the first byte that is still
    /// zero, less what it may have written ahead of its place: that much is known.
    pub(crate) fn gunzip_start(
        &mut self,
        body: &Chunks<'_>,
        output: &mut [u8],
    ) -> Option<Inflated> {
        let member = Member::of(body)?;
        let start = &member.deflate[..member.deflate.len().min(MAX_INPUT)];
        output.fill(0);
        match self.inflater.deflate_decompress(start, output) {
            Ok(length) if self.is_all(&member, &output[..length]) => Some(Inflated::All(length)),
            Err(DecompressionError::InsufficientSpace) if member.length > output.len() => {
                let reached = memchr(0, output).unwrap_or(output.len());
                reached.checked_sub(AHEAD).map(Inflated::Start)
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Returns whether this is what the trailer says, and nothing seems to stand between: that the first bytes of a second
    /// member are there by chance is rare, and does no harm.
    fn is_all(&self, member: &Member<'_>, content: &[u8]) -> bool {
        let is_intact = content.len() == member.length && crc32(content) == member.checksum;
        is_intact && self.member.find(member.deflate).is_none()
    }
}

/// A gzip body, if it is one member and nothing else.
struct Member<'b> {
    deflate: &'b [u8],
    checksum: u32,
    /// Bytes of its content, if it tells the truth.
    length: usize,
}

impl<'b> Member<'b> {
    fn of(body: &Chunks<'b>) -> Option<Self> {
        let mut rest = Chunks::of_slice(body.as_one_piece()?);
        skip_gzip_header(&mut rest).ok()?;
        let (deflate, mut trailer) = rest
            .remaining()
            .split_last_chunk::<8>()
            .map(|(deflate, trailer)| (deflate, trailer.as_slice()))?;
        Some(Self {
            deflate,
            checksum: trailer.get_u32_le(),
            length: usize::try_from(trailer.get_u32_le()).ok()?,
        })
    }
}

/// More bytes than libdeflate writes ahead of what it has inflated: a buffer has to have so many besides those wanted.
pub(crate) const AHEAD: usize = 64;

/// Bytes that are looked at for a start: far more than it takes, unless somebody sends blocks that hold nothing.
const MAX_INPUT: usize = 4 << 10;

/// Larger bodies are rare, and get room of their own.
const MAX_ROOM: usize = 64 << 10;

/// Deflate cannot make more of a byte.
const MAX_RATIO: usize = 1032;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::super::codec::Coding;
    use super::*;

    fn gzip(data: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(body: &[u8], limit: usize) -> Option<Bytes> {
        WholeInflater::new().gunzip(&Chunks::of_slice(body), limit)
    }

    fn start(body: &[u8], room: usize) -> Option<(Inflated, Vec<u8>)> {
        let mut output = vec![0; room];
        let inflated = WholeInflater::new().gunzip_start(&Chunks::of_slice(body), &mut output)?;
        let length = match inflated {
            Inflated::All(length) | Inflated::Start(length) => length,
        };
        output.truncate(length);
        Some((inflated, output))
    }

    /// Text as SDKs send it, numbers that do not repeat, and long runs.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let field = prop_oneof![
            "\"[a-z]{1,12}\":\"[ -~]{0,40}\",",
            "[0-9a-f]{32}",
            (any::<u8>(), 1..2000_usize).prop_map(|(byte, count)| {
                String::from_utf8_lossy(&vec![byte % 128; count]).into_owned()
            }),
        ];
        prop::collection::vec(field, 0..60).prop_map(|fields| fields.concat().into_bytes())
    }

    /// Any bytes may stand in deflate by chance, also those that a member starts with.
    fn seems_to_have_two_members(body: &[u8]) -> bool {
        let mut starts = memchr::memmem::find_iter(body, &GZIP_MAGIC);
        starts.nth(1).is_some()
    }

    /// No symbol of deflate stands for more than 258 bytes (RFC 1951 section 3.2.5), but for a stored block.
    fn reached_at_least(content: &[u8], room: usize) -> usize {
        let until = room.saturating_sub(258).min(content.len());
        memchr(0, &content[..until]).unwrap_or(until)
    }

    proptest! {
        #[test]
        fn what_it_says_is_what_the_body_holds(content in content(), level in 0..10_u32) {
            let body = gzip(&content, level);
            let expected = (!seems_to_have_two_members(&body)).then(|| Bytes::from(content.clone()));

            prop_assert_eq!(gunzip(&body, content.len()), expected);
            if !content.is_empty() {
                prop_assert_eq!(gunzip(&body, content.len() - 1), None);
            }
        }

        /// Holds libdeflate to what its documentation does not promise.
        #[test]
        fn a_start_is_the_start_of_the_content(
            content in content(),
            level in 0..10_u32,
            room in AHEAD..4000_usize,
        ) {
            let body = gzip(&content, level);
            let Some((inflated, said)) = start(&body, room) else {
                if content.len() <= room && seems_to_have_two_members(&body) {
                    return Ok(());
                }
                let reached = if level == 0 { 0 } else { reached_at_least(&content, room) };
                prop_assert!(reached < AHEAD, "no answer");
                return Ok(());
            };
            prop_assert_eq!(&said[..], &content[..said.len()]);
            match inflated {
                Inflated::All(length) => prop_assert_eq!(length, content.len()),
                Inflated::Start(length) => {
                    prop_assert!(content.len() > room);
                    prop_assert!(length + AHEAD >= reached_at_least(&content, room));
                }
            }
        }

        /// A stored block does not begin before there is room for all of it.
        #[test]
        fn a_start_does_not_reach_into_a_stored_block(
            text in "[a-z]{1,3}[ -~]{0,400}",
            repeated in 0..6_usize,
            stored in prop::collection::vec(1..=255_u8, 1..3000),
            room in AHEAD..1500_usize,
        ) {
            let text = text.repeat(repeated + 1);
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(9));
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.flush().unwrap();
            encoder.write_all(&stored).unwrap();
            let content = [text.as_bytes(), &stored].concat();

            if let Some((_, said)) = start(&encoder.finish().unwrap(), room) {
                prop_assert_eq!(&said[..], &content[..said.len()]);
            }
        }

        #[test]
        fn a_broken_body_is_left_to_others(
            content in content(),
            place in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let mut body = gzip(&content, 6);
            let place = place.index(body.len());
            body[place] ^= 1 << bit;

            // A flag of the header may change without changing the content.
            prop_assert!(gunzip(&body, 1 << 20).is_none_or(|said| said == content));
        }

        #[test]
        fn noise_is_no_gzip(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(gunzip(&[&GZIP_MAGIC, &noise[..]].concat(), 1 << 20), None);
            let _ = start(&[&GZIP_MAGIC, &noise[..]].concat(), 500);
        }
    }

    #[test]
    fn more_than_one_whole_member_is_left_to_others() {
        let one = gzip(b"{\"message\":\"payment failed\"}", 9);
        assert!(gunzip(&one, 100).is_some());
        for (what, body) in [
            ("twice the same", [&one[..], &one].concat()),
            ("padding", [&one[..], &[0; 3]].concat()),
            ("cut off", one[..one.len() - 1].to_vec()),
            ("no more than a trailer", one[one.len() - 8..].to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert_eq!(gunzip(&body, 100), None, "{what}");
            assert_eq!(start(&body, 500), None, "{what}");
        }
        let (left, right) = one.split_at(12);
        let pieces = [left, right].map(Bytes::copy_from_slice);
        assert_eq!(
            WholeInflater::new().gunzip(&Chunks::new(&pieces), 100),
            None
        );
    }

    #[test]
    fn what_seems_to_be_two_members_is_read_with_patience() {
        let content = [&[b'a'; 600][..], &GZIP_MAGIC, &[b'b'; 600]].concat();
        let body = gzip(&content, 0);
        assert!(seems_to_have_two_members(&body));

        assert_eq!(gunzip(&body, 5000), None);
        assert_eq!(start(&body, 5000), None);
        let undone = Coding::Gzip.undo(Chunks::of_slice(&body), 5000);
        assert_eq!(undone.unwrap(), content);
    }

    #[test]
    fn the_room_is_used_again_once_nobody_holds_it() {
        let mut inflater = WholeInflater::new();
        let mut gunzip = |text: &str| {
            let body = gzip(text.repeat(100).as_bytes(), 6);
            inflater.gunzip(&Chunks::of_slice(&body), 1 << 20).unwrap()
        };
        let first = gunzip("first ");
        let second = gunzip("second ");
        assert_eq!(
            (&first[..6], &second[..7]),
            (&b"first "[..], &b"second "[..])
        );
        let place = second.as_ptr();
        drop((first, second));

        assert_eq!(gunzip("third ").as_ptr(), place);
    }

    #[test]
    fn a_body_that_claims_to_be_large_takes_no_memory_for_it() {
        let mut body = gzip(b"{}", 9);
        let claim = body.len() - 4..;
        body[claim].copy_from_slice(&u32::MAX.to_le_bytes());

        assert_eq!(gunzip(&body, usize::MAX), None);
    }
}

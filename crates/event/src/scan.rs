//! Says cheaply whether an envelope may alert: from its item headers alone, undoing only as much coding as that takes.
//!
//! Most envelopes hold transactions, sessions and the like, which need no decoding, no parsing and no copy. Nothing here
//! is an error: whatever is odd *may* alert, and whoever reads it then finds out and counts it.
//!
//! Source: <https://develop.sentry.dev/sdk/data-model/envelopes/>.

mod header;
mod walk;

use std::fmt;
use std::io::{self, BufRead as _, Read};

use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::Crc;

use crate::decode::Codings;
use crate::decode::codec::{BROTLI_BUFFER, Chunks, Coding, ZSTD_WINDOW_LOG};
use crate::decode::inflate::{
    Inflater, check_gzip_trailer, has_gzip_member, is_zlib, skip_gzip_header,
};
use crate::decode::whole::{AHEAD, Inflated, WholeInflater};
use crate::error::DecodeError;

use walk::Walk;

/// Which kinds of items are looked for beyond those that always count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Log records, which come in numbers and alert only if asked to.
    pub logs: bool,
}

/// What the start of an envelope says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The bytes hold whole items, and none that can alert; so it is if nothing follows them.
    Nothing,
    /// There is an item that may alert, or something odd.
    Maybe,
    /// Nothing yet, and the bytes break off within a header or an item.
    Incomplete,
}

/// Looks at the start of a decoded envelope. Allocates nothing unless a header breaks off.
pub fn look(decoded: &[u8], wants: Wants) -> Look {
    let mut walk = Walk::new(wants);
    match (walk.feed(decoded), walk.may_alert()) {
        (true, true) => Look::Maybe,
        (false, true) => Look::Incomplete,
        (_, false) => Look::Nothing,
    }
}

/// Looks into envelopes; one for each thread, since it keeps the state of decoders (12 KiB, and 60 KiB once a body takes
/// more patience) from body to body.
///
/// ```
/// use event::Codings;
/// use event::scan::{Scanner, Wants};
///
/// let mut scanner = Scanner::new();
/// let session = b"{}\n{\"type\":\"session\"}\n{}\n";
/// assert!(!scanner.may_alert(Codings::NONE, session, Wants::default()));
/// ```
pub struct Scanner {
    whole: WholeInflater,
    start: Box<[u8]>,
    inflater: Option<Inflater>,
    window: Vec<u8>,
}

impl Scanner {
    /// Makes a scanner for one thread.
    pub fn new() -> Self {
        Self {
            whole: WholeInflater::new(),
            start: vec![0; START + AHEAD].into(),
            inflater: None,
            window: Vec::new(),
        }
    }

    /// Returns whether an envelope may hold anything that alerts: `false` only if it is sound, whole, and holds nothing but
    /// items that never do, such as transactions, sessions and attachments that are no crash.
    ///
    /// With several codings on top of each other the answer is `true`. All of `body` is the request's body, as it came. An
    /// error or a message is found in the
    /// first bytes, and so is a transaction, beside which there can be none; then no more is decoded. Else all is, up to
    /// 256 KiB decoded or 128 KiB of gzip or zlib, where the answer is `true`.
    pub fn may_alert(&mut self, codings: impl Into<Codings>, body: &[u8], wants: Wants) -> bool {
        self.may_alert_coded(codings.into(), Chunks::of_slice(body), wants)
    }

    /// As [`Scanner::may_alert`], for a body in pieces.
    pub fn may_alert_in_pieces(
        &mut self,
        codings: impl Into<Codings>,
        body: &[Bytes],
        wants: Wants,
    ) -> bool {
        self.may_alert_coded(codings.into(), Chunks::new(body), wants)
    }

    fn may_alert_coded(&mut self, codings: Codings, body: Chunks<'_>, wants: Wants) -> bool {
        let Some(coding) = codings.at_most_one() else {
            return true;
        };
        let mut walk = Walk::new(wants);
        let walked = match coding {
            None => {
                walk_plain(body, &mut walk);
                Ok(())
            }
            Some(Coding::Gzip) => self.walk_gzip(body, &mut walk),
            Some(Coding::Deflate) => self.walk_zlib(body, &mut walk),
            Some(Coding::Brotli) => walk_brotli(body, &mut walk),
            Some(Coding::Zstd) => walk_zstd(body, &mut walk),
        };
        walked.is_err() || walk.may_alert()
    }

    fn walk_gzip(&mut self, body: Chunks<'_>, walk: &mut Walk) -> Result<(), Undecided> {
        if self.walk_whole_gzip(&body, walk) {
            return Ok(());
        }
        *walk = walk.again();
        self.walk_gzip_in_steps(body, walk)
    }

    /// Walks through a small body that is there as a whole, as nearly all are; returns whether that was enough.
    fn walk_whole_gzip(&mut self, body: &Chunks<'_>, walk: &mut Walk) -> bool {
        match self.whole.gunzip_start(body, &mut self.start) {
            Some(Inflated::All(length)) => {
                walk.feed(&self.start[..length]);
                return true;
            }
            Some(Inflated::Start(length)) if walk.feed(&self.start[..length]) => return true,
            Some(Inflated::Start(_)) => *walk = walk.again(),
            None => return false,
        }
        let is_small = |body: &[u8]| body.len() <= MAX_WHOLE;
        if !body.as_one_piece().is_some_and(is_small) {
            return false;
        }
        let decoded = self.whole.gunzip(body, MAX_WHOLE_DECODED);
        decoded.is_some_and(|decoded| {
            walk.feed(&decoded);
            true
        })
    }

    fn walk_gzip_in_steps(
        &mut self,
        mut body: Chunks<'_>,
        walk: &mut Walk,
    ) -> Result<(), Undecided> {
        skip_gzip_header(&mut body)?;
        let mut content = Crc::new();
        let is_decided = self.inflate(Inflater::start_bare, &mut body, |window| {
            let is_decided = walk.feed(window);
            if !is_decided {
                content.update(window);
            }
            is_decided
        })?;
        if is_decided {
            return Ok(());
        }
        check_gzip_trailer(&mut body, &content)?;
        if has_gzip_member(&mut body) {
            return Err(Undecided);
        }
        Ok(())
    }

    /// Bare deflate, which no SDK sends, is left to those who decode it.
    fn walk_zlib(&mut self, mut body: Chunks<'_>, walk: &mut Walk) -> Result<(), Undecided> {
        if !is_zlib(&body.first_two()) {
            return Err(Undecided);
        }
        self.inflate(Inflater::start_zlib, &mut body, |window| walk.feed(window))?;
        Ok(())
    }

    /// Hands the decoded bytes on until they are found enough; returns whether they are.
    fn inflate(
        &mut self,
        start: fn(&mut Inflater),
        body: &mut Chunks<'_>,
        mut is_enough: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Undecided> {
        let inflater = self.inflater.get_or_insert_with(Inflater::new);
        let window = &mut self.window;
        window.clear();
        window.reserve(WINDOW);
        start(inflater);
        let mut decoded = 0;
        loop {
            window.clear();
            let has_ended = inflater.step(body, window)?;
            decoded += window.len();
            if is_enough(window) {
                return Ok(true);
            }
            if decoded > MAX_DECODED || inflater.consumed() > MAX_CODED {
                return Err(Undecided);
            }
            if has_ended {
                return Ok(false);
            }
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scanner").finish_non_exhaustive()
    }
}

/// An envelope cannot be looked into to where it is decided: broken, or too large.
#[derive(Debug)]
struct Undecided;

impl From<DecodeError> for Undecided {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl From<io::Error> for Undecided {
    fn from(_: io::Error) -> Self {
        Self
    }
}

fn walk_plain(mut body: Chunks<'_>, walk: &mut Walk) {
    while !body.is_at_end() {
        let piece = body.remaining();
        if walk.feed(piece) {
            return;
        }
        body.consume(piece.len());
    }
}

fn walk_brotli(body: Chunks<'_>, walk: &mut Walk) -> Result<(), Undecided> {
    let mut decoder = Decompressor::new(body, BROTLI_BUFFER);
    decoder.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    walk_read(decoder, walk)
}

fn walk_zstd(mut body: Chunks<'_>, walk: &mut Walk) -> Result<(), Undecided> {
    if body.is_at_end() {
        return Err(Undecided);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    walk_read(decoder, walk)
}

fn walk_read(mut decoder: impl Read, walk: &mut Walk) -> Result<(), Undecided> {
    let mut window = [0; WINDOW];
    let mut decoded = 0;
    loop {
        let count = decoder.read(&mut window)?;
        decoded += count;
        if walk.feed(&window[..count]) || count == 0 {
            return Ok(());
        }
        if decoded > MAX_DECODED {
            return Err(Undecided);
        }
    }
}

/// Enough for the headers of an envelope and of its first item.
const START: usize = 512;

/// Bytes of a body, and of what it holds, that are decoded in one go.
const MAX_WHOLE: usize = 8 << 10;
const MAX_WHOLE_DECODED: usize = 32 << 10;

const WINDOW: usize = 4 << 10;

/// Decoding more than this is not for the thread that forwards.
const MAX_DECODED: usize = 256 << 10;

/// And so is reading more than this: deflate may go on and on without a byte of output.
const MAX_CODED: u64 = 128 << 10;

#[cfg(test)]
mod tests;

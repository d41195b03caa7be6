//! Reads one segment into memory: which requests it holds, which it should hold, and what became of them.

use crate::frame::{FRAME, Frame, Kind, MARK, Mark};
use crate::fs::File;
use crate::index;
use crate::record::{self, Summary};
use crate::scan::{Found, Scanned, scan};
use crate::segment::{self, Stamp, u64_at};

/// A segment that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) scanned: Scanned,
    /// Sequence number of its first frame, as far as known.
    pub(crate) first: u64,
    /// Its last sequence number + 1, if it was closed.
    pub(crate) seal: Option<u64>,
    /// The same, if the next segment knows.
    linked_end: Option<u64>,
    /// Requests that are needed, oldest first, each once.
    pub(crate) records: Vec<Record>,
    /// The latest moment that it knows.
    pub(crate) latest: Stamp,
    /// The highest age of a frame.
    pub(crate) age: u32,
    /// The highest sequence number + 1 of a frame that takes one.
    pub(crate) seen_to: u64,
    /// Bytes that a new file without what is not needed would save.
    pub(crate) wasted: u64,
    /// The sequence numbers that its frames account for, some perhaps twice.
    spans: Vec<Span>,
}

/// Sequence numbers that a frame accounts for, and its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: u64,
    end: u64,
    bytes: u64,
}

/// A request in a segment.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) frame: Frame,
    pub(crate) summary: Summary,
    /// The status of a refused one.
    pub(crate) refused: Option<u16>,
}

/// Reads a segment whose frames start so.
pub(crate) fn load(file: &dyn File, name: &str, marker: u64) -> Loaded {
    let mut reading = Reading::default();
    let scanned = scan(file, marker, |found| reading.take(&found));
    let Reading {
        mut records,
        spans,
        seal,
        latest,
        age,
        wasted,
    } = reading;
    records.sort_by_key(|record| record.frame.sequence);
    records.dedup_by_key(|record| record.frame.sequence);
    let seen_to = spans.iter().map(|span| span.end).max().unwrap_or(0);
    let lowest = spans.iter().map(|span| span.start).min();
    let named = segment::read_name(name).filter(|(_, marker)| *marker == scanned.marker);
    let said = match scanned.header {
        Some(header) => Some(header.first),
        None => named.map(|(first, _)| first),
    };
    let first = said.into_iter().chain(lowest).min().unwrap_or(0);
    let of_header = scanned
        .header
        .map_or(Stamp::default(), |header| header.time);
    let mut loaded = Loaded {
        name: name.to_owned(),
        first,
        seal,
        linked_end: None,
        records,
        latest: latest.max_by_age(of_header),
        age,
        wasted,
        seen_to,
        spans,
        scanned,
    };
    if let Some(end) = seal {
        loaded.cut(end);
    }
    loaded
}

impl Loaded {
    /// Ends the segment where the next one says that it ended.
    pub(crate) fn link(&mut self, end: u64) {
        self.expect(end);
        self.cut(end);
    }

    /// Takes note of where the segment should end.
    pub(crate) fn expect(&mut self, end: u64) {
        self.linked_end = Some(end);
    }

    /// Forgets what comes behind the end: it was written by a batch that did not succeed, so nobody was told that it is safe.
    fn cut(&mut self, end: u64) {
        self.records.retain(|record| record.frame.sequence < end);
        self.spans.retain_mut(|span| {
            span.end = span.end.min(end);
            span.start < span.end
        });
        self.seen_to = self.seen_to.min(end);
    }

    /// Returns the last sequence number + 1.
    pub(crate) fn end(&self) -> u64 {
        let known = self.seal.or(self.linked_end).unwrap_or(self.first);
        known.max(self.seen_to)
    }

    /// Returns how many requests, or places that may have held some, are lost; `follower` is where the next segment begins.
    pub(crate) fn lost(&self, follower: Option<u64>) -> u64 {
        let (covered, twice) = count(self.spans.clone());
        let places = self.scanned.damage.len() as u64;
        // A damaged frame may be one that stood for many numbers, but a place holds no more requests than fit.
        let at_most: u64 = (self.scanned.damage.iter())
            .map(|place| place.end - place.start)
            .chain(twice)
            .map(|bytes| bytes.div_ceil(SHORTEST))
            .sum();
        let seen = self.seen_to.saturating_sub(self.first);
        let missing = seen.saturating_sub(covered).min(at_most);
        let seen_to = self.seen_to.max(self.first);
        let behind = self.end().saturating_sub(seen_to);
        match (self.seal, self.linked_end) {
            (Some(_), _) => missing + behind.min(at_most - missing),
            (None, Some(_)) => missing + behind,
            (None, None) => {
                let behind = follower.map_or(0, |follower| follower.saturating_sub(seen_to));
                (missing + behind.min(at_most - missing)).max(places)
            }
        }
    }

    /// Whether nothing at all was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether the numbers are such as a segment of ours has.
    pub(crate) fn is_regular(&self) -> bool {
        let span = self.seen_to.saturating_sub(self.first);
        span < u64::from(u32::MAX) && self.seen_to < u64::MAX / 2
    }
}

#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    spans: Vec<Span>,
    seal: Option<u64>,
    latest: Stamp,
    age: u32,
    wasted: u64,
}

impl Reading {
    fn take(&mut self, found: &Found<'_>) {
        let frame = found.frame;
        self.age = self.age.max(frame.age);
        match frame.kind {
            Kind::Request => self.take_request(found),
            Kind::Gap if found.payload().len() >= 8 => {
                let end = u64_at(found.payload(), 0);
                self.cover(found, end.max(frame.sequence));
            }
            Kind::Gap => {}
            Kind::Tick => self.take_moment(found),
            Kind::Seal => {
                self.take_moment(found);
                self.seal = Some(frame.sequence);
            }
        }
    }

    fn take_request(&mut self, found: &Found<'_>) {
        let frame = found.frame;
        let mark = &found.bytes[MARK as usize..MARK as usize + 8];
        let marker = u64_at(found.bytes, 0);
        let refused = match Mark::from_bytes(mark, frame.sequence, marker) {
            Mark::Kept => None,
            Mark::Refused(status) => Some(status),
            Mark::Done => {
                self.cover(found, frame.sequence + 1);
                self.wasted += index::wasted(frame.len());
                return;
            }
        };
        // One that cannot be read though it is sound counts as missing.
        if let Ok(summary) = record::summary(found.payload()) {
            self.cover(found, frame.sequence + 1);
            self.records.push(Record {
                offset: found.offset,
                frame,
                summary,
                refused,
            });
        }
    }

    fn cover(&mut self, found: &Found<'_>, end: u64) {
        self.spans.push(Span {
            start: found.frame.sequence,
            end,
            bytes: found.frame.len(),
        });
    }

    fn take_moment(&mut self, found: &Found<'_>) {
        if found.payload().len() >= 8 {
            let moment = Stamp {
                age: found.frame.age.into(),
                wall: u64_at(found.payload(), 0),
            };
            self.latest = self.latest.max_by_age(moment);
        }
    }
}

impl Stamp {
    /// Returns the later one by the spool's own clock.
    pub(crate) fn max_by_age(self, other: Stamp) -> Stamp {
        if other.age >= self.age { other } else { self }
    }
}

/// Counts the numbers in spans; returns, too, how long the frames are that account for nothing new: copies, written over
/// something else.
fn count(mut spans: Vec<Span>) -> (u64, Vec<u64>) {
    spans.sort_unstable();
    let (mut counted, mut reached) = (0, 0);
    let mut twice = Vec::new();
    for span in spans {
        let fresh = span.end.saturating_sub(span.start.max(reached));
        counted += fresh;
        reached = reached.max(span.end);
        twice.extend((fresh == 0).then_some(span.bytes));
    }
    (counted, twice)
}

/// A request's frame is not shorter.
const SHORTEST: u64 = FRAME as u64 + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_spans_share_count_once() {
        let spans = |ranges: &[(u64, u64)]| {
            let span = |(start, end): &(u64, u64)| Span {
                start: *start,
                end: *end,
                bytes: 60,
            };
            ranges.iter().map(span).collect::<Vec<_>>()
        };

        assert_eq!(count(spans(&[(1, 3), (2, 5), (7, 8)])), (5, vec![]));
        assert_eq!(count(spans(&[(1, 3), (2, 3)])), (2, vec![60]));
        assert_eq!(count(Vec::new()), (0, vec![]));
    }
}

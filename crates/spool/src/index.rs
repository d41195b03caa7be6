//! What is in the spool and where: about 40 bytes in memory for each request, nothing of the request itself.

use std::collections::BTreeMap;
use std::mem;

use crate::frame::{FRAME, Frame};
use crate::lanes::Lanes;
use crate::record::{BodyFile, Lane, Place, Summary};

/// All requests of a spool.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By first sequence number; their ranges do not overlap.
    segments: BTreeMap<u64, Segment>,
    lanes: Lanes,
    /// The body files of the requests that have one.
    bodies: BTreeMap<u64, BodyFile>,
    /// Requests that wait or are being sent.
    requests: u64,
    /// Requests that Sentry refused.
    refused: u64,
}

/// One file of requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    /// The file's name.
    pub(crate) name: String,
    pub(crate) marker: u64,
    /// Length of the file in bytes.
    pub(crate) len: u64,
    /// Whether nothing is added any more.
    pub(crate) is_closed: bool,
    /// Once it is closed: its last sequence number + 1.
    pub(crate) end: u64,
    /// Counts up when the file is replaced by one with fewer requests.
    pub(crate) generation: u32,
    /// Requests that are needed.
    pub(crate) kept: u32,
    /// Bytes that a new file without those that are not would save.
    pub(crate) wasted: u64,
    first: u64,
    slots: Vec<Slot>,
}

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) segment: u64,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) marker: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What a request that ended leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its body's file.
    pub(crate) body: Option<BodyFile>,
    /// Whether its segment can go.
    pub(crate) is_last: bool,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits to be sent.
    Waiting,
    /// Somebody has it.
    Held,
    /// Sentry refused it with this status.
    Refused(u16),
    /// It is no longer needed.
    Done,
}

/// A request in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// Sequence number minus that of the segment.
    delta: u32,
    offset: u32,
    length: u32,
    lane: u32,
    pub(crate) age: u32,
    pub(crate) state: State,
}

impl Index {
    /// Adds a segment without requests, and returns it.
    pub(crate) fn open_segment(&mut self, first: u64, name: &str, marker: u64) -> &mut Segment {
        let segment = Segment {
            name: name.to_owned(),
            marker,
            first,
            ..Segment::default()
        };
        let replaced = self.segments.insert(first, segment);
        debug_assert!(replaced.is_none(), "no two segments begin with one number");
        self.segment_mut(first)
    }

    /// Adds a request to a segment, in the order of sequence numbers.
    pub(crate) fn push(
        &mut self,
        segment: u64,
        offset: u64,
        frame: &Frame,
        entry: (&Summary, State),
    ) {
        let (Summary { lane, place }, state) = entry;
        let lane = self.lanes.enter(lane);
        let slot = Slot {
            delta: small(frame.sequence - segment),
            offset: small(offset),
            length: frame.length,
            lane,
            age: frame.age,
            state,
        };
        if let Place::File(file) = place {
            self.bodies.insert(frame.sequence, *file);
        }
        match state {
            State::Waiting => self.lanes.wait(lane, frame.sequence),
            State::Held | State::Refused(_) | State::Done => {}
        }
        *self
            .counter(state)
            .expect("a request that is pushed is kept") += 1;
        let segment = self.segment_mut(segment);
        segment.kept += 1;
        segment.slots.push(slot);
    }

    /// Takes the oldest request that waits in a lane that may go.
    pub(crate) fn take(&mut self, may_go: impl FnMut(&Lane) -> bool) -> Option<u64> {
        let (lane, sequence) = self.lanes.oldest(may_go)?;
        self.lanes.unwait(lane, sequence);
        self.slot_mut(sequence)?.state = State::Held;
        Some(sequence)
    }

    /// Lets a request wait again.
    pub(crate) fn release(&mut self, sequence: u64) {
        if let Some(slot) = self.slot_mut(sequence)
            && slot.state == State::Held
        {
            slot.state = State::Waiting;
            let lane = slot.lane;
            self.lanes.wait(lane, sequence);
        }
    }

    /// Ends a request; returns what can go with it, or `None` if it had ended before.
    pub(crate) fn finish(&mut self, sequence: u64) -> Option<Finished> {
        let slot = self.slot_mut(sequence)?;
        let was = mem::replace(&mut slot.state, State::Done);
        let (lane, len) = (slot.lane, slot.len());
        *self.counter(was)? -= 1;
        let (_, segment) = self.segments.range_mut(..=sequence).next_back()?;
        segment.kept -= 1;
        segment.wasted += wasted(len);
        let is_last = segment.is_closed && segment.kept == 0;
        if was == State::Waiting {
            self.lanes.unwait(lane, sequence);
        }
        self.lanes.leave(lane);
        Some(Finished {
            body: self.bodies.remove(&sequence),
            is_last,
        })
    }

    /// Keeps a request as refused.
    pub(crate) fn refuse(&mut self, sequence: u64, status: u16) {
        if let Some(slot) = self.slot_mut(sequence)
            && slot.state == State::Held
        {
            slot.state = State::Refused(status);
            self.requests -= 1;
            self.refused += 1;
        }
    }

    /// Returns where a request is, as long as its segment is there.
    pub(crate) fn spot(&self, sequence: u64) -> Option<Spot> {
        let (first, segment) = self.segments.range(..=sequence).next_back()?;
        let slot = &segment.slots[segment.find(sequence)?];
        Some(Spot {
            segment: *first,
            generation: segment.generation,
            name: segment.name.clone(),
            marker: segment.marker,
            offset: u64::from(slot.offset),
            len: slot.len(),
        })
    }

    pub(crate) fn segment(&self, first: u64) -> Option<&Segment> {
        self.segments.get(&first)
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = (&u64, &Segment)> {
        self.segments.iter()
    }

    /// Returns a segment that is there.
    pub(crate) fn segment_mut(&mut self, first: u64) -> &mut Segment {
        let segment = self.segments.get_mut(&first);
        segment.expect("only what is in the index is asked for")
    }

    /// Forgets a segment that nobody needs.
    pub(crate) fn remove_segment(&mut self, first: u64) -> Option<Segment> {
        self.segments.remove(&first)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the age the spool had when the oldest of the requests that wait came in.
    pub(crate) fn oldest_waiting(&self) -> Option<u32> {
        let (_, sequence) = self.lanes.oldest(|_| true)?;
        let (_, segment) = self.segments.range(..=sequence).next_back()?;
        Some(segment.slots[segment.find(sequence)?].age)
    }

    /// Returns the sequence numbers of the requests that Sentry refused.
    pub(crate) fn refused_requests(&self) -> Vec<u64> {
        let segments = self.segments.values();
        segments.flat_map(Segment::refused).collect()
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(crate) fn bodies(&self) -> &BTreeMap<u64, BodyFile> {
        &self.bodies
    }

    fn slot_mut(&mut self, sequence: u64) -> Option<&mut Slot> {
        let (_, segment) = self.segments.range_mut(..=sequence).next_back()?;
        let at = segment.find(sequence)?;
        Some(&mut segment.slots[at])
    }

    fn counter(&mut self, state: State) -> Option<&mut u64> {
        match state {
            State::Waiting | State::Held => Some(&mut self.requests),
            State::Refused(_) => Some(&mut self.refused),
            State::Done => None,
        }
    }
}

impl Segment {
    /// Returns the requests that are needed, with their sequence numbers, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (u64, &Slot)> {
        let slots = self.slots.iter();
        slots
            .filter(|slot| slot.state != State::Done)
            .map(|slot| (self.first + u64::from(slot.delta), slot))
    }

    /// Returns the sequence numbers of the requests that Sentry refused.
    pub(crate) fn refused(&self) -> impl Iterator<Item = u64> {
        let refused = |slot: &Slot| matches!(slot.state, State::Refused(_));
        self.kept()
            .filter(move |(_, slot)| refused(slot))
            .map(|(sequence, _)| sequence)
    }

    /// Takes over the places of the requests in a new file; those that are not in it are forgotten.
    pub(crate) fn move_to(&mut self, len: u64, places: &BTreeMap<u64, u64>) {
        let first = self.first;
        self.slots.retain_mut(|slot| {
            let place = places.get(&(first + u64::from(slot.delta)));
            slot.offset = place.map_or(0, |offset| small(*offset));
            place.is_some()
        });
        self.slots.shrink_to_fit();
        let done = self.slots.iter().filter(|slot| slot.state == State::Done);
        self.wasted = done.map(|slot| wasted(slot.len())).sum();
        self.len = len;
        self.generation += 1;
    }

    /// Returns what each request does.
    pub(crate) fn states(&self) -> impl Iterator<Item = (u64, State)> {
        let slots = self.slots.iter();
        slots.map(|slot| (self.first + u64::from(slot.delta), slot.state))
    }

    fn find(&self, sequence: u64) -> Option<usize> {
        let delta = u32::try_from(sequence - self.first).ok()?;
        let found = self.slots.binary_search_by_key(&delta, |slot| slot.delta);
        found.ok()
    }
}

impl Slot {
    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.offset)
    }

    /// Returns the length of the request's frame.
    pub(crate) fn len(&self) -> u64 {
        FRAME as u64 + u64::from(self.length)
    }
}

/// Returns what is saved when a request of this length is left out of a segment: all but the gap in its place.
pub(crate) fn wasted(len: u64) -> u64 {
    len.saturating_sub(FRAME as u64 + 8)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("segments are short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Kind;

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 24, "{}", size_of::<Slot>());
    }

    #[test]
    fn every_request_ends_once() {
        let mut index = index(3);

        assert_eq!(index.take(|_| true), Some(10));
        assert_eq!(index.take(|_| true), Some(11));
        index.release(10);
        assert_eq!(index.take(|_| true), Some(10));
        index.refuse(10, 403);
        index.release(10);
        assert_eq!((index.requests(), index.refused()), (2, 1));

        for sequence in [10, 11, 12] {
            assert!(index.finish(sequence).is_some());
            assert_eq!(index.finish(sequence), None);
        }
        assert_eq!(index.finish(9), None);
        assert_eq!(index.finish(13), None);
        assert_eq!((index.requests(), index.refused()), (0, 0));
        let segment = index.segment(10).unwrap();
        assert_eq!(segment.kept, 0);
        assert_eq!(index.lanes().waiting(), 0);
    }

    #[test]
    fn a_request_is_found_where_its_segment_moved_it() {
        let mut index = index(3);
        index.finish(10);

        let places = BTreeMap::from([(11, 80), (12, 200)]);
        index.segment_mut(10).move_to(300, &places);

        assert_eq!(index.spot(10), None);
        assert_eq!(
            index.spot(12).map(|spot| (spot.offset, spot.generation)),
            Some((200, 1))
        );
        let kept: Vec<u64> = index
            .segment(10)
            .unwrap()
            .kept()
            .map(|(sequence, _)| sequence)
            .collect();
        assert_eq!(kept, [11, 12]);
    }

    fn index(requests: u64) -> Index {
        let mut index = Index::default();
        index.open_segment(10, "ten", 1);
        for sequence in 10..10 + requests {
            let frame = Frame {
                sequence,
                age: 0,
                kind: Kind::Request,
                length: 6,
            };
            let summary = Summary {
                lane: Lane::default(),
                place: Place::Inline,
            };
            index.push(10, sequence * 50, &frame, (&summary, State::Waiting));
        }
        index
    }
}

//! The way through an envelope that comes in pieces: a header, then items, of which only the headers are looked at.

use super::Wants;
use super::header::{ItemHeader, is_object};
use crate::envelope::ItemType;

/// Where in the envelope the next byte stands.
pub(super) struct Walk {
    place: Place,
    /// A header line that has not come whole.
    line: Vec<u8>,
    items: usize,
    /// The item that decides has come: whether the envelope may alert.
    decided: Option<bool>,
    wants: Wants,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the envelope's header.
    Header,
    /// Behind a header or an item; line breaks may follow.
    BetweenItems,
    /// In an item's header.
    ItemHeader,
    /// In a payload of which this much is left.
    Payload(usize),
    /// Behind a payload of known length, before the end of its line.
    EndOfPayload,
    /// In a payload that ends with its line.
    Line,
}

impl Walk {
    pub(super) fn new(wants: Wants) -> Self {
        Self {
            place: Place::Header,
            line: Vec::new(),
            items: 0,
            decided: None,
            wants,
        }
    }

    /// Returns the walk to begin anew.
    pub(super) fn again(&self) -> Self {
        Self::new(self.wants)
    }

    /// Goes on through the next bytes; returns whether the envelope is decided. Feed it no further then.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() && self.decided.is_none() {
            let passed = match self.place {
                Place::Header | Place::ItemHeader => self.pass_header(bytes),
                Place::BetweenItems => Some(self.pass_breaks(bytes)),
                Place::Payload(left) => Some(self.pass_payload(bytes, left)),
                Place::EndOfPayload => self.pass_end(bytes),
                Place::Line => Some(self.pass_line(bytes)),
            };
            match passed {
                Some(count) => bytes = &bytes[count..],
                None => self.give_up(),
            }
        }
        self.decided.is_some()
    }

    /// Leaves the envelope to somebody more thorough.
    pub(super) fn give_up(&mut self) {
        self.decided = Some(true);
    }

    /// Returns whether the envelope may alert, if nothing follows.
    pub(super) fn may_alert(&self) -> bool {
        self.decided.unwrap_or_else(|| self.is_broken_off())
    }

    /// Returns whether an envelope that ends here is odd. One without items is: there is no use for it.
    pub(super) fn is_broken_off(&self) -> bool {
        let is_whole = match self.place {
            Place::BetweenItems | Place::EndOfPayload | Place::Line => true,
            Place::Header | Place::ItemHeader | Place::Payload(_) => false,
        };
        !is_whole || self.items == 0
    }

    fn pass_header(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + part.len() > MAX_HEADER {
            return None;
        }
        let Some(end) = end else {
            self.line.extend_from_slice(part);
            return Some(part.len());
        };
        if self.line.is_empty() {
            self.take_header(part)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(part);
            self.take_header(&line)?;
        }
        Some(end + 1)
    }

    fn take_header(&mut self, line: &[u8]) -> Option<()> {
        if self.place == Place::Header {
            self.place = Place::BetweenItems;
            return is_object(line).then_some(());
        }
        self.items += 1;
        let item = ItemHeader::read(line)?;
        if self.items > MAX_ITEMS || may_alert(&item, self.wants) {
            return None;
        }
        // "Mutually exclusive with `event` Items", and long: what follows a transaction is not decoded.
        if ItemType::of_name(item.ty) == ItemType::Transaction {
            self.decided = Some(false);
        }
        self.place = match item.length {
            Some(0) => Place::EndOfPayload,
            Some(length) => Place::Payload(length),
            None => Place::Line,
        };
        Some(())
    }

    fn pass_breaks(&mut self, bytes: &[u8]) -> usize {
        let rest = bytes.trim_ascii_start();
        if !rest.is_empty() {
            self.place = Place::ItemHeader;
        }
        bytes.len() - rest.len()
    }

    fn pass_payload(&mut self, bytes: &[u8], left: usize) -> usize {
        let count = left.min(bytes.len());
        self.place = match left - count {
            0 => Place::EndOfPayload,
            left => Place::Payload(left),
        };
        count
    }

    fn pass_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
        let blanks = bytes.iter().take_while(is_blank).count();
        match bytes.get(blanks) {
            None => Some(blanks),
            Some(b'\n') => {
                self.place = Place::BetweenItems;
                Some(blanks + 1)
            }
            Some(_) => None,
        }
    }

    fn pass_line(&mut self, bytes: &[u8]) -> usize {
        match memchr::memchr(b'\n', bytes) {
            Some(end) => {
                self.place = Place::BetweenItems;
                end + 1
            }
            None => bytes.len(),
        }
    }
}

fn may_alert(item: &ItemHeader<'_>, wants: Wants) -> bool {
    match ItemType::of_name(item.ty) {
        // What makes a crash of an event, or is an event in another format, says so; a mere file need not say anything.
        ItemType::Attachment => !matches!(item.attachment_type, None | Some(FILE | VIEW)),
        ItemType::Log => wants.logs,
        ItemType::Event
        | ItemType::RawSecurity
        | ItemType::Security
        | ItemType::UnrealReport
        | ItemType::CheckIn
        | ItemType::Other => true,
        ItemType::Transaction
        | ItemType::FormData
        | ItemType::UserReport
        | ItemType::Feedback
        | ItemType::Session
        | ItemType::Sessions
        | ItemType::ClientReport
        | ItemType::Span
        | ItemType::TraceMetric
        | ItemType::Statsd
        | ItemType::Profile
        | ItemType::ProfileChunk
        | ItemType::ReplayEvent
        | ItemType::ReplayRecording
        | ItemType::ReplayVideo
        | ItemType::Nel => false,
    }
}

const FILE: &str = "event.attachment";
const VIEW: &str = "event.view_hierarchy";

/// Relay's limit.
const MAX_ITEMS: usize = 500;

/// Real headers have below 2 KiB.
const MAX_HEADER: usize = 16 << 10;

//! From a captured request to its events: which bytes hold them, and which reader they want.
//!
//! The path says little: sentry-python 0.14 posts envelopes to `/store/`, raven-js asks for an image with the event in
//! the query. So the bytes decide, and the kind of endpoint only where they cannot.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::decode::{decode, decode_query};
use crate::dsn::Dsn;
use crate::endpoint::{EndpointKind, ProjectId};
use crate::envelope::{Envelope, Item, ItemCounts, ItemType};
use crate::error::{DecodeError, ParseError};
use crate::model::{Event, EventId};
use crate::security::parse_reports;
use crate::store::parse_event;

/// Returns what a request carries, decoded: its body, or for a GET the `sentry_data` of its query. At most `limit` bytes.
///
/// # Errors
/// As [`decode`].
pub fn decode_body(
    method: &Method,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[Bytes],
    limit: usize,
) -> Result<Bytes, DecodeError> {
    if method == Method::GET
        && let Some(data) = query.and_then(|query| decode_query(query, limit).transpose())
    {
        return data;
    }
    decode(headers, body, limit)
}

/// Reads the events of a decoded body that was sent to an endpoint of this kind.
///
/// An envelope is recognised by its second line, at whatever endpoint. At the envelope endpoint everything is one; for a
/// file of unknown origin use [`EndpointKind::Store`], which takes both.
///
/// # Errors
/// When nothing of the body can be read. An envelope that breaks off gives the events before that place, and the fault
/// in [`Parsed::faults`].
pub fn parse_body(body: &[u8], kind: EndpointKind) -> Result<Parsed<'_>, ParseError> {
    match kind {
        EndpointKind::Envelope => parse_envelope(body),
        EndpointKind::Security => Ok(Parsed::of_events(parse_reports(body)?)),
        _ if is_envelope(body) => parse_envelope(body),
        _ => Ok(Parsed::of_events(vec![parse_event(body, None)?])),
    }
}

/// What a body held.
#[derive(Debug, Default)]
pub struct Parsed<'b> {
    /// The events, in order; each with the envelope's id where it has none itself. Not all may alert, see
    /// [`crate::EventKind::is_alertable`].
    pub events: Vec<Event<'b>>,
    /// How many items of each type there were; for a body that is no envelope, one per event.
    pub items: ItemCounts,
    /// The DSN in the envelope's header: the only one when a browser sends through a tunnel.
    pub dsn: Option<Dsn>,
    /// The event id in the envelope's header.
    pub header_id: Option<EventId>,
    /// What could not be read: single items, or all from some place on.
    pub faults: Vec<ParseError>,
}

impl<'b> Parsed<'b> {
    /// Returns the project that the envelope's own DSN names.
    pub fn project(&self) -> Option<ProjectId> {
        self.dsn.as_ref().map(Dsn::project)
    }

    fn of_events(events: Vec<Event<'b>>) -> Self {
        let mut parsed = Self::default();
        for event in events {
            parsed.items.add(match event.security {
                Some(_) => ItemType::RawSecurity,
                None => ItemType::Event,
            });
            parsed.events.push(event);
        }
        parsed
    }

    fn take_item(&mut self, item: &Item<'b>) -> Result<(), ParseError> {
        self.items.add(item.ty);
        match Payload::of(item.ty) {
            Payload::Event => self.events.push(parse_event(item.payload, self.header_id)?),
            Payload::Report => {
                for mut event in parse_reports(item.payload)? {
                    event.id = self.header_id;
                    self.events.push(event);
                }
            }
            Payload::NoEvent => {}
        }
        Ok(())
    }
}

/// Which reader an item's payload wants. Crashes (minidumps, Unreal), check-ins and logs have none yet.
enum Payload {
    Event,
    Report,
    NoEvent,
}

impl Payload {
    fn of(ty: ItemType) -> Self {
        match ty {
            ItemType::Event | ItemType::Security => Self::Event,
            ItemType::RawSecurity => Self::Report,
            ItemType::Transaction
            | ItemType::Attachment
            | ItemType::FormData
            | ItemType::UnrealReport
            | ItemType::UserReport
            | ItemType::Feedback
            | ItemType::Session
            | ItemType::Sessions
            | ItemType::ClientReport
            | ItemType::CheckIn
            | ItemType::Span
            | ItemType::Log
            | ItemType::TraceMetric
            | ItemType::Statsd
            | ItemType::Profile
            | ItemType::ProfileChunk
            | ItemType::ReplayEvent
            | ItemType::ReplayRecording
            | ItemType::ReplayVideo
            | ItemType::Nel
            | ItemType::Other => Self::NoEvent,
        }
    }
}

fn parse_envelope(body: &[u8]) -> Result<Parsed<'_>, ParseError> {
    let envelope = Envelope::open(body)?;
    let mut parsed = Parsed {
        dsn: envelope.header.dsn(),
        header_id: envelope.header.event_id,
        ..Parsed::default()
    };
    for item in envelope.items {
        let taken = match item {
            Ok(item) => parsed.take_item(&item),
            Err(fault) => Err(fault.into()),
        };
        parsed.faults.extend(taken.err());
    }
    Ok(parsed)
}

/// Returns whether a line that ends in `}` is followed by one that starts with `{`: in JSON nothing allows that.
fn is_envelope(body: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'\n', body) else {
        return false;
    };
    let (header, rest) = body.split_at(at);
    header.trim_ascii_end().ends_with(b"}") && rest.trim_ascii_start().starts_with(b"{")
}

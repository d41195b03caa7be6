//! The event that describes a crash, put together from several payloads, with other defaults than an event of its own.
//!
//! Source: Relay, `relay-server/src/utils/native.rs` (level and platform of minidumps).

use std::borrow::Cow;

use super::EventFields;
use crate::error::ParseError;
use crate::json;
use crate::model::{Event, EventKind, Level};

/// The fields of a crash's event, as far as they are known.
#[derive(Default)]
pub(crate) struct CrashFields<'de>(EventFields<'de>);

impl<'de> CrashFields<'de> {
    /// Reads an event from JSON, which the fields may borrow from.
    ///
    /// # Errors
    /// As [`super::parse_event`].
    pub(crate) fn read(body: &'de [u8]) -> Result<Self, ParseError> {
        let fields: Option<EventFields<'de>> = json::read(body).map_err(ParseError::InvalidJson)?;
        fields.map(Self).ok_or(ParseError::NotAnObject)
    }

    /// Reads an event from JSON that was put together and is thrown away afterwards.
    ///
    /// # Errors
    /// As [`super::parse_event`].
    pub(crate) fn read_owned(body: &[u8]) -> Result<Self, ParseError> {
        let fields: Option<EventFields<'static>> =
            json::read_owned(body).map_err(ParseError::InvalidJson)?;
        fields.map(Self).ok_or(ParseError::NotAnObject)
    }

    /// Reads an event from MessagePack, as Crashpad attaches it.
    ///
    /// # Errors
    /// When the bytes are no MessagePack, or no object.
    pub(crate) fn read_message_pack(body: &'de [u8]) -> Result<Self, ParseError> {
        let fields: Option<EventFields<'de>> =
            json::read_message_pack(body).map_err(ParseError::InvalidMessagePack)?;
        fields.map(Self).ok_or(ParseError::NotAnObject)
    }

    /// Takes from the other what is missing here; tags are put together.
    pub(crate) fn fill_from(&mut self, other: Self) {
        let (own, other) = (&mut self.0, other.0);
        own.level = own.level.or(other.level);
        fill(&mut own.platform, other.platform);
        fill(&mut own.message, other.message);
        fill_event(&mut own.event, other.event);
    }

    /// Completes the event: fatal and native unless it says otherwise, and a crash whatever else it holds.
    pub(crate) fn into_event(self) -> Event<'de> {
        let mut fields = self.0;
        fields.level.get_or_insert(Level::Fatal);
        fields.platform.get_or_insert(Cow::Borrowed("native"));
        let mut event = fields.into_event();
        event.kind = EventKind::Crash;
        event
    }
}

fn fill_event<'de>(own: &mut Event<'de>, other: Event<'de>) {
    for (own, other) in [
        (&mut own.title, other.title),
        (&mut own.culprit, other.culprit),
        (&mut own.transaction, other.transaction),
        (&mut own.logger, other.logger),
        (&mut own.release, other.release),
        (&mut own.dist, other.dist),
        (&mut own.environment, other.environment),
        (&mut own.server_name, other.server_name),
        (&mut own.checksum, other.checksum),
        (&mut own.trace_id, other.trace_id),
    ] {
        fill(own, other);
    }
    own.id = own.id.or(other.id);
    own.timestamp = own.timestamp.or(other.timestamp);
    fill(&mut own.logentry, other.logentry);
    fill(&mut own.user, other.user);
    fill(&mut own.sdk, other.sdk);
    fill(&mut own.request, other.request);
    own.tags.extend(other.tags);
    if own.fingerprint.is_empty() {
        own.fingerprint = other.fingerprint;
    }
    if own.exceptions.is_empty() {
        own.exceptions = other.exceptions;
    }
}

fn fill<T>(own: &mut Option<T>, other: Option<T>) {
    if own.is_none() {
        *own = other;
    }
}

//! One item of an envelope, and the types that items have.
//!
//! Source: <https://develop.sentry.dev/sdk/data-model/envelope-items/>; Relay, `relay-server/src/envelope/item.rs`.

use serde::de::MapAccess;

use crate::error::EnvelopeError;
use crate::json::{Fields, Lenient, Number, Value};
use crate::model::Text;

/// One item of an envelope.
#[derive(Debug, Clone)]
pub struct Item<'b> {
    /// What the payload is.
    pub ty: ItemType,
    /// The payload's media type.
    pub content_type: Option<Text<'b>>,
    /// The name of an attached file.
    pub filename: Option<Text<'b>>,
    /// What an attachment is for, such as `event.minidump`.
    pub attachment_type: Option<Text<'b>>,
    /// The payload, as it came.
    pub payload: &'b [u8],
}

/// Declares the types once: variant and name, in the order of their counts.
macro_rules! item_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What an item's payload is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ItemType {
            $($(#[$doc])* $variant,)*
            /// A type newer than this list.
            Other,
        }

        impl ItemType {
            /// All types, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)* Self::Other];

            /// Returns the type of this name; unknown names are [`ItemType::Other`].
            pub fn of_name(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Other,
                }
            }

            /// Returns Sentry's name of the type, one of a closed set.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "other",
                }
            }
        }
    };
}

item_types! {
    /// An error or a message.
    Event = "event",
    /// A performance transaction.
    Transaction = "transaction",
    /// A browser security report as it came.
    RawSecurity = "raw_security",
    /// A browser security report as an event.
    Security = "security",
    /// A file that belongs to an event.
    Attachment = "attachment",
    /// Form fields of a minidump upload.
    FormData = "form_data",
    /// A crash report of the Unreal engine.
    UnrealReport = "unreal_report",
    /// User feedback, the old kind.
    UserReport = "user_report",
    /// User feedback, the new kind.
    Feedback = "feedback",
    /// One release-health session.
    Session = "session",
    /// Release-health sessions, summed up.
    Sessions = "sessions",
    /// What the SDK dropped.
    ClientReport = "client_report",
    /// A check-in of a cron monitor.
    CheckIn = "check_in",
    /// A span.
    Span = "span",
    /// A log record.
    Log = "log",
    /// A metric.
    TraceMetric = "trace_metric",
    /// A metric, the old kind.
    Statsd = "statsd",
    /// A profile of a transaction.
    Profile = "profile",
    /// A piece of a continuous profile.
    ProfileChunk = "profile_chunk",
    /// What happened in a session replay.
    ReplayEvent = "replay_event",
    /// The recording of a session replay.
    ReplayRecording = "replay_recording",
    /// The video of a session replay.
    ReplayVideo = "replay_video",
    /// A browser's network error report.
    Nel = "nel",
}

/// How many items of each type an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemCounts([u16; ItemType::ALL.len()]);

impl ItemCounts {
    /// Returns the number of items of a type.
    pub fn of(&self, ty: ItemType) -> u16 {
        self.0[ty as usize]
    }

    /// Returns the types that occur, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ItemType, u16)> + '_ {
        let types = ItemType::ALL.iter().map(|ty| (*ty, self.of(*ty)));
        types.filter(|(_, count)| *count > 0)
    }

    pub(crate) fn add(&mut self, ty: ItemType) {
        let count = &mut self.0[ty as usize];
        *count = count.saturating_add(1);
    }
}

/// An item's header.
#[derive(Default)]
pub(super) struct Header<'b> {
    ty: Option<Text<'b>>,
    length: Length,
    content_type: Option<Text<'b>>,
    filename: Option<Text<'b>>,
    attachment_type: Option<Text<'b>>,
}

impl<'b> Header<'b> {
    /// Returns the payload's length in bytes, if it is said.
    pub(super) fn length(&self) -> Result<Option<usize>, EnvelopeError> {
        match self.length {
            Length::Absent => Ok(None),
            Length::Bytes(length) => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(EnvelopeError::LengthPastEnd),
            },
            Length::Invalid => Err(EnvelopeError::InvalidItemHeader),
        }
    }

    pub(super) fn into_item(self, payload: &'b [u8]) -> Result<Item<'b>, EnvelopeError> {
        let ty = self.ty.ok_or(EnvelopeError::InvalidItemHeader)?;
        Ok(Item {
            ty: ItemType::of_name(&ty),
            content_type: self.content_type,
            filename: self.filename,
            attachment_type: self.attachment_type,
            payload,
        })
    }
}

impl<'de> Fields<'de> for Header<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "type" => self.ty = value.read()?,
            "length" => self.length = value.read()?,
            "content_type" => self.content_type = value.read()?,
            "filename" => self.filename = value.read()?,
            "attachment_type" => self.attachment_type = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, Default)]
enum Length {
    #[default]
    Absent,
    Bytes(u64),
    Invalid,
}

/// A null is as good as no length; here alone a wrong type is an error, since the rest cannot be split without it.
impl<'de> Lenient<'de> for Length {
    fn nothing() -> Self {
        Self::Absent
    }

    fn of_bool(_: bool) -> Self {
        Self::Invalid
    }

    fn of_number(number: Number) -> Self {
        match number {
            Number::Unsigned(length) => Self::Bytes(length),
            Number::Signed(_) | Number::Float(_) => Self::Invalid,
        }
    }

    fn of_text(_: Text<'de>) -> Self {
        Self::Invalid
    }
}

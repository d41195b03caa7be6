//! The data categories by which Sentry limits rates, and which of them a request belongs to.
//!
//! Source: <https://develop.sentry.dev/sdk/expected-features/rate-limiting/>, Relay `relay-base-schema/src/data_category.rs`.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use memchr::memmem;

use crate::endpoint::EndpointKind;
use crate::envelope::{Envelope, Item, ItemType};

/// A set of data categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Categories(u32);

/// Each category's name in `X-Sentry-Rate-Limits`, in the order of the bits.
const NAMES: [&str; 17] = [
    "default",
    "error",
    "transaction",
    "span",
    "security",
    "attachment",
    "session",
    "monitor",
    "feedback",
    "profile",
    "profile_chunk",
    "replay",
    "log_item",
    "log_byte",
    "metric_bucket",
    "trace_metric",
    "internal",
];

impl Categories {
    /// No category.
    pub const NONE: Self = Self(0);
    /// Every category, also those without a name here: what a limit without names is about.
    pub const ALL: Self = Self(u32::MAX);
    /// What has no name here: limits that name something newer apply to it.
    pub const OTHER: Self = Self(1 << 31);

    /// Returns the category that a rate limit names.
    pub fn named(name: &str) -> Self {
        let name = match name {
            "user_report_v2" => "feedback",
            "statsd" => "metric_bucket",
            "profile_chunk_ui" => "profile_chunk",
            name => name,
        };
        let place = NAMES.iter().position(|other| *other == name);
        place.map_or(Self::OTHER, |place| Self(1 << place))
    }

    /// Returns the categories of a decoded body, or of as much of it as is there.
    pub fn of_body(body: &[u8], kind: EndpointKind) -> Self {
        match kind {
            EndpointKind::Security | EndpointKind::Nel => Self::named("security"),
            EndpointKind::Minidump | EndpointKind::Unreal => {
                Self::named("error") | Self::named("attachment")
            }
            EndpointKind::Attachments => Self::named("attachment"),
            EndpointKind::Cron => Self::named("monitor"),
            EndpointKind::OtlpTraces => Self::named("span"),
            EndpointKind::OtlpLogs | EndpointKind::VercelLogs => Self::named("log_item"),
            EndpointKind::UserFeedback => Self::named("feedback"),
            EndpointKind::Envelope => Self::of_envelope(body).unwrap_or(Self::OTHER),
            EndpointKind::Store | EndpointKind::LegacyStore => {
                Self::of_envelope(body).unwrap_or_else(|| Self::of_event(body))
            }
            EndpointKind::Upload
            | EndpointKind::ErrorPage
            | EndpointKind::Relay
            | EndpointKind::Other => Self::OTHER,
        }
    }

    /// Returns whether the sets have a category in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether there is no category in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set as a number, for those who keep it.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Returns the set that a number stands for.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    fn of_envelope(body: &[u8]) -> Option<Self> {
        let envelope = Envelope::open(body).ok()?;
        let items = envelope.items.filter_map(Result::ok);
        let categories = items.fold(Self::NONE, |all, item| all | Self::of_item(&item));
        (!categories.is_empty()).then_some(categories)
    }

    fn of_item(item: &Item<'_>) -> Self {
        let name = match item.ty {
            ItemType::Event | ItemType::FormData | ItemType::UnrealReport => {
                return Self::of_event(item.payload);
            }
            ItemType::Transaction => "transaction",
            ItemType::RawSecurity | ItemType::Security | ItemType::Nel => "security",
            ItemType::Attachment => "attachment",
            ItemType::UserReport | ItemType::Feedback => "feedback",
            ItemType::Session | ItemType::Sessions => "session",
            ItemType::ClientReport => "internal",
            ItemType::CheckIn => "monitor",
            ItemType::Span => "span",
            ItemType::Log => "log_item",
            ItemType::TraceMetric => "trace_metric",
            ItemType::Statsd => "metric_bucket",
            ItemType::Profile => "profile",
            ItemType::ProfileChunk => "profile_chunk",
            ItemType::ReplayEvent | ItemType::ReplayRecording | ItemType::ReplayVideo => "replay",
            ItemType::Other => return Self::OTHER,
        };
        Self::named(name)
    }

    /// An event with an exception is an error, one without it a message. A look at the text has to do: a message that quotes
    /// the word waits for the limit of errors.
    fn of_event(payload: &[u8]) -> Self {
        let is_error = memmem::find(payload, b"\"exception\"").is_some();
        Self::named(if is_error { "error" } else { "default" })
    }
}

impl BitOr for Categories {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Categories {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Categories {
    /// Writes the names as `X-Sentry-Rate-Limits` lists them; nothing for all.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return Ok(());
        }
        let named = NAMES.iter().enumerate();
        let names = named.filter(|(place, _)| self.0 & 1 << place != 0);
        for (index, (_, name)) in names.enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(formatter, "{separator}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, kind: EndpointKind) -> String {
        Categories::of_body(body.as_bytes(), kind).to_string()
    }

    #[test]
    fn tells_the_categories_of_what_is_sent() {
        let envelope = "{}\n{\"type\":\"session\"}\n{}\n{\"type\":\"event\"}\n{\"exception\":{}}\n{\"type\":\"attachment\",\"length\":9}\nabc";
        assert_eq!(of(envelope, EndpointKind::Envelope), "error;session");
        assert_eq!(of(envelope, EndpointKind::Store), "error;session");
        assert_eq!(of("{\"message\":\"m\"}", EndpointKind::Store), "default");
        assert_eq!(of("{\"exception\":[]}", EndpointKind::Store), "error");
        assert_eq!(of("", EndpointKind::Minidump), "error;attachment");
        assert_eq!(
            Categories::of_body(b"{}\n{\"type\":\"new\"}\n{}", EndpointKind::Envelope),
            Categories::OTHER
        );
    }

    #[test]
    fn a_limit_without_names_is_about_everything() {
        assert!(Categories::ALL.meets(Categories::OTHER));
        assert!(Categories::named("brand_new").meets(Categories::OTHER));
        assert!(!Categories::named("error").meets(Categories::named("session")));
        assert_eq!(Categories::ALL.to_string(), "");
        for name in NAMES {
            assert_eq!(Categories::named(name).to_string(), name);
        }
    }
}

//! How texts, numbers, flags, levels and times are read, whatever JSON type an SDK gives them.
//!
//! Source: Relay, `relay-event-schema/src/protocol/types.rs`.

use std::borrow::Cow;
use std::time::SystemTime;

use super::{Lenient, Number};
use crate::model::{EventId, Level, Text};
use crate::timestamp;

/// Numbers and flags read as text, the empty string as nothing.
impl<'de> Lenient<'de> for Option<Text<'de>> {
    fn nothing() -> Self {
        None
    }

    /// Sentry keeps the capitals of its Python days.
    fn of_bool(flag: bool) -> Self {
        Some(Cow::Borrowed(if flag { "True" } else { "False" }))
    }

    fn of_number(number: Number) -> Self {
        let text = match number {
            Number::Signed(number) => number.to_string(),
            Number::Unsigned(number) => number.to_string(),
            Number::Float(number) => number.to_string(),
        };
        Some(Cow::Owned(text))
    }

    fn of_text(text: Text<'de>) -> Self {
        Some(text).filter(|text| !text.is_empty())
    }
}

impl<'de> Lenient<'de> for Option<bool> {
    fn nothing() -> Self {
        None
    }

    fn of_bool(flag: bool) -> Self {
        Some(flag)
    }
}

/// Anything but `true` reads as `false`.
impl<'de> Lenient<'de> for bool {
    fn nothing() -> Self {
        false
    }

    fn of_bool(flag: bool) -> Self {
        flag
    }
}

impl<'de> Lenient<'de> for Option<i64> {
    fn nothing() -> Self {
        None
    }

    fn of_number(number: Number) -> Self {
        match number {
            Number::Signed(number) => Some(number),
            Number::Unsigned(number) => i64::try_from(number).ok(),
            Number::Float(_) => None,
        }
    }

    fn of_text(text: Text<'de>) -> Self {
        text.parse().ok()
    }
}

impl<'de> Lenient<'de> for Option<u64> {
    fn nothing() -> Self {
        None
    }

    fn of_number(number: Number) -> Self {
        match number {
            Number::Signed(number) => u64::try_from(number).ok(),
            Number::Unsigned(number) => Some(number),
            Number::Float(_) => None,
        }
    }

    fn of_text(text: Text<'de>) -> Self {
        text.parse().ok()
    }
}

impl<'de> Lenient<'de> for Option<EventId> {
    fn nothing() -> Self {
        None
    }

    fn of_text(text: Text<'de>) -> Self {
        EventId::parse(&text)
    }
}

/// A name, or a number of Python's logging; everything else counts as absent.
impl<'de> Lenient<'de> for Option<Level> {
    fn nothing() -> Self {
        None
    }

    fn of_number(number: Number) -> Self {
        Level::from_number(Option::<i64>::of_number(number)?)
    }

    fn of_text(text: Text<'de>) -> Self {
        Level::parse(&text)
    }
}

/// Seconds since 1970, or RFC 3339 with or without its zone.
impl<'de> Lenient<'de> for Option<SystemTime> {
    fn nothing() -> Self {
        None
    }

    fn of_number(number: Number) -> Self {
        match number {
            Number::Signed(_) => None,
            Number::Unsigned(seconds) => timestamp::of_seconds(seconds),
            Number::Float(seconds) => timestamp::of_float(seconds),
        }
    }

    fn of_text(text: Text<'de>) -> Self {
        timestamp::parse(&text)
    }
}

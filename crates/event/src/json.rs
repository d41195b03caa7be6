//! Reads JSON as leniently as Sentry does: a field of the wrong type is as good as absent, and never costs the event.
//!
//! Source: Relay, `relay-protocol/src/impls.rs` and `relay-event-schema/src/protocol/types.rs` (`LenientString`, `Values`).
//!
//! [`Lenient`] says what each JSON type reads as; [`Fields`] says which fields of an object are read. Nothing is kept of
//! the rest, and nothing recurses deeper than the fields that are read.

mod list;
mod render;
mod repair;
mod scalar;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::Text;

pub(crate) use list::Weigh;
pub(crate) use render::JsonText;

/// Reads one JSON value, with nothing but blanks behind it.
///
/// Strings borrow from `body` unless they hold escapes. A byte order mark, bytes that are not UTF-8, lone surrogates and
/// the literals `NaN`, `Infinity` and `-Infinity` are repaired; then nothing borrows.
///
/// # Errors
/// When the body is not JSON even then.
pub(crate) fn read<'b, T: Lenient<'b>>(body: &'b [u8]) -> serde_json::Result<T> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let fault = match std::str::from_utf8(body) {
        Ok(text) => match finish(serde_json::Deserializer::from_str(text)) {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        },
        Err(_) => serde_json::Error::custom("not UTF-8"),
    };
    match repair::repair(body) {
        Some(repaired) => finish(serde_json::Deserializer::from_reader(repaired.as_slice())),
        None => Err(fault),
    }
}

/// As [`read`], for bytes that are put together and do not outlive the call: nothing borrows.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_owned<T: Lenient<'static>>(body: &[u8]) -> serde_json::Result<T> {
    finish(serde_json::Deserializer::from_reader(body)).or_else(|fault| {
        let repaired = repair::repair(body).ok_or(fault)?;
        finish(serde_json::Deserializer::from_reader(repaired.as_slice()))
    })
}

/// Reads one MessagePack value as leniently as JSON; what follows it is left alone.
///
/// # Errors
/// When the bytes are no MessagePack, break off, or nest deeper than 128 levels.
pub(crate) fn read_message_pack<'b, T: Lenient<'b>>(
    body: &'b [u8],
) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(MAX_DEPTH);
    Read::deserialize(&mut deserializer).map(|Read(value)| value)
}

fn finish<'de, R, T>(mut deserializer: serde_json::Deserializer<R>) -> serde_json::Result<T>
where
    R: serde_json::de::Read<'de>,
    T: Lenient<'de>,
{
    let Read(value) = Read::<T>::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// What a JSON value of each type reads as; whatever is not overridden reads as nothing.
pub(crate) trait Lenient<'de>: Sized {
    /// What null and every unexpected type read as.
    fn nothing() -> Self;

    fn of_bool(_: bool) -> Self {
        Self::nothing()
    }

    fn of_number(_: Number) -> Self {
        Self::nothing()
    }

    fn of_text(_: Text<'de>) -> Self {
        Self::nothing()
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        skip_list(list)?;
        Ok(Self::nothing())
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        skip_object(object)?;
        Ok(Self::nothing())
    }
}

/// An object of which some fields are read.
pub(crate) trait Fields<'de>: Default {
    /// Reads the value of a field that is of interest and skips every other.
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error>;

    /// Completes the object after its last field.
    fn complete(&mut self) {}

    /// Returns whether nothing of interest was in the object, so that it counts as null.
    fn is_nothing(&self) -> bool {
        false
    }

    /// What a string in place of the object reads as.
    fn of_text(_: Text<'de>) -> Option<Self> {
        None
    }
}

/// The value of an object's field, still to be read.
pub(crate) struct Value<'m, A>(&'m mut A);

impl<A> Value<'_, A> {
    pub(crate) fn read<'de, T>(self) -> Result<T, A::Error>
    where
        A: MapAccess<'de>,
        T: Lenient<'de>,
    {
        self.0.next_value::<Read<T>>().map(|Read(value)| value)
    }

    pub(crate) fn skip<'de>(self) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        self.0.next_value::<IgnoredAny>().map(|_| ())
    }
}

impl<'de, T: Fields<'de>> Lenient<'de> for Option<T> {
    fn nothing() -> Self {
        None
    }

    fn of_text(text: Text<'de>) -> Self {
        T::of_text(text)
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        let mut fields = T::default();
        let is_something = fill(&mut fields, object)?;
        Ok(is_something.then_some(fields))
    }
}

/// Reads an object's fields to where they stay; returns whether anything of interest was in it.
pub(crate) fn fill<'de, T, A>(fields: &mut T, mut object: A) -> Result<bool, A::Error>
where
    T: Fields<'de>,
    A: MapAccess<'de>,
{
    while let Some(Key(name)) = object.next_key()? {
        fields.read(&name, Value(&mut object))?;
    }
    fields.complete();
    Ok(!fields.is_nothing())
}

/// A JSON number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

/// A value read as [`Lenient`] says.
pub(crate) struct Read<T>(pub(crate) T);

impl<'de, T: Lenient<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Read<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Read(T::nothing()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Read(T::of_bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Read(T::of_number(Number::Signed(number))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Read(T::of_number(Number::Unsigned(number))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Read(T::of_number(Number::Float(number))))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Read(T::of_text(Cow::Borrowed(cut(text)))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Read(T::of_text(Cow::Owned(cut(text).to_owned()))))
    }

    /// MessagePack alone has these.
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Read(T::nothing()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
        IgnoredAny::deserialize(inner)?;
        Ok(Read(T::nothing()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::of_list(list).map(Read)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::of_object(object).map(Read)
    }
}

/// The name of a field, borrowed where it holds no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(cut(name).to_owned())))
    }
}

pub(crate) fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

pub(crate) fn skip_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Returns the text, or its first 16 KiB.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// No text is kept beyond this many bytes; Sentry itself keeps 8192 characters of a message.
pub(crate) const MAX_TEXT: usize = 16 << 10;

/// As `serde_json` has it.
const MAX_DEPTH: usize = 128;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

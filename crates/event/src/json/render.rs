//! Any JSON value as text: a string as it is, everything else as its compact JSON, keys sorted.
//!
//! Source: Relay, `relay-event-schema/src/protocol/types.rs`, `JsonLenientString`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Lenient, MAX_TEXT, Number, cut, skip_list, skip_object};
use crate::model::Text;

/// The text of any JSON value; `None` for null. Deeper than 8 levels, values read as null.
#[derive(Debug, Default)]
pub(crate) struct JsonText<'de>(pub(crate) Option<Text<'de>>);

impl<'de> Lenient<'de> for JsonText<'de> {
    fn nothing() -> Self {
        Self(None)
    }

    fn of_bool(flag: bool) -> Self {
        Self::owned(flag.to_string())
    }

    fn of_number(number: Number) -> Self {
        Self::owned(number_text(number))
    }

    fn of_text(text: Text<'de>) -> Self {
        Self(Some(text))
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Render { depth: 0 }.visit_seq(list).map(Self::owned)
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        Render { depth: 0 }.visit_map(object).map(Self::owned)
    }
}

impl JsonText<'_> {
    fn owned(text: String) -> Self {
        Self(Some(Text::Owned(text)))
    }
}

/// Writes a value as compact JSON. Once a list or an object has grown to the limit, the rest of it is left out.
#[derive(Clone, Copy)]
struct Render {
    depth: u8,
}

impl Render {
    fn inner(self) -> Self {
        Self {
            depth: self.depth + 1,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Render {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        if self.depth > MAX_DEPTH {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            return Ok(NULL.to_owned());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Render {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok(NULL.to_owned())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<String, E> {
        Ok(flag.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number_text(Number::Signed(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number_text(Number::Unsigned(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number_text(Number::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(quoted(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let mut text = String::from("[");
        while let Some(element) = list.next_element_seed(self.inner())? {
            separate(&mut text, "[");
            text.push_str(&element);
            if text.len() > MAX_TEXT {
                skip_list(list)?;
                break;
            }
        }
        text.push(']');
        Ok(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<String, A::Error> {
        let mut entries = BTreeMap::new();
        let mut size = 0;
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(self.inner())?;
            size += name.len() + value.len();
            entries.insert(name, value);
            if size > MAX_TEXT {
                skip_object(object)?;
                break;
            }
        }
        let mut text = String::from("{");
        for (name, value) in entries {
            separate(&mut text, "{");
            text.push_str(&quoted(&name));
            text.push(':');
            text.push_str(&value);
        }
        text.push('}');
        Ok(text)
    }
}

fn separate(text: &mut String, opening: &str) {
    if text != opening {
        text.push(',');
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(cut(text)).to_string()
}

fn number_text(number: Number) -> String {
    match number {
        Number::Signed(number) => number.to_string(),
        Number::Unsigned(number) => number.to_string(),
        Number::Float(number) => serde_json::Value::from(number).to_string(),
    }
}

const NULL: &str = "null";

const MAX_DEPTH: u8 = 8;

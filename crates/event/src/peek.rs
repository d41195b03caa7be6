//! Looks at the start of a body for what the proxy has to know at once: the event's id and the envelope's DSN.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::decode::decode_prefix;
use crate::dsn::Dsn;
use crate::json::{Key, Read};
use crate::model::{EventId, Text};

/// What the first object of a body says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// The event's id, from the envelope's header or from the event itself.
    pub event_id: Option<EventId>,
    /// The DSN in the envelope's header: how a request to a tunnel names its project.
    pub dsn: Option<Dsn>,
}

/// Looks for id and DSN in the first 8 KiB of a body, whatever its coding and however much of it has come.
///
/// What stands further behind is not found.
pub fn peek(headers: &HeaderMap, body: &[Bytes]) -> Peek {
    peek_decoded(&decode_prefix(headers, body, ENOUGH))
}

/// As [`peek`], on the start of a decoded body.
pub fn peek_decoded(prefix: &[u8]) -> Peek {
    let prefix = prefix.strip_prefix(b"\xef\xbb\xbf").unwrap_or(prefix);
    let mut found = Peek::default();
    let mut deserializer = serde_json::Deserializer::from_slice(prefix);
    // Where the prefix breaks off is an error; what was found before it counts.
    let (Ok(()) | Err(_)) = Finder(&mut found).deserialize(&mut deserializer);
    found
}

struct Finder<'p>(&'p mut Peek);

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(Key(name)) = object.next_key()? {
            match name.as_ref() {
                "event_id" => self.0.event_id = object.next_value::<Read<_>>()?.0,
                "dsn" => {
                    let Read(text) = object.next_value::<Read<Option<Text<'de>>>>()?;
                    self.0.dsn = text.and_then(|text| Dsn::parse(&text).ok());
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

const ENOUGH: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";

    fn peeked(body: &str) -> (Option<String>, Option<String>) {
        let found = peek(
            &HeaderMap::new(),
            &[Bytes::copy_from_slice(body.as_bytes())],
        );
        let id = found.event_id.map(|id| id.to_string());
        (id, found.dsn.map(|dsn| dsn.to_string()))
    }

    #[test]
    fn finds_id_and_dsn_of_an_envelope() {
        let dsn = "https://k@h/1";
        let body = format!(
            "{{\"sdk\":{{}},\"event_id\":\"{ID}\",\"dsn\":\"{dsn}\"}}\n{{\"type\":\"event\"}}\n{{}}"
        );

        assert_eq!(peeked(&body), (Some(ID.to_owned()), Some(dsn.to_owned())));
    }

    #[test]
    fn finds_the_id_of_an_event_that_has_not_come_whole() {
        let body = format!(
            "{{\"exception\":[{{}}],\"event_id\":\"{ID}\",\"extra\":{{\"a\":\"{}",
            "x".repeat(20_000)
        );

        assert_eq!(peeked(&body), (Some(ID.to_owned()), None));
    }

    #[test]
    fn finds_nothing_where_nothing_is() {
        for body in [
            "",
            "{}",
            "[]",
            "x",
            "{\"event_id\":5}",
            "{\"dsn\":\"x\"}",
            "{\"a\":{\"event_id\":\"x\"}}",
        ] {
            assert_eq!(peeked(body), (None, None), "{body}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = peek_decoded(&body);
        }
    }
}

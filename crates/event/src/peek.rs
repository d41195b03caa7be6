//! Looks at the start of a body for what the proxy has to know at once: the event's id and the envelope's DSN.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::{Codings, decode_prefix};
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
    /// The trace it belongs to, 32 hex digits: from the envelope's header, or from the event's trace context.
    pub trace_id: Option<String>,
}

/// Looks for id and DSN in the first 8 KiB of a body, whatever its coding and however much of it has come.
///
/// What stands further behind is not found.
pub fn peek(codings: impl Into<Codings>, body: &[Bytes]) -> Peek {
    peek_decoded(&decode_prefix(codings, body, ENOUGH))
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
                "trace" => self.0.trace_id = Trace::read(object.next_value()?),
                "contexts" => {
                    let contexts: &RawValue = object.next_value()?;
                    let contexts: Option<Contexts<'_>> = serde_json::from_str(contexts.get()).ok();
                    let trace = contexts.and_then(|contexts| Trace::read(contexts.trace?));
                    self.0.trace_id = self.0.trace_id.take().or(trace);
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Part of an event's contexts.
#[derive(Deserialize)]
struct Contexts<'a> {
    #[serde(borrow)]
    trace: Option<&'a RawValue>,
}

/// Part of a trace context.
#[derive(Deserialize)]
struct Trace {
    trace_id: String,
}

impl Trace {
    /// Reads the id of a context; anything but 32 hex digits is none.
    fn read(context: &RawValue) -> Option<String> {
        let trace: Self = serde_json::from_str(context.get()).ok()?;
        let is_hex = trace.trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && trace.trace_id.len() == 32).then_some(trace.trace_id)
    }
}

const ENOUGH: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";

    fn peeked(body: &str) -> (Option<String>, Option<String>) {
        let found = peek(Codings::NONE, &[Bytes::copy_from_slice(body.as_bytes())]);
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
    fn finds_the_trace_of_an_envelope_and_of_an_event() {
        let trace = "771a43a4192642f0b136d5159a501700";
        let found = [
            format!("{{\"trace\":{{\"trace_id\":\"{trace}\",\"sampled\":\"true\"}}}}\n{{}}"),
            format!("{{\"contexts\":{{\"os\":{{}},\"trace\":{{\"trace_id\":\"{trace}\"}}}}}}"),
            "{\"trace\":{\"trace_id\":\"\\nhttps\"}}".to_owned(),
            "{\"trace\":5,\"contexts\":[]}".to_owned(),
        ]
        .map(|body| peek_decoded(body.as_bytes()).trace_id);

        assert_eq!(
            found,
            [Some(trace), Some(trace), None, None].map(|id| id.map(str::to_owned))
        );
        let after = format!("{{\"trace\":\"x\",\"event_id\":\"{ID}\"}}");
        assert_eq!(peeked(&after).0.as_deref(), Some(ID));
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

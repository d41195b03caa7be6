//! Splits an envelope into its header and its items, without copying payloads.
//!
//! Source: <https://develop.sentry.dev/sdk/data-model/envelopes/>; Relay, `relay-server/src/envelope`.

mod item;

use serde::de::MapAccess;

use crate::dsn::Dsn;
use crate::error::EnvelopeError;
use crate::json::{Fields, Read, Value};
use crate::model::{EventId, Text};

pub use item::{Item, ItemCounts, ItemType};

/// An envelope: one header, then items, read one by one.
///
/// ```text
/// {"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}
/// {"type":"event","length":41}
/// {"message":"hello world","level":"error"}
/// ```
#[derive(Debug, Clone)]
pub struct Envelope<'b> {
    /// The header of the whole.
    pub header: EnvelopeHeader<'b>,
    /// The items, in order.
    pub items: Items<'b>,
}

impl<'b> Envelope<'b> {
    /// Reads the header of an envelope; the items follow lazily.
    ///
    /// # Errors
    /// When the body does not start with a JSON object of at most 64 KiB and a line break.
    pub fn open(body: &'b [u8]) -> Result<Self, EnvelopeError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let (header, rest) = split_object(body, EnvelopeError::InvalidHeader)?;
        Ok(Self {
            header,
            items: Items { rest, count: 0 },
        })
    }
}

/// What an envelope's header says, as far as it is read here.
#[derive(Debug, Clone, Default)]
pub struct EnvelopeHeader<'b> {
    /// The id of the event; Rust SDKs write it with hyphens.
    pub event_id: Option<EventId>,
    /// The DSN, as ruby, native, php and browsers behind a tunnel send it.
    pub dsn: Option<Text<'b>>,
    /// When it was sent, by the SDK's clock, RFC 3339.
    pub sent_at: Option<Text<'b>>,
}

impl EnvelopeHeader<'_> {
    /// Returns the DSN, if the header holds a valid one.
    pub fn dsn(&self) -> Option<Dsn> {
        Dsn::parse(self.dsn.as_deref()?).ok()
    }
}

impl<'de> Fields<'de> for EnvelopeHeader<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "event_id" => self.event_id = value.read()?,
            "dsn" => self.dsn = value.read()?,
            "sent_at" => self.sent_at = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// The items of an envelope, at most 500. The first error ends them; what came before stays valid.
#[derive(Debug, Clone)]
pub struct Items<'b> {
    rest: &'b [u8],
    count: usize,
}

impl<'b> Iterator for Items<'b> {
    type Item = Result<Item<'b>, EnvelopeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let item = self.split_item();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

impl<'b> Items<'b> {
    fn split_item(&mut self) -> Result<Item<'b>, EnvelopeError> {
        if self.count == MAX_ITEMS {
            return Err(EnvelopeError::TooManyItems);
        }
        self.count += 1;
        let (header, rest) =
            split_object::<item::Header<'b>>(self.rest, EnvelopeError::InvalidItemHeader)?;
        let (payload, rest) = match header.length()? {
            Some(length) => split_length(rest, length)?,
            None => split_line(rest),
        };
        self.rest = rest;
        header.into_item(payload)
    }
}

/// Splits a JSON object and its line break off. As in Relay, the object itself may stand on several lines.
fn split_object<'b, T: Fields<'b>>(
    body: &'b [u8],
    invalid: EnvelopeError,
) -> Result<(T, &'b [u8]), EnvelopeError> {
    let window = &body[..body.len().min(MAX_HEADER)];
    let mut stream = serde_json::Deserializer::from_slice(window).into_iter::<Read<Option<T>>>();
    let object = match stream.next() {
        Some(Ok(Read(Some(object)))) => object,
        Some(Err(fault)) if fault.is_eof() && window.len() < body.len() => {
            return Err(EnvelopeError::HeaderTooLarge);
        }
        Some(Ok(Read(None)) | Err(_)) | None => return Err(invalid),
    };
    let rest = end_line(&body[stream.byte_offset()..])?;
    Ok((object, rest))
}

/// Splits a payload of known length and its line break off; the last may lack the break.
fn split_length(rest: &[u8], length: usize) -> Result<(&[u8], &[u8]), EnvelopeError> {
    let (payload, rest) = rest
        .split_at_checked(length)
        .ok_or(EnvelopeError::LengthPastEnd)?;
    Ok((payload, end_line(rest)?))
}

/// Splits a payload of unknown length off: it ends with its line.
fn split_line(rest: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', rest) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[]),
    }
}

/// Skips a line break or the end. Only `\n` breaks lines; the `\r` of those who write both is a blank in front of it.
fn end_line(rest: &[u8]) -> Result<&[u8], EnvelopeError> {
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    match &rest[blanks..] {
        [] => Ok(&[]),
        [b'\n', rest @ ..] => Ok(rest),
        _ => Err(EnvelopeError::MissingNewline),
    }
}

/// Relay's limit.
const MAX_ITEMS: usize = 500;

/// Real headers have below 2 KiB.
const MAX_HEADER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Split = Vec<Result<(ItemType, Vec<u8>), EnvelopeError>>;

    fn split(body: &[u8]) -> Result<Split, EnvelopeError> {
        let items = Envelope::open(body)?.items;
        Ok(items
            .map(|item| item.map(|item| (item.ty, item.payload.to_vec())))
            .collect())
    }

    fn items(body: &str) -> Split {
        split(body.as_bytes()).unwrap()
    }

    fn item(ty: ItemType, payload: &str) -> Result<(ItemType, Vec<u8>), EnvelopeError> {
        Ok((ty, payload.as_bytes().to_vec()))
    }

    #[test]
    fn reads_the_header() {
        let body = br#"{"event_id":"9ec79c33-ec99-42ab-8353-589fcb2e04dc","dsn":"https://k@h/1","sent_at":"now","sdk":{"name":"x"}}"#;

        let header = Envelope::open(body).unwrap().header;

        assert_eq!(
            header.event_id.unwrap().to_string(),
            "9ec79c33ec9942ab8353589fcb2e04dc"
        );
        assert_eq!(header.dsn().unwrap().project().value(), 1);
        assert_eq!(header.sent_at.as_deref(), Some("now"));
    }

    #[test]
    fn splits_items_with_and_without_length() {
        use ItemType::{Attachment, Event, Session};
        let body = "{}\n{\"type\":\"event\",\"length\":2}\n{}\n{\"type\":\"session\"}\n{\"a\":1}\n{\"type\":\"attachment\",\"length\":5}\n\n{\"\n\n";

        for end in ["", "\n", "\n\n\n"] {
            let expected = vec![
                item(Event, "{}"),
                item(Session, "{\"a\":1}"),
                item(Attachment, "\n{\"\n\n"),
            ];
            assert_eq!(items(&format!("{body}{end}")), expected);
        }
    }

    #[test]
    fn payloads_are_not_searched_for_items() {
        let body = "{}\n{\"type\":\"attachment\",\"length\":27}\n{\"type\":\"event\"}\n{\"evil\":1}\n{\"type\":\"event\"}\n{}";

        assert_eq!(
            items(body),
            vec![
                item(ItemType::Attachment, "{\"type\":\"event\"}\n{\"evil\":1}"),
                item(ItemType::Event, "{}")
            ],
        );
    }

    #[test]
    fn skips_empty_lines_and_reads_crlf() {
        let body =
            "{}\r\n\r\n{\"type\":\"event\"}\r\n{}\r\n\n{\"type\":\"event\",\"length\":2}\r\n{}\r\n";

        assert_eq!(
            items(body),
            vec![item(ItemType::Event, "{}\r"), item(ItemType::Event, "{}")]
        );
    }

    #[test]
    fn reads_the_last_item_without_payload() {
        assert_eq!(
            items("{}\n{\"type\":\"attachment\",\"length\":0}"),
            vec![item(ItemType::Attachment, "")]
        );
        assert_eq!(
            items("{}\n{\"type\":\"event\"}"),
            vec![item(ItemType::Event, "")]
        );
        assert_eq!(items("{}"), vec![]);
    }

    #[test]
    fn a_broken_item_ends_the_envelope_and_keeps_what_came_before() {
        for (rest, error) in [
            (
                "{\"type\":\"event\",\"length\":3}\n{}",
                EnvelopeError::LengthPastEnd,
            ),
            (
                "{\"type\":\"event\",\"length\":18446744073709551615}\n{}",
                EnvelopeError::LengthPastEnd,
            ),
            (
                "{\"type\":\"event\",\"length\":-1}\n{}",
                EnvelopeError::InvalidItemHeader,
            ),
            (
                "{\"type\":\"event\",\"length\":1.5}\n{}",
                EnvelopeError::InvalidItemHeader,
            ),
            (
                "{\"type\":\"event\",\"length\":\"2\"}\n{}",
                EnvelopeError::InvalidItemHeader,
            ),
            (
                "{\"type\":\"event\",\"length\":1}\n{}\n",
                EnvelopeError::MissingNewline,
            ),
            ("{\"type\":\"event\"}{}\n", EnvelopeError::MissingNewline),
            ("{\"length\":2}\n{}", EnvelopeError::InvalidItemHeader),
            ("{\"type\":\"event\"", EnvelopeError::InvalidItemHeader),
            ("[]\n{}", EnvelopeError::InvalidItemHeader),
            ("garbage", EnvelopeError::InvalidItemHeader),
        ] {
            let body = format!(
                "{{}}\n{{\"type\":\"session\"}}\n{{}}\n{rest}\n{{\"type\":\"event\"}}\n{{}}"
            );
            let body = if rest.contains(":3}") || rest.ends_with('"') {
                &body[..body.len() - 20]
            } else {
                &body
            };
            assert_eq!(
                items(body),
                vec![item(ItemType::Session, "{}"), Err(error)],
                "{rest}"
            );
        }
    }

    #[test]
    fn refuses_what_has_no_header() {
        for body in ["", "\n", "[]", "garbage", "{", "null\n", "\"x\"\n"] {
            assert_eq!(
                split(body.as_bytes()),
                Err(EnvelopeError::InvalidHeader),
                "{body:?}"
            );
        }
        assert_eq!(split(b"{}x"), Err(EnvelopeError::MissingNewline));
    }

    #[test]
    fn bounds_headers_and_the_number_of_items() {
        let long = format!("{{\"x\":\"{}\"}}\n", "x".repeat(10 << 20));
        let many = format!("{{}}\n{}", "{\"type\":\"event\"}\n{}\n".repeat(1000));

        assert_eq!(split(long.as_bytes()), Err(EnvelopeError::HeaderTooLarge));
        let items = items(&many);
        assert_eq!(items.len(), 501);
        assert_eq!(items[500], Err(EnvelopeError::TooManyItems));
    }

    #[test]
    fn deep_nesting_in_a_header_is_skipped() {
        let deep = format!("{{\"x\":{}{}}}\n", "[".repeat(30_000), "]".repeat(30_000));

        assert_eq!(split(deep.as_bytes()), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn never_panics_and_slices_only_the_body(
            body in "(\\{\\}|\\{\"type\":\"(event|attachment|x)\"(,\"length\":-?[0-9]{1,3})?\\}|\n|\r|a|\\[|\"){0,20}",
        ) {
            if let Ok(items) = split(body.as_bytes()) {
                let kept: usize = items.iter().flatten().map(|(_, payload)| payload.len()).sum();
                prop_assert!(kept <= body.len());
            }
        }

        #[test]
        fn payloads_of_any_bytes_come_back(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let mut body = b"{}\n".to_vec();
            for payload in &payloads {
                body.extend(format!("{{\"type\":\"attachment\",\"length\":{}}}\n", payload.len()).bytes());
                body.extend(payload);
                body.push(b'\n');
            }

            let items = split(&body).unwrap();

            let found: Vec<Vec<u8>> = items.into_iter().map(|item| item.unwrap().1).collect();
            prop_assert_eq!(found, payloads);
        }
    }
}

//! The payload of a request's frame in segments of version 1: two postcard messages, then the body if it is inline.
//!
//! The first message is short, so that a spool of a gigabyte opens fast. Source: <https://postcard.jamesmunns.com>.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};

use super::{BodyFile, Framing, Head, HeadError, Lane, MAX_HEAD, Place};

/// What the index needs to know of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) lane: Lane,
    pub(crate) place: Place,
}

#[derive(Serialize, Deserialize)]
struct First<'a> {
    project: Option<u64>,
    #[serde(borrow)]
    key: Option<&'a str>,
    categories: u32,
    /// Id, length and check of the body's file.
    body: Option<(u64, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct Second<'a> {
    #[serde(borrow)]
    method: &'a [u8],
    target: &'a [u8],
    #[serde(borrow)]
    fields: Vec<(&'a [u8], &'a [u8])>,
    is_chunked: bool,
    /// Milliseconds since 1970.
    received_at: u64,
    event_id: Option<&'a str>,
    note: Option<&'a str>,
}

/// Returns the payload of a request, without its inline body.
pub(crate) fn encode(head: &Head, place: Place) -> Result<Vec<u8>, HeadError> {
    head.validate()?;
    let first = First {
        project: head.lane.project,
        key: head.lane.key.as_deref(),
        categories: head.lane.categories,
        body: match place {
            Place::Inline => None,
            Place::File(file) => Some((file.id, file.len, file.check)),
        },
    };
    let second = Second {
        method: head.method.as_str().as_bytes(),
        target: head.target.as_str().as_bytes(),
        fields: head.fields.iter().map(|(n, v)| (&n[..], &v[..])).collect(),
        is_chunked: head.framing == Framing::Chunked,
        received_at: milliseconds(head.received_at),
        event_id: head.event_id.as_deref(),
        note: head.note.as_deref(),
    };
    let bytes = postcard::to_allocvec(&first).map_err(|_| HeadError::Unreadable)?;
    let bytes = postcard::to_extend(&second, bytes).map_err(|_| HeadError::Unreadable)?;
    if bytes.len() > MAX_HEAD {
        return Err(HeadError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Reads what the index needs.
pub(crate) fn summary(payload: &[u8]) -> Result<Summary, HeadError> {
    Ok(split(payload)?.0)
}

/// Reads a whole head; the rest is the inline body.
pub(crate) fn decode(payload: &Bytes) -> Result<(Head, Place, Bytes), HeadError> {
    let (Summary { lane, place }, rest) = split(payload)?;
    let (second, body): (Second<'_>, _) =
        postcard::take_from_bytes(rest).map_err(|_| HeadError::Unreadable)?;
    let head = Head {
        lane,
        method: Method::from_bytes(second.method).map_err(|_| HeadError::Unreadable)?,
        target: PathAndQuery::try_from(second.target).map_err(|_| HeadError::Unreadable)?,
        fields: second
            .fields
            .iter()
            .map(|(name, value)| (payload.slice_ref(name), payload.slice_ref(value)))
            .collect(),
        framing: if second.is_chunked {
            Framing::Chunked
        } else {
            Framing::Length
        },
        received_at: SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(second.received_at))
            .ok_or(HeadError::Unreadable)?,
        event_id: second.event_id.map(str::to_owned),
        note: second.note.map(str::to_owned),
    };
    head.validate()?;
    Ok((head, place, payload.slice_ref(body)))
}

fn split(payload: &[u8]) -> Result<(Summary, &[u8]), HeadError> {
    let (first, rest): (First<'_>, _) =
        postcard::take_from_bytes(payload).map_err(|_| HeadError::Unreadable)?;
    let summary = Summary {
        lane: Lane {
            project: first.project,
            key: first.key.map(Arc::from),
            categories: first.categories,
        },
        place: match first.body {
            None => Place::Inline,
            Some((id, len, check)) => Place::File(BodyFile { id, len, check }),
        },
    };
    Ok((summary, rest))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_whole() {
        for place in [
            Place::Inline,
            Place::File(BodyFile {
                id: 1,
                len: 2,
                check: 3,
            }),
        ] {
            let head = head();
            let mut payload = encode(&head, place).unwrap();
            payload.extend_from_slice(b"body");

            let summary = summary(&payload).unwrap();
            assert_eq!((summary.lane, summary.place), (head.lane.clone(), place));
            let read = decode(&Bytes::from(payload)).unwrap();
            assert_eq!(read, (head, place, Bytes::from_static(b"body")));
        }
    }

    #[test]
    fn a_line_break_in_a_field_is_kept_out_and_found_out() {
        let mut head = head();
        head.fields[1].1 = Bytes::from_static(b"a\r\nx: y");
        assert_eq!(encode(&head, Place::Inline), Err(HeadError::Field(1)));

        head.fields[1].1 = Bytes::from_static(b"a__x: y");
        let payload = encode(&head, Place::Inline).unwrap();
        let at = payload.windows(7).position(|w| w == b"a__x: y").unwrap();
        let mut forged = payload;
        forged[at + 1..at + 3].copy_from_slice(b"\r\n");
        assert_eq!(decode(&forged.into()), Err(HeadError::Field(1)));
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let mut head = head();
        head.fields[1].1 = vec![b'x'; MAX_HEAD].into();

        let refused = encode(&head, Place::Inline);

        assert!(matches!(refused, Err(HeadError::TooLong(_))), "{refused:?}");
    }

    #[test]
    fn bytes_that_hold_no_head_are_refused() {
        let payload = encode(&head(), Place::Inline).unwrap();
        for end in 0..payload.len() {
            assert!(decode(&Bytes::copy_from_slice(&payload[..end])).is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", head());

        assert!(!shown.contains("secret"), "{shown}");
    }

    fn head() -> Head {
        Head {
            lane: Lane {
                project: Some(42),
                key: Some("secret-key".into()),
                categories: 5,
            },
            method: Method::POST,
            target: PathAndQuery::from_static("/api/42/envelope/?sentry_key=secret"),
            fields: vec![
                (Bytes::from_static(b"Host"), Bytes::from_static(b"sentry")),
                (
                    Bytes::from_static(b"x-a"),
                    Bytes::from_static(b"secret\xff"),
                ),
                (Bytes::from_static(b"x-a"), Bytes::from_static(b"")),
            ],
            framing: Framing::Chunked,
            received_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            event_id: Some("9ec79c33ec9942ab8353589fcb2e04dc".to_owned()),
            note: None,
        }
    }
}

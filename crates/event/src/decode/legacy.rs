//! What raven clients send: `base64(zlib(json))` or `base64(json)` without a `Content-Encoding`, also in a query.
//!
//! Source: Relay, `relay-server/src/endpoints/store.rs`; raven-node, raven-ruby, raven-go, raven-php, raven-js 1.x.

use std::borrow::Cow;
use std::slice;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::codec::{Chunks, undo_zlib, undo_zlib_prefix};
use super::inflate::is_zlib;
use crate::error::DecodeError;
use crate::query;

/// Returns a body without content coding as the event it holds; a body that is not base64 of an event is returned as it is.
pub(super) fn decode(body: Bytes, limit: usize) -> Result<Bytes, DecodeError> {
    let Some(inner) = unwrap_base64(&body) else {
        return Ok(body);
    };
    if is_zlib(&inner) {
        return undo_zlib(Chunks::new(slice::from_ref(&inner)), limit);
    }
    Ok(if starts_like_json(&inner) {
        inner
    } else {
        body
    })
}

/// As [`decode`], for the first bytes of a body; returns at most `limit` bytes.
pub(super) fn decode_prefix(body: Bytes, limit: usize) -> Bytes {
    let whole_groups = body.len() - body.len() % 4;
    let mut prefix = match unwrap_base64(&body[..whole_groups]) {
        Some(inner) if is_zlib(&inner) => {
            undo_zlib_prefix(Chunks::new(slice::from_ref(&inner)), limit)
        }
        Some(inner) if starts_like_json(&inner) => inner,
        Some(_) | None => body,
    };
    prefix.truncate(limit);
    prefix
}

/// Returns the decoded `sentry_data` of a query. A plus sign is a blank in JSON, but a digit of base64.
pub(super) fn decode_query(query: &str, limit: usize) -> Result<Option<Bytes>, DecodeError> {
    let Some(raw) = query::find_raw(query, "sentry_data") else {
        return Ok(None);
    };
    let unescaped = Cow::from(percent_decode_str(raw));
    let data = if starts_like_json(&unescaped) {
        query::unescape(raw)
    } else {
        unescaped
    };
    let decoded = decode(Bytes::from(data.into_owned()), limit)?;
    if decoded.len() > limit {
        return Err(DecodeError::TooLarge);
    }
    Ok(Some(decoded))
}

/// Returns whether this may be an event, an envelope or a list of reports; a byte order mark may stand in front.
fn starts_like_json(data: &[u8]) -> bool {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    matches!(data.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn unwrap_base64(body: &[u8]) -> Option<Bytes> {
    if starts_like_json(body) || body.is_empty() {
        return None;
    }
    let text = without_whitespace(body);
    LENIENT.decode(text).ok().map(Bytes::from)
}

/// Some clients break the text into lines.
fn without_whitespace(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(u8::is_ascii_whitespace) {
        return Cow::Borrowed(text);
    }
    let mut kept = text.to_vec();
    kept.retain(|byte| !byte.is_ascii_whitespace());
    Cow::Owned(kept)
}

/// The standard alphabet; padding may be there or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

//! A request as it is kept: what it needs to be sent again, byte for byte, and what tells it from others.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

mod v1;

pub(crate) use v1::{Summary, decode, encode, summary};

/// Everything of a request but its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose request it is.
    pub lane: Lane,
    /// The method.
    pub method: Method,
    /// The target that Sentry gets: path and query.
    pub target: PathAndQuery,
    /// The header fields that Sentry gets, in order, as `(name, value)`; the client's address and the like included.
    pub fields: Vec<(Bytes, Bytes)>,
    /// How the body goes out.
    pub framing: Framing,
    /// When the client sent it, to the millisecond.
    pub received_at: SystemTime,
    /// The id of the event that it carries, as it was answered.
    pub event_id: Option<String>,
    /// A word of the caller's, such as the name of the upstream that the request is for.
    pub note: Option<String>,
}

/// What requests of one kind have in common. Requests leave the spool in order within a lane, and a project's lanes in
/// order too, as long as none of them is held up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Lane {
    /// The project's id.
    pub project: Option<u64>,
    /// The public key of the DSN.
    pub key: Option<Arc<str>>,
    /// What Sentry's rate limits would count the request as: a set of bits that only the caller reads.
    pub categories: u32,
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`, or no body at all.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Why a head cannot be kept, or one that was read cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A header field's name or value would not pass as one, such as a value with a line break.
    #[error("header field {0} is no valid header field")]
    Field(usize),
    /// The head is longer than can be kept.
    #[error("head of {0} bytes is longer than the {MAX_HEAD} bytes that can be kept")]
    TooLong(usize),
    /// The bytes do not hold a head.
    #[error("bytes hold no head")]
    Unreadable,
}

/// Where a record's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind the head.
    Inline,
    /// In a file of its own.
    File(BodyFile),
}

/// A body file, as its record knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyFile {
    /// Its name, and the seed of its checks.
    pub(crate) id: u64,
    /// Length of the body in bytes.
    pub(crate) len: u64,
    /// Check over the checks of its blocks.
    pub(crate) check: u64,
}

impl Head {
    /// Returns the header fields as a map; order and repeats stay.
    ///
    /// # Errors
    /// [`HeadError::Field`] when one would not pass as a header field.
    pub fn header_map(&self) -> Result<HeaderMap, HeadError> {
        let mut map = HeaderMap::with_capacity(self.fields.len());
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Field(index))?;
            let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Field(index))?;
            map.try_append(name, value)
                .map_err(|_| HeadError::Field(index))?;
        }
        Ok(map)
    }

    /// Returns the header fields of a map as they are kept.
    pub fn fields_of(map: &HeaderMap) -> Vec<(Bytes, Bytes)> {
        map.iter()
            .map(|(name, value)| {
                let name = Bytes::copy_from_slice(name.as_str().as_bytes());
                (name, Bytes::copy_from_slice(value.as_bytes()))
            })
            .collect()
    }

    /// Checks that every field would pass as a header field.
    pub(crate) fn validate(&self) -> Result<(), HeadError> {
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let is_name = HeaderName::from_bytes(name).is_ok();
            if !is_name || HeaderValue::from_bytes(value).is_err() {
                return Err(HeadError::Field(index));
            }
        }
        Ok(())
    }
}

/// Shows no key, no address and no header field.
impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Head")
            .field("project", &self.lane.project)
            .field("method", &self.method)
            .field("fields", &self.fields.len())
            .field("event_id", &self.event_id)
            .finish_non_exhaustive()
    }
}

/// The longest head in bytes.
pub(crate) const MAX_HEAD: usize = 256 << 10;
/// The longest body that is kept behind its head; a longer one gets a file.
pub(crate) const MAX_INLINE: usize = 1 << 20;

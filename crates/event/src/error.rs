//! What can be wrong with what an SDK sends; every error has a `reason()` from a closed set, for metric labels.

use thiserror::Error;

/// The text is no project id: 1 to 20 decimal digits within 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a project id is a number of 1 to 20 digits")]
pub struct InvalidProjectId;

/// The text is no public key: 1 to 64 letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a public key is made of 1 to 64 letters and digits")]
pub struct InvalidPublicKey;

/// Which part of a DSN or a proxy URL is missing or malformed. The text never repeats the DSN, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DsnError {
    /// There is no `://`.
    #[error("no `http://` or `https://` at the start")]
    MissingScheme,
    /// The scheme is neither `http` nor `https`.
    #[error("the scheme is neither `http` nor `https`")]
    UnsupportedScheme,
    /// There is nothing in front of `@`.
    #[error("no public key in front of `@`")]
    MissingKey,
    /// The key has other characters than letters and digits, or more than 64.
    #[error("the public key is not made of 1 to 64 letters and digits")]
    InvalidKey,
    /// The host is empty.
    #[error("no host")]
    MissingHost,
    /// The host is neither a name nor an address.
    #[error("the host is neither a name nor an address")]
    InvalidHost,
    /// The port is no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    InvalidPort,
    /// The path does not end in a project id.
    #[error("no project id at the end of the path")]
    MissingProject,
    /// The last segment of the path is no project id.
    #[error("the last part of the path is not a project id (a number)")]
    InvalidProject,
    /// The path holds characters that do not belong there.
    #[error("the path holds characters that do not belong into a path")]
    InvalidPath,
}

impl DsnError {
    /// Returns the error's name, one of a closed set.
    pub fn reason(self) -> &'static str {
        match self {
            Self::MissingScheme => "missing_scheme",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::MissingHost => "missing_host",
            Self::InvalidHost => "invalid_host",
            Self::InvalidPort => "invalid_port",
            Self::MissingProject => "missing_project",
            Self::InvalidProject => "invalid_project",
            Self::InvalidPath => "invalid_path",
        }
    }
}

/// Why a body's content coding could not be undone. None of them is helped by another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// `Content-Encoding` names something else than gzip, deflate, br and zstd.
    #[error("unknown content coding")]
    UnknownCoding,
    /// More than three codings lie on top of each other.
    #[error("more than three content codings")]
    TooManyCodings,
    /// The decoded body is larger than the limit.
    #[error("decoded body larger than the limit")]
    TooLarge,
    /// The coded data ends early.
    #[error("coded body ends early")]
    Truncated,
    /// The coded data is broken, or needs a larger window than is allowed.
    #[error("coded body is corrupt")]
    Corrupt,
}

impl DecodeError {
    /// Returns the error's name, one of a closed set.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownCoding => "unknown_coding",
            Self::TooManyCodings => "too_many_codings",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Why a decoded body, or one item of it, could not be read. None of them is helped by another try.
#[derive(Debug, Error)]
pub enum ParseError {
    /// The body is no JSON, even after repair.
    #[error("not valid JSON")]
    InvalidJson(#[source] serde_json::Error),
    /// What should be MessagePack is none.
    #[error("not valid MessagePack")]
    InvalidMessagePack(#[source] rmp_serde::decode::Error),
    /// The body is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// What was sent as a crash is neither a dump nor a form with one.
    #[error("not a crash report")]
    NotACrash,
    /// The envelope cannot be split.
    #[error("not a valid envelope")]
    Envelope(#[from] EnvelopeError),
}

impl ParseError {
    /// Returns the error's name, one of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "invalid_json",
            Self::InvalidMessagePack(_) => "invalid_message_pack",
            Self::NotAnObject => "not_an_object",
            Self::NotACrash => "not_a_crash",
            Self::Envelope(error) => error.reason(),
        }
    }
}

/// Where an envelope stops making sense; Sentry refuses the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The first line is no JSON object.
    #[error("envelope header is not a JSON object")]
    InvalidHeader,
    /// An item does not start with a JSON object that has a `type` and a sound `length`.
    #[error("item header is not a JSON object with a type")]
    InvalidItemHeader,
    /// A header is longer than 64 KiB.
    #[error("header longer than 64 KiB")]
    HeaderTooLarge,
    /// An item is said to be longer than what is left.
    #[error("item longer than the rest of the envelope")]
    LengthPastEnd,
    /// There is something else than a line break behind a header or an item.
    #[error("no line break behind a header or an item")]
    MissingNewline,
    /// There are more than 500 items.
    #[error("more than 500 items")]
    TooManyItems,
}

impl EnvelopeError {
    /// Returns the error's name, one of a closed set.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidHeader => "invalid_envelope_header",
            Self::InvalidItemHeader => "invalid_item_header",
            Self::HeaderTooLarge => "header_too_large",
            Self::LengthPastEnd => "length_past_end",
            Self::MissingNewline => "missing_newline",
            Self::TooManyItems => "too_many_items",
        }
    }
}

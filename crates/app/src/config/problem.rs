//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from.
    pub origin: Origin,
    /// The dotted key, such as `upstream.url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, and the line in it, from 1.
    File {
        /// The file as the user named it.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(&'static str),
    /// Nowhere: the value is missing.
    Missing,
}

/// A value that cannot be what its key wants: what is wrong, and a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong with it.
    pub(super) what: String,
    /// What to do about it; may be empty.
    pub(super) hint: String,
}

impl Wrong {
    /// Returns a complaint with a hint.
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(formatter, "{file}:{line}"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
            Self::Missing => formatter.write_str("config"),
        }
    }
}

/// `file:line: key: what`, then the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(formatter, "\n    hint: {}", self.hint)?;
        }
        Ok(())
    }
}

//! Readers of single values that mean something to us: addresses of Sentry, project ids, keys, files.

use std::path::PathBuf;
use std::time::Duration;

use event::auth::PublicKey;
use event::endpoint::ProjectId;
use proxy::config::{Origin, OriginError};

use super::problem::Wrong;
use super::section::Section;
use super::tree::{Node, Value};
use super::units::{duration, integer, size, text};

pub(super) fn count(
    section: &mut Section,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
    default: usize,
) -> usize {
    section
        .optional(key, integer(range))
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(default)
}

pub(super) fn bytes(section: &mut Section, key: &str, default: usize) -> usize {
    let read = |node: &Node| {
        let size = size(node)?;
        usize::try_from(size).map_err(|_| Wrong::new("is more than this machine can address", ""))
    };
    section.read(key, default, read)
}

pub(super) fn positive(node: &Node) -> Result<Duration, Wrong> {
    let duration = duration(node)?;
    if duration.is_zero() {
        return Err(Wrong::new("must be longer than nothing", "such as \"5s\""));
    }
    Ok(duration)
}

pub(super) fn origin(node: &Node) -> Result<Origin, Wrong> {
    let url = text(node)?;
    let hint = "such as \"https://sentry.example.com\" or \"http://127.0.0.1:9000/prefix\"";
    url.parse()
        .map_err(|error: OriginError| Wrong::new(format!("`{url}` cannot be used: {error}"), hint))
}

pub(super) fn project_id(node: &Node) -> Result<ProjectId, Wrong> {
    let id = match &node.value {
        Value::Integer(number) => number.to_string(),
        _ => text(node)?,
    };
    ProjectId::parse(&id).ok_or_else(|| {
        Wrong::new(
            format!("`{id}` is no project id"),
            "the number at the end of the DSN",
        )
    })
}

pub(super) fn public_key(node: &Node) -> Result<PublicKey, Wrong> {
    let key = text(node)?;
    PublicKey::parse(&key).ok_or_else(|| {
        Wrong::new(
            format!("`{key}` is no DSN key"),
            "the part of the DSN before the @",
        )
    })
}

/// Reads the name of a file that is there.
pub(super) fn file(node: &Node) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text(node)?);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Wrong::new(
            format!("cannot read `{}`: {error}", path.display()),
            "",
        )),
    }
}

//! Secrets of the configuration: given as they are, as `${ENVIRONMENT_VARIABLE}`, or in a file of their own.

use std::collections::BTreeMap;

use super::problem::Wrong;
use super::section::Section;
use super::units::text;

/// The environment that `${…}` refers to.
pub(super) type Environment = BTreeMap<String, String>;

/// Reads `key`, or the file that `key_file` names; empty is absent.
pub(super) fn secret(
    section: &mut Section,
    key: &str,
    environment: &Environment,
) -> Option<String> {
    let key_file = format!("{key}_file");
    let given = section.optional(key, |node| expand(&text(node)?, environment));
    let filed = section.optional(&key_file, |node| read_file(&text(node)?));
    if given.as_ref().is_some_and(|given| !given.is_empty()) && filed.is_some() {
        let what = format!("is set, and `{key}` too");
        section.complain(&key_file, &Wrong::new(what, "keep one of the two"));
    }
    filed.or(given).filter(|secret| !secret.is_empty())
}

fn read_file(path: &str) -> Result<String, Wrong> {
    if path.is_empty() {
        return Ok(String::new());
    }
    std::fs::read_to_string(path)
        .map(|secret| secret.trim().to_owned())
        .map_err(|error| {
            Wrong::new(
                format!("cannot read `{path}`: {error}"),
                "the file holds nothing but the secret",
            )
        })
}

/// Replaces every `${NAME}` by the variable's value.
pub(super) fn expand(text: &str, environment: &Environment) -> Result<String, Wrong> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        let end = reference
            .find('}')
            .ok_or_else(|| Wrong::new("`${` is never closed", "write `${NAME}`"))?;
        let name = &reference[2..end];
        let value = environment.get(name).ok_or_else(|| {
            Wrong::new(
                format!("environment variable `{name}` is not set"),
                format!("set {name}, or write the value itself"),
            )
        })?;
        expanded.push_str(before);
        expanded.push_str(value);
        rest = &reference[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

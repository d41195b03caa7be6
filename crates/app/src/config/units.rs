//! Readers of single values: text, numbers, durations, sizes, addresses, choices, lists.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::Wrong;
use super::section::{describe, nearest};
use super::tree::{Node, Value};

/// Reads any text.
pub(super) fn text(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(expected("a text in quotes", other)),
    }
}

/// Reads `true` or `false`, also as text from the environment.
pub(super) fn boolean(node: &Node) -> Result<bool, Wrong> {
    match &node.value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        other => Err(expected("`true` or `false`", other)),
    }
}

/// Reads a whole number within a range, also as text from the environment.
pub(super) fn integer(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<i64, Wrong> {
    move |node| {
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| expected("a whole number", &node.value))?;
        if range.contains(&number) {
            return Ok(number);
        }
        let hint = format!("from {} to {}", range.start(), range.end());
        Err(Wrong::new(format!("`{number}` is out of range"), hint))
    }
}

/// Reads `90s`, `500ms`, `5m`, `1h`, `7d`, and sums such as `1h30m`.
pub(super) fn duration(node: &Node) -> Result<Duration, Wrong> {
    let wrong = || {
        let found = format!("expected a duration, found {}", value_of(node));
        Wrong::new(
            found,
            "such as \"500ms\", \"90s\", \"5m\", \"1h30m\", \"7d\"",
        )
    };
    let Value::Text(text) = &node.value else {
        return Err(wrong());
    };
    ::alert::rule::parse_duration(text).ok_or_else(wrong)
}

/// Reads `64MiB`, `1GB`, `512`, with binary or decimal units.
pub(super) fn size(node: &Node) -> Result<u64, Wrong> {
    let parsed = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => parse_size(text),
        _ => None,
    };
    parsed.ok_or_else(|| {
        let found = format!("expected a size, found {}", value_of(node));
        Wrong::new(found, "such as \"512KiB\", \"64MiB\", \"2GiB\"")
    })
}

/// Reads `127.0.0.1:9010` or `[::1]:9010`.
pub(super) fn address(node: &Node) -> Result<SocketAddr, Wrong> {
    let text = text(node)?;
    text.parse().map_err(|_| {
        let hint = "an IP address and a port, such as \"127.0.0.1:9010\" or \"[::]:9010\"";
        Wrong::new(format!("`{text}` is no address to listen on"), hint)
    })
}

/// Reads one of a few words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Node) -> Result<T, Wrong> {
    move |node| {
        let word = text(node)?;
        if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
            return Ok(*value);
        }
        let known: Vec<String> = words
            .iter()
            .map(|(known, _)| format!("\"{known}\""))
            .collect();
        let hint = nearest(&word, words.iter().map(|(known, _)| *known)).map_or_else(
            || format!("one of {}", known.join(", ")),
            |known| format!("did you mean \"{known}\"?"),
        );
        Err(Wrong::new(format!("unknown value `{word}`"), hint))
    }
}

/// Reads a list; a single value reads as a list of one, and a text from the environment is split at commas.
pub(super) fn list<T>(
    item: impl Fn(&Node) -> Result<T, Wrong>,
) -> impl Fn(&Node) -> Result<Vec<T>, Wrong> {
    move |node| match &node.value {
        Value::List(items) => items.iter().map(&item).collect(),
        Value::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| {
                item(&Node {
                    value: Value::Text(word.to_owned()),
                    origin: node.origin.clone(),
                })
            })
            .collect(),
        other => Err(expected("a list", other)),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn expected(what: &str, found: &Value) -> Wrong {
    Wrong::new(format!("expected {what}, found {}", describe(found)), "")
}

fn value_of(node: &Node) -> String {
    describe(&node.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let cases = [
            ("512", Some(512)),
            ("1KiB", Some(1_024)),
            ("64 MiB", Some(67_108_864)),
            ("2GB", Some(2_000_000_000)),
            ("", None),
            ("MiB", None),
            ("1.5MiB", None),
            ("99999999999TiB", None),
        ];

        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}

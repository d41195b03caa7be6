//! One pattern: a glob or a regular expression, negated or not.

use regex::{Regex, RegexBuilder};

use super::{Facts, MatchKey};

/// A text that cannot be a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{pattern}` as a pattern: {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) is_negated: bool,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Nothing at all, or an empty text.
    Empty,
    Text(Regex),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let (is_negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Ok(Self {
            text: text.to_owned(),
            is_negated,
            form: Form::parse(rest).map_err(|reason| PatternError {
                pattern: text.to_owned(),
                reason,
            })?,
        })
    }

    /// Returns whether the pattern, negation aside, matches a value of the key.
    pub(super) fn matches_any(&self, key: &MatchKey, facts: &Facts<'_>) -> bool {
        match &self.form {
            Form::Empty => !facts.any(key, &mut |value| !value.is_empty()),
            Form::Text(regex) => facts.any(key, &mut |value| regex.is_match(value)),
        }
    }
}

impl Form {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        let source = match inner.filter(|inner| !inner.is_empty()) {
            Some(expression) => expression.to_owned(),
            None => glob(text),
        };
        let regex = RegexBuilder::new(&source).size_limit(LARGEST).build();
        regex.map(Self::Text).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The last line says what is wrong; those above draw where.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        })
    }
}

/// Source: the globs of Sentry's own matchers know `*` and `?` only, and ignore case.
fn glob(text: &str) -> String {
    let mut source = String::from("(?is)^");
    for character in text.chars() {
        match character {
            '*' => source.push_str(".*"),
            '?' => source.push('.'),
            other => source.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push('$');
    source
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 1 << 20;

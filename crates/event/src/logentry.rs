//! The message of an event: how it is read, and how its parameters are filled in.
//!
//! Source: Relay, `relay-event-schema/src/protocol/logentry.rs`, `relay-event-normalization/src/logentry.rs`.

use serde::de::{MapAccess, SeqAccess};

use crate::json::{Fields, JsonText, Lenient, Read, Value};
use crate::model::{LogEntry, Text};

impl LogEntry<'_> {
    /// Returns the text that Sentry makes the title of: the finished one, else the template as it is.
    pub fn text(&self) -> Option<&str> {
        self.formatted.as_deref().or(self.message.as_deref())
    }

    /// Returns the template with its parameters filled in, for display; `None` when there is nothing to fill in.
    ///
    /// Fills `%s`, `%d` and the like in order, or `{}` in order and `{0}` by number. A placeholder without a parameter
    /// and named ones such as `%(name)s` stay.
    pub fn filled(&self) -> Option<String> {
        let template = self.message.as_deref()?;
        if self.formatted.is_some() || self.params.is_empty() {
            return None;
        }
        let filled = if template.contains('%') {
            fill_percents(template, &self.params)
        } else {
            fill_braces(template, &self.params)
        };
        Some(filled).filter(|filled| filled != template)
    }
}

impl<'de> Fields<'de> for LogEntry<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "message" => self.message = text(value)?,
            "formatted" => self.formatted = text(value)?,
            "params" => {
                let Params(params) = value.read()?;
                self.params = params;
            }
            _ => value.skip()?,
        }
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.message.is_none() && self.formatted.is_none()
    }

    fn of_text(text: Text<'de>) -> Option<Self> {
        (!text.is_empty()).then(|| Self {
            message: Some(text),
            ..Self::default()
        })
    }
}

/// Positional parameters, each as text; a null keeps its place.
struct Params<'de>(Vec<Text<'de>>);

impl<'de> Lenient<'de> for Params<'de> {
    fn nothing() -> Self {
        Self(Vec::new())
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut params = Vec::new();
        while let Some(Read(JsonText(param))) = list.next_element()? {
            if params.len() < MAX_PARAMS {
                params.push(param.unwrap_or(Text::Borrowed("null")));
            }
        }
        Ok(Self(params))
    }
}

fn text<'de, A: MapAccess<'de>>(value: Value<'_, A>) -> Result<Option<Text<'de>>, A::Error> {
    let JsonText(text) = value.read()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn fill_percents(template: &str, params: &[Text<'_>]) -> String {
    let mut params = params.iter();
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = placeholder_length(rest);
        let placeholder = &rest[..length.unwrap_or(1)];
        match length {
            Some(_) if placeholder.ends_with('%') => filled.push('%'),
            Some(_) => filled.push_str(params.next().map_or(placeholder, Text::as_ref)),
            None => filled.push_str(placeholder),
        }
        rest = &rest[placeholder.len()..];
    }
    filled + rest
}

/// Returns the length of `%s`, `%-5.2f` or `%%` at the start.
fn placeholder_length(text: &str) -> Option<usize> {
    let after_flags = text[1..].trim_start_matches(['-', '+', ' ', '#', '.', 'l', 'h'].as_slice());
    let conversion = after_flags.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_placeholder = conversion.starts_with(|c: char| "sdiufeEgGxXocrap%@v".contains(c));
    is_placeholder.then(|| text.len() - conversion.len() + 1)
}

fn fill_braces(template: &str, params: &[Text<'_>]) -> String {
    let mut next = 0;
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = placeholder_name(rest);
        let index = match name {
            Some("") => Some(next),
            Some(name) => name.parse().ok(),
            None => None,
        };
        next += usize::from(name == Some(""));
        match (name, index.and_then(|index| params.get(index))) {
            (Some(name), Some(param)) => {
                filled.push_str(param);
                rest = &rest[name.len() + 2..];
            }
            _ => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

/// Returns what stands in the braces at the start; only short names are looked for.
fn placeholder_name(text: &str) -> Option<&str> {
    let mut near = text.bytes().take(MAX_PLACEHOLDER);
    let end = near.position(|byte| byte == b'}')?;
    Some(&text[1..end])
}

const MAX_PLACEHOLDER: usize = 32;

const MAX_PARAMS: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, params: &[&str]) -> Option<String> {
        let entry = LogEntry {
            message: Some(template.into()),
            formatted: None,
            params: params.iter().map(|param| (*param).into()).collect(),
        };
        entry.filled()
    }

    #[test]
    fn fills_placeholders_of_printf_and_of_braces() {
        for (template, params, expected) in [
            (
                "payment %s failed for %s",
                &["7", "alice"][..],
                Some("payment 7 failed for alice"),
            ),
            (
                "%d%% of %-5.2f, %ld",
                &["50", "1.5", "9"],
                Some("50% of 1.5, 9"),
            ),
            ("%s %s", &["one"], Some("one %s")),
            ("%(name)s is %s", &["x"], Some("%(name)s is x")),
            ("{} and {}", &["a", "b"], Some("a and b")),
            ("{1} before {0}", &["a", "b"], Some("b before a")),
            ("{name} {}", &["a"], Some("{name} a")),
            ("json {\"a\":{}}", &["1"], Some("json {\"a\":1}")),
            ("支付 %s 失败", &["七"], Some("支付 七 失败")),
            ("100 %", &["a"], None),
            ("nothing", &["a"], None),
            ("%s", &[], None),
        ] {
            assert_eq!(filled(template, params).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn leaves_a_finished_text_alone() {
        let entry = LogEntry {
            message: Some("%s".into()),
            formatted: Some("done".into()),
            params: vec!["x".into()],
        };

        assert_eq!(entry.filled(), None);
        assert_eq!(entry.text(), Some("done"));
    }

    proptest! {
        #[test]
        fn never_panics(template in "([%{}()0-9sd.é ]|%s|\\{\\}){0,20}", params in proptest::collection::vec("\\PC{0,3}", 0..3)) {
            let params: Vec<&str> = params.iter().map(String::as_str).collect();
            let _ = filled(&template, &params);
        }
    }
}

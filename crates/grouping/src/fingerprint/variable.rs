//! Variables of fingerprints and titles: `{{ transaction }}`, `{{ tags.zone }}` and so on.
//!
//! Source: Sentry, `src/sentry/grouping/utils.py`, `resolve_fingerprint_variable`.

use std::borrow::Cow;

use event::model::Exception;

use crate::frame::Frame;
use crate::parameterize::normalize_message;
use crate::stack::Prepared;

/// Returns the variable's name if the whole entry is one, blanks around the name or not.
pub(super) fn name(entry: &str) -> Option<&str> {
    let name = entry.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

/// Returns a variable's value for a hash: messages are parameterised.
pub(super) fn resolve<'p>(name: &str, prepared: &'p Prepared<'_>) -> Cow<'p, str> {
    let value = match name {
        "message" => message(prepared).map(normalize_message),
        "value" | "error.value" => last_value(prepared).map(normalize_message),
        _ => plain(name, prepared).map(Cow::Borrowed),
    };
    value.unwrap_or_else(|| missing(name))
}

/// Returns a title with its variables filled in; unknown ones stay as written.
pub(crate) fn expand_title(template: &str, prepared: &Prepared<'_>) -> String {
    let mut title = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, inside, after)) = next_variable(rest) {
        title.push_str(before);
        match is_known(inside.trim()) {
            true => title.push_str(&raw(inside.trim(), prepared)),
            false => title.extend(["{{", inside, "}}"]),
        }
        rest = after;
    }
    title + rest
}

fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (inside, after) = rest.split_once("}}")?;
    Some((before, inside, after))
}

fn raw<'p>(name: &str, prepared: &'p Prepared<'_>) -> Cow<'p, str> {
    let value = match name {
        "message" => message(prepared),
        "value" | "error.value" => last_value(prepared),
        _ => plain(name, prepared),
    };
    value.map_or_else(|| missing(name), Cow::Borrowed)
}

fn plain<'p>(name: &str, prepared: &'p Prepared<'_>) -> Option<&'p str> {
    let event = prepared.event;
    let value = match name {
        "transaction" => event.transaction.as_deref(),
        "type" | "error.type" => last_exception(prepared)?.ty.as_deref(),
        "function" | "stack.function" => frame(prepared)?.function.as_deref(),
        "path" | "stack.abs_path" => frame(prepared)?.path(),
        "stack.filename" => frame(prepared)?.filename.or(frame(prepared)?.abs_path),
        "module" | "stack.module" => frame(prepared)?.module,
        "package" | "stack.package" => frame(prepared)?
            .package
            .and_then(|path| path.rsplit(['/', '\\']).next()),
        "level" => Some(event.level.as_str()),
        "logger" => event.logger.as_deref(),
        _ => tag(name.strip_prefix("tags.")?, prepared),
    };
    value.filter(|value| !value.is_empty())
}

fn message<'p>(prepared: &'p Prepared<'_>) -> Option<&'p str> {
    let entry = prepared.event.logentry.as_ref();
    let texts = entry.map(|entry| [entry.formatted.as_deref(), entry.message.as_deref()]);
    let text = texts.and_then(|texts| texts.into_iter().flatten().find(|text| !text.is_empty()));
    text.or_else(|| last_value(prepared))
}

fn last_value<'p>(prepared: &'p Prepared<'_>) -> Option<&'p str> {
    last_exception(prepared)?
        .value
        .as_deref()
        .filter(|value| !value.is_empty())
}

fn last_exception<'p>(prepared: &'p Prepared<'_>) -> Option<&'p Exception<'p>> {
    prepared.event.exceptions.last()
}

fn frame<'p>(prepared: &'p Prepared<'_>) -> Option<&'p Frame<'p>> {
    prepared.crash_frame()
}

fn tag<'p>(name: &str, prepared: &'p Prepared<'_>) -> Option<&'p str> {
    let tags = &prepared.event.tags;
    tags.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| &**value)
}

/// What Sentry puts in place of what an event lacks. Its marker for an unknown variable is not documented.
fn missing(name: &str) -> Cow<'static, str> {
    let known = MISSING.iter().find(|(names, _)| names.contains(&name));
    match (known, name.strip_prefix("tags.")) {
        (Some((_, marker)), _) => Cow::Borrowed(marker),
        (None, Some(tag)) => Cow::Owned(format!("<no-value-for-tag-{tag}>")),
        (None, None) => Cow::Owned(format!("<unrecognized-variable-{name}>")),
    }
}

fn is_known(name: &str) -> bool {
    name.starts_with("tags.") || MISSING.iter().any(|(names, _)| names.contains(&name))
}

const MISSING: [(&[&str], &str); 11] = [
    (&["transaction"], "<no-transaction>"),
    (&["message"], "<no-message>"),
    (&["type", "error.type"], "<no-type>"),
    (&["value", "error.value"], "<no-value>"),
    (&["function", "stack.function"], "<no-function>"),
    (&["path", "stack.abs_path"], "<no-abs-path>"),
    (&["stack.filename"], "<no-filename>"),
    (&["module", "stack.module"], "<no-module>"),
    (&["package", "stack.package"], "<no-package>"),
    (&["level"], "<no-level>"),
    (&["logger"], "<no-logger>"),
];

#[cfg(test)]
mod tests {
    use event::model::Event;

    use super::*;

    #[test]
    fn only_a_whole_entry_is_a_variable() {
        assert_eq!(name("{{ transaction }}"), Some("transaction"));
        assert_eq!(name("{{transaction}}"), Some("transaction"));
        assert_eq!(name("x {{ transaction }}"), None);
        assert_eq!(name("{{ a b }}"), None);
        assert_eq!(name("{{}}"), None);
    }

    #[test]
    fn titles_fill_in_what_they_know() {
        let event = Event {
            transaction: Some("/cart".into()),
            ..Event::default()
        };
        let config = crate::Config::default();
        let prepared = Prepared::new(&event, &config);

        let title = expand_title(
            "Timeout in {{ transaction }} ({{type}}) {{ pony }} {{",
            &prepared,
        );

        assert_eq!(title, "Timeout in /cart (<no-type>) {{ pony }} {{");
    }
}

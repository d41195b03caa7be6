//! The values an event is grouped by: fingerprint, else type and frames, else type and value, else the message.

use std::borrow::Cow;

use event::model::{Event, Exception, Frame, Stacktrace};

/// Values in the order they are hashed.
pub(crate) type Values<'e> = Vec<Cow<'e, str>>;

/// Returns what the event's hash is made of.
pub(crate) fn values<'e>(event: &'e Event<'_>) -> Values<'e> {
    if event.fingerprint.is_empty() {
        return default_values(event);
    }
    let mut values = Vec::new();
    for entry in &event.fingerprint {
        match is_default(entry) {
            true => values.extend(default_values(event)),
            false => values.push(Cow::Borrowed(&**entry)),
        }
    }
    values
}

fn is_default(entry: &str) -> bool {
    entry
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .is_some_and(|name| name.trim() == "default")
}

fn default_values<'e>(event: &'e Event<'_>) -> Values<'e> {
    if !event.exceptions.is_empty() {
        return event.exceptions.iter().flat_map(exception_values).collect();
    }
    if let Some(stack) = &event.stacktrace {
        return stack_values(stack);
    }
    let entry = event.logentry.as_ref();
    entry
        .and_then(|entry| entry.message.as_deref().or(entry.formatted.as_deref()))
        .map(Cow::Borrowed)
        .into_iter()
        .collect()
}

fn exception_values<'e>(exception: &'e Exception<'_>) -> Values<'e> {
    let mut values: Values<'e> = exception
        .ty
        .as_deref()
        .map(Cow::Borrowed)
        .into_iter()
        .collect();
    let frames = exception
        .stacktrace
        .as_ref()
        .map(stack_values)
        .unwrap_or_default();
    if frames.is_empty() {
        values.extend(exception.value.as_deref().map(Cow::Borrowed));
    }
    values.extend(frames);
    values
}

fn stack_values<'e>(stack: &'e Stacktrace<'_>) -> Values<'e> {
    let has_app = stack.frames.iter().any(|frame| frame.in_app == Some(true));
    let used = stack
        .frames
        .iter()
        .filter(|frame| !has_app || frame.in_app == Some(true));
    used.flat_map(frame_values).collect()
}

fn frame_values<'e>(frame: &'e Frame<'_>) -> impl Iterator<Item = Cow<'e, str>> {
    let module = frame.module.as_deref().map(Cow::Borrowed);
    let basename = |path: &'e str| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        Cow::Owned(name.to_lowercase())
    };
    let place = module.or_else(|| frame.filename.as_deref().map(basename));
    place
        .into_iter()
        .chain(frame.function.as_deref().map(Cow::Borrowed))
}

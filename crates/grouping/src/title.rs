//! Title and culprit as Sentry shows them, in short form.
//!
//! Source: Sentry, `src/sentry/eventtypes/error.py` and `src/sentry/culprit.py`.

use event::model::{Event, Exception, Frame, Stacktrace};

/// Returns the event's title: the client's, `type: value`, or the message.
pub(crate) fn title(event: &Event<'_>) -> String {
    if let Some(title) = event.title.as_deref().filter(|text| !text.is_empty()) {
        return title.to_owned();
    }
    match event.exceptions.last() {
        Some(exception) => exception_title(exception),
        None => message_title(event),
    }
}

/// Returns the event's culprit; empty when nothing is known.
pub(crate) fn culprit(event: &Event<'_>) -> String {
    let given = event.culprit.as_deref().or(event.transaction.as_deref());
    if let Some(culprit) = given.filter(|text| !text.is_empty()) {
        return culprit.to_owned();
    }
    crash_frame(event)
        .map(|frame| frame_culprit(frame, &event.platform))
        .unwrap_or_default()
}

fn exception_title(exception: &Exception<'_>) -> String {
    let ty = exception.ty.as_deref().unwrap_or("Error");
    match exception
        .value
        .as_deref()
        .and_then(|value| value.lines().next())
    {
        Some(line) if !line.is_empty() => format!("{ty}: {}", truncate(line)),
        _ => ty.to_owned(),
    }
}

fn message_title(event: &Event<'_>) -> String {
    let entry = event.logentry.as_ref();
    let text = entry.and_then(|entry| entry.formatted.as_deref().or(entry.message.as_deref()));
    match text.and_then(|text| text.trim().lines().next()) {
        Some(line) if !line.is_empty() => truncate(line),
        _ => "<unlabeled event>".to_owned(),
    }
}

fn truncate(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        None => line.to_owned(),
        Some(_) => {
            let mut text: String = line.chars().take(MAX_CHARS - 3).collect();
            text.push_str("...");
            text
        }
    }
}

fn crash_frame<'e>(event: &'e Event<'_>) -> Option<&'e Frame<'e>> {
    let stacks = event
        .exceptions
        .iter()
        .rev()
        .filter_map(|exception| exception.stacktrace.as_ref());
    let stack: &Stacktrace<'_> = stacks
        .chain(event.stacktrace.as_ref())
        .find(|stack| !stack.frames.is_empty())?;
    let in_app = stack
        .frames
        .iter()
        .rev()
        .find(|frame| frame.in_app == Some(true));
    in_app.or(stack.frames.last())
}

fn frame_culprit(frame: &Frame<'_>, platform: &str) -> String {
    let function = frame.function.as_deref().unwrap_or("?");
    let Some(place) = frame.module.as_deref().or(frame.filename.as_deref()) else {
        return String::new();
    };
    match frame.platform.as_deref().unwrap_or(platform) {
        "javascript" | "node" => format!("{function}({place})"),
        _ => format!("{place} in {function}"),
    }
}

const MAX_CHARS: usize = 256;

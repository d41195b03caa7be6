//! Who is to blame: the transaction, or the code that failed.
//!
//! Source: Sentry, `src/sentry/culprit.py`, `src/sentry/event_manager.py`, `get_culprit`.

use crate::model::{Event, Frame, Stacktrace};

use super::cut;

/// Returns the culprit of an event, at most 200 characters; empty when nothing is known.
///
/// It is the client's own, else the transaction, else `module in function` of the innermost frame in the application,
/// else the request's URL.
pub fn culprit(event: &Event<'_>) -> String {
    let given = event.culprit.as_deref().or(event.transaction.as_deref());
    let culprit = given.map_or_else(|| generated(event), str::to_owned);
    cut(&culprit, MAX_CULPRIT).into_owned()
}

fn generated(event: &Event<'_>) -> String {
    let is_synthetic = event
        .exceptions
        .last()
        .is_some_and(|last| last.mechanism.synthetic);
    if is_synthetic {
        return String::new();
    }
    last_stack(event)
        .and_then(|stack| of_stack(stack, &event.platform))
        .or_else(|| Some(event.request.as_ref()?.url.as_deref()?.to_owned()))
        .unwrap_or_default()
}

fn last_stack<'e, 'a>(event: &'e Event<'a>) -> Option<&'e Stacktrace<'a>> {
    let mut stacks = event.exceptions.iter().rev();
    stacks
        .find_map(|exception| exception.stacktrace.as_ref())
        .or(event.stacktrace.as_ref())
}

/// The innermost frame in the application that says where it is, else the innermost frame of the others.
fn of_stack(stack: &Stacktrace<'_>, platform: &str) -> Option<String> {
    let innermost_first = || stack.frames.iter().rev();
    let mut in_app = innermost_first().filter(|frame| frame.in_app == Some(true));
    let mut others = innermost_first().filter(|frame| frame.in_app != Some(true));
    in_app
        .find_map(|frame| of_frame(frame, platform))
        .or_else(|| of_frame(others.next()?, platform))
}

fn of_frame(frame: &Frame<'_>, platform: &str) -> Option<String> {
    let function = frame.function.as_deref().unwrap_or("?");
    let platform = frame.platform.as_deref().unwrap_or(platform);
    if matches!(platform, "objc" | "cocoa" | "native") {
        return Some(function.to_owned());
    }
    let place = frame.module.as_deref().or(frame.filename.as_deref())?;
    Some(match platform {
        "javascript" | "node" => format!("{function}({place})"),
        _ => format!("{place} in {function}"),
    })
}

const MAX_CULPRIT: usize = 200;

//! What Sentry calls an event: its title, culprit and location.
//!
//! Source: Sentry, `src/sentry/eventtypes/{base,error,security}.py`, `src/sentry/culprit.py`, `src/sentry/event_manager.py`.

mod culprit;

use std::borrow::Cow;

use crate::model::{Event, EventKind, Exception, Frame, Stacktrace};

pub use culprit::culprit;

/// Returns the title of an event, one line.
///
/// It is the client's title if it sent one; else for an error `Type: first line of value`, for a message its first line,
/// for a security report its sentence. A crash is named as an error if it has exceptions, else as a message; the readers
/// of crashes and check-ins set a title where there is neither. Value and message are cut to 256 characters, as Sentry does since 2025.
///
/// An exception without a type is a message with a stack, as JavaScript SDKs send them under `attachStacktrace`: it is
/// named by its value. Sentry would name it `Error: value`, or after the crash frame's function.
pub fn title(event: &Event<'_>) -> String {
    title_with(event, main_exception(event))
}

/// As [`title`], with another main exception than the last, as exception groups name it.
pub fn title_with(event: &Event<'_>, main: Option<&Exception<'_>>) -> String {
    if let Some(title) = &event.title {
        return title.to_string();
    }
    match event.kind {
        EventKind::Error => Metadata::of(event, main).title(),
        EventKind::Crash if main.is_some() => Metadata::of(event, main).title(),
        EventKind::Default | EventKind::Crash | EventKind::CheckIn | EventKind::Log => {
            message_line(event).unwrap_or_else(|| "<unlabeled event>".to_owned())
        }
        EventKind::Csp | EventKind::Security => security_title(event),
        EventKind::Transaction | EventKind::Feedback => {
            let transaction = event.transaction.as_deref();
            transaction.unwrap_or("<unlabeled transaction>").to_owned()
        }
    }
}

/// The parts of an error's title, which Sentry keeps beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata<'e> {
    /// The exception's type, at most 128 characters; `None` when the SDK made it up.
    pub ty: Option<Cow<'e, str>>,
    /// The exception's value, at most 1024 characters.
    pub value: Option<Cow<'e, str>>,
    /// The crash frame's function.
    pub function: Option<&'e str>,
    /// The crash frame's file.
    pub filename: Option<&'e str>,
    /// The text of the message, when the exception is only that message with a stack; then there is no type.
    pub message: Option<&'e str>,
}

impl<'e> Metadata<'e> {
    /// Returns the parts for a main exception; without one, only those of the crash frame.
    pub fn of(event: &'e Event<'_>, main: Option<&'e Exception<'_>>) -> Self {
        let frame = crash_frame(event);
        let message = main.and_then(|exception| message_of(event, exception));
        let typed = main.filter(|exception| !exception.mechanism.synthetic && message.is_none());
        Self {
            message,
            ty: typed.map(|exception| cut(exception.ty.as_deref().unwrap_or("Error"), MAX_TYPE)),
            value: main
                .and_then(|exception| exception.value.as_deref())
                .map(|value| cut(value, MAX_VALUE)),
            function: frame.and_then(|frame| frame.function.as_deref()),
            filename: frame.and_then(file),
        }
    }

    fn title(&self) -> String {
        let line = |text: &str| cut(first_line(text), MAX_LINE).into_owned();
        let value = self
            .value
            .as_deref()
            .map(line)
            .filter(|line| !line.is_empty());
        match (&self.ty, value) {
            (Some(ty), Some(value)) => format!("{ty}: {value}"),
            (Some(ty), None) => ty.to_string(),
            (None, _) => self
                .message
                .or(self.function)
                .map_or_else(|| "<unknown>".to_owned(), line),
        }
    }
}

/// Returns the message that an exception only carries a stack for.
///
/// It has no type; or Sentry's rule for missing types made one of the message's first word (`cart: empty`), and the SDK
/// says that the exception is synthetic.
fn message_of<'e>(event: &'e Event<'_>, exception: &'e Exception<'_>) -> Option<&'e str> {
    let value = exception.value.as_deref();
    let Some(ty) = exception.ty.as_deref() else {
        return value;
    };
    let message = event.logentry.as_ref()?.text()?;
    let rest = message.strip_prefix(ty)?.strip_prefix(':')?;
    let is_same = exception.mechanism.synthetic && rest.trim() == value.unwrap_or_default();
    is_same.then_some(message)
}

/// Returns the exception that gives an error its title: the last, which is the outermost.
pub fn main_exception<'e, 'a>(event: &'e Event<'a>) -> Option<&'e Exception<'a>> {
    event.exceptions.last()
}

/// Returns where an event happened: the crash frame's file, the subject of a security report, nothing for a message.
pub fn location<'e>(event: &'e Event<'_>) -> Option<Cow<'e, str>> {
    match event.kind {
        EventKind::Error | EventKind::Crash => crash_frame(event).and_then(file).map(Cow::Borrowed),
        EventKind::Csp | EventKind::Security => {
            event.security.as_ref().map(|report| report.subject())
        }
        EventKind::Default
        | EventKind::Transaction
        | EventKind::Feedback
        | EventKind::CheckIn
        | EventKind::Log => None,
    }
}

/// Returns the frame where an event happened: the innermost frame in the application with a known function, else the
/// innermost with a known function.
///
/// It is sought in the last exception's stack, else the event's own, else the only thread's. Which frames are in the
/// application is for grouping's rules to say; those of the SDK are taken here.
pub fn crash_frame<'e, 'a>(event: &'e Event<'a>) -> Option<&'e Frame<'a>> {
    crash_stack(event)?.frames.get(crash_frame_at(event)?)
}

/// Returns where the crash frame stands in [`crash_stack`].
pub fn crash_frame_at(event: &Event<'_>) -> Option<usize> {
    let frames = &crash_stack(event)?.frames;
    let is_own = |frame: &Frame<'_>| is_known(frame) && frame.in_app == Some(true);
    frames
        .iter()
        .rposition(is_own)
        .or_else(|| frames.iter().rposition(is_known))
}

/// Returns the stack that the crash frame is sought in.
pub fn crash_stack<'e, 'a>(event: &'e Event<'a>) -> Option<&'e Stacktrace<'a>> {
    let of_exception = event
        .exceptions
        .last()
        .and_then(|last| last.stacktrace.as_ref());
    of_exception
        .or(event.stacktrace.as_ref())
        .or(match event.threads.as_slice() {
            [only] => only.stacktrace.as_ref(),
            _ => None,
        })
}

fn is_known(frame: &Frame<'_>) -> bool {
    let function = frame.function.as_deref();
    !matches!(function, None | Some("<redacted>" | "<unknown>"))
}

fn file<'e>(frame: &'e Frame<'_>) -> Option<&'e str> {
    frame.filename.as_deref().or(frame.abs_path.as_deref())
}

fn security_title(event: &Event<'_>) -> String {
    let computed = || event.security.as_ref().map(|report| report.message());
    message_line(event)
        .or_else(computed)
        .unwrap_or_else(|| "<untitled>".to_owned())
}

fn message_line(event: &Event<'_>) -> Option<String> {
    let text = event.logentry.as_ref()?.text()?.trim();
    (!text.is_empty()).then(|| cut(first_line(text), MAX_LINE).into_owned())
}

/// Lines end where Python's `str.splitlines` ends them.
fn first_line(text: &str) -> &str {
    let is_break = |c| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    text.split(is_break).next().unwrap_or(text)
}

/// Returns the text, or its first characters and `...`, at most `max` characters in all.
fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max || text.chars().nth(max).is_none() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(max - ELLIPSIS.len()).collect();
    Cow::Owned(kept + ELLIPSIS)
}

const ELLIPSIS: &str = "...";

/// Characters of the exception's type, of its value, and of one line of text in a title (100 before February 2025).
const MAX_TYPE: usize = 128;
const MAX_VALUE: usize = 1024;
const MAX_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::parse_event;

    fn with<T>(fields: &str, question: impl Fn(&Event<'_>) -> T) -> T {
        let body = format!("{{{fields}}}");
        question(&parse_event(body.as_bytes(), None).unwrap())
    }

    fn titled(fields: &str) -> String {
        with(fields, title)
    }

    fn located(fields: &str) -> Option<String> {
        with(fields, |event| location(event).map(Cow::into_owned))
    }

    fn crashed_in(fields: &str) -> Option<String> {
        with(fields, |event| {
            Some(crash_frame(event)?.function.as_deref()?.to_owned())
        })
    }

    #[test]
    fn errors_are_called_by_type_and_value() {
        for (fields, expected) in [
            (r#""exception":[{"type":"E","value":"v"}]"#, "E: v"),
            (
                r#""exception":[{"type":"Cause"},{"type":"E","value":"v\nmore"}]"#,
                "E: v",
            ),
            (
                r#""exception":[{"type":"E","value":"v\u2028more"}]"#,
                "E: v",
            ),
            (r#""exception":[{"type":"E"}],"message":"m""#, "E"),
            (r#""exception":[{"type":"E","value":"\n"}]"#, "E"),
            (r#""exception":[{"value":"only a value"}]"#, "only a value"),
            (
                r#""exception":[{"value":"cart: empty","mechanism":{"synthetic":true}}],"message":"cart: empty""#,
                "cart: empty",
            ),
            (r#""exception":[{"module":"m","mechanism":{}}]"#, "Error"),
            (
                r#""exception":[{"type":"E","value":{"a":1}}]"#,
                r#"E: {"a":1}"#,
            ),
            (r#""exception":[{"type":"E"}],"title":"mine""#, "mine"),
            (
                r#""exception":[{"type":"E","value":"v","mechanism":{"synthetic":true}}]"#,
                "<unknown>",
            ),
            (
                r#""exception":[{"type":"E","mechanism":{"synthetic":true},"stacktrace":{"frames":[{"function":"f"}]}}]"#,
                "f",
            ),
        ] {
            assert_eq!(titled(fields), expected, "{fields}");
        }
    }

    #[test]
    fn messages_are_called_by_their_first_line() {
        for (fields, expected) in [
            (r#""message":"  first\r\nsecond""#, "first"),
            (
                r#""logentry":{"message":"tpl %s","params":["a"]}"#,
                "tpl %s",
            ),
            (
                r#""logentry":{"message":"tpl %s","formatted":"tpl a"}"#,
                "tpl a",
            ),
            (
                r#""logentry":{"message":"tpl %s","formatted":""}"#,
                "tpl %s",
            ),
            (r#""message":" \n""#, "<unlabeled event>"),
            ("", "<unlabeled event>"),
            (r#""type":"transaction","transaction":"GET /x""#, "GET /x"),
            (r#""type":"transaction""#, "<unlabeled transaction>"),
        ] {
            assert_eq!(titled(fields), expected, "{fields}");
        }
    }

    #[test]
    fn long_parts_are_cut_by_characters() {
        let long = "é".repeat(2000);

        let of_value = titled(&format!(r#""exception":[{{"type":"E","value":"{long}"}}]"#));
        let of_type = titled(&format!(r#""exception":[{{"type":"{long}"}}]"#));
        let of_message = titled(&format!(r#""message":"{long}""#));
        let value = format!(r#""exception":[{{"type":"E","value":"{long}"}}]"#);
        let kept = with(&value, |event| {
            Metadata::of(event, main_exception(event))
                .value
                .unwrap()
                .chars()
                .count()
        });

        assert_eq!(of_value, format!("E: {}...", "é".repeat(253)));
        assert_eq!(of_type, format!("{}...", "é".repeat(125)));
        assert_eq!(of_message, format!("{}...", "é".repeat(253)));
        assert_eq!(kept, 1024);
        let fits = "é".repeat(256);
        assert_eq!(titled(&format!(r#""message":"{fits}""#)), fits);
    }

    #[test]
    fn security_reports_are_called_by_their_sentence() {
        let csp = r#""csp":{"effective_directive":"script-src","blocked_uri":"https://evil.example/x.js"}"#;

        assert_eq!(titled(csp), "Blocked 'script' from 'evil.example'");
        assert_eq!(titled(&format!(r#"{csp},"message":"said""#)), "said");
        assert_eq!(located(csp).as_deref(), Some("evil.example"));
        assert_eq!(located(r#""hpkp":{"hostname":"h"}"#).as_deref(), Some("h"));
    }

    #[test]
    fn another_main_exception_can_be_named() {
        let fields = r#""exception":[{"type":"A","value":"a"},{"type":"B"}]"#;

        let found = with(fields, |event| title_with(event, event.exceptions.first()));

        assert_eq!(found, "A: a");
        assert_eq!(titled(fields), "B");
    }

    #[test]
    fn the_crash_frame_is_the_innermost_known_one_in_app() {
        let stack = |frames: &str| {
            format!(r#""exception":[{{"type":"E","stacktrace":{{"frames":[{frames}]}}}}]"#)
        };
        for (frames, expected) in [
            (
                r#"{"function":"a","in_app":true},{"function":"b","in_app":true},{"function":"c"}"#,
                Some("b"),
            ),
            (
                r#"{"function":"a"},{"function":"b","in_app":false}"#,
                Some("b"),
            ),
            (
                r#"{"function":"a","in_app":true},{"function":"<redacted>","in_app":true},{"function":"?","in_app":true}"#,
                Some("a"),
            ),
            (
                r#"{"function":"a"},{"function":"<unknown>"},{"filename":"f"}"#,
                Some("a"),
            ),
            (r#"{"filename":"f"}"#, None),
        ] {
            assert_eq!(crashed_in(&stack(frames)).as_deref(), expected, "{frames}");
        }
    }

    #[test]
    fn the_crash_stack_is_the_last_exceptions_then_the_events_then_the_only_threads() {
        let stack =
            |function| format!(r#""stacktrace":{{"frames":[{{"function":"{function}"}}]}}"#);
        let (e, own, t) = (stack("exception"), stack("own"), stack("thread"));
        for (fields, expected) in [
            (
                format!(
                    r#""exception":[{{"type":"A",{own}}},{{"type":"B",{e}}}],{own},"threads":[{{{t}}}]"#
                ),
                Some("exception"),
            ),
            (
                format!(r#""exception":[{{"type":"A",{e}}},{{"type":"B"}}],{own}"#),
                Some("own"),
            ),
            (format!(r#""threads":[{{{t}}}]"#), Some("thread")),
            (format!(r#""threads":[{{{t}}},{{{t}}}]"#), None),
            (String::new(), None),
        ] {
            assert_eq!(crashed_in(&fields).as_deref(), expected, "{fields}");
        }
    }

    #[test]
    fn errors_are_located_in_the_crash_frames_file() {
        let stack = |frame: &str| {
            format!(r#""exception":[{{"type":"E","stacktrace":{{"frames":[{frame}]}}}}]"#)
        };

        assert_eq!(
            located(&stack(r#"{"function":"f","filename":"a.py"}"#)).as_deref(),
            Some("a.py")
        );
        assert_eq!(
            located(&stack(r#"{"function":"f","abs_path":"/a.py"}"#)).as_deref(),
            Some("/a.py")
        );
        assert_eq!(located(&stack(r#"{"filename":"a.py"}"#)), None);
        assert_eq!(located(r#""message":"m""#), None);
    }
}

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

#[cfg(test)]
mod tests {
    use crate::store::parse_event;

    fn culprit(fields: &str) -> String {
        let body = format!("{{{fields}}}");
        super::culprit(&parse_event(body.as_bytes(), None).unwrap())
    }

    fn of_frames(platform: &str, frames: &str) -> String {
        culprit(&format!(
            r#""platform":"{platform}","exception":[{{"type":"E","stacktrace":{{"frames":[{frames}]}}}}],"request":{{"url":"http://h/p"}}"#
        ))
    }

    #[test]
    fn the_clients_culprit_comes_first_then_the_transaction() {
        assert_eq!(culprit(r#""culprit":"c","transaction":"t""#), "c");
        assert_eq!(culprit(r#""transaction":"t""#), "t");
        assert_eq!(culprit(r#""request":{"url":"http://h/p?q"}"#), "http://h/p");
        assert_eq!(culprit(""), "");
    }

    #[test]
    fn frames_are_written_as_their_platform_writes_them() {
        let frame = r#"{"function":"f","module":"m","filename":"x"}"#;
        for (platform, expected) in [
            ("python", "m in f"),
            ("javascript", "f(m)"),
            ("node", "f(m)"),
            ("native", "f"),
            ("cocoa", "f"),
            ("objc", "f"),
        ] {
            assert_eq!(of_frames(platform, frame), expected);
        }
        assert_eq!(of_frames("python", r#"{"filename":"x"}"#), "x in ?");
        assert_eq!(of_frames("native", r#"{"filename":"x"}"#), "?");
        assert_eq!(
            of_frames(
                "python",
                r#"{"function":"f","filename":"x","platform":"node"}"#
            ),
            "f(x)"
        );
    }

    #[test]
    fn the_innermost_frame_in_app_that_says_where_comes_first() {
        let app = r#"{"function":"app","module":"m","in_app":true}"#;
        let lost = r#"{"function":"lost","in_app":true}"#;
        let library = r#"{"function":"lib","module":"m","in_app":false}"#;

        assert_eq!(of_frames("python", &[app, library].join(",")), "m in app");
        assert_eq!(
            of_frames("python", &[app, lost, library].join(",")),
            "m in app"
        );
        assert_eq!(of_frames("python", &[library, lost].join(",")), "m in lib");
        assert_eq!(of_frames("python", lost), "http://h/p");
    }

    #[test]
    fn the_last_exception_with_frames_counts() {
        let stack = r#""stacktrace":{"frames":[{"function":"f","module":"m"}]}"#;

        assert_eq!(
            culprit(&format!(
                r#""exception":[{{"type":"A",{stack}}},{{"type":"B"}}]"#
            )),
            "m in f"
        );
        assert_eq!(
            culprit(&format!(
                r#""exception":[{{"type":"A"}},{{"type":"B"}}],{stack}"#
            )),
            "m in f"
        );
    }

    #[test]
    fn synthetic_exceptions_have_none() {
        let exception = r#"{"type":"E","mechanism":{"synthetic":true},"stacktrace":{"frames":[{"function":"f","module":"m"}]}}"#;

        assert_eq!(
            culprit(&format!(
                r#""exception":[{exception}],"request":{{"url":"u"}}"#
            )),
            ""
        );
    }

    #[test]
    fn long_culprits_are_cut() {
        assert_eq!(
            culprit(&format!(r#""culprit":"{}""#, "é".repeat(300))),
            format!("{}...", "é".repeat(197))
        );
    }
}

//! Stacks that cannot be compared with what Sentry sees, because Sentry puts names back before it groups.
//!
//! Source maps, debug files and mapping files live at Sentry; an event on its way there has what a minifier, a linker
//! or an obfuscator left. Grouping by such frames would make a new issue of every release, so they do not count.

use crate::frame::{Frame, is_url};
use crate::platform::Family;

/// Why an event's frames cannot be compared with what Sentry sees after symbolication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoarseReason {
    /// Browser JavaScript whose names a minifier made; Sentry applies source maps.
    MinifiedJavaScript,
    /// Native addresses without function names; Sentry applies debug files.
    UnsymbolicatedNative,
    /// Java whose names ProGuard or R8 made; Sentry applies mapping files.
    ObfuscatedJava,
    /// Dart compiled with `--obfuscate`; Sentry applies its symbol map.
    ObfuscatedDart,
}

impl CoarseReason {
    /// Returns the reason's name, one of a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MinifiedJavaScript => "minified_javascript",
            Self::UnsymbolicatedNative => "unsymbolicated_native",
            Self::ObfuscatedJava => "obfuscated_java",
            Self::ObfuscatedDart => "obfuscated_dart",
        }
    }

    /// Returns why most of a stack's own frames cannot be compared; `None` when they can.
    ///
    /// Where no frame is marked as the application's own, all are judged; names of system libraries are known without
    /// debug files, so of native ones none may have a name.
    pub(crate) fn of(frames: &[Frame<'_>]) -> Option<Self> {
        let is_own = |frame: &&Frame<'_>| frame.in_app == Some(true);
        let has_own = frames.iter().any(|frame| is_own(&frame));
        let mut judged = frames
            .iter()
            .filter(|frame| !has_own || is_own(frame))
            .map(unreadable)
            .peekable();
        judged.peek()?;
        let mut found = None;
        let (mut bad, mut good) = (0_usize, 0_usize);
        for reason in judged {
            match reason {
                Some(reason) => (bad, found) = (bad + 1, Some(reason)),
                None => good += 1,
            }
        }
        let is_strict = !has_own && found == Some(Self::UnsymbolicatedNative);
        found.filter(|_| if is_strict { good == 0 } else { bad > good })
    }
}

fn unreadable(frame: &Frame<'_>) -> Option<CoarseReason> {
    match (frame.platform, frame.family) {
        ("javascript", _) => is_minified(frame).then_some(CoarseReason::MinifiedJavaScript),
        ("java", _) => is_obfuscated_class(frame).then_some(CoarseReason::ObfuscatedJava),
        ("dart", _) => is_obfuscated_dart(frame).then_some(CoarseReason::ObfuscatedDart),
        (_, Family::Native) => has_no_name(frame).then_some(CoarseReason::UnsymbolicatedNative),
        _ => None,
    }
}

/// A URL, no sign of a source map, and either a column no person writes up to or a name of one or two letters.
///
/// Of bundles in apps (React Native's `app:///index.android.bundle`) only the column tells: their code keeps its names.
fn is_minified(frame: &Frame<'_>) -> bool {
    let is_page = frame.abs_path.is_some_and(is_url);
    let is_bundle = frame
        .abs_path
        .is_some_and(|path| path.starts_with("app://"));
    let is_raw = !frame.has_sourcemap && frame.module.is_none() && (is_page || is_bundle);
    let has_source = frame
        .context_line
        .is_some_and(|line| line.chars().nth(MAX_LINE).is_none());
    let (_, column) = frame.position;
    let is_far_right = column.is_some_and(|column| column > MAX_COLUMN);
    let is_short = frame
        .function
        .as_deref()
        .is_some_and(|name| is_short(last_part(name)));
    is_raw && !has_source && (is_far_right || (is_page && is_short))
}

/// ProGuard and R8 give classes and methods alike names such as `a` or `b1`.
fn is_obfuscated_class(frame: &Frame<'_>) -> bool {
    let (Some(module), Some(function)) = (frame.module, frame.function.as_deref()) else {
        return false;
    };
    is_short(last_part(module)) && is_short(function)
}

fn is_obfuscated_dart(frame: &Frame<'_>) -> bool {
    let function = frame.function.as_deref();
    function.is_some_and(|name| name.split('.').all(|part| part.len() <= 3))
}

fn has_no_name(frame: &Frame<'_>) -> bool {
    match frame.function.as_deref() {
        None | Some("<redacted>" | "<unknown>") => true,
        Some(name) => {
            name.starts_with("0x") && name[2..].bytes().all(|byte| byte.is_ascii_hexdigit())
        }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn is_short(name: &str) -> bool {
    (1..=2).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$'))
}

const MAX_COLUMN: u64 = 500;
const MAX_LINE: usize = 120;

#[cfg(test)]
mod tests {
    use event::model;

    use super::*;

    fn reason(platform: &'static str, frames: &[model::Frame<'static>]) -> Option<CoarseReason> {
        let frames: Vec<Frame<'_>> = frames
            .iter()
            .map(|frame| Frame::new(frame, platform))
            .collect();
        CoarseReason::of(&frames)
    }

    fn browser(function: &'static str, colno: u64) -> model::Frame<'static> {
        model::Frame {
            function: Some(function.into()),
            abs_path: Some("https://shop.example/app.4f2a.js".into()),
            colno: Some(colno),
            in_app: Some(true),
            ..model::Frame::default()
        }
    }

    #[test]
    fn minified_scripts_are_told_by_short_names_and_far_columns() {
        assert_eq!(
            reason(
                "javascript",
                &[browser("t", 9), browser("checkout", 71_234)]
            ),
            Some(CoarseReason::MinifiedJavaScript)
        );
        assert_eq!(
            reason("javascript", &[browser("checkout", 9), browser("t", 12)]),
            None
        );
    }

    #[test]
    fn bundles_of_apps_are_told_by_far_columns() {
        let bundled = |colno| model::Frame {
            abs_path: Some("app:///index.android.bundle".into()),
            ..browser("e", colno)
        };

        assert_eq!(
            reason("javascript", &[bundled(812_345)]),
            Some(CoarseReason::MinifiedJavaScript)
        );
        assert_eq!(reason("javascript", &[bundled(9)]), None);
    }

    #[test]
    fn mapped_scripts_are_readable() {
        let mapped = model::Frame {
            has_sourcemap: true,
            ..browser("t", 9)
        };

        assert_eq!(reason("javascript", &[mapped]), None);
        assert_eq!(reason("node", &[browser("t", 9)]), None);
    }

    #[test]
    fn addresses_without_names_are_unreadable() {
        let frame = |function: Option<&'static str>, in_app| model::Frame {
            function: function.map(Into::into),
            in_app: Some(in_app),
            ..model::Frame::default()
        };

        let system = frame(Some("main"), false);
        assert_eq!(
            reason("native", &[system.clone(), frame(None, true)]),
            Some(CoarseReason::UnsymbolicatedNative)
        );
        assert_eq!(
            reason("native", &[system, frame(Some("app::run"), true)]),
            None
        );
        assert_eq!(reason("native", &[]), None);
    }

    #[test]
    fn obfuscated_classes_and_dart_are_unreadable() {
        let frame = |module: &'static str, function: &'static str| model::Frame {
            module: Some(module.into()),
            function: Some(function.into()),
            ..model::Frame::default()
        };

        assert_eq!(
            reason("java", &[frame("a.b.c", "a")]),
            Some(CoarseReason::ObfuscatedJava)
        );
        assert_eq!(
            reason("java", &[frame("com.shop.Cart", "a"), frame("a.b", "c")]),
            None
        );
        assert_eq!(
            reason("dart", &[frame("", "aB.cd")]),
            Some(CoarseReason::ObfuscatedDart)
        );
        assert_eq!(reason("dart", &[frame("", "Cart.add")]), None);
    }
}

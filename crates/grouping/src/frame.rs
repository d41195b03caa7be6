//! A stack frame as grouping sees it: what the event's reader left, with the function trimmed.

use std::borrow::Cow;

use event::model;

use crate::function;
use crate::platform::Family;

pub(crate) mod component;

/// A frame with what it lacked filled in; empty texts are absent.
#[derive(Debug, Clone)]
pub(crate) struct Frame<'e> {
    /// The frame's platform, else the event's.
    pub(crate) platform: &'e str,
    /// The family of that platform.
    pub(crate) family: Family,
    /// Dotted module or class name.
    pub(crate) module: Option<&'e str>,
    /// Path as shown.
    pub(crate) filename: Option<&'e str>,
    /// Absolute path or URL.
    pub(crate) abs_path: Option<&'e str>,
    /// Trimmed function name.
    pub(crate) function: Option<Cow<'e, str>>,
    /// Function name before trimming, if trimming changed it.
    pub(crate) raw_function: Option<&'e str>,
    /// Library or binary that holds the code.
    pub(crate) package: Option<&'e str>,
    /// The source line itself.
    pub(crate) context_line: Option<&'e str>,
    /// Line and column.
    pub(crate) position: (Option<u64>, Option<u64>),
    /// What the SDK said about the frame being in app.
    pub(crate) in_app: Option<bool>,
    /// Whether Sentry's source maps made this frame.
    pub(crate) has_sourcemap: bool,
}

impl<'e> Frame<'e> {
    /// Returns a frame of an event of `platform`, normalised.
    pub(crate) fn new(frame: &'e model::Frame<'e>, platform: &'e str) -> Self {
        let platform = text(&frame.platform).unwrap_or(platform);
        let filename = text(&frame.filename);
        let given = text(&frame.function).filter(|name| *name != "?");
        let (function, raw_function) = functions(given, text(&frame.raw_function), platform);
        Self {
            platform,
            family: Family::of(platform),
            module: text(&frame.module),
            filename,
            abs_path: text(&frame.abs_path).or(filename),
            function,
            raw_function,
            package: text(&frame.package),
            context_line: text(&frame.context_line),
            position: (frame.lineno, frame.colno),
            in_app: frame.in_app,
            has_sourcemap: frame.has_sourcemap,
        }
    }

    /// Returns what `path:` matchers look at.
    pub(crate) fn path(&self) -> Option<&'e str> {
        self.abs_path.or(self.filename)
    }

    /// Returns whether the frame repeats the previous one.
    pub(crate) fn repeats(&self, previous: &Self) -> bool {
        self.position == previous.position
            && self.function == previous.function
            && self.module == previous.module
            && self.filename == previous.filename
            && self.abs_path == previous.abs_path
            && self.package == previous.package
    }
}

/// Returns whether a path is a URL; `file:` is one only where said so.
pub(crate) fn is_url(path: &str) -> bool {
    ["http:", "https:", "applewebdata:", "blob:"]
        .iter()
        .any(|scheme| path.starts_with(scheme))
}

/// Returns whether a path is a URL, counting `file:` as one.
pub(crate) fn is_url_or_file(path: &str) -> bool {
    is_url(path) || path.starts_with("file:")
}

fn text<'e>(text: &'e Option<model::Text<'e>>) -> Option<&'e str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A name the SDK has already split into trimmed and raw stays as it is.
fn functions<'e>(
    function: Option<&'e str>,
    raw_function: Option<&'e str>,
    platform: &str,
) -> (Option<Cow<'e, str>>, Option<&'e str>) {
    let (Some(name), None) = (function, raw_function) else {
        return (function.map(Cow::Borrowed), raw_function);
    };
    let trimmed = function::trim(name, platform);
    let raw_function = (*trimmed != *name).then_some(name);
    (Some(trimmed), raw_function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_mark_functions_are_absent() {
        let frame = model::Frame {
            function: Some("?".into()),
            ..model::Frame::default()
        };

        assert_eq!(Frame::new(&frame, "javascript").function, None);
    }

    #[test]
    fn a_frame_repeats_only_itself() {
        let frame = |lineno| model::Frame {
            function: Some("f".into()),
            lineno: Some(lineno),
            ..model::Frame::default()
        };
        let (one, two) = (frame(1), frame(2));
        let one = Frame::new(&one, "python");

        assert!(one.repeats(&one.clone()));
        assert!(!one.repeats(&Frame::new(&two, "python")));
    }
}

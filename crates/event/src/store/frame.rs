//! Reads stack traces, their frames, and the threads that have them.
//!
//! Source: Relay, `relay-event-schema/src/protocol/{stacktrace,thread}.rs`, `relay-event-normalization/src/stacktrace.rs`.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::json::{Fields, Value, Weigh};
use crate::model::{Frame, Stacktrace, Text, Thread};

impl<'de> Fields<'de> for Stacktrace<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "frames" => self.frames = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.frames.is_empty()
    }
}

impl<'de> Fields<'de> for Frame<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "platform" => self.platform = value.read()?,
            "module" => self.module = value.read()?,
            "filename" => self.filename = value.read()?,
            "abs_path" => self.abs_path = value.read()?,
            "function" => self.function = value.read()?,
            "raw_function" => self.raw_function = value.read()?,
            "package" => self.package = value.read()?,
            "context_line" => self.context_line = value.read()?,
            "lineno" => self.lineno = value.read()?,
            "colno" => self.colno = value.read()?,
            "in_app" => self.in_app = value.read()?,
            "data" => {
                let data: Option<FrameData<'de>> = value.read()?;
                self.has_sourcemap = data.is_some_and(|data| data.sourcemap.is_some());
            }
            _ => value.skip()?,
        }
        Ok(())
    }

    fn complete(&mut self) {
        if self.function.as_deref() == Some("?") {
            self.function = None;
        }
        if self.abs_path.is_none() {
            self.abs_path = self.filename.take();
        }
        if self.filename.is_none() {
            self.filename = self.abs_path.as_ref().map(path_of);
        }
    }
}

/// A stack keeps at most 2000 frames: the outermost and the innermost 1000.
impl Weigh for Frame<'_> {
    const MAX: usize = 2000;
}

#[derive(Default)]
struct FrameData<'de> {
    sourcemap: Option<Text<'de>>,
}

impl<'de> Fields<'de> for FrameData<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "sourcemap" => self.sourcemap = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Thread<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "id" => self.id = value.read()?,
            "name" => self.name = value.read()?,
            "crashed" => self.crashed = value.read()?,
            "current" => self.current = value.read()?,
            "stacktrace" => self.stacktrace = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// At most 250 threads with 10,000 frames together.
impl Weigh for Thread<'_> {
    const MAX: usize = 10_000;

    fn weight(&self) -> usize {
        40 + self
            .stacktrace
            .as_ref()
            .map_or(0, |stack| stack.frames.len())
    }
}

/// Returns the file name that an absolute path stands for: the path of a URL, else all of it.
fn path_of<'de>(abs_path: &Text<'de>) -> Text<'de> {
    let Some(path) = url_path(abs_path) else {
        return abs_path.clone();
    };
    match abs_path {
        Cow::Borrowed(text) => Cow::Borrowed(&text[path]),
        Cow::Owned(text) => Cow::Owned(text[path].to_owned()),
    }
}

/// Returns where the path of a URL is in it; `None` for other texts and for a URL without a path.
fn url_path(text: &str) -> Option<std::ops::Range<usize>> {
    let is_url = URL_SCHEMES.iter().any(|scheme| text.starts_with(scheme));
    let authority = text.find("://").filter(|_| is_url)? + 3;
    let start = authority + text[authority..].find('/')?;
    let end = text[start..]
        .find(['?', '#'])
        .map_or(text.len(), |at| start + at);
    (end - start > 1).then_some(start..end)
}

const URL_SCHEMES: [&str; 4] = ["http:", "https:", "file:", "applewebdata:"];

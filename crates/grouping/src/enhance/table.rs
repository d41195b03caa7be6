//! Which frames of a stack match which pattern, found out when first asked.

use crate::frame::Frame;
use crate::glob::{Glob, normalize_path};

use super::rule::Field;
use super::{FrameSet, Pattern, Rules, UNKNOWN};

/// The patterns of a text of rules against the frames of a stack: a row of bits for each pattern.
pub(super) struct Table<'f, 'r> {
    pub(super) rules: &'r Rules,
    frames: &'f [Frame<'f>],
    rows: FrameSet,
    is_known: Vec<bool>,
    paths: Option<Paths>,
    packages: Option<Paths>,
    has_modules: bool,
    has_packages: bool,
}

impl<'f, 'r> Table<'f, 'r> {
    /// Starts with nothing known.
    pub(super) fn new(rules: &'r Rules, frames: &'f [Frame<'f>]) -> Self {
        let patterns = rules.patterns.0.len();
        Self {
            rules,
            frames,
            rows: FrameSet::rows(patterns, frames.len()),
            is_known: vec![false; patterns],
            paths: None,
            packages: None,
            has_modules: frames.iter().any(|frame| frame.module.is_some()),
            has_packages: frames.iter().any(|frame| frame.package.is_some()),
        }
    }

    /// Copies the frames that match a pattern into `matched`.
    pub(super) fn copy_matches(&mut self, number: usize, matched: &mut FrameSet) {
        if !self.is_known[number] {
            self.is_known[number] = true;
            self.find(number);
        }
        matched.copy_row(&self.rows, number);
    }

    fn find(&mut self, number: usize) {
        let frames = self.frames;
        let Pattern { field, glob, .. } = &self.rules.patterns.0[number];
        let paths = match field {
            Field::Module if !self.has_modules => return,
            Field::Package if !self.has_packages => return,
            Field::Module => {
                let is_match =
                    |frame: &Frame<'_>| frame.module.is_some_and(|module| glob.matches(module));
                return self.rows.set_row(number, |at| is_match(&frames[at]));
            }
            Field::Function => {
                let name = |frame: &'f Frame<'f>| frame.function.as_deref().unwrap_or(UNKNOWN);
                return self
                    .rows
                    .set_row(number, |at| glob.matches(name(&frames[at])));
            }
            Field::Path => self
                .paths
                .get_or_insert_with(|| Paths::of(frames, Frame::path)),
            Field::Package => self
                .packages
                .get_or_insert_with(|| Paths::of(frames, |frame| frame.package)),
        };
        self.rows.set_row(number, |at| paths.is_match(at, glob));
    }
}

/// The normalised paths of all frames in one text, each with `/` put in front; an absent path is empty.
struct Paths {
    text: String,
    ends: Vec<usize>,
}

impl Paths {
    fn of<'f>(frames: &'f [Frame<'f>], path: impl Fn(&'f Frame<'f>) -> Option<&'f str>) -> Self {
        let mut text = String::with_capacity(frames.len() * 64);
        let mut ends = Vec::with_capacity(frames.len());
        for frame in frames {
            if let Some(path) = path(frame) {
                text.push('/');
                push_normalized(path, &mut text);
            }
            ends.push(text.len());
        }
        Self { text, ends }
    }

    fn is_match(&self, at: usize, glob: &Glob) -> bool {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let path = &self.text[start..self.ends[at]];
        !path.is_empty() && glob.matches_path(path)
    }
}

fn push_normalized(path: &str, text: &mut String) {
    let is_normal = |byte: u8| byte.is_ascii() && byte != b'\\' && !byte.is_ascii_uppercase();
    match path.bytes().all(is_normal) {
        true => text.push_str(path),
        false => text.push_str(&normalize_path(path)),
    }
}

//! Which frames of a stack match which pattern, found out when first asked.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::frame::Frame;
use crate::glob::normalize_path;

use super::rule::Field;
use super::{FrameSet, Pattern, Rules, UNKNOWN};

/// The patterns of a text of rules against the frames of a stack: a row of bits for each pattern.
pub(super) struct Table<'f, 'r> {
    pub(super) rules: &'r Rules,
    frames: &'f [Frame<'f>],
    rows: FrameSet,
    is_known: Vec<bool>,
    modules: Option<Texts<'f>>,
    functions: Option<Texts<'f>>,
    paths: Option<Texts<'f>>,
    packages: Option<Texts<'f>>,
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
            modules: None,
            functions: None,
            paths: None,
            packages: None,
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
        let texts = match field {
            Field::Module => self
                .modules
                .get_or_insert_with(|| Texts::of(frames, |frame| frame.module)),
            Field::Function => {
                let name =
                    |frame: &'f Frame<'f>| Some(frame.function.as_deref().unwrap_or(UNKNOWN));
                self.functions
                    .get_or_insert_with(|| Texts::of(frames, name))
            }
            Field::Path => self
                .paths
                .get_or_insert_with(|| Texts::of(frames, Frame::path).rooted()),
            Field::Package => self
                .packages
                .get_or_insert_with(|| Texts::of(frames, |frame| frame.package).rooted()),
        };
        match field {
            Field::Module | Field::Function => {
                texts.set_row(&mut self.rows, number, |text| glob.matches(text))
            }
            Field::Path | Field::Package => {
                texts.set_row(&mut self.rows, number, |text| glob.matches_path(text))
            }
        }
    }
}

/// One field of all frames: each text once, for frames of a stack share most of them.
struct Texts<'f> {
    distinct: Vec<Cow<'f, str>>,
    /// For each frame the place of its text; the place behind the last one stands for none.
    places: Vec<usize>,
}

impl<'f> Texts<'f> {
    fn of(frames: &'f [Frame<'f>], field: impl Fn(&'f Frame<'f>) -> Option<&'f str>) -> Self {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut distinct = Vec::new();
        let add = |frame| {
            let text = field(frame)?;
            let place = known.entry(text).or_insert_with(|| {
                distinct.push(Cow::Borrowed(text));
                distinct.len() - 1
            });
            Some(*place)
        };
        let places: Vec<Option<usize>> = frames.iter().map(add).collect();
        let none = distinct.len();
        Self {
            distinct,
            places: places
                .into_iter()
                .map(|place| place.unwrap_or(none))
                .collect(),
        }
    }

    /// Normalises paths and puts `/` in front.
    fn rooted(mut self) -> Self {
        for text in &mut self.distinct {
            *text = Cow::Owned(format!("/{}", normalize_path(text)));
        }
        self
    }

    fn set_row(&self, rows: &mut FrameSet, row: usize, is_match: impl Fn(&str) -> bool) {
        let Some(first) = self.distinct.iter().position(|text| is_match(text)) else {
            return;
        };
        let mut matched = vec![false; self.distinct.len() + 1];
        matched[first] = true;
        for (place, text) in self.distinct.iter().enumerate().skip(first + 1) {
            matched[place] = is_match(text);
        }
        rows.set_row(row, |at| matched[self.places[at]]);
    }
}

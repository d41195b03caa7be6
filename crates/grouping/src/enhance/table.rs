//! Which frames of a stack match which pattern: one pass over the frames, which tries only patterns that can match.

use crate::frame::Frame;
use crate::glob::{Glob, normalize_path};
use crate::platform::{Families, Family};

use super::rule::Field;
use super::{FrameSet, Rules, UNKNOWN};

/// The patterns of a text of rules against the frames of a stack: a row of bits for each pattern.
pub(super) struct Table<'r> {
    pub(super) rules: &'r Rules,
    rows: FrameSet,
    is_hit: Vec<bool>,
}

impl<'r> Table<'r> {
    /// Looks at every frame; `present` are the families of the frames.
    pub(super) fn new(rules: &'r Rules, frames: &[Frame<'_>], present: Families) -> Self {
        let patterns = &rules.patterns.patterns;
        let mut table = Self {
            rules,
            rows: FrameSet::rows(patterns.len(), frames.len()),
            is_hit: vec![false; patterns.len()],
        };
        let mut rooted = String::new();
        for (at, frame) in frames.iter().enumerate() {
            let function = frame.function.as_deref().unwrap_or(UNKNOWN);
            table.mark(Field::Module, frame.module.unwrap_or_default(), at, present);
            table.mark(Field::Function, function, at, present);
            for (field, path) in [(Field::Path, frame.path()), (Field::Package, frame.package)] {
                if let Some(path) = path {
                    root(path, &mut rooted);
                    table.mark(field, &rooted, at, present);
                }
            }
        }
        table
    }

    /// Returns whether some frame matches a pattern.
    pub(super) fn is_hit(&self, number: usize) -> bool {
        self.is_hit[number]
    }

    /// Copies the frames that match a pattern into `matched`.
    pub(super) fn copy_matches(&self, number: usize, matched: &mut FrameSet) {
        matched.copy_row(&self.rows, number);
    }

    /// An empty text stands for a missing one, which matches nothing.
    fn mark(&mut self, field: Field, text: &str, at: usize, present: Families) {
        if text.is_empty() {
            return;
        }
        let known = &self.rules.patterns;
        let mut try_pattern = |number: usize| {
            let glob = &known.patterns[number].glob;
            let is_match = match field {
                Field::Module | Field::Function => glob.matches(text),
                Field::Path | Field::Package => glob.matches_path(text),
            };
            if is_match {
                self.is_hit[number] = true;
                self.rows.insert_in_row(number, at);
            }
        };
        for family in Family::ALL {
            if present.contains(family) {
                known
                    .index(field, family)
                    .candidates(text, &mut try_pattern);
            }
        }
    }
}

/// Writes a path as patterns want it: normalised, with one `/` in front of whatever it was.
fn root(path: &str, rooted: &mut String) {
    rooted.clear();
    rooted.push('/');
    rooted.push_str(&normalize_path(path));
}

/// The patterns of one field by what a text must have for them to match.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// With the byte after the first, if it is known.
    by_first: ByByte<(usize, Option<u8>)>,
    /// With the byte before the last, if it is known.
    by_last: ByByte<(usize, Option<u8>)>,
    /// By the first byte of what must stand somewhere within, with that.
    within: ByByte<(usize, Box<[u8]>)>,
    /// Those first bytes.
    within_starts: Vec<u8>,
    always: Vec<usize>,
}

impl Index {
    /// Sorts patterns, which come with their numbers.
    pub(super) fn new<'g>(patterns: impl Iterator<Item = (usize, &'g Glob)>) -> Self {
        let (mut firsts, mut lasts, mut inners) = (Vec::new(), Vec::new(), Vec::new());
        let mut always = Vec::new();
        for (number, glob) in patterns {
            let (prefix, suffix, inner) = glob.literals();
            if let Some((first, rest)) = prefix.as_bytes().split_first() {
                firsts.push((*first, (number, rest.first().copied())));
            } else if let Some((last, rest)) = suffix.as_bytes().split_last() {
                lasts.push((*last, (number, rest.last().copied())));
            } else if let Some(byte) = inner.first() {
                inners.push((*byte, (number, inner.into())));
            } else {
                always.push(number);
            }
        }
        let mut within_starts: Vec<u8> = inners.iter().map(|(byte, _)| *byte).collect();
        within_starts.sort_unstable();
        within_starts.dedup();
        Self {
            by_first: ByByte::new(firsts),
            by_last: ByByte::new(lasts),
            within: ByByte::new(inners),
            within_starts,
            always,
        }
    }

    /// Calls `found` at least once for each pattern that may match a text, or the text without its first byte.
    fn candidates(&self, text: &str, mut found: impl FnMut(usize)) {
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate().take(2) {
            try_next_to(self.by_first.of(*byte), bytes.get(at + 1), &mut found);
        }
        if let Some((last, rest)) = bytes.split_last() {
            try_next_to(self.by_last.of(*last), rest.last(), &mut found);
        }
        self.always.iter().for_each(|number| found(*number));
        for byte in &self.within_starts {
            for at in memchr::memchr_iter(*byte, bytes) {
                let (rest, next) = (&bytes[at..], bytes.get(at + 1));
                for (number, inner) in self.within.of(*byte) {
                    // Most differ in the second byte already.
                    let may_start = inner.get(1).is_none_or(|second| Some(second) == next);
                    if may_start && rest.starts_with(inner) {
                        found(*number);
                    }
                }
            }
        }
    }
}

/// Calls `found` for the patterns that want this neighbour, or any.
fn try_next_to(
    entries: &[(usize, Option<u8>)],
    neighbour: Option<&u8>,
    found: &mut impl FnMut(usize),
) {
    for (number, wanted) in entries {
        if wanted.is_none() || wanted.as_ref() == neighbour {
            found(*number);
        }
    }
}

/// Entries by a byte each.
#[derive(Debug, Clone)]
struct ByByte<T> {
    entries: Vec<T>,
    /// Where the entries of each byte start, and where the last ones end.
    starts: Box<[u32; 257]>,
}

impl<T> ByByte<T> {
    fn new(mut entries: Vec<(u8, T)>) -> Self {
        entries.sort_by_key(|(byte, _)| *byte);
        let mut starts = Box::new([0; 257]);
        for (byte, _) in &entries {
            starts[usize::from(*byte) + 1] += 1;
        }
        for byte in 0..256 {
            starts[byte + 1] += starts[byte];
        }
        Self {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            starts,
        }
    }

    fn of(&self, byte: u8) -> &[T] {
        let byte = usize::from(byte);
        &self.entries[self.starts[byte] as usize..self.starts[byte + 1] as usize]
    }
}

impl<T> Default for ByByte<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use event::model;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The index leaves out only patterns that cannot match.
        #[test]
        fn rows_are_what_each_pattern_says_of_each_frame(
            patterns in prop::collection::vec("[ab/]{0,2}(\\*|\\*\\*/|\\?|\\{a,b\\}|\\[ab\\])?[ab/]{0,3}(\\*|/\\*\\*)?", 1..12),
            texts in prop::collection::vec("[abAB/\\\\é]{1,6}", 1..8),
        ) {
            let keys = ["module", "function", "path", "package"];
            let lines = patterns.iter().flat_map(|pattern| keys.map(|key| format!("{key}:\"{pattern}\" -app\n")));
            let Ok(rules) = Rules::parse(&lines.collect::<String>()) else { return Ok(()) };
            let models: Vec<_> = texts.iter().map(|text| frame(text)).collect();
            let frames: Vec<_> = models.iter().map(|model| Frame::new(model, "python")).collect();

            let table = Table::new(&rules, &frames, Families::ALL);

            for (number, pattern) in rules.patterns.patterns.iter().enumerate() {
                let mut found = FrameSet::none(frames.len());
                table.copy_matches(number, &mut found);
                let expected = FrameSet::from_fn(frames.len(), |at| {
                    let text = &texts[at];
                    pattern.glob.matches(text) && !pattern.is_about_paths()
                        || pattern.glob.matches_path(&format!("/{}", normalize_path(text))) && pattern.is_about_paths()
                });
                prop_assert_eq!(&found, &expected, "{:?}", pattern);
                prop_assert_eq!(table.is_hit(number), !expected.is_empty());
            }
        }
    }

    fn frame(text: &str) -> model::Frame<'static> {
        let text = Some(text.to_owned().into());
        model::Frame {
            module: text.clone(),
            function: text.clone(),
            abs_path: text.clone(),
            package: text,
            ..model::Frame::default()
        }
    }
}

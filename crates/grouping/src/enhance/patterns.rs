//! The patterns that rules test fields of frames with, each once, and which of them rules about a family ask for.

use crate::glob::Glob;
use crate::platform::{Families, Family};

use super::rule::{Field, FrameTest, Rule};
use super::table::Index;

/// The patterns of a text of rules, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    pub(super) patterns: Vec<Pattern>,
    /// By [`Field`] and [`Family`]: those that rules about frames of that family ask for.
    indexes: [[Index; 3]; 4],
}

impl Patterns {
    /// Adds a pattern unless it is known, and returns its number.
    pub(super) fn add(&mut self, field: Field, text: &str, glob: Glob) -> usize {
        let is_same = |known: &Pattern| known.field == field && &*known.text == text;
        let known = self.patterns.iter().position(is_same);
        known.unwrap_or_else(|| {
            self.patterns.push(Pattern {
                field,
                text: text.into(),
                glob,
                families: Families::default(),
            });
            self.patterns.len() - 1
        })
    }

    /// Indexes the patterns of all rules.
    pub(super) fn complete(&mut self, rules: &[Rule]) {
        for rule in rules {
            for matcher in &rule.frame {
                if let FrameTest::Field(number) = matcher.test {
                    let families = &mut self.patterns[number].families;
                    *families = families.or(rule.families);
                }
            }
        }
        for field in Field::ALL {
            for family in Family::ALL {
                let is_asked = |(_, pattern): &(usize, &Pattern)| {
                    pattern.field == field && pattern.families.contains(family)
                };
                let asked = self.patterns.iter().enumerate().filter(is_asked);
                let index = Index::new(asked.map(|(number, pattern)| (number, &pattern.glob)));
                self.indexes[field as usize][family as usize] = index;
            }
        }
    }

    pub(super) fn index(&self, field: Field, family: Family) -> &Index {
        &self.indexes[field as usize][family as usize]
    }
}

/// One pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    field: Field,
    text: Box<str>,
    pub(super) glob: Glob,
    families: Families,
}

#[cfg(test)]
impl Pattern {
    pub(super) fn is_about_paths(&self) -> bool {
        matches!(self.field, Field::Path | Field::Package)
    }
}

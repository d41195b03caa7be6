//! Rules in order, and which of them can be about the frames of a stack.

use crate::platform::Families;

use super::rule::Rule;

/// Rules in their order, sorted by the families of a stack: most rules are about others.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleList {
    rules: Vec<Rule>,
    /// For each set of families, the places of the rules that can match a frame of one of them.
    by_families: [Box<[usize]>; Families::SETS],
}

impl RuleList {
    /// Returns those that can match a frame of one of the families, in order.
    pub(super) fn about(&self, present: Families) -> impl Iterator<Item = &Rule> {
        let places = &self.by_families[present.index()];
        places.iter().map(|place| &self.rules[*place])
    }

    /// Returns all of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }
}

impl FromIterator<Rule> for RuleList {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let rules: Vec<Rule> = rules.into_iter().collect();
        let about = |present: Families| {
            let can_match = |rule: &Rule| !rule.families.and(present).is_empty();
            let places = (0..rules.len()).filter(|place| can_match(&rules[*place]));
            places.collect()
        };
        Self {
            by_families: Families::every_set().map(about),
            rules,
        }
    }
}

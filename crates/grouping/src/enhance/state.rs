//! What rules have made of a stack so far: which frames are in app, and of which category.

use crate::frame::Frame;
use crate::glob::Glob;
use crate::platform::{Families, Family};

use super::rule::{Action, Flag, FrameMatcher, FrameTest, Range, Rule, Whose};
use super::table::Table;
use super::{ExceptionTexts, FrameSet};

/// What rules have changed so far, and room for the match of one rule.
pub(super) struct State<'r> {
    families: [FrameSet; 3],
    pub(super) present: Families,
    pub(super) in_app: FrameSet,
    categories: Vec<(&'r str, FrameSet)>,
    /// The frames that the rule looked at last matches.
    pub(super) matched: FrameSet,
    tested: FrameSet,
}

impl<'r> State<'r> {
    pub(super) fn new(frames: &[Frame<'_>]) -> Self {
        let len = frames.len();
        let of_family = |family| FrameSet::from_fn(len, |at| frames[at].family == family);
        let present = frames
            .iter()
            .fold(Families::default(), |set, frame| set.with(frame.family));
        Self {
            families: Family::ALL.map(of_family),
            present,
            in_app: FrameSet::from_fn(len, |at| frames[at].in_app == Some(true)),
            categories: Vec::new(),
            matched: FrameSet::none(len),
            tested: FrameSet::none(len),
        }
    }

    pub(super) fn modify(&mut self, table: &Table<'r>, exception: ExceptionTexts<'_>) {
        for rule in table.rules.modifiers.about(self.present) {
            if !self.find(rule, table, exception) {
                continue;
            }
            for action in &rule.actions {
                if let Action::Category(name) = action {
                    self.categorize(name);
                }
            }
            apply_flags(&rule.actions, Flag::App, &self.matched, &mut self.in_app);
        }
    }

    /// Leaves the frames that a rule about the families present matches in `matched`, and returns whether there are any.
    pub(super) fn find(
        &mut self,
        rule: &Rule,
        table: &Table<'_>,
        exception: ExceptionTexts<'_>,
    ) -> bool {
        if !self.can_match(rule, table) || !exception.satisfy(rule) {
            return false;
        }
        self.matched.fill();
        for matcher in &rule.frame {
            self.narrow(matcher, table);
            if self.matched.is_empty() {
                return false;
            }
        }
        !self.matched.is_empty()
    }

    /// Returns whether some frame has what each matcher wants, be it its own, its caller or its callee.
    fn can_match(&self, rule: &Rule, table: &Table<'_>) -> bool {
        rule.frame.iter().all(|matcher| match matcher.test {
            _ if matcher.is_negated => true,
            FrameTest::Field(number) => table.is_hit(number),
            FrameTest::Category(_) => !self.categories.is_empty(),
            FrameTest::Family(_) | FrameTest::InApp(_) => true,
        })
    }

    fn narrow(&mut self, matcher: &FrameMatcher, table: &Table<'_>) {
        match &matcher.test {
            FrameTest::Field(number) => table.copy_matches(*number, &mut self.tested),
            FrameTest::Category(glob) => self.test_category(glob),
            FrameTest::Family(families) => self.test_family(*families),
            FrameTest::InApp(expected) => {
                self.tested.clone_from(&self.in_app);
                if !expected {
                    self.tested.invert();
                }
            }
        }
        if matcher.is_negated {
            self.tested.invert();
        }
        match matcher.whose {
            Whose::Own => (),
            Whose::Caller => self.tested.shift_up(),
            Whose::Callee => self.tested.shift_down(),
        }
        self.matched.keep(&self.tested);
    }

    fn test_category(&mut self, glob: &Glob) {
        self.tested.clear();
        for (name, members) in &self.categories {
            if glob.matches(name) {
                self.tested.add(members);
            }
        }
    }

    fn test_family(&mut self, families: Families) {
        self.tested.clear();
        for (family, members) in Family::ALL.iter().zip(&self.families) {
            if families.contains(*family) {
                self.tested.add(members);
            }
        }
    }

    fn categorize(&mut self, name: &'r str) {
        for (_, members) in &mut self.categories {
            members.remove(&self.matched);
        }
        match self.categories.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.add(&self.matched),
            None => self.categories.push((name, self.matched.clone())),
        }
    }
}

/// Sets a flag for every matched frame in one go.
///
/// Sentry goes frame by frame. Its end result is this order: what the first match sets towards the crash, then each
/// match's own flag, then what the last match sets towards the base.
pub(super) fn apply_flags(
    actions: &[Action],
    wanted: Flag,
    matched: &FrameSet,
    flags: &mut FrameSet,
) {
    for turn in [Range::Up, Range::Own, Range::Down] {
        for action in actions {
            let Action::Flag { flag, value, range } = action else {
                continue;
            };
            if *flag == wanted && *range == turn {
                match value {
                    true => flags.add(&affected(turn, matched)),
                    false => flags.remove(&affected(turn, matched)),
                }
            }
        }
    }
}

fn affected(range: Range, matched: &FrameSet) -> FrameSet {
    let mut affected = matched.clone();
    match range {
        Range::Own => (),
        Range::Up => {
            affected.fill();
            affected.keep_from(matched.first().unwrap_or_default() + 1);
        }
        Range::Down => {
            affected.fill();
            affected.keep_before(matched.last().unwrap_or_default());
        }
    }
    affected
}

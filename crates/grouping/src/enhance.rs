//! Enhancement rules: they sort frames into categories, in app or not, and say which of them count.
//!
//! Source: `sentry-ophio` 1.1 (the engine Sentry calls) and `src/sentry/grouping/enhancer/__init__.py`. Rules run
//! twice over a stack: before grouping ([`State::modify`]) and once per variant ([`Updates::apply`]).

mod frame_set;
mod parse;
mod patterns;
mod rule;
mod rule_list;
mod state;
mod table;

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::error::RuleErrors;
use crate::frame::Frame;

pub(crate) use frame_set::FrameSet;
use patterns::Patterns;
use rule::{Action, ExceptionField, Flag, Rule};
use rule_list::RuleList;
use state::{State, apply_flags};
use table::Table;

/// A text of rules, compiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Rules that change frames before grouping, in order.
    modifiers: RuleList,
    /// Rules that decide which frames count, in order; some are both.
    updaters: RuleList,
    patterns: Patterns,
}

impl Rules {
    /// Compiles a text of rules.
    ///
    /// # Errors
    /// Every line that is no rule.
    pub(crate) fn parse(text: &str) -> Result<Self, RuleErrors> {
        let mut patterns = Patterns::default();
        let rules = parse::parse(text, &mut patterns)?;
        patterns.complete(&rules);
        let modifiers = rules
            .iter()
            .filter(|rule| rule.is_modifier())
            .cloned()
            .collect();
        let updaters = rules.into_iter().filter(Rule::is_updater).collect();
        Ok(Self {
            modifiers,
            updaters,
            patterns,
        })
    }

    /// Returns whether some rule looks at the message of the exception.
    pub(crate) fn read_messages(&self) -> bool {
        let mut rules = self.modifiers.iter().chain(self.updaters.iter());
        rules.any(|rule| {
            let mut matchers = rule.exception.iter();
            matchers.any(|matcher| matcher.field == ExceptionField::Value)
        })
    }

    /// Returns the built-in rules.
    pub(crate) fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
            Rules::parse(include_str!("enhance/rules.txt"))
                .expect("a test reads the built-in rules")
        });
        &BUILT_IN
    }
}

/// The exception that a stack belongs to, as rules see it; a missing text reads `<unknown>`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExceptionTexts<'e> {
    /// Its type.
    pub(crate) ty: Option<&'e str>,
    /// Its message.
    pub(crate) value: Option<&'e str>,
    /// How it was caught.
    pub(crate) mechanism: Option<&'e str>,
}

impl ExceptionTexts<'_> {
    fn satisfy(&self, rule: &Rule) -> bool {
        rule.exception.iter().all(|matcher| {
            let text = match matcher.field {
                ExceptionField::Type => self.ty,
                ExceptionField::Value => self.value,
                ExceptionField::Mechanism => self.mechanism,
            };
            matcher.glob.matches(text.unwrap_or(UNKNOWN)) != matcher.is_negated
        })
    }
}

/// What the rules say about the frames of one stack.
#[derive(Debug, Default)]
pub(crate) struct Updates<'r> {
    /// Frames in app after all rules.
    pub(crate) in_app: FrameSet,
    steps: Vec<(&'r Rule, FrameSet)>,
    max_frames: Option<(usize, &'r Rule)>,
    min_frames: Option<(usize, &'r Rule)>,
}

impl<'r> Updates<'r> {
    /// Applies texts of rules, the later winning, to a stack.
    pub(crate) fn of(
        frames: &[Frame<'_>],
        exception: ExceptionTexts<'_>,
        texts: &[&'r Rules],
    ) -> Self {
        let mut state = State::new(frames);
        let tables: Vec<Table<'r>> = texts
            .iter()
            .map(|rules| Table::new(rules, frames, state.present))
            .collect();
        for table in &tables {
            state.modify(table, exception);
        }
        let mut updates = Self::default();
        for table in &tables {
            updates.collect(&mut state, table, exception);
        }
        updates.in_app = state.in_app;
        updates
    }

    /// Changes which frames count, and returns the last rule that changed a frame, frame by frame.
    pub(crate) fn apply(&self, counting: &mut FrameSet) -> Vec<(usize, Reason<'r>)> {
        let mut reasons = Vec::new();
        for (rule, matched) in &self.steps {
            let before = counting.clone();
            apply_flags(&rule.actions, Flag::Group, matched, counting);
            let changed = before.difference(counting);
            reasons.extend(
                changed
                    .iter()
                    .map(|at| (at, Reason::Rule(&rule.text, counting.contains(at)))),
            );
        }
        if let Some((limit, rule)) = self.max_frames.filter(|(limit, _)| *limit > 0) {
            let surplus = counting.count().saturating_sub(limit);
            let dropped: Vec<usize> = counting.iter().take(surplus).collect();
            if let Some(last) = dropped.last() {
                counting.keep_from(last + 1);
            }
            reasons.extend(
                dropped
                    .into_iter()
                    .map(|at| (at, Reason::Limit(limit, &rule.text))),
            );
        }
        reasons
    }

    /// Returns the least number of frames that must count, if fewer but some do.
    pub(crate) fn is_too_short(&self, counting: usize) -> Option<usize> {
        let (limit, _) = self.min_frames?;
        (0 < counting && counting < limit).then_some(limit)
    }

    fn collect(&mut self, state: &mut State<'r>, table: &Table<'r>, exception: ExceptionTexts<'_>) {
        for rule in table.rules.updaters.about(state.present) {
            if state.find(rule, table, exception) {
                self.limit(rule);
                self.steps.push((rule, state.matched.clone()));
            }
        }
    }

    fn limit(&mut self, rule: &'r Rule) {
        for action in &rule.actions {
            match action {
                Action::MaxFrames(limit) => self.max_frames = Some((*limit, rule)),
                Action::MinFrames(limit) => self.min_frames = Some((*limit, rule)),
                Action::Category(_) | Action::Flag { .. } => (),
            }
        }
    }
}

/// Why a rule changed whether a frame counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason<'r> {
    /// The rule's text, and whether the frame counts now.
    Rule(&'r str, bool),
    /// More frames than the limit counted; the rule's text.
    Limit(usize, &'r str),
}

impl Reason<'_> {
    /// Returns the reason in words.
    pub(crate) fn hint(self) -> Cow<'static, str> {
        match self {
            Self::Rule(text, true) => format!("un-ignored by rule `{text}`").into(),
            Self::Rule(text, false) => format!("ignored by rule `{text}`").into(),
            Self::Limit(limit, text) => {
                format!("ignored because only {limit} count by rule `{text}`").into()
            }
        }
    }
}

const UNKNOWN: &str = "<unknown>";

#[cfg(test)]
mod tests {
    use event::model;
    use proptest::prelude::*;

    use super::rule::Range;
    use super::*;

    #[test]
    fn built_in_rules_are_all_read() {
        assert!(Rules::built_in().modifiers.len() > 100);
        assert!(Rules::built_in().updaters.len() > 10);
        assert!(!Rules::built_in().read_messages());
    }

    #[test]
    fn dependencies_and_frameworks_are_out_of_app() {
        let cases = [
            (
                "python",
                "",
                "",
                "/opt/venv/lib/python3.12/site-packages/django/core.py",
            ),
            (
                "php",
                "",
                "",
                "/srv/shop/vendor/laravel/framework/Kernel.php",
            ),
            ("go", "", "", "/root/go/pkg/mod/github.com/x/y.go"),
            (
                "node",
                "",
                "",
                "/srv/shop/node_modules/express/lib/router.js",
            ),
            ("javascript", "", "", "https://unpkg.com/react@18/react.js"),
            ("java", "org.springframework.web.Dispatcher", "doGet", ""),
            ("java", "kotlinx.coroutines.Task", "run", ""),
            ("native", "", "std::panicking::try", ""),
            ("dart", "", "", "package:flutter/src/widgets/framework.dart"),
        ];
        for (platform, module, function, path) in cases {
            let found = marked("", platform, &[frame(module, function, path, Some(true))]);
            assert!(
                found.in_app.is_empty(),
                "{platform} {module} {function} {path}"
            );
        }
        let own = marked(
            "",
            "python",
            &[frame("shop.views", "pay", "/srv/shop/views.py", Some(true))],
        );
        assert_eq!(own.in_app.count(), 1);
    }

    #[test]
    fn calls_within_a_library_fold_into_the_first() {
        let frames =
            ["main", "std::a", "std::b", "app::f", "std::c"].map(|name| frame("", name, "", None));

        assert_eq!(counting("", "native", &frames), [0, 1, 3, 4]);
    }

    #[test]
    fn thread_starts_and_what_follows_an_abort_do_not_count() {
        let names = [
            "boost::x",
            "_pthread_start",
            "app::run",
            "abort",
            "__pthread_kill",
        ];

        assert_eq!(
            counting("", "native", &names.map(|name| frame("", name, "", None))),
            [2]
        );
    }

    #[test]
    fn rules_of_the_project_win() {
        let frames = [frame("", "f", "/x/site-packages/y.py", Some(true))];

        assert_eq!(
            marked("path:**/y.py +app", "python", &frames)
                .in_app
                .count(),
            1
        );
        assert_eq!(counting("function:f -group", "python", &frames), [0; 0]);
    }

    #[test]
    fn neighbours_negation_and_absence_are_told_apart() {
        let names = ["a", "b", "c"].map(|name| frame("", name, "", None));

        assert_eq!(
            counting("[ function:a ] | function:b -group", "python", &names),
            [0, 2]
        );
        assert_eq!(
            counting("function:b | [ function:c ] -group", "python", &names),
            [0, 2]
        );
        assert_eq!(
            counting("[ !function:x ] | family:other -group", "python", &names),
            [0]
        );
        assert_eq!(counting("!module:* -group", "python", &names), [0; 0]);
        assert_eq!(
            counting(
                "function:<unknown> -group",
                "python",
                &[frame("", "", "/x", None)]
            ),
            [0; 0]
        );
        assert_eq!(counting("app:no -group", "python", &names), [0; 0]);
        assert_eq!(counting("category:* -group", "python", &names), [0, 1, 2]);
    }

    #[test]
    fn limits_keep_the_frames_next_to_the_crash() {
        let names = ["a", "b", "c"].map(|name| frame("", name, "", None));

        assert_eq!(
            counting("function:a max-frames=2", "python", &names),
            [1, 2]
        );
        assert_eq!(
            counting("function:a max-frames=0", "python", &names),
            [0, 1, 2]
        );
        let updates = marked("function:a min-frames=3", "python", &names);
        assert_eq!(
            (
                updates.is_too_short(0),
                updates.is_too_short(2),
                updates.is_too_short(3)
            ),
            (None, Some(3), None)
        );
    }

    #[test]
    fn exception_matchers_read_unknown_for_what_is_missing() {
        let models = [frame("", "a", "", None)];
        let frames = frames_of("python", &models);
        let rules = Rules::parse("error.type:<unknown> error.value:b* -group").unwrap();
        let texts = ExceptionTexts {
            value: Some("broken"),
            ..ExceptionTexts::default()
        };

        let mut all = FrameSet::from_fn(1, |_| true);
        Updates::of(&frames, texts, &[&rules]).apply(&mut all);

        assert!(all.is_empty());
    }

    proptest! {
        /// The end result of going frame by frame, as Sentry does.
        #[test]
        fn flags_end_as_if_set_frame_by_frame(
            matched in prop::collection::vec(any::<bool>(), 1..150),
            start in any::<bool>(),
            actions in prop::collection::vec((any::<bool>(), 0..3), 1..4),
        ) {
            let len = matched.len();
            let range = |number| [Range::Own, Range::Up, Range::Down][number as usize];
            let actions: Vec<Action> = actions
                .iter()
                .map(|(value, number)| Action::Flag { flag: Flag::Group, value: *value, range: range(*number) })
                .collect();

            let mut slow = vec![start; len];
            for at in (0..len).filter(|at| matched[*at]) {
                for action in &actions {
                    let Action::Flag { value, range, .. } = action else { continue };
                    match range {
                        Range::Own => slow[at] = *value,
                        Range::Up => slow[at + 1..].fill(*value),
                        Range::Down => slow[..at].fill(*value),
                    }
                }
            }
            let mut fast = FrameSet::from_fn(len, |_| start);
            let set = FrameSet::from_fn(len, |at| matched[at]);
            if !set.is_empty() {
                apply_flags(&actions, Flag::Group, &set, &mut fast);
            }

            prop_assert_eq!(fast, FrameSet::from_fn(len, |at| slow[at]));
        }
    }

    fn frame(
        module: &str,
        function: &str,
        path: &str,
        in_app: Option<bool>,
    ) -> model::Frame<'static> {
        let text = |text: &str| Some(text.to_owned().into());
        model::Frame {
            module: text(module),
            function: text(function),
            abs_path: text(path),
            in_app,
            ..model::Frame::default()
        }
    }

    fn frames_of<'e>(platform: &'e str, frames: &'e [model::Frame<'e>]) -> Vec<Frame<'e>> {
        frames
            .iter()
            .map(|frame| Frame::new(frame, platform))
            .collect()
    }

    fn marked(rules: &str, platform: &str, frames: &[model::Frame<'_>]) -> Updates<'static> {
        let rules: &'static Rules = Box::leak(Box::new(Rules::parse(rules).unwrap()));
        Updates::of(
            &frames_of(platform, frames),
            ExceptionTexts::default(),
            &[Rules::built_in(), rules],
        )
    }

    fn counting(rules: &str, platform: &str, frames: &[model::Frame<'_>]) -> Vec<usize> {
        let mut counting = FrameSet::from_fn(frames.len(), |_| true);
        marked(rules, platform, frames).apply(&mut counting);
        counting.iter().collect()
    }
}

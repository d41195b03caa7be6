//! One enhancement rule: which frames it is about and what it does to them.
//!
//! Source: <https://docs.sentry.io/concepts/data-management/event-grouping/stack-trace-rules/>.

use crate::glob::Glob;
use crate::platform::Families;

/// `matchers actions`, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The rule as written, without surrounding blanks.
    pub(crate) text: Box<str>,
    /// Families its frame can belong to, from all `family:` matchers that are not negated.
    pub(crate) families: Families,
    /// What must hold for the exception.
    pub(crate) exception: Vec<ExceptionMatcher>,
    /// What must hold for the frame or its neighbours.
    pub(crate) frame: Vec<FrameMatcher>,
    /// What is done then.
    pub(crate) actions: Vec<Action>,
}

impl Rule {
    /// Returns whether the rule changes frames before grouping: their category or whether they are in app.
    pub(crate) fn is_modifier(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::Category(_) => true,
            Action::Flag { flag, .. } => *flag == Flag::App,
            Action::MaxFrames(_) | Action::MinFrames(_) => false,
        })
    }

    /// Returns whether the rule decides which frames count.
    pub(crate) fn is_updater(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::Category(_) => false,
            Action::Flag { flag, .. } => *flag == Flag::Group,
            Action::MaxFrames(_) | Action::MinFrames(_) => true,
        })
    }
}

/// What must hold for the exception that a stack belongs to.
#[derive(Debug, Clone)]
pub(crate) struct ExceptionMatcher {
    /// Whether it must not hold.
    pub(crate) is_negated: bool,
    /// Which text is looked at; a missing one reads `<unknown>`.
    pub(crate) field: ExceptionField,
    /// What it must look like.
    pub(crate) glob: Glob,
}

/// A text of an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExceptionField {
    /// `error.type`
    Type,
    /// `error.value`
    Value,
    /// `error.mechanism`
    Mechanism,
}

/// What must hold for a frame, its caller or its callee.
#[derive(Debug, Clone)]
pub(crate) struct FrameMatcher {
    /// Whether it must not hold.
    pub(crate) is_negated: bool,
    /// Whose frame is looked at.
    pub(crate) whose: Whose,
    /// What is looked at.
    pub(crate) test: FrameTest,
}

/// Whose frame a matcher looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The frame's own.
    Own,
    /// That of the frame before, towards the thread's base.
    Caller,
    /// That of the frame after, towards the crash.
    Callee,
}

/// What is looked at in a frame.
#[derive(Debug, Clone)]
pub(crate) enum FrameTest {
    /// A field that never changes, by its number in [`super::Patterns`].
    Field(usize),
    /// The category that earlier rules gave it.
    Category(Glob),
    /// Its family.
    Family(Families),
    /// Whether it is in app by now; unknown counts as not.
    InApp(bool),
}

/// A field of a frame that rules look at and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `module`
    Module,
    /// `function`; a missing one reads `<unknown>`.
    Function,
    /// `path`: the absolute path, else the file name.
    Path,
    /// `package`
    Package,
}

impl Field {
    /// Every field, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Module, Self::Function, Self::Path, Self::Package];
}

/// What a rule does to a frame.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// `category=x`
    Category(Box<str>),
    /// `+app`, `^-group` and so on.
    Flag {
        /// Which flag.
        flag: Flag,
        /// What it becomes.
        value: bool,
        /// Of which frames.
        range: Range,
    },
    /// `max-frames=n`: only the last n counting frames count.
    MaxFrames(usize),
    /// `min-frames=n`: with fewer counting frames the stack does not count.
    MinFrames(usize),
}

/// A flag of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Whether it is in app.
    App,
    /// Whether it counts.
    Group,
}

/// Which frames an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// The matching frame.
    Own,
    /// `^`: all frames after it, towards the crash.
    Up,
    /// `v`: all frames before it, towards the thread's base.
    Down,
}

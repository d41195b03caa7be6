//! What can be wrong with a project's own rules.

use thiserror::Error;

/// Everything that is wrong with a text of rules, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.0))]
pub struct RuleErrors(pub Vec<RuleError>);

/// One line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct RuleError {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// Why a line is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleProblem {
    /// The line has no matcher at its start.
    #[error("no matcher such as `function:main` at the start")]
    NoMatcher,
    /// An enhancement rule has no action at its end.
    #[error("no action such as `-app` at the end")]
    NoAction,
    /// A fingerprint rule has no `->`.
    #[error("no `->` between matchers and fingerprint")]
    NoArrow,
    /// A fingerprint rule has nothing after `->`.
    #[error("no fingerprint after `->`")]
    NoFingerprint,
    /// The key of a matcher is not known.
    #[error("unknown matcher `{0}`")]
    UnknownMatcher(String),
    /// The text is neither a matcher nor an action.
    #[error("`{0}` is neither a matcher nor an action")]
    UnknownAction(String),
    /// The value of a matcher or an action is not one it takes.
    #[error("`{value}` is not a value of `{key}`")]
    InvalidValue {
        /// The matcher or action.
        key: String,
        /// What was given.
        value: String,
    },
    /// The pattern does not compile.
    #[error("the pattern `{pattern}` does not work: {reason}")]
    InvalidPattern {
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A matcher of a neighbour is not written `[ … ] |` or `| [ … ]`.
    #[error("a matcher of the caller is written `[ … ] |`, one of the callee `| [ … ]`")]
    InvalidNeighbour,
    /// A quoted text has no end.
    #[error("a quote does not close")]
    OpenQuote,
}

impl RuleProblem {
    /// Names the line that has the problem.
    pub(crate) fn on(self, line: usize) -> RuleError {
        RuleError {
            line,
            problem: self,
        }
    }
}

fn lines(errors: &[RuleError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

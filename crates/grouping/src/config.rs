//! What grouping is configured with: the built-in rules, and the project's own, which come after them and win.

use std::sync::Arc;

use crate::enhance::Rules;
use crate::error::RuleErrors;
use crate::fingerprint::{self, FingerprintRule};

/// The rules events are grouped by; `default()` is the built-in rules only. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Config {
    enhancements: Option<Arc<Rules>>,
    fingerprints: Arc<[FingerprintRule]>,
    /// The project's rules as they were written.
    written: Vec<Arc<str>>,
}

impl Config {
    /// Adds the project's enhancement rules: one a line, `family:native function:log_* -app`, `#` starts a comment.
    ///
    /// Source: <https://docs.sentry.io/concepts/data-management/event-grouping/stack-trace-rules/>.
    ///
    /// # Errors
    /// Every line that is no rule, with its number.
    pub fn with_enhancements(mut self, text: &str) -> Result<Self, RuleErrors> {
        self.enhancements = Some(Arc::new(Rules::parse(text)?));
        self.written.push(text.into());
        Ok(self)
    }

    /// Adds the project's fingerprint rules: one a line, `error.type:Timeout -> timeout title="A timeout"`.
    ///
    /// Source: <https://docs.sentry.io/concepts/data-management/event-grouping/fingerprint-rules/>.
    ///
    /// # Errors
    /// Every line that is no rule, with its number.
    pub fn with_fingerprints(mut self, text: &str) -> Result<Self, RuleErrors> {
        self.written.push(text.into());
        Ok(self.with_fingerprint_rules(fingerprint::parse(text)?))
    }

    /// Adds fingerprint rules that are compiled already.
    pub fn with_fingerprint_rules(
        mut self,
        rules: impl IntoIterator<Item = FingerprintRule>,
    ) -> Self {
        self.fingerprints = rules.into_iter().collect();
        self
    }

    /// Returns whether both hold the same rules, as texts.
    pub fn is_written_as(&self, other: &Self) -> bool {
        self.written == other.written
    }

    /// Returns the enhancement rules, the later ones winning.
    pub(crate) fn enhancements(&self) -> Vec<&Rules> {
        let project = self.enhancements.as_deref();
        std::iter::once(Rules::built_in()).chain(project).collect()
    }

    /// Returns whether rules of the project may read an exception's message, or what is not in its stack.
    pub(crate) fn reads_messages(&self) -> bool {
        let rules = self.enhancements.as_ref();
        !self.fingerprints.is_empty() || rules.is_some_and(|rules| rules.read_messages())
    }

    /// Returns the project's fingerprint rules, the first match winning.
    pub(crate) fn fingerprint_rules(&self) -> &[FingerprintRule] {
        &self.fingerprints
    }
}

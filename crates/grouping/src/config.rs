//! What grouping is configured with: nothing but the built-in rules, so far.

/// The rules events are grouped by; `default()` is the built-in rules only.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {}

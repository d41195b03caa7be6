//! Which events are the same issue, as Sentry decides it (config `newstyle:2026-01-20`).
//!
//! Pure: no I/O, no clock. [`group`] gives the hashes of an event; two events that share any hash are one issue.
//! [`explain`] gives the same as a tree that says of every part whether it counts and why not; [`Grouper`] remembers the
//! last groups (`recent`).
//!
//! The way of an event, top-down: `stack` normalises frames (`frame`, `function`) and lets rules mark them (`enhance`);
//! `strategy` builds a tree of values (`component`) from exceptions, threads, stack, template, security report or
//! message, with what varies in messages replaced (`parameterize`); `fingerprint` may add to it or replace it;
//! `evaluation` turns what counts into hashes (`hash`).

mod coarse;
mod component;
mod config;
mod enhance;
mod error;
mod evaluation;
mod explain;
mod fingerprint;
mod frame;
mod function;
mod glob;
mod hash;
mod parameterize;
mod platform;
mod recent;
mod stack;
mod strategy;

use event::model::Event;

pub use coarse::CoarseReason;
pub use config::Config;
pub use error::{RuleError, RuleErrors, RuleProblem};
pub use explain::{Explanation, Method, Node, Variant};
pub use fingerprint::FingerprintRule;
pub use recent::Grouper;

use evaluation::Evaluation;
use stack::Prepared;
use strategy::Depth;

/// The issue an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Hashes of 32 lower-case hex digits, the primary one first, never empty; any known one is the same issue.
    pub hashes: Vec<String>,
    /// What the issue is called, such as `ZeroDivisionError: division by zero`.
    pub title: String,
    /// Where it happened, such as `shop.views in checkout`; empty when unknown.
    pub culprit: String,
    /// The crash frame's file, or what a security report is about; `None` for messages and where nothing is known.
    pub location: Option<String>,
    /// Where the crash frame stands in [`event::title::crash_stack`], when the rules have said which frames are in app.
    pub crash_frame: Option<usize>,
    /// Which of the event's exceptions it is named after; `None` when it has none.
    pub main_exception: Option<usize>,
    /// Why the event could be grouped only coarsely; `None` when the hashes are those Sentry computes.
    pub coarse: Option<CoarseReason>,
}

impl Group {
    /// Returns whether Sentry may split this group further.
    pub fn is_coarse(&self) -> bool {
        self.coarse.is_some()
    }
}

/// Returns the group of an event: the same hashes that Sentry computes from the same event.
pub fn group(event: &Event<'_>, config: &Config) -> Group {
    let prepared = Prepared::new(event, config);
    Evaluation::new(&prepared, config, Depth::Hashes).group()
}

/// Explains the group of an event; costs several times as much as [`group`].
pub fn explain(event: &Event<'_>, config: &Config) -> Explanation {
    let prepared = Prepared::new(event, config);
    Evaluation::new(&prepared, config, Depth::Everything).explain()
}

/// Returns a message with everything replaced that differs from event to event, as messages are compared.
///
/// Numbers, dates, ids and addresses become `<int>`, `<date>` and so on; of several lines the first two stay.
pub fn normalize_message(message: &str) -> std::borrow::Cow<'_, str> {
    parameterize::normalize_message(message)
}

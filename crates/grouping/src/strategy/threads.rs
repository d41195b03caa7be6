//! Groups by the stack of the thread that crashed, else the current one, else the only one.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/newstyle.py`, `threads`.

use crate::component::Component;
use crate::stack::Prepared;

use super::{Depth, Findings, stacktrace};

/// Looks at the thread that matters.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, depth: Depth) -> Findings<'p> {
    let mut findings = stacktrace::of_stack(prepared.thread.as_ref(), depth);
    for (_, component) in &mut findings.variants {
        let stack = std::mem::replace(component, Component::empty("threads"));
        let hint = (!stack.contributes).then(|| stack.hint.clone()).flatten();
        component.contributes = stack.contributes;
        component.hint = hint;
        component.content = crate::component::Content::Children(vec![stack]);
    }
    findings
}

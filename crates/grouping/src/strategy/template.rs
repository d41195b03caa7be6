//! Groups by the template that failed to render: its file and its line.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/template.py`.

use crate::component::Component;
use crate::stack::Prepared;

use super::{Depth, Findings, VariantKind};

/// Looks at the event's template.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, _: Depth) -> Findings<'p> {
    let Some(template) = &prepared.event.template else {
        return Findings::default();
    };
    let filename = Component::optional("filename", template.filename.as_deref());
    let context_line = Component::optional("context-line", template.context_line.as_deref());
    let component = Component::group("template", vec![filename, context_line]);
    vec![(VariantKind::Default, component)].into()
}

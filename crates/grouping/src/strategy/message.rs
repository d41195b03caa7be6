//! Groups by the message: its template if the SDK sent one, else the finished text, parameterised.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/message.py`.

use std::borrow::Cow;

use crate::component::Component;
use crate::parameterize::normalize_message;
use crate::stack::Prepared;

use super::{Depth, Findings, VariantKind};

/// Looks at the event's message.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, _: Depth) -> Findings<'p> {
    let entry = prepared.event.logentry.as_ref();
    let texts = entry.map(|entry| [entry.message.as_deref(), entry.formatted.as_deref()]);
    let text = texts.and_then(|texts| texts.into_iter().flatten().find(|text| !text.is_empty()));
    let Some(text) = text else {
        return Findings::default();
    };
    let component = match normalize_message(text) {
        Cow::Borrowed(text) => Component::value("message", text),
        Cow::Owned(text) => {
            Component::value("message", text).hinted("replaced what differs between events")
        }
    };
    vec![(VariantKind::Default, component)].into()
}

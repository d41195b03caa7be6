//! Groups by exceptions: type, then what the message or the stack says, for each of a chain.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/newstyle.py`, `single_exception` and `chained_exception`.

use std::borrow::Cow;

use event::model::{Exception, Mechanism};

use crate::component::{Component, STACKTRACE};
use crate::parameterize::normalize_message;
use crate::stack::{Prepared, Stack};

use super::{Depth, Findings, Variant, VariantKind, exception_group, settle_variants, stacktrace};

/// Looks at the event's exceptions.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, depth: Depth) -> Findings<'p> {
    let exceptions = &prepared.event.exceptions;
    // In a chain, each variant wants the stacks of all.
    let depth_of_stacks = match exceptions.len() {
        1 => depth,
        _ => Depth::Everything,
    };
    let mut singles: Vec<Vec<Variant<'p>>> = exceptions
        .iter()
        .zip(&prepared.exceptions)
        .map(|(exception, stack)| {
            let stacks = stacks(stack.as_ref(), depth_of_stacks);
            single(exception, stacks, depth)
        })
        .collect();
    let chosen = exception_group::choose(prepared, &singles);
    let mut variants = match &*chosen.members {
        [] => Vec::new(),
        [only] => std::mem::take(&mut singles[*only]),
        members => chain(members, &mut singles),
    };
    settle_variants(&mut variants);
    Findings {
        variants,
        main_exception: chosen.main,
    }
}

/// Returns the variants of one exception with its stack.
pub(super) fn single<'p>(
    exception: &'p Exception<'_>,
    stacks: Vec<Variant<'p>>,
    depth: Depth,
) -> Vec<Variant<'p>> {
    let with_rest = |(kind, stack): Variant<'p>| (kind, component(exception, stack, depth));
    stacks.into_iter().map(with_rest).collect()
}

/// Returns the variants of an exception's stack; an exception without one has a variant all the same.
pub(super) fn stacks<'p>(stack: Option<&'p Stack<'_>>, depth: Depth) -> Vec<Variant<'p>> {
    match stack {
        Some(stack) => stacktrace::components(stack, depth),
        None => vec![(VariantKind::App, Component::empty(STACKTRACE))],
    }
}

fn component<'p>(
    exception: &'p Exception<'_>,
    stack: Component<'p>,
    depth: Depth,
) -> Component<'p> {
    let ns_error = ns_error(&exception.mechanism);
    let value = match depth {
        // It will not count, and making it comparable takes as long as a stack does.
        Depth::Hashes if stack.contributes || ns_error.contributes => Component::empty("value"),
        Depth::Hashes | Depth::Everything => {
            let mut value = value(exception);
            if value.contributes && stack.contributes {
                value.ignore("ignored because the stack takes precedence");
            }
            if value.contributes && ns_error.contributes {
                value.ignore("ignored because the ns-error takes precedence");
            }
            value
        }
    };
    Component::group("exception", vec![ty(exception), value, ns_error, stack])
}

fn ty<'p>(exception: &'p Exception<'_>) -> Component<'p> {
    let ty = exception.ty.as_deref().filter(|ty| !ty.is_empty());
    let component = Component::optional("type", ty);
    match exception.mechanism.synthetic {
        true => component.ignored("ignored because the exception is synthetic"),
        false => component,
    }
}

fn value<'p>(exception: &'p Exception<'_>) -> Component<'p> {
    let Some(raw) = exception.value.as_deref().filter(|value| !value.is_empty()) else {
        return Component::empty("value");
    };
    match normalize_message(raw) {
        Cow::Borrowed(value) => Component::value("value", value),
        Cow::Owned(value) => {
            Component::value("value", value).hinted("replaced what differs between events")
        }
    }
}

fn ns_error<'p>(mechanism: &'p Mechanism<'_>) -> Component<'p> {
    let Some((domain, code)) = &mechanism.ns_error else {
        return Component::empty("ns-error");
    };
    let domain = Component::optional("domain", domain.as_deref());
    let code = Component::optional("code", code.map(|code| code.to_string()));
    Component::group("ns-error", vec![domain, code])
}

/// Each exception brings its own stack; one without a stack is missing from the system variant.
fn chain<'p>(members: &[usize], singles: &mut [Vec<Variant<'p>>]) -> Vec<Variant<'p>> {
    let mut by_kind: [(VariantKind, Vec<Component<'p>>); 2] = [
        (VariantKind::App, Vec::new()),
        (VariantKind::System, Vec::new()),
    ];
    for member in members {
        for (kind, component) in std::mem::take(&mut singles[*member]) {
            if let Some((_, components)) = by_kind.iter_mut().find(|(known, _)| *known == kind) {
                components.push(component);
            }
        }
    }
    by_kind
        .into_iter()
        .filter(|(_, components)| !components.is_empty())
        .map(|(kind, components)| (kind, Component::group("chained-exception", components)))
        .collect()
}

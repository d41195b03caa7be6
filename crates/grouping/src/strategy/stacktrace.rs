//! Groups by the event's own stack; also the component of any stack.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/newstyle.py`, `stacktrace`, and `enhancer/__init__.py`.

use std::borrow::Cow;

use crate::component::{Component, Content, STACKTRACE};
use crate::enhance::FrameSet;
use crate::frame::{self, is_url_or_file};
use crate::platform::Family;
use crate::stack::{Prepared, Stack};

use super::{Depth, Findings, Variant, VariantKind, settle_variants};

/// Looks at the event's own stack.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, depth: Depth) -> Findings<'p> {
    of_stack(prepared.stacktrace.as_ref(), depth)
}

/// Returns the variants of a stack that is not an exception's, as [`components`] does.
pub(super) fn of_stack<'p>(stack: Option<&'p Stack<'_>>, depth: Depth) -> Findings<'p> {
    let variants = stack.map(|stack| components(stack, depth));
    let mut variants: Vec<Variant<'p>> = variants.unwrap_or_default();
    settle_variants(&mut variants);
    variants.into()
}

/// Returns the stack's component in both variants; at [`Depth::Hashes`] in one, if both would be the same.
pub(super) fn components<'p>(stack: &'p Stack<'_>, depth: Depth) -> Vec<Variant<'p>> {
    if let Some(reason) = stack.coarse {
        let hint = format!(
            "ignored because its names are not restored: {}",
            reason.as_str()
        );
        let mut component = Component::empty(STACKTRACE);
        component.ignore(hint);
        return vec![(VariantKind::App, component)];
    }
    let system = frames(stack);
    if depth == Depth::Hashes && (0..system.len()).all(|at| stack.is_in_app(at)) {
        return vec![(VariantKind::App, assemble(system, stack, VariantKind::App))];
    }
    let mut app = system.clone();
    for (_, frame) in app
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| !stack.is_in_app(*at))
    {
        frame.ignore("non app frame");
    }
    vec![
        (VariantKind::App, assemble(app, stack, VariantKind::App)),
        (
            VariantKind::System,
            assemble(system, stack, VariantKind::System),
        ),
    ]
}

fn frames<'p>(stack: &'p Stack<'_>) -> Vec<Component<'p>> {
    let mut previous = None;
    let component = |frame| {
        let component = frame::component::component(frame, previous);
        previous = Some(frame);
        component
    };
    let mut components: Vec<Component<'p>> = stack.frames.iter().map(component).collect();
    ignore_sole_javascript_frame(stack, &mut components);
    components
}

/// A script that says neither function nor URL has nothing to compare but its file name.
fn ignore_sole_javascript_frame(stack: &Stack<'_>, components: &mut [Component<'_>]) {
    let ([frame], [component]) = (&*stack.frames, components) else {
        return;
    };
    let has_url = frame.abs_path.is_some_and(is_url_or_file);
    if component.contributes
        && frame.family == Family::JavaScript
        && frame.function.is_none()
        && !has_url
    {
        component.ignore("ignored single non-URL JavaScript frame");
    }
}

/// Lets the enhancement rules decide which frames count; a frame out of app never does in the app variant.
fn assemble<'p>(
    mut frames: Vec<Component<'p>>,
    stack: &Stack<'_>,
    kind: VariantKind,
) -> Component<'p> {
    let mut counting = FrameSet::from_fn(frames.len(), |at| frames[at].contributes);
    let reasons = stack.updates.apply(&mut counting);
    if kind == VariantKind::App {
        counting.keep(&stack.updates.in_app);
    }
    for (at, reason) in reasons {
        let is_out = kind == VariantKind::App && !stack.is_in_app(at);
        if let (false, Some(frame)) = (is_out, frames.get_mut(at)) {
            frame.hint = Some(reason.hint());
        }
    }
    for (at, frame) in frames.iter_mut().enumerate() {
        frame.contributes = counting.contains(at);
    }
    let mut component = Component::empty(STACKTRACE);
    component.contributes = !counting.is_empty();
    component.content = Content::Children(frames);
    if let Some(limit) = stack.updates.is_too_short(counting.count()) {
        component.ignore(Cow::Owned(format!(
            "ignored because fewer than {limit} frames count"
        )));
    }
    component
}

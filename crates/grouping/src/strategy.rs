//! What an event can be grouped by, the best first; the first strategy that finds something wins.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/base.py` and `api.py`.

mod exception;
mod exception_group;
mod message;
mod security;
mod stacktrace;
mod template;
mod threads;

use crate::component::Component;
use crate::stack::Prepared;

/// A way of looking at an event; each gives one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariantKind {
    /// Only frames in app count.
    App,
    /// All frames count.
    System,
    /// There are no frames.
    Default,
}

impl VariantKind {
    /// Returns Sentry's name of the variant.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::System => "system",
            Self::Default => "default",
        }
    }
}

/// A variant's tree, of one strategy.
pub(crate) type Variant<'p> = (VariantKind, Component<'p>);

/// What a strategy found.
#[derive(Default)]
pub(crate) struct Findings<'p> {
    /// At most one tree per variant.
    pub(crate) variants: Vec<Variant<'p>>,
    /// The exception that stands for the event, when it is not the last one.
    pub(crate) main_exception: Option<usize>,
}

impl<'p> Findings<'p> {
    fn contributes(&self) -> bool {
        self.variants
            .iter()
            .any(|(_, component)| component.contributes)
    }
}

impl<'p> From<Vec<Variant<'p>>> for Findings<'p> {
    fn from(variants: Vec<Variant<'p>>) -> Self {
        Self {
            variants,
            main_exception: None,
        }
    }
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What the hashes need.
    Hashes,
    /// Also what does not count, to explain why.
    Everything,
}

/// Runs the strategies until one finds something; at [`Depth::Everything`] the others too, none of which counts.
pub(crate) fn run<'p>(prepared: &'p Prepared<'_>, depth: Depth) -> Findings<'p> {
    let mut found = Findings::default();
    let mut winner = None;
    for (name, strategy) in STRATEGIES {
        let mut findings = strategy(prepared, depth);
        match winner {
            Some(winner) => yield_to(winner, &mut findings),
            None if findings.contributes() => winner = Some(name),
            None => (),
        }
        found.main_exception = found.main_exception.or(findings.main_exception);
        found.variants.append(&mut findings.variants);
        if winner.is_some() && depth == Depth::Hashes {
            break;
        }
    }
    found
}

fn yield_to(winner: &'static str, findings: &mut Findings<'_>) {
    let counting = findings
        .variants
        .iter_mut()
        .filter(|(_, component)| component.contributes);
    counting.for_each(|(_, component)| {
        component.ignore(format!("ignored because {winner} takes precedence"))
    });
}

/// Sorts out the variants of a strategy that looks at frames.
///
/// With a stack in only one variant the other is off; a system variant equal to the app variant is off.
fn settle_variants(variants: &mut [Variant<'_>]) {
    let is_repeated = repeats_app(variants);
    let has_stack: Vec<bool> = variants
        .iter()
        .map(|(_, component)| component.has_stacktrace())
        .collect();
    let is_any = has_stack.contains(&true);
    for ((kind, component), has_stack) in variants.iter_mut().zip(has_stack) {
        if !component.contributes {
            continue;
        }
        if is_any && !has_stack {
            component.ignore(
                "ignored because this variant has no stack that counts, but the other does",
            );
        } else if *kind == VariantKind::System && is_repeated {
            component.ignore("ignored because its hash is that of the app variant");
        }
    }
}

/// Returns whether the app variant and the system variant both count, with the same hash.
fn repeats_app(variants: &[Variant<'_>]) -> bool {
    let counting = |wanted| {
        let mut found = variants.iter().filter(|(kind, _)| *kind == wanted);
        found.find_map(|(_, component)| component.contributes.then_some(component))
    };
    match (counting(VariantKind::App), counting(VariantKind::System)) {
        (Some(app), Some(system)) => app.has_hash_of(system),
        _ => false,
    }
}

type Strategy = for<'p> fn(&'p Prepared<'_>, Depth) -> Findings<'p>;

/// By priority: 2000, 1900, 1800, 1100, 1003 and below, 0.
const STRATEGIES: [(&str, Strategy); 6] = [
    ("exception", exception::strategy),
    ("threads", threads::strategy),
    ("stacktrace", stacktrace::strategy),
    ("template", template::strategy),
    ("security report", security::strategy),
    ("message", message::strategy),
];

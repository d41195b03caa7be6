//! The explanation of a group, for people: every part of the event, whether it counts, and if not why.

use std::fmt;

use crate::coarse::CoarseReason;
use crate::component::{Component, Content};

/// Why an event has the hashes it has; `Display` gives an indented tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What decided.
    pub method: Method,
    /// The fingerprint in words; `None` when there is none.
    pub fingerprint: Option<String>,
    /// Why frames were not looked at.
    pub coarse: Option<CoarseReason>,
    /// The hashes, the primary one first.
    pub hashes: Vec<String>,
    /// The ways of looking at the event.
    pub variants: Vec<Variant>,
}

/// What decided the hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// What the event contains.
    Components,
    /// What the event contains, together with a fingerprint.
    HybridFingerprint,
    /// A fingerprint alone.
    CustomFingerprint,
    /// The event's checksum.
    Checksum,
    /// Nothing: the event has nothing to group by.
    Fallback,
}

impl Method {
    /// Returns the method's name, one of a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Components => "components",
            Self::HybridFingerprint => "hybrid_fingerprint",
            Self::CustomFingerprint => "custom_fingerprint",
            Self::Checksum => "checksum",
            Self::Fallback => "fallback",
        }
    }
}

/// One way of looking at the event: frames in app only, all frames, or no frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// `app`, `system` or `default`.
    pub name: &'static str,
    /// Its hash; `None` when it does not count.
    pub hash: Option<String>,
    /// Why it does not count as a whole.
    pub hint: Option<&'static str>,
    /// What it is made of.
    pub nodes: Vec<Node>,
}

impl Variant {
    pub(crate) fn new(
        name: &'static str,
        hash: Option<String>,
        hint: Option<&'static str>,
        components: &[&Component<'_>],
    ) -> Self {
        let nodes = components
            .iter()
            .map(|component| Node::of(component))
            .collect();
        Self {
            name,
            hash,
            hint,
            nodes,
        }
    }
}

/// One part of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Such as `exception`, `frame`, `function`.
    pub id: &'static str,
    /// Whether it counts, if what is above it does.
    pub contributes: bool,
    /// Why it does not count, or how it was changed.
    pub hint: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// What it is made of.
    pub children: Vec<Node>,
}

impl Node {
    fn of(component: &Component<'_>) -> Self {
        let (value, children) = match &component.content {
            Content::Empty => (None, Vec::new()),
            Content::Value(value) => (Some(value.to_string()), Vec::new()),
            Content::Children(children) => (None, children.iter().map(Self::of).collect()),
        };
        Self {
            id: component.id,
            contributes: component.contributes,
            hint: component.hint.as_deref().map(str::to_owned),
            value,
            children,
        }
    }

    fn is_bare(&self) -> bool {
        self.value.is_none() && self.children.is_empty() && self.hint.is_none()
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if self.is_bare() {
            return Ok(());
        }
        let mark = if self.contributes { '+' } else { '-' };
        write!(
            formatter,
            "{:indent$}{mark} {}",
            "",
            self.id,
            indent = depth * 2
        )?;
        if let Some(value) = &self.value {
            write!(formatter, " {value:?}")?;
        }
        if let Some(hint) = &self.hint {
            write!(formatter, " ({hint})")?;
        }
        writeln!(formatter)?;
        self.children
            .iter()
            .try_for_each(|child| child.write(formatter, depth + 1))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "grouped by {}", self.method.as_str())?;
        if let Some(fingerprint) = &self.fingerprint {
            writeln!(formatter, "fingerprint {fingerprint}")?;
        }
        if let Some(reason) = self.coarse {
            writeln!(formatter, "coarse: {}", reason.as_str())?;
        }
        for variant in &self.variants {
            write!(
                formatter,
                "{} {}",
                variant.name,
                variant.hash.as_deref().unwrap_or("-")
            )?;
            if let Some(hint) = variant.hint {
                write!(formatter, " ({hint})")?;
            }
            writeln!(formatter)?;
            variant
                .nodes
                .iter()
                .try_for_each(|node| node.write(formatter, 1))?;
        }
        Ok(())
    }
}

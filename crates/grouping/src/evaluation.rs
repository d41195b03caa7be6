//! Everything grouping finds out about one event: what the strategies found, the fingerprint, and the hashes.
//!
//! Source: Sentry, `src/sentry/grouping/api.py` and `variants.py`.

use crate::Group;
use crate::component::Component;
use crate::config::Config;
use crate::explain::{Explanation, Method, Variant};
use crate::fingerprint::{Fingerprint, Kind, Origin, expand_title};
use crate::hash::{Hasher, hash};
use crate::stack::Prepared;
use crate::strategy::{self, Depth, Findings, VariantKind};

/// What is known about an event.
pub(crate) struct Evaluation<'p> {
    prepared: &'p Prepared<'p>,
    findings: Findings<'p>,
    fingerprint: Fingerprint<'p>,
}

impl<'p> Evaluation<'p> {
    /// Looks at an event.
    pub(crate) fn new(prepared: &'p Prepared<'p>, config: &'p Config, depth: Depth) -> Self {
        Self {
            prepared,
            findings: strategy::run(prepared, depth),
            fingerprint: Fingerprint::of(prepared, config),
        }
    }

    /// Returns the event's group.
    pub(crate) fn group(&self) -> Group {
        let (_, hashes) = self.hashes();
        Group {
            hashes,
            title: self.title(),
            culprit: event::title::culprit(self.prepared.event),
            coarse: self.prepared.coarse().filter(|_| self.uses_frames()),
        }
    }

    /// Returns the tree of what counts and why not.
    pub(crate) fn explain(&self) -> Explanation {
        let (method, hashes) = self.hashes();
        let hint = match method {
            Method::Checksum => Some("ignored because the event has a checksum"),
            Method::CustomFingerprint => Some("ignored because the fingerprint takes precedence"),
            Method::Components | Method::HybridFingerprint | Method::Fallback => None,
        };
        let kinds = [VariantKind::App, VariantKind::Default, VariantKind::System];
        let variants = kinds.into_iter().filter_map(|kind| {
            let components: Vec<&Component<'_>> = self.of_kind(kind).collect();
            let hash = self.hash_of(kind).filter(|_| hint.is_none());
            (!components.is_empty()).then(|| Variant::new(kind.as_str(), hash, hint, &components))
        });
        Explanation {
            method,
            fingerprint: self.fingerprint.describe(),
            coarse: self.prepared.coarse().filter(|_| self.uses_frames()),
            hashes,
            variants: variants.collect(),
        }
    }

    fn hashes(&self) -> (Method, Vec<String>) {
        if let Some(checksum) = self
            .prepared
            .event
            .checksum
            .as_deref()
            .filter(|text| !text.is_empty())
        {
            return (Method::Checksum, vec![checksum_hash(checksum)]);
        }
        let method = match self.fingerprint.kind() {
            Kind::Custom => {
                return (
                    Method::CustomFingerprint,
                    vec![self.fingerprint.hash_with(None)],
                );
            }
            Kind::Hybrid => Method::HybridFingerprint,
            Kind::Default => Method::Components,
        };
        let kinds = [VariantKind::App, VariantKind::Default, VariantKind::System];
        let hashes: Vec<String> = kinds
            .into_iter()
            .filter_map(|kind| self.hash_of(kind))
            .collect();
        match hashes.is_empty() {
            true => (Method::Fallback, vec![hash([])]),
            false => (method, hashes),
        }
    }

    fn hash_of(&self, kind: VariantKind) -> Option<String> {
        let component = self.of_kind(kind).find(|component| component.contributes)?;
        if self.fingerprint.kind() == Kind::Hybrid {
            return Some(self.fingerprint.hash_with(Some(component)));
        }
        let mut hasher = Hasher::default();
        component.feed(&mut hasher);
        Some(hasher.finish())
    }

    fn of_kind(&self, kind: VariantKind) -> impl Iterator<Item = &Component<'p>> {
        let is_kind = move |found: &&strategy::Variant<'p>| found.0 == kind;
        self.findings
            .variants
            .iter()
            .filter(is_kind)
            .map(|(_, component)| component)
    }

    /// A fingerprint or checksum that replaces what we find does not depend on how well frames can be read.
    fn uses_frames(&self) -> bool {
        self.prepared.event.checksum.is_none() && self.fingerprint.kind() != Kind::Custom
    }

    fn title(&self) -> String {
        let event = self.prepared.event;
        if let Origin::Rule(rule) = self.fingerprint.origin
            && let Some(template) = &rule.title
        {
            return expand_title(template, self.prepared);
        }
        let main = self
            .findings
            .main_exception
            .and_then(|place| event.exceptions.get(place));
        event::title::title_with(event, main.or(event::title::main_exception(event)))
    }
}

/// A checksum that looks like a hash is one; any other is hashed.
fn checksum_hash(checksum: &str) -> String {
    let is_hash = checksum.len() == 32
        && checksum
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match is_hash {
        true => checksum.to_owned(),
        false => hash([checksum]),
    }
}

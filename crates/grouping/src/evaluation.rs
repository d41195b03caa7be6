//! Everything grouping finds out about one event: what the strategies found, the fingerprint, and the hashes.
//!
//! Source: Sentry, `src/sentry/grouping/api.py` and `variants.py`.

use std::borrow::Cow;

use event::model::Event;
use event::title;

use crate::Group;
use crate::component::{Component, Content, STACKTRACE};
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
        let stored = self.prepared.as_stored();
        Group {
            hashes,
            title: self.title(&stored),
            culprit: title::culprit(&stored),
            location: title::location(&stored).map(Cow::into_owned),
            crash_frame: title::crash_frame_at(&stored),
            main_exception: self.main_exception(),
            coarse: self.prepared.coarse().filter(|_| self.uses_frames()),
        }
    }

    /// Returns whether the group of an event of one exception comes from its stack, so that its message does not count.
    pub(crate) fn is_by_stack(&self) -> bool {
        let variants = &self.findings.variants;
        let is_default = self.fingerprint.kind() == Kind::Default;
        let mut components = variants.iter().map(|(_, component)| component);
        is_default && !variants.is_empty() && components.all(has_counting_stack)
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

    fn title(&self, event: &Event<'_>) -> String {
        if let Origin::Rule(rule) = self.fingerprint.origin
            && let Some(template) = &rule.title
        {
            return expand_title(template, self.prepared);
        }
        let main = self.main_exception();
        title::title_with(event, main.and_then(|place| event.exceptions.get(place)))
    }

    fn main_exception(&self) -> Option<usize> {
        let last = self.prepared.event.exceptions.len().checked_sub(1);
        self.findings.main_exception.or(last)
    }
}

/// Returns whether a component is that of one exception whose stack counts, so that its value does not.
fn has_counting_stack(found: &Component<'_>) -> bool {
    let Content::Children(parts) = &found.content else {
        return false;
    };
    let mut counting = parts.iter().filter(|part| part.contributes);
    found.id == "exception" && counting.any(|part| part.id == STACKTRACE)
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

#[cfg(test)]
mod tests {
    use event::model::{Exception, Frame, LogEntry, Stacktrace};

    use crate::{CoarseReason, explain, group};

    use super::*;

    fn raised_in(function: &'static str, value: &'static str) -> Event<'static> {
        let frame = Frame {
            module: Some("shop.views".into()),
            function: Some(function.into()),
            in_app: Some(true),
            ..Frame::default()
        };
        let exception = Exception {
            ty: Some("ValueError".into()),
            value: Some(value.into()),
            stacktrace: Some(Stacktrace {
                frames: vec![frame],
            }),
            ..Exception::default()
        };
        Event {
            exceptions: vec![exception],
            platform: "python".into(),
            ..Event::default()
        }
    }

    fn hashes(event: &Event<'_>) -> Vec<String> {
        group(event, &Config::default()).hashes
    }

    #[test]
    fn an_event_without_content_gets_the_fallback_hash() {
        assert_eq!(
            hashes(&Event::default()),
            ["d41d8cd98f00b204e9800998ecf8427e"]
        );
        assert_eq!(
            explain(&Event::default(), &Config::default()).method,
            Method::Fallback
        );
    }

    #[test]
    fn a_checksum_of_32_hex_digits_is_the_hash() {
        let event = |checksum: &'static str| Event {
            checksum: Some(checksum.into()),
            ..raised_in("pay", "a")
        };

        assert_eq!(
            hashes(&event("acbd18db4cc2f85cedef654fccc4a4d8")),
            ["acbd18db4cc2f85cedef654fccc4a4d8"]
        );
        assert_eq!(hashes(&event("foo")), ["acbd18db4cc2f85cedef654fccc4a4d8"]);
        assert_eq!(
            explain(&event("foo"), &Config::default()).method,
            Method::Checksum
        );
    }

    #[test]
    fn a_fingerprint_replaces_or_extends_what_is_found() {
        let custom = Event {
            fingerprint: vec!["mine".into()],
            ..raised_in("pay", "a")
        };
        let extended = Event {
            fingerprint: vec!["{{ default }}".into(), "mine".into()],
            ..raised_in("pay", "a")
        };

        assert_eq!(hashes(&custom), [hash(["mine"])]);
        assert_eq!(
            hashes(&extended),
            [hash(["ValueError", "shop.views", "pay", "mine"])]
        );
        assert_eq!(
            explain(&custom, &Config::default()).method,
            Method::CustomFingerprint
        );
        assert_eq!(
            explain(&extended, &Config::default()).method,
            Method::HybridFingerprint
        );
    }

    #[test]
    fn the_title_of_a_rule_wins_over_every_other() {
        let rules = "error.type:ValueError -> values title=\"Bad value: {{ error.value }}\"";
        let config = Config::default().with_fingerprints(rules).unwrap();

        let found = group(&raised_in("pay", "17"), &config);

        assert_eq!(found.title, "Bad value: 17");
        assert_eq!(found.hashes, [hash(["values"])]);
    }

    #[test]
    fn the_culprit_is_the_last_frame_that_rules_leave_in_app() {
        let mut event = raised_in("pay", "a");
        let installed = Frame {
            module: Some("requests.api".into()),
            function: Some("get".into()),
            abs_path: Some("/venv/lib/python3/site-packages/requests/api.py".into()),
            in_app: Some(true),
            ..Frame::default()
        };
        event.exceptions[0]
            .stacktrace
            .as_mut()
            .unwrap()
            .frames
            .push(installed);

        assert_eq!(
            group(&event, &Config::default()).culprit,
            "shop.views in pay"
        );
    }

    #[test]
    fn the_app_variant_comes_first_and_an_equal_system_variant_not_at_all() {
        let mut event = raised_in("pay", "a");
        assert_eq!(hashes(&event), [hash(["ValueError", "shop.views", "pay"])]);

        let library = Frame {
            module: Some("lib".into()),
            in_app: Some(false),
            ..Frame::default()
        };
        event.exceptions[0]
            .stacktrace
            .as_mut()
            .unwrap()
            .frames
            .push(library);

        assert_eq!(
            hashes(&event),
            [
                hash(["ValueError", "shop.views", "pay"]),
                hash(["ValueError", "shop.views", "pay", "lib"])
            ]
        );
    }

    #[test]
    fn unreadable_frames_group_coarsely_unless_a_fingerprint_decides() {
        let mut event = raised_in("", "id 17");
        event.platform = "native".into();
        event.exceptions[0].stacktrace.as_mut().unwrap().frames[0].module = None;

        let found = group(&event, &Config::default());
        assert_eq!(found.coarse, Some(CoarseReason::UnsymbolicatedNative));
        assert_eq!(found.hashes, [hash(["ValueError", "id <int>"])]);

        event.fingerprint.push("mine".into());
        assert_eq!(group(&event, &Config::default()).coarse, None);
    }

    #[test]
    fn the_explanation_says_why_each_part_counts_or_not() {
        let mut event = raised_in("pay", "a 1");
        event.logentry = Some(LogEntry {
            message: Some("failed".into()),
            ..LogEntry::default()
        });

        let explanation = explain(&event, &Config::default()).to_string();

        let expected = "\
grouped by components
app HASH
  + exception
    + type \"ValueError\"
    - value \"a <int>\" (ignored because the stack takes precedence)
    + stacktrace
      + frame
        + module \"shop.views\"
        + function \"pay\"
default -
  - message \"failed\" (ignored because exception takes precedence)
system -
  - exception (ignored because its hash is that of the app variant)
    + type \"ValueError\"
    - value \"a <int>\" (ignored because the stack takes precedence)
    + stacktrace
      + frame
        + module \"shop.views\"
        + function \"pay\"
";
        let hash = hash(["ValueError", "shop.views", "pay"]);
        assert_eq!(explanation, expected.replace("HASH", &hash));
    }
}

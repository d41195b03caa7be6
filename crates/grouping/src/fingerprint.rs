//! Fingerprints: what the client or a rule says an event should be grouped by, instead of or besides what we find.
//!
//! Source: Sentry, `src/sentry/grouping/utils.py`, `fingerprinting/*` and `variants.py`.

mod parse;
mod rule;
mod variable;

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::component::Component;
use crate::config::Config;
use crate::hash::Hasher;
use crate::parameterize::normalize_message;
use crate::stack::Prepared;

pub(crate) use parse::parse;
pub use rule::FingerprintRule;
pub(crate) use variable::expand_title;

/// What an event is to be grouped by.
pub(crate) struct Fingerprint<'p> {
    /// The values, resolved.
    pub(crate) values: Vec<Value<'p>>,
    /// Who made it.
    pub(crate) origin: Origin<'p>,
}

/// One value of a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'p> {
    /// `{{ default }}`: what the event would be grouped by without fingerprint.
    Default,
    /// A text.
    Text(Cow<'p, str>),
}

/// Who made a fingerprint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'p> {
    /// Nobody: it is `{{ default }}`.
    Nobody,
    /// The SDK.
    Client,
    /// A rule of the project or a built-in one.
    Rule(&'p FingerprintRule),
}

/// How a fingerprint changes the grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not at all.
    Default,
    /// It adds to every variant.
    Hybrid,
    /// It is the only thing that counts.
    Custom,
}

impl<'p> Fingerprint<'p> {
    /// Returns the fingerprint of an event: that of the first matching rule, else the client's.
    pub(crate) fn of(prepared: &'p Prepared<'_>, config: &'p Config) -> Self {
        if let Some(rule) = matching_rule(prepared, config) {
            let values = rule
                .values
                .iter()
                .map(|entry| resolve(entry, prepared))
                .collect();
            return Self {
                values,
                origin: Origin::Rule(rule),
            };
        }
        let client = &prepared.event.fingerprint;
        if client.is_empty() {
            return Self {
                values: vec![Value::Default],
                origin: Origin::Nobody,
            };
        }
        let values = client
            .iter()
            .map(|entry| resolve_client(entry, prepared))
            .collect();
        Self {
            values,
            origin: Origin::Client,
        }
    }

    /// Returns how it changes the grouping.
    pub(crate) fn kind(&self) -> Kind {
        match &*self.values {
            [Value::Default] => Kind::Default,
            values if values.contains(&Value::Default) => Kind::Hybrid,
            _ => Kind::Custom,
        }
    }

    /// Returns the fingerprint in words; `None` when there is none.
    pub(crate) fn describe(&self) -> Option<String> {
        let origin = match self.origin {
            Origin::Nobody => return None,
            Origin::Client => "of the client",
            Origin::Rule(rule) if rule.is_built_in => "of a built-in rule",
            Origin::Rule(_) => "of a rule of the project",
        };
        let text = |value: &Value<'_>| match value {
            Value::Default => "{{ default }}".to_owned(),
            Value::Text(text) => format!("{text:?}"),
        };
        let values: Vec<String> = self.values.iter().map(text).collect();
        Some(format!("{origin}: {}", values.join(", ")))
    }

    /// Returns the hash of the values, with what a component holds in place of `{{ default }}`.
    pub(crate) fn hash_with(&self, component: Option<&Component<'_>>) -> String {
        let mut hasher = Hasher::default();
        for value in &self.values {
            match value {
                Value::Text(text) => hasher.update(text),
                Value::Default => component
                    .into_iter()
                    .for_each(|component| component.feed(&mut hasher)),
            }
        }
        hasher.finish()
    }
}

/// The project's rules come first.
fn matching_rule<'p>(prepared: &Prepared<'_>, config: &'p Config) -> Option<&'p FingerprintRule> {
    let rules = config.fingerprint_rules().iter().chain(built_in());
    rules.into_iter().find(|rule| rule.matches(prepared))
}

fn resolve<'p>(entry: &'p str, prepared: &'p Prepared<'_>) -> Value<'p> {
    match variable::name(entry) {
        None => Value::Text(Cow::Borrowed(entry)),
        Some("default") => Value::Default,
        Some(name) => Value::Text(variable::resolve(name, prepared)),
    }
}

/// Sentry 26.9 also parameterises an entry that repeats the message of an exception, as seen in a field report.
fn resolve_client<'p>(entry: &'p str, prepared: &'p Prepared<'_>) -> Value<'p> {
    let mut exceptions = prepared.event.exceptions.iter();
    let is_message = |value: &str| value == entry && !value.is_empty();
    match exceptions.any(|exception| exception.value.as_deref().is_some_and(is_message)) {
        true => Value::Text(normalize_message(entry)),
        false => resolve(entry, prepared),
    }
}

/// Failed script downloads, and React's hydration errors, which differ from page to page only.
fn built_in() -> &'static [FingerprintRule] {
    static BUILT_IN: LazyLock<Vec<FingerprintRule>> = LazyLock::new(|| {
        let mut rules =
            parse(include_str!("fingerprint/rules.txt")).expect("a test reads the built-in rules");
        rules.iter_mut().for_each(FingerprintRule::mark_built_in);
        rules
    });
    &BUILT_IN
}

#[cfg(test)]
mod tests {
    use event::model::{Event, Exception};

    use super::*;

    fn values(event: &Event<'_>) -> (Kind, Vec<String>) {
        let config = Config::default();
        let prepared = Prepared::new(event, &config);
        let fingerprint = Fingerprint::of(&prepared, &config);
        let text = |value: &Value<'_>| match value {
            Value::Default => "(default)".to_owned(),
            Value::Text(text) => text.to_string(),
        };
        (
            fingerprint.kind(),
            fingerprint.values.iter().map(text).collect(),
        )
    }

    fn event(fingerprint: &[&'static str]) -> Event<'static> {
        let exception = Exception {
            ty: Some("E".into()),
            value: Some("order 17 lost".into()),
            ..Exception::default()
        };
        Event {
            fingerprint: fingerprint.iter().map(|entry| (*entry).into()).collect(),
            exceptions: vec![exception],
            platform: "javascript".into(),
            ..Event::default()
        }
    }

    #[test]
    fn the_kind_follows_from_the_default_entry() {
        assert_eq!(values(&event(&[])).0, Kind::Default);
        assert_eq!(values(&event(&["{{default}}"])).0, Kind::Default);
        assert_eq!(values(&event(&["{{ default }}", "x"])).0, Kind::Hybrid);
        assert_eq!(values(&event(&["x"])).0, Kind::Custom);
    }

    #[test]
    fn variables_are_resolved_and_messages_parameterised() {
        let given = event(&[
            "{{ type }}",
            "{{ message }}",
            "{{ tags.zone }}",
            "order 17 lost",
            "17",
        ]);

        assert_eq!(
            values(&given).1,
            [
                "E",
                "order <int> lost",
                "<no-value-for-tag-zone>",
                "order <int> lost",
                "17"
            ]
        );
    }

    #[test]
    fn failed_chunks_are_one_issue() {
        let mut chunk = event(&["mine"]);
        chunk.exceptions[0].ty = Some("ChunkLoadError".into());

        assert_eq!(
            values(&chunk),
            (Kind::Custom, vec!["chunkloaderror".to_owned()])
        );
    }

    #[test]
    fn hydration_errors_group_by_transaction_if_there_is_one() {
        let mut hydration = event(&[]);
        hydration.exceptions[0].value =
            Some("Text content does not match server-rendered HTML.".into());
        assert_eq!(values(&hydration).0, Kind::Default);

        hydration.tags.push(("transaction".into(), "/cart".into()));

        assert_eq!(values(&hydration).1, ["hydrationerror", "/cart"]);
    }
}

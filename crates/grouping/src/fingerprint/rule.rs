//! One fingerprint rule: which events it is about, and the fingerprint they get.
//!
//! Source: Sentry, `src/sentry/grouping/fingerprinting/matchers.py` and `rules.py`.

use crate::error::RuleProblem;
use crate::glob::{Glob, normalize_path};
use crate::platform::Family;
use crate::stack::{Prepared, Stack};

/// `matchers -> fingerprint title="…"`, compiled.
#[derive(Debug, Clone)]
pub struct FingerprintRule {
    /// Cheap ones first.
    buckets: Vec<(Bucket, Vec<Matcher>)>,
    /// The fingerprint's entries as written.
    pub(crate) values: Vec<String>,
    /// The title as written.
    pub(crate) title: Option<String>,
    /// Whether it is one of ours, not the project's.
    pub(crate) is_built_in: bool,
}

impl FingerprintRule {
    /// Compiles a rule from its parsed form: pairs such as `("error.type", "DatabaseError*")`, where a `!` before the
    /// key negates; the fingerprint's entries, which may be variables; and the title, if it sets one.
    ///
    /// # Errors
    /// When there is no matcher or no entry, a key is unknown, or a pattern does not compile.
    pub fn new<'r>(
        matchers: impl IntoIterator<Item = (&'r str, &'r str)>,
        values: impl IntoIterator<Item = String>,
        title: Option<String>,
    ) -> Result<Self, RuleProblem> {
        let mut buckets: Vec<(Bucket, Vec<Matcher>)> = Vec::new();
        for (key, pattern) in matchers {
            let matcher = Matcher::new(key, pattern)?;
            let bucket = matcher.bucket();
            match buckets.iter_mut().find(|(known, _)| *known == bucket) {
                Some((_, matchers)) => matchers.push(matcher),
                None => buckets.push((bucket, vec![matcher])),
            }
        }
        buckets.sort_by_key(|(bucket, _)| *bucket);
        let values: Vec<String> = values.into_iter().collect();
        if buckets.is_empty() {
            return Err(RuleProblem::NoMatcher);
        }
        if values.is_empty() {
            return Err(RuleProblem::NoFingerprint);
        }
        Ok(Self {
            buckets,
            values,
            title,
            is_built_in: false,
        })
    }

    /// Returns whether the rule is about an event: every bucket of matchers holds, each for one element alone.
    pub(crate) fn matches(&self, prepared: &Prepared<'_>) -> bool {
        self.buckets
            .iter()
            .all(|(bucket, matchers)| holds(*bucket, matchers, prepared))
    }

    pub(super) fn mark_built_in(&mut self) {
        self.is_built_in = true;
    }
}

#[derive(Debug, Clone)]
struct Matcher {
    key: Key,
    is_negated: bool,
    pattern: Pattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Message,
    Logger,
    Level,
    Type,
    Value,
    Tag(String),
    Family,
    Sdk,
    Release,
    Module,
    Function,
    Path,
    Package,
    App,
}

#[derive(Debug, Clone)]
enum Pattern {
    Text(Glob),
    Path(Glob),
    OneOf(Vec<String>),
    Flag(bool),
}

/// Matchers of one bucket must hold for the same element. In the order of what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bucket {
    Family,
    Sdk,
    Release,
    Log,
    Tags,
    Exceptions,
    Messages,
    Frames,
}

impl Matcher {
    fn new(key: &str, pattern: &str) -> Result<Self, RuleProblem> {
        let (is_negated, name) = match key.strip_prefix('!') {
            Some(name) => (true, name),
            None => (false, key),
        };
        let key = Key::parse(name)?;
        let pattern = key.pattern(name, pattern)?;
        Ok(Self {
            key,
            is_negated,
            pattern,
        })
    }

    fn bucket(&self) -> Bucket {
        match self.key {
            Key::Message => Bucket::Messages,
            Key::Logger | Key::Level => Bucket::Log,
            Key::Type | Key::Value => Bucket::Exceptions,
            Key::Tag(_) => Bucket::Tags,
            Key::Family => Bucket::Family,
            Key::Sdk => Bucket::Sdk,
            Key::Release => Bucket::Release,
            Key::Module | Key::Function | Key::Path | Key::Package | Key::App => Bucket::Frames,
        }
    }

    /// A missing text never matches, so its negation does.
    fn holds_for(&self, text: Option<&str>) -> bool {
        let is_match = text.is_some_and(|text| match &self.pattern {
            Pattern::Text(glob) => glob.matches(text),
            Pattern::Path(glob) => glob.matches_path(&format!("/{}", normalize_path(text))),
            Pattern::OneOf(names) => names.iter().any(|name| name == text || name == "all"),
            Pattern::Flag(_) => false,
        });
        is_match != self.is_negated
    }

    fn holds_for_flag(&self, flag: bool) -> bool {
        matches!(self.pattern, Pattern::Flag(wanted) if wanted == flag) != self.is_negated
    }
}

impl Key {
    fn parse(name: &str) -> Result<Self, RuleProblem> {
        Ok(match name {
            "message" => Self::Message,
            "logger" => Self::Logger,
            "level" => Self::Level,
            "error.type" | "type" => Self::Type,
            "error.value" | "value" => Self::Value,
            "family" => Self::Family,
            "sdk" => Self::Sdk,
            "release" => Self::Release,
            "stack.module" | "module" => Self::Module,
            "stack.function" | "function" => Self::Function,
            "stack.abs_path" | "path" => Self::Path,
            "stack.package" | "package" => Self::Package,
            "app" => Self::App,
            _ => match name.strip_prefix("tags.").filter(|tag| !tag.is_empty()) {
                Some(tag) => Self::Tag(tag.to_owned()),
                None => return Err(RuleProblem::UnknownMatcher(name.to_owned())),
            },
        })
    }

    fn pattern(&self, name: &str, pattern: &str) -> Result<Pattern, RuleProblem> {
        let invalid = |reason| RuleProblem::InvalidPattern {
            pattern: pattern.to_owned(),
            reason,
        };
        match self {
            Self::Message | Self::Value | Self::Level => Glob::text_in_any_case(pattern)
                .map(Pattern::Text)
                .map_err(invalid),
            Self::Path | Self::Package | Self::Release => {
                Glob::path(pattern).map(Pattern::Path).map_err(invalid)
            }
            Self::Family | Self::Sdk => Ok(Pattern::OneOf(
                pattern.split(',').map(str::to_owned).collect(),
            )),
            Self::App => match pattern {
                "1" | "yes" | "true" => Ok(Pattern::Flag(true)),
                "0" | "no" | "false" => Ok(Pattern::Flag(false)),
                _ => Err(RuleProblem::InvalidValue {
                    key: name.to_owned(),
                    value: pattern.to_owned(),
                }),
            },
            Self::Logger | Self::Type | Self::Tag(_) | Self::Module | Self::Function => {
                Glob::text(pattern).map(Pattern::Text).map_err(invalid)
            }
        }
    }
}

fn holds(bucket: Bucket, matchers: &[Matcher], prepared: &Prepared<'_>) -> bool {
    let event = prepared.event;
    let all = |text: Option<&str>| matchers.iter().all(|matcher| matcher.holds_for(text));
    match bucket {
        Bucket::Messages => messages(prepared).any(|text| all(Some(text))),
        Bucket::Log => matchers.iter().all(|matcher| match matcher.key {
            Key::Level => matcher.holds_for(Some(event.level.as_str())),
            _ => matcher.holds_for(event.logger.as_deref()),
        }),
        Bucket::Exceptions => event.exceptions.iter().any(|exception| {
            matchers.iter().all(|matcher| match matcher.key {
                Key::Type => matcher.holds_for(exception.ty.as_deref()),
                _ => matcher.holds_for(exception.value.as_deref()),
            })
        }),
        Bucket::Tags => matchers
            .iter()
            .all(|matcher| matcher.holds_for(tag(&matcher.key, prepared))),
        Bucket::Family => all(Some(Family::of(prepared.platform).as_str())),
        Bucket::Sdk => {
            let name = event.sdk.as_ref().and_then(|sdk| sdk.name.as_deref());
            let family = name.map(family_of_sdk);
            matchers
                .iter()
                .all(|matcher| either_holds(matcher, name, family))
        }
        Bucket::Release => all(event.release.as_deref()),
        Bucket::Frames => prepared
            .stacks()
            .into_iter()
            .any(|stack| frame_holds(matchers, stack)),
    }
}

/// The event's message, and what each exception says.
fn messages<'p>(prepared: &'p Prepared<'_>) -> impl Iterator<Item = &'p str> {
    let entry = prepared.event.logentry.as_ref();
    let message = entry.and_then(|entry| entry.formatted.as_deref().or(entry.message.as_deref()));
    let values = prepared
        .event
        .exceptions
        .iter()
        .filter_map(|exception| exception.value.as_deref());
    message.into_iter().chain(values)
}

fn tag<'p>(key: &Key, prepared: &'p Prepared<'_>) -> Option<&'p str> {
    let Key::Tag(name) = key else { return None };
    let tags = &prepared.event.tags;
    tags.iter()
        .find(|(key, _)| *key == name.as_str())
        .map(|(_, value)| &**value)
}

fn frame_holds(matchers: &[Matcher], stack: &Stack<'_>) -> bool {
    stack.frames.iter().enumerate().any(|(at, frame)| {
        matchers.iter().all(|matcher| match matcher.key {
            Key::Module => matcher.holds_for(frame.module.or(UNKNOWN)),
            Key::Function => matcher.holds_for(frame.function.as_deref().or(UNKNOWN)),
            Key::Package => matcher.holds_for(frame.package),
            Key::App => matcher.holds_for_flag(stack.is_in_app(at)),
            _ => either_holds(matcher, frame.abs_path, frame.filename),
        })
    })
}

/// Returns `sentry.python` of `sentry.python.django`: rules name SDKs without their framework, as Sentry's tag does.
/// JavaScript keeps its framework, native its platform. Source: Sentry, `src/sentry/utils/sdk.py`.
fn family_of_sdk(name: &str) -> &str {
    let parts = match name.split('.').nth(1) {
        Some("javascript") => return name,
        Some("native") => 3,
        _ => 2,
    };
    let end = name.match_indices('.').nth(parts - 1);
    end.map_or(name, |(end, _)| &name[..end])
}

/// Either text will do; negated, neither may match.
fn either_holds(matcher: &Matcher, one: Option<&str>, other: Option<&str>) -> bool {
    match matcher.is_negated {
        true => matcher.holds_for(one) && matcher.holds_for(other),
        false => matcher.holds_for(one) || matcher.holds_for(other),
    }
}

/// What the module and the function of a frame read as that has none.
const UNKNOWN: Option<&str> = Some("<unknown>");

#[cfg(test)]
mod tests {
    use event::model::{self, Event, Exception, LogEntry, Sdk};

    use crate::Config;

    use super::*;

    fn matches(matchers: &[(&str, &str)], event: &Event<'_>) -> bool {
        let rule = FingerprintRule::new(matchers.iter().copied(), ["x".to_owned()], None).unwrap();
        let config = Config::default();
        rule.matches(&Prepared::new(event, &config))
    }

    fn exception(
        ty: &'static str,
        value: &'static str,
        function: &'static str,
    ) -> Exception<'static> {
        let frame = model::Frame {
            function: Some(function.into()),
            abs_path: Some("/srv/app/main.py".into()),
            in_app: Some(true),
            ..model::Frame::default()
        };
        Exception {
            ty: Some(ty.into()),
            value: Some(value.into()),
            stacktrace: Some(model::Stacktrace {
                frames: vec![frame],
            }),
            ..Exception::default()
        }
    }

    fn event() -> Event<'static> {
        Event {
            exceptions: vec![
                exception("Inner", "Refused", "dial"),
                exception("Outer", "Gave up", "serve"),
            ],
            logentry: Some(LogEntry {
                formatted: Some("it broke".into()),
                ..LogEntry::default()
            }),
            tags: vec![("zone".into(), "eu-1".into())],
            platform: "python".into(),
            release: Some("shop@1.2".into()),
            logger: Some("shop.cart".into()),
            sdk: Some(Sdk {
                name: Some("sentry.python".into()),
                version: None,
            }),
            ..Event::default()
        }
    }

    #[test]
    fn every_key_looks_at_its_part_of_the_event() {
        let cases: [(&str, &str, &str); 12] = [
            ("message", "IT b*", "it"),
            ("message", "gave*", "nothing"),
            ("type", "Inner", "inner"),
            ("error.value", "refused", "x"),
            ("logger", "shop.*", "shop"),
            ("level", "ERROR", "fatal"),
            ("tags.zone", "eu-*", "us-*"),
            ("family", "javascript,other", "native"),
            ("sdk", "sentry.python", "sentry"),
            ("release", "SHOP@*", "shop"),
            ("path", "**/APP/*.py", "*/main.py"),
            ("function", "dial", "Dial"),
        ];
        for (key, yes, no) in cases {
            assert!(matches(&[(key, yes)], &event()), "{key}:{yes}");
            assert!(!matches(&[(key, no)], &event()), "{key}:{no}");
        }
    }

    #[test]
    fn sdks_are_named_with_or_without_their_framework() {
        for (name, yes, no) in [
            ("sentry.python.django", "sentry.python", "sentry"),
            (
                "sentry.python.django",
                "sentry.python.django",
                "sentry.python.flask",
            ),
            (
                "sentry.native.android.game",
                "sentry.ruby,sentry.native.android",
                "sentry.native",
            ),
            (
                "sentry.javascript.react",
                "sentry.javascript.react",
                "sentry.javascript",
            ),
        ] {
            let mut event = event();
            event.sdk = Some(Sdk {
                name: Some(name.into()),
                version: None,
            });
            assert!(matches(&[("sdk", yes)], &event), "{name}: {yes}");
            assert!(!matches(&[("sdk", no)], &event), "{name}: {no}");
            assert!(!matches(&[("!sdk", yes)], &event), "{name}: not {yes}");
        }
    }

    #[test]
    fn frames_without_module_or_function_read_unknown() {
        assert!(matches(&[("module", "<unknown>")], &event()));
        assert!(!matches(&[("function", "<unknown>")], &event()));
    }

    #[test]
    fn matchers_of_one_bucket_hold_for_the_same_element() {
        assert!(matches(
            &[("type", "Inner"), ("value", "refused")],
            &event()
        ));
        assert!(!matches(
            &[("type", "Inner"), ("value", "gave up")],
            &event()
        ));
        assert!(matches(
            &[("type", "Inner"), ("function", "serve")],
            &event()
        ));
    }

    #[test]
    fn negation_needs_an_element_too() {
        assert!(matches(&[("!type", "Inner")], &event()));
        assert!(!matches(&[("!type", "Inner")], &Event::default()));
        assert!(matches(&[("!tags.pony", "*")], &event()));
        assert!(matches(&[("app", "yes")], &event()));
        assert!(!matches(&[("app", "no")], &event()));
    }
}

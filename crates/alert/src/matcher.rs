//! Patterns over the facts of an event: what routes and mutes are chosen by.
//!
//! A pattern is a glob (`prod*`, `?`; case does not matter), a `/regular expression/` that may match anywhere, or either of
//! them after `!`. Several patterns: one that is not negated must match, if there is any, and none that is negated may.

use std::fmt;

use event::endpoint::ProjectId;
use event::model::{Event, Level};
use regex::{Regex, RegexBuilder};

/// Conditions on the facts of an event; all must hold. Without any it matches everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matcher {
    conditions: Vec<Condition>,
}

/// One key and the patterns its value must match.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    key: MatchKey,
    patterns: Vec<Pattern>,
}

/// What of an event a pattern looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MatchKey {
    /// The project's id or its name in the config.
    Project,
    /// The environment.
    Environment,
    /// The level.
    Level,
    /// The release.
    Release,
    /// The distribution.
    Dist,
    /// The logger.
    Logger,
    /// The platform.
    Platform,
    /// The reporting host.
    ServerName,
    /// The transaction.
    Transaction,
    /// The culprit.
    Culprit,
    /// The issue's title.
    Title,
    /// The type of any exception of the chain.
    Exception,
    /// Whether user code handled it: `true` or `false`.
    Handled,
    /// The SDK's name, such as `sentry.python`.
    Sdk,
    /// The tag of this name.
    Tag(String),
}

/// A text that cannot be a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{pattern}` as a pattern: {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The facts that patterns look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'e> {
    /// The numeric project id of the DSN.
    pub project: ProjectId,
    /// The project's name in the config.
    pub project_name: Option<&'e str>,
    /// How bad it is.
    pub level: Level,
    /// The issue's title.
    pub title: &'e str,
    /// The issue's culprit.
    pub culprit: &'e str,
    /// The event; `None` when only the issue is known, and then its other facts match nothing.
    pub event: Option<&'e Event<'e>>,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    is_negated: bool,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Nothing at all, or an empty text.
    Empty,
    Text(Regex),
}

impl Matcher {
    /// Makes a matcher of keys and their patterns.
    ///
    /// # Errors
    /// [`PatternError`] for the first pattern that cannot be read.
    pub fn new<'p>(
        conditions: impl IntoIterator<Item = (MatchKey, &'p [String])>,
    ) -> Result<Self, PatternError> {
        let conditions = conditions.into_iter().map(|(key, patterns)| {
            let patterns = patterns.iter().map(|text| Pattern::parse(text));
            Ok(Condition {
                key,
                patterns: patterns.collect::<Result<_, _>>()?,
            })
        });
        let conditions = conditions.collect::<Result<_, _>>()?;
        Ok(Self { conditions })
    }

    /// Returns whether there is no condition, so that it matches everything.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Returns whether every condition holds.
    pub fn is_match(&self, facts: &Facts<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(facts))
    }

    /// Returns each condition, and whether it holds.
    pub fn explain<'m>(
        &'m self,
        facts: &'m Facts<'_>,
    ) -> impl Iterator<Item = (&'m Condition, bool)> {
        let conditions = self.conditions.iter();
        conditions.map(|condition| (condition, condition.holds(facts)))
    }
}

impl Condition {
    /// Returns the values it looks at, as a reader of an explanation wants them.
    pub fn found(&self, facts: &Facts<'_>) -> Vec<String> {
        let mut values = Vec::new();
        facts.any(&self.key, &mut |value| {
            values.push(value.to_owned());
            false
        });
        values
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        let matches = |pattern: &Pattern| pattern.matches_any(&self.key, facts);
        let (mut is_wanted, mut is_found) = (false, false);
        for pattern in &self.patterns {
            match (pattern.is_negated, matches(pattern)) {
                (true, true) => return false,
                (true, false) => {}
                (false, found) => {
                    is_wanted = true;
                    is_found |= found;
                }
            }
        }
        is_found || !is_wanted
    }
}

impl MatchKey {
    /// The names of all keys but tags, as the configuration has them.
    pub const NAMES: [&str; 14] = [
        "project",
        "environment",
        "level",
        "release",
        "dist",
        "logger",
        "platform",
        "server_name",
        "transaction",
        "culprit",
        "title",
        "exception",
        "handled",
        "sdk",
    ];

    /// Reads a name of the configuration: one of [`Self::NAMES`], or `tag.NAME`.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(tag) = name.strip_prefix("tag.").filter(|tag| !tag.is_empty()) {
            return Some(Self::Tag(tag.to_owned()));
        }
        let key = match name {
            "project" => Self::Project,
            "environment" => Self::Environment,
            "level" => Self::Level,
            "release" => Self::Release,
            "dist" => Self::Dist,
            "logger" => Self::Logger,
            "platform" => Self::Platform,
            "server_name" => Self::ServerName,
            "transaction" => Self::Transaction,
            "culprit" => Self::Culprit,
            "title" => Self::Title,
            "exception" => Self::Exception,
            "handled" => Self::Handled,
            "sdk" => Self::Sdk,
            _ => return None,
        };
        Some(key)
    }
}

impl Facts<'_> {
    /// Returns whether a test holds for any value of a key.
    fn any(&self, key: &MatchKey, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match key {
            MatchKey::Project => {
                test(&self.project.to_string()) || self.project_name.is_some_and(test)
            }
            MatchKey::Level => test(self.level.as_str()),
            MatchKey::Title => test(self.title),
            MatchKey::Culprit => test(self.culprit),
            MatchKey::Environment
            | MatchKey::Release
            | MatchKey::Dist
            | MatchKey::Logger
            | MatchKey::Platform
            | MatchKey::ServerName
            | MatchKey::Transaction
            | MatchKey::Exception
            | MatchKey::Handled
            | MatchKey::Sdk
            | MatchKey::Tag(_) => self
                .event
                .is_some_and(|event| any_of_event(event, key, test)),
        }
    }
}

fn any_of_event(event: &Event<'_>, key: &MatchKey, test: &mut dyn FnMut(&str) -> bool) -> bool {
    let field = match key {
        MatchKey::Environment => event.environment.as_deref(),
        MatchKey::Release => event.release.as_deref(),
        MatchKey::Dist => event.dist.as_deref(),
        MatchKey::Logger => event.logger.as_deref(),
        MatchKey::Platform => Some(event.platform.as_ref()),
        MatchKey::ServerName => event.server_name.as_deref(),
        MatchKey::Transaction => event.transaction.as_deref(),
        MatchKey::Sdk => event.sdk.as_ref().and_then(|sdk| sdk.name.as_deref()),
        MatchKey::Handled => handled(event),
        MatchKey::Exception => {
            let types = event
                .exceptions
                .iter()
                .filter_map(|exception| exception.ty.as_deref());
            return types.into_iter().any(test);
        }
        MatchKey::Tag(name) => {
            let values = event.tags.iter().filter(|(key, _)| key == name);
            return values.into_iter().any(|(_, value)| test(value));
        }
        MatchKey::Project | MatchKey::Level | MatchKey::Title | MatchKey::Culprit => None,
    };
    field.is_some_and(test)
}

fn handled(event: &Event<'_>) -> Option<&'static str> {
    let main = event::title::main_exception(event)?;
    main.mechanism
        .handled
        .map(|handled| if handled { "true" } else { "false" })
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let (is_negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Ok(Self {
            text: text.to_owned(),
            is_negated,
            form: Form::parse(rest).map_err(|reason| PatternError {
                pattern: text.to_owned(),
                reason,
            })?,
        })
    }

    /// Returns whether the pattern, negation aside, matches a value of the key.
    fn matches_any(&self, key: &MatchKey, facts: &Facts<'_>) -> bool {
        match &self.form {
            Form::Empty => !facts.any(key, &mut |value| !value.is_empty()),
            Form::Text(regex) => facts.any(key, &mut |value| regex.is_match(value)),
        }
    }
}

impl Form {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        let source = match inner.filter(|inner| !inner.is_empty()) {
            Some(expression) => expression.to_owned(),
            None => glob(text),
        };
        let regex = RegexBuilder::new(&source).size_limit(LARGEST).build();
        regex.map(Self::Text).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The last line says what is wrong; those above draw where.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        })
    }
}

/// Source: the globs of Sentry's own matchers know `*` and `?` only, and ignore case.
fn glob(text: &str) -> String {
    let mut source = String::from("(?is)^");
    for character in text.chars() {
        match character {
            '*' => source.push_str(".*"),
            '?' => source.push('.'),
            other => source.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push('$');
    source
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `environment = "prod*", level = ["error", "fatal"]`, as it is written in the file.
impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, condition) in self.conditions.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{condition}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patterns.as_slice() {
            [one] => write!(formatter, "{} = {:?}", self.key, one.text),
            several => {
                let texts: Vec<&str> = several.iter().map(|pattern| &*pattern.text).collect();
                write!(formatter, "{} = {texts:?}", self.key)
            }
        }
    }
}

impl fmt::Display for MatchKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Level => "level",
            Self::Release => "release",
            Self::Dist => "dist",
            Self::Logger => "logger",
            Self::Platform => "platform",
            Self::ServerName => "server_name",
            Self::Transaction => "transaction",
            Self::Culprit => "culprit",
            Self::Title => "title",
            Self::Exception => "exception",
            Self::Handled => "handled",
            Self::Sdk => "sdk",
            Self::Tag(name) => return write!(formatter, "tag.{name}"),
        };
        formatter.write_str(name)
    }
}

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use event::model::{Exception, Mechanism, Sdk};

    use super::*;

    #[test]
    fn patterns_match_as_the_contract_says() {
        let cases: [(&str, &[&str], &str, bool); 30] = [
            ("environment", &["production"], "production", true),
            ("environment", &["prod*"], "Production", true),
            ("environment", &["prod"], "production", false),
            ("environment", &["pr?d*"], "production", true),
            ("environment", &["*"], "production", true),
            ("environment", &["!prod*"], "production", false),
            ("environment", &["!prod*"], "staging", true),
            ("environment", &["/^prod/"], "production", true),
            ("environment", &["/^PROD/"], "production", false),
            ("environment", &["/(?i)^PROD/"], "production", true),
            ("environment", &["/duc/"], "production", true),
            ("environment", &["!/duc/"], "production", false),
            ("environment", &["staging", "prod*"], "production", true),
            ("environment", &["staging", "dev"], "production", false),
            ("environment", &["prod*", "!*ion"], "production", false),
            ("environment", &["prod*", "!*ion"], "prod-eu", true),
            ("environment", &["!a", "!b"], "c", true),
            ("environment", &["!a", "!b"], "b", false),
            ("environment", &[""], "", true),
            ("environment", &[""], "x", false),
            ("environment", &["!"], "x", true),
            ("environment", &["生产*"], "生产环境", true),
            ("environment", &["a.c"], "abc", false),
            ("environment", &["[x]*"], "[x]yz", true),
            ("environment", &["/"], "/", true),
            ("environment", &["*\n*"], "a\nb", true),
            ("environment", &["a*b*c"], "a--b--c", true),
            ("environment", &["a*b*c"], "a--c--b", false),
            ("environment", &[], "x", true),
            ("environment", &["*"], "line\nbreak", true),
        ];

        for (key, patterns, value, expected) in cases {
            let event = Event {
                environment: Some(value.into()),
                ..Event::default()
            };

            let found = matcher(key, patterns).is_match(&facts(&event));

            assert_eq!(found, expected, "{key} = {patterns:?} against {value:?}");
        }
    }

    #[test]
    fn every_key_looks_at_its_own_fact() {
        let event = sample();
        for name in MatchKey::NAMES.into_iter().chain(["tag.owner"]) {
            let value = match name {
                "project" => "42",
                "level" => "fatal",
                "handled" => "false",
                "title" => "the title",
                "culprit" => "the culprit",
                other => other,
            };

            assert!(matcher(name, &[value]).is_match(&facts(&event)), "{name}");
            assert!(!matcher(name, &["x"]).is_match(&facts(&event)), "{name}");
            assert_eq!(MatchKey::parse(name).unwrap().to_string(), name);
        }
        assert!(matcher("project", &["shop-api"]).is_match(&facts(&event)));
        assert!(matcher("exception", &["Inner"]).is_match(&facts(&event)));
        assert_eq!(MatchKey::parse("tag."), None);
        assert_eq!(MatchKey::parse("colour"), None);
    }

    #[test]
    fn what_an_event_lacks_matches_only_the_empty_pattern_and_negations() {
        let bare = Event::default();
        for name in [
            "environment",
            "release",
            "handled",
            "exception",
            "tag.owner",
        ] {
            assert!(!matcher(name, &["*"]).is_match(&facts(&bare)), "{name}");
            assert!(matcher(name, &[""]).is_match(&facts(&bare)), "{name}");
            assert!(matcher(name, &["!x"]).is_match(&facts(&bare)), "{name}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let event = sample();
        let both = |level: &str| {
            let patterns = [vec!["environment".to_owned()], vec![level.to_owned()]];
            let keys = [MatchKey::Environment, MatchKey::Level];
            let conditions = keys.into_iter().zip(patterns.iter().map(Vec::as_slice));
            Matcher::new(conditions).unwrap()
        };

        assert!(both("fatal").is_match(&facts(&event)));
        assert!(!both("error").is_match(&facts(&event)));
        let shown = both("!x").to_string();
        assert_eq!(shown, r#"environment = "environment", level = "!x""#);
    }

    #[test]
    fn broken_patterns_are_refused_in_words() {
        let error = Matcher::new([(MatchKey::Title, ["/(/".to_owned()].as_slice())]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot read `/(/` as a pattern: unclosed group"
        );
        let huge = format!("/{}/", "(a{1000}){1000}");
        let error = Matcher::new([(MatchKey::Title, [huge].as_slice())]);
        assert!(error.unwrap_err().to_string().ends_with("it is too large"));
    }

    fn matcher(key: &str, patterns: &[&str]) -> Matcher {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        let key = MatchKey::parse(key).unwrap();
        Matcher::new([(key, patterns.as_slice())]).unwrap()
    }

    fn facts<'e>(event: &'e Event<'e>) -> Facts<'e> {
        Facts {
            project: ProjectId::from(42),
            project_name: Some("shop-api"),
            level: event.level,
            title: "the title",
            culprit: "the culprit",
            event: Some(event),
        }
    }

    fn sample() -> Event<'static> {
        let exception = |ty: &'static str, handled| Exception {
            ty: Some(ty.into()),
            mechanism: Mechanism {
                handled,
                ..Mechanism::default()
            },
            ..Exception::default()
        };
        Event {
            level: Level::Fatal,
            environment: Some("environment".into()),
            release: Some("release".into()),
            dist: Some("dist".into()),
            logger: Some("logger".into()),
            platform: "platform".into(),
            server_name: Some("server_name".into()),
            transaction: Some("transaction".into()),
            exceptions: vec![
                exception("Inner", None),
                exception("exception", Some(false)),
            ],
            sdk: Some(Sdk {
                name: Some("sdk".into()),
                version: None,
            }),
            tags: vec![("owner".into(), "tag.owner".into())],
            ..Event::default()
        }
    }
}

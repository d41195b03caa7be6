//! Cards that the operator writes: a template of `minijinja` in place of the built-in text of an alert.
//!
//! Three things hold whatever a template says. What it shows of an event is masked and inert, for every value passes one
//! formatter and nothing marks a value as markup. It ends soon and stays small, for each step and each byte costs fuel.
//! And an alert is never lost by it: where it fails, the built-in card is sent and says so.
//!
//! Source: `docs/templates.md` is the promise to users.

mod engine;
mod facts;
mod trial;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use alert::{Alert, Message};
use minijinja::Environment;

use crate::card::Card;
use crate::config::RobotConfig;

/// A template of the text of alerts, read and found without syntax errors.
#[derive(Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// What a template made of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The text in place of the built-in one.
    pub(crate) text: String,
    /// What `{% set title %}` says, if the template has one.
    pub(crate) title: Option<String>,
}

struct Inner {
    source: String,
    environment: Environment<'static>,
    /// Whether a failure was told already.
    has_failed: AtomicBool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] with the line, when it cannot be read, or is longer than 64 KiB.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > LONGEST {
            return Err(TemplateError {
                line: 1,
                what: format!("is longer than {} KiB", LONGEST >> 10),
            });
        }
        let environment = engine::environment(source).map_err(TemplateError::of)?;
        Ok(Self {
            inner: Arc::new(Inner {
                source: source.to_owned(),
                environment,
                has_failed: AtomicBool::new(false),
            }),
        })
    }

    /// Tries the template on alerts of every reason, with every fact and with hardly any, as `robot` would send them, and
    /// looks for names that no alert has.
    ///
    /// # Errors
    /// Every failure found, each once, in the order of lines.
    pub fn check(&self, robot: &RobotConfig) -> Result<(), Vec<TemplateError>> {
        let mut errors = self.unknown_names(robot);
        let unknown: Vec<usize> = errors.iter().map(|error| error.line).collect();
        let tried = trial::alerts().into_iter();
        let failed = tried.filter_map(|alert| self.write(&alert, robot, trial::now()).err());
        // A run ends at its first fault, which is most likely one of the unknown names.
        errors.extend(failed.filter(|error| !unknown.contains(&error.line)));
        errors.sort_by(|one, other| (one.line, &one.what).cmp(&(other.line, &other.what)));
        errors.dedup();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }

    /// Returns the text of an alert, and the title if the template sets one.
    ///
    /// # Errors
    /// [`TemplateError`] when the template asks for what is not there, never ends, or says nothing.
    pub(crate) fn write(
        &self,
        alert: &Alert,
        robot: &RobotConfig,
        now: SystemTime,
    ) -> Result<Written, TemplateError> {
        let facts = facts::of(alert, robot, now);
        let (text, title) =
            engine::run(&self.inner.environment, facts).map_err(TemplateError::of)?;
        let text = without_gaps(&text);
        if text.is_empty() {
            return Err(TemplateError {
                line: 1,
                what: "says nothing of this alert".to_owned(),
            });
        }
        let title = title.filter(|title| !title.trim().is_empty());
        Ok(Written { text, title })
    }

    /// Returns whether a failure is the first one, so that it is told once.
    pub(crate) fn is_first_failure(&self) -> bool {
        !self.inner.has_failed.swap(true, Ordering::Relaxed)
    }

    fn unknown_names(&self, robot: &RobotConfig) -> Vec<TemplateError> {
        let facts = facts::of(&trial::full(), robot, trial::now());
        let names = engine::unknown_names(&self.inner.environment, &facts);
        let errors = names.into_iter().map(|name| TemplateError {
            line: self.line_of(&name),
            what: format!("unknown variable `{name}`"),
        });
        errors.collect()
    }

    fn line_of(&self, name: &str) -> usize {
        let place = self
            .inner
            .source
            .lines()
            .position(|line| line.contains(name));
        place.map_or(1, |place| place + 1)
    }
}

/// Returns why the template of a robot cannot write a message; `None` when it can, or does not write messages of the kind.
///
/// Pure: nothing is sent.
pub fn template_problem(
    message: &Message,
    robot: &RobotConfig,
    now: SystemTime,
) -> Option<TemplateError> {
    let (Message::Alert(alert), Some(template)) = (message, &robot.template) else {
        return None;
    };
    template.write(alert, robot, now).err()
}

/// Puts what the template of a robot says into a card; a template that fails leaves the built-in text and a word of it.
pub(crate) fn apply(card: &mut Card, message: &Message, robot: &RobotConfig, now: SystemTime) {
    let (Message::Alert(alert), Some(template)) = (message, &robot.template) else {
        return;
    };
    match template.write(alert, robot, now) {
        Ok(written) => card.written = Some(written),
        Err(error) => {
            fall_back(
                card,
                template,
                robot,
                &format!("line {}: {error}", error.line),
            );
        }
    }
}

/// Goes back to the built-in text, with a word about it in the card and, the first time, in the log.
pub(crate) fn fall_back(card: &mut Card, template: &Template, robot: &RobotConfig, why: &str) {
    if template.is_first_failure() {
        tracing::warn!(
            robot = robot.name,
            why,
            "template cannot be used, the built-in card is sent; told once"
        );
    }
    card.written = None;
    card.has_failed_template = true;
}

impl TemplateError {
    fn of(error: minijinja::Error) -> Self {
        let detail = error.detail().map(str::to_owned);
        let what = match error.kind() {
            minijinja::ErrorKind::OutOfFuel => {
                "takes too many steps or makes too long a text".to_owned()
            }
            kind => detail.map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
        };
        Self {
            line: error.line().unwrap_or(1),
            what,
        }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Template({} bytes)", self.inner.source.len())
    }
}

/// Facts that are not there leave empty lines; more than one in a row says nothing.
fn without_gaps(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n").trim().to_owned()
}

/// Bytes of the longest template.
const LONGEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use minijinja::value::{Value, ValueKind};

    use super::*;
    use crate::config::{Language, MessageKind, OpenLinks, Webhook};

    #[test]
    fn every_fact_is_documented_and_every_documented_one_is_there() {
        let documentation = include_str!("../../../docs/templates.md");
        let rows = documentation
            .lines()
            .filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<String> = rows
            .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
            .collect();

        let mut known = BTreeSet::new();
        names(
            &facts::of(&trial::full(), &robot(), trial::now()),
            "",
            &mut known,
        );

        assert_eq!(known, documented);
    }

    #[test]
    fn a_failure_is_told_once() {
        let template = Template::parse("{{ tags.x.y }}").unwrap();

        let told = [(); 3].map(|()| template.is_first_failure());

        assert_eq!(told, [true, false, false]);
    }

    #[test]
    fn templates_are_compared_by_their_text() {
        let parse = |source| Template::parse(source).unwrap();

        assert_eq!(parse("x"), parse("x"));
        assert_ne!(parse("x"), parse("y"));
        assert_eq!(format!("{:?}", parse("secret")), "Template(6 bytes)");
    }

    fn names(value: &Value, path: &str, known: &mut BTreeSet<String>) {
        let is_group = value.kind() == ValueKind::Map && path != "tags";
        if !is_group {
            known.insert(path.to_owned());
            return;
        }
        for key in value.try_iter().unwrap() {
            let name = key.to_string();
            let inner = match path {
                "" if name == engine::MANNER => continue,
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            names(&value.get_attr(&name).unwrap(), &inner, known);
        }
    }

    fn robot() -> RobotConfig {
        RobotConfig {
            name: "oncall".to_owned(),
            webhooks: vec![Webhook::parse("abcdef").unwrap()],
            secret: None,
            secrets: Vec::new(),
            keyword: None,
            per_minute: 18,
            message: MessageKind::Markdown,
            mention: alert::Mention::default(),
            mention_all_every: std::time::Duration::ZERO,
            language: Language::ZhCn,
            timezone: jiff::tz::TimeZone::UTC,
            open_links_in: OpenLinks::Browser,
            template: None,
        }
    }
}

//! Log records, of which only errors and worse are events.
//!
//! Source: <https://develop.sentry.dev/sdk/telemetry/logs/>; Relay, `relay-event-schema/src/protocol/ourlog.rs`.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::de::MapAccess;

use crate::error::ParseError;
use crate::json::{self, Fields, JsonText, Value, Weigh};
use crate::model::{Event, EventKind, Level, LogEntry, Sdk, Text, User};

/// Reads the errors of a `log` item such as `{"items":[{"level":"error","body":"…","attributes":{…}}]}`, each as one event.
///
/// A record is an error by its `level`, or without one by its `severity_number` (from 17). Its message is the template in
/// `sentry.message.template`, finished by `body`, else `body` alone. Kept are at most 100 errors, from both ends. They have
/// no id: Sentry gives logs none that a client knows.
///
/// # Errors
/// When the body is no JSON, even after repair, or no object.
pub fn parse_logs(body: &[u8]) -> Result<Vec<Event<'_>>, ParseError> {
    let container: Option<Container<'_>> = json::read(body).map_err(ParseError::InvalidJson)?;
    let records = container.ok_or(ParseError::NotAnObject)?.items;
    Ok(records.into_iter().filter_map(Record::into_error).collect())
}

#[derive(Default)]
struct Container<'de> {
    items: Vec<Record<'de>>,
}

impl<'de> Fields<'de> for Container<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "items" => self.items = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Record<'de> {
    timestamp: Option<SystemTime>,
    level: Option<Text<'de>>,
    severity_number: Option<i64>,
    body: Option<Text<'de>>,
    trace_id: Option<Text<'de>>,
    attributes: Option<Attributes<'de>>,
}

impl<'de> Fields<'de> for Record<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "timestamp" => self.timestamp = value.read()?,
            "level" => self.level = value.read()?,
            "severity_number" => self.severity_number = value.read()?,
            "body" => {
                let JsonText(body) = value.read()?;
                self.body = body;
            }
            "trace_id" => self.trace_id = value.read()?,
            "attributes" => self.attributes = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.error_level().is_none()
    }
}

impl Weigh for Record<'_> {
    const MAX: usize = 100;
}

impl<'de> Record<'de> {
    /// Returns the level of a record that is an error or worse.
    fn error_level(&self) -> Option<Level> {
        match (self.level.as_deref(), self.severity_number) {
            (Some("error"), _) | (None, Some(17..=20)) => Some(Level::Error),
            (Some("fatal"), _) | (None, Some(21..=24)) => Some(Level::Fatal),
            _ => None,
        }
    }

    fn into_error(self) -> Option<Event<'de>> {
        let level = self.error_level()?;
        let attributes = self.attributes.unwrap_or_default();
        let platform = attributes.sdk_name.as_deref().map_or("other", platform_of);
        Some(Event {
            kind: EventKind::Log,
            level,
            timestamp: self.timestamp,
            platform: Cow::Owned(platform.to_owned()),
            logentry: logentry(attributes.template, self.body),
            trace_id: self.trace_id,
            release: attributes.release,
            environment: attributes.environment,
            server_name: attributes.server,
            user: attributes.user,
            sdk: attributes.sdk_name.map(|name| Sdk {
                name: Some(name),
                version: attributes.sdk_version,
            }),
            ..Event::default()
        })
    }
}

/// `{"sentry.release":{"value":"shop@1","type":"string"}}`, as far as it is read.
#[derive(Default)]
struct Attributes<'de> {
    template: Option<Text<'de>>,
    release: Option<Text<'de>>,
    environment: Option<Text<'de>>,
    server: Option<Text<'de>>,
    sdk_name: Option<Text<'de>>,
    sdk_version: Option<Text<'de>>,
    user: Option<User<'de>>,
}

impl<'de> Fields<'de> for Attributes<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        let place = match name {
            "sentry.message.template" => &mut self.template,
            "sentry.release" => &mut self.release,
            "sentry.environment" => &mut self.environment,
            "server.address" => &mut self.server,
            "sentry.sdk.name" => &mut self.sdk_name,
            "sentry.sdk.version" => &mut self.sdk_version,
            "user.id" => &mut self.user.get_or_insert_default().id,
            "user.name" => &mut self.user.get_or_insert_default().username,
            "user.email" => &mut self.user.get_or_insert_default().email,
            _ => return value.skip(),
        };
        let attribute: Option<Attribute<'de>> = value.read()?;
        *place = attribute.and_then(|attribute| attribute.value);
        Ok(())
    }
}

#[derive(Default)]
struct Attribute<'de> {
    value: Option<Text<'de>>,
}

impl<'de> Fields<'de> for Attribute<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "value" => self.value = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

fn logentry<'de>(template: Option<Text<'de>>, body: Option<Text<'de>>) -> Option<LogEntry<'de>> {
    let (message, formatted) = match (template, body) {
        (Some(template), body) => (Some(template), body),
        (None, body) => (Some(body?), None),
    };
    Some(LogEntry {
        message,
        formatted,
        params: Vec::new(),
    })
}

/// The SDK family in `sentry.python` or `sentry.javascript.node`; Node has a platform of its own.
fn platform_of(sdk: &str) -> &str {
    let mut words = sdk.split('.').skip(1);
    match (words.next(), words.next()) {
        (Some("javascript"), Some("node")) => "node",
        (Some(family), _) => family,
        (None, _) => "other",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::title::title;

    fn titles(body: &str) -> Vec<String> {
        let events = parse_logs(body.as_bytes()).unwrap();
        events.iter().map(title).collect()
    }

    #[test]
    fn reads_an_error_with_its_attributes() {
        let body = br#"{"version":2,"items":[{"timestamp":1795426719.5,"level":"fatal","body":"payment 7 failed","trace_id":"abc","severity_number":21,
            "attributes":{"sentry.message.template":{"value":"payment %s failed","type":"string"},"sentry.release":{"value":"shop@1"},
            "sentry.environment":{"value":"prod"},"sentry.sdk.name":{"value":"sentry.javascript.node"},"sentry.sdk.version":{"value":"11"},
            "server.address":{"value":"vm"},"user.id":{"value":7,"type":"integer"},"user.email":{"value":"u@example.org"},"other":{"value":[{}]}}}]}"#;

        let events = parse_logs(body).unwrap();

        let [event] = events.as_slice() else { panic!() };
        assert_eq!((event.kind, event.level), (EventKind::Log, Level::Fatal));
        assert_eq!(title(event), "payment 7 failed");
        let entry = event.logentry.as_ref().unwrap();
        assert_eq!(entry.message.as_deref(), Some("payment %s failed"));
        assert_eq!(event.platform, "node");
        for (text, expected) in [
            (&event.release, "shop@1"),
            (&event.environment, "prod"),
            (&event.server_name, "vm"),
            (&event.trace_id, "abc"),
            (&event.user.as_ref().unwrap().id, "7"),
            (&event.user.as_ref().unwrap().email, "u@example.org"),
            (&event.sdk.as_ref().unwrap().version, "11"),
        ] {
            assert_eq!(text.as_deref(), Some(expected));
        }
        assert!(event.timestamp.is_some());
        assert!(event.logger.is_none() && event.id.is_none());
    }

    #[test]
    fn only_errors_and_worse_are_events() {
        for (fields, expected) in [
            (r#""level":"error""#, Some(Level::Error)),
            (r#""level":"fatal""#, Some(Level::Fatal)),
            (r#""severity_number":17"#, Some(Level::Error)),
            (r#""severity_number":24"#, Some(Level::Fatal)),
            (r#""level":"warn","severity_number":17"#, None),
            (r#""level":"info""#, None),
            (r#""level":"trace""#, None),
            (r#""severity_number":16"#, None),
            (r#""severity_number":-1"#, None),
            (r#""severity_number":99"#, None),
            (r#""body":"x""#, None),
        ] {
            let body = format!(r#"{{"items":[{{{fields}}}]}}"#);
            let events = parse_logs(body.as_bytes()).unwrap();
            let levels: Vec<_> = events.iter().map(|event| event.level).collect();
            assert_eq!(levels.first().copied(), expected, "{fields}");
        }
    }

    #[test]
    fn keeps_the_ends_of_very_many() {
        let record = |number| format!(r#"{{"level":"error","body":"{number}"}}"#);
        let records: Vec<_> = (0..300).map(record).collect();

        let found = titles(&format!(r#"{{"items":[{}]}}"#, records.join(",")));

        assert_eq!(found.len(), 100);
        assert_eq!((found[0].as_str(), found[99].as_str()), ("0", "299"));
    }

    #[test]
    fn reads_around_what_has_the_wrong_shape() {
        for (body, expected) in [
            ("{}", vec![]),
            (r#"{"items":7}"#, vec![]),
            (
                r#"{"items":[null,7,{"level":"error","body":{"a":1},"attributes":[]}]}"#,
                vec![r#"{"a":1}"#],
            ),
            (
                r#"{"items":[{"level":"error"}]}"#,
                vec!["<unlabeled event>"],
            ),
        ] {
            assert_eq!(titles(body), expected, "{body}");
        }
        assert_eq!(parse_logs(b"7").unwrap_err().reason(), "not_an_object");
        assert_eq!(parse_logs(b"{").unwrap_err().reason(), "invalid_json");
    }

    #[test]
    fn knows_the_platform_of_an_sdk() {
        for (sdk, expected) in [
            ("sentry.python", "python"),
            ("sentry.python.django", "python"),
            ("sentry.javascript.browser", "javascript"),
            ("sentry.javascript.node", "node"),
            ("mine", "other"),
        ] {
            assert_eq!(platform_of(sdk), expected);
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), record in "(\"(level|body|attributes)\":(\"error\"|\\{\\}|7|null),?){0,4}") {
            let _ = parse_logs(&bytes);
            let _ = parse_logs(format!("{{\"items\":[{{{record}}}]}}").as_bytes());
        }
    }
}

//! Check-ins of cron monitors: what a `check_in` item or the cron endpoint says, of which only failures are events.
//!
//! Source: <https://develop.sentry.dev/sdk/telemetry/check-ins/>; Relay, `relay-monitors/src/lib.rs`.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::error::ParseError;
use crate::json::{self, Fields, Value};
use crate::model::{Event, EventId, EventKind, Level, Text};

/// Reads a check-in such as `{"check_in_id":"…","monitor_slug":"nightly","status":"error"}`; an event only if it failed.
///
/// The event is named `Cron failure: nightly`, as we believe Sentry words it (not verified), and all failures of a monitor
/// are one issue. Monitors that were missed or took too long are found by Sentry itself and never sent.
///
/// No event either without `monitor_slug`: the cron endpoint has the slug in its path, and what may come in a query
/// (`?status=error`), where a body's reader does not see it.
///
/// # Errors
/// When the body is no JSON, even after repair, or no object.
pub fn parse_check_in(body: &[u8]) -> Result<Option<Event<'_>>, ParseError> {
    let check_in: Option<CheckIn<'_>> = json::read(body).map_err(ParseError::InvalidJson)?;
    let check_in = check_in.ok_or(ParseError::NotAnObject)?;
    Ok(check_in.into_failure())
}

#[derive(Default)]
struct CheckIn<'de> {
    id: Option<EventId>,
    slug: Option<Text<'de>>,
    status: Option<Text<'de>>,
    environment: Option<Text<'de>>,
    release: Option<Text<'de>>,
}

impl<'de> Fields<'de> for CheckIn<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "check_in_id" => self.id = value.read()?,
            "monitor_slug" => self.slug = value.read()?,
            "status" => self.status = value.read()?,
            "environment" => self.environment = value.read()?,
            "release" => self.release = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> CheckIn<'de> {
    fn into_failure(self) -> Option<Event<'de>> {
        let is_failure = self.status.as_deref() == Some("error");
        let slug = self.slug.filter(|_| is_failure)?;
        Some(Event {
            id: self.id,
            kind: EventKind::CheckIn,
            level: Level::Error,
            platform: Cow::Borrowed("other"),
            title: Some(Cow::Owned(format!("Cron failure: {slug}"))),
            fingerprint: vec![Cow::Borrowed("check_in"), slug.clone()],
            tags: vec![(Cow::Borrowed("monitor.slug"), slug)],
            environment: self.environment,
            release: self.release,
            ..Event::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::title::title;

    #[test]
    fn a_failed_check_in_is_an_event() {
        let body = br#"{"check_in_id":"2d5e55883aec46e1bc6d569782f6c23f","monitor_slug":"nightly","status":"error",
            "duration":1.5,"environment":"production","release":"shop@1","monitor_config":{"schedule":{}}}"#;

        let event = parse_check_in(body).unwrap().unwrap();

        assert_eq!(event.id, EventId::parse("2d5e55883aec46e1bc6d569782f6c23f"));
        assert_eq!(
            (event.kind, event.level),
            (EventKind::CheckIn, Level::Error)
        );
        assert_eq!(title(&event), "Cron failure: nightly");
        assert_eq!(event.fingerprint, ["check_in", "nightly"]);
        assert_eq!(event.environment.as_deref(), Some("production"));
        assert_eq!(event.release.as_deref(), Some("shop@1"));
    }

    #[test]
    fn every_other_check_in_is_none() {
        for body in [
            r#"{"monitor_slug":"nightly","status":"ok"}"#,
            r#"{"monitor_slug":"nightly","status":"in_progress"}"#,
            r#"{"monitor_slug":"nightly","status":"ERROR"}"#,
            r#"{"monitor_slug":"nightly"}"#,
            r#"{"monitor_slug":"","status":"error"}"#,
            r#"{"status":"error"}"#,
            "{}",
        ] {
            assert!(parse_check_in(body.as_bytes()).unwrap().is_none(), "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let reason = |body: &[u8]| parse_check_in(body).unwrap_err().reason();

        assert_eq!(reason(b"[]"), "not_an_object");
        assert_eq!(reason(b"{"), "invalid_json");
    }

    proptest! {
        #[test]
        fn never_panics(slug in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_check_in(&bytes);
            let body = serde_json::json!({"monitor_slug": slug, "status": "error"}).to_string();
            prop_assert_eq!(parse_check_in(body.as_bytes()).unwrap().is_some(), !slug.is_empty());
        }
    }
}

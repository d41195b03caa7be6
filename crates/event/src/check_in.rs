//! Check-ins of cron monitors: what a `check_in` item or the cron endpoint says, of which only failures are events.
//!
//! Source: <https://develop.sentry.dev/sdk/telemetry/check-ins/>; Relay, `relay-monitors/src/lib.rs`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::de::MapAccess;

use crate::error::ParseError;
use crate::json::{self, Fields, Value};
use crate::model::{Event, EventId, EventKind, Level, Text};
use crate::query::find;

/// Reads a check-in such as `{"check_in_id":"…","monitor_slug":"nightly","status":"error"}`; an event only if it failed.
///
/// The event is named `Cron failure: nightly`, as we believe Sentry words it (not verified), and all failures of a monitor
/// are one issue. Monitors that were missed or took too long are found by Sentry itself and never sent.
///
/// No event either without `monitor_slug`; for the cron endpoint, which has the slug in its path, see [`parse_cron`].
///
/// # Errors
/// When the body is no JSON, even after repair, or no object.
pub fn parse_check_in(body: &[u8]) -> Result<Option<Event<'_>>, ParseError> {
    let check_in: Option<CheckIn<'_>> = json::read(body).map_err(ParseError::InvalidJson)?;
    let check_in = check_in.ok_or(ParseError::NotAnObject)?;
    Ok(check_in.into_failure())
}

/// Reads a request to the cron endpoint, `/api/42/cron/nightly/[key/]?status=error`; an event only if the check-in failed.
///
/// The slug stands in the path. The rest stands in the body as JSON, or in the query, which fills what the body leaves
/// out: `curl -X POST …/cron/nightly/key/?status=error` is what Sentry's docs tell people to put into a crontab.
///
/// # Errors
/// As [`parse_check_in`]; an empty body is fine.
pub fn parse_cron<'b>(
    path: &str,
    query: Option<&str>,
    body: &'b [u8],
) -> Result<Option<Event<'b>>, ParseError> {
    let mut check_in = CheckIn::default();
    if !body.trim_ascii().is_empty() {
        let said: Option<CheckIn<'_>> = json::read(body).map_err(ParseError::InvalidJson)?;
        check_in = said.ok_or(ParseError::NotAnObject)?;
    }
    let asked = |name| query.and_then(|query| Some(find(query, name)?.into_owned()));
    let in_query = |name| asked(name).filter(|text| !text.is_empty()).map(Cow::Owned);
    check_in.slug = slug_of(path).map(Cow::Owned).or(check_in.slug);
    check_in.status = check_in.status.or_else(|| in_query("status"));
    check_in.environment = check_in.environment.or_else(|| in_query("environment"));
    let id = || EventId::parse(&asked("check_in_id")?);
    check_in.id = check_in.id.or_else(id);
    Ok(check_in.into_failure())
}

/// Returns the segment behind the last `/api/{project}/cron/` of a path, its escapes undone.
fn slug_of(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut windows = segments.windows(4).rev();
    let slug = windows.find_map(|window| match window {
        ["api", _, "cron", slug] => Some(*slug),
        _ => None,
    })?;
    Some(percent_decode_str(slug).decode_utf8_lossy().into_owned())
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
    fn the_cron_endpoint_takes_its_slug_from_the_path_and_the_rest_from_body_or_query() {
        let key = "a".repeat(32);
        for (path, query, body, expected) in [
            (
                "/api/1/cron/nightly/",
                Some("status=error"),
                "",
                Some("nightly"),
            ),
            (
                &*format!("/prefix//api/1/cron/night%2Dly/{key}"),
                Some("x=1&status=error&environment=prod"),
                " \n",
                Some("night-ly"),
            ),
            (
                "/api/1/cron/nightly",
                None,
                r#"{"status":"error"}"#,
                Some("nightly"),
            ),
            (
                "/api/1/cron/nightly",
                Some("status=ok"),
                r#"{"status":"error","monitor_slug":"other"}"#,
                Some("nightly"),
            ),
            (
                "/api/1/cron/nightly",
                Some("status=error"),
                r#"{"duration":3}"#,
                Some("nightly"),
            ),
            (
                "/api/1/cron/nightly",
                Some("status=error"),
                r#"{"status":"ok"}"#,
                None,
            ),
            ("/api/1/cron/nightly", Some("status=ok"), "", None),
            ("/api/1/cron/nightly", Some("status="), "", None),
            ("/api/1/cron/nightly", None, "", None),
            ("/api/1/cron/", Some("status=error"), "", None),
        ] {
            let event = parse_cron(path, query, body.as_bytes()).unwrap();

            let title = event.as_ref().map(title);
            let expected = expected.map(|slug| format!("Cron failure: {slug}"));
            assert_eq!(title, expected, "{path} {query:?} {body}");
        }
        let event = parse_cron(
            "/api/1/cron/nightly/",
            Some("status=error&environment=prod&check_in_id=9ec79c33-ec99-42ab-8353-589fcb2e04dc"),
            b"",
        );
        let event = event.unwrap().unwrap();
        assert_eq!(event.environment.as_deref(), Some("prod"));
        assert!(event.id.is_some());
        assert_eq!(event.fingerprint, ["check_in", "nightly"]);
    }

    #[test]
    fn a_broken_body_of_the_cron_endpoint_is_refused() {
        let refused = parse_cron("/api/1/cron/nightly/", Some("status=error"), b"{broken");

        assert_eq!(refused.unwrap_err().reason(), "invalid_json");
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
            let _ = parse_cron(&slug, Some(&slug), &bytes);
            let body = serde_json::json!({"monitor_slug": slug, "status": "error"}).to_string();
            prop_assert_eq!(parse_check_in(body.as_bytes()).unwrap().is_some(), !slug.is_empty());
        }
    }
}

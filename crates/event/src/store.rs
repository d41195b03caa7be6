//! Reads one event, as it stands in a store body or in an envelope's `event` item, and normalises it as Relay does.
//!
//! Source: Relay, `relay-event-schema/src/protocol/event.rs` (fields, old names) and `relay-event-normalization/src/event.rs`.

mod context;
mod crash;
mod exception;
mod frame;

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::error::ParseError;
use crate::json::{self, Fields, Value};
use crate::model::{Event, EventId, EventKind, Level, LogEntry, SecurityReport, Text};
use crate::security::{Csp, Host};

use context::Contexts;

pub(crate) use crash::CrashFields;

/// Reads an event from JSON such as `{"event_id":"…","exception":{"values":[…]}}`.
///
/// `header_id` is the id in the envelope's header; it counts when the event has none. A field of the wrong type reads as
/// absent. Kept are at most 100 exceptions, 250 threads, 2000 frames of one stack and 10,000 of all exceptions (from
/// both ends), 200 tags and 16 KiB of one text.
///
/// # Errors
/// When the body is no JSON, even after repair, or no object.
pub fn parse_event(body: &[u8], header_id: Option<EventId>) -> Result<Event<'_>, ParseError> {
    let fields = json::read::<Option<EventFields<'_>>>(body).map_err(ParseError::InvalidJson)?;
    let mut event = fields.ok_or(ParseError::NotAnObject)?.into_event();
    event.id = event.id.or(header_id);
    Ok(event)
}

/// The fields as they came: what has more than one name is told apart until all are known.
#[derive(Default)]
struct EventFields<'de> {
    event: Event<'de>,
    declared_type: Option<Text<'de>>,
    level: Option<Level>,
    platform: Option<Text<'de>>,
    /// The top-level `message`: a text, or an object such as sentry-native's `{"formatted":…}`.
    message: Option<LogEntry<'de>>,
}

impl<'de> Fields<'de> for EventFields<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        let event = &mut self.event;
        match name {
            "event_id" => event.id = value.read()?,
            "type" => self.declared_type = value.read()?,
            "level" => self.level = value.read()?,
            "platform" => self.platform = value.read()?,
            "timestamp" => event.timestamp = value.read()?,
            "title" => event.title = value.read()?,
            "culprit" => event.culprit = value.read()?,
            "transaction" => event.transaction = value.read()?,
            "logger" => event.logger = value.read()?,
            "release" => event.release = value.read()?,
            "dist" => event.dist = value.read()?,
            "environment" => event.environment = value.read()?,
            "server_name" => event.server_name = value.read()?,
            "checksum" => event.checksum = value.read()?,
            "fingerprint" => event.fingerprint = value.read()?,
            "tags" => event.tags = value.read()?,
            "message" => self.message = value.read()?,
            _ => return self.read_interface(name, value),
        }
        Ok(())
    }
}

impl<'de> EventFields<'de> {
    /// Until 2017 SDKs named the structured fields after Sentry's Python classes.
    fn read_interface<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error> {
        let event = &mut self.event;
        match name {
            "logentry" | "sentry.interfaces.Message" => event.logentry = value.read()?,
            "exception" | "sentry.interfaces.Exception" => event.exceptions = value.read()?,
            "stacktrace" | "sentry.interfaces.Stacktrace" => event.stacktrace = value.read()?,
            "threads" | "sentry.interfaces.Threads" => event.threads = value.read()?,
            "template" | "sentry.interfaces.Template" => event.template = value.read()?,
            "user" | "sentry.interfaces.User" => event.user = value.read()?,
            "request" | "sentry.interfaces.Http" => event.request = value.read()?,
            "sdk" | "sentry.interfaces.Sdk" => event.sdk = value.read()?,
            "contexts" | "sentry.interfaces.Contexts" => {
                let contexts: Option<Contexts<'de>> = value.read()?;
                event.trace_id = contexts.and_then(Contexts::into_trace_id);
            }
            _ => return self.read_security(name, value),
        }
        Ok(())
    }

    fn read_security<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error> {
        let kind = match name {
            "csp" | "sentry.interfaces.Csp" => {
                let report: Option<Csp<'de>> = value.read()?;
                self.event.security = report.map(SecurityReport::from);
                return Ok(());
            }
            "hpkp" | "sentry.interfaces.Hpkp" => "hpkp",
            "expectct" | "sentry.interfaces.ExpectCT" => "expect-ct",
            "expectstaple" | "sentry.interfaces.ExpectStaple" => "expect-staple",
            _ => return value.skip(),
        };
        let report: Option<Host<'de>> = value.read()?;
        self.event.security = report.map(|host| host.report(kind));
        Ok(())
    }

    fn into_event(self) -> Event<'de> {
        let mut event = self.event;
        event.platform = self.platform.unwrap_or(Cow::Borrowed("other"));
        event.logentry = merge(event.logentry, self.message);
        trim_names(&mut event);
        give_stacktrace_to_single_exception(&mut event);
        take_environment_from_tags(&mut event);
        event.kind = kind_of(&event, self.declared_type.as_deref());
        event.level = self.level.unwrap_or_else(|| default_level(event.kind));
        event
    }
}

/// raven-python sends both: `message` finished, `sentry.interfaces.Message` as template with parameters.
fn merge<'de>(
    entry: Option<LogEntry<'de>>,
    message: Option<LogEntry<'de>>,
) -> Option<LogEntry<'de>> {
    let Some(mut entry) = entry else {
        return message;
    };
    let finished = message.and_then(|message| message.formatted.or(message.message));
    if entry.formatted.is_none() && finished != entry.message {
        entry.formatted = finished;
    }
    Some(entry)
}

fn trim_names(event: &mut Event<'_>) {
    for name in [
        &mut event.title,
        &mut event.culprit,
        &mut event.transaction,
        &mut event.logger,
        &mut event.release,
        &mut event.dist,
        &mut event.environment,
        &mut event.server_name,
        &mut event.checksum,
    ] {
        trim(name);
    }
}

fn trim(name: &mut Option<Text<'_>>) {
    *name = name.take().and_then(|text| match text {
        Cow::Borrowed(text) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
        Cow::Owned(text) => Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(|text| Cow::Owned(text.to_owned())),
    });
}

/// sentry-go and raven send the stack of the only exception beside it.
fn give_stacktrace_to_single_exception(event: &mut Event<'_>) {
    if let [only] = event.exceptions.as_mut_slice()
        && only.stacktrace.is_none()
    {
        only.stacktrace = event.stacktrace.take();
    }
}

fn take_environment_from_tags(event: &mut Event<'_>) {
    if event.environment.is_none() {
        let mut tags = event.tags.iter();
        event.environment = tags
            .find(|(name, _)| name == "environment")
            .map(|(_, value)| value.clone());
    }
}

/// Only some declared types count; everything else follows from the content.
///
/// Source: Relay, `relay-event-normalization/src/event.rs`, `infer_event_type`.
fn kind_of(event: &Event<'_>, declared: Option<&str>) -> EventKind {
    match declared {
        Some("transaction") => return EventKind::Transaction,
        Some("feedback" | "userreportv2") => return EventKind::Feedback,
        Some(_) | None => {}
    }
    if !event.exceptions.is_empty() {
        return EventKind::Error;
    }
    match &event.security {
        Some(SecurityReport::Csp { .. }) => EventKind::Csp,
        Some(SecurityReport::Hostname { .. }) => EventKind::Security,
        None => EventKind::Default,
    }
}

/// What a missing or invalid level means.
fn default_level(kind: EventKind) -> Level {
    if kind == EventKind::Transaction {
        Level::Info
    } else {
        Level::Error
    }
}

#[cfg(test)]
mod tests;

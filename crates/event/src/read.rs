//! From a captured request to its events: which bytes hold them, and which reader they want.
//!
//! The path says little: sentry-python 0.14 posts envelopes to `/store/`, raven-js asks for an image with the event in
//! the query. So the bytes decide, and the kind of endpoint only where they cannot.

use bytes::Bytes;
use http::Method;

use crate::check_in::{parse_check_in, parse_cron};
use crate::crash::{
    Crash, CrashSource, bare_crash, parse_attached_event, parse_crash, parse_crash_event,
};
use crate::decode::{Codings, decode, decode_query};
use crate::dsn::Dsn;
use crate::endpoint::{EndpointKind, ProjectId};
use crate::envelope::{Envelope, Item, ItemCounts, ItemType};
use crate::error::{DecodeError, ParseError};
use crate::log::parse_logs;
use crate::model::{Event, EventId, EventKind};
use crate::security::parse_reports;
use crate::store::parse_event;

/// Returns what a request carries, decoded: its body, or for a GET the `sentry_data` of its query. At most `limit` bytes.
///
/// # Errors
/// As [`decode`].
pub fn decode_body(
    method: &Method,
    query: Option<&str>,
    codings: impl Into<Codings>,
    body: &[Bytes],
    limit: usize,
) -> Result<Bytes, DecodeError> {
    if method == Method::GET
        && let Some(data) = query.and_then(|query| decode_query(query, limit).transpose())
    {
        return data;
    }
    decode(codings, body, limit)
}

/// Reads the events of a request: its decoded body, and for the cron endpoint what path and query say.
///
/// `path_and_query` is as it came, such as `/api/42/cron/nightly/?status=error`.
///
/// # Errors
/// As [`parse_body`].
pub fn parse_request<'b>(
    body: &'b [u8],
    kind: EndpointKind,
    path_and_query: &str,
) -> Result<Parsed<'b>, ParseError> {
    if kind != EndpointKind::Cron {
        return parse_body(body, kind);
    }
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let failure = parse_cron(path, query, body)?;
    Ok(Parsed::of_events(failure.into_iter().collect()))
}

/// Reads the events of a decoded body that was sent to an endpoint of this kind.
///
/// Crash uploads and check-ins are read as such; what the cron endpoint has in path and query takes [`parse_request`].
/// Else an envelope is recognised by its second line, at
/// whatever endpoint. At the envelope endpoint everything is one; for a
/// file of unknown origin use [`EndpointKind::Store`], which takes both.
///
/// # Errors
/// When nothing of the body can be read. An envelope that breaks off gives the events before that place, and the fault
/// in [`Parsed::faults`].
pub fn parse_body(body: &[u8], kind: EndpointKind) -> Result<Parsed<'_>, ParseError> {
    match kind {
        EndpointKind::Security => Ok(Parsed::of_events(parse_reports(body)?)),
        EndpointKind::Minidump => Ok(Parsed::of_crash(parse_crash(body, CrashSource::Minidump)?)),
        EndpointKind::Unreal => Ok(Parsed::of_crash(parse_crash(body, CrashSource::Unreal)?)),
        EndpointKind::Cron => parse_request(body, kind, ""),
        EndpointKind::Envelope => parse_envelope(body),
        EndpointKind::Store
        | EndpointKind::LegacyStore
        | EndpointKind::Attachments
        | EndpointKind::Nel
        | EndpointKind::OtlpTraces
        | EndpointKind::OtlpLogs
        | EndpointKind::VercelLogs
        | EndpointKind::Upload
        | EndpointKind::UserFeedback
        | EndpointKind::ErrorPage
        | EndpointKind::Relay
        | EndpointKind::Other => parse_any(body),
    }
}

/// What a body held.
#[derive(Debug, Default)]
pub struct Parsed<'b> {
    /// The events, in order; each with the envelope's id where it has none itself. Transactions and feedback can be among
    /// them, where an SDK sends them as events.
    pub events: Vec<Event<'b>>,
    /// How many items of each type there were; for a body that is no envelope, one per event.
    pub items: ItemCounts,
    /// The DSN in the envelope's header: the only one when a browser sends through a tunnel.
    pub dsn: Option<Dsn>,
    /// The event id in the envelope's header.
    pub header_id: Option<EventId>,
    /// What could not be read: single items, or all from some place on.
    pub faults: Vec<ParseError>,
}

impl<'b> Parsed<'b> {
    /// Returns the project that the envelope's own DSN names.
    pub fn project(&self) -> Option<ProjectId> {
        self.dsn.as_ref().map(Dsn::project)
    }

    fn of_events(events: Vec<Event<'b>>) -> Self {
        let mut parsed = Self::default();
        for event in events {
            parsed.items.add(match (event.kind, &event.security) {
                (EventKind::CheckIn, _) => ItemType::CheckIn,
                (_, Some(_)) => ItemType::RawSecurity,
                (_, None) => ItemType::Event,
            });
            parsed.events.push(event);
        }
        parsed
    }

    fn of_crash(crash: Crash<'b>) -> Self {
        let mut parsed = Self::of_events(vec![crash.event]);
        parsed.faults.extend(crash.fault);
        parsed
    }

    fn take_item(&mut self, item: &Item<'b>) -> Result<(), ParseError> {
        self.items.add(item.ty);
        match Payload::of(item.ty) {
            Payload::Event => self.events.push(parse_event(item.payload, self.header_id)?),
            Payload::Report => {
                for mut event in parse_reports(item.payload)? {
                    event.id = self.header_id;
                    self.events.push(event);
                }
            }
            Payload::CheckIn => self.events.extend(parse_check_in(item.payload)?),
            Payload::Log => self.events.extend(parse_logs(item.payload)?),
            Payload::NoEvent => {}
        }
        Ok(())
    }

    /// Makes the envelope's event a crash, or one of its own when there is no event.
    ///
    /// An event with exceptions stays the error that it is: the SDK has told what happened. Anything but an error or a
    /// message, such as a transaction, is left alone.
    fn take_crash(&mut self, found: Found<'b>) {
        let Some(source) = found.crash else { return };
        let Some((index, payload)) = found.event else {
            let attached = found.attached_event;
            let crash = attached.map(|payload| parse_attached_event(payload, source));
            let mut crash = crash.unwrap_or_else(|| bare_crash(source));
            crash.event.id = self.header_id.or(crash.event.id);
            self.events.push(crash.event);
            self.faults.extend(crash.fault);
            return;
        };
        let event = &mut self.events[index];
        if event.kind == EventKind::Default
            && let Ok(mut crash) = parse_crash_event(payload, source)
        {
            crash.id = event.id;
            *event = crash;
        }
    }
}

/// What makes an event of an envelope a crash; items come in any order.
#[derive(Default)]
struct Found<'b> {
    /// Where the event stands in [`Parsed::events`], and its payload.
    event: Option<(usize, &'b [u8])>,
    /// The event that Crashpad left, as MessagePack.
    attached_event: Option<&'b [u8]>,
    crash: Option<CrashSource>,
}

impl<'b> Found<'b> {
    fn note(&mut self, item: &Item<'b>, index: usize) {
        let attachment_type = item.attachment_type.as_deref();
        let is_minidump = attachment_type == Some(MINIDUMP);
        if item.ty == ItemType::Event && self.event.is_none() {
            self.event = Some((index, item.payload));
        } else if item.ty == ItemType::UnrealReport {
            self.crash = Some(CrashSource::Unreal);
        } else if item.ty == ItemType::Attachment && is_minidump {
            self.crash.get_or_insert(CrashSource::Minidump);
        } else if item.ty == ItemType::Attachment && attachment_type == Some(ATTACHED_EVENT) {
            self.attached_event = Some(item.payload);
        }
    }
}

/// Which reader an item's payload wants. Dumps have none: they only make a crash of the event beside them.
enum Payload {
    Event,
    Report,
    CheckIn,
    Log,
    NoEvent,
}

impl Payload {
    fn of(ty: ItemType) -> Self {
        match ty {
            ItemType::Event | ItemType::Security => Self::Event,
            ItemType::RawSecurity => Self::Report,
            ItemType::CheckIn => Self::CheckIn,
            ItemType::Log => Self::Log,
            ItemType::Transaction
            | ItemType::Attachment
            | ItemType::FormData
            | ItemType::UnrealReport
            | ItemType::UserReport
            | ItemType::Feedback
            | ItemType::Session
            | ItemType::Sessions
            | ItemType::ClientReport
            | ItemType::Span
            | ItemType::TraceMetric
            | ItemType::Statsd
            | ItemType::Profile
            | ItemType::ProfileChunk
            | ItemType::ReplayEvent
            | ItemType::ReplayRecording
            | ItemType::ReplayVideo
            | ItemType::Nel
            | ItemType::Other => Self::NoEvent,
        }
    }
}

fn parse_any(body: &[u8]) -> Result<Parsed<'_>, ParseError> {
    if is_envelope(body) {
        return parse_envelope(body);
    }
    Ok(Parsed::of_events(vec![parse_event(body, None)?]))
}

fn parse_envelope(body: &[u8]) -> Result<Parsed<'_>, ParseError> {
    let envelope = Envelope::open(body)?;
    let mut parsed = Parsed {
        dsn: envelope.header.dsn(),
        header_id: envelope.header.event_id,
        ..Parsed::default()
    };
    let mut found = Found::default();
    for item in envelope.items {
        let index = parsed.events.len();
        let taken = item.map_err(ParseError::from).and_then(|item| {
            parsed.take_item(&item)?;
            found.note(&item, index);
            Ok(())
        });
        parsed.faults.extend(taken.err());
    }
    parsed.take_crash(found);
    Ok(parsed)
}

/// Returns whether a line that ends in `}` is followed by one that starts with `{`: in JSON nothing allows that.
fn is_envelope(body: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'\n', body) else {
        return false;
    };
    let (header, rest) = body.split_at(at);
    header.trim_ascii_end().ends_with(b"}") && rest.trim_ascii_start().starts_with(b"{")
}

/// The type of an attachment that is a minidump; a file's name says nothing.
const MINIDUMP: &str = "event.minidump";

/// The type of an attachment that is an event as MessagePack.
const ATTACHED_EVENT: &str = "event.payload";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::EnvelopeError;
    use crate::model::Level;
    use crate::title::title;

    const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";

    fn titles(body: &str, kind: EndpointKind) -> Vec<String> {
        let parsed = parse_body(body.as_bytes(), kind).unwrap();
        parsed.events.iter().map(title).collect()
    }

    #[test]
    fn the_bytes_decide_between_event_and_envelope() {
        let event = "{\"message\":\"m\"}";
        let pretty = "{\n  \"user\": {},\n  \"extra\": {\"a\":\n{}\n},\n  \"message\": \"m\"\n}\n";
        let envelope = "{}\n{\"type\":\"event\"}\n{\"message\":\"m\"}";
        let spaced =
            "{\"event_id\":\"x\"} \r\n\n{\"type\":\"event\",\"length\":15}\n{\"message\":\"m\"}";
        for kind in [EndpointKind::Store, EndpointKind::LegacyStore] {
            for body in [event, pretty, envelope, spaced] {
                assert_eq!(titles(body, kind), ["m"], "{body}");
            }
        }
        for body in [envelope, spaced] {
            assert_eq!(titles(body, EndpointKind::Envelope), ["m"], "{body}");
        }
        assert!(titles("{}", EndpointKind::Envelope).is_empty());
    }

    #[test]
    fn picks_events_and_counts_everything() {
        let body = format!(
            "{{\"event_id\":\"{ID}\",\"dsn\":\"https://k@h/7\"}}\n{{\"type\":\"session\"}}\n{{}}\n{{\"type\":\"event\"}}\n{{\"message\":\"m\"}}\n\
             {{\"type\":\"attachment\",\"length\":16}}\n{{\"type\":\"event\"}}\n{{\"type\":\"brand_new\"}}\n{{\"message\":\"no\"}}\n\
             {{\"type\":\"transaction\"}}\n{{\"message\":\"no\"}}\n"
        );

        let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();

        assert!(parsed.faults.is_empty());
        assert_eq!(parsed.events.len(), 1);
        assert_eq!(parsed.events[0].id.unwrap().to_string(), ID);
        assert_eq!(parsed.header_id, EventId::parse(ID));
        assert_eq!(parsed.project().map(ProjectId::value), Some(7));
        let counts: Vec<_> = parsed
            .items
            .iter()
            .map(|(ty, count)| (ty.as_str(), count))
            .collect();
        assert_eq!(
            counts,
            [
                ("event", 1),
                ("transaction", 1),
                ("attachment", 1),
                ("session", 1),
                ("other", 1)
            ]
        );
    }

    #[test]
    fn an_unreadable_event_is_a_fault_and_the_next_is_read() {
        let body = "{}\n{\"type\":\"event\"}\n{broken\n{\"type\":\"event\"}\n{\"message\":\"m\"}\n{\"type\":\"event\",\"length\":99}\n{}";

        let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();

        assert_eq!(parsed.events.len(), 1);
        assert_eq!(parsed.items.of(ItemType::Event), 2);
        let reasons: Vec<_> = parsed.faults.iter().map(ParseError::reason).collect();
        assert_eq!(
            reasons,
            ["invalid_json", EnvelopeError::LengthPastEnd.reason()]
        );
    }

    #[test]
    fn reads_security_reports_from_their_endpoint_and_from_envelopes() {
        let report =
            r#"{"csp-report":{"effective-directive":"img-src","blocked-uri":"http://b/"}}"#;
        let envelope =
            format!("{{\"event_id\":\"{ID}\"}}\n{{\"type\":\"raw_security\"}}\n{report}");

        assert_eq!(
            titles(report, EndpointKind::Security),
            ["Blocked 'image' from 'b'"]
        );
        assert_eq!(
            titles(&envelope, EndpointKind::Envelope),
            ["Blocked 'image' from 'b'"]
        );
        let parsed = parse_body(envelope.as_bytes(), EndpointKind::Envelope).unwrap();
        assert_eq!(parsed.events[0].id, EventId::parse(ID));
        let parsed = parse_body(report.as_bytes(), EndpointKind::Security).unwrap();
        assert_eq!(parsed.items.of(ItemType::RawSecurity), 1);
    }

    #[test]
    fn a_dump_makes_a_crash_of_the_event_beside_it() {
        let dump =
            "{\"type\":\"attachment\",\"length\":4,\"attachment_type\":\"event.minidump\"}\nMDMP\n";
        let file = "{\"type\":\"attachment\",\"length\":4,\"filename\":\"a.dmp\"}\nMDMP\n";
        let unreal = "{\"type\":\"unreal_report\",\"length\":1}\nx\n";
        let event = "{\"type\":\"event\"}\n{\"release\":\"r\"}\n";
        let error = "{\"type\":\"event\"}\n{\"exception\":[{\"type\":\"E\"}]}\n";
        let broken = "{\"type\":\"event\"}\n{broken\n";
        let (crash, fatal) = (EventKind::Crash, Level::Fatal);
        for (items, expected) in [
            (format!("{dump}{event}"), Some((crash, fatal, "Minidump"))),
            (format!("{event}{dump}"), Some((crash, fatal, "Minidump"))),
            (
                format!("{event}{unreal}"),
                Some((crash, fatal, "Unreal crash")),
            ),
            (
                format!("{error}{dump}"),
                Some((EventKind::Error, Level::Error, "E")),
            ),
            (
                format!("{event}{file}"),
                Some((EventKind::Default, Level::Error, "<unlabeled event>")),
            ),
            (format!("{broken}{dump}"), Some((crash, fatal, "Minidump"))),
            (unreal.to_owned(), Some((crash, fatal, "Unreal crash"))),
            (dump.to_owned(), Some((crash, fatal, "Minidump"))),
            (file.to_owned(), None),
        ] {
            let body = format!("{{\"event_id\":\"{ID}\"}}\n{items}");
            let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();
            assert!(
                parsed
                    .events
                    .iter()
                    .all(|event| event.id == EventId::parse(ID))
            );
            let found: Vec<_> = parsed
                .events
                .iter()
                .map(|event| (event.kind, event.level, title(event)))
                .collect();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(kind, level, title)| (kind, level, title.to_owned()))
                .collect();
            assert_eq!(found, expected, "{items}");
        }
    }

    #[test]
    fn crashpads_event_beside_a_dump_describes_the_crash() {
        let dump =
            "{\"type\":\"attachment\",\"length\":4,\"attachment_type\":\"event.minidump\"}\nMDMP\n";
        let attached = |bytes: &str| {
            let length = bytes.len();
            format!(
                "{{\"type\":\"attachment\",\"length\":{length},\"attachment_type\":\"event.payload\"}}\n{bytes}\n"
            )
        };
        let event = "{\"type\":\"event\"}\n{\"release\":\"own\"}\n";
        // A number where a map should be.
        let broken = attached("\u{7f}x");
        for (items, release, faults) in [
            (format!("{}{dump}", attached("\u{0}")), None, 1),
            (format!("{dump}{broken}"), None, 1),
            (format!("{dump}{event}{broken}"), Some("own"), 0),
            (attached("x"), None, 0),
        ] {
            let body = format!("{{\"event_id\":\"{ID}\"}}\n{items}");
            let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();
            assert_eq!(parsed.faults.len(), faults, "{items}");
            let event = parsed.events.first();
            assert_eq!(event.is_some(), items.contains("MDMP"), "{items}");
            assert_eq!(
                event.and_then(|event| event.release.as_deref()),
                release,
                "{items}"
            );
        }
        let pack = b"\x81\xa7release\xa3r@1";
        let head = format!(
            "{{}}\n{dump}{{\"type\":\"attachment\",\"length\":{},\"attachment_type\":\"event.payload\"}}\n",
            pack.len()
        );
        let body = [head.as_bytes(), pack].concat();
        let parsed = parse_body(&body, EndpointKind::Envelope).unwrap();
        assert_eq!(parsed.events[0].release.as_deref(), Some("r@1"));
    }

    #[test]
    fn reads_check_ins_and_logs_among_the_items() {
        let body = "{}\n{\"type\":\"check_in\"}\n{\"monitor_slug\":\"nightly\",\"status\":\"error\"}\n{\"type\":\"check_in\"}\n{\"status\":\"ok\"}\n\
            {\"type\":\"log\"}\n{\"items\":[{\"level\":\"info\",\"body\":\"no\"},{\"level\":\"error\",\"body\":\"yes\"}]}\n{\"type\":\"log\"}\n[]\n";

        let parsed = parse_body(body.as_bytes(), EndpointKind::Envelope).unwrap();

        let found: Vec<_> = parsed
            .events
            .iter()
            .map(|event| (event.kind.as_str(), title(event)))
            .collect();
        assert_eq!(
            found,
            [
                ("check_in", "Cron failure: nightly".to_owned()),
                ("log", "yes".to_owned())
            ]
        );
        assert_eq!(parsed.faults[0].reason(), "not_an_object");
        assert_eq!(parsed.faults.len(), 1);
    }

    #[test]
    fn reads_crash_uploads_and_cron_bodies() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"; filename=\"a\"\r\n\r\nMDMP\r\n\
            --b\r\nContent-Disposition: form-data; name=\"sentry\"\r\n\r\n{broken\r\n--b--\r\n";
        let failure = "{\"monitor_slug\":\"nightly\",\"status\":\"error\"}";

        let parsed = parse_body(form.as_bytes(), EndpointKind::Minidump).unwrap();
        assert_eq!(parsed.faults[0].reason(), "invalid_json");
        assert_eq!(parsed.items.of(ItemType::Event), 1);
        assert_eq!(titles(form, EndpointKind::Minidump), ["Minidump"]);
        assert_eq!(titles("x\u{9c}", EndpointKind::Unreal), ["Unreal crash"]);
        assert_eq!(
            titles(failure, EndpointKind::Cron),
            ["Cron failure: nightly"]
        );
        let parsed = parse_body(failure.as_bytes(), EndpointKind::Cron).unwrap();
        assert_eq!(parsed.items.of(ItemType::CheckIn), 1);
        assert!(titles("{\"status\":\"error\"}", EndpointKind::Cron).is_empty());
        let parsed = parse_request(b"", EndpointKind::Cron, "/api/1/cron/nightly/?status=error");
        assert_eq!(title(&parsed.unwrap().events[0]), "Cron failure: nightly");
        let parsed = parse_request(
            b"{\"message\":\"m\"}",
            EndpointKind::Store,
            "/api/1/store/?x",
        );
        assert_eq!(title(&parsed.unwrap().events[0]), "m");
        assert!(titles(" ", EndpointKind::Cron).is_empty());
    }

    #[test]
    fn names_why_a_body_cannot_be_read() {
        let reason = |body: &str, kind| parse_body(body.as_bytes(), kind).unwrap_err().reason();

        assert_eq!(reason("", EndpointKind::Store), "invalid_json");
        assert_eq!(reason("[]", EndpointKind::Store), "not_an_object");
        assert_eq!(
            reason("", EndpointKind::Envelope),
            "invalid_envelope_header"
        );
        assert_eq!(reason("{", EndpointKind::Security), "invalid_json");
        assert_eq!(reason("{} x}\n{", EndpointKind::Store), "missing_newline");
    }

    #[test]
    fn a_get_carries_its_event_in_the_query() {
        let decoded = |method, query, body: &'static [u8]| {
            decode_body(
                &method,
                query,
                Codings::NONE,
                &[Bytes::from_static(body)],
                100,
            )
            .unwrap()
        };
        let query = Some("sentry_key=k&sentry_data=%7B%22message%22%3A%22a+b%22%7D");

        assert_eq!(decoded(Method::GET, query, b""), r#"{"message":"a b"}"#);
        assert_eq!(decoded(Method::POST, query, b"{}"), "{}");
        assert_eq!(decoded(Method::GET, Some("x=1"), b"{}"), "{}");
        assert_eq!(decoded(Method::GET, None, b"{}"), "{}");
    }

    proptest! {
        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..80), text in "(\\{\\}|\\{\"type\":\"event\"\\}|\\{\"message\":\"m\"\\}|\n|\\[|x){0,12}") {
            for kind in [EndpointKind::Store, EndpointKind::Envelope, EndpointKind::Security, EndpointKind::Minidump, EndpointKind::Unreal, EndpointKind::Cron] {
                let _ = parse_body(&body, kind);
                let _ = parse_body(text.as_bytes(), kind);
            }
        }
    }
}

//! Crashes of native programs: minidumps and Unreal reports, and the form fields that come with them.
//!
//! Source: <https://docs.sentry.io/platforms/native/guides/minidumps/#passing-additional-data>; Relay,
//! `relay-server/src/endpoints/{minidump,unreal}.rs`, `relay-server/src/utils/multipart.rs`. Crashpad attaches its event as
//! MessagePack (`__sentry-event`); its breadcrumbs (`__sentry-breadcrumb1` and `2`) are not read, as those of no event are.
//!
//! The dump itself is not opened. Before it is symbolicated, all crashes look alike: without an exception, message or
//! fingerprint of the client's they are one issue per project and reporter, which Sentry splits by stack afterwards.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::ParseError;
use crate::model::Event;
use crate::multipart::{Part, Parts};
use crate::store::CrashFields;

/// What reported a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashSource {
    /// Breakpad or Crashpad: a minidump.
    Minidump,
    /// The crash reporter of the Unreal engine.
    Unreal,
}

impl CrashSource {
    /// Returns the name that stands in fingerprints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minidump => "minidump",
            Self::Unreal => "unreal",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Minidump => "Minidump",
            Self::Unreal => "Unreal crash",
        }
    }
}

/// A crash, and what was wrong with the payload that describes it: that never costs the crash.
#[derive(Debug)]
pub struct Crash<'b> {
    /// The event: a [`crate::EventKind::Crash`], fatal and `native` unless the payload says otherwise.
    pub event: Event<'b>,
    /// Why the payload could not be read.
    pub fault: Option<ParseError>,
}

/// Reads the body of a crash upload, decoded.
///
/// It is a form, recognised by its first line, or the bare dump. A form holds the dump as `upload_file_minidump` and may
/// describe the event: in Crashpad's MessagePack file `__sentry-event`; in the field `sentry` with an event's JSON, or the
/// same cut into `sentry__1`, `sentry__2` and so on; or in one field per value, such as `sentry[release]` and
/// `sentry[tags][color]`. The first of these wins where several say something. Of bare dumps, minidumps (`MDMP`, also
/// packed by gzip, zstd, xz or bzip2) and any Unreal report that is not empty are known.
///
/// Not read: Crashpad's breadcrumbs, and what an Unreal report holds inside.
///
/// # Errors
/// [`ParseError::NotACrash`] when there is no dump.
pub fn parse_crash(body: &[u8], source: CrashSource) -> Result<Crash<'_>, ParseError> {
    let Some(parts) = Parts::open(body) else {
        return match is_dump(body, source) {
            true => Ok(bare_crash(source)),
            false => Err(ParseError::NotACrash),
        };
    };
    let form = Form::of(parts);
    if !form.has_dump && source == CrashSource::Minidump {
        return Err(ParseError::NotACrash);
    }
    Ok(form.into_crash(source))
}

/// Returns a crash of which nothing is known but that it happened.
pub(crate) fn bare_crash<'b>(source: CrashSource) -> Crash<'b> {
    finish(CrashFields::default(), source, None)
}

/// Reads the event that lies beside a dump in an envelope.
///
/// # Errors
/// As [`crate::parse_event`].
pub(crate) fn parse_crash_event(body: &[u8], source: CrashSource) -> Result<Event<'_>, ParseError> {
    Ok(finish(CrashFields::read(body)?, source, None).event)
}

/// Reads the event that Crashpad left beside a dump, as MessagePack. What is wrong with it costs no crash.
pub(crate) fn parse_attached_event(message_pack: &[u8], source: CrashSource) -> Crash<'_> {
    match CrashFields::read_message_pack(message_pack) {
        Ok(fields) => finish(fields, source, None),
        Err(fault) => finish(CrashFields::default(), source, Some(fault)),
    }
}

/// The fields of an upload that matter here.
#[derive(Default)]
struct Form<'b> {
    has_dump: bool,
    /// `__sentry-event`.
    message_pack: Option<&'b [u8]>,
    /// `sentry`.
    json: Option<&'b [u8]>,
    /// `sentry__N`, by number.
    chunks: Vec<(u32, &'b [u8])>,
    /// `sentry[…]`, as the object that they spell.
    values: Map<String, Value>,
}

impl<'b> Form<'b> {
    fn of(parts: Parts<'b>) -> Self {
        let mut form = Self::default();
        for part in parts {
            form.take(part);
        }
        form.chunks.sort_by_key(|(number, _)| *number);
        form
    }

    fn take(&mut self, part: Part<'b>) {
        if part.name == "upload_file_minidump" {
            self.has_dump = true;
        } else if part.name == "__sentry-event" {
            self.message_pack = Some(part.content);
        }
        let Some(rest) = part.name.strip_prefix("sentry").filter(|_| !part.is_file) else {
            return;
        };
        if rest.is_empty() {
            self.json = Some(part.content);
        } else if let Some(number) = rest.strip_prefix("__") {
            let number = number.parse().ok();
            self.chunks
                .extend(number.map(|number| (number, part.content)));
        } else if let Some(path) = path_of(rest) {
            insert(&mut self.values, &path, text_of(part.content));
        }
    }

    /// What Crashpad attached knows best, single values least.
    fn into_crash(self, source: CrashSource) -> Crash<'b> {
        let values = Value::Object(self.values.clone()).to_string();
        let mut fields = CrashFields::default();
        let mut fault = None;
        for payload in [
            self.attached(),
            self.described(),
            CrashFields::read_owned(values.as_bytes()),
        ] {
            match payload {
                Ok(payload) => fields.fill_from(payload),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        finish(fields, source, fault)
    }

    /// Reads the event that Crashpad attached.
    fn attached(&self) -> Result<CrashFields<'b>, ParseError> {
        let attached = self.message_pack.map(CrashFields::read_message_pack);
        attached.unwrap_or(Ok(CrashFields::default()))
    }

    /// Reads the event's JSON.
    fn described(&self) -> Result<CrashFields<'b>, ParseError> {
        if self.chunks.is_empty() {
            return self
                .json
                .map_or(Ok(CrashFields::default()), CrashFields::read);
        }
        let chunks: Vec<&[u8]> = self.chunks.iter().map(|(_, chunk)| *chunk).collect();
        CrashFields::read_owned(&chunks.concat())
    }
}

fn finish<'b>(
    fields: CrashFields<'b>,
    source: CrashSource,
    fault: Option<ParseError>,
) -> Crash<'b> {
    let mut event = fields.into_event();
    if event.exceptions.is_empty() && event.logentry.is_none() {
        event.title.get_or_insert(Cow::Borrowed(source.title()));
    }
    if !has_own_group(&event) {
        event.fingerprint = vec![Cow::Borrowed("crash"), Cow::Borrowed(source.as_str())];
    }
    Crash { event, fault }
}

fn has_own_group(event: &Event<'_>) -> bool {
    let mut threads = event.threads.iter();
    !event.fingerprint.is_empty()
        || event.checksum.is_some()
        || !event.exceptions.is_empty()
        || event.logentry.is_some()
        || event.stacktrace.is_some()
        || threads.any(|thread| thread.stacktrace.is_some())
}

fn is_dump(body: &[u8], source: CrashSource) -> bool {
    match source {
        CrashSource::Minidump => DUMP_STARTS.iter().any(|start| body.starts_with(start)),
        CrashSource::Unreal => !body.is_empty(),
    }
}

/// Splits `[tags][color]` into its names, at most 8.
fn path_of(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let path: Vec<&str> = inner.split("][").take(MAX_DEPTH + 1).collect();
    (path.len() <= MAX_DEPTH).then_some(path)
}

/// Puts a text where its path says; one that another field already uses otherwise is dropped.
fn insert(object: &mut Map<String, Value>, path: &[&str], text: String) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut object = object;
    for name in parents {
        let child = object
            .entry(*name)
            .or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(child) = child else { return };
        object = child;
    }
    object.entry(*last).or_insert(Value::String(text));
}

fn text_of(content: &[u8]) -> String {
    let near = &content[..content.len().min(MAX_VALUE)];
    String::from_utf8_lossy(near).into_owned()
}

/// How a minidump starts, and what packed ones start with (gzip, zstd, xz, bzip2).
const DUMP_STARTS: [&[u8]; 5] = [
    b"MDMP",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"BZh",
];

const MAX_DEPTH: usize = 8;

/// Bytes of one field's value.
const MAX_VALUE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EventKind, Level};
    use crate::title::title;

    const DUMP: (&str, &str) = ("upload_file_minidump\"; filename=\"a.dmp", "MDMP\u{93}");

    fn form(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut body = String::new();
        for (name, content) in fields {
            body += &format!(
                "--boundary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n"
            );
        }
        (body + "--boundary--\r\n").into_bytes()
    }

    fn with<T>(fields: &[(&str, &str)], question: impl Fn(&Crash<'_>) -> T) -> T {
        let fields: Vec<_> = [DUMP].iter().chain(fields).copied().collect();
        question(&parse_crash(&form(&fields), CrashSource::Minidump).unwrap())
    }

    #[test]
    fn a_bare_dump_is_a_fatal_crash() {
        for (body, source, named, fingerprint) in [
            (
                &b"MDMP\x93\xa7\0\0"[..],
                CrashSource::Minidump,
                "Minidump",
                "minidump",
            ),
            (
                b"\x1f\x8b\x08",
                CrashSource::Minidump,
                "Minidump",
                "minidump",
            ),
            (
                b"\x78\x9c\x01",
                CrashSource::Unreal,
                "Unreal crash",
                "unreal",
            ),
        ] {
            let crash = parse_crash(body, source).unwrap();
            let event = crash.event;
            assert_eq!((event.kind, event.level), (EventKind::Crash, Level::Fatal));
            assert_eq!(event.platform, "native");
            assert_eq!(title(&event), named);
            assert_eq!(event.fingerprint, ["crash", fingerprint]);
            assert!(crash.fault.is_none());
        }
    }

    #[test]
    fn what_holds_no_dump_is_refused() {
        let described = form(&[("sentry", "{}")]);
        for (body, source) in [
            (&b""[..], CrashSource::Minidump),
            (b"", CrashSource::Unreal),
            (b"{}", CrashSource::Minidump),
            (&described, CrashSource::Minidump),
        ] {
            let refused = parse_crash(body, source).unwrap_err();
            assert_eq!(refused.reason(), "not_a_crash", "{body:?}");
        }
        assert!(parse_crash(&described, CrashSource::Unreal).is_ok());
    }

    #[test]
    fn json_describes_the_event() {
        let json = r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","release":"game@1","environment":"prod","level":"error","platform":"csharp",
            "tags":{"a":"b"},"user":{"id":"7"},"exception":[{"type":"SIGSEGV","value":"null"}]}"#;

        with(&[("sentry", json)], |crash| {
            let event = &crash.event;
            assert_eq!(event.kind, EventKind::Crash);
            assert_eq!(event.level, Level::Error);
            assert_eq!(event.platform, "csharp");
            assert_eq!(title(event), "SIGSEGV: null");
            assert_eq!(event.release.as_deref(), Some("game@1"));
            assert_eq!(event.environment.as_deref(), Some("prod"));
            assert_eq!(event.user.as_ref().unwrap().id.as_deref(), Some("7"));
            assert!(event.id.is_some());
            assert!(event.fingerprint.is_empty());
        });
    }

    /// An upload as Crashpad makes it, with this as `__sentry-event`, a file.
    fn crashpad(message_pack: &[u8], rest: &[(&str, &str)]) -> Vec<u8> {
        let attached = b"--boundary\r\nContent-Disposition: form-data; name=\"__sentry-event\"; filename=\"__sentry-event\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n";
        let rest: Vec<_> = [DUMP].iter().chain(rest).copied().collect();
        [attached, message_pack, b"\r\n", &form(&rest)].concat()
    }

    fn packed(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec(value).unwrap()
    }

    #[test]
    fn crashpads_message_pack_describes_the_event() {
        let event = packed(&serde_json::json!({
            "event_id": "9ec79c33-ec99-42ab-8353-589fcb2e04dc", "level": "fatal", "release": "game@1", "environment": "prod",
            "user": {"id": 7, "ip_address": "{{auto}}"}, "tags": {"gpu": "none"}, "contexts": {"os": {"name": "Windows"}},
            "breadcrumbs": [[{"message": "deep", "data": [1.5, null, true]}]], "fingerprint": ["{{ default }}", "gpu"],
            "sdk": {"name": "sentry.native", "version": "0.7"},
        }));
        let fields = [
            ("sentry", r#"{"release":"other","dist":"9"}"#),
            ("sentry[tags][color]", "red"),
        ];

        let body = crashpad(&event, &fields);
        let crash = parse_crash(&body, CrashSource::Minidump).unwrap();

        assert!(crash.fault.is_none(), "{:?}", crash.fault);
        let event = crash.event;
        assert_eq!(
            event.id.unwrap().to_string(),
            "9ec79c33ec9942ab8353589fcb2e04dc"
        );
        assert_eq!((event.kind, event.level), (EventKind::Crash, Level::Fatal));
        assert_eq!(event.release.as_deref(), Some("game@1"));
        assert_eq!(event.dist.as_deref(), Some("9"));
        assert_eq!(event.environment.as_deref(), Some("prod"));
        assert_eq!(event.user.unwrap().id.as_deref(), Some("7"));
        assert_eq!(event.fingerprint, ["{{ default }}", "gpu"]);
        let tags: Vec<_> = event.tags.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(tags, ["gpu", "color"]);
    }

    #[test]
    fn hand_made_message_pack_is_read_as_leniently_as_json() {
        // {"release": "r", "level": <3 bytes>, "dist": <ext type 5>, "environment": -1, "logger": <no UTF-8>,
        // "tags": [["a", "b"], nil]}
        let event = b"\x86\xa6logger\xa2\xff\xfe\xa7release\xa1r\xa5level\xc4\x03abc\xa4dist\xd4\x05\x00\xabenvironment\xff\xa4tags\x92\x92\xa1a\xa1b\xc0";

        let body = crashpad(event, &[]);
        let crash = parse_crash(&body, CrashSource::Minidump).unwrap();

        assert!(crash.fault.is_none(), "{:?}", crash.fault);
        let event = crash.event;
        assert_eq!(event.release.as_deref(), Some("r"));
        assert_eq!(event.level, Level::Fatal);
        assert_eq!((event.dist, event.logger), (None, None));
        assert_eq!(event.environment.as_deref(), Some("-1"));
        assert_eq!(event.tags, [("a".into(), "b".into())]);
    }

    #[test]
    fn hostile_message_pack_never_costs_the_crash() {
        let deep = [b"\x81\xa5extra".as_slice(), &b"\x91".repeat(100_000)].concat();
        let lying_list = b"\x81\xa4tags\xdd\xff\xff\xff\xff";
        let lying_text = b"\x81\xa7release\xdb\xff\xff\xff\xffx";
        for (bytes, reason) in [
            (deep.as_slice(), "invalid_message_pack"),
            (lying_list, "invalid_message_pack"),
            (lying_text, "invalid_message_pack"),
            (b"", "invalid_message_pack"),
            (b"\xc1", "invalid_message_pack"),
            (b"\x81\x01\x02", "invalid_message_pack"),
            (b"\x90", "not_an_object"),
            (b"\xc0", "not_an_object"),
            (b"\xa1x", "not_an_object"),
        ] {
            let body = crashpad(bytes, &[("sentry", r#"{"release":"game@1"}"#)]);
            let crash = parse_crash(&body, CrashSource::Minidump).unwrap();

            let found = crash.fault.as_ref().map(ParseError::reason);
            assert_eq!(found, Some(reason), "{:?}", &bytes[..bytes.len().min(20)]);
            assert_eq!(crash.event.release.as_deref(), Some("game@1"));
            assert_eq!(title(&crash.event), "Minidump");
        }
    }

    #[test]
    fn long_texts_of_message_pack_are_cut() {
        let event = packed(&serde_json::json!({"release": "x".repeat(1 << 20)}));

        let body = crashpad(&event, &[]);
        let crash = parse_crash(&body, CrashSource::Minidump).unwrap();

        assert_eq!(crash.event.release.unwrap().len(), 16 << 10);
    }

    #[test]
    fn chunks_are_joined_by_their_numbers() {
        let chunks = [
            ("sentry__10", "1\"}"),
            ("sentry__2", "\"game@"),
            ("sentry__1", "{\"release\":"),
            ("sentry__x", "no"),
        ];

        let release = with(&chunks, |crash| {
            assert!(crash.fault.is_none());
            crash.event.release.as_deref().map(str::to_owned)
        });

        assert_eq!(release.as_deref(), Some("game@1"));
    }

    #[test]
    fn single_values_fill_what_json_leaves_out() {
        let fields = [
            ("sentry[release]", "late"),
            ("sentry[environment]", "prod"),
            ("sentry[level]", "warning"),
            ("sentry[tags][color]", "red"),
            ("sentry[tags][color][deep]", "no"),
            ("sentry[user][id]", "7"),
            ("sentry[message]", "out of memory"),
            ("sentry", r#"{"release":"game@1","tags":{"a":"b"}}"#),
            ("sentry[broken", "x"),
            ("sentry_key", "x"),
        ];

        with(&fields, |crash| {
            let event = &crash.event;
            assert_eq!(event.release.as_deref(), Some("game@1"));
            assert_eq!(event.environment.as_deref(), Some("prod"));
            assert_eq!(event.level, Level::Warning);
            assert_eq!(event.user.as_ref().unwrap().id.as_deref(), Some("7"));
            assert_eq!(title(event), "out of memory");
            assert!(event.fingerprint.is_empty());
            let tags: Vec<_> = event
                .tags
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref()))
                .collect();
            assert_eq!(tags, [("a", "b"), ("color", "red")]);
        });
    }

    #[test]
    fn a_broken_payload_never_costs_the_crash() {
        for (fields, expected) in [
            ([("sentry", "{broken")], "invalid_json"),
            ([("sentry", "[]")], "not_an_object"),
            ([("sentry__1", "{\"a\":")], "invalid_json"),
        ] {
            with(&fields, |crash| {
                assert_eq!(crash.fault.as_ref().unwrap().reason(), expected);
                assert_eq!(title(&crash.event), "Minidump");
            });
        }
    }

    #[test]
    fn files_are_no_fields() {
        let file = [("sentry\"; filename=\"x", r#"{"release":"game@1"}"#)];

        assert!(with(&file, |crash| crash.event.release.is_none()));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..120)) {
            for source in [CrashSource::Minidump, CrashSource::Unreal] {
                let _ = parse_crash(&body, source);
            }
        }

        #[test]
        fn never_panics_on_any_message_pack(bytes in prop::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut event = packed(&serde_json::json!({"exception": {"values": [{"type": "E", "stacktrace": {"frames": [{"lineno": 7}]}}]}, "tags": {"a": "b"}}));
            let at = at.index(event.len());
            event[at] = byte;
            for bytes in [&event, &bytes] {
                let _ = parse_crash(&crashpad(bytes, &[]), CrashSource::Minidump);
            }
        }

        #[test]
        fn never_panics_on_a_mutated_form(at in any::<prop::sample::Index>(), byte in any::<u8>(), end in any::<prop::sample::Index>(), name in "sentry(\\[[a-z\\[\\]]{0,6}\\]?|__[0-9]{0,12}){0,3}") {
            let mut body = form(&[DUMP, (&name, "x"), ("sentry__1", "{}"), ("sentry[tags][a]", "b")]);
            let at = at.index(body.len());
            body[at] = byte;
            let end = end.index(body.len() + 1);
            for body in [&body[..], &body[..end]] {
                for source in [CrashSource::Minidump, CrashSource::Unreal] {
                    let _ = parse_crash(body, source);
                }
            }
        }
    }
}

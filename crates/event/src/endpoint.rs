//! Names what a request path means: which endpoint of Sentry's ingest, for which project.
//!
//! Source: Relay, `relay-server/src/endpoints/mod.rs`. The table is closed and is matched on the raw bytes of the path:
//! nothing is percent-decoded, so a path that only *looks* like an endpoint after decoding is no endpoint.

use std::fmt;
use std::str::FromStr;

use crate::auth::PublicKey;
use crate::error::InvalidProjectId;

/// A path of Sentry's ingest: what it is for, and for which project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What the path is for.
    pub kind: EndpointKind,
    /// The project named in the path; `None` where the path names none.
    pub project: Option<ProjectId>,
    /// The public key, on the endpoints that carry it in the path (cron, unreal).
    pub key: Option<PublicKey>,
}

impl Endpoint {
    /// Returns the endpoint of a request path such as `/api/42/envelope/`, without its query.
    ///
    /// Repeated slashes count as one and the slash at the end is optional, as in Relay. `None` for everything outside
    /// `/api/`, for an ingest path whose project is not a number, and for every path that another server could read
    /// differently: dot segments, encoded dots or slashes, backslashes, `;`, blanks, control and non-ASCII bytes.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::of_usual_path(path).or_else(|| Self::of_any_path(path))
    }

    /// Tells the two paths of nearly every request by what is between their fixed parts. The forwarding thread has no
    /// time to look for others first.
    fn of_usual_path(path: &str) -> Option<Self> {
        let (project, rest) = path.strip_prefix("/api/")?.split_once('/')?;
        let kind = match rest.strip_suffix('/').unwrap_or(rest) {
            "envelope" => EndpointKind::Envelope,
            "store" => EndpointKind::Store,
            _ => return None,
        };
        Some(Self {
            kind,
            project: Some(ProjectId::parse(project)?),
            key: None,
        })
    }

    fn of_any_path(path: &str) -> Option<Self> {
        if !path.starts_with('/') || !is_unambiguous(path) {
            return None;
        }
        let mut segments = [""; MAX_SEGMENTS];
        let mut count = 0;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if segment == "." || segment == ".." {
                return None;
            }
            if let Some(slot) = segments.get_mut(count) {
                *slot = segment;
            }
            count += 1;
        }
        match segments.get(..count) {
            Some(segments) => Self::of_segments(segments),
            None => (segments[0] == "api").then(|| Self::without_project(EndpointKind::Other)),
        }
    }

    /// Returns the endpoint of a path that lies under a prefix such as `/sentry` (the path of an upstream URL or a DSN).
    ///
    /// An empty prefix and `/` mean none. `None` when the path is not under the prefix.
    pub fn of_path_under(prefix: &str, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
        Self::of_path(rest)
    }

    fn of_segments(segments: &[&str]) -> Option<Self> {
        match segments {
            ["api", "store"] => Some(Self::without_project(EndpointKind::LegacyStore)),
            ["api", "relay", ..] | ["api", "0", "relays", ..] => {
                Some(Self::without_project(EndpointKind::Relay))
            }
            ["api", "embed", "error-page"] => Some(Self::without_project(EndpointKind::ErrorPage)),
            ["api", "0", "projects", _, project, "user-feedback"] => Some(Self {
                kind: EndpointKind::UserFeedback,
                project: ProjectId::parse(project),
                key: None,
            }),
            ["api", project, rest @ ..] => Self::of_project(project, rest),
            _ => None,
        }
    }

    fn of_project(project: &str, rest: &[&str]) -> Option<Self> {
        let (kind, key) = match rest {
            ["store"] => (EndpointKind::Store, None),
            ["envelope"] => (EndpointKind::Envelope, None),
            ["minidump"] => (EndpointKind::Minidump, None),
            ["unreal", key] => (EndpointKind::Unreal, PublicKey::parse(key)),
            ["events", _, "attachments"] => (EndpointKind::Attachments, None),
            ["security" | "csp-report"] => (EndpointKind::Security, None),
            ["nel"] => (EndpointKind::Nel, None),
            ["cron", _] => (EndpointKind::Cron, None),
            ["cron", _, key] => (EndpointKind::Cron, PublicKey::parse(key)),
            ["integration", "otlp", "v1", "traces"] => (EndpointKind::OtlpTraces, None),
            ["integration", "otlp", "v1", "logs"] => (EndpointKind::OtlpLogs, None),
            ["integration", "vercel", "logs"] => (EndpointKind::VercelLogs, None),
            ["upload"] | ["upload", _] => (EndpointKind::Upload, None),
            ["user-feedback"] => (EndpointKind::UserFeedback, None),
            _ => return Some(Self::other(project)),
        };
        let project = Some(ProjectId::parse(project)?);
        Some(Self { kind, project, key })
    }

    /// `/api/0/…` is Sentry's web API, where 0 is a version and not a project.
    fn other(first: &str) -> Self {
        Self {
            kind: EndpointKind::Other,
            project: ProjectId::parse(first).filter(|project| project.0 != 0),
            key: None,
        }
    }

    fn without_project(kind: EndpointKind) -> Self {
        Self {
            kind,
            project: None,
            key: None,
        }
    }
}

/// What a path of Sentry's ingest is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointKind {
    /// `/api/{project}/store/`: one JSON event (also by GET), or an envelope from some SDKs.
    Store,
    /// `/api/store/`: as [`EndpointKind::Store`], the project follows from the key.
    LegacyStore,
    /// `/api/{project}/envelope/`.
    Envelope,
    /// `/api/{project}/minidump/`: a native crash.
    Minidump,
    /// `/api/{project}/unreal/{key}/`: a crash of the Unreal engine.
    Unreal,
    /// `/api/{project}/events/{id}/attachments/`.
    Attachments,
    /// `/api/{project}/security/` and `/csp-report/`: browser security reports.
    Security,
    /// `/api/{project}/nel/`: network error logging of browsers.
    Nel,
    /// `/api/{project}/cron/{slug}/[{key}/]`: check-ins.
    Cron,
    /// `/api/{project}/integration/otlp/v1/traces/`.
    OtlpTraces,
    /// `/api/{project}/integration/otlp/v1/logs/`.
    OtlpLogs,
    /// `/api/{project}/integration/vercel/logs/`.
    VercelLogs,
    /// `/api/{project}/upload/[{key}/]`: resumable uploads (TUS).
    Upload,
    /// `/api/{project}/user-feedback/` and the same of the web API.
    UserFeedback,
    /// `/api/embed/error-page/`: the crash report dialog.
    ErrorPage,
    /// Relay's own routes: `/api/0/relays/…`, `/api/relay/…`.
    Relay,
    /// Any other path under `/api/`: the web API and endpoints newer than this table.
    Other,
}

impl EndpointKind {
    /// Returns the kind's name, one of a closed set, for metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::LegacyStore => "legacy_store",
            Self::Envelope => "envelope",
            Self::Minidump => "minidump",
            Self::Unreal => "unreal",
            Self::Attachments => "attachments",
            Self::Security => "security",
            Self::Nel => "nel",
            Self::Cron => "cron",
            Self::OtlpTraces => "otlp_traces",
            Self::OtlpLogs => "otlp_logs",
            Self::VercelLogs => "vercel_logs",
            Self::Upload => "upload",
            Self::UserFeedback => "user_feedback",
            Self::ErrorPage => "error_page",
            Self::Relay => "relay",
            Self::Other => "other",
        }
    }

    /// Returns whether a body sent here may hold an event that [`crate::parse_body`] can read.
    pub fn carries_events(self) -> bool {
        match self {
            Self::Store
            | Self::LegacyStore
            | Self::Envelope
            | Self::Security
            | Self::Minidump
            | Self::Unreal
            | Self::Cron => true,
            Self::Attachments
            | Self::Nel
            | Self::OtlpTraces
            | Self::OtlpLogs
            | Self::VercelLogs
            | Self::Upload
            | Self::UserFeedback
            | Self::ErrorPage
            | Self::Relay
            | Self::Other => false,
        }
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Sentry's number of a project, as it stands in DSNs and paths; leading zeros do not count, as in Relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId(u64);

impl ProjectId {
    /// Reads a project id: 1 to 20 decimal digits that fit 64 bits, nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse().ok().map(Self))?
    }

    /// Returns the number.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl From<u64> for ProjectId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for ProjectId {
    type Err = InvalidProjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(InvalidProjectId)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Returns whether every server reads the path alike: printable ASCII, no `\` and `;`, no query or fragment, and no
/// escape that hides a dot, a separator or a control character.
fn is_unambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'\\' | b';' | b'?' | b'#' => false,
        b'%' => !hides_structure(bytes.get(at + 1..at + 3)),
        byte => byte.is_ascii_graphic(),
    })
}

fn hides_structure(escape: Option<&[u8]>) -> bool {
    let Some(digits) = escape.and_then(|digits| std::str::from_utf8(digits).ok()) else {
        return true;
    };
    match u8::from_str_radix(digits, 16) {
        Ok(byte) => byte.is_ascii_control() || b"./\\;%".contains(&byte),
        Err(_) => true,
    }
}

/// The longest pattern has six segments; one more tells a longer path apart.
const MAX_SEGMENTS: usize = 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(path: &str) -> Option<(EndpointKind, Option<u64>)> {
        let endpoint = Endpoint::of_path(path)?;
        Some((endpoint.kind, endpoint.project.map(ProjectId::value)))
    }

    #[test]
    fn knows_every_row_of_the_table() {
        use EndpointKind::*;
        for (path, kind, project) in [
            ("/api/42/store/", Store, Some(42)),
            ("/api/42/envelope/", Envelope, Some(42)),
            ("/api/42/envelope", Envelope, Some(42)),
            ("/api/42/minidump/", Minidump, Some(42)),
            ("/api/42/unreal/aaaa/", Unreal, Some(42)),
            ("/api/42/events/0f/attachments/", Attachments, Some(42)),
            ("/api/42/security/", Security, Some(42)),
            ("/api/42/csp-report/", Security, Some(42)),
            ("/api/42/nel/", Nel, Some(42)),
            ("/api/42/cron/nightly", Cron, Some(42)),
            ("/api/42/cron/nightly/aaaa/", Cron, Some(42)),
            ("/api/42/integration/otlp/v1/traces", OtlpTraces, Some(42)),
            ("/api/42/integration/otlp/v1/logs/", OtlpLogs, Some(42)),
            ("/api/42/integration/vercel/logs", VercelLogs, Some(42)),
            ("/api/42/upload/", Upload, Some(42)),
            ("/api/42/upload/abc/", Upload, Some(42)),
            ("/api/42/user-feedback/", UserFeedback, Some(42)),
            (
                "/api/0/projects/o/42/user-feedback/",
                UserFeedback,
                Some(42),
            ),
            ("/api/0/projects/o/shop/user-feedback/", UserFeedback, None),
            ("/api/store/", LegacyStore, None),
            ("/api/embed/error-page/", ErrorPage, None),
            ("/api/relay/healthcheck/live/", Relay, None),
            ("/api/0/relays/projectconfigs/", Relay, None),
            ("/api/0/organizations/sentry/releases/", Other, None),
            ("/api/0/a/b/c/d/e/f/g/h/i/j/", Other, None),
            ("/api/42/brand-new/", Other, Some(42)),
            ("/api/42/", Other, Some(42)),
            ("/api/anything", Other, None),
        ] {
            assert_eq!(of(path), Some((kind, project)), "{path}");
        }
    }

    #[test]
    fn collapses_repeated_slashes() {
        let expected = Some((EndpointKind::Envelope, Some(1)));

        assert_eq!(of("//api//1/envelope/"), expected);
        assert_eq!(of("/api/1///envelope///"), expected);
    }

    proptest! {
        #[test]
        fn a_usual_path_means_what_any_path_does(
            path in "/?/api/{1,2}(0|42|007|1{18,22}|relay|embed|a1|\\+1|){1,2}/(envelope|store|cron)?/{0,2}(store)?",
        ) {
            let usual = Endpoint::of_usual_path(&path);

            prop_assert!(usual.is_none() || usual == Endpoint::of_any_path(&path), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_outside_or_ambiguous() {
        for path in [
            "",
            "/",
            "/api",
            "/api/",
            "//api//",
            "/tunnel",
            "/API/1/store/",
            "/xapi/1/store/",
            "api/1/store/",
            "/favicon.ico",
            "/api/1/../2/store/",
            "/api/./1/store/",
            "/api/1/..",
            "/api/1/%2e%2e/store/",
            "/api/%2E/1/store/",
            "/api/1%2fstore/",
            "/api/1%2Fstore/",
            "/api/1%5cstore/",
            "/api\\1\\store",
            "/api/1;x/store/",
            "/api/1%3bx/store/",
            "/api/1/store/\0",
            "/api/1/store/%00",
            "/api/1/%0d%0a/",
            "/api/1/st ore/",
            "/api/1/störe/",
            "/api/1/store/%",
            "/api/1/store/%4",
            "/api/1/store/%zz",
            "/api/1/store/%+1",
            "/api/1/%252e%252e/store/",
            "/api/1/store/?x",
            "/api/1/store/#x",
            "/a/b/c/d/e/f/g/h/i",
        ] {
            assert_eq!(of(path), None, "{path:?}");
        }
    }

    #[test]
    fn refuses_ingest_paths_whose_project_is_no_number() {
        for project in [
            "abc",
            "+1",
            "-1",
            "1e3",
            "1.5",
            "0x1",
            "%31",
            "18446744073709551616",
        ] {
            assert_eq!(of(&format!("/api/{project}/envelope/")), None, "{project}");
        }
        assert_eq!(of(&format!("/api/1{}/store/", "0".repeat(30))), None);
    }

    #[test]
    fn reads_the_key_in_the_path() {
        let key = |path| Endpoint::of_path(path).and_then(|endpoint| endpoint.key);

        assert_eq!(key("/api/1/cron/nightly/k3y/"), PublicKey::parse("k3y"));
        assert_eq!(key("/api/1/unreal/k3y/"), PublicKey::parse("k3y"));
        assert_eq!(key("/api/1/cron/nightly/"), None);
        assert_eq!(key("/api/1/unreal/not-a-key/"), None);
    }

    #[test]
    fn strips_only_a_whole_prefix() {
        let under = |prefix, path| Endpoint::of_path_under(prefix, path).map(|found| found.kind);
        let store = Some(EndpointKind::Store);

        assert_eq!(under("", "/api/1/store/"), store);
        assert_eq!(under("/", "/api/1/store/"), store);
        assert_eq!(under("/sentry", "/sentry/api/1/store/"), store);
        assert_eq!(under("/sentry/", "/sentry/api/1/store/"), store);
        assert_eq!(under("/sentry", "/api/1/store/"), None);
        assert_eq!(under("/sen", "/sentry/api/1/store/"), None);
    }

    #[test]
    fn project_ids_are_plain_numbers() {
        assert_eq!(
            ProjectId::parse("42").map(|id| id.to_string()),
            Some("42".into())
        );
        assert_eq!(ProjectId::parse("007"), ProjectId::parse("7"));
        assert_eq!(
            ProjectId::parse("18446744073709551615"),
            Some(ProjectId(u64::MAX))
        );
        assert!("".parse::<ProjectId>().is_err());
        assert!("+1".parse::<ProjectId>().is_err());
        assert!("000000000000000000001".parse::<ProjectId>().is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_within_api(path in "\\PC{0,80}|(/(api|\\.|%2[ef]|0|1|store|projects)){0,9}/?") {
            if Endpoint::of_path(&path).is_some() {
                prop_assert!(path.trim_start_matches('/').starts_with("api/"));
            }
        }
    }
}

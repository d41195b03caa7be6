//! Decides from a request's head where it goes, or why it goes nowhere. The table is closed: what is not in it is refused.

use bytes::Bytes;
use event::peek::peek;
use event::{Auth, Dsn, Endpoint, EndpointKind};
use http::{HeaderMap, Method, Uri, request};

use crate::answer::Refusal;
use crate::config::ForwardConfig;
use crate::worker::Settings;

/// What decides where a request goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    pub(crate) method: &'r Method,
    /// Path and query.
    pub(crate) target: &'r str,
    /// All that may hold a key; looked at only when keys are listed.
    pub(crate) headers: &'r HeaderMap,
}

/// What a request's head says about where it goes.
#[derive(Debug)]
pub(crate) enum Found {
    /// All of it.
    Known(Route),
    /// The key has to be looked up in the envelope's header, because only listed keys may send.
    KeyInBody(Route),
    /// Project and key have to be looked up there: the request came to the tunnel.
    Tunnel,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// What the path means.
    pub(crate) endpoint: Endpoint,
    /// The path and query to ask Sentry for, where they differ from those that were asked of us.
    pub(crate) target: Option<String>,
}

/// An endpoint's place in [`ENDPOINT_LABELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointLabel(usize);

/// The names of endpoints in metrics: every kind in the order of its discriminant, then what has no kind.
pub(crate) const ENDPOINT_LABELS: [&str; 19] = [
    "store",
    "legacy_store",
    "envelope",
    "minidump",
    "unreal",
    "attachments",
    "security",
    "nel",
    "cron",
    "otlp_traces",
    "otlp_logs",
    "vercel_logs",
    "upload",
    "user_feedback",
    "error_page",
    "relay",
    "other",
    "tunnel",
    "none",
];

impl EndpointLabel {
    /// The label of requests that reached no endpoint.
    pub(crate) const NONE: EndpointLabel = EndpointLabel(ENDPOINT_LABELS.len() - 1);

    const TUNNEL: EndpointLabel = EndpointLabel(ENDPOINT_LABELS.len() - 2);

    pub(crate) fn of(kind: EndpointKind) -> EndpointLabel {
        EndpointLabel(kind as usize)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Returns the endpoint's name, as used in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        ENDPOINT_LABELS[self.0]
    }
}

impl<'r> Asked<'r> {
    /// Reads a parsed head. No endpoint has a use for CONNECT or TRACE. An absolute-form target would name another host; only HTTP/2 carries the host in its target.
    pub(crate) fn of(head: &'r request::Parts) -> Result<Asked<'r>, Refusal> {
        if head.method == Method::CONNECT || head.method == Method::TRACE {
            return Err(Refusal::Method);
        }
        let is_absolute = head.uri.authority().is_some() && head.version != http::Version::HTTP_2;
        match head.uri.path_and_query() {
            Some(target) if !is_absolute => Ok(Asked {
                method: &head.method,
                target: target.as_str(),
                headers: &head.headers,
            }),
            _ => Err(Refusal::Malformed),
        }
    }

    fn path(&self) -> &'r str {
        self.target
            .split_once('?')
            .map_or(self.target, |(path, _)| path)
    }

    fn query(&self) -> Option<&'r str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl Route {
    /// Returns the target to ask Sentry for instead of `asked`.
    pub(crate) fn uri(&self, asked: &Uri) -> Result<Uri, Refusal> {
        match (&self.target, asked.path_and_query()) {
            (Some(target), _) => target.parse().map_err(|_| Refusal::Malformed),
            (None, Some(target)) => Ok(Uri::from(target.clone())),
            (None, None) => Err(Refusal::Malformed),
        }
    }
}

impl Found {
    pub(crate) fn label(&self) -> EndpointLabel {
        match self {
            Found::Known(route) | Found::KeyInBody(route) => EndpointLabel::of(route.endpoint.kind),
            Found::Tunnel => EndpointLabel::TUNNEL,
        }
    }

    /// Completes the route by what the start of the body says.
    pub(crate) fn resolve(
        self,
        settings: &Settings,
        asked: &Asked<'_>,
        start: &[Bytes],
    ) -> Result<Route, Refusal> {
        let dsn = || peek(asked.headers, start).dsn;
        match self {
            Found::Known(route) => Ok(route),
            Found::KeyInBody(route) => {
                let listed = &settings.config().forward.public_keys;
                let is_listed = dsn().is_some_and(|dsn| listed.contains(&dsn.key()));
                if is_listed {
                    Ok(route)
                } else {
                    Err(Refusal::Forbidden)
                }
            }
            Found::Tunnel => tunnel(settings, asked, dsn().ok_or(Refusal::NoDsn)?),
        }
    }
}

/// Decides where a request goes.
pub(crate) fn find(settings: &Settings, asked: &Asked<'_>) -> Result<Found, Refusal> {
    if settings.config().tunnel_path.as_deref() == Some(asked.path()) {
        return if asked.method == Method::POST {
            Ok(Found::Tunnel)
        } else {
            Err(Refusal::Method)
        };
    }
    let (endpoint, prefix) = locate(settings, asked.path())?;
    let permit = permit(&settings.config().forward, asked, &endpoint)?;
    let wanted = settings.upstreams.of(endpoint.project).prefix();
    let target = retarget(asked.target, prefix, wanted);
    let route = Route { endpoint, target };
    match permit {
        Permit::Granted => Ok(Found::Known(route)),
        Permit::KeyMissing => Ok(Found::KeyInBody(route)),
    }
}

/// Sends what came to the tunnel to the project that its envelope names. Wherever the DSN points, it goes to our upstream.
fn tunnel(settings: &Settings, asked: &Asked<'_>, dsn: Dsn) -> Result<Route, Refusal> {
    let endpoint = Endpoint {
        kind: EndpointKind::Envelope,
        project: Some(dsn.project()),
        key: Some(dsn.key()),
    };
    match permit(&settings.config().forward, asked, &endpoint)? {
        Permit::Granted => {}
        Permit::KeyMissing => return Err(Refusal::Forbidden),
    }
    let prefix = settings.upstreams.of(endpoint.project).prefix();
    let query = asked
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let target = Some(format!("{prefix}/api/{}/envelope/{query}", dsn.project()));
    Ok(Route { endpoint, target })
}

/// Looks the path up, under an upstream's prefix (a DSN that kept it) or without one (a DSN that did not).
fn locate<'s>(settings: &'s Settings, path: &str) -> Result<(Endpoint, &'s str), Refusal> {
    let known = settings
        .upstreams
        .prefixes()
        .chain([""])
        .find_map(|prefix| Some((Endpoint::of_path_under(prefix, path)?, prefix)));
    let anything = || {
        settings
            .plan
            .config
            .forward
            .everything
            .then_some((ANYTHING, ""))
    };
    known.or_else(anything).ok_or(Refusal::NotFound)
}

/// Puts the upstream's prefix in the place of the one that the client used; most often they are the same.
fn retarget(asked: &str, used: &str, wanted: &str) -> Option<String> {
    (used != wanted).then(|| format!("{wanted}{}", &asked[used.len()..]))
}

/// What the allow lists say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permit {
    Granted,
    /// Only listed keys may send, and the head holds none.
    KeyMissing,
}

/// Checks the allow lists. A body that carries events may hold the key that the head lacks; and browsers ask first.
fn permit(
    forward: &ForwardConfig,
    asked: &Asked<'_>,
    endpoint: &Endpoint,
) -> Result<Permit, Refusal> {
    let is_project_refused =
        |project| !forward.projects.is_empty() && !forward.projects.contains(&project);
    if endpoint.project.is_some_and(is_project_refused) {
        return Err(Refusal::Forbidden);
    }
    if forward.public_keys.is_empty() {
        return Ok(Permit::Granted);
    }
    match Auth::find(asked.headers, asked.query(), endpoint.key) {
        Some(auth) if forward.public_keys.contains(&auth.key) => Ok(Permit::Granted),
        Some(_) => Err(Refusal::Forbidden),
        None if endpoint.kind.carries_events() && asked.method == Method::POST => {
            Ok(Permit::KeyMissing)
        }
        None => Ok(Permit::Granted),
    }
}

/// What `forward.everything` makes of a path outside the table.
const ANYTHING: Endpoint = Endpoint {
    kind: EndpointKind::Other,
    project: None,
    key: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_label() {
        use EndpointKind::*;
        let kinds = [
            Store,
            LegacyStore,
            Envelope,
            Minidump,
            Unreal,
            Attachments,
            Security,
            Nel,
            Cron,
            OtlpTraces,
            OtlpLogs,
            VercelLogs,
            Upload,
            UserFeedback,
            ErrorPage,
            Relay,
            Other,
        ];

        for kind in kinds {
            assert_eq!(
                ENDPOINT_LABELS[EndpointLabel::of(kind).index()],
                kind.as_str()
            );
        }
        assert_eq!(ENDPOINT_LABELS[EndpointLabel::TUNNEL.index()], "tunnel");
        assert_eq!(ENDPOINT_LABELS[EndpointLabel::NONE.index()], "none");
        assert_eq!(ENDPOINT_LABELS.len(), kinds.len() + 2);
    }
}

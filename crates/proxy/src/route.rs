//! Decides from a request's head where it goes, or why it goes nowhere. The table is closed: what is not in it is refused.

use event::Auth;
use event::endpoint::{Endpoint, EndpointKind};
use http::uri::PathAndQuery;
use http::{Method, Uri, request};

use crate::answer::Refusal;
use crate::config::ForwardConfig;
use crate::worker::Settings;

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// What the path means.
    pub(crate) endpoint: Endpoint,
    pub(crate) label: EndpointLabel,
    /// The target to ask Sentry for.
    pub(crate) target: Uri,
}

/// An endpoint's place in [`ENDPOINT_LABELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointLabel(usize);

/// The names of endpoints in metrics: every kind in the order of its discriminant, then what has no kind.
pub(crate) const ENDPOINT_LABELS: [&str; 18] = [
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
    "none",
];

impl EndpointLabel {
    /// The label of requests that reached no endpoint.
    pub(crate) const NONE: EndpointLabel = EndpointLabel(ENDPOINT_LABELS.len() - 1);

    fn of(kind: EndpointKind) -> EndpointLabel {
        EndpointLabel(kind as usize)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Decides where a request goes.
pub(crate) fn find(settings: &Settings, head: &request::Parts) -> Result<Route, Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    let asked = origin_form(head)?;
    let config = &settings.plan.config;
    let (endpoint, prefix) = locate(settings, asked.path())?;
    permit(&config.forward, head, &endpoint)?;

    let target = retarget(
        asked,
        prefix,
        settings.upstreams.of(endpoint.project).prefix(),
    )?;
    Ok(Route {
        label: EndpointLabel::of(endpoint.kind),
        endpoint,
        target,
    })
}

/// Returns path and query. An absolute-form target would name another host; only HTTP/2 carries the host in its target.
fn origin_form(head: &request::Parts) -> Result<&PathAndQuery, Refusal> {
    let is_absolute = head.uri.authority().is_some() && head.version != http::Version::HTTP_2;
    match head.uri.path_and_query() {
        Some(asked) if !is_absolute => Ok(asked),
        _ => Err(Refusal::Malformed),
    }
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
fn retarget(asked: &PathAndQuery, used: &str, wanted: &str) -> Result<Uri, Refusal> {
    if used == wanted {
        return Ok(Uri::from(asked.clone()));
    }
    let rest = &asked.as_str()[used.len()..];
    format!("{wanted}{rest}")
        .parse()
        .map_err(|_| Refusal::Malformed)
}

/// Checks the allow lists. An envelope whose key stands in its body only is let through: Sentry checks it too.
fn permit(
    forward: &ForwardConfig,
    head: &request::Parts,
    endpoint: &Endpoint,
) -> Result<(), Refusal> {
    if !forward.projects.is_empty()
        && endpoint
            .project
            .is_some_and(|project| !forward.projects.contains(&project))
    {
        return Err(Refusal::Forbidden);
    }
    if !forward.public_keys.is_empty() {
        let auth = Auth::find(&head.headers, head.uri.query(), endpoint.key);
        if auth.is_some_and(|auth| !forward.public_keys.contains(&auth.key)) {
            return Err(Refusal::Forbidden);
        }
    }
    Ok(())
}

/// What `forward.everything` makes of a path outside the table.
const ANYTHING: Endpoint = Endpoint {
    kind: EndpointKind::Other,
    project: None,
    key: None,
};

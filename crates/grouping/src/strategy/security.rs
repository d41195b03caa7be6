//! Groups browser security reports: CSP by directive and what was blocked, the others by kind and host.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/security.py` and `src/sentry/interfaces/security.py`.

use std::borrow::Cow;

use event::model::SecurityReport;

use crate::component::Component;
use crate::stack::Prepared;

use super::{Depth, Findings, VariantKind};

/// Looks at the event's security report.
pub(super) fn strategy<'p>(prepared: &'p Prepared<'_>, _: Depth) -> Findings<'p> {
    let component = match &prepared.event.security {
        None => return Findings::default(),
        Some(SecurityReport::Csp {
            effective_directive,
            violated_directive,
            blocked_uri,
            ..
        }) => csp(effective_directive, violated_directive, blocked_uri),
        Some(SecurityReport::Hostname { kind, hostname }) => {
            let hostname = Component::value("hostname", &**hostname);
            Component::group("security", vec![Component::value("salt", *kind), hostname])
        }
    };
    vec![(VariantKind::Default, component)].into()
}

/// A script that is the page's own says nothing by its address, so the kind of violation counts instead.
fn csp<'p>(directive: &'p str, violated_directive: &'p str, blocked_uri: &'p str) -> Component<'p> {
    let directive = match directive {
        "" => violated_directive.split(' ').next().unwrap_or_default(),
        given => given,
    };
    let blocked = normalize_blocked(blocked_uri);
    let is_local_script = directive == "script-src" && blocked == LOCAL;
    let kind = VIOLATIONS
        .iter()
        .find(|kind| is_local_script && violated_directive.contains(**kind));
    let mut uri = Component::value("uri", blocked);
    if kind.is_some() {
        uri.ignore("violation takes precedence");
    }
    let violation = Component::optional("violation", kind.copied());
    Component::group(
        "csp",
        vec![Component::value("salt", directive), violation, uri],
    )
}

/// Returns the host of a web address, and scheme and host of any other.
fn normalize_blocked(uri: &str) -> Cow<'_, str> {
    if matches!(uri, "" | "self" | LOCAL) {
        return Cow::Borrowed(LOCAL);
    }
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let host = rest
        .strip_prefix("//")
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    match (
        scheme.to_ascii_lowercase().as_str(),
        host.unwrap_or_default(),
    ) {
        ("http" | "https", host) => Cow::Borrowed(host),
        (scheme, "") => Cow::Owned(format!("{scheme}:")),
        (scheme, host) => Cow::Owned(format!("{scheme}://{host}")),
    }
}

const LOCAL: &str = "'self'";
const VIOLATIONS: [&str; 2] = ["'unsafe-inline'", "'unsafe-eval'"];

#[cfg(test)]
mod tests {
    use crate::hash::hash;

    use super::*;

    #[test]
    fn blocked_uris_are_normalised() {
        let cases = [
            ("", LOCAL),
            ("self", LOCAL),
            ("https://cdn.example.com/x.js?y", "cdn.example.com"),
            ("data", "data:"),
            ("data:text/plain,x", "data:"),
            ("ws://example.com/x", "ws://example.com"),
        ];
        for (uri, expected) in cases {
            assert_eq!(normalize_blocked(uri), expected, "{uri}");
        }
    }

    #[test]
    fn an_inline_script_groups_by_violation() {
        let inline = csp("script-src", "script-src 'unsafe-inline'", "self");
        let elsewhere = csp("img-src", "img-src 'unsafe-inline'", "self");

        assert_eq!(inline.hash(), hash(["script-src", "'unsafe-inline'"]));
        assert_eq!(elsewhere.hash(), hash(["img-src", LOCAL]));
    }
}

//! Browser security reports: Content-Security-Policy, HPKP, Expect-CT and Expect-Staple.
//!
//! Source: <https://www.w3.org/TR/CSP3/#deprecated-serialize-violation>, <https://www.w3.org/TR/reporting-1/>, RFC 7469,
//! RFC 9163; Relay, `relay-event-schema/src/protocol/security_report.rs`.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::error::ParseError;
use crate::json::{self, Fields, Value, Weigh};
use crate::model::{Event, EventKind, HttpRequest, LogEntry, SecurityReport, Text};

/// Reads the reports of a body sent to `/security/` or `/csp-report/`, or of a `raw_security` item, each as one event.
///
/// Known are `{"csp-report":{…}}`, `{"expect-ct-report":{…}}`, `{"expect-staple-report":{…}}`, HPKP's own object, and
/// the Reporting API's `{"type":"csp-violation","body":{…}}`, alone or in a list, of which at most 100 are kept. Reports of
/// other types (deprecations, interventions) are left out.
///
/// # Errors
/// When the body is no JSON.
pub fn parse_reports(body: &[u8]) -> Result<Vec<Event<'_>>, ParseError> {
    let reports: Vec<Report<'_>> = json::read(body).map_err(ParseError::InvalidJson)?;
    let reports = reports.into_iter().filter_map(Report::into_security);
    Ok(reports.map(event_of).collect())
}

impl<'a> SecurityReport<'a> {
    /// Returns the sentence that Sentry shows for the report, such as `Blocked 'script' from 'evil.example'`.
    pub fn message(&self) -> String {
        match self {
            Self::Csp {
                effective_directive,
                violated_directive,
                ..
            } => {
                let blocked = self.subject();
                csp_message(effective_directive, violated_directive, &blocked)
            }
            Self::Hostname { kind, hostname } => match *kind {
                "expect-ct" => format!("Expect-CT failed for '{hostname}'"),
                "expect-staple" => format!("Expect-Staple failed for '{hostname}'"),
                _ => format!("Public key pinning validation failed for '{hostname}'"),
            },
        }
    }

    /// Returns what was blocked, as Sentry groups it, or the host concerned.
    ///
    /// For CSP: `'self'` for the page itself, the host of an `http(s)` URL, `data:` for URLs without a host, else
    /// `scheme://host`.
    pub fn subject(&self) -> Text<'a> {
        match self {
            Self::Csp { blocked_uri, .. } => normalize_blocked(blocked_uri),
            Self::Hostname { hostname, .. } => hostname.clone(),
        }
    }

    fn culprit(&self) -> Text<'a> {
        match self {
            Self::Csp {
                violated_directive,
                effective_directive,
                ..
            } if violated_directive.is_empty() => effective_directive.clone(),
            Self::Csp {
                violated_directive, ..
            } => violated_directive.clone(),
            Self::Hostname { hostname, .. } => hostname.clone(),
        }
    }
}

/// A CSP report, in any of its three spellings: `blocked-uri` (browsers), `blockedURL` (Reporting API), `blocked_uri` (Sentry).
#[derive(Default)]
pub(crate) struct Csp<'de> {
    effective_directive: Option<Text<'de>>,
    violated_directive: Option<Text<'de>>,
    blocked_uri: Option<Text<'de>>,
    document_uri: Option<Text<'de>>,
    /// Whether any of these was there.
    is_csp: bool,
}

impl<'de> Fields<'de> for Csp<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "effective-directive" | "effectiveDirective" | "effective_directive" => {
                self.effective_directive = value.read()?;
            }
            "violated-directive" | "violatedDirective" | "violated_directive" => {
                self.violated_directive = value.read()?;
            }
            "blocked-uri" | "blockedURL" | "blocked_uri" => self.blocked_uri = value.read()?,
            "document-uri" | "documentURL" | "document_uri" => self.document_uri = value.read()?,
            _ => return value.skip(),
        }
        self.is_csp = true;
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        !self.is_csp
    }
}

impl<'de> From<Csp<'de>> for SecurityReport<'de> {
    /// Firefox sends no effective directive; it is the first word of the violated one.
    fn from(csp: Csp<'de>) -> Self {
        let violated_directive = csp.violated_directive.unwrap_or_default();
        let effective_directive = csp
            .effective_directive
            .unwrap_or_else(|| first_word(&violated_directive));
        Self::Csp {
            effective_directive,
            violated_directive,
            blocked_uri: csp.blocked_uri.unwrap_or_default(),
            document_uri: csp.document_uri.unwrap_or_default(),
        }
    }
}

/// A report of which only the host counts.
#[derive(Default)]
pub(crate) struct Host<'de> {
    hostname: Option<Text<'de>>,
}

impl<'de> Host<'de> {
    pub(crate) fn report(self, kind: &'static str) -> SecurityReport<'de> {
        let hostname = self.hostname.unwrap_or_default();
        SecurityReport::Hostname { kind, hostname }
    }
}

impl<'de> Fields<'de> for Host<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "hostname" => self.hostname = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// A report as a browser sends it.
#[derive(Default)]
struct Report<'de> {
    csp: Option<Csp<'de>>,
    expect_ct: Option<Host<'de>>,
    expect_staple: Option<Host<'de>>,
    hostname: Option<Text<'de>>,
    has_pins: bool,
    ty: Option<Text<'de>>,
    body: Option<Csp<'de>>,
}

impl<'de> Fields<'de> for Report<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "csp-report" => self.csp = value.read()?,
            "expect-ct-report" => self.expect_ct = value.read()?,
            "expect-staple-report" => self.expect_staple = value.read()?,
            "hostname" => self.hostname = value.read()?,
            "type" => self.ty = value.read()?,
            "body" => self.body = value.read()?,
            "known-pins" => {
                self.has_pins = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> Report<'de> {
    fn into_security(self) -> Option<SecurityReport<'de>> {
        let body = self
            .body
            .filter(|_| self.ty.as_deref() == Some("csp-violation"));
        if let Some(csp) = self.csp.or(body) {
            return Some(csp.into());
        }
        let (host, kind) = match (self.expect_ct, self.expect_staple) {
            (Some(host), _) => (host, "expect-ct"),
            (None, Some(host)) => (host, "expect-staple"),
            (None, None) if self.has_pins => (
                Host {
                    hostname: self.hostname,
                },
                "hpkp",
            ),
            (None, None) => return None,
        };
        Some(host.report(kind))
    }
}

impl Weigh for Report<'_> {
    const MAX: usize = 100;
}

/// Makes the event that Relay makes of a report.
fn event_of(report: SecurityReport<'_>) -> Event<'_> {
    let (kind, logger, url) = match &report {
        SecurityReport::Csp { document_uri, .. } => {
            (EventKind::Csp, "csp", Some(document_uri.clone()))
        }
        SecurityReport::Hostname { kind, .. } => (EventKind::Security, *kind, None),
    };
    Event {
        kind,
        platform: Cow::Borrowed("other"),
        logger: Some(Cow::Borrowed(logger)),
        culprit: Some(report.culprit()).filter(|culprit| !culprit.is_empty()),
        logentry: Some(LogEntry {
            formatted: Some(Cow::Owned(report.message())),
            ..LogEntry::default()
        }),
        request: url.filter(|url| !url.is_empty()).map(|url| HttpRequest {
            url: Some(url),
            method: None,
        }),
        security: Some(report),
        ..Event::default()
    }
}

fn csp_message(directive: &str, violated: &str, blocked: &str) -> String {
    let thing = match directive {
        "img-src" => "image",
        "form-action" => "form",
        directive => directive
            .strip_suffix("-src")
            .or(directive.strip_suffix("-src-elem"))
            .or(directive.strip_suffix("-src-attr"))
            .unwrap_or(directive),
    };
    match (directive, blocked == LOCAL) {
        ("script-src" | "script-src-elem" | "script-src-attr", true) => {
            format!("Blocked unsafe {} 'script'", unsafe_kind(violated))
        }
        (_, true) => format!("Blocked inline '{thing}'"),
        ("child-src", false) => format!("Blocked 'child' source from '{blocked}'"),
        ("form-action", false) => format!("Blocked 'form' action to '{blocked}'"),
        (_, false) => format!("Blocked '{thing}' from '{blocked}'"),
    }
}

fn unsafe_kind(violated_directive: &str) -> &'static str {
    if violated_directive.contains("'unsafe-inline'") {
        "inline"
    } else if violated_directive.contains("'unsafe-eval'") {
        "eval()"
    } else {
        "(eval() or inline)"
    }
}

/// Browsers write `inline` and `eval` for what the page did itself.
fn normalize_blocked<'a>(uri: &Text<'a>) -> Text<'a> {
    if matches!(uri.as_ref(), "" | "self" | "'self'" | "inline" | "eval") {
        return Cow::Borrowed(LOCAL);
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Cow::Owned(format!("{uri}:"));
    };
    let Some(rest) = rest.strip_prefix("//") else {
        return Cow::Owned(format!("{scheme}:"));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if matches!(scheme, "http" | "https") {
        Cow::Owned(host.to_owned())
    } else {
        Cow::Owned(format!("{scheme}://{host}"))
    }
}

fn first_word<'a>(text: &Text<'a>) -> Text<'a> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.split_whitespace().next().unwrap_or_default()),
        Cow::Owned(text) => text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
            .into(),
    }
}

/// What stands for the page itself.
const LOCAL: &str = "'self'";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::title::{culprit, location, title};

    fn titles(body: &str) -> Vec<String> {
        parse_reports(body.as_bytes())
            .unwrap()
            .iter()
            .map(title)
            .collect()
    }

    #[test]
    fn reads_csp_reports_of_browsers() {
        let body = r#"{"csp-report":{"document-uri":"https://shop.example/pay","referrer":"","violated-directive":"img-src 'self'",
            "effective-directive":"img-src","original-policy":"img-src 'self'","blocked-uri":"https://evil.example/a.png","status-code":200}}"#;

        let events = parse_reports(body.as_bytes()).unwrap();

        let [event] = events.as_slice() else { panic!() };
        assert_eq!(event.kind, EventKind::Csp);
        assert_eq!(title(event), "Blocked 'image' from 'evil.example'");
        assert_eq!(location(event).as_deref(), Some("evil.example"));
        assert_eq!(culprit(event), "img-src 'self'");
        assert_eq!(event.logger.as_deref(), Some("csp"));
        assert_eq!(
            event.request.as_ref().unwrap().url.as_deref(),
            Some("https://shop.example/pay")
        );
    }

    #[test]
    fn reads_reports_of_the_reporting_api() {
        let violation = r#"{"type":"csp-violation","age":2,"url":"https://shop.example/","user_agent":"x","body":{"blockedURL":"inline",
            "disposition":"enforce","documentURL":"https://shop.example/","effectiveDirective":"script-src-elem","originalPolicy":"x"}}"#;
        let other = r#"{"type":"deprecation","body":{"id":"x","message":"old"}}"#;
        let sentence = "Blocked unsafe (eval() or inline) 'script'";

        assert_eq!(titles(violation), [sentence]);
        assert_eq!(
            titles(&format!("[{violation},{other},null,{violation}]")),
            [sentence, sentence]
        );
        assert!(titles(&format!("[{other}]")).is_empty());
    }

    #[test]
    fn reads_the_reports_of_which_only_the_host_counts() {
        for (body, kind, expected) in [
            (
                r#"{"expect-ct-report":{"hostname":"h","port":443}}"#,
                "expect-ct",
                "Expect-CT failed for 'h'",
            ),
            (
                r#"{"expect-staple-report":{"hostname":"h"}}"#,
                "expect-staple",
                "Expect-Staple failed for 'h'",
            ),
            (
                r#"{"hostname":"h","known-pins":["pin"],"date-time":"x"}"#,
                "hpkp",
                "Public key pinning validation failed for 'h'",
            ),
        ] {
            let events = parse_reports(body.as_bytes()).unwrap();
            let [event] = events.as_slice() else {
                panic!("{body}")
            };
            assert_eq!(event.kind, EventKind::Security);
            assert_eq!(title(event), expected);
            assert_eq!(
                (culprit(event).as_str(), location(event).as_deref()),
                ("h", Some("h"))
            );
            let found = event.security.as_ref().unwrap();
            assert!(
                matches!(found, SecurityReport::Hostname { kind: found, .. } if *found == kind)
            );
        }
    }

    #[test]
    fn words_every_directive() {
        let message = |directive: &str, violated: &str, blocked: &str| {
            let report = SecurityReport::Csp {
                effective_directive: directive.into(),
                violated_directive: violated.into(),
                blocked_uri: blocked.into(),
                document_uri: "".into(),
            };
            report.message()
        };
        let url = "https://e.example/x?y";
        for (directive, violated, blocked, expected) in [
            ("script-src", "", url, "Blocked 'script' from 'e.example'"),
            (
                "script-src-elem",
                "",
                url,
                "Blocked 'script' from 'e.example'",
            ),
            (
                "script-src",
                "script-src 'unsafe-inline'",
                "",
                "Blocked unsafe inline 'script'",
            ),
            (
                "script-src",
                "script-src 'unsafe-eval'",
                "self",
                "Blocked unsafe eval() 'script'",
            ),
            (
                "script-src-attr",
                "",
                "inline",
                "Blocked unsafe (eval() or inline) 'script'",
            ),
            ("style-src", "", "", "Blocked inline 'style'"),
            (
                "style-src-attr",
                "",
                url,
                "Blocked 'style' from 'e.example'",
            ),
            (
                "child-src",
                "",
                url,
                "Blocked 'child' source from 'e.example'",
            ),
            (
                "form-action",
                "",
                url,
                "Blocked 'form' action to 'e.example'",
            ),
            ("base-uri", "", url, "Blocked 'base-uri' from 'e.example'"),
            (
                "connect-src",
                "",
                "wss://e.example:1/x",
                "Blocked 'connect' from 'wss://e.example:1'",
            ),
            ("img-src", "", "data", "Blocked 'image' from 'data:'"),
            ("font-src", "", "data:foo", "Blocked 'font' from 'data:'"),
        ] {
            assert_eq!(message(directive, violated, blocked), expected);
        }
    }

    #[test]
    fn takes_the_directive_from_the_violated_one_where_firefox_leaves_it_out() {
        assert_eq!(
            titles(
                r#"{"csp-report":{"violated-directive":"font-src https://a","blocked-uri":"http://b/x"}}"#
            ),
            ["Blocked 'font' from 'b'"],
        );
    }

    #[test]
    fn what_is_no_report_gives_no_event() {
        for body in [
            "{}",
            "[]",
            "null",
            "7",
            r#"{"csp-report":{}}"#,
            r#"{"csp-report":null}"#,
            r#"{"hostname":"h"}"#,
        ] {
            assert!(titles(body).is_empty(), "{body}");
        }
        assert!(parse_reports(b"{").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(uri in "\\PC{0,20}|[a-z:/?#']{0,12}", directive in "(script|img|x)(-src)?(-elem)?") {
            let uri = serde_json::Value::from(uri);
            let body = format!(r#"{{"csp-report":{{"blocked-uri":{uri},"violated-directive":"{directive}"}}}}"#);
            prop_assert_eq!(titles(&body).len(), 1);
        }
    }
}

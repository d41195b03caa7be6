//! Which header fields end at us, and the few that we set: the upstream's Host and `X-Forwarded-*`.
//!
//! Source: RFC 9110 §7.6.1 (hop-by-hop fields), RFC 9112 §6 (framing).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request;

use crate::config::ClientIp;

/// What the `X-Forwarded-*` fields say about one connection.
#[derive(Debug, Clone)]
pub(crate) struct Forwarded {
    /// The client's address.
    pub(crate) peer: HeaderValue,
    /// `http` or `https`.
    pub(crate) protocol: HeaderValue,
}

/// Gives an HTTP/2 request the fields that HTTP/1.1 needs: Host, and a framing where the length is not known.
///
/// Source: RFC 9113 §8.3.1 and §8.2.3.
pub(crate) fn from_http2(head: &mut request::Parts, has_no_body: bool) {
    let authority = head
        .uri
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        head.headers.insert(HOST, host);
    }
    if !has_no_body && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let crumbs: Vec<&[u8]> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1 {
        let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
        head.headers
            .insert(COOKIE, joined.expect("made of valid values"));
    }
}

/// Turns the fields of a client's request into those of the request to Sentry; order, repeats and case stay.
pub(crate) fn towards_upstream(
    headers: &mut HeaderMap,
    forwarded: &Forwarded,
    client_ip: ClientIp,
    host: &HeaderValue,
) {
    strip(headers);
    let asked_host = headers.insert(HOST, host.clone());
    match client_ip {
        ClientIp::Keep => {}
        ClientIp::Append => {
            append_peer(headers, &forwarded.peer);
            headers
                .entry(X_FORWARDED_PROTO)
                .or_insert_with(|| forwarded.protocol.clone());
            if let Some(asked_host) = asked_host {
                headers.entry(X_FORWARDED_HOST).or_insert(asked_host);
            }
        }
        ClientIp::Replace => {
            headers.insert(X_FORWARDED_FOR, forwarded.peer.clone());
            headers.insert(X_FORWARDED_PROTO, forwarded.protocol.clone());
            match asked_host {
                Some(asked_host) => headers.insert(X_FORWARDED_HOST, asked_host),
                None => headers.remove(X_FORWARDED_HOST),
            };
        }
    }
}

/// Turns the fields of Sentry's answer into those of ours.
pub(crate) fn towards_client(headers: &mut HeaderMap) {
    strip(headers);
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        without(headers, |name| *name == CONTENT_LENGTH);
    }
}

/// Removes the fields that are about one connection only.
///
/// The list is closed: names in `Connection` cannot add to it, or `Connection: X-Sentry-Auth` would strip the key.
/// `Transfer-Encoding` stays, because the message goes on in the framing in which it came; trailers do not go on.
fn strip(headers: &mut HeaderMap) {
    if headers.keys().any(is_hop_by_hop) {
        without(headers, is_hop_by_hop);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == EXPECT
        || *name == TE
        || *name == TRAILER
        || *name == UPGRADE
        || *name == PROXY_AUTHENTICATE
        || *name == PROXY_AUTHORIZATION
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

/// Rebuilds the map, because `HeaderMap::remove` moves the last field into the gap and so changes the order.
pub(crate) fn without(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let mut kept = HeaderMap::with_capacity(headers.len() + ADDED);
    let mut current = None;
    for (name, value) in std::mem::take(headers) {
        if let Some(name) = name {
            current = Some(name).filter(|name| !unwanted(name));
        }
        if let Some(name) = &current {
            kept.append(name.clone(), value);
        }
    }
    *headers = kept;
}

/// Adds the client's address to the list, on its last line.
fn append_peer(headers: &mut HeaderMap, peer: &HeaderValue) {
    let listed: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if listed.is_empty() {
        headers.insert(X_FORWARDED_FOR, peer.clone());
        return;
    }
    let joined = [&listed.join(&b", "[..]), peer.as_bytes()].join(&b", "[..]);
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How many fields we add at most.
const ADDED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    fn listed(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect()
    }

    fn forwarded() -> Forwarded {
        Forwarded {
            peer: HeaderValue::from_static("192.0.2.7"),
            protocol: HeaderValue::from_static("http"),
        }
    }

    fn towards(fields: &[(&str, &str)], client_ip: ClientIp) -> HeaderMap {
        let mut headers = map(fields);
        towards_upstream(
            &mut headers,
            &forwarded(),
            client_ip,
            &HeaderValue::from_static("sentry.test"),
        );
        headers
    }

    #[test]
    fn keeps_order_when_hop_by_hop_fields_go() {
        let headers = towards(
            &[
                ("host", "proxy"),
                ("connection", "keep-alive, x-sentry-auth"),
                ("x-sentry-auth", "Sentry sentry_key=a"),
                ("keep-alive", "timeout=5"),
                ("b", "1"),
                ("a", "2"),
                ("b", "3"),
                ("upgrade", "h2c"),
                ("content-length", "4"),
            ],
            ClientIp::Keep,
        );

        let expected = [
            ("host", "sentry.test"),
            ("x-sentry-auth", "Sentry sentry_key=a"),
            ("b", "1"),
            ("b", "3"),
            ("a", "2"),
            ("content-length", "4"),
        ];
        assert_eq!(listed(&headers), expected);
    }

    #[test]
    fn tells_sentry_about_the_client_as_configured() {
        let claimed = [
            ("host", "proxy"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ];

        let appended = towards(&claimed, ClientIp::Append);
        assert_eq!(appended["x-forwarded-for"], "10.0.0.1, 10.0.0.2, 192.0.2.7");
        assert_eq!(appended["x-forwarded-proto"], "https");
        assert_eq!(appended["x-forwarded-host"], "proxy");

        let replaced = towards(&claimed, ClientIp::Replace);
        assert_eq!(replaced.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(replaced["x-forwarded-for"], "192.0.2.7");
        assert_eq!(replaced["x-forwarded-proto"], "http");

        let kept = towards(&claimed, ClientIp::Keep);
        assert_eq!(kept.get_all("x-forwarded-for").iter().count(), 2);
        assert!(!kept.contains_key("x-forwarded-host"));
    }

    #[test]
    fn an_answer_never_has_two_framings() {
        let mut headers = map(&[
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("x", "1"),
        ]);

        towards_client(&mut headers);

        assert_eq!(
            listed(&headers),
            [("transfer-encoding", "chunked"), ("x", "1")]
        );
    }
}

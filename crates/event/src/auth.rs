//! Finds the DSN's public key and the client's name in a request.
//!
//! Source: <https://develop.sentry.dev/sdk/overview/#authentication>, Relay `relay-server/src/extractors/request_meta.rs`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::error::InvalidPublicKey;
use crate::query;

/// Who sends a request, as far as the request itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth<'r> {
    /// The public key of the DSN.
    pub key: PublicKey,
    /// The client, such as `sentry.python/2.75.0`.
    pub client: Option<Cow<'r, str>>,
    /// The protocol version, such as 7.
    pub version: Option<u16>,
    /// Where the key was found.
    pub source: AuthSource,
}

impl<'r> Auth<'r> {
    /// Finds the key in `X-Sentry-Auth`, else `Authorization`, else the query's `sentry_key`, else the path.
    ///
    /// `None` when none of them holds a key; then an envelope may still name its DSN, see [`crate::peek`].
    pub fn find(
        headers: &'r HeaderMap,
        query: Option<&'r str>,
        path_key: Option<PublicKey>,
    ) -> Option<Self> {
        Self::in_sentry_header(headers)
            .or_else(|| Self::in_authorization(headers))
            .or_else(|| Self::in_query(query?))
            .or_else(|| path_key.map(|key| Self::bare(key, AuthSource::Path)))
    }

    fn in_sentry_header(headers: &'r HeaderMap) -> Option<Self> {
        texts(headers.get_all("x-sentry-auth").iter())
            .find_map(|value| Self::of_pairs(value, AuthSource::SentryHeader))
    }

    fn in_authorization(headers: &'r HeaderMap) -> Option<Self> {
        texts(headers.get_all(AUTHORIZATION).iter()).find_map(|value| {
            let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
            if scheme.eq_ignore_ascii_case("sentry") {
                Self::of_pairs(rest, AuthSource::Authorization)
            } else if scheme.eq_ignore_ascii_case("basic") {
                let key = key_of_basic(rest)?;
                Some(Self::bare(key, AuthSource::Authorization))
            } else {
                None
            }
        })
    }

    fn in_query(query: &'r str) -> Option<Self> {
        Some(Self {
            key: PublicKey::parse(&query::find(query, "sentry_key")?)?,
            client: query::find(query, "sentry_client"),
            version: query::find(query, "sentry_version").and_then(|text| version(&text)),
            source: AuthSource::Query,
        })
    }

    /// Reads `[Sentry ]sentry_key=…, sentry_version=7, …`; the order of the pairs differs from SDK to SDK, and
    /// raven-python adds blanks and other keys.
    fn of_pairs(value: &'r str, source: AuthSource) -> Option<Self> {
        let (mut key, mut client, mut protocol) = (None, None, None);
        for pair in without_scheme(value).split(',') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
            match name.trim() {
                "sentry_key" => key = PublicKey::parse(value),
                "sentry_client" => client = Some(Cow::Borrowed(value)),
                "sentry_version" => protocol = version(value),
                _ => {}
            }
        }
        Some(Self {
            key: key?,
            client,
            version: protocol,
            source,
        })
    }

    fn bare(key: PublicKey, source: AuthSource) -> Self {
        Self {
            key,
            client: None,
            version: None,
            source,
        }
    }
}

/// Where a request carries its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthSource {
    /// The header `X-Sentry-Auth`.
    SentryHeader,
    /// The header `Authorization`, as `Sentry …` or `Basic …`.
    Authorization,
    /// The query parameter `sentry_key`.
    Query,
    /// A segment of the path (cron, unreal).
    Path,
}

impl AuthSource {
    /// Returns the source's name, one of a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SentryHeader => "x-sentry-auth",
            Self::Authorization => "authorization",
            Self::Query => "query",
            Self::Path => "path",
        }
    }
}

/// The public key of a DSN: 1 to 64 letters and digits, today always 32 hex digits. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    /// Padded with zero bytes, so that keys copy and compare without an allocation.
    bytes: [u8; Self::MAX],
}

impl PublicKey {
    const MAX: usize = 64;

    /// Reads a key: 1 to 64 ASCII letters and digits, nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_key = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut bytes = [0; Self::MAX];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        is_key.then_some(Self { bytes })
    }

    /// Returns the key as it stands in the DSN.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let used = &self.bytes[..end.unwrap_or(Self::MAX)];
        std::str::from_utf8(used).expect("only ASCII was let in")
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(InvalidPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

fn texts<'r>(values: impl Iterator<Item = &'r HeaderValue>) -> impl Iterator<Item = &'r str> {
    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
}

fn without_scheme(value: &str) -> &str {
    let value = value.trim_start();
    match value.split_once(char::is_whitespace) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sentry") => rest,
        _ => value,
    }
}

/// The user name of `Basic base64(key:secret)` is the key.
fn key_of_basic(credentials: &str) -> Option<PublicKey> {
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let text = std::str::from_utf8(&decoded).ok()?;
    PublicKey::parse(text.split(':').next()?)
}

/// raven clients wrote versions such as `2.0`; the part before the dot counts.
fn version(text: &str) -> Option<u16> {
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (http::HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn found(pairs: &[(&'static str, &str)], query: Option<&str>) -> Option<(String, AuthSource)> {
        let headers = headers(pairs);
        Auth::find(&headers, query, None).map(|auth| (auth.key.to_string(), auth.source))
    }

    #[test]
    fn reads_the_sentry_header_however_it_is_written() {
        for value in [
            "Sentry sentry_key=k3y, sentry_version=7, sentry_client=c/1",
            "Sentry sentry_version=7,sentry_client=c/1,sentry_key=k3y",
            "sentry sentry_key=\"k3y\" , sentry_version = 7 ,sentry_client='c/1'",
            "sentry_key=k3y,sentry_version=7,sentry_client=c/1",
            "  Sentry   sentry_timestamp=1.5, sentry_client=c/1, sentry_version=7, sentry_key=k3y, sentry_secret=s",
        ] {
            let headers = headers(&[("x-sentry-auth", value)]);
            let auth = Auth::find(&headers, None, None).unwrap();
            assert_eq!(auth.key.as_str(), "k3y", "{value}");
            assert_eq!(auth.client.as_deref(), Some("c/1"), "{value}");
            assert_eq!(auth.version, Some(7), "{value}");
        }
    }

    #[test]
    fn reads_authorization_as_sentry_and_as_basic() {
        let expected = Some(("k3y".to_owned(), AuthSource::Authorization));

        assert_eq!(
            found(&[("authorization", "Sentry sentry_key=k3y")], None),
            expected
        );
        assert_eq!(
            found(&[("authorization", "Basic azN5Og==")], None),
            expected
        );
        assert_eq!(
            found(&[("authorization", "Basic azN5OnNlY3JldA==")], None),
            expected
        );
        assert_eq!(found(&[("authorization", "Bearer k3y")], None), None);
        assert_eq!(found(&[("authorization", "Basic ???")], None), None);
    }

    #[test]
    fn reads_the_query() {
        let headers = HeaderMap::new();
        let query =
            "sentry_version=7&sentry_key=k3y&sentry_client=sentry.javascript.node%2F7.120.4";

        let auth = Auth::find(&headers, Some(query), None).unwrap();

        assert_eq!(auth.key.as_str(), "k3y");
        assert_eq!(
            auth.client.as_deref(),
            Some("sentry.javascript.node/7.120.4")
        );
        assert_eq!(auth.version, Some(7));
        assert_eq!(auth.source, AuthSource::Query);
    }

    #[test]
    fn prefers_header_over_query_over_path() {
        let path_key = PublicKey::parse("path");
        let both = headers(&[("x-sentry-auth", "Sentry sentry_key=head")]);
        let none = HeaderMap::new();
        let key =
            |headers, query| Auth::find(headers, query, path_key).map(|auth| auth.key.to_string());

        assert_eq!(
            key(&both, Some("sentry_key=query")).as_deref(),
            Some("head")
        );
        assert_eq!(
            key(&none, Some("sentry_key=query")).as_deref(),
            Some("query")
        );
        assert_eq!(key(&none, None).as_deref(), Some("path"));
    }

    #[test]
    fn finds_nothing_where_no_key_is() {
        assert_eq!(found(&[], None), None);
        assert_eq!(
            found(&[("x-sentry-auth", "Sentry sentry_version=7")], None),
            None
        );
        assert_eq!(
            found(
                &[("x-sentry-auth", "Sentry sentry_key=")],
                Some("sentry_key=a-b")
            ),
            None
        );
        assert_eq!(found(&[("x-sentry-auth", "\u{fffd}")], None), None);
    }

    #[test]
    fn keys_are_letters_and_digits_up_to_64() {
        let longest = "a".repeat(64);

        assert_eq!(PublicKey::parse(&longest).unwrap().as_str(), longest);
        assert_eq!(PublicKey::parse(&"a".repeat(65)), None);
        assert_eq!(PublicKey::parse(""), None);
        assert_eq!(PublicKey::parse("a_b"), None);
        assert_eq!(PublicKey::parse("ä"), None);
        assert!("a b".parse::<PublicKey>().is_err());
        assert_eq!(
            format!("{:?}", PublicKey::parse("k3y").unwrap()),
            "PublicKey(k3y)"
        );
    }

    proptest! {
        #[test]
        fn never_panics(header in proptest::collection::vec(any::<u8>(), 0..60), query in "\\PC{0,60}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&header) {
                headers.insert("x-sentry-auth", value.clone());
                headers.insert(AUTHORIZATION, value);
            }
            let _ = Auth::find(&headers, Some(&query), None);
        }
    }
}

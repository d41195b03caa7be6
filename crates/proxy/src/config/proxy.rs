//! The HTTP proxy on the way to Sentry, as `HTTPS_PROXY` and `NO_PROXY` describe it.
//!
//! Source: curl(1), section "environment"; there is no other specification.

use std::fmt;
use std::str::FromStr;

use http::{HeaderValue, Uri};

use super::Origin;

/// An HTTP proxy that opens tunnels by `CONNECT`. `Debug` and `Display` hide its password.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

/// The text is no proxy address of the form `http://[user:password@]host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a proxy address of the form `http://[user:password@]host[:port]`")]
pub struct HttpProxyError;

impl HttpProxy {
    /// Returns the proxy that the environment names for an upstream, such as `|name| std::env::var(name).ok()`.
    ///
    /// Reads `HTTPS_PROXY`, else `ALL_PROXY`, in either case; `NO_PROXY` lists hosts and domains that need none. An
    /// upstream over http is reached directly.
    ///
    /// # Errors
    /// When the variable is set to something that is no proxy address.
    pub fn find(
        origin: &Origin,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<HttpProxy>, HttpProxyError> {
        let read = |name: &str| lookup(name).or_else(|| lookup(&name.to_ascii_lowercase()));
        let is_excluded = read("NO_PROXY").is_some_and(|list| excludes(&list, origin.host()));
        if is_excluded || !origin.is_https() {
            return Ok(None);
        }
        let named = read("HTTPS_PROXY").or_else(|| read("ALL_PROXY"));
        named
            .filter(|text| !text.is_empty())
            .map(|text| text.parse())
            .transpose()
    }

    /// Returns the proxy's host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the proxy's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what goes into `Proxy-Authorization`.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl FromStr for HttpProxy {
    type Err = HttpProxyError;

    fn from_str(text: &str) -> Result<HttpProxy, HttpProxyError> {
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = text.parse().map_err(|_| HttpProxyError)?;
        let authority = uri.authority().ok_or(HttpProxyError)?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return Err(HttpProxyError);
        }
        let credentials = authority
            .as_str()
            .rsplit_once('@')
            .map(|(credentials, _)| credentials);
        Ok(HttpProxy {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization: credentials.map(basic).transpose()?,
        })
    }
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn basic(credentials: &str) -> Result<HeaderValue, HttpProxyError> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(credentials).collect();
    let mut value =
        HeaderValue::try_from(format!("Basic {}", base64(&decoded))).map_err(|_| HttpProxyError)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Source: RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let padded = [
            group[0],
            *group.get(1).unwrap_or(&0),
            *group.get(2).unwrap_or(&0),
        ];
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

/// `NO_PROXY` lists `*`, hosts, and domains with or without a leading dot.
fn excludes(list: &str, host: &str) -> bool {
    list.split(',').map(str::trim).any(|entry| {
        let domain = entry.trim_start_matches('.');
        let is_below = || {
            let rest = host
                .len()
                .checked_sub(domain.len())
                .and_then(|at| host.split_at_checked(at));
            rest.is_some_and(|(before, end)| {
                before.ends_with('.') && end.eq_ignore_ascii_case(domain)
            })
        };
        entry == "*" || (!domain.is_empty() && (host.eq_ignore_ascii_case(domain) || is_below()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(origin: &str, variables: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| (*value).to_owned())
        };
        HttpProxy::find(&origin.parse().unwrap(), lookup)
            .unwrap()
            .map(|proxy| proxy.to_string())
    }

    #[test]
    fn follows_the_environment() {
        let set = [
            ("https_proxy", "http://user:s%40c@proxy:3128"),
            ("NO_PROXY", "localhost, .corp.test,10.0.0.1"),
        ];
        let proxy = Some("http://proxy:3128".to_owned());

        assert_eq!(find("https://sentry.io", &set), proxy);
        assert_eq!(find("https://corp.test.io", &set), proxy);
        assert_eq!(find("https://notcorp.test", &set), proxy);
        assert_eq!(find("http://sentry.io", &set), None);
        assert_eq!(find("https://sentry.corp.test", &set), None);
        assert_eq!(find("https://10.0.0.1", &set), None);
        assert_eq!(
            find("https://sentry.io", &[("ALL_PROXY", "proxy")]),
            Some("http://proxy:80".to_owned())
        );
        assert_eq!(
            find(
                "https://sentry.io",
                &[("HTTPS_PROXY", "p"), ("NO_PROXY", "*")]
            ),
            None
        );
        assert_eq!(find("https://sentry.io", &[("HTTPS_PROXY", "")]), None);
    }

    #[test]
    fn encodes_as_the_rfc_says() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn keeps_the_password_to_itself() {
        let proxy: HttpProxy = "http://user:s%40c@proxy:3128".parse().unwrap();

        assert_eq!(proxy.authorization().unwrap(), "Basic dXNlcjpzQGM=");
        assert!(!format!("{proxy:?} {proxy}").contains("s@c"));
        for text in ["socks5://proxy", "http://", "https://proxy:1", "a b"] {
            assert_eq!(text.parse::<HttpProxy>(), Err(HttpProxyError), "{text}");
        }
    }
}

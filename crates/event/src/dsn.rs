//! Reads and writes DSNs: `scheme://key[:secret]@host[:port][/prefix]/project[?options]`.
//!
//! Source: <https://develop.sentry.dev/sdk/overview/#parsing-the-dsn>.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::auth::PublicKey;
use crate::endpoint::ProjectId;
use crate::error::DsnError;

/// The address an SDK sends to, with its key and project. `Debug` hides the legacy secret, `Display` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn {
    origin: Origin,
    key: PublicKey,
    secret: Option<String>,
    prefix: String,
    project: ProjectId,
    options: Option<String>,
}

impl Dsn {
    /// Reads a DSN such as `https://0123@sentry.example.com/42`.
    ///
    /// # Errors
    /// When a part is missing or malformed; the error names the part.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let (text, options) = split_options(text.trim());
        let (scheme, rest) = split_scheme(text)?;
        let (authority, path) = split_path(rest);
        let (user, address) = authority.rsplit_once('@').ok_or(DsnError::MissingKey)?;
        let (key, secret) = match user.split_once(':') {
            Some((key, secret)) => (key, Some(secret).filter(|secret| !secret.is_empty())),
            None => (user, None),
        };
        let (prefix, project) = path
            .trim_end_matches('/')
            .rsplit_once('/')
            .ok_or(DsnError::MissingProject)?;
        Ok(Self {
            origin: Origin::parse(scheme, address)?,
            key: parse_key(key)?,
            secret: secret.map(str::to_owned),
            prefix: parse_prefix(prefix)?,
            project: ProjectId::parse(project).ok_or(DsnError::InvalidProject)?,
            options: options.map(str::to_owned),
        })
    }

    /// Returns the DSN to give to the SDK when a proxy stands in front, such as `http://127.0.0.1:9010`.
    ///
    /// Scheme, host and port are the proxy's; a path of the proxy's URL comes before the DSN's own path prefix. Key,
    /// secret, prefix, project and options stay.
    ///
    /// # Errors
    /// When the URL is no `http://` or `https://` URL made of host, port and path alone.
    pub fn with_host(&self, proxy_url: &str) -> Result<Self, DsnError> {
        let url = proxy_url.trim();
        if url.contains(['?', '#']) {
            return Err(DsnError::InvalidPath);
        }
        let (scheme, rest) = split_scheme(url)?;
        let (address, path) = split_path(rest);
        Ok(Self {
            origin: Origin::parse(scheme, address)?,
            prefix: parse_prefix(path.trim_end_matches('/'))? + &self.prefix,
            ..self.clone()
        })
    }

    /// Returns the scheme, `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.origin.scheme
    }

    /// Returns the host name or address; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    /// Returns the port, if it is written out.
    pub fn port(&self) -> Option<u16> {
        self.origin.port
    }

    /// Returns the port, else the scheme's own: 443 or 80.
    pub fn port_or_default(&self) -> u16 {
        let own = if self.origin.scheme == "https" {
            443
        } else {
            80
        };
        self.origin.port.unwrap_or(own)
    }

    /// Returns the path between host and project: empty, or such as `/sentry`, without a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns where Sentry's web pages are, such as `https://sentry.example.com/sentry`.
    pub fn base_url(&self) -> String {
        format!("{}{}", self.origin, self.prefix)
    }

    /// Returns the public key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Returns the project.
    pub fn project(&self) -> ProjectId {
        self.project
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Dsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, self.secret.as_deref())
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(|_| "[redacted]");
        formatter.write_str("Dsn(")?;
        self.write(formatter, secret)?;
        formatter.write_str(")")
    }
}

impl Dsn {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, secret: Option<&str>) -> fmt::Result {
        write!(formatter, "{}://{}", self.origin.scheme, self.key)?;
        if let Some(secret) = secret {
            write!(formatter, ":{secret}")?;
        }
        formatter.write_str("@")?;
        self.origin.write_address(formatter)?;
        write!(formatter, "{}/{}", self.prefix, self.project)?;
        match &self.options {
            Some(options) => write!(formatter, "?{options}"),
            None => Ok(()),
        }
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, PartialEq, Eq)]
struct Origin {
    scheme: &'static str,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(scheme: &'static str, address: &str) -> Result<Self, DsnError> {
        let (host, port) = split_port(address);
        if host.is_empty() {
            return Err(DsnError::MissingHost);
        }
        if !is_host(host) {
            return Err(DsnError::InvalidHost);
        }
        let port = port.map(parse_port).transpose()?;
        let host = host.to_owned();
        Ok(Self { scheme, host, port })
    }

    fn write_address(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://", self.scheme)?;
        self.write_address(formatter)
    }
}

/// raven clients read options from the DSN's query, such as `?timeout=5`.
fn split_options(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((text, options)) => (text, Some(options)),
        None => (text, None),
    }
}

/// Raven's transports stood in front of the scheme, as in `threaded+https://…`; they say nothing about the address.
fn split_scheme(text: &str) -> Result<(&'static str, &str), DsnError> {
    let (scheme, rest) = text.split_once("://").ok_or(DsnError::MissingScheme)?;
    let scheme = scheme.rsplit('+').next().unwrap_or(scheme);
    if scheme.eq_ignore_ascii_case("https") {
        Ok(("https", rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok(("http", rest))
    } else {
        Err(DsnError::UnsupportedScheme)
    }
}

fn split_path(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

fn split_port(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn parse_port(text: &str) -> Result<u16, DsnError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(DsnError::InvalidPort),
    }
}

fn parse_key(text: &str) -> Result<PublicKey, DsnError> {
    if text.is_empty() {
        return Err(DsnError::MissingKey);
    }
    PublicKey::parse(text).ok_or(DsnError::InvalidKey)
}

/// A prefix is empty or starts with a slash; it must be a path that can be written into a URL as it is.
fn parse_prefix(path: &str) -> Result<String, DsnError> {
    let is_path = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\\?#;@".contains(&byte));
    if is_path {
        Ok(path.to_owned())
    } else {
        Err(DsnError::InvalidPath)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn reads_and_writes_every_part() {
        let dsn = Dsn::parse(&format!(
            "https://{KEY}:s3c@sentry.example.com:9000/a/b/42?timeout=5"
        ))
        .unwrap();

        assert_eq!(dsn.scheme(), "https");
        assert_eq!(dsn.host(), "sentry.example.com");
        assert_eq!(dsn.port(), Some(9000));
        assert_eq!(dsn.prefix(), "/a/b");
        assert_eq!(dsn.key().as_str(), KEY);
        assert_eq!(dsn.project().value(), 42);
        assert_eq!(dsn.base_url(), "https://sentry.example.com:9000/a/b");
        assert_eq!(
            dsn.to_string(),
            format!("https://{KEY}:s3c@sentry.example.com:9000/a/b/42?timeout=5")
        );
    }

    #[test]
    fn reads_what_users_paste() {
        for (text, written) in [
            ("https://k@h/1", "https://k@h/1"),
            (" https://k@h/1/\n", "https://k@h/1"),
            ("HTTPS://k@h/1", "https://k@h/1"),
            ("threaded+http://k@h/1", "http://k@h/1"),
            ("http://k@[::1]:9000/1", "http://k@[::1]:9000/1"),
            ("http://k@[::1]/1", "http://k@[::1]/1"),
            ("http://k:@h/1", "http://k@h/1"),
            (
                "https://k@o1.ingest.us.sentry.io/4505",
                "https://k@o1.ingest.us.sentry.io/4505",
            ),
        ] {
            assert_eq!(Dsn::parse(text).unwrap().to_string(), written, "{text:?}");
        }
    }

    #[test]
    fn names_the_part_that_is_wrong() {
        for (text, error) in [
            ("", DsnError::MissingScheme),
            ("k@h/1", DsnError::MissingScheme),
            ("ftp://k@h/1", DsnError::UnsupportedScheme),
            ("https://h/1", DsnError::MissingKey),
            ("https://@h/1", DsnError::MissingKey),
            ("https://a-b@h/1", DsnError::InvalidKey),
            ("https://k@/1", DsnError::MissingHost),
            ("https://k@:80/1", DsnError::MissingHost),
            ("https://k@a b/1", DsnError::InvalidHost),
            ("https://k@[::zz]/1", DsnError::InvalidHost),
            ("https://k@::1/1", DsnError::InvalidHost),
            ("https://k@h:/1", DsnError::InvalidPort),
            ("https://k@h:0/1", DsnError::InvalidPort),
            ("https://k@h:+80/1", DsnError::InvalidPort),
            ("https://k@h:70000/1", DsnError::InvalidPort),
            ("https://k@h", DsnError::MissingProject),
            ("https://k@h/", DsnError::MissingProject),
            ("https://k@h/shop", DsnError::InvalidProject),
            ("https://k@h/a b/1", DsnError::InvalidPath),
        ] {
            assert_eq!(Dsn::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn points_to_the_proxy_and_keeps_the_rest() {
        let dsn = Dsn::parse("https://k:s@sentry.example.com/pre/42?x=1").unwrap();
        let with = |url| dsn.with_host(url).map(|dsn| dsn.to_string());

        assert_eq!(
            with("http://127.0.0.1:9010").as_deref(),
            Ok("http://k:s@127.0.0.1:9010/pre/42?x=1")
        );
        assert_eq!(
            with("https://proxy/in/").as_deref(),
            Ok("https://k:s@proxy/in/pre/42?x=1")
        );
        assert_eq!(with("127.0.0.1:9010"), Err(DsnError::MissingScheme));
        assert_eq!(with("http://u@proxy"), Err(DsnError::InvalidHost));
        assert_eq!(with("http://proxy/?a"), Err(DsnError::InvalidPath));
    }

    #[test]
    fn debug_hides_the_secret() {
        let dsn = Dsn::parse("https://k:s3cr3t@h/1").unwrap();

        assert_eq!(format!("{dsn:?}"), "Dsn(https://k:[redacted]@h/1)");
    }

    #[test]
    fn default_ports_follow_the_scheme() {
        assert_eq!(Dsn::parse("https://k@h/1").unwrap().port_or_default(), 443);
        assert_eq!(Dsn::parse("http://k@h/1").unwrap().port_or_default(), 80);
        assert_eq!(Dsn::parse("http://k@h:8/1").unwrap().port_or_default(), 8);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "(https?|x)://[a:]{0,3}@[a\\[\\]:.1]{0,6}(/[a1%]{0,3}){0,3}(\\?a)?|\\PC{0,40}") {
            if let Ok(dsn) = Dsn::parse(&text) {
                prop_assert_eq!(Dsn::parse(&dsn.to_string()), Ok(dsn));
            }
        }
    }
}

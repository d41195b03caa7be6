//! What the proxy is told to do: meant values, already checked by whoever parsed the configuration file.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use event::auth::PublicKey;
use event::endpoint::ProjectId;
use event::scan::Wants;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

mod proxy;

pub use self::proxy::{HttpProxy, HttpProxyError};

/// Everything the proxy needs to know; [`Default`] holds the documented defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where SDKs connect to; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How many forwarding threads to run; 0 means one per core.
    pub threads: usize,
    /// Where Sentry is.
    pub upstream: UpstreamConfig,
    /// What is forwarded, and how.
    pub forward: ForwardConfig,
    /// The path of the browser SDKs' `tunnel` option, such as `/tunnel`; `None` switches it off.
    pub tunnel_path: Option<String>,
    /// The certificate with which SDKs are served over HTTPS, HTTP/1.1 and HTTP/2; `None` means plain HTTP.
    pub tls: Option<KeyPair>,
    /// Whether an envelope that is sent long after it came gets its `sent_at` moved.
    pub refresh_sent_at: bool,
    /// How much of the traffic is copied for the alert pipeline.
    pub tee: TeeConfig,
    /// What a client may cost us.
    pub limits: Limits,
}

/// Where Sentry is and how long we wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Scheme, host, port and path prefix of Sentry's ingest address.
    pub url: Origin,
    /// The longest time to look up the name, connect and shake hands.
    pub connect_timeout: Duration,
    /// The longest time from the end of the request to the head of the answer, and between two pieces of the answer.
    pub response_timeout: Duration,
    /// A PEM file of certificate authorities to trust besides the operating system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to Sentry.
    pub client_cert: Option<KeyPair>,
    /// The versions of HTTP that are spoken with Sentry.
    pub http: UpstreamHttp,
    /// The HTTP proxy through which Sentry is reached over https; see [`HttpProxy::find`].
    pub proxy: Option<HttpProxy>,
    /// Projects that live elsewhere; the first that lists a project wins.
    pub routes: Vec<UpstreamRoute>,
}

/// The versions of HTTP that are spoken with an upstream.
///
/// Over HTTP/2, header names go in lower case and bodies in HTTP/2's own framing: only HTTP/1.1 passes a request on exactly
/// as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// HTTP/1.1.
    Http1,
    /// Over https what the upstream prefers (ALPN), over http HTTP/1.1.
    Auto,
    /// HTTP/2, also over http (prior knowledge).
    Http2,
}

/// Projects that live at another address than the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRoute {
    /// The projects.
    pub projects: Vec<ProjectId>,
    /// Their Sentry.
    pub url: Origin,
}

/// A certificate with its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate, followed by those that lead to its authority.
    pub cert_file: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key_file: PathBuf,
}

/// What is forwarded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardConfig {
    /// How long the client waits for Sentry's own answer before its request is made durable and answered by us.
    pub patience: Patience,
    /// Bytes of a body held in memory while in flight; a larger body is streamed.
    pub buffer: usize,
    /// Bytes a body may have at all; a larger one is refused with 413.
    pub max_body: u64,
    /// What happens to `X-Forwarded-For`.
    pub client_ip: ClientIp,
    /// Projects that may send; empty means any.
    pub projects: Vec<ProjectId>,
    /// DSN public keys that may send; empty means any.
    pub public_keys: Vec<PublicKey>,
    /// Whether paths outside the ingest endpoints are forwarded too.
    pub everything: bool,
}

/// How long a client waits for Sentry's own answer, where there is a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For so long; then its request is made durable. Zero: it is answered as soon as the request is safe.
    For(Duration),
    /// Up to the upstream's response timeout.
    Off,
}

/// What happens to `X-Forwarded-For`, and with it to `X-Forwarded-Proto` and `X-Forwarded-Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientIp {
    /// The client's address is added to the list; protocol and host are set where they are missing.
    Append,
    /// The three headers go on as they came.
    Keep,
    /// All three say what we saw, whatever the client claimed.
    Replace,
}

/// How much of the traffic is copied for the alert pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TeeConfig {
    /// Bytes of one body; a larger one is forwarded without a copy.
    pub max_body: usize,
    /// What is looked for in envelopes; those that hold none of it are not copied.
    pub wants: Wants,
}

/// What a client may cost us before it is refused or cut off.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections open at once, over all threads; further ones wait in the listen queue.
    pub connections: usize,
    /// The longest time from the first byte of a request to the end of its head.
    pub header_timeout: Duration,
    /// The longest silence within a body, and of a client that does not read its answer.
    pub stall_timeout: Duration,
    /// The longest time a connection is kept without a request.
    pub idle_timeout: Duration,
    /// Bytes of a request's head.
    pub max_head: usize,
    /// Bytes of all bodies that are held before they are sent, over all threads; beyond it, bodies are moved on piece by
    /// piece. Changes by a restart only.
    pub memory: usize,
}

/// An origin with an optional path prefix: `scheme://host[:port][/prefix]`.
///
/// ```
/// let origin: proxy::config::Origin = "https://sentry.example.com/sentry/".parse().unwrap();
/// assert_eq!(origin.prefix(), "/sentry");
/// assert_eq!(origin.port(), 443);
/// assert_eq!(origin.to_string(), "https://sentry.example.com/sentry");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    authority: Authority,
    prefix: String,
}

/// Why a text is no [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It cannot be read as a URL at all.
    #[error("not a URL of the form `https://host[:port][/prefix]`")]
    Malformed,
    /// The scheme is neither http nor https.
    #[error("the scheme must be `http` or `https`")]
    Scheme,
    /// It holds a user name, a query or a fragment, none of which can be kept.
    #[error("only a host, a port and a path prefix are allowed")]
    Extra,
}

impl Config {
    /// Returns how many forwarding threads to run.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9010)),
            threads: 0,
            upstream: UpstreamConfig::default(),
            forward: ForwardConfig::default(),
            tunnel_path: None,
            tls: None,
            refresh_sent_at: true,
            tee: TeeConfig::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for UpstreamConfig {
    fn default() -> UpstreamConfig {
        UpstreamConfig {
            url: Origin {
                is_https: true,
                authority: Authority::from_static("sentry.example.com"),
                prefix: String::new(),
            },
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(30),
            ca_file: None,
            client_cert: None,
            http: UpstreamHttp::Http1,
            proxy: None,
            routes: Vec::new(),
        }
    }
}

impl Default for ForwardConfig {
    fn default() -> ForwardConfig {
        ForwardConfig {
            patience: Patience::For(Duration::from_secs(1)),
            buffer: 1 << 20,
            max_body: 200 << 20,
            client_ip: ClientIp::Append,
            projects: Vec::new(),
            public_keys: Vec::new(),
            everything: false,
        }
    }
}

impl Default for TeeConfig {
    fn default() -> TeeConfig {
        TeeConfig {
            max_body: 4 << 20,
            wants: Wants::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 20_000,
            header_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(75),
            max_head: 64 << 10,
            memory: 256 << 20,
        }
    }
}

impl Origin {
    /// Returns whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        if self.is_https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    /// Returns host and port as written.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the host as written, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Returns the port, the scheme's own where none is written.
    pub fn port(&self) -> u16 {
        let default = if self.is_https { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Returns the path prefix without its trailing slash; empty for none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns what goes into a `Host` header.
    pub fn host_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.authority.as_str())
            .expect("an authority holds visible ASCII only")
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Origin, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError::Malformed)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(OriginError::Scheme),
            None => return Err(OriginError::Malformed),
        };
        let authority = uri.authority().cloned().ok_or(OriginError::Malformed)?;
        if authority.host().is_empty() {
            return Err(OriginError::Malformed);
        }
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(OriginError::Extra);
        }

        Ok(Origin {
            is_https,
            authority,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_keeps_host_port_and_prefix() {
        let origin: Origin = "http://127.0.0.1:9000/a/b/".parse().unwrap();

        assert_eq!(
            (origin.host(), origin.port(), origin.prefix()),
            ("127.0.0.1", 9000, "/a/b")
        );
        assert_eq!(origin.host_header(), "127.0.0.1:9000");
    }

    #[test]
    fn origin_refuses_what_it_could_not_keep() {
        let cases = [
            ("sentry.example.com", OriginError::Malformed),
            ("ftp://sentry.example.com", OriginError::Scheme),
            ("https://key@sentry.example.com/1", OriginError::Extra),
            ("https://sentry.example.com/?a=b", OriginError::Extra),
            ("https://sentry.example.com/#x", OriginError::Extra),
            ("", OriginError::Malformed),
        ];

        for (text, expected) in cases {
            assert_eq!(text.parse::<Origin>(), Err(expected), "{text}");
        }
    }
}

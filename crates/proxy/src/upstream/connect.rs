//! Opens connections to Sentry: name, TCP, the tunnel of an HTTP proxy, TLS, HTTP.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::sender::Sender;
use super::stream::{Socket, Stream};
use crate::breaker::{Breaker, Change};
use crate::config::{HttpProxy, Origin, UpstreamConfig, UpstreamHttp};
use crate::connection::LocalExecutor;
use crate::error::{Fault, TlsError};
use crate::lateness::Lateness;

/// Opens connections to one upstream.
#[derive(Clone)]
pub(crate) struct Connector {
    origin: Origin,
    timeout: Duration,
    proxy: Option<HttpProxy>,
    tls: Option<Tls>,
    http: UpstreamHttp,
    breaker: Arc<Breaker>,
    lateness: Arc<Lateness>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    /// Prepares connections to one origin.
    ///
    /// # Errors
    /// When no certificate can be for the origin's host.
    pub(crate) fn new(
        origin: &Origin,
        config: &UpstreamConfig,
        settings: Option<&Arc<ClientConfig>>,
    ) -> Result<Connector, TlsError> {
        let settings = settings.filter(|_| origin.is_https());
        let tls = settings
            .map(|settings| Tls::new(origin, settings))
            .transpose()?;
        Ok(Connector {
            origin: origin.clone(),
            timeout: config.connect_timeout,
            proxy: config.proxy.clone().filter(|_| origin.is_https()),
            tls,
            http: config.http,
            breaker: Arc::default(),
            lateness: Arc::default(),
        })
    }

    /// Goes on with what another connector to the same origin knows of it.
    pub(crate) fn knowing(self, before: &Connector) -> Connector {
        Connector {
            breaker: Arc::clone(&before.breaker),
            lateness: Arc::clone(&before.lateness),
            ..self
        }
    }

    /// Returns what is known of whether the upstream is down; all threads know the same.
    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Returns what is known of whether the upstream is slow; all threads know the same.
    pub(crate) fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// Returns whether a request may be sent now, as [`Breaker::allows`] does; reads the clock only in trouble.
    pub(crate) fn allows(&self) -> bool {
        !self.breaker.is_troubled() || self.breaker.allows(Instant::now())
    }

    /// Notes whether the upstream has answered.
    pub(crate) fn note<A>(&self, asked: &Result<A, Fault>) {
        match asked {
            Ok(_) => self.succeeded(),
            Err(_) => self.failed(),
        }
    }

    /// Notes that the upstream has answered.
    fn succeeded(&self) {
        if !self.breaker.is_troubled() {
            return;
        }
        if let Some(Change::Closed(after)) = self.breaker.succeeded(Instant::now()) {
            tracing::info!(upstream = %self.origin, ?after, "Sentry answers again");
        }
    }

    /// Notes that the upstream has not answered.
    pub(crate) fn failed(&self) {
        let chance = RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64;
        if self.breaker.failed(Instant::now(), chance).is_some() {
            tracing::warn!(upstream = %self.origin, "Sentry does not answer: it is asked now and then until it does");
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Stream, Fault> {
        tokio::time::timeout(self.timeout, self.open_in_time())
            .await
            .map_err(|_| Fault::ConnectTimeout)?
    }

    /// Opens a connection that is ready for a request.
    pub(crate) async fn connect(&self) -> Result<Sender, Fault> {
        let stream = self.open().await?;
        let speaks_http2 = match self.http {
            UpstreamHttp::Http1 => false,
            UpstreamHttp::Auto => stream.protocol() == Some(b"h2"),
            UpstreamHttp::Http2 => true,
        };
        let connected = if speaks_http2 {
            connect_http2(stream).await
        } else {
            connect_http1(stream).await
        };
        connected.map_err(|error| Fault::NotSent(error.into()))
    }

    /// Returns whether plain requests can be written to a connection as they are.
    pub(crate) fn speaks_http1_only(&self) -> bool {
        self.http == UpstreamHttp::Http1
    }

    async fn open_in_time(&self) -> Result<Stream, Fault> {
        let tcp = match &self.proxy {
            None => dial(self.origin.host(), self.origin.port()).await?,
            Some(proxy) => self.tunnel(proxy).await?,
        };
        match &self.tls {
            None => Ok(Stream::Plain(Socket::new(tcp))),
            Some(tls) => {
                let handshake = tls.connector.connect(tls.name.clone(), Socket::new(tcp));
                Ok(Stream::Tls(Box::new(
                    handshake.await.map_err(Fault::Handshake)?,
                )))
            }
        }
    }

    /// Asks an HTTP proxy for a tunnel to the origin.
    async fn tunnel(&self, proxy: &HttpProxy) -> Result<TcpStream, Fault> {
        let mut stream = dial(proxy.host(), proxy.port()).await?;
        let target = format!("{}:{}", self.origin.host(), self.origin.port());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = proxy.authorization() {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(Fault::Connect)?;
        accept_tunnel(&mut stream).await.map_err(Fault::Connect)?;
        Ok(stream)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Tls {
    fn new(origin: &Origin, settings: &Arc<ClientConfig>) -> Result<Tls, TlsError> {
        let host = bare_host(origin.host()).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| TlsError::Name(host))?;
        Ok(Tls {
            connector: TlsConnector::from(Arc::clone(settings)),
            name,
        })
    }
}

async fn connect_http1(stream: Stream) -> hyper::Result<Sender> {
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(MAX_BUFFER)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(see_off(connection));
    Ok(Sender::Http1(sender))
}

async fn connect_http2(stream: Stream) -> hyper::Result<Sender> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(MAX_BUFFER as u32)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(see_off(connection));
    Ok(Sender::Http2(sender))
}

async fn see_off(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "connection to Sentry ended");
    }
}

/// Tries the host's addresses in their order.
async fn dial(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let addresses = lookup_host((bare_host(host), port))
        .await
        .map_err(Fault::Resolve)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match dial_one(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Fault::Connect(last))
}

async fn dial_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads the proxy's answer byte by byte: what follows it belongs to the tunnel. It is short and read once per connection.
async fn accept_tunnel(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_TUNNEL_HEAD {
            return Err(io::Error::other("the HTTP proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if status.starts_with(b"2") {
        return Ok(());
    }
    let status = String::from_utf8_lossy(&status[..status.len().min(3)]).into_owned();
    Err(io::Error::other(format!(
        "the HTTP proxy refused the tunnel with status {status}"
    )))
}

/// An IPv6 address stands in brackets in a URL, and nowhere else.
fn bare_host(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Bytes read at once from Sentry; its answers are small.
const MAX_BUFFER: usize = 64 << 10;

/// How long an HTTP/2 connection may be silent before Sentry is asked whether it is still there, and may take to answer.
const PING: Duration = Duration::from_secs(20);

/// Bytes of an HTTP proxy's answer to `CONNECT`.
const MAX_TUNNEL_HEAD: usize = 8192;

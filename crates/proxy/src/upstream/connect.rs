//! Opens connections to Sentry: name, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::stream::{Socket, Stream};
use crate::body::RequestBody;
use crate::config::{Origin, UpstreamConfig};
use crate::error::{Fault, TlsError};

/// Opens connections to one upstream; clones share their TLS settings.
#[derive(Clone)]
pub(crate) struct Connector {
    origin: Origin,
    timeout: Duration,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    /// Prepares connections to the upstream of the configuration.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(config: &UpstreamConfig) -> Result<Connector, TlsError> {
        let origin = config.url.clone();
        let tls = if origin.is_https() {
            Some(Tls::new(&origin)?)
        } else {
            None
        };
        Ok(Connector {
            origin,
            timeout: config.connect_timeout,
            tls,
        })
    }

    /// Opens a connection that is ready for a request.
    pub(crate) async fn connect(&self) -> Result<SendRequest<RequestBody>, Fault> {
        let stream = tokio::time::timeout(self.timeout, self.open())
            .await
            .map_err(|_| Fault::ConnectTimeout)??;
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Fault::NotSent)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "connection to Sentry ended"
                );
            }
        });
        Ok(sender)
    }

    async fn open(&self) -> Result<Stream, Fault> {
        let tcp = Socket::new(self.dial().await?);
        match &self.tls {
            None => Ok(Stream::Plain(tcp)),
            Some(tls) => {
                let handshake = tls.connector.connect(tls.name.clone(), tcp);
                Ok(Stream::Tls(Box::new(
                    handshake.await.map_err(Fault::Handshake)?,
                )))
            }
        }
    }

    /// Tries the host's addresses in their order.
    async fn dial(&self) -> Result<TcpStream, Fault> {
        let host = self
            .origin
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let addresses = lookup_host((host, self.origin.port()))
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
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Tls {
    fn new(origin: &Origin) -> Result<Tls, TlsError> {
        let host = origin
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| TlsError::Name(host))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Settings)?
            .with_root_certificates(system_roots())
            .with_no_client_auth();
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }
}

async fn dial_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns the operating system's roots; what cannot be read is skipped, as every other program does.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "cannot read a system certificate"
        );
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Bytes read at once from Sentry; its answers are small.
const MAX_BUFFER: usize = 64 << 10;

//! TLS settings from PEM files: whom we trust and what we show, towards Sentry and towards SDKs.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::{KeyPair, UpstreamConfig, UpstreamHttp};
use crate::error::TlsError;

/// Returns the settings for connections to Sentry.
pub(crate) fn client(config: &UpstreamConfig) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .with_root_certificates(roots(config.ca_file.as_deref())?);
    let mut settings = match &config.client_cert {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(certificates(&pair.cert_file)?, key(&pair.key_file)?)
            .map_err(TlsError::Settings)?,
    };
    let (h1, h2) = (b"http/1.1".to_vec(), b"h2".to_vec());
    settings.alpn_protocols = match config.http {
        // A server that knows no ALPN then speaks HTTP/1.1 all the same.
        UpstreamHttp::Http1 => Vec::new(),
        UpstreamHttp::Auto => vec![h2, h1],
        UpstreamHttp::Http2 => vec![h2],
    };
    Ok(Arc::new(settings))
}

/// Returns the settings for connections of SDKs.
pub(crate) fn server(pair: &KeyPair) -> Result<Arc<ServerConfig>, TlsError> {
    let mut settings = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .with_no_client_auth()
        .with_single_cert(certificates(&pair.cert_file)?, key(&pair.key_file)?)
        .map_err(TlsError::Settings)?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Returns the operating system's roots and those of the file. Of the former, what cannot be read is skipped.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "cannot read a system certificate"
        );
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if let Some(file) = ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(TlsError::Settings)?;
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Read {
        file: file.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(file).map_err(unreadable)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            file: file.to_owned(),
        });
    }
    Ok(found)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|source| TlsError::Read {
        file: file.to_owned(),
        source,
    })
}

//! A certificate authority of our own, and both sides of TLS with what it signs.

use std::path::PathBuf;
use std::sync::Arc;

use proxy::config::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as Key};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority of our own, and files of what it signed.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, Key>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, dir }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn sign(&self, name: &str) -> KeyPair {
        let key = Key::generate().unwrap();
        let params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) = (
            self.dir.path().join(format!("{name}.pem")),
            self.dir.path().join(format!("{name}.key")),
        );
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        KeyPair {
            cert_file,
            key_file,
        }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    pub(crate) fn acceptor(&self, asks_for_certificate: bool) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.server(asks_for_certificate)))
    }

    /// An acceptor that agrees to these protocols.
    pub(crate) fn acceptor_of(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut settings = self.server(false);
        settings.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(settings))
    }

    fn server(&self, asks_for_certificate: bool) -> ServerConfig {
        let pair = self.sign("sentry");
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_for_certificate {
            let roots = Arc::new(self.roots());
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .unwrap(),
            )
        } else {
            builder.with_no_client_auth()
        };
        let certificates =
            rustls::pki_types::CertificateDer::pem_file_iter(&pair.cert_file).unwrap();
        let certificates = certificates.map(Result::unwrap).collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(&pair.key_file).unwrap();
        builder.with_single_cert(certificates, key).unwrap()
    }

    /// Connects to the proxy as a client that trusts this authority.
    pub(crate) async fn connect(
        &self,
        address: std::net::SocketAddr,
        alpn: &[u8],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut settings = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        settings.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(settings))
            .connect(name, tcp)
            .await
            .unwrap()
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

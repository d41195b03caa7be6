//! What can go wrong in the proxy itself, and what can go wrong between it and Sentry.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the proxy could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A forwarding thread cannot be set up.
    #[error("cannot set up a forwarding thread")]
    Thread(#[source] io::Error),
    /// TLS cannot be set up as configured.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
}

/// Why a running proxy keeps its configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A value can only change by a restart.
    #[error("`{0}` can only change by a restart")]
    NeedsRestart(&'static str),
    /// TLS cannot be set up as the new configuration says.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The host is no name or address that a certificate could be for.
    #[error("`{0}` is not a name a certificate can be for")]
    Name(String),
    /// A PEM file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file holds no certificate.
    #[error("no certificate in `{file}`")]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The settings do not fit together.
    #[error("the TLS settings do not fit together")]
    Settings(#[source] rustls::Error),
}

/// What a library or the operating system said about a connection.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why Sentry's answer is missing.
///
/// Two questions decide what happens next: whether Sentry may have taken the request, and what to tell the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot resolve the name of Sentry's host")]
    Resolve(#[source] io::Error),
    #[error("cannot connect to Sentry")]
    Connect(#[source] io::Error),
    #[error("no connection to Sentry within the connect timeout")]
    ConnectTimeout,
    #[error("cannot shake hands with Sentry")]
    Handshake(#[source] io::Error),
    #[error("cannot send the request to Sentry")]
    NotSent(#[source] Cause),
    #[error("the connection to Sentry broke before its answer")]
    Broken(#[source] Cause),
    #[error("no answer from Sentry within the response timeout")]
    Timeout,
    #[error("Sentry is down (status {0})")]
    Outage(u16),
}

impl Fault {
    /// Returns whether Sentry cannot have seen the whole request, so that sending it again cannot duplicate it.
    pub(crate) fn is_unsent(&self) -> bool {
        match self {
            Fault::Resolve(_)
            | Fault::Connect(_)
            | Fault::ConnectTimeout
            | Fault::Handshake(_)
            | Fault::NotSent(_) => true,
            Fault::Broken(_) | Fault::Timeout | Fault::Outage(_) => false,
        }
    }

    /// Returns the error and its causes, outermost first, for an answer's `causes`.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes = vec![self.to_string()];
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            causes.push(error.to_string());
            source = error.source();
        }
        causes
    }
}

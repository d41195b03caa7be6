//! Puts a request on a connection to Sentry, in the form that its protocol wants.

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::Uri;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use crate::body::{Framing, RequestBody};
use crate::config::Origin;
use crate::headers::without;

/// One end of a connection to Sentry.
#[derive(Debug)]
pub(crate) enum Sender {
    /// Carries one request at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Carries many at once; clones share it.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    /// Sends a request; hyper gives it back if no byte of it was sent.
    pub(crate) async fn try_send(
        &mut self,
        mut request: Request<RequestBody>,
        origin: &Origin,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Sender::Http1(sender) => {
                as_http1(&mut request, origin);
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                as_http2(&mut request, origin);
                sender.try_send_request(request).await
            }
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        }
    }

    /// Returns a second handle, if the connection carries many requests at once.
    pub(crate) fn share(&self) -> Option<Sender> {
        match self {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Sender::Http2(sender.clone())),
        }
    }
}

/// HTTP/2 has the host in the target and frames every body by itself. Source: RFC 9113 §8.2.2 and §8.3.1.
fn as_http2(request: &mut Request<RequestBody>, origin: &Origin) {
    without(request.headers_mut(), |name| {
        *name == HOST || *name == TRANSFER_ENCODING
    });
    *request.version_mut() = Version::HTTP_2;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(origin.scheme());
    parts.authority = Some(origin.authority().clone());
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path are there");
}

/// Undoes [`as_http2`], for a request that another connection could not take.
fn as_http1(request: &mut Request<RequestBody>, origin: &Origin) {
    if request.version() != Version::HTTP_2 {
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(HOST, origin.host_header());
    if request.body().framing() == Framing::Chunked {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    if let Some(target) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(target);
    }
}

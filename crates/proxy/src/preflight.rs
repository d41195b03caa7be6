//! A browser's question whether a site may send, which it asks before a request that is not simple. Sentry answers it, and we
//! where Sentry does not, or not in time: a browser without an answer sends nothing, and what is not sent cannot be kept.
//!
//! Source: <https://fetch.spec.whatwg.org/#http-cors-protocol>.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::answer;
use crate::body::AnswerBody;

/// What a browser asks.
#[derive(Debug)]
pub(crate) struct Preflight {
    headers: Option<HeaderValue>,
}

impl Preflight {
    /// Returns the question that a request is, if it is one.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Option<Preflight> {
        let is_asked = method == Method::OPTIONS
            && headers
                .get(ACCESS_CONTROL_REQUEST_METHOD)
                .is_some_and(|asked| asked == "POST");
        is_asked.then(|| Preflight {
            headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        })
    }

    /// Returns our yes, for a minute: then Sentry shall be asked again.
    pub(crate) fn allow(&self) -> Response<AnswerBody> {
        let mut response = answer::own(StatusCode::OK, String::new());
        let headers = response.headers_mut();
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("60"));
        if let Some(asked) = &self.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        response
    }
}

//! Whether a request that changes something comes from a page of our own: browsers say where they come from.
//!
//! Source: <https://fetch.spec.whatwg.org/#origin-header>.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::access::authority;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It does not say: no browser, or an old one.
    Unsaid,
    /// A page of our own.
    Own,
    /// A page that hides where it comes from.
    Hidden,
    /// A page of somebody else.
    Foreign,
}

impl Origin {
    /// Returns where a request comes from. Our own pages are where the request goes to, and under `public_url`: a proxy in
    /// front may have changed `Host`.
    pub(super) fn of(headers: &HeaderMap, public_url: Option<&str>) -> Self {
        let Some(origin) = headers.get(ORIGIN) else {
            return Self::Unsaid;
        };
        let Ok(origin) = origin.to_str() else {
            return Self::Foreign;
        };
        if origin == "null" {
            return Self::Hidden;
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let ours = [host, public_url.and_then(authority)];
        let is_ours = authority(origin).is_some_and(|given| {
            let mut ours = ours.iter().flatten();
            ours.any(|own| own.eq_ignore_ascii_case(given))
        });
        if is_ours { Self::Own } else { Self::Foreign }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_pages_by_where_the_request_goes_and_by_the_public_address() {
        let public = Some("https://notice.example.com/sn");
        let cases = [
            (None, Origin::Unsaid),
            (Some("http://127.0.0.1:9011"), Origin::Own),
            (Some("https://notice.example.com"), Origin::Own),
            (Some("https://NOTICE.example.com"), Origin::Own),
            (Some("null"), Origin::Hidden),
            (Some("https://evil.example"), Origin::Foreign),
            (Some("http://127.0.0.1:9010"), Origin::Foreign),
            (
                Some("https://notice.example.com.evil.example"),
                Origin::Foreign,
            ),
            (Some("127.0.0.1:9011"), Origin::Foreign),
            (Some(""), Origin::Foreign),
        ];

        for (origin, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "127.0.0.1:9011".parse().unwrap());
            headers.extend(origin.map(|origin| (ORIGIN, origin.parse().unwrap())));

            assert_eq!(Origin::of(&headers, public), expected, "{origin:?}");
        }
    }
}

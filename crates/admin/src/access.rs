//! What every request must pass before it is answered, and what every answer tells the browser.
//!
//! Source: Fetch Metadata, <https://www.w3.org/TR/fetch-metadata/>; CSP, <https://www.w3.org/TR/CSP3/>.

use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use tokio::time::Instant;

use crate::site::Site;
use crate::{auth, login};

/// Refuses requests for another host, and adds to every answer what a browser has to know.
pub(crate) async fn protect(State(site): State<Site>, request: Request, next: Next) -> Response {
    // Whoever asks after health, under whatever name, learns nothing else.
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    let mut response = match is_open || is_for_us(&site, request.headers()) {
        true => next.run(request).await,
        false => misdirected(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // A page may bring a policy of its own.
        headers
            .entry(name)
            .or_insert_with(|| HeaderValue::from_static(value));
    }
    response
}

/// Lets through who brings the token or is signed in; everybody when no token is configured. What changes something must
/// not come from a page of somebody else.
pub(crate) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if changes(request.method()) && !is_our_page(&site, headers) {
        return foreign();
    }
    let Some(token) = &site.admin.token else {
        return next.run(request).await;
    };
    let brought = auth::bearer(headers);
    let brings_token = brought.is_some_and(|given| token.is(given));
    if brings_token || site.sessions.knows(headers, Instant::now()) {
        return next.run(request).await;
    }
    let linked = token_of_link(&request);
    if linked.as_ref().is_some_and(|given| token.is(given)) {
        return login::open(&site, headers, "./");
    }
    if brought.is_some() || linked.is_some() {
        let path = request.uri().path().to_owned();
        site.guesses.wrong(&path).await;
    }
    if wants_page(&request) {
        // Relative, so that it also works below a path of a proxy in front.
        let query = request.uri().query().map(|query| format!("?{query}"));
        return Redirect::to(&format!("login{}", query.unwrap_or_default())).into_response();
    }
    let hint =
        "a token is needed\nhint: send `Authorization: Bearer TOKEN`, or sign in at /login\n";
    let challenge = [(WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, hint).into_response()
}

/// Returns whether a request comes from a page of ours, or from no page at all.
pub(crate) fn is_our_page(site: &Site, headers: &HeaderMap) -> bool {
    if let Some(from) = text(headers, &HeaderName::from_static("sec-fetch-site")) {
        return matches!(from, "same-origin" | "none");
    }
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(given) = text(headers, &ORIGIN).and_then(authority) else {
        return false;
    };
    let public = public_authority(site);
    let ours = [text(headers, &HOST), public.as_deref()];
    let mut ours = ours.into_iter().flatten();
    ours.any(|own| own.eq_ignore_ascii_case(given))
}

pub(crate) fn foreign() -> Response {
    let text = "the request comes from a page of another origin\nhint: behind a proxy that changes `Host`, set `admin.public_url`\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn misdirected() -> Response {
    let text = "these pages are not served under this host name\nhint: use http://127.0.0.1, or set `admin.public_url` to the address that you use, or set `admin.token`\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns whether a browser asks for the status page itself.
fn wants_page(request: &Request) -> bool {
    let accepts = text(request.headers(), &ACCEPT);
    request.uri().path() == "/" && accepts.is_some_and(|types| types.contains("text/html"))
}

/// The token of `/?token=…`: it is exchanged for a cookie, so that it does not stay in the address.
fn token_of_link(request: &Request) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Given {
        token: Option<String>,
    }
    let is_page = request.uri().path() == "/" && request.method() == Method::GET;
    let query = Query::<Given>::try_from_uri(request.uri()).ok();
    query.filter(|_| is_page)?.0.token
}

/// Without a token, a page elsewhere could give its own name our address and read everything as its own (DNS rebinding):
/// then only names that nobody can point at us will do.
fn is_for_us(site: &Site, headers: &HeaderMap) -> bool {
    if site.admin.token.is_some() {
        return true;
    }
    // Every browser names the host.
    if !headers.contains_key(HOST) || names_this_machine(headers) {
        return true;
    }
    let given = text(headers, &HOST).map(host);
    let public = public_authority(site);
    let public = public.as_deref().map(host);
    matches!((given, public), (Some(given), Some(public)) if given.eq_ignore_ascii_case(public))
}

/// Returns whether the host is `localhost` or a loopback address, with any port: it may be forwarded.
pub(crate) fn names_this_machine(headers: &HeaderMap) -> bool {
    let name = text(headers, &HOST).map(host).unwrap_or_default();
    let ip = name.parse::<std::net::IpAddr>();
    ip.map_or(name.eq_ignore_ascii_case("localhost"), |ip| {
        ip.is_loopback()
    })
}

/// `127.0.0.1` of `127.0.0.1:9011`, `::1` of `[::1]:9011`
fn host(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// `notice.example.com:8443` of `https://notice.example.com:8443/path`
pub(crate) fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()
}

fn public_authority(site: &Site) -> Option<String> {
    let config = site.admin.config.borrow();
    let url = config.public_url.as_deref()?;
    authority(url).map(str::to_owned)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with that, browsers hide where a form comes from, and our own would be refused.
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

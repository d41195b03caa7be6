//! Signing in and out: the token is given once, by a form, and exchanged for a cookie.

use askama::Template;
use axum::Form;
use axum::extract::{RawQuery, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use tokio::time::Instant;

use crate::access;
use crate::auth::{LIFE, NAME};
use crate::site::Site;
use crate::words::{Language, Words};

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    words: &'static Words,
    /// The query of the page that was asked for.
    query: String,
    is_wrong: bool,
}

#[derive(Deserialize)]
pub(crate) struct Given {
    token: String,
}

pub(crate) async fn ask(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    page(StatusCode::OK, query, &headers, false)
}

pub(crate) async fn sign_in(
    State(site): State<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    if !access::is_our_page(&site, &headers) {
        return access::foreign();
    }
    let is_right = |token: &crate::Token| token.is(given.token.trim());
    if !site.admin.token.as_ref().is_none_or(is_right) {
        site.guesses.wrong("/login").await;
        return page(StatusCode::FORBIDDEN, query, &headers, true);
    }
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    open(&site, &headers, &format!("./{query}"))
}

/// Signs somebody in, and sends the browser on.
pub(crate) fn open(site: &Site, headers: &HeaderMap, to: &str) -> Response {
    let Some(id) = site.sessions.open(Instant::now()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (life, attributes) = (LIFE.as_secs(), attributes(site, headers));
    let cookie = format!("{NAME}={id}; Path=/; Max-Age={life}; {attributes}");
    see_other(to, &cookie)
}

pub(crate) async fn sign_out(State(site): State<Site>, headers: HeaderMap) -> Response {
    if !access::is_our_page(&site, &headers) {
        return access::foreign();
    }
    site.sessions.close(&headers, Instant::now());
    let cookie = format!(
        "{NAME}=; Path=/; Max-Age=0; {}",
        attributes(&site, &headers)
    );
    see_other("login", &cookie)
}

/// Where people come by https, the cookie must not go out without it.
fn attributes(site: &Site, headers: &HeaderMap) -> &'static str {
    let config = site.admin.config.borrow();
    let url = config.public_url.as_deref();
    let is_secure = url.is_some_and(|url| url.starts_with("https://"));
    match is_secure && !access::names_this_machine(headers) {
        true => "HttpOnly; SameSite=Strict; Secure",
        false => "HttpOnly; SameSite=Strict",
    }
}

fn see_other(to: &str, cookie: &str) -> Response {
    let headers = [(LOCATION, to), (SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn page(
    status: StatusCode,
    query: Option<String>,
    headers: &HeaderMap,
    is_wrong: bool,
) -> Response {
    let query = query.unwrap_or_default();
    let page = Page {
        words: Language::of_query(&query, headers).words(),
        query,
        is_wrong,
    };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

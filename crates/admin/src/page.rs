//! The status page: what flows, what is alerting, who is told, what is silent. Rendered here, so it works without scripts.

mod issue;
mod now;
mod people;

use std::sync::Arc;
use std::time::SystemTime;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use self::issue::Issues;
use self::now::{Hour, Tiles, UpstreamRow};
use self::people::{AlertRow, MuteList, RobotRow};
use crate::issues::{IssueQuery, encode};
use crate::site::Site;
use crate::words::{Language, Words};

/// Values are escaped by the template engine: its file name ends in `.html`. Marked as safe are charts, which are made of
/// numbers, and cards, which escape for themselves.
#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    words: &'static Words,
    /// The language, where it was asked for: links keep it.
    lang: Option<&'static str>,
    /// The query that shows the same in the other language.
    other_query: String,
    listen: String,
    can_sign_out: bool,
    /// How many seconds apart the page may ask for itself.
    every: u8,
    tiles: Tiles,
    hour: Hour,
    upstreams: Vec<UpstreamRow>,
    warnings: Arc<Vec<String>>,
    robots: Vec<RobotRow>,
    projects: Vec<String>,
    query: IssueQuery,
    issues: Option<Issues>,
    alerts: Vec<AlertRow>,
    mutes: Option<MuteList>,
}

/// What a browser asks for.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    lang: Option<String>,
    token: Option<String>,
    #[serde(default)]
    project: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

/// What all parts of one page are made from.
struct View<'s> {
    site: &'s Site,
    language: Language,
    now: SystemTime,
}

pub(crate) async fn page(
    State(site): State<Site>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    // Whoever comes by it is signed in by now; the address is not kept.
    if query.token.is_some() {
        return Redirect::to("./").into_response();
    }
    let view = View {
        site: &site,
        language: Language::of(query.lang.as_deref(), &headers),
        now: SystemTime::now(),
    };
    match view.page(query).await.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl View<'_> {
    async fn page(&self, query: PageQuery) -> Page {
        let admin = &self.site.admin;
        let words = self.language.words();
        let lang = query.lang.is_some().then_some(words.lang);
        let query = IssueQuery {
            project: query.project,
            environment: query.environment,
            q: query.q,
            after: query.after,
            ..IssueQuery::default()
        };
        let snapshot = (admin.probe)();
        let projects = admin
            .config
            .borrow()
            .project_names
            .values()
            .cloned()
            .collect();
        let robots = self.robots().await;
        let issues = self.issues(&query).await.ok();
        let mutes = self.mutes().await.ok();
        Page {
            words,
            lang,
            other_query: format!("?lang={}&{}", words.other_lang, kept(&query)),
            listen: format!("{}://{}", admin.scheme, admin.listen),
            can_sign_out: admin.token.is_some(),
            every: if query.is_filtered() { 10 } else { 1 },
            tiles: self.tiles(&snapshot),
            hour: self.hour(),
            upstreams: self.upstreams(&snapshot),
            warnings: Arc::clone(&admin.warnings.borrow()),
            robots,
            projects,
            issues,
            alerts: self.alerts(),
            mutes,
            query,
        }
    }
}

/// The search and the place within it, without the language.
fn kept(query: &IssueQuery) -> String {
    let fields = [
        ("project", &query.project),
        ("environment", &query.environment),
        ("q", &query.q),
        ("after", &query.after),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = fields
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    pairs.join("&")
}

pub(crate) async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("../assets/style.css"),
    )
}

pub(crate) async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../assets/live.js"),
    )
}

/// Returns what belongs to a page and may be kept for a while.
pub(crate) fn asset(kind: &'static str, text: &'static str) -> Response {
    // Short, so that a page never meets those of another version for long.
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=60")];
    (headers, text).into_response()
}

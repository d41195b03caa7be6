//! The issues, searched and paged: for the page and as JSON.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use state::{Cursor, Found, Issue, Search, Unavailable};
use tokio::time::Instant;

use crate::Admin;
use crate::mute::Refusal;

/// What is asked for: `?project=shop&environment=production&q=timeout&after=…`. A field left empty asks for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IssueQuery {
    /// A project's number, or its name in the configuration.
    pub(crate) project: String,
    /// An environment to the letter.
    pub(crate) environment: String,
    /// What titles hold.
    pub(crate) q: String,
    /// Where a page begins.
    pub(crate) after: String,
    /// Issues on a page.
    pub(crate) limit: Option<usize>,
}

/// One issue: `{"project","project_name","environment","level","hash","title","events","users","are_users_exact",
/// "first_seen","last_seen","said_at","url","key"}`, times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct IssueJson {
    project: String,
    project_name: Option<String>,
    environment: String,
    level: &'static str,
    hash: String,
    title: String,
    events: u64,
    users: u64,
    are_users_exact: bool,
    first_seen: String,
    last_seen: String,
    said_at: Option<String>,
    /// Its newest event in Sentry.
    url: Option<String>,
    key: String,
}

/// Answers with a list; `Link: <…>; rel="next"` says where it goes on, `X-Known-Issues` how many issues there are in all.
pub(crate) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<IssueQuery>,
) -> Result<(HeaderMap, Json<Vec<IssueJson>>), Refusal> {
    let limit = query.limit.unwrap_or(LISTED).clamp(1, MOST);
    if !query.after.is_empty() && query.after.parse::<Cursor>().is_err() {
        let hint = "take it from the `Link` header of the page before";
        return Err(Refusal::bad(
            format!("`after` cannot be `{}`", query.after),
            hint,
        ));
    }
    let found = find(&admin, &query, limit).await?;
    let mut headers = HeaderMap::new();
    headers.insert(KNOWN, HeaderValue::from(found.known));
    if let Some(next) = &found.next {
        let link = format!(
            "</api/issues?{}&limit={limit}>; rel=\"next\"",
            query.with_after(next)
        );
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    }
    let issues = found.issues.iter();
    let list = issues.map(|issue| IssueJson::of(issue, &admin)).collect();
    Ok((headers, Json(list)))
}

/// Looks for a page of issues; where many do not match it gives up after a while, and says where to go on.
pub(crate) async fn find(
    admin: &Admin,
    query: &IssueQuery,
    limit: usize,
) -> Result<Found, Unavailable> {
    let Some(search) = query.search(admin) else {
        return Ok(Found::default());
    };
    let started = Instant::now();
    let mut found = Found {
        next: query.after.parse().ok(),
        ..Found::default()
    };
    loop {
        let left = limit - found.issues.len();
        let part = admin.store.search(&search, found.next, left).await?;
        found.issues.extend(part.issues);
        (found.next, found.known) = (part.next, part.known);
        let is_done = found.next.is_none() || found.issues.len() >= limit;
        if is_done || started.elapsed() > PATIENCE {
            return Ok(found);
        }
        // Alerts are decided on this thread, too.
        tokio::task::yield_now().await;
    }
}

impl IssueQuery {
    /// Returns whether it asks for some issues only.
    pub(crate) fn is_filtered(&self) -> bool {
        [&self.project, &self.environment, &self.q]
            .iter()
            .any(|field| !field.trim().is_empty())
    }

    /// Returns the query of the same search that begins elsewhere.
    pub(crate) fn with_after(&self, after: &Cursor) -> String {
        let fields = [
            ("project", self.project.trim()),
            ("environment", self.environment.trim()),
            ("q", self.q.trim()),
            ("after", &after.to_string()),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = fields
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        pairs.join("&")
    }

    /// Returns what to search for; `None` when there is no such project.
    fn search(&self, admin: &Admin) -> Option<Search> {
        let (project, environment) = (self.project.trim(), self.environment.trim());
        let project = match project {
            "" => None,
            named => Some(project_number(admin, named)?),
        };
        Some(Search {
            project,
            environment: (!environment.is_empty()).then(|| environment.to_owned()),
            text: self.q.trim().to_owned(),
        })
    }
}

impl IssueJson {
    fn of(issue: &Issue, admin: &Admin) -> Self {
        Self {
            project: issue.key.project.to_string(),
            project_name: project_name(admin, issue.key.project),
            environment: issue.environment.clone(),
            level: level(issue.level),
            hash: issue.key.hash.to_string(),
            title: issue.title.clone(),
            events: issue.events,
            users: issue.users,
            are_users_exact: issue.are_users_exact,
            first_seen: time(issue.first_seen),
            last_seen: time(issue.last_seen),
            said_at: said_at(issue).map(time),
            url: event_url(admin, issue),
            key: issue.key.to_string(),
        }
    }
}

/// Returns when the last word about an issue was said, on any route.
pub(crate) fn said_at(issue: &Issue) -> Option<SystemTime> {
    let said = issue.routes.iter().filter_map(|route| route.said);
    said.map(|said| said.at).max()
}

/// Returns a project's name in the configuration.
pub(crate) fn project_name(admin: &Admin, project: u64) -> Option<String> {
    let config = admin.config.borrow();
    config.project_names.get(&project.into()).cloned()
}

/// Returns where the newest event of an issue is in Sentry.
pub(crate) fn event_url(admin: &Admin, issue: &Issue) -> Option<String> {
    let config = admin.config.borrow();
    let links = config.links.of_issue(issue);
    links.event.filter(|url| crate::card::is_web_address(url))
}

/// Returns a time in RFC 3339, in whole seconds, UTC.
pub(crate) fn time(at: SystemTime) -> String {
    Timestamp::try_from(at)
        .and_then(|at| at.round(jiff::Unit::Second))
        .map_or_else(|_| String::from("?"), |at| at.to_string())
}

/// Encodes a value of a query.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn project_number(admin: &Admin, named: &str) -> Option<u64> {
    if let Ok(number) = named.parse() {
        return Some(number);
    }
    let config = admin.config.borrow();
    let mut names = config.project_names.iter();
    let found = names.find(|(_, name)| name.eq_ignore_ascii_case(named));
    found.map(|(project, _)| project.value())
}

fn level(level: u8) -> &'static str {
    let names = ["debug", "info", "warning", "error", "fatal"];
    names.get(usize::from(level)).copied().unwrap_or("error")
}

/// Issues in one list, by default and at most.
const LISTED: usize = 100;
const MOST: usize = 500;

/// How long to search for one page.
const PATIENCE: Duration = Duration::from_millis(80);

const KNOWN: HeaderName = HeaderName::from_static("x-known-issues");

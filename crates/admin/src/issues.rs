//! The issues last seen, as JSON.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use state::Issue;

use crate::Admin;

/// One issue: `{"project","hash","title","events","users","first_seen","last_seen","said_at"}`, times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct IssueJson {
    project: String,
    hash: String,
    title: String,
    events: u64,
    users: u64,
    first_seen: String,
    last_seen: String,
    said_at: Option<String>,
}

pub(crate) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<IssueJson>>, StatusCode> {
    let issues = admin.store.recent(LISTED).await;
    let issues = issues.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(issues.iter().map(IssueJson::of).collect()))
}

impl IssueJson {
    fn of(issue: &Issue) -> Self {
        Self {
            project: issue.key.project.to_string(),
            hash: issue.key.hash.to_string(),
            title: issue.title.clone(),
            events: issue.events,
            users: issue.users,
            first_seen: time(issue.first_seen),
            last_seen: time(issue.last_seen),
            said_at: said_at(issue).map(time),
        }
    }
}

/// Returns when the last word about an issue was said, on any route.
pub(crate) fn said_at(issue: &Issue) -> Option<SystemTime> {
    let said = issue.routes.iter().filter_map(|route| route.said);
    said.map(|said| said.at).max()
}

/// Returns a time in RFC 3339, in whole seconds, UTC.
pub(crate) fn time(at: SystemTime) -> String {
    Timestamp::try_from(at)
        .and_then(|at| at.round(jiff::Unit::Second))
        .map_or_else(|_| String::from("?"), |at| at.to_string())
}

/// Issues in one list.
pub(crate) const LISTED: usize = 100;

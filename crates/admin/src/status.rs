//! The status page: what flows, who is told, which issues there are.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{Html, IntoResponse, Response};

use crate::Admin;
use crate::issues::{LISTED, said_at, time};

pub(crate) async fn page(State(admin): State<Admin>) -> Response {
    let Ok(issues) = admin.store.recent(LISTED).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "state is unavailable\n").into_response();
    };
    let page = Page {
        listen: admin.listen.to_string(),
        trouble: admin.store.trouble().map(trouble),
        upstream: admin.upstream.borrow().clone(),
        robots: admin
            .robots
            .robots()
            .into_iter()
            .map(RobotRow::of)
            .collect(),
        issues: issues.into_iter().map(IssueRow::of).collect(),
    };
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, Html(html)).into_response()
}

/// Values are escaped by the template engine: its file name ends in `.html`.
#[derive(Template)]
#[template(path = "status.html")]
struct Page {
    listen: String,
    upstream: String,
    trouble: Option<String>,
    robots: Vec<RobotRow>,
    issues: Vec<IssueRow>,
}

/// Says what is wrong with state, and what follows from it.
fn trouble(trouble: state::Trouble) -> String {
    let minutes = trouble.since.elapsed().as_secs() / 60;
    format!("{}; for {minutes} min", trouble.what)
}

struct RobotRow {
    name: String,
    per_minute: u32,
    last: String,
}

impl RobotRow {
    fn of(robot: alert::RobotHealth) -> Self {
        let last = match robot.last {
            None => "nothing sent yet".to_owned(),
            Some(report) => match report.reason {
                None => format!("delivered at {}", time(report.at)),
                Some(reason) => format!(
                    "refused at {}: {reason}: {} — {}",
                    time(report.at),
                    report.detail,
                    report.hint
                ),
            },
        };
        Self {
            name: robot.name,
            per_minute: robot.per_minute,
            last,
        }
    }
}

struct IssueRow {
    project: String,
    title: String,
    events: u64,
    users: u64,
    first_seen: String,
    last_seen: String,
    said: String,
}

impl IssueRow {
    fn of(issue: state::Issue) -> Self {
        Self {
            project: issue.key.project.to_string(),
            said: said_at(&issue).map_or_else(|| "not yet".to_owned(), time),
            title: issue.title,
            events: issue.events,
            users: issue.users,
            first_seen: time(issue.first_seen),
            last_seen: time(issue.last_seen),
        }
    }
}

//! The messages sent last: for the page and as JSON.

use alert::{Message, Sent};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::Admin;
use crate::issues::time;

/// One message: `{"at","robot","result","kind","reason","title","project","level","issue","text"}`, the time in RFC 3339;
/// `kind` is `alert`, `digest`, `notice` or `test`.
#[derive(Debug, Serialize)]
pub(crate) struct AlertJson {
    at: String,
    robot: String,
    /// `ok`, or why it was refused.
    result: &'static str,
    kind: &'static str,
    reason: Option<&'static str>,
    title: Option<String>,
    project: Option<String>,
    level: Option<String>,
    issue: Option<String>,
    /// What the robot was given; nothing when it is not configured any more.
    text: Option<String>,
}

/// Answers with the last hundred messages of this process, newest first.
pub(crate) async fn list(State(admin): State<Admin>) -> Json<Vec<AlertJson>> {
    let sent = admin.journal.messages();
    let list = sent.iter().map(|sent| AlertJson::of(sent, &admin));
    Json(list.collect())
}

impl AlertJson {
    fn of(sent: &Sent, admin: &Admin) -> Self {
        let alert = match &*sent.message {
            Message::Alert(alert) => Some(alert),
            Message::Digest(_) | Message::Notice(_) | Message::Test { .. } => None,
        };
        let subject = alert.map(|alert| &alert.subject);
        Self {
            at: time(sent.at),
            robot: sent.robot.clone(),
            result: sent.result,
            kind: kind(&sent.message),
            reason: alert.map(|alert| alert.reason.as_str()),
            title: subject.map(|subject| subject.title.clone()),
            project: subject.map(|subject| subject.project.to_string()),
            level: subject.map(|subject| subject.level.to_string()),
            issue: alert.map(|alert| alert.issue.to_string()),
            text: (admin.draw)(sent).map(|card| card.text),
        }
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Alert(_) => "alert",
        Message::Digest(_) => "digest",
        Message::Notice(_) => "notice",
        Message::Test { .. } => "test",
    }
}

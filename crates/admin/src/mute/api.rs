//! Mutes as JSON: what is in force, one more, one less.

use std::collections::BTreeMap;
use std::time::SystemTime;

use alert::StandingMute;
use alert::mute::Author;
use alert::rule::parse_duration;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use state::{IssueKey, Mute, Scope, Unavailable};

use super::link::BY_LINK;
use super::refusal::Refusal;
use crate::Admin;
use crate::issues::time;

/// One mute: `{"id","what","issue","match","since","until","by","comment","is_standing"}`, times in RFC 3339. One that
/// stands in the file has no id and no beginning; one without `until` lasts until it is removed.
#[derive(Debug, Serialize)]
pub(crate) struct MuteJson {
    id: Option<String>,
    /// The issue's title or key, or the conditions: `title = "*ECONNRESET*"`.
    what: String,
    issue: Option<String>,
    #[serde(rename = "match")]
    conditions: Option<BTreeMap<String, Vec<String>>>,
    since: Option<String>,
    until: Option<String>,
    by: String,
    comment: String,
    is_standing: bool,
}

/// What is asked for: `{"issue":"42:9f3c…","for":"1h"}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) issue: Option<String>,
    #[serde(rename = "match")]
    pub(super) conditions: Option<BTreeMap<String, Patterns>>,
    #[serde(rename = "for")]
    pub(super) lasts: Option<String>,
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) comment: String,
    pub(super) by: Option<String>,
}

/// One pattern, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Patterns {
    One(String),
    Several(Vec<String>),
}

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<MuteJson>>, Refusal> {
    Ok(Json(mutes(&admin, SystemTime::now()).await?))
}

pub(super) async fn add(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<MuteJson>), Refusal> {
    refuse_other_than_json(&headers)?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| {
        let hint = "such as {\"issue\":\"42:9f3c…\",\"for\":\"1h\"} or {\"match\":{\"title\":\"*timeout*\"},\"until\":\"2026-12-31T18:00:00Z\"}";
        Refusal::bad(format!("cannot read the mute: {error}"), hint)
    })?;
    let mute = set(&admin, wanted, "api", SystemTime::now()).await?;
    Ok((StatusCode::CREATED, Json(shown(&admin, &mute).await)))
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    if admin.muting.mutes.unmute(&id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let hint = "`sentry-notice mute list` or GET /api/mutes names them; those of the file go by editing the file";
    let detail = format!("there is no mute `{id}`");
    Err(Refusal::new(StatusCode::NOT_FOUND, detail, hint))
}

/// Returns the mutes in force: those set while the process ran, then those of the file.
async fn mutes(admin: &Admin, now: SystemTime) -> Result<Vec<MuteJson>, Unavailable> {
    let set = admin.muting.mutes.list(now).await?;
    let mut mutes = join_all(set.iter().map(|mute| shown(admin, mute))).await;
    let config = admin.config.borrow();
    let standing = config.mutes.iter().filter(|mute| mute.is_active(now));
    mutes.extend(standing.map(MuteJson::of_file));
    Ok(mutes)
}

/// Sets a mute after looking at every part of it.
pub(super) async fn set(
    admin: &Admin,
    wanted: Wanted,
    by: &str,
    now: SystemTime,
) -> Result<Mute, Refusal> {
    if wanted.by.as_deref() == Some(BY_LINK) {
        let hint = "it marks the mutes of cards, which whoever sees the card can undo";
        return Err(Refusal::bad(format!("`by` cannot be `{BY_LINK}`"), hint));
    }
    let author = Author {
        by: limited("by", wanted.by.unwrap_or_else(|| by.to_owned()), NAME)?,
        until: end(wanted.lasts.as_deref(), wanted.until.as_deref(), now)?,
        comment: limited("comment", wanted.comment, COMMENT)?,
    };
    let mutes = &admin.muting.mutes;
    match (wanted.issue, wanted.conditions) {
        (Some(issue), None) => {
            let issue: IssueKey = issue.parse().map_err(|_| {
                let hint = "a project id and 32 hex digits, as GET /api/issues and the status page name it";
                Refusal::bad(format!("`{issue}` is no issue"), hint)
            })?;
            Ok(mutes.mute_issue(issue, author, now).await?)
        }
        (None, Some(conditions)) => {
            let conditions = conditions.into_iter();
            let conditions = conditions.map(|(key, patterns)| (key, patterns.into_list()));
            Ok(mutes
                .mute_matching(conditions.collect(), author, now)
                .await?)
        }
        (Some(_), Some(_)) | (None, None) => {
            let what = "either `issue` or `match` is needed, and not both".to_owned();
            Err(Refusal::bad(what, ""))
        }
    }
}

/// Returns when a mute ends by what was asked for; `None` is never.
fn end(
    lasts: Option<&str>,
    until: Option<&str>,
    now: SystemTime,
) -> Result<Option<SystemTime>, Refusal> {
    match (lasts, until) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::bad(
            "`for` and `until` are both set".to_owned(),
            "keep one of the two; without either the mute lasts until it is removed",
        )),
        (Some(lasts), None) => {
            let until = parse_duration(lasts)
                .filter(|lasts| !lasts.is_zero())
                .and_then(|lasts| now.checked_add(lasts));
            let wrong = || {
                let hint = "such as \"30m\", \"1h\", \"7d\"";
                Refusal::bad(format!("`{lasts}` is no duration"), hint)
            };
            until.ok_or_else(wrong).map(Some)
        }
        (None, Some(until)) => {
            let moment: Option<Timestamp> = until.parse().ok();
            let moment = moment.and_then(|moment| SystemTime::try_from(moment).ok());
            let wrong = || {
                let hint = "a moment to come, such as \"2026-12-31T18:00:00Z\"";
                Refusal::bad(format!("`{until}` is no moment to come"), hint)
            };
            moment
                .filter(|moment| *moment > now)
                .ok_or_else(wrong)
                .map(Some)
        }
    }
}

fn limited(name: &str, text: String, most: usize) -> Result<String, Refusal> {
    if text.len() > most {
        let what = format!("`{name}` is longer than {most} bytes");
        return Err(Refusal::bad(what, ""));
    }
    Ok(text)
}

/// A form of somebody else's page cannot say that it is JSON.
fn refuse_other_than_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let ty = headers.get(CONTENT_TYPE).and_then(|ty| ty.to_str().ok());
    let ty = ty.and_then(|ty| ty.split(';').next()).map(str::trim);
    if ty.is_some_and(|ty| ty.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let (detail, hint) = (
        "a mute is set by JSON",
        "say Content-Type: application/json",
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Refusal::new(status, detail.to_owned(), hint))
}

async fn shown(admin: &Admin, mute: &Mute) -> MuteJson {
    let title = match &mute.scope {
        Scope::Issue(key) => {
            let issue = admin.store.issue(key).await;
            issue.ok().flatten().map(|issue| issue.title)
        }
        Scope::Matching(_) => None,
    };
    MuteJson::of(mute, title)
}

impl MuteJson {
    fn of(mute: &Mute, title: Option<String>) -> Self {
        let (issue, conditions) = match &mute.scope {
            Scope::Issue(key) => (Some(key.to_string()), None),
            Scope::Matching(conditions) => (None, Some(conditions.iter().cloned().collect())),
        };
        Self {
            id: Some(mute.id.clone()),
            what: title.unwrap_or_else(|| describe(&mute.scope)),
            issue,
            conditions,
            since: Some(time(mute.since)),
            until: mute.until.map(time),
            by: mute.by.clone(),
            comment: mute.comment.clone(),
            is_standing: false,
        }
    }

    fn of_file(mute: &StandingMute) -> Self {
        Self {
            id: None,
            what: mute.matcher.to_string(),
            issue: None,
            conditions: None,
            since: None,
            until: mute.until.map(time),
            by: "proxy.toml".to_owned(),
            comment: mute.comment.clone(),
            is_standing: true,
        }
    }
}

/// `42:9f3c…`, or `level = "fatal", title = ["*a*", "*b*"]`
fn describe(scope: &Scope) -> String {
    let conditions = match scope {
        Scope::Issue(key) => return key.to_string(),
        Scope::Matching(conditions) => conditions,
    };
    let conditions = conditions
        .iter()
        .map(|(key, patterns)| match &patterns[..] {
            [pattern] => format!("{key} = {pattern:?}"),
            patterns => format!("{key} = {patterns:?}"),
        });
    conditions.collect::<Vec<_>>().join(", ")
}

impl Patterns {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(pattern) => vec![pattern],
            Self::Several(patterns) => patterns,
        }
    }
}

/// Bytes of a name, and of a comment.
const NAME: usize = 100;
const COMMENT: usize = 1_000;

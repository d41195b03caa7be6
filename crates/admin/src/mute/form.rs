//! Mutes by the plain forms of the status page; each leads back to it.

use std::time::SystemTime;

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::api::{Wanted, set};
use super::refusal::Refusal;
use crate::Admin;

/// `issue=42:9f3c…&for=1h&comment=`
#[derive(Debug, Deserialize)]
pub(super) struct NewMute {
    issue: String,
    #[serde(rename = "for", default)]
    lasts: String,
    #[serde(default)]
    comment: String,
}

/// `id=issue-42-9f3c…`
#[derive(Debug, Deserialize)]
pub(super) struct OldMute {
    id: String,
}

pub(super) async fn add(
    State(admin): State<Admin>,
    Form(form): Form<NewMute>,
) -> Result<Response, Refusal> {
    let wanted = Wanted {
        issue: Some(form.issue),
        lasts: Some(form.lasts).filter(|lasts| !lasts.is_empty()),
        comment: form.comment,
        ..Wanted::default()
    };
    set(&admin, wanted, "page", SystemTime::now()).await?;
    Ok(back())
}

/// One that is gone already is as good as removed.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Form(form): Form<OldMute>,
) -> Result<Response, Refusal> {
    admin.muting.mutes.unmute(&form.id).await?;
    Ok(back())
}

/// Relative, because a proxy in front may serve these pages under a path of its own.
fn back() -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, "../")]).into_response()
}

//! Why a mute is not set or removed, as JSON: `{"detail","hint"}`.

use alert::mute::MuteError;
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use state::Unavailable;

use super::origin::Origin;
use crate::Admin;

/// Why nothing was done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    detail: String,
    hint: &'static str,
}

#[derive(Serialize)]
struct RefusalJson<'r> {
    detail: &'r str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'r str,
}

/// Refuses what a page of somebody else makes a browser send.
pub(crate) fn refuse_foreign(admin: &Admin, headers: &HeaderMap) -> Result<(), Refusal> {
    match Origin::of(headers, admin.muting.public_url().as_deref()) {
        Origin::Unsaid | Origin::Own => Ok(()),
        Origin::Hidden | Origin::Foreign => Err(Refusal {
            status: StatusCode::FORBIDDEN,
            detail: "the request comes from a page of another origin".to_owned(),
            hint: "behind a proxy that changes `Host`, set `admin.public_url`",
        }),
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: String, hint: &'static str) -> Self {
        Self {
            status,
            detail,
            hint,
        }
    }

    /// What was asked for cannot be done as it stands.
    pub(super) fn bad(detail: String, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail, hint)
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            detail: error.to_string(),
            hint: "try again later",
        }
    }
}

impl From<MuteError> for Refusal {
    fn from(error: MuteError) -> Self {
        let hint = match error {
            MuteError::Unavailable(error) => return error.into(),
            MuteError::NoCondition => "such as {\"title\":\"*timeout*\"}",
            MuteError::UnknownKey(_) => {
                "the keys of `match` in [[alert.route]]: project, environment, level, title, tag.NAME …"
            }
            MuteError::Pattern(_) => {
                "a glob such as \"prod*\", \"/a regular expression/\", or either after \"!\""
            }
        };
        Self::bad(error.to_string(), hint)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let json = RefusalJson {
            detail: &self.detail,
            hint: self.hint,
        };
        (self.status, Json(json)).into_response()
    }
}

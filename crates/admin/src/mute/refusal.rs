//! Why nothing was done or found, as JSON: `{"detail","hint"}`.

use alert::mute::MuteError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use state::Unavailable;

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

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: String, hint: &'static str) -> Self {
        Self {
            status,
            detail,
            hint,
        }
    }

    /// What was asked for cannot be done as it stands.
    pub(crate) fn bad(detail: String, hint: &'static str) -> Self {
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

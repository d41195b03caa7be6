//! Whether the process lives and whether it takes requests.

use axum::extract::State;
use axum::http::StatusCode;

use crate::Admin;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.ready.get() {
        return (StatusCode::OK, "ok\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not accepting requests\n")
}

//! Whether the process lives and whether it takes requests.

use axum::extract::State;
use axum::http::StatusCode;

use crate::Admin;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if !admin.ready.get() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not accepting requests\n");
    }
    if !(admin.probe)().can_take() {
        let text = "Sentry does not answer, and the spool is off, full or failing\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, "ok\n")
}

//! All counters as Prometheus reads them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;

use crate::Admin;

pub(crate) async fn text(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    if encode(&mut text, &admin.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(CONTENT_TYPE, CONTENT)], text).into_response()
}

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

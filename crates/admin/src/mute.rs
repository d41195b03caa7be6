//! Mutes over HTTP: as JSON for programs, by plain forms for the status page, and by the signed links of cards.
//!
//! | route | answer |
//! |---|---|
//! | `GET /api/mutes` | the mutes in force, those of the file too, JSON |
//! | `POST /api/mutes` | sets one: `{"issue"` or `"match", "for"` or `"until", "comment", "by"}`; 201 and the mute |
//! | `DELETE /api/mutes/{id}` | removes one; 204, or 404 |
//! | `POST /mutes/add` | the same by a form: `issue`, `for`, `comment`; 303 to the status page |
//! | `POST /mutes/remove` | the same by a form: `id` |
//! | `GET /mute?…` | a card's link: asks whether to mute; changes nothing |
//! | `GET /mute.css` | the style of that page |
//! | `POST /mute` | does it, or undoes it with `undo=1`; the link's signature is the authority |
//!
//! Why: docs/decisions/0018-mute-links-are-signed.md.

use alert::{Keyring, Mutes};
use axum::Router;
use axum::response::Response;
use axum::routing::{delete, get, post};

use crate::{Admin, page};

mod api;
mod form;
mod link;
mod origin;
mod refusal;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use self::refusal::Refusal;

/// What serves mutes. Cheap to clone.
#[derive(Clone)]
pub struct Muting {
    /// The mutes in force, and the way to set and remove them.
    pub mutes: Mutes,
    /// The key of the links in cards.
    pub keyring: Keyring,
}

/// Routes for whoever may see the status page.
pub(crate) fn guarded() -> Router<Admin> {
    Router::new()
        .route("/api/mutes", get(api::list).post(api::add))
        .route("/api/mutes/{id}", delete(api::remove))
        .route("/mutes/add", post(form::add))
        .route("/mutes/remove", post(form::remove))
}

/// Routes for whoever has a card's link.
pub(crate) fn linked() -> Router<Admin> {
    Router::new()
        .route("/mute", get(link::ask).post(link::obey))
        .route("/mute.css", get(style))
}

async fn style() -> Response {
    page::asset(
        "text/css; charset=utf-8",
        include_str!("../assets/mute.css"),
    )
}

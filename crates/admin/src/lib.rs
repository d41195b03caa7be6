//! What an operator looks at: health, metrics and the status page, on a listener of their own.
//!
//! | route | answer |
//! |---|---|
//! | `GET /` | the status page, HTML; `?q=`, `project=`, `environment=` search its issues, `lang=` chooses the language |
//! | `GET /events` | tells an open page when something has changed |
//! | `GET /healthz` | 200 while the process is alive |
//! | `GET /readyz` | 200 while requests are accepted and can be forwarded or kept, else 503 |
//! | `GET /metrics` | Prometheus text |
//! | `GET /api/issues` | issues, last seen first, JSON; the page's search, `limit=`, and `Link` to the next page |
//! | `GET /api/alerts` | the messages sent last, JSON |
//! | `/api/mutes`, `/mutes/…`, `/mute` | see [`mute`] |
//! | `POST /-/reload` | reads the configuration anew, see [`reload`] |
//! | `GET`, `POST /login`, `POST /logout` | the token for a cookie, and the end of that |
//!
//! All but health, `/login`, `/logout`, the links of cards and the pages' own styles and script want the token when one is configured:
//! `Authorization: Bearer …`, or the cookie. Top-down: `access` is what every request passes; `page` renders; `live` watches
//! what changes; `history` keeps the last hour. Why it is as it is: docs/decisions/0025-a-page-without-scripts-first.md.

mod access;
mod alerts;
mod auth;
pub mod card;
mod chart;
mod door;
mod guess;
mod health;
mod history;
mod issues;
mod live;
mod login;
mod metrics;
pub mod mute;
mod page;
pub mod reload;
mod seldom;
mod site;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use state::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::door::Door;
use crate::site::Site;

pub use crate::auth::Token;
pub use crate::card::{Card, Draw};
pub use crate::mute::Muting;
pub use crate::reload::Reload;
pub use crate::snapshot::{Probe, Snapshot};
#[cfg(test)]
pub(crate) use crate::tests::router;

/// What the pages show, and who may see them. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// All counters.
    pub registry: Arc<Registry>,
    /// Issues and mutes.
    pub store: Arc<dyn Store>,
    /// The robots' state.
    pub robots: alert::Health,
    /// The messages sent last.
    pub journal: alert::Journal,
    /// What happened to issues lately.
    pub activity: alert::Activity,
    /// The names, routes and mutes in force, and the pages' public address.
    pub config: watch::Receiver<Arc<alert::Config>>,
    /// What the operator should know about the configuration in force.
    pub warnings: watch::Receiver<Arc<Vec<String>>>,
    /// Reads the forwarding side's numbers.
    pub probe: Probe,
    /// Draws messages as robots sent them.
    pub draw: Draw,
    /// How SDKs speak to the proxy: `http` or `https`.
    pub scheme: &'static str,
    /// Where SDKs connect to.
    pub listen: SocketAddr,
    /// Whether requests are accepted.
    pub ready: Ready,
    /// The token that requests must bring.
    pub token: Option<Token>,
    /// Mutes, and the links that set them.
    pub muting: Muting,
    /// The way to have the configuration read anew.
    pub reload: Reload,
}

/// Whether requests are accepted; clones share the answer. Starts as not ready.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says whether requests are accepted from now on.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Release);
    }

    /// Returns whether requests are accepted.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Serves the pages until `stop` resolves, then finishes what is in flight.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (close, closing) = watch::channel(false);
    let site = Site::new(admin, closing);
    let stop = async move {
        stop.await;
        // Open pages would hold the end up for ever.
        close.send_replace(true);
    };
    let serving = axum::serve(Door::new(listener), routes(site.clone()));
    tokio::select! {
        served = serving.with_graceful_shutdown(stop) => served,
        () = live::watch_over(site) => Ok(()),
    }
}

fn routes(site: Site) -> Router {
    let guarded = Router::new()
        .route("/", get(page::page))
        .route("/events", get(live::events))
        .route("/metrics", get(metrics::text))
        .route("/api/issues", get(issues::list))
        .route("/api/alerts", get(alerts::list))
        .route("/-/reload", post(reload::reload))
        .merge(mute::guarded().with_state(site.admin.clone()))
        .layer(from_fn_with_state(site.clone(), access::guard));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/style.css", get(page::style))
        .route("/live.js", get(page::script))
        .route("/login", get(login::ask).post(login::sign_in))
        .route("/logout", post(login::sign_out))
        .merge(mute::linked().with_state(site.admin.clone()))
        .merge(guarded)
        .layer(from_fn_with_state(site.clone(), access::protect))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(site)
}

/// Bytes that a request's body may have.
const BODY: usize = 16 << 10;

//! What all requests share: what is shown, who is signed in, who listens.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Admin;
use crate::auth::Sessions;
use crate::guess::Guesses;
use crate::history::History;
use crate::live::Live;

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) admin: Admin,
    pub(crate) history: Arc<History>,
    pub(crate) live: Arc<Live>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) guesses: Arc<Guesses>,
    /// Becomes true when the program stops.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Site {
    pub(crate) fn new(admin: Admin, closing: watch::Receiver<bool>) -> Self {
        Self {
            admin,
            history: Arc::new(History::new(Instant::now())),
            live: Arc::new(Live::new()),
            sessions: Arc::default(),
            guesses: Arc::default(),
            closing,
        }
    }
}

impl FromRef<Site> for Admin {
    fn from_ref(site: &Site) -> Self {
        site.admin.clone()
    }
}

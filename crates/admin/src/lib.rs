//! What an operator looks at: health, metrics and the status page, on a listener of their own.
//!
//! | route | answer |
//! |---|---|
//! | `GET /` | the status page, HTML |
//! | `GET /healthz` | 200 while the process is alive |
//! | `GET /readyz` | 200 while requests are accepted, 503 while draining |
//! | `GET /metrics` | Prometheus text |
//! | `GET /api/issues` | the issues last seen, JSON |
//! | `/api/mutes`, `/mutes/…`, `/mute` | see [`mute`] |
//! | `POST /-/reload` | reads the configuration anew, see [`reload`] |
//!
//! All but the two health routes and the links of cards want the token when one is configured: `Authorization: Bearer …` or `?token=…`.

mod auth;
mod health;
mod issues;
mod metrics;
pub mod mute;
pub mod reload;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use state::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use crate::auth::Token;
pub use crate::mute::Muting;
pub use crate::reload::Reload;

/// What the pages show, and who may see them. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// All counters.
    pub registry: Arc<Registry>,
    /// Issues and mutes.
    pub store: Arc<dyn Store>,
    /// The robots' state.
    pub robots: alert::Health,
    /// Where requests go, for the page's head.
    pub upstream: watch::Receiver<String>,
    /// Where SDKs connect to, for the page's head.
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
    axum::serve(listener, router(admin))
        .with_graceful_shutdown(stop)
        .await
}

fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route("/", get(status::page))
        .route("/metrics", get(metrics::text))
        .route("/api/issues", get(issues::list))
        .route("/-/reload", post(reload::reload))
        .merge(mute::guarded())
        .layer(from_fn_with_state(admin.clone(), auth::require_token));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(mute::linked())
        .merge(guarded)
        .with_state(admin)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use http_body_util::BodyExt;
    use state::{IssueHash, Memory, Sighting};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn is_ready_only_while_requests_are_accepted() {
        let admin = admin(None);

        let before = get_page(&admin, "/readyz").await;
        admin.ready.set(true);
        let after = get_page(&admin, "/readyz").await;

        assert_eq!(
            (before.0, after.0),
            (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK)
        );
        assert_eq!(get_page(&admin, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn says_when_state_is_in_memory_alone() {
        let away = state::Config::Redis(state::RedisConfig {
            address: "redis://:secret@127.0.0.1:1".parse().unwrap(),
            prefix: String::new(),
            retention: std::time::Duration::from_secs(60),
            budget: std::time::Duration::from_millis(50),
        });
        let store = state::open(&away, Arc::new(SystemTime::now)).await.unwrap();
        let well = admin(None);
        let troubled = Admin {
            store,
            ..well.clone()
        };

        let (_, well) = get_page(&well, "/").await;
        let (status, page) = get_page(&troubled, "/").await;

        assert!(!well.contains("in memory alone"), "{well}");
        assert_eq!(status, StatusCode::OK);
        assert!(
            page.contains("in memory alone:</strong> `redis` is away: "),
            "{page}"
        );
        assert!(!page.contains("secret"), "{page}");
    }

    #[tokio::test]
    async fn lists_issues_without_letting_their_text_become_markup() {
        let admin = admin(None);
        see(&admin, "<script>alert(1)</script>").await;

        let (status, page) = get_page(&admin, "/").await;
        let (_, list) = get_page(&admin, "/api/issues").await;

        assert_eq!(status, StatusCode::OK);
        assert!(
            !page.contains("<script>") && page.contains("alert(1)"),
            "{page}"
        );
        assert!(
            list.contains(r#""hash":"a68d622cec8b5822836dbc7977af7f3b","title":"<script>alert(1)</script>","events":1"#),
            "{list}"
        );
    }

    #[tokio::test]
    async fn forbids_scripts_and_frames_on_its_page() {
        let request = Request::get("/").body(Body::empty()).unwrap();

        let answer = router(admin(None)).oneshot(request).await.unwrap();

        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'")
        );
    }

    #[tokio::test]
    async fn shows_counters_in_prometheus_text() {
        let (status, text) = get_page(&admin(None), "/metrics").await;

        assert_eq!(status, StatusCode::OK);
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn wants_the_token_for_everything_but_health() {
        let admin = admin(Some(Token::new("right".to_owned())));

        for path in ["/", "/metrics", "/api/issues", "/?token=wrong", "/?token="] {
            assert_eq!(
                get_page(&admin, path).await.0,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
        }
        for path in ["/healthz", "/?token=right"] {
            assert_eq!(get_page(&admin, path).await.0, StatusCode::OK, "{path}");
        }
    }

    #[tokio::test]
    async fn takes_the_token_as_a_bearer() {
        let admin = admin(Some(Token::new("right".to_owned())));

        for (bearer, expected) in [
            ("Bearer right", StatusCode::OK),
            ("right", StatusCode::UNAUTHORIZED),
        ] {
            let request = Request::get("/").header(header::AUTHORIZATION, bearer);
            let answer = router(admin.clone())
                .oneshot(request.body(Body::empty()).unwrap())
                .await;

            assert_eq!(answer.unwrap().status(), expected, "{bearer}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(
            format!("{:?}", Token::new("right".to_owned())),
            "[redacted]"
        );
    }

    async fn get_page(admin: &Admin, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(admin.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn see(admin: &Admin, title: &str) {
        let sighting = Sighting {
            project: 1,
            hashes: &[IssueHash::of("abc")],
            event_id: None,
            user: None,
            release: None,
            environment: None,
            title,
            level: 4,
            routes: &[],
        };
        admin
            .store
            .observe(&sighting, SystemTime::UNIX_EPOCH)
            .await
            .unwrap();
    }

    pub(crate) fn admin(token: Option<Token>) -> Admin {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let keyring = alert::Keyring::new(Arc::clone(&store), None, alert::Key::new("key"));
        Admin {
            registry: Arc::default(),
            muting: Muting {
                mutes: alert::Mutes::new(Arc::clone(&store)),
                keyring,
                config: watch::Sender::default().subscribe(),
            },
            reload: Reload::default(),
            store,
            robots: alert::Health::default(),
            upstream: watch::Sender::new("https://sentry.example.com".to_owned()).subscribe(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9010)),
            ready: Ready::default(),
            token,
        }
    }
}

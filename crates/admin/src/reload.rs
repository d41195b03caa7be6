//! `POST /-/reload`: has the configuration read anew, as SIGHUP does, and says what came of it.
//!
//! | answer | when |
//! |---|---|
//! | 200, what changed, a line each | it is in force |
//! | 422, every problem | the file is wrong, or a value in it needs a restart: the old configuration stays in force |
//! | 501 | nobody in this process reads configurations |

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use crate::Admin;

/// The way to whoever reads the configuration. The default one leads nowhere.
#[derive(Debug, Clone, Default)]
pub struct Reload(Option<mpsc::Sender<Asked>>);

/// Somebody asks for the configuration to be read anew, and waits for what comes of it.
pub type Asked = oneshot::Sender<Result<Changed, String>>;

/// The names of the tables and keys that changed; none when nothing did.
pub type Changed = Vec<&'static str>;

impl Reload {
    /// Returns a way to whoever listens at the other end.
    pub fn channel() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(Some(sender)), receiver)
    }

    /// Asks, and waits for the answer; `None` when nobody listens.
    async fn ask(&self) -> Option<Result<Changed, String>> {
        let (answer, answered) = oneshot::channel();
        self.0.as_ref()?.send(answer).await.ok()?;
        answered.await.ok()
    }
}

pub(crate) async fn reload(State(admin): State<Admin>) -> Response {
    match admin.reload.ask().await {
        Some(Ok(changed)) if changed.is_empty() => "nothing changed\n".into_response(),
        Some(Ok(changed)) => format!("reloaded: {}\n", changed.join(", ")).into_response(),
        Some(Err(problems)) => {
            let text = format!(
                "{}\nthe old configuration stays in force\n",
                problems.trim_end()
            );
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
        }
        None => {
            let text = "this process does not read its configuration anew\n";
            (StatusCode::NOT_IMPLEMENTED, text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn says_what_changed_or_what_is_wrong() {
        let cases: [(Result<Changed, String>, _, _); 3] = [
            (
                Ok(vec!["upstream", "alert"]),
                StatusCode::OK,
                "reloaded: upstream, alert\n",
            ),
            (Ok(Vec::new()), StatusCode::OK, "nothing changed\n"),
            (
                Err("proxy.toml:1: lisen: unknown key\n".to_owned()),
                StatusCode::UNPROCESSABLE_ENTITY,
                "proxy.toml:1: lisen: unknown key\nthe old configuration stays in force\n",
            ),
        ];

        for (outcome, status, text) in cases {
            let (reload, mut asked) = Reload::channel();
            let answering = async { asked.recv().await.unwrap().send(outcome).unwrap() };
            let (answer, ()) = tokio::join!(post(reload, None), answering);

            assert_eq!(answer, (status, text.to_owned()));
        }
    }

    #[tokio::test]
    async fn says_that_nobody_reads_configurations() {
        let (abandoned, asked) = Reload::channel();
        drop(asked);

        for reload in [Reload::default(), abandoned] {
            assert_eq!(post(reload, None).await.0, StatusCode::NOT_IMPLEMENTED);
        }
    }

    #[tokio::test]
    async fn does_nothing_for_pages_of_others() {
        let (reload, mut asked) = Reload::channel();

        let (status, _) = post(reload, Some("https://evil.example")).await;

        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(asked.try_recv().is_err());
    }

    async fn post(reload: Reload, origin: Option<&str>) -> (StatusCode, String) {
        let admin = Admin {
            reload,
            ..crate::tests::admin(None)
        };
        let mut request = Request::post("/-/reload").header("host", "127.0.0.1:9011");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = crate::router(admin).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

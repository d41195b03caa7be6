//! A fake Sentry: takes every request, remembers its bytes, answers like Relay or as told.
//!
//! Relay's answers: `relay-server/src/endpoints/` (200 with `{"id":"…"}`, CORS for browsers).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::behaviour::Answer;
use crate::event_id;
use crate::received::Received;
use crate::record::NotArrived;
use crate::script::Script;
use crate::server::{Listening, Malformed, Server, Stage};

/// A Sentry that runs inside the process, on a free port of 127.0.0.1.
///
/// Without directions it answers every request with 200 and `{"id":"<event id>"}`, `{}` when it finds none. It keeps the
/// latest 4096 requests, at most 64 MiB of them. Dropping it ends its tasks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use testkit::{Behaviour, FakeSentry, SdkRequest};
///
/// let sentry = FakeSentry::start().await?;
/// sentry.script().next(Behaviour::status(503));
///
/// let request = SdkRequest::new("POST", "/api/1/envelope/").body("{}\n");
/// let answer = testkit::send(sentry.address(), &request).await?;
///
/// assert_eq!(answer.status, 503);
/// assert_eq!(sentry.wait_for(1, Duration::from_secs(5)).await?[0].body, "{}\n");
/// # Ok(())
/// # }
/// ```
pub struct FakeSentry {
    server: Server,
    usual_headers: Arc<Mutex<Vec<(String, String)>>>,
}

impl FakeSentry {
    /// Starts on a free port, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When no port of 127.0.0.1 can be bound.
    pub async fn start() -> io::Result<Self> {
        let usual_headers = Arc::new(Mutex::new(Vec::new()));
        let headers = Arc::clone(&usual_headers);
        let stage = Stage::new(move |request| {
            let headers = headers.lock().unwrap_or_else(PoisonError::into_inner);
            usual_answer(request, &headers)
        });
        Ok(Self {
            server: Server::start(stage).await?,
            usual_headers,
        })
    }

    /// Returns the address, which stays the same for the whole life.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the base URL without a trailing slash: `http://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns a DSN that points here.
    pub fn dsn(&self, public_key: &str, project: u64) -> String {
        format!("http://{public_key}@{}/{project}", self.address())
    }

    /// Returns the directions, to change what happens with requests.
    pub fn script(&self) -> &Script {
        &self.server.stage().script
    }

    /// Adds a header line to every usual answer, such as `x-sentry-rate-limits: 60:error:key`.
    pub fn add_usual_header(&self, name: &str, value: &str) {
        self.usual_headers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name.to_owned(), value.to_owned()));
    }

    /// Changes how connections are treated; open ones are cut. Done when this returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound again (possible outside Linux only: there another process may have taken it).
    pub async fn listen(&self, listening: Listening) -> io::Result<()> {
        self.server.listen(listening).await
    }

    /// Returns the requests kept since the last `clear`, oldest first, each once its body was read or given up.
    pub fn received(&self) -> Vec<Received> {
        self.server.stage().received.all()
    }

    /// Waits until `count` requests came since the last `clear`, and returns those that are kept.
    ///
    /// Under a paused tokio clock the time limit passes as soon as everything waits for the network.
    ///
    /// # Errors
    ///
    /// When fewer came in time.
    pub async fn wait_for(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Received>, NotArrived> {
        self.server.stage().received.wait_for(count, within).await
    }

    /// Returns what came and was no readable request. Empty behind a correct proxy.
    pub fn malformed(&self) -> Vec<Malformed> {
        self.server.stage().malformed.all()
    }

    /// Returns how many requests were forgotten to stay within bounds.
    pub fn dropped(&self) -> usize {
        self.server.stage().received.dropped()
    }

    /// Returns how many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.server.stage().connections.load(Ordering::Relaxed)
    }

    /// Forgets the requests, not the script.
    pub fn clear(&self) {
        self.server.stage().received.clear();
        self.server.stage().malformed.clear();
    }

    /// Closes the listener and every connection, and waits until that is done.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

fn usual_answer(request: &Received, headers: &[(String, String)]) -> Answer {
    let answer = match request.method.as_str() {
        "OPTIONS" => preflight_answer(),
        _ => match event_id::find(request) {
            Some(id) => Answer::json(200, &json!({ "id": id })),
            None => Answer::json(200, &json!({})),
        },
    };
    let answer = answer.header("access-control-allow-origin", "*").header(
        "access-control-expose-headers",
        "x-sentry-error, x-sentry-rate-limits, retry-after",
    );
    headers.iter().fold(answer, |answer, (name, value)| {
        answer.header(name.as_str(), value.clone())
    })
}

fn preflight_answer() -> Answer {
    Answer::new(200)
        .header("access-control-allow-methods", "POST")
        .header(
            "access-control-allow-headers",
            "x-sentry-auth, x-requested-with, origin, accept, content-type, authorization",
        )
}

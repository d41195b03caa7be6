//! Tries both ends of a new configuration: a request through the real proxy to Sentry, and a test card to each robot.

use std::time::Duration;

use app::{App, Config, Dsn, Loaded, Sources};
use testkit::{Response, SdkRequest};
use tokio::sync::{mpsc, oneshot};

use crate::report::{fail, say};
use crate::send_test::test_each;

/// Sends one empty envelope through the proxy, as an SDK would, and says what Sentry makes of it.
pub(super) async fn try_sentry(text: &str, dsn: Option<&Dsn>) -> bool {
    let Some(answer) = ask(text, dsn).await else {
        return false;
    };
    let (is_well, words) = judge(&answer, dsn.is_some());
    say(format!("Sentry: {words}"));
    is_well
}

/// Sends a test card to each robot and says DingTalk's verdict.
pub(super) async fn try_robots(config: &Config) -> bool {
    test_each(config, None, |verdict| say(format!("robot {verdict}"))).await
}

async fn ask(text: &str, dsn: Option<&Dsn>) -> Option<Response> {
    let flag = |key, value: &str| ("init", key, value.to_owned());
    let sources = Sources {
        text: Some(("init".to_owned(), text.to_owned())),
        environment: Sources::of_process(None).environment,
        // Beside a proxy that may run already, and without a trace.
        flags: vec![
            flag("listen", "127.0.0.1:0"),
            flag("admin.listen", "127.0.0.1:0"),
            flag("threads", "1"),
            flag("spool.dir", ""),
            flag("state.kind", "memory"),
            flag("forward.patience", "off"),
            flag("upstream.response_timeout", "10s"),
        ],
        ..Sources::default()
    };
    let config = Loaded::read(&sources)
        .map_err(|problems| problems.iter().for_each(say))
        .ok()?
        .config;
    let app = App::new(config).await.map_err(|error| fail(&error)).ok()?;
    let address = app.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let running = tokio::spawn(app.run(stopped, mpsc::channel(1).1, GRACE));
    let answer = testkit::send(address, &request(dsn)).await;
    // Their errors would mean that it has ended by itself.
    let _ = stop.send(());
    let _ = running.await;
    answer.map_err(|error| fail(&error)).ok()
}

/// An envelope without items: Sentry looks at key and project, and keeps nothing.
fn request(dsn: Option<&Dsn>) -> SdkRequest {
    let project = dsn.map_or_else(|| "1".to_owned(), |dsn| dsn.project().to_string());
    let request = SdkRequest::new("POST", format!("/api/{project}/envelope/"))
        .header("Content-Type", "application/x-sentry-envelope")
        .body("{}\n");
    let Some(dsn) = dsn else { return request };
    let client = concat!("sentry-notice/", env!("CARGO_PKG_VERSION"));
    let key = dsn.key();
    request.header(
        "X-Sentry-Auth",
        format!("Sentry sentry_version=7, sentry_client={client}, sentry_key={key}"),
    )
}

/// Returns whether the answer is that of a Sentry that will take events, and says it in words.
fn judge(answer: &Response, has_key: bool) -> (bool, String) {
    match (answer.status, has_key) {
        (200..=299, true) => (true, "takes what this project's key sends".to_owned()),
        (200..=299, false) => (true, "answers".to_owned()),
        (429, _) => (
            true,
            "answers, and is limiting this project now (429)".to_owned(),
        ),
        (status @ (400 | 401 | 403), false) => (
            true,
            format!("answers ({status}, as it should without a key)"),
        ),
        (status @ (400 | 401 | 403), true) => {
            let hint = "copy the DSN again: project settings → Client Keys (DSN)";
            (false, refusal(answer, status, "refuses this DSN", hint))
        }
        (status @ 300..=399, _) => {
            let to = answer.header("location").unwrap_or("another address");
            let hint = format!("SDKs do not follow redirects: make that `upstream.url`: `{to}`");
            (false, refusal(answer, status, "redirects", &hint))
        }
        (status @ 404, _) => {
            let hint = "`upstream.url` is the DSN's host part, with a path if one stands before the project";
            (
                false,
                refusal(answer, status, "is not at this address", hint),
            )
        }
        (status, _) => {
            let hint = "try `upstream.url` with curl from this machine; `ca_file` and HTTPS_PROXY are obeyed";
            (false, refusal(answer, status, "cannot be reached", hint))
        }
    }
}

/// The status, Sentry's or our own words about it line by line, and a hint.
fn refusal(answer: &Response, status: u16, what: &str, hint: &str) -> String {
    let mut words = format!("{what} ({status})");
    let json = answer.json();
    let detail = json["detail"].as_str();
    let causes = json["causes"].as_array().into_iter().flatten();
    for because in detail
        .into_iter()
        .chain(causes.filter_map(|cause| cause.as_str()))
    {
        let because: String = because
            .chars()
            .filter(|one| !one.is_control())
            .take(200)
            .collect();
        words.push_str(&format!("\n  because: {because}"));
    }
    words.push_str(&format!("\n    hint: {hint}"));
    words
}

/// There is nothing in flight at the end but what was asked.
const GRACE: Duration = Duration::from_secs(1);

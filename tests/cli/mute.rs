//! `mute list`, `add` and `remove`, and `POST /-/reload`, against a program that runs.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use testkit::SdkRequest;

use crate::program::{PROGRAM, RunningProxy, command};
use crate::{notice, path, text};

#[test]
fn mutes_are_added_listed_and_removed() {
    let place = Place::new();
    let proxy = place.run();

    let empty = place.mute(&proxy, &["list"]);
    let issue = place.mute(
        &proxy,
        &[
            "add",
            "--issue",
            ISSUE,
            "--for",
            "1h",
            "--comment",
            "known",
            "--by",
            "alice",
        ],
    );
    let matching = place.mute(
        &proxy,
        &[
            "add",
            "--match",
            "title=*timeout*",
            "--match",
            "level=error",
            "--match",
            "level=warning",
        ],
    );
    let listed = place.mute(&proxy, &["list"]);
    let as_json = place.mute(&proxy, &["list", "--json"]);
    let mutes: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    let id = mutes[1]["id"].as_str().unwrap();
    let removed = place.mute(
        &proxy,
        &["remove", &format!("issue-{}", ISSUE.replace(':', "-")), id],
    );
    let again = place.mute(&proxy, &["remove", id]);

    for output in [&empty, &issue, &matching, &listed, &as_json, &removed] {
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    // The one of the file is always there.
    assert!(
        text(&empty.stdout).starts_with("(proxy.toml)  title = \"*ECONNRESET*\"\n"),
        "{}",
        text(&empty.stdout)
    );
    assert!(
        text(&issue.stdout).contains(", by alice: known"),
        "{}",
        text(&issue.stdout)
    );
    for part in [
        ISSUE,
        "title = \"*timeout*\"",
        "level = [\"error\", \"warning\"]",
        "until it is removed",
    ] {
        assert!(
            text(&listed.stdout).contains(part),
            "{part}: {}",
            text(&listed.stdout)
        );
    }
    assert_eq!(mutes[0]["issue"], ISSUE);
    assert_eq!(mutes[2]["is_standing"], true);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("the proxy answered 404: there is no mute"),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn what_cannot_be_muted_is_said_with_a_hint() {
    let place = Place::new();
    let proxy = place.run();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["add", "--issue", "42"], 1, "`42` is no issue"),
        (
            &["add", "--issue", ISSUE, "--for", "soon"],
            1,
            "`soon` is no duration",
        ),
        (
            &["add", "--match", "colour=red"],
            1,
            "`colour` is nothing to match on",
        ),
        (
            &["add", "--match", "timeout"],
            2,
            "`timeout` is no condition",
        ),
        (&["add"], 2, "--issue"),
        (&["remove"], 2, "<ID>"),
    ];

    for (arguments, code, expected) in cases {
        let output = place.mute(&proxy, arguments);

        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn says_when_no_proxy_runs_or_the_token_is_wrong() {
    let place = Place::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);

    let nobody = notice(&["mute", "list", "--admin", &address]);
    let https = notice(&["mute", "list", "--admin", "https://notice.example.com"]);
    let proxy = place.run();
    let admin = format!("http://{}", proxy.admin);
    let wrong = notice(&["mute", "list", "--admin", &admin, "--token", "wrong"]);
    let right = notice(&["mute", "list", "--admin", &admin, "--token", "right"]);

    let said = text(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(1), "{said}");
    assert!(
        said.contains("could not connect to")
            && said.contains("hint: is `sentry-notice run` running"),
        "{said}"
    );
    assert_eq!(https.status.code(), Some(2), "{}", text(&https.stderr));
    let said = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    assert!(
        said.contains("answered 401") && said.contains("hint: give the token"),
        "{said}"
    );
    assert_eq!(right.status.code(), Some(0), "{}", text(&right.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_over_http_says_what_changed_or_every_problem() {
    let place = Place::new();
    let proxy = place.run();

    let nothing = place.reload(&proxy).await;
    place.write("repeat = \"2h\"", "1m");
    let changed = place.reload(&proxy).await;
    place.write("repeat = \"never\"\nrepat = 1", "1m");
    let wrong = place.reload(&proxy).await;
    place.write("", "2h");
    let restart = place.reload(&proxy).await;

    assert_eq!(nothing, (200, "nothing changed\n".to_owned()));
    assert_eq!(changed, (200, "reloaded: alert\n".to_owned()));
    assert_eq!(wrong.0, 422, "{}", wrong.1);
    for part in [
        "alert.repeat: ",
        "alert.repat: unknown key",
        "2 problems",
        "the old configuration stays in force",
    ] {
        assert!(wrong.1.contains(part), "{part}: {}", wrong.1);
    }
    assert_eq!(restart, (422, "`state.retention` can only change by a restart\nthe old configuration stays in force\n".to_owned()));
}

/// A configuration for one program.
struct Place {
    _directory: TempDir,
    config: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("proxy.toml");
        let place = Self {
            _directory: directory,
            config,
        };
        place.write("", "1m");
        place
    }

    fn write(&self, alert: &str, retention: &str) {
        let config = format!(
            "listen = \"127.0.0.1:0\"\nspool.dir = \"\"\nupstream.url = \"http://127.0.0.1:9\"\n\
             state.retention = \"{retention}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"right\"\n\
             [[mute]]\nmatch = {{ title = \"*ECONNRESET*\" }}\n[alert]\n{alert}\n"
        );
        std::fs::write(&self.config, config).unwrap();
    }

    fn run(&self) -> RunningProxy {
        let mut run = command(&["run", "--config", path(&self.config)]);
        RunningProxy::watch(run.spawn().unwrap())
    }

    /// Calls `mute` with the token of the configuration's environment variable.
    fn mute(&self, proxy: &RunningProxy, arguments: &[&str]) -> Output {
        let admin = format!("http://{}", proxy.admin);
        let mut call = std::process::Command::new(PROGRAM);
        call.arg("mute").args(arguments).args(["--admin", &admin]);
        call.env("SENTRY_NOTICE__ADMIN__TOKEN", "right");
        call.output().unwrap()
    }

    async fn reload(&self, proxy: &RunningProxy) -> (u16, String) {
        let request = SdkRequest::new("POST", "/-/reload").header("Authorization", "Bearer right");
        let answer = testkit::send(proxy.admin, &request).await.unwrap();
        (
            answer.status,
            String::from_utf8(answer.body.to_vec()).unwrap(),
        )
    }
}

const ISSUE: &str = "42:9f3c2d1a00000000000000000000000b";

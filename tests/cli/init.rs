//! `init`: the first thing a new user calls.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::{Answer, Behaviour, FakeSentry, Robot, RobotSimulator};

use super::{notice, path, text};
use crate::program::{PATIENCE, PROGRAM, RunningProxy, STATE_KIND, command};

#[tokio::test(flavor = "multi_thread")]
async fn writes_a_file_tries_both_ends_and_prints_the_dsn() {
    let (sentry, robots) = ends().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");

    let output = init(&[
        &["--dsn", &sentry.dsn(KEY, 42)],
        &["--webhook", &robots.url("token"), "--secret", "SEC1"],
        &["--language", "en", "--output", path(&file)],
    ])
    .await;
    let checked = notice(&["check", "--config", path(&file)]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("Sentry: takes what this project's key sends"),
        "{said}"
    );
    assert!(said.contains("robot oncall: delivered"), "{said}");
    assert_eq!(
        text(&output.stdout),
        format!("http://{KEY}@127.0.0.1:9010/42\n")
    );
    assert!(robots.messages()[0].text.contains("oncall"));
    let request = &sentry.received()[0];
    assert_eq!(
        (request.target.as_str(), &request.body[..]),
        ("/api/42/envelope/", &b"{}\n"[..])
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("routes\n  alert → oncall; "));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.contains("\npatience = \"1s\" "),
        "comments and defaults are there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn says_in_words_what_sentry_and_the_robot_refuse() {
    let (sentry, robots) = ends().await;
    let cases = [
        (
            403,
            "Sentry: refuses this DSN (403)",
            "hint: copy the DSN again",
        ),
        (
            404,
            "Sentry: is not at this address (404)",
            "hint: `upstream.url` is the DSN's host part",
        ),
        (
            302,
            "Sentry: redirects (302)",
            "make that `upstream.url`: `https://elsewhere/`",
        ),
        (500, "Sentry: cannot be reached (500)", "because: why not"),
    ];

    for (status, words, hint) in cases {
        let answer = Answer::json(status, &serde_json::json!({"detail": "why not"}));
        let answer = answer.header("Location", "https://elsewhere/");
        sentry.script().next(Behaviour::answer(answer));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");

        let output = init(&[
            &["--dsn", &sentry.dsn(KEY, 42), "--output", path(&file)],
            &["--webhook", &robots.url("token"), "--secret", "SECwrong"],
        ])
        .await;

        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains(hint), "{said}");
        assert!(
            said.contains("robot oncall: not delivered: ") && said.contains("签名不匹配"),
            "{said}"
        );
        assert!(file.exists(), "what was answered is not lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_is_told_with_its_causes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);

    let output = init(&[
        &["--sentry", &nobody, "--webhook", ""],
        &["--output", path(&file)],
    ])
    .await;

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Sentry: cannot be reached (503)"), "{said}");
    assert!(said.contains("  because: "), "{said}");
    assert!(
        said.contains("hint: try `upstream.url` with curl"),
        "{said}"
    );
    assert_eq!(text(&output.stdout), "");
    assert!(said.contains("sentry-notice dsn YOUR_DSN"), "{said}");
}

#[test]
fn every_wrong_flag_is_reported_and_nothing_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");

    let output = notice(&[
        "init",
        "--sentry",
        "sentry",
        "--webhook",
        "ftp://x",
        "--dsn",
        "https://sentry.example.com",
        "--proxy",
        "127.0.0.1",
        "--output",
        path(&file),
    ]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot read the DSN: "), "{said}");
    assert!(said.contains("cannot read --proxy `127.0.0.1`: "), "{said}");
    assert!(
        said.contains("flag --sentry: upstream.url: `sentry` cannot be used"),
        "{said}"
    );
    assert!(
        said.contains("flag --webhook: robot.oncall.webhook: "),
        "{said}"
    );
    assert_eq!(said.matches("    hint: ").count(), 4, "{said}");
    assert!(!file.exists());
}

#[test]
fn without_a_terminal_what_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");

    let output = notice(&["init", "--output", path(&file)]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("neither --sentry nor --dsn is given"),
        "{said}"
    );
    assert!(said.contains("--webhook is not given"), "{said}");
    assert!(!file.exists());
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    std::fs::write(&file, "mine").unwrap();
    let arguments = [
        "init",
        "--sentry",
        "http://127.0.0.1:9",
        "--webhook",
        "",
        "--no-check",
        "--output",
        path(&file),
    ];

    let kept = notice(&arguments);
    let after_refusal = std::fs::read_to_string(&file).unwrap();
    let replaced = notice(&[&arguments[..], &["--force"]].concat());

    assert_eq!(kept.status.code(), Some(2));
    assert!(text(&kept.stderr).contains("is there already\n    hint: --output"));
    assert_eq!(after_refusal, "mine");
    assert_eq!(
        replaced.status.code(),
        Some(0),
        "{}",
        text(&replaced.stderr)
    );
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("url = \"http://127.0.0.1:9\""));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let output = notice(&[
        "init",
        "--sentry",
        "http://127.0.0.1:9",
        "--webhook",
        "",
        "--no-check",
        "--output",
        "/nowhere/proxy.toml",
    ]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("cannot write `/nowhere/proxy.toml`\n    hint: "),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_asks_and_asks_again() {
    let (sentry, robots) = ends().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    let typed = format!(
        "\nsentry\nhttps://@x/1\n{}\nftp://x\n{}\nSEC1\n",
        sentry.dsn(KEY, 42),
        robots.url("token")
    );
    let call = format!("'{PROGRAM}' init --output '{}'", file.display());

    let output = tokio::task::spawn_blocking(move || on_a_terminal(&call, &typed))
        .await
        .unwrap();

    let seen = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{seen}");
    assert!(seen.contains("`sentry` cannot be used"), "{seen}");
    assert!(seen.contains("this is no DSN: "), "{seen}");
    assert!(seen.contains("robot oncall: delivered"), "{seen}");
    assert!(
        !seen.contains("Its keyword"),
        "a robot that signs needs none: {seen}"
    );
    assert!(
        seen.contains(&format!("http://{KEY}@127.0.0.1:9010/42")),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_the_first_card_of_a_real_sdk() {
    let Some(python) = std::env::var_os("SENTRY_NOTICE_PYTHON") else {
        let what = "a real SDK: SENTRY_NOTICE_PYTHON is not set\nhint: tests/setup.sh installs it";
        assert!(
            std::env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
            "{what}"
        );
        super::skip(what);
        return;
    };
    let (sentry, robots) = ends().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    drop(listener);

    let begun = init(&[
        &["--dsn", &sentry.dsn(KEY, 42), "--output", path(&file)],
        &["--webhook", &robots.url("token"), "--secret", "SEC1"],
        &["--proxy", &format!("http://{listen}")],
    ])
    .await;
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    let mut run = command(&["run"]);
    run.current_dir(directory.path())
        .env_remove(STATE_KIND)
        .env("SENTRY_NOTICE__LISTEN", &listen)
        .env("SENTRY_NOTICE__ADMIN__LISTEN", "127.0.0.1:0");
    let mut proxy = RunningProxy::watch(run.spawn().unwrap());
    let failing = tokio::process::Command::new(python)
        .args(["-c", "import sentry_sdk; sentry_sdk.init(); 1 / 0"])
        .env("SENTRY_DSN", text(&begun.stdout).trim())
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .await
        .unwrap();
    robots.wait_for(2, PATIENCE).await.unwrap();

    assert_eq!(begun.status.code(), Some(0), "{}", text(&begun.stderr));
    assert_eq!(left, 1, "init leaves nothing but the file");
    assert!(text(&failing.stderr).contains("ZeroDivisionError"));
    let card = &robots.messages()[1].text;
    assert!(card.contains("ZeroDivisionError"), "{card}");
    assert_eq!(sentry.received().len(), 2, "init's question and the event");
    assert_eq!(proxy.terminate(), Some(0));
    assert!(directory.path().join("data/state.db").exists());
}

async fn ends() -> (FakeSentry, RobotSimulator) {
    let sentry = FakeSentry::start().await.unwrap();
    let robots = RobotSimulator::start([Robot::new("token").secret("SEC1")])
        .await
        .unwrap();
    (sentry, robots)
}

async fn init(arguments: &[&[&str]]) -> Output {
    let all: Vec<String> = [&["init"][..]]
        .iter()
        .chain(arguments)
        .flat_map(|some| some.iter().map(ToString::to_string))
        .collect();
    let call = move || notice(&all.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// Types into a terminal of its own; what it shows is in `stdout`.
fn on_a_terminal(call: &str, typed: &str) -> Output {
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", call, "/dev/null"])
        .current_dir(Path::new("/"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(typed.as_bytes()).unwrap();
    let output = terminal.wait_with_output().unwrap();
    drop(keys);
    output
}

const KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

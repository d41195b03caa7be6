//! The robot simulator in front of two real clients that know nothing of this project: dingtalkchatbot and apprise.
//!
//! What they get right or wrong against the simulator is what they get right or wrong against DingTalk. `tests/setup.sh`
//! installs them; without `SENTRY_NOTICE_PYTHON` the test skips itself, loudly, unless `SENTRY_NOTICE_REQUIRE_REAL` makes
//! that a failure.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Message, MessageType, Reason, Robot, RobotSimulator};
use tokio::process::Command;

const SECRET: &str = "SEC0123456789abcdef";
const MOBILE: &str = "13800000000";
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/clients/robot_clients.py"
);
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn real_clients_fare_as_they_would_with_dingtalk() {
    let Some(python) = python() else { return };
    let signed = Robot::new("signed0token").secret(SECRET);
    let plain = Robot::new("plain0token");
    let simulator = RobotSimulator::start([signed, plain]).await.unwrap();

    let outcomes = run(&python, &simulator).await;

    accepts_signed_messages_of_each_type(&simulator, &outcomes);
    refuses_wrong_and_missing_signatures(&simulator, &outcomes);
    shows_what_apprise_sends_unsigned(&simulator, &outcomes);
    hears_from_clients_that_stayed_on_this_machine(&simulator, &outcomes);
}

fn accepts_signed_messages_of_each_type(simulator: &RobotSimulator, outcomes: &[Value]) {
    let messages = of_robot(simulator, "signed0token");
    let types: Vec<_> = messages
        .iter()
        .map(|message| message.message_type)
        .collect();
    let mentioned: Vec<_> = messages
        .iter()
        .flat_map(|message| &message.at_mobiles)
        .collect();
    let at_all: Vec<_> = messages.iter().map(|message| message.is_at_all).collect();

    for call in ["text", "markdown", "link", "card", "buttons", "feed"] {
        assert_eq!(
            result(outcomes, "dingtalkchatbot", call)["errcode"],
            0,
            "{call}"
        );
    }
    assert_eq!(
        types,
        [
            MessageType::Text,
            MessageType::Markdown,
            MessageType::Link,
            MessageType::ActionCard,
            MessageType::ActionCard,
            MessageType::FeedCard,
        ]
    );
    assert_eq!(messages[0].text, format!("支付失败 + 50%\n@{MOBILE}"));
    assert_eq!(mentioned, [MOBILE]);
    assert_eq!(at_all, [false, true, false, false, false, false]);
    assert!(messages[1].text.contains(
        "dingtalk://dingtalkclient/page/link?url=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b%3D2&pc_slide=false"
    ));
    assert_eq!((messages[3].links.len(), messages[4].links.len()), (1, 2));
    // It sends numbers where the documentation has strings; the live service takes them, a strict robot would not.
    assert!(
        messages[3]
            .warnings
            .iter()
            .any(|warning| warning.starts_with("actionCard.btnOrientation"))
    );
}

fn refuses_wrong_and_missing_signatures(simulator: &RobotSimulator, outcomes: &[Value]) {
    for call in ["wrong secret", "no secret"] {
        let answer = result(outcomes, "dingtalkchatbot", call);
        assert_eq!(answer["errcode"], 310_000, "{call}");
    }
    let refusals = simulator.refusals();
    let by_apprise: Vec<_> = refusals
        .iter()
        .filter(|refusal| refusal.request.header("user-agent") == Some("Apprise"))
        .collect();

    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(
        refusals
            .iter()
            .all(|refusal| refusal.reason == Reason::Sign)
    );
    // Encoded twice: `%` of the first encoding became `%25`.
    assert_eq!(by_apprise.len(), 1);
    assert!(
        by_apprise[0].request.target.contains("%253D"),
        "{}",
        by_apprise[0].request.target
    );
    // It takes the refusal for success, because its HTTP status is 200.
    assert_eq!(*result(outcomes, "apprise", "signed text"), json!(true));
}

fn shows_what_apprise_sends_unsigned(simulator: &RobotSimulator, outcomes: &[Value]) {
    let messages = of_robot(simulator, "plain0token");

    assert_eq!(*result(outcomes, "apprise", "plain text"), json!(true));
    assert_eq!(*result(outcomes, "apprise", "plain markdown"), json!(true));
    let types: Vec<_> = messages
        .iter()
        .map(|message| message.message_type)
        .collect();
    assert_eq!(types, [MessageType::Text, MessageType::Markdown]);
    assert_eq!(messages[1].title.as_deref(), Some("标题"));
    // It asks to mention somebody whom its text does not name.
    let warning = format!("at.atMobiles has `{MOBILE}`, the text has no `@{MOBILE}`");
    assert_eq!(messages[0].body["at"]["atMobiles"], json!([MOBILE]));
    assert_eq!(messages[0].warnings, [warning]);
    assert!(messages[0].at_mobiles.is_empty());
}

fn hears_from_clients_that_stayed_on_this_machine(simulator: &RobotSimulator, outcomes: &[Value]) {
    let peers = &outcomes.last().unwrap()["peers"];

    assert_eq!(*peers, json!([simulator.address().to_string()]));
}

async fn run(python: &OsString, simulator: &RobotSimulator) -> Vec<Value> {
    let script = Command::new(python)
        .arg(SCRIPT)
        .arg(format!("http://{}", simulator.address()))
        .args(["signed0token", SECRET, "plain0token"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, script)
        .await
        .unwrap()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn result<'a>(outcomes: &'a [Value], client: &str, call: &str) -> &'a Value {
    let outcome = outcomes
        .iter()
        .find(|outcome| outcome["client"] == client && outcome["call"] == call);
    &outcome.unwrap_or_else(|| panic!("{client} did not tell about `{call}`"))["result"]
}

fn of_robot(simulator: &RobotSimulator, token: &str) -> Vec<Message> {
    let mut messages = simulator.messages();
    messages.retain(|message| message.token == token);
    messages
}

/// Returns the interpreter that has the clients; none, after saying so past the capture of the test harness.
fn python() -> Option<OsString> {
    let python = env::var_os("SENTRY_NOTICE_PYTHON");
    if python.is_none() {
        let message = "`SENTRY_NOTICE_PYTHON` is not set\nhint: tests/run.sh sets it";
        assert!(
            env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
            "{message}"
        );
        writeln!(io::stderr().lock(), "skipped: robot clients: {message}").unwrap();
    }
    python
}

//! The commands as a user calls them: what they print, and with which code they end.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use testkit::{FakeSentry, Robot, RobotSimulator, SdkRequest};

use crate::program::{PATIENCE, PROGRAM, RunningProxy, STATE_KIND, command};

#[path = "cli/health.rs"]
mod health;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/log.rs"]
mod log;
#[path = "cli/manual.rs"]
mod manual;
#[path = "cli/mute.rs"]
mod mute;
#[path = "support/program.rs"]
mod program;
#[path = "cli/service.rs"]
mod service;
#[path = "cli/spool.rs"]
mod spool;

#[test]
fn check_reports_every_problem_with_line_and_hint_and_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    std::fs::write(&config, "lisen = 3\n[upstream]\nurl = \"sentry\"\n").unwrap();

    let output = notice(&["check", "--config", path(&config)]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("proxy.toml:1: lisen: unknown key"), "{said}");
    assert!(said.contains("hint: did you mean `listen`?"), "{said}");
    assert!(said.contains("proxy.toml:3: upstream.url: "), "{said}");
}

#[test]
fn check_accepts_the_shipped_file() {
    let output = notice(&["check", "--config", shipped()]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("https://sentry.example.com"));
}

#[test]
fn check_prints_the_route_tree() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    std::fs::write(&config, ROUTES).unwrap();

    let output = notice(&["check", "--config", path(&config)]);

    let said = text(&output.stdout);
    let expected = r#"routes
  alert → dev; speaks at 1 in 1m; repeats after 1h, growing ×2 to 1d; burst 100 in 1m; regression after 7d; digest 5m
    production: environment = "prod*"; → oncall; mentions 13800000000
      level = "fatal": repeats after 10m, growing ×2 to 1d; mentions everyone
    nights: tag.team = ["night", "!batch"]; speaks at 5 users in 1h; active 22:00-06:00 (UTC); continues
  level ≥ error
  mute title = "*ECONNRESET*"; known
robots
"#;
    assert!(said.contains(expected), "{said}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn render_tells_which_route_an_event_takes_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let (config, event) = (
        directory.path().join("proxy.toml"),
        directory.path().join("event.json"),
    );
    std::fs::write(&config, ROUTES).unwrap();
    let body = r#"{"level":"fatal","environment":"production","message":"disk full","tags":{"owner":"alice"}}"#;
    std::fs::write(&event, body).unwrap();

    let shown = notice(&["render", "--config", path(&config), path(&event)]);
    let json = notice(&["render", "--json", "--config", path(&config), path(&event)]);

    let said = text(&shown.stdout);
    let expected = r#"  route     alert → production → level = "fatal"
      alert: matches
        production: matches
          environment = "prod*": holds, found production
          level = "fatal": takes it
            level = "fatal": holds, found fatal
"#;
    assert!(said.contains(expected), "{said}");
    let line: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        line["route"],
        serde_json::json!(["alert", "production", "level = \"fatal\""])
    );
    let message = &line["messages"][0];
    assert_eq!(message["robot"], "oncall");
    assert_eq!(message["body"]["at"]["isAtAll"], true);
    assert_eq!(
        message["body"]["at"]["atMobiles"],
        serde_json::json!(["13900000000"])
    );
}

#[test]
fn render_says_that_a_mute_keeps_an_event_silent() {
    let directory = tempfile::tempdir().unwrap();
    let (config, event) = (
        directory.path().join("proxy.toml"),
        directory.path().join("event.json"),
    );
    std::fs::write(&config, ROUTES).unwrap();
    std::fs::write(&event, r#"{"message":"read ECONNRESET"}"#).unwrap();

    let shown = notice(&["render", "--config", path(&config), path(&event)]);

    let said = text(&shown.stdout);
    assert!(
        said.contains("  message   none: muted by proxy.toml: known"),
        "{said}"
    );
}

#[test]
fn run_refuses_a_wrong_configuration_with_2() {
    let output = notice(&["run", "--config", shipped(), "--upstream", "nonsense"]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("flag --upstream: upstream.url: `nonsense` cannot be used"),
        "{said}"
    );
}

#[test]
fn an_address_in_use_ends_run_with_1_and_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = notice(&[
        "run",
        "--upstream",
        "http://127.0.0.1:9",
        "--listen",
        &address,
    ]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn unknown_flags_end_with_2() {
    assert_eq!(notice(&["run", "--fast"]).status.code(), Some(2));
}

#[test]
fn dsn_puts_the_proxy_in_front() {
    let output = notice(&[
        "dsn",
        "https://abc@o1.ingest.sentry.io/42",
        "--proxy",
        "http://127.0.0.1:9010",
    ]);

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "http://abc@127.0.0.1:9010/42\n");
}

#[test]
fn dsn_refuses_what_is_none_with_2() {
    let output = notice(&["dsn", "sentry.io/42", "--proxy", "http://127.0.0.1:9010"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("hint: "));
}

#[test]
fn render_prints_one_line_of_json_per_event() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let robot = "[upstream]\nurl = \"http://127.0.0.1:9\"\n[robot.oncall]\nwebhook = \"http://127.0.0.1:9/robot/send?access_token=t\"\n[alert]\nrobot = \"oncall\"\n";
    std::fs::write(&config, robot).unwrap();
    let event = directory.path().join("event.json");
    std::fs::write(&event, SAMPLE_EVENT).unwrap();

    let output = notice(&[
        "render",
        "--config",
        path(&config),
        "--project",
        "42",
        "--json",
        path(&event),
    ]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["title"], "This is an example Python exception");
    assert_eq!(line["event_id"], "5a552273622c4d949495df39b7b063c8");
    assert_eq!(
        (&line["level"], &line["alertable"]),
        (&"error".into(), &true.into())
    );
    assert_eq!(line["project"], "42");
    assert_eq!(line["hashes"][0].as_str().unwrap().len(), 32);
    assert_eq!(line["messages"][0]["robot"], "oncall");
    assert_eq!(line["messages"][0]["body"]["msgtype"], "markdown");
}

#[test]
fn render_reads_standard_input_and_needs_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = command(&["render", "-"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"message\":\"boom\",\"level\":\"info\"}")
        .unwrap();

    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(
        printed.contains("title     boom") && printed.contains("does not alert"),
        "{printed}"
    );
}

#[test]
fn render_shows_a_card_without_any_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let event = directory.path().join("event.json");
    std::fs::write(&event, SAMPLE_EVENT).unwrap();

    let output = command(&["render", path(&event)])
        .current_dir(directory.path())
        .output()
        .unwrap();

    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        printed.contains("message   to preview:") && printed.contains("\"msgtype\": \"markdown\""),
        "{printed}"
    );
}

#[test]
fn render_says_when_names_are_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let minified = r#"{"abs_path":"https://shop.example/app.1a.js","function":"t","colno":71234,"in_app":true}"#;
    let nameless = r#"{"instruction_addr":"0x1","package":"/opt/game/game","in_app":true}"#;
    let obfuscated = r#"{"module":"a.b.c","function":"a","in_app":true}"#;
    for (platform, frame) in [
        ("javascript", minified),
        ("native", nameless),
        ("java", obfuscated),
        (
            "java",
            r#"{"module":"com.shop.Cart","function":"add","in_app":true}"#,
        ),
    ] {
        let file = directory.path().join("event.json");
        let event = format!(
            r#"{{"platform":"{platform}","exception":[{{"type":"E","value":"v","stacktrace":{{"frames":[{frame}]}}}}]}}"#
        );
        std::fs::write(&file, event).unwrap();

        let output = notice(&["render", "--json", path(&file)]);

        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let card = line["messages"][0]["body"]["markdown"]["text"]
            .as_str()
            .unwrap();
        let is_readable = frame.contains("com.shop");
        assert_eq!(card.contains("未还原"), !is_readable, "{card}");
    }
}

#[test]
fn render_ends_with_1_when_a_file_is_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x");
    std::fs::write(&file, b"\x00\x01 not an event").unwrap();

    let output = notice(&["render", path(&file)]);

    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("because: "),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn send_test_says_what_dingtalk_answered() {
    let robots = RobotSimulator::start(vec![
        Robot::new("good").secret("SECgood"),
        Robot::new("bad").secret("SECbad"),
    ])
    .await
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let text_of = format!(
        "[upstream]\nurl = \"http://127.0.0.1:9\"\n[robot.good]\nwebhook = \"{}\"\nsecret = \"SECgood\"\n[robot.bad]\nwebhook = \"{}\"\nsecret = \"SECwrong\"\n",
        robots.url("good"),
        robots.url("bad"),
    );
    std::fs::write(&config, text_of).unwrap();
    let (all, good) = (config.clone(), config);

    let all = tokio::task::spawn_blocking(move || notice(&["send-test", "--config", path(&all)]))
        .await
        .unwrap();
    let good = tokio::task::spawn_blocking(move || {
        notice(&["send-test", "--config", path(&good), "--robot", "good"])
    })
    .await
    .unwrap();

    let printed = text(&all.stdout);
    assert_eq!(
        (all.status.code(), good.status.code()),
        (Some(1), Some(0)),
        "{printed}"
    );
    assert!(printed.contains("good: delivered"), "{printed}");
    assert!(
        printed.contains("bad: not delivered: ") && printed.contains("hint: "),
        "{printed}"
    );
    assert_eq!(robots.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_forwards_alerts_and_stops_on_sigterm() {
    let sentry = FakeSentry::start().await.unwrap();
    let robots = RobotSimulator::start(vec![Robot::new("token").secret("SEC1")])
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let written = format!(
        "listen = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[robot.oncall]\nwebhook = \"{}\"\nsecret = \"SEC1\"\n[alert]\nrobot = \"oncall\"\n",
        sentry.url(),
        robots.url("token"),
    );
    std::fs::write(&config, written).unwrap();
    let mut proxy = start(&["run", "--config", path(&config)]);
    let body = "{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\",\"message\":\"boom\"}";
    let request = SdkRequest::new(
        "POST",
        "/api/42/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    )
    .header("Content-Type", "application/json")
    .body(body);

    let answer = testkit::send(proxy.address, &request).await.unwrap();
    robots.wait_for(1, PATIENCE).await.unwrap();
    let metrics = metrics_with(
        proxy.admin,
        "sentry_notice_messages_total{robot=\"oncall\",result=\"ok\"} 1",
    )
    .await;
    let code = proxy.terminate();

    assert_eq!(answer.status, 200);
    assert_eq!(&sentry.received()[0].body[..], body.as_bytes());
    assert!(robots.messages()[0].text.contains("boom"));
    for line in [
        "sentry_notice_requests_total{endpoint=\"store\",verdict=\"accepted\"} 1",
        "sentry_notice_events_total{outcome=\"queued\"} 1",
        "sentry_notice_alerts_total{reason=\"first_seen\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_repeats_nothing_when_it_is_back() {
    let sentry = FakeSentry::start().await.unwrap();
    let robots = RobotSimulator::start(vec![Robot::new("token").secret("SEC1")])
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let state = directory.path().join("data/state.db");
    let written = format!(
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nupstream.url = \"{}\"\nstate.path = \"{}\"\nalert.robot = \"oncall\"\n[robot.oncall]\nwebhook = \"{}\"\nsecret = \"SEC1\"\n",
        sentry.url(),
        path(&state),
        robots.url("token"),
    );
    std::fs::write(&config, written).unwrap();
    let arguments = ["run", "--config", path(&config)];
    let start = || {
        RunningProxy::watch(
            command(&arguments)
                .env_remove(STATE_KIND)
                .env(SPOOL_DIR, "")
                .spawn()
                .unwrap(),
        )
    };
    let send = async |proxy: &RunningProxy, id: u8| {
        let body = format!(
            "{{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04{id:02}\",\"message\":\"boom\"}}"
        );
        let request = SdkRequest::new(
            "POST",
            "/api/42/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        );
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let address = proxy.address;
        assert_eq!(testkit::send(address, &request).await.unwrap().status, 200);
    };

    let mut proxy = start();
    send(&proxy, 1).await;
    let told = "sentry_notice_messages_total{robot=\"oncall\",result=\"ok\"} 1";
    metrics_with(proxy.admin, told).await;
    let second = command(&arguments)
        .env_remove(STATE_KIND)
        .env(SPOOL_DIR, "")
        .output()
        .unwrap();
    // Its word is on the disk when the robot has it and the message is out of the outbox.
    metrics_with(proxy.admin, "sentry_notice_outbox_alerts 0").await;
    proxy.child.kill().unwrap();
    proxy.child.wait().unwrap();
    let mut proxy = start();
    send(&proxy, 1).await;
    send(&proxy, 2).await;
    let metrics = metrics_with(
        proxy.admin,
        "sentry_notice_events_total{outcome=\"held_repeat\"} 1",
    )
    .await;

    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another process has it open"), "{said}");
    let duplicate = "sentry_notice_events_total{outcome=\"held_duplicate\"} 1";
    assert!(metrics.contains(duplicate), "{metrics}");
    assert!(
        metrics.contains("sentry_notice_state_fallback 0"),
        "{metrics}"
    );
    assert_eq!(robots.messages().len(), 1);
    assert_eq!(proxy.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_and_a_broken_file_keeps_the_old_configuration() {
    let (first, second) = (
        FakeSentry::start().await.unwrap(),
        FakeSentry::start().await.unwrap(),
    );
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let write = |upstream: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nupstream.url = \"{upstream}\"\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write(&first.url());
    let mut proxy = start(&["run", "--config", path(&config)]);
    let request = SdkRequest::new("POST", "/api/42/store/").body("{}");
    let address = proxy.address;

    testkit::send(address, &request).await.unwrap();
    write("nonsense");
    proxy.signal(Signal::HUP);
    proxy.wait_to_hear("configuration not reloaded");
    testkit::send(address, &request).await.unwrap();
    write(&second.url());
    proxy.signal(Signal::HUP);
    proxy.wait_to_hear("configuration reloaded");
    testkit::send(address, &request).await.unwrap();

    assert_eq!((first.received().len(), second.received().len()), (2, 1));
    assert_eq!(proxy.terminate(), Some(0));
}

#[test]
fn run_takes_all_the_descriptors_it_may() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -S -n 128; exec \"$@\"", "sh", PROGRAM, "run"]);
    shell.args([
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:9",
    ]);
    shell
        .env("SENTRY_NOTICE__ADMIN__LISTEN", "127.0.0.1:0")
        .env(STATE_KIND, "memory")
        .env(SPOOL_DIR, "")
        .stderr(Stdio::piped());

    let mut proxy = RunningProxy::watch(shell.spawn().unwrap());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.child.id())).unwrap();
    proxy.terminate();

    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).unwrap());
    assert_ne!(soft, "128");
    assert_eq!(soft, hard);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_descriptors_is_survived() {
    let sentry = FakeSentry::start().await.unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", PROGRAM, "run"]);
    shell.args(["--listen", "127.0.0.1:0", "--upstream", &sentry.url()]);
    shell
        .env("SENTRY_NOTICE__ADMIN__LISTEN", "127.0.0.1:0")
        .env(STATE_KIND, "memory")
        .env(SPOOL_DIR, "")
        .stderr(Stdio::piped());
    let mut proxy = RunningProxy::watch(shell.spawn().unwrap());
    let address = proxy.address;

    let crowd: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    proxy.wait_to_hear("cannot accept connections for the moment");
    drop(crowd);
    let request = SdkRequest::new("POST", "/api/42/store/").body("{}");
    let answer = testkit::send(address, &request).await.unwrap();

    assert_eq!(answer.status, 200);
    assert_eq!(proxy.terminate(), Some(0));
}

/// Two robots, three routes, a mute and an owner.
const ROUTES: &str = r#"
[upstream]
url = "https://sentry.example.com"
[robot.dev]
webhook = "token1"
[robot.oncall]
webhook = "token2"
[alert]
robot = "dev"
[[alert.route]]
name = "production"
match = { environment = "prod*" }
robot = "oncall"
mention = { mobiles = ["13800000000"] }
[[alert.route.route]]
match = { level = "fatal" }
repeat = "10m"
mention = { all = true }
[[alert.route]]
name = "nights"
match = { tag.team = ["night", "!batch"] }
threshold = "5 users in 1h"
active = ["22:00-06:00"]
timezone = "UTC"
continue = true
[[mute]]
match = { title = "*ECONNRESET*" }
comment = "known"
[people]
alice = "13900000000"
"#;

/// Asks for the counters until they hold a line: the last of them is counted after the robot has answered.
async fn metrics_with(admin: SocketAddr, line: &str) -> String {
    let asking = async {
        loop {
            let request = SdkRequest::new("GET", "/metrics");
            let answer = testkit::send(admin, &request).await.unwrap();
            let metrics = String::from_utf8(answer.body.to_vec()).unwrap();
            if metrics.contains(line) {
                return metrics;
            }
        }
    };
    let limit = PATIENCE;
    tokio::time::timeout(limit, asking)
        .await
        .expect("the line appears within the limit")
}

/// Starts the program without a spool, which would be made where the tests run.
fn start(arguments: &[&str]) -> RunningProxy {
    let mut command = command(arguments);
    command.env(SPOOL_DIR, "");
    RunningProxy::watch(command.spawn().unwrap())
}

const SPOOL_DIR: &str = "SENTRY_NOTICE__SPOOL__DIR";

fn notice(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Says that a test did not run, past the capture of the test harness, which would hide it.
fn skip(what: &str) {
    writeln!(std::io::stderr().lock(), "skipped: {what}").unwrap();
}

fn shipped() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../proxy.toml")
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The example event of Sentry's documentation.
const SAMPLE_EVENT: &str = include_str!("../crates/testkit/src/sdk/samples/sample-event.json");

//! Cards as operators meet them: templates in the commands, the way through a proxy server, and secrets that stay secret.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

#[test]
fn render_shows_what_a_template_makes_of_an_event() {
    let desk = Desk::new("template_file = \"TEMPLATE\"\n");
    desk.write(
        "card.md",
        "### {{ mark }} {{ event.title }}\n\n- **{{ project.name }}** {{ reason }}\n",
    );

    let printed = desk.run(&["render", "--json", "event.json"]);
    let shown = desk.run(&["render", "event.json"]);

    let line: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    let message = &line["messages"][0];
    assert_eq!(
        message["body"]["markdown"]["text"],
        "### 🟠 This is an example Python exception\n\n- **项目 1** first_seen"
    );
    assert_eq!(message.get("template_problem"), None);
    let lines =
        "  text\n    ### 🟠 This is an example Python exception\n\n    - **项目 1** first_seen\n";
    assert!(
        text(&shown.stdout).contains(lines),
        "{}",
        text(&shown.stdout)
    );
}

#[test]
fn render_says_why_a_template_does_not_do_for_an_event() {
    let desk = Desk::new("template_file = \"TEMPLATE\"\n");
    desk.write(
        "card.md",
        "{{ built_in }}\n{{ tags.level.bar | upper if tags.level }}\n",
    );

    let printed = desk.run(&["render", "event.json"]);

    let shown = text(&printed.stdout);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
    assert!(
        shown.contains("template  of oncall cannot be used, the built-in card is sent: line 2: "),
        "{shown}"
    );
    assert!(shown.contains("模板无法使用, 已改用内置卡片"), "{shown}");
}

#[test]
fn check_reports_the_faults_of_a_template_at_their_lines() {
    let desk = Desk::new("template_file = \"TEMPLATE\"\n");
    desk.write("card.md", "{{ event.title }}\n\n{{ event.stack }}\n");

    let refused = desk.run(&["check"]);
    desk.write("card.md", "{{ event.title }}\n");
    let taken = desk.run(&["check"]);

    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("card.md:3: robot.oncall.template_file: unknown variable `event.stack`"),
        "{said}"
    );
    assert_eq!(taken.status.code(), Some(0), "{}", text(&taken.stderr));
    assert!(text(&taken.stdout).contains("cards by its template"));
}

#[test]
fn a_robot_is_reached_through_the_proxy_server_of_the_environment() {
    let proxy = Answering::start();
    let desk = Desk::new("");
    desk.configure(
        "http://robot.example/robot/send?access_token=abcdef0123",
        "",
    );

    let through = desk.run_with(&["send-test"], &[("HTTP_PROXY", &proxy.url())]);
    let here = Answering::start();
    let webhook = format!("{}/robot/send?access_token=abcdef0123", here.url());
    desk.configure(&webhook, "");
    let around = desk.run_with(&["send-test"], &[("HTTP_PROXY", &proxy.url())]);

    assert_eq!(through.status.code(), Some(0), "{}", text(&through.stdout));
    let head = proxy.next().unwrap();
    assert!(
        head.starts_with("POST http://robot.example/robot/send?access_token=abcdef0123&timestamp="),
        "{head}"
    );
    assert_eq!(around.status.code(), Some(0), "{}", text(&around.stdout));
    assert!(
        here.next().is_some() && proxy.next().is_none(),
        "a robot on this machine is reached without the proxy server"
    );
}

#[test]
fn the_international_host_is_asked_for_through_a_tunnel() {
    let proxy = Answering::start();
    let desk = Desk::new("");
    desk.configure(
        "https://oapi.dingtalk.io/robot/send?access_token=abcdef0123",
        "",
    );

    let output = desk.run_with(&["send-test"], &[("HTTPS_PROXY", &proxy.url())]);

    let head = proxy.next().unwrap();
    assert!(head.starts_with("CONNECT oapi.dingtalk.io:443 "), "{head}");
    // The tunnel ends in something that speaks no TLS.
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains("not delivered") && said.contains("hint: "),
        "{said}"
    );
    assert!(!said.contains("abcdef0123"), "{said}");
}

#[test]
fn no_command_log_or_page_tells_a_token_or_a_secret() {
    let robot = Answering::refusing();
    let desk = Desk::new("");
    desk.configure(
        &format!("{}/robot/send?access_token={TOKEN}", robot.url()),
        SECRET,
    );
    let mut shown = String::new();
    for command in [
        &["check"][..],
        &["render", "event.json"],
        &["render", "--json", "event.json"],
        &["send-test"],
    ] {
        let output = desk.run(command);
        shown.push_str(&text(&output.stdout));
        shown.push_str(&text(&output.stderr));
    }

    let proxy = Running::start(desk.command(&["run"]));
    let event = format!("{{\"message\":\"boom {TOKEN}\"}}");
    let sent = ask(
        &proxy.address,
        &format!(
            "POST /api/1/store/?sentry_key=a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        ),
    );
    shown.push_str(&sent);
    shown.push_str(&proxy.wait_to_hear("token_unknown"));
    for page in [
        "/",
        "/metrics",
        "/api/issues",
        "/api/alerts",
        "/api/mutes",
        "/healthz",
        "/readyz",
    ] {
        let request =
            format!("GET {page} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        shown.push_str(&ask(&proxy.admin, &request));
    }
    shown.push_str(&proxy.end());

    assert!(shown.contains("token_unknown"), "{shown}");
    assert!(
        shown.contains("TRACE") || shown.contains("DEBUG"),
        "{shown}"
    );
    let shown = shown.to_lowercase();
    // The event's own text is kept whole in the pages for operators, so it does not count.
    let shown = shown.replace(&format!("boom {TOKEN}").to_lowercase(), "");
    for canary in [TOKEN, &TOKEN[..24], SECRET, &SECRET[3..]] {
        let canary = canary.to_lowercase();
        assert!(
            !shown.contains(&canary),
            "{canary} is in {}",
            around(&shown, &canary)
        );
    }
    assert!(
        !shown.replace("sign=[redacted]", "").contains("sign="),
        "{}",
        around(&shown, "sign=")
    );
}

fn around(text: &str, part: &str) -> String {
    let place = text.find(part).unwrap_or_default();
    let near = text
        .char_indices()
        .filter(|(at, _)| place.abs_diff(*at) < 300);
    near.map(|(_, character)| character).collect()
}

/// A directory with a configuration, a template and an event.
struct Desk {
    directory: TempDir,
}

impl Desk {
    fn new(robot: &str) -> Self {
        let desk = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        desk.configure("abcdef0123", "");
        let robot = robot.replace("TEMPLATE", desk.path("card.md").to_str().unwrap());
        let config = std::fs::read_to_string(desk.path("proxy.toml")).unwrap();
        desk.write("proxy.toml", &config.replace("# robot\n", &robot));
        desk.write("event.json", SAMPLE_EVENT);
        desk
    }

    fn configure(&self, webhook: &str, secret: &str) {
        let secret = if secret.is_empty() { "SECabc" } else { secret };
        self.write(
            "proxy.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nlog.level = \"trace\"\nupstream.url = \"http://127.0.0.1:9\"\nforward.everything = false\ntee.alert_on = [\"accepted\", \"limited\", \"spooled\"]\n\
                 [alert]\nrobot = \"oncall\"\n[robot.oncall]\nwebhook = \"{webhook}\"\nsecret = \"{secret}\"\n# robot\n"
            ),
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentry-notice"));
        command
            .current_dir(self.directory.path())
            .args(&arguments[..1])
            .args(["--config", "proxy.toml"])
            .args(&arguments[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().to_uppercase();
            if name.starts_with("SENTRY_NOTICE__") || name.ends_with("_PROXY") {
                command.env_remove(&name).env_remove(name.to_lowercase());
            }
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied()).output().unwrap()
    }
}

/// Answers every request alike, and tells the head of each.
struct Answering {
    port: u16,
    heads: mpsc::Receiver<String>,
}

impl Answering {
    /// Takes every message.
    fn start() -> Self {
        Self::with(|_| "{\"errcode\":0,\"errmsg\":\"ok\"}".to_owned())
    }

    /// Refuses every message, and repeats the request and the secret as a careless gateway may.
    fn refusing() -> Self {
        Self::with(|head| {
            let target = head.split(' ').nth(1).unwrap_or_default();
            let words = format!("token is not exist {target} {TOKEN} {SECRET}");
            serde_json::json!({"errcode": 300_005, "errmsg": words}).to_string()
        })
    }

    fn with(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heads) = mpsc::channel();
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who breaks off has said nothing worth telling.
                let _ = converse(stream, &answer, &sender);
            }
        });
        Self { port, heads }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the head of the next request that has come, if one has.
    fn next(&self) -> Option<String> {
        self.heads.try_recv().ok()
    }
}

/// Tells the head before it answers, so that whoever has the answer finds the head told.
fn converse(
    mut stream: TcpStream,
    answer: &impl Fn(&str) -> String,
    heads: &mpsc::Sender<String>,
) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let body = answer(&head);
    heads.send(head).ok()?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).ok()
}

/// The program as it runs, and everything it said.
struct Running {
    child: Child,
    address: String,
    admin: String,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut running = Self {
            child,
            address: String::new(),
            admin: String::new(),
            lines,
        };
        running.address = address_in(&running.wait_to_hear("listening on http://"));
        running.admin = address_in(&running.wait_to_hear("admin on http://"));
        running
    }

    /// Returns everything said up to the line with this text.
    fn wait_to_hear(&self, text: &str) -> String {
        let mut heard = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{text} is not said in time: {heard}"));
            heard.push_str(&line);
            heard.push('\n');
            if line.contains(text) {
                return heard;
            }
        }
    }

    /// Kills the program, which would wait for its robot, and returns the rest of what it said.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.iter().collect::<Vec<_>>().join("\n")
    }
}

fn address_in(heard: &str) -> String {
    let (_, address) = heard.trim_end().rsplit_once("http://").unwrap();
    address.trim().to_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const TOKEN: &str = "c0ffee0123456789abcdef0123456789abcdef0123456789abcdef01c0ffee99";
const SECRET: &str = "SECcanary0123456789abcdefcanary";

/// How long to wait for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The example event of Sentry's documentation.
const SAMPLE_EVENT: &str = include_str!("../crates/testkit/src/sdk/samples/sample-event.json");

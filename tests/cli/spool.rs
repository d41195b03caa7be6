//! `spool stats`, `export` and `drop`, and how `run` takes a spool directory that cannot be one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Behaviour, FakeSentry, SdkRequest};

use crate::program::{PROGRAM, RunningProxy, command};
use crate::{metrics_with, notice, path, text};

#[tokio::test(flavor = "multi_thread")]
async fn stats_and_export_work_while_the_proxy_runs_and_drop_and_a_second_run_do_not() {
    let place = Place::new("http://127.0.0.1:9");
    let proxy = place.run();
    place.fill(&proxy).await;

    let stats = place.spool(&["stats"]);
    let told = place.stats();
    let copy = place.directory.path().join("copy");
    let export = place.spool(&["export", path(&copy)]);
    let again = place.spool(&["export", path(&copy)]);
    let refused = [
        place.spool(&["drop", "--yes"]),
        notice(&["run", "--config", path(&place.config)]),
    ];

    let printed = text(&stats.stdout);
    assert_eq!(stats.status.code(), Some(0), "{}", text(&stats.stderr));
    for line in [
        "waiting     4 requests",
        "3 of project 1",
        "1 of project 42",
        "oldest      came ",
    ] {
        assert!(printed.contains(line), "`{line}` is missing in\n{printed}");
    }
    assert_eq!(told["requests"], 4);
    assert_eq!(
        told["projects"],
        json!([{"project": 1, "requests": 3}, {"project": 42, "requests": 1}])
    );
    assert_eq!(
        (&told["refused"], &told["damaged"]),
        (&json!([]), &json!(0))
    );

    assert_eq!(export.status.code(), Some(0), "{}", text(&export.stderr));
    assert_eq!(
        text(&export.stdout),
        format!("4 requests written to `{}`\n", copy.display())
    );
    place.assert_exported(&copy);
    assert_refused(&again, &["cannot write into", path(&copy), "hint: "]);

    let process = format!("in use by process {}", proxy.child.id());
    for output in &refused {
        assert_refused(output, &[&process, "hint: stop the other process"]);
    }
    assert_eq!(place.stats()["requests"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_asks_first_and_takes_everything() {
    let place = Place::new("http://127.0.0.1:9");
    let mut proxy = place.run();
    place.fill(&proxy).await;
    assert_eq!(proxy.terminate(), Some(0));

    let unsure = place.spool(&["drop"]);
    let kept = place.stats();
    let dropped = place.spool(&["drop", "--yes"]);
    let left = place.stats();

    assert_refused(
        &unsure,
        &["this would drop 4 requests of", "hint: ", "--yes"],
    );
    assert_eq!(kept["requests"], 4);
    assert_eq!(dropped.status.code(), Some(0), "{}", text(&dropped.stderr));
    assert_eq!(text(&dropped.stdout), "4 requests dropped\n");
    assert_eq!(left["requests"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sentry_refused_is_told_apart_and_dropped_apart() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().always(Behaviour::status(503));
    let place = Place::new(&sentry.url());
    let mut proxy = place.run();
    place.fill(&proxy).await;
    let of_project_42 = |request: &testkit::Received| request.target.starts_with("/api/42/");
    sentry
        .script()
        .next_where(1, of_project_42, Behaviour::status(413));
    metrics_with(proxy.admin, "sentry_notice_spool_quarantined 1\n").await;
    assert_eq!(proxy.terminate(), Some(0));

    let told = place.stats();
    let printed = text(&place.spool(&["stats"]).stdout);
    let unsure = place.spool(&["drop", "--refused"]);
    let dropped = place.spool(&["drop", "--refused", "--yes"]);
    let left = place.stats();

    assert_eq!(
        (&told["requests"], &told["refused"]),
        (&json!(3), &json!([{"status": 413, "requests": 1}]))
    );
    assert!(
        printed.contains("refused     1 request\n            1 with status 413\n"),
        "{printed}"
    );
    assert_refused(&unsure, &["this would drop 1 request of", "hint: "]);
    assert_eq!(
        text(&dropped.stdout),
        "1 request dropped\n",
        "{}",
        text(&dropped.stderr)
    );
    assert_eq!(
        (&left["requests"], &left["refused"]),
        (&json!(3), &json!([]))
    );
}

#[test]
fn directories_that_cannot_hold_a_spool_end_run_and_the_commands_with_1_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let (file, foreign) = (
        directory.path().join("file"),
        directory.path().join("foreign"),
    );
    fs::write(&file, "").unwrap();
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), "").unwrap();
    let missing = directory.path().join("a/b/c");
    let cases = [
        (
            &missing,
            "does not exist",
            "hint: make the directory, or mount its disk",
        ),
        (
            &file,
            "is not a directory",
            "hint: set `spool.dir` to a directory",
        ),
        (
            &foreign,
            "holds `holiday.jpg` and no spool",
            "hint: set `spool.dir` to an empty directory",
        ),
    ];

    for (dir, problem, hint) in cases {
        let expected = [path(dir), problem, hint];
        assert_refused(&run_with(dir).output().unwrap(), &expected);
        for arguments in [
            &["stats"][..],
            &["export", path(&directory.path().join("copy"))],
            &["drop"],
            &["drop", "--yes"],
        ] {
            let output = notice(&[&["spool", "--dir", path(dir)], arguments].concat());
            assert_refused(&output, &expected);
        }
    }
    assert!(foreign.join("holiday.jpg").exists());
}

#[test]
fn a_directory_that_may_not_be_written_ends_run_with_1_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("spool");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let mut run = run_with(&dir);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Root may write anywhere, so somebody else has to try.
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM]);
        other
            .args(run.get_args())
            .env("SENTRY_NOTICE__STATE__KIND", "memory")
            .env("SENTRY_NOTICE__SPOOL__DIR", &dir);
        run = other;
    }

    assert_refused(
        &run.output().unwrap(),
        &[
            "may not be written to",
            "hint: let the user that the proxy runs as own the directory",
        ],
    );
}

#[test]
fn a_read_only_file_system_ends_run_with_1_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let mount = format!(
        "mount -t tmpfs -o ro,size=1m none {0} || exit 77; exec \"$0\" \"$@\"",
        dir.display()
    );
    let run = run_with(dir);
    let mut apart = Command::new("unshare");
    apart
        .args(["-m", "sh", "-c", &mount, PROGRAM])
        .args(run.get_args());
    apart
        .env("SENTRY_NOTICE__STATE__KIND", "memory")
        .env("SENTRY_NOTICE__SPOOL__DIR", dir);

    let output = apart.output().unwrap();

    let may_mount =
        output.status.code() != Some(77) && !text(&output.stderr).contains("unshare failed");
    if may_mount {
        assert_refused(
            &output,
            &["is on a read-only file system", "hint: mount it writable"],
        );
    } else {
        crate::skip("a read-only spool: this user may not mount a file system");
    }
}

/// A directory with a configuration that has a spool.
struct Place {
    directory: TempDir,
    config: PathBuf,
}

impl Place {
    fn new(upstream: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("proxy.toml");
        let dir = directory.path().join("data/spool");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nupstream.url = \"{upstream}\"\nspool.dir = \"{}\"\n",
            dir.display()
        );
        fs::write(&config, text).unwrap();
        Self { directory, config }
    }

    fn run(&self) -> RunningProxy {
        let mut command = command(&["run", "--config", path(&self.config)]);
        RunningProxy::watch(command.spawn().unwrap())
    }

    fn spool(&self, arguments: &[&str]) -> Output {
        notice(&[&["spool", "--config", path(&self.config)], arguments].concat())
    }

    fn stats(&self) -> Value {
        let output = self.spool(&["stats", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends four requests, which Sentry does not take.
    async fn fill(&self, proxy: &RunningProxy) {
        for (number, project) in PROJECTS.into_iter().enumerate() {
            let answer = testkit::send(proxy.address, &request(number, project)).await;
            let answer = answer.unwrap();
            assert_eq!(
                (answer.status, &answer.json()["id"]),
                (200, &json!(id(number)))
            );
        }
    }

    /// Looks into the files that were exported: each is the request as it would go to Sentry.
    fn assert_exported(&self, copy: &Path) {
        let index = fs::read_to_string(copy.join("index.jsonl")).unwrap();
        let lines: Vec<Value> = index
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), PROJECTS.len());
        for (number, (line, project)) in lines.iter().zip(PROJECTS).enumerate() {
            let (state, of) = (&line["state"], &line["project"]);
            assert_eq!(
                (state, of, &line["event_id"]),
                (&json!("waiting"), &json!(project), &json!(id(number)))
            );
            let message = fs::read_to_string(copy.join(line["file"].as_str().unwrap())).unwrap();
            let request = request(number, project);
            assert!(
                message.starts_with(&format!("POST {} HTTP/1.1\r\n", request.target)),
                "{message}"
            );
            assert!(
                message.ends_with(&format!("\r\n\r\n{}", text(&request.body))),
                "{message}"
            );
        }
        let mode = fs::metadata(copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "requests are nobody else's business");
    }
}

fn request(number: usize, project: u64) -> SdkRequest {
    let target = format!("/api/{project}/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let body = format!("{{\"event_id\":\"{}\",\"message\":\"boom\"}}", id(number));
    SdkRequest::new("POST", target).body(body)
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

/// Returns a call of `run` with a spool directory.
fn run_with(dir: &Path) -> Command {
    let mut command = command(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:9",
    ]);
    command
        .env("SENTRY_NOTICE__SPOOL__DIR", dir)
        .env("SENTRY_NOTICE__ADMIN__LISTEN", "127.0.0.1:0");
    command
}

fn assert_refused(output: &Output, texts: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for text in texts {
        assert!(said.contains(text), "`{text}` is missing in\n{said}");
    }
}

const PROJECTS: [u64; 4] = [1, 42, 1, 1];

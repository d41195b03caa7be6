//! The image is built for real from `deploy/Dockerfile`, holds nothing but the program, and runs read-only and not as root.
//!
//! No registry is asked: the stage that compiles stands on a Debian that tests/setup.sh has unpacked, and takes the program
//! that these tests run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{FakeSentry, Robot, RobotSimulator, SdkRequest};

use crate::program::{PATIENCE, PROGRAM, RunningProxy};
use crate::tools::{all, deploy, leave_out, root, skip, succeed, tool};

#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_read_only_and_does_its_work() {
    let Some(builder) = Builder::new() else {
        return;
    };
    builder.build();
    let config = builder.inspect();
    holds_the_program_and_nothing_else(&builder);
    let health: Vec<String> =
        serde_json::from_value(config["Healthcheck"]["Test"].clone()).unwrap();
    assert_eq!(config["User"], "10001:10001");
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert!(config["Volumes"]["/data"].is_object(), "{config}");
    assert_eq!(health, ["CMD", "sentry-notice", "health"]);
    let Some(engine) = builder.engine() else {
        return;
    };

    let sentry = FakeSentry::start().await.unwrap();
    let robots = RobotSimulator::start([Robot::new("token")]).await.unwrap();
    let admin = free_address();
    let settings = [
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("ADMIN__LISTEN", admin),
        ("UPSTREAM__URL", sentry.url()),
        ("ROBOT__ONCALL__WEBHOOK", robots.url("token")),
        ("ALERT__ROBOT", "oncall".to_owned()),
    ];
    let mut container = engine.run(&settings);
    let path = "/api/42/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let request = SdkRequest::new("POST", path).body("{\"message\":\"boom\"}");
    let answer = testkit::send(container.address, &request).await.unwrap();
    robots.wait_for(1, PATIENCE).await.unwrap();
    let healthy = engine.exec(&health[1..].iter().map(String::as_str).collect::<Vec<_>>());
    let spool = engine.exec(&["sentry-notice", "spool", "stats"]);
    let shell = engine.exec(&["/bin/sh", "-c", "true"]);
    succeed(&mut engine.call(&["stop", NAME]));
    container.wait_to_hear("stopping");
    let code = container.child.wait().unwrap().code();

    assert_eq!(answer.status, 200);
    assert!(robots.messages()[0].text.contains("boom"));
    assert!(
        healthy.0 && healthy.1.contains("/readyz answers 200: ok"),
        "{}",
        healthy.1
    );
    assert!(
        spool.0 && spool.1.contains("spool       data/spool"),
        "{}",
        spool.1
    );
    assert!(!shell.0, "there is a shell: {}", shell.1);
    assert_eq!(code, Some(0));
}

/// Builds and looks into the image, with a store of its own.
struct Builder {
    directory: tempfile::TempDir,
    base: PathBuf,
}

/// Runs containers, with the store of the builder.
struct Engine<'b>(&'b Builder);

impl Builder {
    fn new() -> Option<Self> {
        tool("buildah")?;
        let Some(base) = std::env::var_os("SENTRY_NOTICE_IMAGE_BASE") else {
            skip("SENTRY_NOTICE_IMAGE_BASE, the Debian that the image is built on, is not set");
            return None;
        };
        Some(Self {
            directory: tempfile::tempdir().unwrap(),
            base: base.into(),
        })
    }

    /// Builds from what the real build gets, plus the program, which would take minutes to compile again.
    fn build(&self) {
        let context = self.directory.path().join("context");
        std::fs::create_dir_all(context.join("dist")).unwrap();
        for file in [
            "Cargo.toml",
            "Cargo.lock",
            "proxy.toml",
            "docs",
            "crates",
            ".dockerignore",
        ] {
            succeed(
                Command::new("cp")
                    .arg("-r")
                    .arg(root().join(file))
                    .arg(&context),
            );
        }
        let program = context.join("dist/sentry-notice");
        succeed(Command::new("strip").arg("-o").arg(program).arg(PROGRAM));
        let base = succeed_with_stdout(&mut self.call(&["from", "scratch"]));
        succeed(
            self.call(&["add", "--quiet", &base])
                .arg(&self.base)
                .arg("/"),
        );
        succeed(&mut self.call(&["commit", "--quiet", "--rm", &base, BASE]));

        succeed(
            self.call(&[
                "build",
                "--quiet",
                "--isolation",
                "chroot",
                "--network",
                "host",
            ])
            .args(["--format", "docker", "--tag", IMAGE])
            .args(["--build-arg", &format!("RUST_IMAGE={BASE}")])
            .args(["--build-arg", "PREBUILT=sentry-notice"])
            .arg("--file")
            .arg(deploy("Dockerfile"))
            .arg(&context),
        );
    }

    /// Returns the image's settings.
    fn inspect(&self) -> Value {
        let said = succeed_with_stdout(&mut self.call(&["inspect", "--type", "image", IMAGE]));
        let image: Value = serde_json::from_str(&said).unwrap();
        image["Docker"]["config"].clone()
    }

    fn call(&self, arguments: &[&str]) -> Command {
        store_of(self.directory.path(), tool("buildah").unwrap(), arguments)
    }

    /// Returns what runs containers here; a sandbox may not permit any.
    fn engine(&self) -> Option<Engine<'_>> {
        tool("podman")?;
        tool("runc")?;
        let engine = Engine(self);
        let tried = engine
            .call(&RUN)
            .args([IMAGE, "--version"])
            .output()
            .unwrap();
        if !tried.status.success() {
            // The program itself has run already: building the image asks for its version.
            leave_out(&format!("no container can be run here: {}", all(&tried)));
            return None;
        }
        assert!(all(&tried).contains("sentry-notice "), "{}", all(&tried));
        Some(engine)
    }
}

impl Engine<'_> {
    fn call(&self, arguments: &[&str]) -> Command {
        let mut podman = tool("podman").unwrap();
        podman.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        store_of(self.0.directory.path(), podman, arguments)
    }

    fn run(&self, settings: &[(&str, String)]) -> RunningProxy {
        let mut call = self.call(&RUN);
        call.args(["--name", NAME]);
        for (key, value) in settings {
            call.arg("--env")
                .arg(format!("SENTRY_NOTICE__{key}={value}"));
        }
        call.arg(IMAGE).stdout(Stdio::null()).stderr(Stdio::piped());
        RunningProxy::watch(call.spawn().unwrap())
    }

    /// Runs a program in the container; returns whether it ended well, and what it said.
    fn exec(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.call(&["exec", NAME]).args(arguments).output().unwrap();
        (output.status.success(), all(&output))
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        // Of a test that failed, the container is still there; of others nothing is.
        let _ = self
            .call(&["rm", "--force", "--time=0", "--ignore", NAME])
            .output();
    }
}

fn holds_the_program_and_nothing_else(builder: &Builder) {
    let container = succeed_with_stdout(&mut builder.call(&["from", IMAGE]));
    let root = succeed_with_stdout(&mut builder.call(&["mount", &container]));
    let found =
        succeed_with_stdout(Command::new("find").args([&root, "-type", "f", "-size", "+0"]));
    let strange: Vec<&str> = found
        .lines()
        .filter_map(|path| path.strip_prefix(&root))
        .filter(|path| !EXPECTED.iter().any(|expected| path.starts_with(expected)))
        .collect();
    succeed(&mut builder.call(&["rm", &container]));

    assert_eq!(strange, [""; 0]);
    for expected in [
        "/usr/local/bin/sentry-notice\n",
        "/etc/ssl/certs/ca-certificates.crt\n",
    ] {
        assert!(
            found.contains(expected),
            "{expected} is missing in\n{found}"
        );
    }
}

fn store_of(directory: &Path, mut program: Command, arguments: &[&str]) -> Command {
    // A file system below a file system, as in a sandbox, has no overlays.
    program.args(["--storage-driver", "vfs"]);
    program.arg("--root").arg(directory.join("store"));
    program.arg("--runroot").arg(directory.join("run"));
    program.args(arguments);
    program
}

fn succeed_with_stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} says:\n{}",
        all(&output)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns an address at which nobody listens; `health` has to know the port beforehand.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// How a container is started: as the compose files do, and in the network of the tests.
const RUN: [&str; 12] = [
    "run",
    "--rm",
    "--no-healthcheck",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=host",
    "--log-driver=none",
    // Those of the sandbox are lower than the engine's usual ones, which it must not raise.
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--stop-timeout=10",
];

/// What begins the name of every file in the image.
const EXPECTED: [&str; 9] = [
    "/usr/local/bin/sentry-notice",
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    // Written by the builder.
    "/run/",
];

const BASE: &str = "localhost/sentry-notice-test/base";
const IMAGE: &str = "localhost/sentry-notice-test/image";
const NAME: &str = "sentry-notice-test";

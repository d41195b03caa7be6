//! What a service manager is told: the order of the words, and that a watchdog is fed.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use testkit::FakeSentry;

use super::{SPOOL_DIR, path, text};
use crate::program::{PATIENCE, RunningProxy, command};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_each_stage_and_that_all_is_well() {
    let sentry = FakeSentry::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    write(&config, &sentry.url());
    let manager = Manager::listen(directory.path());

    let mut proxy = manager.start(&config, "1200000");
    let ready = manager.hear();
    let well = [manager.hear(), manager.hear()];
    std::fs::write(&config, "upstream.url = 3\n").unwrap();
    let refused = manager.hear_reload_of(&proxy);
    write(&config, &sentry.url());
    let taken = manager.hear_reload_of(&proxy);
    let code = proxy.terminate();
    let stopping = manager.hear_but_watchdog();

    assert_eq!(ready, "READY=1\n");
    assert_eq!(well, ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
    for reload in [refused, taken] {
        assert!(
            reload[0].starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reload:?}"
        );
        assert_eq!(reload[1], "READY=1\n");
    }
    assert_eq!(stopping, "STOPPING=1\n");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarding_thread_that_stands_still_starves_the_watchdog() {
    let sentry = FakeSentry::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    write(&config, &sentry.url());
    let manager = Manager::listen(directory.path());
    let mut proxy = manager.start(&config, "1000000");
    assert_eq!(manager.hear(), "READY=1\n");
    assert_eq!(manager.hear(), "WATCHDOG=1\n");

    let Some(mut tracer) = hold_up_a_forwarding_thread(proxy.child.id()) else {
        return;
    };
    proxy.wait_to_hear("forwarding threads [1] stand still");
    tracer.kill().unwrap();
    tracer.wait().unwrap();

    assert_eq!(proxy.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_that_has_gone_does_no_harm() {
    let sentry = FakeSentry::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    write(&config, &sentry.url());
    let manager = Manager::listen(directory.path());
    std::fs::remove_file(&manager.path).unwrap();

    let mut proxy = manager.start(&config, "1000000");
    proxy.wait_to_hear("cannot tell the service manager how it goes");

    assert_eq!(proxy.terminate(), Some(0));
}

fn write(config: &Path, upstream: &str) {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nthreads = 2\nupstream.url = \"{upstream}\"\n"
    );
    std::fs::write(config, text).unwrap();
}

/// The end of the socket at which a service manager listens.
struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn listen(directory: &Path) -> Self {
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { path, socket }
    }

    fn start(&self, config: &Path, watchdog: &str) -> RunningProxy {
        let mut command = command(&["run", "--config", path(config)]);
        command.env(SPOOL_DIR, "");
        command.env("NOTIFY_SOCKET", &self.path);
        command
            .env("WATCHDOG_USEC", watchdog)
            .env_remove("WATCHDOG_PID");
        RunningProxy::watch(command.spawn().unwrap())
    }

    fn hear(&self) -> String {
        let mut message = [0; 512];
        let length = self.socket.recv(&mut message).unwrap();
        text(&message[..length])
    }

    fn hear_but_watchdog(&self) -> String {
        std::iter::repeat_with(|| self.hear())
            .find(|message| message != "WATCHDOG=1\n")
            .unwrap()
    }

    fn hear_reload_of(&self, proxy: &RunningProxy) -> [String; 2] {
        proxy.signal(Signal::HUP);
        [self.hear_but_watchdog(), self.hear_but_watchdog()]
    }
}

/// Keeps the second forwarding thread in its next wait until the tracer is killed.
fn hold_up_a_forwarding_thread(process: u32) -> Option<Child> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let thread = tasks
        .map(|task| task.unwrap().path())
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap() == "forward-1\n")
        .unwrap();
    let tracer = Command::new("strace")
        .args(["-qq", "-e", "trace=epoll_wait"])
        .args(["-e", "inject=epoll_wait:delay_enter=60000000", "-p"])
        .arg(thread.file_name().unwrap())
        .stderr(Stdio::null())
        .spawn();
    match tracer {
        Ok(tracer) => Some(tracer),
        Err(error) => {
            let what = format!(
                "a thread that stands still: strace: {error}\nhint: tests/setup.sh installs it"
            );
            assert!(
                std::env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
                "{what}"
            );
            super::skip(&what);
            None
        }
    }
}

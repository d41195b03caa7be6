//! The whole program in this process, between a fake Sentry and a robot simulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Config, Loaded, Sources, StartError, Stopped};
use testkit::{FakeSentry, Robot, RobotSimulator, SdkRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A running program and what stands around it.
pub(crate) struct Stage {
    pub(crate) sentry: FakeSentry,
    pub(crate) robots: Arc<RobotSimulator>,
    /// Where SDKs connect to.
    pub(crate) address: SocketAddr,
    /// Where the admin pages are.
    pub(crate) admin: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Stopped, StartError>>,
}

impl Stage {
    /// Starts everything; `settings` is TOML that is added at the end of the configuration. There is no spool unless they
    /// name one, and everything alerts through `oncall` unless they say how to alert.
    pub(crate) async fn start(settings: &str) -> Self {
        let sentry = FakeSentry::start().await.unwrap();
        let robots = RobotSimulator::start([Robot::new("token").secret("SEC1")])
            .await
            .unwrap();
        let robots = Arc::new(robots);
        let app = App::new(configure(&sentry.url(), &robots.url("token"), settings))
            .await
            .unwrap();
        let (address, admin) = (app.address(), app.admin_address());
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let running = tokio::spawn(app.run(stopped, mpsc::channel(1).1, PATIENCE));
        Self {
            sentry,
            robots,
            address,
            admin,
            stop,
            running,
        }
    }

    /// Sends a request through the program and returns the status of the answer.
    pub(crate) async fn send(&self, request: &SdkRequest) -> u16 {
        testkit::send(self.address, request).await.unwrap().status
    }

    /// Waits until the counters hold a line.
    pub(crate) async fn wait_for_count(&self, line: &str) {
        let asking = async { while !self.metrics().await.lines().any(|found| found == line) {} };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            panic!("`{line}` never came; counters:\n{}", self.events().await);
        }
    }

    /// Ends the program and returns how it ended.
    pub(crate) async fn stop(self) -> Stopped {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        let request = SdkRequest::new("GET", "/metrics");
        let answer = testkit::send(self.admin, &request).await.unwrap();
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    async fn events(&self) -> String {
        let metrics = self.metrics().await;
        let lines = metrics.lines().filter(|line| !line.ends_with(" 0"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn configure(sentry: &str, webhook: &str, settings: &str) -> Config {
    let spool = if settings.contains("[spool]") {
        ""
    } else {
        "spool.dir = \"\""
    };
    let admin = if settings.contains("[admin]") {
        ""
    } else {
        "admin.listen = \"127.0.0.1:0\""
    };
    let robot = if settings.contains("[alert]") {
        ""
    } else {
        "alert.robot = \"oncall\""
    };
    let text = format!(
        r#"listen = "127.0.0.1:0"
{spool}
{admin}
upstream.url = "{sentry}"
{robot}
state.kind = "memory"
[robot.oncall]
webhook = "{webhook}"
secret = "SEC1"
{settings}
"#
    );
    let sources = Sources {
        text: Some(("test".to_owned(), text)),
        ..Sources::default()
    };
    Loaded::read(&sources).unwrap().config
}

/// How long to wait for what should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

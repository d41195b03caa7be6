//! A simulator of DingTalk's custom robots, as strict as the live service and stricter where asked.
//!
//! Source: open.dingtalk.com/document/orgapp/custom-robot-access and answers of the live service quoted in public issues.
//!
//! # What it checks, in this order
//!
//! | check | code |
//! |---|---|
//! | path, `POST` | 404, 43002 |
//! | `access_token` in the query | 40035 |
//! | `content-type: application/json`, a JSON object | 43004, 40035 |
//! | token known | 300005 |
//! | peer in an allowed network, signature, its time within an hour | 310000 |
//! | body at most 20 000 bytes | 460101 |
//! | `msgtype`, required fields by exact name and type | 400105, 4002xx to 4006xx |
//! | one of the keywords in title or text | 310000 |
//! | nothing without effect (strict robots only) | 40035, `strict: …` |
//! | 20 messages per rolling minute, else blocked for ten | 130101 |
//!
//! The answer is HTTP 200 with `{"errcode":…,"errmsg":…}` unless the script says otherwise. A message that repeats a
//! `msgUuid` is answered with `ok` and not shown again; it does not count against the minute.
//!
//! # Known to differ, or not known
//!
//! The order of the checks, whether a repeated `msgUuid` counts, and the codes 400502 and 400504 to 400508 and 400603 to
//! 400605 are guesses; match `errcode` classes, not these. Moderation (4301xx) and monthly quotas are not simulated: script
//! them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast;

use crate::behaviour::{Answer, Behaviour};
use crate::clock::SimulatedClock;
use crate::received::Received;
use crate::record::NotArrived;
use crate::script::Script;
use crate::server::{Listening, Server, Stage};

mod content;
mod group;
mod mention;
mod pace;
mod profile;
mod refusal;
mod signature;

use group::Group;

pub use content::{Link, MessageType};
pub use group::{Message, Refusal};
pub use profile::{Robot, Wording};
pub use refusal::Reason;

/// DingTalk's robot endpoint inside the process, on a free port of 127.0.0.1. Dropping it ends its tasks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use testkit::{Robot, RobotSimulator, SdkRequest};
///
/// let simulator = RobotSimulator::start([Robot::new("t0ken").keyword("告警")]).await?;
///
/// let body = r#"{"msgtype":"text","text":{"content":"告警: disk full"}}"#;
/// let request = SdkRequest::new("POST", "/robot/send?access_token=t0ken")
///     .header("Content-Type", "application/json")
///     .body(body);
/// let answer = testkit::send(simulator.address(), &request).await?;
///
/// assert_eq!(answer.body, r#"{"errcode":0,"errmsg":"ok"}"#);
/// assert_eq!(simulator.wait_for(1, Duration::from_secs(5)).await?[0].text, "告警: disk full");
/// # Ok(())
/// # }
/// ```
pub struct RobotSimulator {
    server: Server,
    group: Arc<Group>,
}

impl RobotSimulator {
    /// Starts on a free port, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When no port of 127.0.0.1 can be bound.
    pub async fn start(robots: impl IntoIterator<Item = Robot>) -> io::Result<Self> {
        let group = Arc::new(Group::new(robots));
        let answering = Arc::clone(&group);
        let stage = Stage::new(move |request| answering.answer(request));
        Ok(Self {
            server: Server::start(stage).await?,
            group,
        })
    }

    /// Returns the address, which stays the same for the whole life.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the webhook of a robot: `http://127.0.0.1:40001/robot/send?access_token=t0ken`.
    pub fn url(&self, token: &str) -> String {
        format!("http://{}/robot/send?access_token={token}", self.address())
    }

    /// Returns the messages shown since the last `clear`, oldest first. The latest 4096 are kept, at most 64 MiB.
    pub fn messages(&self) -> Vec<Message> {
        self.group.messages.all()
    }

    /// Waits until `count` messages were shown since the last `clear`, and returns those that are kept.
    ///
    /// Under a paused tokio clock the time limit passes as soon as everything waits for the network.
    ///
    /// # Errors
    ///
    /// When fewer came in time.
    pub async fn wait_for(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Message>, NotArrived> {
        self.group.messages.wait_for(count, within).await
    }

    /// Returns a stream of the messages from now on. One who reads slower than 256 messages loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Message> {
        self.group.feed.subscribe()
    }

    /// Returns what was refused since the last `clear`. Scripted answers are not among them: see `requests`.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.group.refusals.all()
    }

    /// Waits until `count` requests were refused since the last `clear`, and returns those that are kept.
    ///
    /// # Errors
    ///
    /// When fewer came in time.
    pub async fn wait_for_refusals(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Refusal>, NotArrived> {
        self.group.refusals.wait_for(count, within).await
    }

    /// Returns the `msgUuid`s that came again since the last `clear` and were not shown again.
    pub fn repeats(&self) -> Vec<String> {
        self.group.repeats.all()
    }

    /// Returns every request since the last `clear`, also those answered by the script.
    pub fn requests(&self) -> Vec<Received> {
        self.server.stage().received.all()
    }

    /// Waits until `count` requests came since the last `clear`, and returns those that are kept.
    ///
    /// Under a paused tokio clock the time limit passes as soon as everything waits for the network.
    ///
    /// # Errors
    ///
    /// When fewer came in time.
    pub async fn wait_for_requests(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Received>, NotArrived> {
        self.server.stage().received.wait_for(count, within).await
    }

    /// Fails the next `count` requests of all robots.
    pub fn fail_next(&self, count: usize, failure: RobotFailure) {
        self.script().next_n(count, failure.into());
    }

    /// Fails the next `count` requests of one robot.
    pub fn fail_next_of(&self, token: &str, count: usize, failure: RobotFailure) {
        let token = ("access_token".to_owned(), token.to_owned());
        let is_of_robot = move |request: &Received| request.query().contains(&token);
        self.script().next_where(count, is_of_robot, failure.into());
    }

    /// Returns the directions, for every other way to go wrong: delays, hangs, lost answers.
    pub fn script(&self) -> &Script {
        &self.server.stage().script
    }

    /// Returns the clock, which tells real time until it is moved.
    pub fn clock(&self) -> &SimulatedClock {
        &self.group.clock
    }

    /// Changes how connections are treated; open ones are cut. Done when this returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound again (possible outside Linux only: there another process may have taken it).
    pub async fn listen(&self, listening: Listening) -> io::Result<()> {
        self.server.listen(listening).await
    }

    /// Forgets messages, refusals and requests; not the script, and not how fast robots have been.
    pub fn clear(&self) {
        self.group.messages.clear();
        self.group.refusals.clear();
        self.group.repeats.clear();
        self.server.stage().received.clear();
    }

    /// Closes the listener and every connection, and waits until that is done.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

/// An answer that the robot gives without looking at the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RobotFailure {
    /// HTTP 200 with this code and text.
    Errcode(i64, String),
    /// This HTTP status with an HTML page, as a gateway gives it.
    Html(u16),
    /// HTTP 302 to this place.
    Redirect(String),
    /// HTTP 200 with the anti-flood gateway's body, which has no `errcode`.
    AntiFlood,
}

impl From<RobotFailure> for Behaviour {
    fn from(failure: RobotFailure) -> Self {
        Behaviour::answer(match failure {
            RobotFailure::Errcode(errcode, errmsg) => {
                Answer::json(200, &json!({ "errcode": errcode, "errmsg": errmsg }))
            }
            RobotFailure::Html(status) => Answer::new(status)
                .header("content-type", "text/html; charset=utf-8")
                .body(HTML),
            RobotFailure::Redirect(to) => Answer::new(302).header("location", to),
            RobotFailure::AntiFlood => Answer::json(200, &anti_flood()),
        })
    }
}

fn anti_flood() -> serde_json::Value {
    json!({
        "status": 1111,
        "wait": 5,
        "source": "x5",
        "punish": "deny",
        "uuid": "24ce64f68ff5dc054dca012fc3931165",
    })
}

const HTML: &str = "<html><head><title>error</title></head><body>The requested service is \
                    temporarily unavailable.</body></html>\n";

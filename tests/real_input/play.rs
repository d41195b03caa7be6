//! The play: a robot, a Bugsink and the program are started, three shops report, everything is stopped.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;
use testkit::{Message, Robot, RobotSimulator};
use tokio::runtime::Runtime;

use crate::children::Running;
use crate::tools::Tools;

/// What was seen during the play.
pub(crate) struct Record {
    /// The applications that reported, in order.
    pub(crate) shops: Vec<Shop>,
    /// What Bugsink has kept.
    pub(crate) stored: Stored,
    /// What came to the chat.
    pub(crate) cards: Vec<Card>,
    /// What the robot did not take, in its words.
    pub(crate) refusals: Vec<String>,
    /// How the program ended after SIGTERM.
    pub(crate) exit: ExitStatus,
    /// What the program printed.
    pub(crate) log: String,
}

/// One run of a client script, in its own words.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The script and what it was told.
    pub(crate) name: String,
    /// Sentry's word for its language.
    pub(crate) platform: &'static str,
    /// The project it reports to.
    pub(crate) project: u64,
    /// What `proxy.toml` calls that project.
    pub(crate) project_name: &'static str,
    /// The item in which its SDK sends traces.
    pub(crate) trace_item: &'static str,
    /// Whether its problems are new; a later shop with the same problems says nothing new.
    pub(crate) is_first: bool,
    /// The events it reported.
    pub(crate) events: Vec<Event>,
    /// The requests its SDK made.
    pub(crate) requests: Vec<Request>,
}

/// An event as its reporter describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) event_id: String,
    pub(crate) title: String,
    pub(crate) level: String,
    /// Whether this is the first word about an error.
    pub(crate) alerts: bool,
}

/// A request as the SDK handed it to its HTTP client, and the answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) items: Vec<String>,
    pub(crate) coding: String,
    pub(crate) envelope_sha256: String,
    pub(crate) envelope_bytes: u64,
    pub(crate) status: u16,
    pub(crate) rate_limits: Option<String>,
}

/// What Bugsink has kept.
#[derive(Deserialize)]
pub(crate) struct Stored {
    /// The SHA-256 of each envelope, in the order of arrival.
    pub(crate) envelopes: Vec<String>,
    /// Each event that a shop reported; none if it is not there.
    pub(crate) events: BTreeMap<String, Option<StoredEvent>>,
}

/// An event as Bugsink has kept it.
#[derive(Deserialize)]
pub(crate) struct StoredEvent {
    pub(crate) release: String,
    pub(crate) environment: String,
    pub(crate) platform: String,
}

/// A message that the robot took.
#[derive(Debug)]
pub(crate) struct Card {
    /// What the list of conversations shows.
    pub(crate) title: Option<String>,
    /// Its markdown.
    pub(crate) text: String,
}

/// A line of a client script.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum Report {
    Event(Event),
    Request(Request),
}

/// A running Bugsink.
struct Bugsink {
    place: Place,
    /// Ends it when dropped.
    _server: Running,
}

/// Where a Bugsink answers and keeps its databases.
#[derive(Deserialize)]
struct Place {
    url: String,
    dir: String,
}

/// Plays it all; none when the programs for it are not set up.
pub(crate) fn play() -> Option<Record> {
    let tools = Tools::find()?;
    let runtime = Runtime::new().expect("a runtime can be made");
    Some(runtime.block_on(perform(&tools)))
}

async fn perform(tools: &Tools) -> Record {
    let robot = Robot::new(ROBOT_TOKEN).secret(ROBOT_SECRET).strict();
    let chat = RobotSimulator::start([robot])
        .await
        .expect("a port of 127.0.0.1 is free");
    let bugsink = Bugsink::start(tools);
    let config = proxy_toml(&bugsink.place.url, &chat.url(ROBOT_TOKEN));
    let (program, address) = start_program(&config);

    let shops = vec![
        Shop::python(tools, &address, "gzip", true),
        Shop::node(tools, &address),
        Shop::python(tools, &address, "br", false),
    ];
    await_cards(&chat, &shops).await;
    let ended = program.terminate();

    Record {
        stored: bugsink.stored(tools, &shops),
        shops,
        cards: chat.messages().into_iter().map(Card::from).collect(),
        refusals: chat
            .refusals()
            .into_iter()
            .map(|refusal| refusal.errmsg)
            .collect(),
        exit: ended.status,
        log: ended.log,
    }
}

impl Record {
    /// Lists the events that are the first word about an error, each with its reporter.
    pub(crate) fn new_errors(&self) -> Vec<(&Shop, &Event)> {
        let first = self.shops.iter().filter(|shop| shop.is_first);
        let events = first.flat_map(|shop| shop.events.iter().map(move |event| (shop, event)));
        events.filter(|(_, event)| event.alerts).collect()
    }

    /// Finds the cards that name an event's project and title, in the text as in the preview.
    pub(crate) fn cards_about(&self, shop: &Shop, event: &Event) -> impl Iterator<Item = &Card> {
        let names = [shop.project_name, &event.title].map(str::to_owned);
        self.cards.iter().filter(move |card| {
            let title = card.title.as_deref().unwrap_or_default();
            names
                .iter()
                .all(|name| card.text.contains(name) && title.contains(name))
        })
    }
}

impl Bugsink {
    fn start(tools: &Tools) -> Self {
        let mut command = tools.bugsink("bugsink/serve.py");
        let mut server = Running::start("bugsink", command.arg(&tools.snapshot));
        let place = server.wait_for("its address", |line| serde_json::from_str(line).ok());
        Self {
            place,
            _server: server,
        }
    }

    /// Asks what is kept of what the shops sent.
    fn stored(&self, tools: &Tools, shops: &[Shop]) -> Stored {
        let mut command = tools.bugsink("bugsink/stored.py");
        command.args([&self.place.url, &self.place.dir]);
        for shop in shops {
            command.args(
                shop.events
                    .iter()
                    .map(|event| format!("{}:{}", shop.project, event.event_id)),
            );
        }
        let mut answers = run("stored.py", &mut command);
        answers.pop().expect("stored.py prints one line")
    }
}

impl Shop {
    fn python(tools: &Tools, address: &str, coding: &'static str, is_first: bool) -> Self {
        let mut command = tools.python("python_sdk.py");
        command.arg(dsn(address, "a", 1)).args(["--coding", coding]);
        let (events, requests) = report("python_sdk.py", &mut command);
        Self {
            name: format!("python_sdk.py --coding {coding}"),
            platform: "python",
            project: 1,
            project_name: "shop-api",
            trace_item: "transaction",
            is_first,
            events,
            requests,
        }
    }

    fn node(tools: &Tools, address: &str) -> Self {
        let mut command = tools.node("node_sdk.mjs");
        let (events, requests) = report("node_sdk.mjs", command.arg(dsn(address, "b", 2)));
        Self {
            name: "node_sdk.mjs".to_owned(),
            platform: "node",
            project: 2,
            project_name: "shop-web",
            trace_item: "span",
            is_first: true,
            events,
            requests,
        }
    }

    /// Counts the requests that hold an item of a type.
    pub(crate) fn requests_with(&self, item: &str) -> usize {
        let holding = self
            .requests
            .iter()
            .filter(|request| request.items.iter().any(|found| found == item));
        holding.count()
    }
}

impl From<Message> for Card {
    fn from(message: Message) -> Self {
        Self {
            title: message.title,
            text: message.text,
        }
    }
}

/// Starts the program and waits for the address that it forwards on.
pub(crate) fn start_program(config: &str) -> (Running, String) {
    let mut file = NamedTempFile::new().expect("a file for the config can be made");
    file.write_all(config.as_bytes())
        .expect("the config can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentry-notice"));
    command.args(["run", "--config"]).arg(file.path());
    command
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    let mut program = Running::start("sentry-notice", &mut command);
    let address = program.wait_for("its address", |line| {
        line.strip_prefix("listening on http://").map(str::to_owned)
    });
    (program, address)
}

/// Waits until as many cards came as there are new problems; too few are for the tests to tell.
async fn await_cards(chat: &RobotSimulator, shops: &[Shop]) {
    let new = shops
        .iter()
        .filter(|shop| shop.is_first)
        .flat_map(|shop| &shop.events);
    let count = new.filter(|event| event.alerts).count();
    let _ = chat.wait_for(count, CARDS_WITHIN).await;
}

/// Writes a config with nothing but what a user has to fill in, and what makes the run hermetic.
fn proxy_toml(upstream: &str, webhook: &str) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
upstream.url = "{upstream}"
forward.patience = "off" # Bugsink takes a while over its first event, and its answer is what the tests look at
spool.dir = ""
state.kind = "memory"
admin.listen = "127.0.0.1:0"
project.1.name = "shop-api"
project.2.name = "shop-web"
robot.oncall.webhook = "{webhook}"
robot.oncall.secret = "{ROBOT_SECRET}"
alert.robot = "oncall"
"#
    )
}

/// Runs a client script to its end and returns what it reported.
fn report(name: &str, command: &mut Command) -> (Vec<Event>, Vec<Request>) {
    let (mut events, mut requests) = (Vec::new(), Vec::new());
    for line in run(name, command) {
        match line {
            Report::Event(event) => events.push(event),
            Report::Request(request) => requests.push(request),
        }
    }
    assert!(!events.is_empty(), "{name} reported no event");
    (events, requests)
}

/// Runs a script that prints lines of JSON.
fn run<T: DeserializeOwned>(name: &str, command: &mut Command) -> Vec<T> {
    let lines = run_to_end(name, command);
    let lines = lines.iter().map(|line| {
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{name} printed `{line}`: {error}"))
    });
    lines.collect()
}

/// Runs a script and returns the lines that it printed.
pub(crate) fn run_to_end(name: &str, command: &mut Command) -> Vec<String> {
    let ended = Running::start(name, command).finish();
    assert!(
        ended.status.success(),
        "{name}: {}\n{}",
        ended.status,
        ended.log
    );
    ended.stdout
}

fn dsn(address: &str, key_digit: &str, project: u64) -> String {
    format!("http://{}@{address}/{project}", key_digit.repeat(32))
}

const ROBOT_TOKEN: &str = "0ca11";
const ROBOT_SECRET: &str = "SECreal-input";
const CARDS_WITHIN: Duration = Duration::from_secs(30);

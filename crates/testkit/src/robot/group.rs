//! The group behind the simulated robots: takes requests, checks them in DingTalk's order, shows messages.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::content::{Content, Link, MessageType};
use super::mention::Mentions;
use super::pace::Pace;
use super::profile::{Robot, Wording};
use super::refusal::Reason;
use super::signature;
use crate::behaviour::Answer;
use crate::clock::SimulatedClock;
use crate::received::Received;
use crate::record::{Bounds, Recorder};

/// A message as the group sees it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Token of the robot that said it.
    pub token: String,
    /// Simulated time.
    pub at: SystemTime,
    /// Type.
    pub message_type: MessageType,
    /// Title: the preview in the list of conversations.
    pub title: Option<String>,
    /// Text or markdown; of a feed card, the titles of its links.
    pub text: String,
    /// What can be clicked, markdown links not among them.
    pub links: Vec<Link>,
    /// Mobile numbers of the members that are really mentioned.
    pub at_mobiles: Vec<String>,
    /// User ids of the members that are really mentioned.
    pub at_user_ids: Vec<String>,
    /// Whether everybody is mentioned.
    pub is_at_all: bool,
    /// The idempotency key.
    pub message_uuid: Option<String>,
    /// What DingTalk ignores without a word: misspelt fields, wrong types, mentions of nobody.
    pub warnings: Vec<String>,
    /// The body.
    pub body: Value,
    /// The request it came in.
    pub request: Received,
}

/// A request that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Token in the query, if any.
    pub token: Option<String>,
    /// Simulated time.
    pub at: SystemTime,
    /// Code of the answer.
    pub errcode: i64,
    /// Text of the answer.
    pub errmsg: String,
    /// Why.
    pub reason: Reason,
    /// The request.
    pub request: Received,
}

/// Robots, what they said, and what they were not allowed to say.
pub(crate) struct Group {
    robots: HashMap<String, (Robot, Mutex<Pace>)>,
    pub(crate) clock: SimulatedClock,
    pub(crate) messages: Recorder<Message>,
    pub(crate) refusals: Recorder<Refusal>,
    pub(crate) repeats: Recorder<String>,
    pub(crate) feed: broadcast::Sender<Message>,
}

impl Group {
    pub(crate) fn new(robots: impl IntoIterator<Item = Robot>) -> Self {
        Self {
            robots: robots
                .into_iter()
                .map(|robot| (robot.token.clone(), (robot, Mutex::default())))
                .collect(),
            clock: SimulatedClock::default(),
            messages: Recorder::new("messages", Bounds::default()),
            refusals: Recorder::new("refusals", Bounds::default()),
            repeats: Recorder::new("repeats", Bounds::default()),
            feed: broadcast::Sender::new(FEED),
        }
    }

    /// Takes a request and returns DingTalk's answer: always HTTP 200, the verdict is in the body.
    pub(crate) fn answer(&self, request: &Received) -> Answer {
        let query = request.query();
        let token = signature::parameter(&query, "access_token").filter(|token| !token.is_empty());
        let (errcode, errmsg) = match self.take(request, &query, token) {
            Ok(()) => (0, "ok".to_owned()),
            Err(reason) => self.refuse(request, token, reason),
        };
        let date = httpdate::fmt_http_date(self.clock.now());
        Answer::json(200, &json!({ "errcode": errcode, "errmsg": errmsg })).header("date", date)
    }

    fn take(
        &self,
        request: &Received,
        query: &[(String, String)],
        token: Option<&str>,
    ) -> Result<(), Reason> {
        check_envelope(request)?;
        let token = token.ok_or(Reason::TokenMissing)?;
        let body = read_body(request)?;
        let (robot, pace) = self.robots.get(token).ok_or(Reason::TokenUnknown)?;
        self.check_sender(request, query, robot)?;
        let message = self.read_message(request, body, robot)?;
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(uuid) = message
            .message_uuid
            .as_deref()
            .filter(|uuid| pace.has_shown(uuid))
        {
            self.repeats.push(uuid.to_owned(), uuid.len());
            return Ok(());
        }
        pace.count(robot.per_minute, self.clock.now_millis())?;
        if let Some(uuid) = message.message_uuid.clone() {
            pace.remember(uuid);
        }
        self.show(message);
        Ok(())
    }

    fn check_sender(
        &self,
        request: &Received,
        query: &[(String, String)],
        robot: &Robot,
    ) -> Result<(), Reason> {
        let peer = request.peer.ip();
        if !robot.lets_in(peer) {
            return Err(Reason::Address(peer));
        }
        match &robot.secret {
            Some(secret) => signature::check(query, secret, self.clock.now_millis()),
            None => Ok(()),
        }
    }

    fn read_message(
        &self,
        request: &Received,
        body: Map<String, Value>,
        robot: &Robot,
    ) -> Result<Message, Reason> {
        if request.body_length > MAX_BODY {
            return Err(Reason::TooLong);
        }
        let mut warnings = Vec::new();
        let content = Content::read(&body, &mut warnings)?;
        if !robot.keywords.is_empty() && !content.has_any(&robot.keywords) {
            return Err(Reason::Keyword);
        }
        let mentions = Mentions::read(body.get("at"), &content, robot, &mut warnings);
        let message_uuid = read_uuid(&body, &mut warnings);
        match warnings.first() {
            Some(warning) if robot.is_strict => return Err(Reason::Strict(warning.clone())),
            _ => {}
        }
        Ok(Message {
            token: robot.token.clone(),
            at: self.clock.now(),
            message_type: content.message_type,
            title: content.title,
            text: content.text,
            links: content.links,
            at_mobiles: mentions.mobiles,
            at_user_ids: mentions.user_ids,
            is_at_all: mentions.is_at_all,
            message_uuid,
            warnings,
            body: Value::Object(body),
            request: request.clone(),
        })
    }

    fn show(&self, message: Message) {
        let size = message.request.size() * 3;
        let _ = self.feed.send(message.clone());
        self.messages.push(message, size);
    }

    fn refuse(&self, request: &Received, token: Option<&str>, reason: Reason) -> (i64, String) {
        let wording = token
            .and_then(|token| self.robots.get(token))
            .map_or(Wording::Described, |(robot, _)| robot.wording);
        let refusal = Refusal {
            token: token.map(str::to_owned),
            at: self.clock.now(),
            errcode: reason.errcode(),
            errmsg: reason.errmsg(wording),
            reason,
            request: request.clone(),
        };
        let answer = (refusal.errcode, refusal.errmsg.clone());
        self.refusals.push(refusal, request.size());
        answer
    }
}

fn check_envelope(request: &Received) -> Result<(), Reason> {
    if request.path() != "/robot/send" {
        return Err(Reason::Path);
    }
    if request.method != "POST" {
        return Err(Reason::Method);
    }
    Ok(())
}

fn read_body(request: &Received) -> Result<Map<String, Value>, Reason> {
    let content_type = request.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Reason::ContentType);
    }
    serde_json::from_slice(&request.body).map_err(|_| Reason::Json)
}

fn read_uuid(body: &Map<String, Value>, warnings: &mut Vec<String>) -> Option<String> {
    match body.get("msgUuid") {
        None | Some(Value::Null) => None,
        Some(Value::String(uuid)) if !uuid.is_empty() => Some(uuid.clone()),
        Some(other) => {
            warnings.push(format!("msgUuid is {other}, not a string"));
            None
        }
    }
}

const MAX_BODY: u64 = 20_000;
const FEED: usize = 256;

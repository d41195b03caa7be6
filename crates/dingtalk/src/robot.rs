//! The client: one message, one signed request, one verdict that is never better than DingTalk's own word.

mod answer;

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use alert::{Channel, Failure, Message, Notifier};
use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use rustls::crypto::CryptoProvider;

use crate::config::{RobotConfig, Secret, Webhook};
use crate::errcode::Remedy;
use crate::message::Body;
use crate::render::{render, render_reduced, render_within};
use crate::sign;
use answer::Refusal;

/// One robot of a DingTalk chat, or several of one chat that share the work.
///
/// Dropping it closes its connections. It holds no task and no queue.
pub struct Robot {
    config: RobotConfig,
    /// One a webhook.
    lines: Vec<Line>,
}

/// The way through one webhook.
struct Line {
    webhook: Webhook,
    secret: Option<Secret>,
    client: reqwest::Client,
    /// Refusals for speed since the last delivery.
    strikes: AtomicU32,
    /// How far DingTalk's clock is ahead of ours, in milliseconds, once it has told us.
    clock_ahead: AtomicI64,
}

/// How requests are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request may take, from the first byte of the connection to the last byte of the answer.
    pub timeout: Duration,
}

/// A robot that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RobotError {
    /// It has no webhook.
    #[error("robot {0:?} has no webhook")]
    WebhookMissing(String),
    /// The program has not installed a crypto provider for `rustls` yet.
    #[error("robot {0:?} has no TLS: no crypto provider is installed in this process")]
    CryptoMissing(String),
    /// The HTTP client cannot be built, most likely because the system has no root certificates.
    #[error("HTTP client of robot {robot:?} cannot be built")]
    Client {
        /// The robot's name in the config.
        robot: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
}

impl Robot {
    /// Makes a client that sends to the webhooks of `config`.
    ///
    /// The proxy servers of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used, except for a webhook on this machine.
    ///
    /// A `rustls` crypto provider must have been installed process-wide.
    ///
    /// # Errors
    /// [`RobotError`]; trying again does not help.
    pub fn new(config: RobotConfig, http: &HttpSettings) -> Result<Self, RobotError> {
        if config.webhooks.is_empty() {
            return Err(RobotError::WebhookMissing(config.name));
        }
        // The HTTP client would panic without one.
        if CryptoProvider::get_default().is_none() {
            return Err(RobotError::CryptoMissing(config.name));
        }
        let webhooks = config.webhooks.iter().enumerate();
        let lines = webhooks.map(|(at, webhook)| Line::new(at, webhook, &config, http));
        Ok(Self {
            lines: lines.collect::<Result<_, _>>()?,
            config,
        })
    }

    /// Returns what the robot was told.
    pub fn config(&self) -> &RobotConfig {
        &self.config
    }

    /// Sends a message, once more for each remedy that a refusal asks for: at most four requests, hardly ever two.
    async fn deliver(
        &self,
        line: &Line,
        message: &Message,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let mut body = render(message, &self.config, now);
        let mut tried: Vec<Remedy> = Vec::new();
        loop {
            body.msg_uuid = Some(uuid(id, &tried));
            let Err(refusal) = line.post(&body, line.on_their_clock(now)).await else {
                return Ok(());
            };
            let remedy = refusal.remedy().filter(|remedy| !tried.contains(remedy));
            let Some(remedy) = remedy else {
                return Err(refusal);
            };
            match remedy {
                Remedy::CorrectClock => line.learn_clock(refusal.date, now),
                Remedy::Shrink => body = render_within(SHRUNK, message, &self.config, now),
                Remedy::Reduce => body = render_reduced(message, &self.config, now),
            }
            tracing::warn!(
                robot = self.config.name,
                reason = refusal.cause.reason(),
                "message is sent again in another form"
            );
            tried.push(remedy);
        }
    }
}

impl Line {
    fn new(
        at: usize,
        webhook: &Webhook,
        config: &RobotConfig,
        http: &HttpSettings,
    ) -> Result<Self, RobotError> {
        let client = client(webhook, http).map_err(|source| RobotError::Client {
            robot: config.name.clone(),
            source,
        })?;
        Ok(Self {
            webhook: webhook.clone(),
            secret: config.secret_of(at).cloned(),
            client,
            strikes: AtomicU32::new(0),
            clock_ahead: AtomicI64::new(0),
        })
    }

    async fn post(&self, body: &Body, now: SystemTime) -> Result<(), Refusal> {
        let url = sign::signed_url(&self.webhook, self.secret.as_ref(), now);
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, JSON)
            .body(body.to_json());
        let response = request
            .send()
            .await
            .map_err(|error| Refusal::of_transport(&error))?;
        answer::read(response).await
    }

    /// Keeps how far DingTalk's clock is from ours, as far as its answer tells.
    fn learn_clock(&self, date: Option<SystemTime>, now: SystemTime) {
        let theirs = date.unwrap_or(now);
        let ahead = match theirs.duration_since(now) {
            Ok(ahead) => milliseconds(ahead),
            Err(behind) => -milliseconds(behind.duration()),
        };
        self.clock_ahead.store(ahead, Ordering::Relaxed);
    }

    fn on_their_clock(&self, now: SystemTime) -> SystemTime {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        let distance = Duration::from_millis(ahead.unsigned_abs());
        let theirs = if ahead < 0 {
            now.checked_sub(distance)
        } else {
            now.checked_add(distance)
        };
        theirs.unwrap_or(now)
    }

    fn failure(&self, refusal: Refusal) -> Failure {
        let strikes = match refusal.cause.is_closed() {
            true => self
                .strikes
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1),
            false => self.strikes.load(Ordering::Relaxed),
        };
        Failure {
            reason: refusal.cause.reason(),
            detail: self.without_secrets(&refusal.detail),
            hint: refusal.cause.hint(),
            retry: refusal.cause.retry(strikes),
        }
    }

    /// Whatever answers may repeat the request; a token or a secret in it goes no further.
    fn without_secrets(&self, detail: &str) -> String {
        let token = self.webhook.token();
        let secrets = [
            token.as_str(),
            self.secret.as_ref().map_or("", |secret| secret.expose()),
        ];
        let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
        secrets.fold(detail.to_owned(), |detail, secret| {
            detail.replace(secret, "[redacted]")
        })
    }
}

#[async_trait]
impl Notifier for Robot {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn channels(&self) -> Vec<Channel> {
        let lines = self.lines.iter();
        let channels = lines.map(|line| Channel {
            bucket: line.webhook.fingerprint(),
            per_minute: self.config.per_minute,
        });
        channels.collect()
    }

    async fn notify(
        &self,
        channel: usize,
        message: &Message,
        id: &str,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let line = self.lines.get(channel).unwrap_or(&self.lines[0]);
        match self.deliver(line, message, id, now).await {
            Ok(()) => {
                line.strikes.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(refusal) => Err(line.failure(refusal)),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(8),
        }
    }
}

fn client(webhook: &Webhook, http: &HttpSettings) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(http.connect_timeout)
        .timeout(http.timeout)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("sentry-notice/", env!("CARGO_PKG_VERSION")));
    if webhook.is_loopback() {
        builder = builder.no_proxy();
    }
    if webhook.is_plain() {
        // No certificate is looked at, so a machine without any will do.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

/// The same over retries; another for another text, which DingTalk must not take for a repeat.
fn uuid(id: &str, tried: &[Remedy]) -> String {
    let suffix = match tried
        .iter()
        .rev()
        .find(|remedy| **remedy != Remedy::CorrectClock)
    {
        Some(Remedy::Shrink) => "-shrunk",
        Some(Remedy::Reduce) => "-reduced",
        Some(Remedy::CorrectClock) | None => "",
    };
    let id: String = id.chars().take(ID).collect();
    format!("{id}{suffix}")
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const IDLE_CONNECTIONS: usize = 2;

/// Bytes of a message that DingTalk found too long.
const SHRUNK: usize = 4_000;

/// Characters of a message's id that are sent.
const ID: usize = 48;

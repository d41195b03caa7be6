//! The configuration: `proxy.toml`, environment and flags, turned into values that cannot be wrong.
//!
//! [`Loaded::read`] reports every problem at once. Names, defaults and precedence (flags, then environment, then file,
//! then default) are listed in the shipped `proxy.toml`.

mod alerting;
mod forwarding;
mod load;
mod problem;
mod read;
#[cfg(test)]
mod reference;
mod routes;
mod secret;
mod section;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod tree;
mod units;
mod values;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use proxy::Verdict;

pub use self::load::{Loaded, Sources, admin_address};
pub use self::problem::{Origin, Problem};

/// Everything the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// The forwarding side.
    pub proxy: proxy::Config,
    /// Where requests are kept that Sentry does not take; `None` loses them.
    pub spool: Option<spool::Config>,
    /// What is copied into the alert pipeline.
    pub tee: TeeConfig,
    /// Which events are the same issue.
    pub grouping: grouping::Config,
    /// When and to whom to speak.
    pub alert: alert::Config,
    /// The robots, by name.
    pub robots: BTreeMap<String, dingtalk::RobotConfig>,
    /// Where what was seen and said is kept.
    pub state: ::state::Config,
    /// How long issues are remembered.
    pub retention: Duration,
    /// How long Sentry must have been away for the proxy to speak of it.
    pub outage_after: Duration,
    /// Health, metrics and status page.
    pub admin: AdminConfig,
    /// What goes to the log.
    pub log: LogConfig,
    /// What does no harm, but the operator should know.
    pub warnings: Vec<String>,
}

/// What is copied into the alert pipeline, and what of it may alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeeConfig {
    /// Bytes of all copies that wait for the pipeline.
    pub memory: usize,
    /// Bytes one body may have when its codings are undone.
    pub max_decoded: usize,
    /// The verdicts of Sentry under which an event may alert.
    pub alert_on: Vec<AlertOn>,
}

/// A verdict of Sentry on a request, as `tee.alert_on` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOn {
    /// Sentry took it.
    Accepted,
    /// Sentry said that the quota is spent.
    Limited,
    /// Sentry is down.
    Spooled,
}

/// Where health, metrics and status page are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address.
    pub listen: SocketAddr,
    /// The token that requests must bring; `None` only on loopback.
    pub token: Option<admin::Token>,
    /// What mute links are signed with; `None` is a key that is made once and kept in the state.
    pub mute_key: Option<alert::Key>,
}

/// What goes to the log, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// The lowest level.
    pub level: tracing::Level,
    /// The format.
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl TeeConfig {
    /// Returns whether events of a request with this verdict may alert.
    ///
    /// A request that could not even be spooled counts as one that was: Sentry is down all the same.
    pub fn may_alert(&self, verdict: Verdict) -> bool {
        let wanted = match verdict {
            Verdict::Accepted => AlertOn::Accepted,
            Verdict::Limited => AlertOn::Limited,
            Verdict::Unreachable | Verdict::Spooled => AlertOn::Spooled,
            Verdict::Rejected(_) | Verdict::Failed => return false,
        };
        self.alert_on.contains(&wanted)
    }
}

impl Config {
    /// Returns how SDKs speak to the proxy: `https` when it has a certificate.
    pub fn scheme(&self) -> &'static str {
        match self.proxy.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proxy: proxy::Config::default(),
            spool: Some(spool::Config::new(forwarding::SPOOL_DIR)),
            tee: TeeConfig::default(),
            grouping: grouping::Config::default(),
            alert: alert::Config::default(),
            robots: BTreeMap::new(),
            state: ::state::Config::default(),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            outage_after: Duration::from_secs(60),
            admin: AdminConfig::default(),
            log: LogConfig::default(),
            warnings: Vec::new(),
        }
    }
}

impl Default for TeeConfig {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            max_decoded: 32 << 20,
            alert_on: vec![AlertOn::Accepted, AlertOn::Limited, AlertOn::Spooled],
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9011)),
            token: None,
            mute_key: None,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: tracing::Level::INFO,
            format: LogFormat::Text,
        }
    }
}

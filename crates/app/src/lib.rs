#![doc = include_str!("../../../docs/architecture.md")]

pub mod config;
mod fallback;
pub mod preview;
pub mod probe;
pub mod telemetry;

mod parts;
mod pipeline;
mod process;
mod reload;
mod settings;
mod shutdown;
mod spool_metrics;
mod status;
mod vitals;
mod watch;

pub use admin::reload::Asked as ReloadRequest;
pub use alert::rule::short;
pub use alert::{Mention, Route};
pub use event::{Dsn, ProjectId};

/// What can be done with the directory of a spool from outside.
pub mod spool {
    pub use ::spool::{Exported, Inspection, OpenError, Which, drop_requests, export, inspect};
}

pub use crate::config::{Config, Loaded, Problem, Sources, admin_address};
pub use crate::process::{App, StartError, Stopped};
pub use crate::reload::Reload;
pub use crate::settings::ReloadError;
pub use crate::shutdown::{reload_signal, stop_signal};
pub use crate::vitals::{Stage, Still, Vitals};

/// Returns a moment in RFC 3339, in whole seconds, UTC.
pub fn date(moment: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .and_then(|moment| moment.round(jiff::Unit::Second))
        .map_or_else(|_| String::from("?"), |moment| moment.to_string())
}

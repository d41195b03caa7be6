#![doc = include_str!("../../../docs/architecture.md")]

pub mod config;
pub mod preview;
pub mod probe;
pub mod telemetry;

mod pipeline;
mod process;
mod settings;
mod shutdown;

pub use event::{Dsn, ProjectId};

pub use crate::config::{Config, Loaded, Problem, Sources};
pub use crate::process::{App, StartError, Stopped};
pub use crate::settings::ReloadError;
pub use crate::shutdown::{reload_signal, stop_signal};

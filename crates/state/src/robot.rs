//! What is known of robots: their budgets and their last verdicts.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The answer of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// One message may be sent now.
    Granted,
    /// None may be sent before this much time has passed.
    After(Duration),
}

/// A robot's last verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The robot's name in the config.
    pub robot: String,
    /// When it was given.
    pub at: SystemTime,
    /// Why a message was refused, a name from a closed set; `None` when it was taken.
    pub reason: Option<String>,
    /// The service's own words, without secrets.
    pub detail: String,
    /// What the operator can do about it.
    pub hint: String,
    /// Until when nothing is sent through it.
    pub closed_until: Option<SystemTime>,
}

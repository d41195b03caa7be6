//! Mutes set while the process runs: by link, page, command line or API.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::IssueKey;

/// A rule that keeps alerts from being said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// Its id, unique among all mutes.
    pub id: String,
    /// What it silences.
    pub scope: Scope,
    /// When it was set.
    pub since: SystemTime,
    /// When it ends; `None` is never.
    pub until: Option<SystemTime>,
    /// Who set it.
    pub by: String,
    /// Why.
    pub comment: String,
}

/// What a mute silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// One issue, on every route.
    Issue(IssueKey),
    /// Every event that matches all of these: a match key of the configuration and its patterns.
    Matching(Vec<(String, Vec<String>)>),
}

impl Mute {
    /// Returns whether it is still in force.
    pub fn is_active(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How many mutes a store keeps.
pub const MOST: usize = 1_000;

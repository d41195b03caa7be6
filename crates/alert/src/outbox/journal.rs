//! The messages sent last, for people who look.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::Message;

/// A message that a robot was asked to say, and its verdict.
#[derive(Debug, Clone)]
pub struct Sent {
    /// When.
    pub at: SystemTime,
    /// The robot's name in the config.
    pub robot: String,
    /// What was to be said.
    pub message: Arc<Message>,
    /// `ok`, or why it was refused.
    pub result: &'static str,
}

/// A view of the last hundred messages.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<VecDeque<Sent>>>);

impl Journal {
    /// Returns the messages, newest first.
    pub fn messages(&self) -> Vec<Sent> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().rev().cloned().collect()
    }

    pub(super) fn add(&self, sent: Sent) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= KEPT {
            list.pop_front();
        }
        list.push_back(sent);
    }
}

/// Messages kept; each takes a few kilobytes at most.
const KEPT: usize = 100;

//! The messages sent last, for people who look.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
pub struct Journal(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    sent: VecDeque<Sent>,
    /// Messages added since the start.
    count: u64,
}

impl Journal {
    /// Returns the messages, newest first.
    pub fn messages(&self) -> Vec<Sent> {
        self.lock().sent.iter().rev().cloned().collect()
    }

    /// Returns how many messages there have been since the start.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    pub(super) fn add(&self, sent: Sent) {
        let mut list = self.lock();
        if list.sent.len() >= KEPT {
            list.sent.pop_front();
        }
        list.sent.push_back(sent);
        list.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages kept; each takes a few kilobytes at most.
const KEPT: usize = 100;

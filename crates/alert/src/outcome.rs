//! What became of an event: exactly one outcome each.

use crate::decide::{Hold, Reason};

/// What became of one captured event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is to be said; the outbox has it.
    Queued(Reason),
    /// The rule holds it back.
    Held(Hold),
    /// It cannot alert: its kind or level is below what alerts.
    NotAlertable,
    /// Sentry's verdict on the request is not one that may alert.
    NotAccepted,
    /// Another word about the issue is on its way.
    AlreadyClaimed,
    /// No robot is configured for it; it is counted and shown only.
    NoRobot,
    /// The outbox is full; the claim was given back, so that the next event of the issue tries again.
    OutboxFull,
    /// The body could not be decoded.
    Undecodable,
    /// The body was decoded and could not be parsed.
    Unparsable,
    /// The state could not be reached, so nothing could be decided.
    StateUnavailable,
    /// Looking into the request failed in our own code.
    Panicked,
}

impl Outcome {
    /// Returns its name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued(_) => "queued",
            Self::Held(Hold::DuplicateEvent) => "held_duplicate",
            Self::Held(Hold::Muted { .. }) => "held_muted",
            Self::Held(Hold::RepeatWindow { .. }) => "held_repeat",
            Self::NotAlertable => "not_alertable",
            Self::NotAccepted => "not_accepted",
            Self::AlreadyClaimed => "already_claimed",
            Self::NoRobot => "no_robot",
            Self::OutboxFull => "outbox_full",
            Self::Undecodable => "undecodable",
            Self::Unparsable => "unparsable",
            Self::StateUnavailable => "state_unavailable",
            Self::Panicked => "panicked",
        }
    }
}

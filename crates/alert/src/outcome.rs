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
    /// The outbox is full; the next event of the issue tries again, and the next digest counts it.
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
            Self::Held(Hold::BelowThreshold { .. }) => "held_threshold",
            Self::Held(Hold::RepeatWindow { .. }) => "held_repeat",
            Self::Held(Hold::OutsideActiveHours { .. }) => "held_inactive",
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

    /// Returns the one of two outcomes that counts for an event that took several routes: the one more is heard of.
    pub(crate) fn louder(one: Option<Self>, other: Self) -> Self {
        match one {
            Some(one) if one.loudness() >= other.loudness() => one,
            Some(_) | None => other,
        }
    }

    fn loudness(&self) -> u8 {
        match self {
            Self::Queued(_) => 5,
            Self::OutboxFull => 4,
            Self::AlreadyClaimed => 3,
            Self::Held(Hold::OutsideActiveHours { .. }) => 2,
            Self::Held(_) => 1,
            Self::NoRobot
            | Self::NotAlertable
            | Self::NotAccepted
            | Self::Undecodable
            | Self::Unparsable
            | Self::StateUnavailable
            | Self::Panicked => 0,
        }
    }
}

//! Knows when looking into envelopes is not worth while: in a flood of errors nearly every one goes to the pipeline anyway.
//!
//! A look costs the forwarding thread as much as two system calls, and the pipeline decodes what was looked into once
//! more. What it gets without a look and holds nothing to alert on is decoded in vain, and does no other harm.

use std::cell::Cell;

/// What the last looks of one thread have said.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// Envelopes in a row that went to the pipeline, with or without a look.
    in_a_row: Cell<u32>,
}

impl Flood {
    /// Returns whether to look into the next envelope; if not, it goes to the pipeline.
    pub(crate) fn is_look_due(&self) -> bool {
        let in_a_row = self.in_a_row.get();
        if in_a_row < FLOOD || in_a_row.is_multiple_of(EVERY) {
            return true;
        }
        self.in_a_row.set(in_a_row.wrapping_add(1).max(FLOOD));
        false
    }

    /// Notes what a look has said.
    pub(crate) fn note(&self, may_alert: bool) {
        let in_a_row = self.in_a_row.get();
        self.in_a_row.set(if may_alert {
            in_a_row.wrapping_add(1)
        } else {
            0
        });
    }
}

/// So many in a row are a flood.
const FLOOD: u32 = 32;

/// In a flood, one envelope of so many is looked into.
const EVERY: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs envelopes past it; returns which of them were looked into.
    fn looks(flood: &Flood, envelopes: impl IntoIterator<Item = bool>) -> Vec<bool> {
        let one = |may_alert| {
            let is_due = flood.is_look_due();
            if is_due {
                flood.note(may_alert);
            }
            is_due
        };
        envelopes.into_iter().map(one).collect()
    }

    #[test]
    fn every_envelope_is_looked_into_as_long_as_some_alert_nobody() {
        let flood = Flood::default();
        let mixed = (0..1000).map(|number| number % FLOOD != 0);

        assert!(looks(&flood, mixed).into_iter().all(|is_due| is_due));
    }

    #[test]
    fn in_a_flood_few_are_looked_into_until_one_alerts_nobody() {
        let flood = Flood::default();

        let in_flood = looks(&flood, std::iter::repeat_n(true, 832));
        assert!(in_flood[..32].iter().all(|is_due| *is_due));
        assert_eq!(in_flood[32..].iter().filter(|is_due| **is_due).count(), 100);

        let after = looks(&flood, std::iter::repeat_n(false, 100));
        let first = after.iter().position(|is_due| *is_due).unwrap();
        assert!(first < EVERY as usize, "looks again after {first}");
        assert!(after[first..].iter().all(|is_due| *is_due));
    }

    #[test]
    fn a_flood_may_last() {
        let flood = Flood {
            in_a_row: Cell::new(u32::MAX - 3),
        };

        let seen = looks(&flood, std::iter::repeat_n(true, 80));

        assert!(
            seen.iter().filter(|is_due| **is_due).count() <= 50,
            "{seen:?}"
        );
    }
}

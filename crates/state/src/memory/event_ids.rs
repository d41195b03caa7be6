//! The event ids seen last, to count each event once.

use std::collections::HashSet;

use super::folded;
use super::persist::Known;

/// The last 229 376 to 458 752 event ids: two generations, the older one dropped when the younger one is full. They take
/// at most 4.8 MB.
///
/// Half of an id is kept, mixed from both halves: of a million random ids, two are taken for one another once in 30
/// million times.
#[derive(Debug, Default)]
pub(super) struct EventIds {
    young: HashSet<u64>,
    old: HashSet<u64>,
    /// Those that a file does not hold yet, when there is one.
    unsaved: Option<Vec<u64>>,
}

impl EventIds {
    /// Remembers an id; false when it was known.
    pub(super) fn insert(&mut self, event_id: [u8; 16]) -> bool {
        let id = folded(event_id);
        let is_new = self.add(id);
        if let Some(unsaved) = self.unsaved.as_mut().filter(|_| is_new) {
            unsaved.push(id);
        }
        is_new
    }

    /// Puts back ids that a file held, in the order they came.
    pub(super) fn restore(&mut self, ids: &[u64]) {
        for id in ids {
            self.add(*id);
        }
    }

    /// Starts to note ids that a file does not know.
    pub(super) fn mark(&mut self, known: Known) {
        self.unsaved = Some(match known {
            Known::Everything => Vec::new(),
            Known::Nothing => self.old.iter().chain(&self.young).copied().collect(),
        });
    }

    pub(super) fn stop_marking(&mut self) {
        self.unsaved = None;
    }

    pub(super) fn has_unsaved(&self) -> bool {
        self.unsaved.as_ref().is_some_and(|ids| !ids.is_empty())
    }

    pub(super) fn take_unsaved(&mut self) -> Vec<u64> {
        self.unsaved
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn add(&mut self, id: u64) -> bool {
        if self.old.contains(&id) {
            return false;
        }
        if self.young.len() >= GENERATION {
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
        self.young.insert(id)
    }
}

/// The most ids that are remembered.
pub(crate) const MOST: usize = 2 * GENERATION;

/// How many event ids make a generation: as many as a table of 2^18 places takes before it doubles.
const GENERATION: usize = (1 << 18) / 8 * 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_fills_its_table() {
        let mut ids = EventIds::default();

        (0..3 * GENERATION as u64).for_each(|number| {
            ids.add(number);
        });

        assert!(ids.young.capacity() + ids.old.capacity() == 2 * GENERATION);
    }

    #[test]
    fn remembers_at_least_one_generation_of_ids() {
        let mut ids = EventIds::default();
        let id = |number: u128| (number << 3).to_be_bytes();

        for number in 0..600_000 {
            assert!(ids.insert(id(number)));
        }

        assert!(!ids.insert(id(600_000 - GENERATION as u128)));
        assert!(ids.young.len() + ids.old.len() <= 2 * GENERATION);
        assert!(ids.insert(id(0)), "the first are forgotten");
    }
}

//! The event ids seen last, to count each event once.

use std::collections::HashSet;

use super::folded;

/// The last 250 000 to 500 000 event ids: two generations, the older one dropped when the younger one is full.
///
/// Half of an id is kept, mixed from both halves: of a million random ids, two are taken for one another once in 30
/// million times.
#[derive(Debug, Default)]
pub(super) struct EventIds {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl EventIds {
    /// Remembers an id; false when it was known.
    pub(super) fn insert(&mut self, event_id: [u8; 16]) -> bool {
        let id = folded(event_id);
        if self.old.contains(&id) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id)
    }
}

/// How many event ids make a generation.
const GENERATION: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_at_least_one_generation_of_ids() {
        let mut ids = EventIds::default();
        let id = |number: u128| (number << 3).to_be_bytes();

        for number in 0..600_000 {
            assert!(ids.insert(id(number)));
        }

        assert!(!ids.insert(id(600_000 - 250_000)));
        assert!(ids.young.len() + ids.old.len() <= 2 * GENERATION);
    }
}

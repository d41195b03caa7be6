//! Segments that do not fit among the others: of another spool, copies, or files that hold pieces of two.

use std::collections::BTreeMap;

use super::Recovery;
use crate::load::{Loaded, Record};
use crate::repair;

impl Recovery {
    /// Moves the requests of segments that do not fit behind all others, as if they had come just now.
    pub(super) fn adopt_strays(&mut self, age: u64) {
        let mut adopted = BTreeMap::new();
        for stray in std::mem::take(&mut self.strays) {
            let is_adopted = self.adopt(&stray, age);
            let is_whole = stray.scanned.damage.is_empty() && stray.lost(None) == 0;
            let (len, are_whole) = adopted.entry(stray.name).or_insert((0, Some(true)));
            *len = stray.scanned.len;
            *are_whole =
                are_whole.and_then(|are_whole| is_adopted.then_some(are_whole && is_whole));
        }
        for (name, (len, are_whole)) in adopted {
            match are_whole {
                Some(true) => self.shared.remove(&name, len),
                Some(false) => repair::set_aside(&self.shared, &name),
                None => {}
            }
        }
    }

    fn adopt(&mut self, stray: &Loaded, age: u64) -> bool {
        let marker = stray.scanned.marker;
        let unknown = stray
            .records
            .iter()
            .filter(|record| !self.is_known(record, marker));
        let unknown: Vec<Record> = unknown.cloned().collect();
        let adopted = repair::adopt(&self.shared, &stray.name, &unknown, (self.next, age));
        let Ok(adopted) = adopted else { return false };
        if let Some(loaded) = adopted {
            self.insert(&loaded);
            self.next = loaded.end();
        }
        true
    }

    /// Whether a record is in a copy of the same segment, too.
    fn is_known(&self, record: &Record, marker: u64) -> bool {
        let spot = self.shared.index().spot(record.frame.sequence);
        spot.is_some_and(|spot| spot.marker == marker)
    }
}

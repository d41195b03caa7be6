//! Where the issue of each hash is, in nine bytes a hash.
//!
//! Half of a hash is kept, and the place. Whether a place is the right one is seen there: an entry whose issue has gone, or
//! has another hash with the same half, leads nowhere.

use hashbrown::HashTable;

/// Places by hash.
#[derive(Debug, Default)]
pub(super) struct Index(HashTable<Entry>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    place: u32,
}

impl Index {
    /// Returns the place to which a hash leads; `is_there` says whether its issue is at a place.
    pub(super) fn find(&self, short: u64, is_there: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(short);
        let is_it = |entry: &Entry| entry.tag == tag && is_there(entry.place);
        Some(self.0.find(spread(tag), is_it)?.place)
    }

    /// Lets a hash that led nowhere lead to a place.
    pub(super) fn insert(&mut self, short: u64, place: u32) {
        let tag = tag(short);
        let entry = Entry { tag, place };
        self.0.insert_unique(spread(tag), entry, Entry::hash);
    }

    /// Forgets the hashes of which `is_there` says that their issue is not at the place.
    pub(super) fn retain(&mut self, is_there: impl Fn(u32, u32) -> bool) {
        self.0.retain(|entry| is_there(entry.tag, entry.place));
    }

    pub(super) fn reserve(&mut self, hashes: usize) {
        self.0.reserve(hashes, Entry::hash);
    }

    /// How many hashes it holds, those that lead nowhere included.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Entry {
    fn hash(&self) -> u64 {
        spread(self.tag)
    }
}

/// The half of a hash that is kept.
pub(super) fn tag(short: u64) -> u32 {
    (short >> 32) as u32
}

/// The table looks at the highest and the lowest bits.
fn spread(tag: u32) -> u64 {
    let product = u64::from(tag).wrapping_mul(super::MIXER);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_with_the_same_half_lead_to_places_of_their_own() {
        let hashes: Vec<u64> = (0..1_000).map(|low| 7 << 32 | low).collect();
        let mut index = Index::default();
        for (place, hash) in (0..).zip(&hashes) {
            index.insert(*hash, place);
        }

        for (place, hash) in (0..).zip(&hashes) {
            let is_there = |at: u32| hashes[at as usize] == *hash;
            assert_eq!(index.find(*hash, is_there), Some(place));
        }
        assert_eq!(index.find(7 << 32 | 5_000, |_| false), None);
    }

    #[test]
    fn what_is_there_no_more_is_forgotten() {
        let mut index = Index::default();
        (0..100).for_each(|place| index.insert(u64::from(place) << 32, place));

        index.retain(|tag, place| tag == place && place % 2 == 0);

        assert_eq!(index.len(), 50);
        assert_eq!(index.find(3 << 32, |_| true), None);
        assert_eq!(index.find(4 << 32, |_| true), Some(4));
    }
}

//! Numbers that nobody outside can guess: segment markers, names of body files, the name of a spool.

use std::hash::{BuildHasher, RandomState};

/// A source of such numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Returns a source that the system's randomness starts.
    pub(crate) fn from_system() -> Chance {
        Chance(RandomState::new().hash_one(std::process::id()))
    }

    /// Returns a source that repeats itself.
    #[cfg(test)]
    pub(crate) fn repeating(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Returns the next number, never 0. Source: splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    }
}

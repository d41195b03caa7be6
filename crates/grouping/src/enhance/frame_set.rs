//! Sets of frames of one stack, 64 frames a word, so that a rule is a few word operations per stack.

use smallvec::{SmallVec, smallvec};

/// A set of frame positions below a fixed length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FrameSet {
    /// Most stacks fit into one.
    words: SmallVec<[u64; 1]>,
    len: usize,
}

impl FrameSet {
    /// Returns the empty set for a stack of `len` frames.
    pub(crate) fn none(len: usize) -> Self {
        Self {
            words: smallvec![0; len.div_ceil(64)],
            len,
        }
    }

    /// Returns as many empty sets as there are rows, one after the other, for [`Self::insert_in_row`] and [`Self::copy_row`].
    pub(crate) fn rows(rows: usize, len: usize) -> Self {
        Self {
            words: smallvec![0; rows * len.div_ceil(64)],
            len,
        }
    }

    /// Adds a position to a row.
    pub(crate) fn insert_in_row(&mut self, row: usize, position: usize) {
        let start = row * self.len.div_ceil(64);
        self.words[start + position / 64] |= 1 << (position % 64);
    }

    /// Makes this set equal to a row of sets of the same length.
    pub(crate) fn copy_row(&mut self, rows: &Self, row: usize) {
        let width = self.words.len();
        self.words
            .copy_from_slice(&rows.words[row * width..(row + 1) * width]);
    }

    /// Returns the set of the positions for which `is_member` holds.
    pub(crate) fn from_fn(len: usize, mut is_member: impl FnMut(usize) -> bool) -> Self {
        let mut set = Self::none(len);
        for position in (0..len).filter(|position| is_member(*position)) {
            set.insert(position);
        }
        set
    }

    /// Makes every position a member.
    pub(crate) fn fill(&mut self) {
        self.words.fill(u64::MAX);
        self.trim();
    }

    /// Makes no position a member.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Adds a position; positions at or above the length are ignored.
    pub(crate) fn insert(&mut self, position: usize) {
        if let Some(word) = self.words.get_mut(position / 64) {
            *word |= 1 << (position % 64);
        }
    }

    /// Returns whether a position is a member.
    pub(crate) fn contains(&self, position: usize) -> bool {
        let word = self.words.get(position / 64).copied().unwrap_or_default();
        word & (1 << (position % 64)) != 0
    }

    /// Returns whether there is no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Keeps only the members that `other` holds too.
    pub(crate) fn keep(&mut self, other: &Self) {
        self.zip(other, |word, other| word & other);
    }

    /// Removes the members that `other` holds.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.zip(other, |word, other| word & !other);
    }

    /// Adds the members of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.zip(other, |word, other| word | other);
    }

    /// Returns the positions that only one of the two sets holds.
    pub(crate) fn difference(mut self, other: &Self) -> Self {
        self.zip(other, |word, other| word ^ other);
        self
    }

    /// Swaps members and others.
    pub(crate) fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trim();
    }

    /// Moves every member one position towards the crash: from callers to those they call.
    pub(crate) fn shift_up(&mut self) {
        let mut carry = 0;
        for word in &mut self.words {
            let next = *word >> 63;
            *word = *word << 1 | carry;
            carry = next;
        }
        self.trim();
    }

    /// Moves every member one position towards the thread's base: from callees to their callers.
    pub(crate) fn shift_down(&mut self) {
        let mut carry = 0;
        for word in self.words.iter_mut().rev() {
            let next = *word << 63;
            *word = *word >> 1 | carry;
            carry = next;
        }
    }

    /// Keeps only the members at or after `position`.
    pub(crate) fn keep_from(&mut self, position: usize) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= u64::MAX
                .checked_shl(offset(position, index))
                .unwrap_or_default();
        }
    }

    /// Keeps only the members before `position`.
    pub(crate) fn keep_before(&mut self, position: usize) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= !u64::MAX
                .checked_shl(offset(position, index))
                .unwrap_or_default();
        }
    }

    /// Returns the lowest member.
    pub(crate) fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// Returns the highest member.
    pub(crate) fn last(&self) -> Option<usize> {
        let (index, word) = self
            .words
            .iter()
            .enumerate()
            .rfind(|(_, word)| **word != 0)?;
        Some(index * 64 + 63 - word.leading_zeros() as usize)
    }

    /// Returns the number of members.
    pub(crate) fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Returns the members, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }

    fn zip(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word = combine(*word, *other);
        }
    }

    fn trim(&mut self) {
        let used = self.len % 64;
        if let (true, Some(last)) = (used != 0, self.words.last_mut()) {
            *last &= (1 << used) - 1;
        }
    }
}

/// Returns by how much to shift the mask of word `index` for `position`; 64 and more shift everything out.
fn offset(position: usize, index: usize) -> u32 {
    u32::try_from(position.saturating_sub(index * 64)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(len: usize, members: &[usize]) -> FrameSet {
        FrameSet::from_fn(len, |position| members.contains(&position))
    }

    #[test]
    fn shifting_crosses_words_and_drops_what_leaves() {
        let mut up = set(70, &[63, 69]);
        let mut down = set(70, &[0, 64]);

        up.shift_up();
        down.shift_down();

        assert_eq!(up, set(70, &[64]));
        assert_eq!(down, set(70, &[63]));
    }

    #[test]
    fn inverting_stays_within_the_length() {
        let mut inverted = set(66, &[0, 65]);

        inverted.invert();

        assert_eq!(inverted.count(), 64);
        assert_eq!((inverted.first(), inverted.last()), (Some(1), Some(64)));
    }

    #[test]
    fn ranges_are_cut_at_any_position() {
        for position in [0, 1, 63, 64, 65, 129, 130, 500] {
            let mut from = set(130, &[]);
            from.fill();
            let mut before = from.clone();

            from.keep_from(position);
            before.keep_before(position);

            assert_eq!(before.count(), position.min(130), "{position}");
            assert_eq!(from.count(), 130 - position.min(130), "{position}");
        }
    }

    #[test]
    fn members_come_lowest_first() {
        assert_eq!(
            set(200, &[199, 3, 64]).iter().collect::<Vec<_>>(),
            [3, 64, 199]
        );
    }
}

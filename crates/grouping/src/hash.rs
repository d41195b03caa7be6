//! How the values that count become a hash: md5 over their UTF-8 bytes, one after the other, without separator.
//!
//! Source: Sentry, `src/sentry/grouping/utils.py`, `hash_from_values`.

use md5::{Digest, Md5};

/// An md5 that is fed piece by piece.
#[derive(Default)]
pub(crate) struct Hasher(Md5);

impl Hasher {
    /// Appends one value.
    pub(crate) fn update(&mut self, value: &str) {
        self.0.update(value.as_bytes());
    }

    /// Returns 32 lower-case hex digits.
    pub(crate) fn finish(self) -> String {
        let mut text = String::with_capacity(32);
        for byte in self.0.finalize() {
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 15)]);
        }
        text
    }
}

/// Returns the hash of values in order.
pub(crate) fn hash<'v>(values: impl IntoIterator<Item = &'v str>) -> String {
    let mut hasher = Hasher::default();
    for value in values {
        hasher.update(value);
    }
    hasher.finish()
}

const HEX: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hashes_to_the_md5_of_the_empty_text() {
        assert_eq!(hash([]), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn values_are_joined_without_separator() {
        assert_eq!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_eq!(hash(["abc"]), "900150983cd24fb0d6963f7d28e17f72");
    }
}

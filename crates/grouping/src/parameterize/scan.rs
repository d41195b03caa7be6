//! A text with a cursor's questions: which byte is here, what stands before, how far do digits go.

/// A text being scanned.
pub(super) struct Scan<'t> {
    text: &'t str,
    bytes: &'t [u8],
    /// No email starts before this position, for its run of characters does not lead to an `@`.
    pub(super) no_email_before: usize,
    /// No URL starts before this position, for its run of characters does not lead to `://`.
    pub(super) no_url_before: usize,
    /// No host name starts before this position, for its labels do not lead to a known domain.
    pub(super) no_hostname_before: usize,
    /// No id of several parts starts before this position, for its parts do not look random.
    pub(super) no_parts_before: usize,
}

impl<'t> Scan<'t> {
    /// Starts at the beginning of a text.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            no_email_before: 0,
            no_url_before: 0,
            no_hostname_before: 0,
            no_parts_before: 0,
        }
    }

    /// Returns the byte at a position; beyond the end it is 0, which no kind wants.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or_default()
    }

    /// Returns the text between two positions; empty if they are none.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Returns how many bytes the character at a position has.
    pub(super) fn width(&self, at: usize) -> usize {
        match self.byte(at) {
            0..=0x7f => 1,
            _ => self.text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }

    /// Returns whether any kind can start with the byte at a position.
    pub(super) fn can_start(&self, at: usize) -> bool {
        let byte = self.byte(at);
        byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b'\\'
            )
    }

    /// Returns whether the text continues with `wanted`.
    pub(super) fn has(&self, at: usize, wanted: &str) -> bool {
        self.bytes
            .get(at..)
            .is_some_and(|rest| rest.starts_with(wanted.as_bytes()))
    }

    /// Returns the end of the run of bytes that satisfy `is_member`.
    pub(super) fn run(&self, at: usize, is_member: impl Fn(u8) -> bool) -> usize {
        self.run_up_to(at, usize::MAX, is_member)
    }

    /// Returns the end of the run of at most `most` bytes that satisfy `is_member`.
    pub(super) fn run_up_to(
        &self,
        at: usize,
        most: usize,
        is_member: impl Fn(u8) -> bool,
    ) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest
            .iter()
            .take(most)
            .take_while(|byte| is_member(**byte))
            .count()
    }

    /// Returns the end of exactly `count` bytes that satisfy `is_member`, whatever follows.
    pub(super) fn exactly(
        &self,
        at: usize,
        count: usize,
        is_member: impl Fn(u8) -> bool,
    ) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(count)?)?;
        bytes
            .iter()
            .all(|byte| is_member(*byte))
            .then_some(at + count)
    }

    /// Returns the position after `byte`, if it stands here.
    pub(super) fn after(&self, at: usize, byte: u8) -> Option<usize> {
        (self.byte(at) == byte).then_some(at + 1)
    }

    /// Returns the character before a position.
    pub(super) fn before(&self, at: usize) -> Option<char> {
        match at.checked_sub(1).map(|before| self.byte(before)) {
            None => None,
            Some(byte @ 0..=0x7f) => Some(char::from(byte)),
            Some(_) => self.text[..at].chars().next_back(),
        }
    }

    /// Returns the character at a position.
    pub(super) fn character(&self, at: usize) -> Option<char> {
        match self.byte(at) {
            byte @ 1..=0x7f => Some(char::from(byte)),
            _ => self.text.get(at..)?.chars().next(),
        }
    }

    /// Returns whether no letter or digit stands right before; an underscore may.
    pub(super) fn is_free_before(&self, at: usize) -> bool {
        !self.before(at).is_some_and(char::is_alphanumeric)
    }

    /// Returns the position if no letter or digit stands right there; an underscore may.
    pub(super) fn free(&self, at: usize) -> Option<usize> {
        (!self.character(at).is_some_and(char::is_alphanumeric)).then_some(at)
    }

    /// Returns whether a word starts here: no letter, digit or underscore right before.
    pub(super) fn is_word_start(&self, at: usize) -> bool {
        !self.before(at).is_some_and(is_word)
    }

    /// Returns the position if a word ends there: no letter, digit or underscore follows.
    pub(super) fn word_end(&self, at: usize) -> Option<usize> {
        (!self.character(at).is_some_and(is_word)).then_some(at)
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

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
    /// The last word that was read.
    last_word: Option<Word>,
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
            last_word: None,
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

    /// Reads the run of letters and digits at a position; `None` if there is none or a letter beyond ASCII follows.
    pub(super) fn word(&mut self, at: usize) -> Option<Word> {
        if let Some(word) = self.last_word.filter(|word| word.start == at) {
            return Some(word);
        }
        let end = self.run(at, |byte| byte.is_ascii_alphanumeric());
        self.free(end).filter(|end| *end > at)?;
        self.last_word = Some(Word::of(at, &self.bytes[at..end]));
        self.last_word
    }

    /// Returns the end of a lower-case word of plain text, in which no kind can start: most of a message.
    ///
    /// A blank or the end follows it, so it begins neither an address nor a name with a dot; it is no value of a key.
    pub(super) fn plain_word(&self, at: usize) -> Option<usize> {
        let is_value = at > 0 && self.byte(at - 1) == b'=';
        let is_start = self.byte(at).is_ascii_lowercase() && !is_value && self.is_free_before(at);
        if !is_start {
            return None;
        }
        let end = self.run(at, |byte| byte.is_ascii_lowercase());
        let is_hex = self.bytes[at..end].iter().all(u8::is_ascii_hexdigit);
        (!is_hex && matches!(self.byte(end), b' ' | b'\n' | 0)).then_some(end)
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

/// What a run of letters and digits is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_hex: bool,
    pub(super) has_digit: bool,
    pub(super) has_lower: bool,
    pub(super) has_upper: bool,
    /// How often it changes between letters and digits.
    pub(super) switches: usize,
}

impl Word {
    fn of(start: usize, bytes: &[u8]) -> Self {
        let is_switch = |pair: &&[u8]| pair[0].is_ascii_digit() != pair[1].is_ascii_digit();
        Self {
            start,
            end: start + bytes.len(),
            is_hex: bytes.iter().all(u8::is_ascii_hexdigit),
            has_digit: bytes.iter().any(u8::is_ascii_digit),
            has_lower: bytes.iter().any(u8::is_ascii_lowercase),
            has_upper: bytes.iter().any(u8::is_ascii_uppercase),
            switches: bytes.windows(2).filter(is_switch).count(),
        }
    }

    /// Returns the number of bytes, joints included.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether it looks like no word of a language.
    pub(super) fn is_random(&self) -> bool {
        let is_mixed = self.has_lower && self.has_upper;
        self.switches >= 3 && (is_mixed || self.len() >= 6)
    }

    /// Returns both words as one.
    pub(super) fn join(self, next: Self) -> Self {
        Self {
            start: self.start,
            end: next.end,
            is_hex: self.is_hex && next.is_hex,
            has_digit: self.has_digit || next.has_digit,
            has_lower: self.has_lower || next.has_lower,
            has_upper: self.has_upper || next.has_upper,
            switches: self.switches + next.switches,
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

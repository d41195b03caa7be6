//! Reads the header lines of an envelope as far as the way through it needs, in one pass and without a copy.
//!
//! Stricter than JSON: `None` for whatever a sound header does not have, such as an escape in a name or a name twice.

use serde::de::IgnoredAny;

/// What an item's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemHeader<'l> {
    pub(super) ty: &'l str,
    pub(super) length: Option<usize>,
    pub(super) attachment_type: Option<&'l str>,
}

impl<'l> ItemHeader<'l> {
    pub(super) fn read(line: &'l [u8]) -> Option<Self> {
        let mut cursor = Cursor(line);
        let (mut ty, mut length, mut attachment_type) = (None, None, None);
        cursor.object(|cursor, name| match name {
            b"type" => fill(&mut ty, cursor.plain_text()?),
            b"length" => fill(&mut length, cursor.integer()?),
            b"attachment_type" => fill(&mut attachment_type, cursor.plain_text()?),
            _ => cursor.skip_scalar(),
        })?;
        Some(Self {
            ty: ty?,
            length,
            attachment_type,
        })
    }
}

/// Returns whether a line is one JSON object and nothing else.
pub(super) fn is_object(line: &[u8]) -> bool {
    let is_braced = line.trim_ascii_start().first() == Some(&b'{');
    is_braced && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Takes the first value; a second one is refused.
fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

struct Cursor<'l>(&'l [u8]);

impl<'l> Cursor<'l> {
    /// Reads an object and the end of the line; `value` reads the value of each name.
    fn object(&mut self, mut value: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.skip_blanks();
        self.take(b'{')?;
        self.skip_blanks();
        if self.take(b'}').is_some() {
            return self.ends().then_some(());
        }
        loop {
            self.skip_blanks();
            let name = self.plain_text()?;
            self.skip_blanks();
            self.take(b':')?;
            self.skip_blanks();
            value(self, name.as_bytes())?;
            self.skip_blanks();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return self.ends().then_some(());
            }
        }
    }

    /// Reads a string without escapes.
    fn plain_text(&mut self) -> Option<&'l str> {
        let text = self.text()?;
        let is_plain = !text.iter().any(|byte| *byte == b'\\' || *byte < b' ');
        str::from_utf8(text).ok().filter(|_| is_plain)
    }

    /// Reads what stands between two quotes.
    fn text(&mut self) -> Option<&'l [u8]> {
        self.take(b'"')?;
        let body = self.0;
        let mut from = 0;
        loop {
            let at = from + memchr::memchr2(b'"', b'\\', &body[from..])?;
            if body[at] == b'"' {
                self.0 = &body[at + 1..];
                return Some(&body[..at]);
            }
            from = at + 2;
            if from > body.len() {
                return None;
            }
        }
    }

    /// Reads digits: no sign, no fraction, no more than fit.
    fn integer(&mut self) -> Option<usize> {
        let count = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.0.split_at(count);
        let is_number = !digits.starts_with(b"0") || count == 1;
        let ends = matches!(rest.first(), Some(b',' | b'}' | b' ' | b'\t' | b'\r'));
        self.0 = rest;
        let digits = str::from_utf8(digits).ok()?;
        digits.parse().ok().filter(|_| is_number && ends)
    }

    /// Skips a string, a number or a word; headers of items hold nothing else.
    fn skip_scalar(&mut self) -> Option<()> {
        if self.0.first() == Some(&b'"') {
            return self.text().map(|_| ());
        }
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let count = self.0.iter().take_while(is_part).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(())
    }

    fn ends(&mut self) -> bool {
        self.skip_blanks();
        self.0.is_empty()
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }
}

//! Makes JSON out of what some SDKs send for it.
//!
//! Python clients write `NaN` and `Infinity`; JavaScript clients cut strings in the middle of a surrogate pair, which
//! leaves escapes such as `\ud83d` alone; native clients pass on bytes that are not UTF-8. Sentry takes all of them.

use std::borrow::Cow;

/// Returns the repaired text, or `None` when there was nothing to repair.
///
/// Outside strings `NaN`, `Infinity` and `-Infinity` become `null`; inside, lone surrogates become U+FFFD. Invalid UTF-8
/// becomes U+FFFD everywhere. Takes time in proportion to the length.
pub(super) fn repair(body: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let mut scanner = Scanner {
        rest: text.as_bytes(),
        repaired: Vec::with_capacity(text.len()),
        is_changed: matches!(text, Cow::Owned(_)),
    };
    scanner.run();
    scanner.is_changed.then_some(scanner.repaired)
}

struct Scanner<'t> {
    rest: &'t [u8],
    repaired: Vec<u8>,
    is_changed: bool,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.rest.first() {
            match byte {
                b'"' => {
                    self.keep(1);
                    self.string();
                }
                b'N' | b'I' | b'-' => self.literal(),
                _ => self.keep(1),
            }
        }
    }

    fn literal(&mut self) {
        let literals = [&b"NaN"[..], b"Infinity", b"-Infinity"];
        let found = literals
            .into_iter()
            .find(|literal| self.rest.starts_with(literal));
        match found {
            Some(literal) => self.replace(literal.len(), b"null"),
            None => self.keep(1),
        }
    }

    /// Copies up to and with the closing quote.
    fn string(&mut self) {
        while let Some(at) = memchr::memchr2(b'"', b'\\', self.rest) {
            self.keep(at);
            match self.rest {
                [b'"', ..] => return self.keep(1),
                [b'\\', b'u', ..] => self.unicode_escape(),
                _ => self.keep(2),
            }
        }
        self.keep(self.rest.len());
    }

    fn unicode_escape(&mut self) {
        let first = escaped_unit(self.rest);
        let second = self.rest.get(6..).and_then(escaped_unit);
        match (first, second) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => self.keep(12),
            (Some(0xd800..0xe000), _) => self.replace(6, b"\\ufffd"),
            _ => self.keep(2),
        }
    }

    fn keep(&mut self, count: usize) {
        let (kept, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.repaired.extend_from_slice(kept);
        self.rest = rest;
    }

    fn replace(&mut self, count: usize, with: &[u8]) {
        self.rest = &self.rest[count..];
        self.repaired.extend_from_slice(with);
        self.is_changed = true;
    }
}

/// Returns the UTF-16 unit of an escape such as `\ud83d` at the start.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repaired(text: &str) -> Option<String> {
        repair(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn replaces_what_python_writes_for_floats() {
        assert_eq!(
            repaired(r#"{"a":NaN,"b":[Infinity,-Infinity,-1],"NaN":"-Infinity \" NaN"}"#)
                .as_deref(),
            Some(r#"{"a":null,"b":[null,null,-1],"NaN":"-Infinity \" NaN"}"#),
        );
    }

    #[test]
    fn replaces_lone_surrogates_and_keeps_pairs() {
        for (text, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\udca5""#, r#""\ufffd""#),
            (r#""\uD83Dx\uDCA5""#, r#""\ufffdx\ufffd""#),
            (r#""\ud83d\ud83d\udca5""#, r#""\ufffd\ud83d\udca5""#),
        ] {
            assert_eq!(repaired(text).as_deref(), Some(expected));
        }
        for text in [
            r#""\ud83d\udca5""#,
            r#""\\ud83d""#,
            r#""\u0000""#,
            r#""\u12"#,
            r#""\"#,
            "{}",
        ] {
            assert_eq!(repaired(text), None, "{text}");
        }
    }

    #[test]
    fn replaces_bytes_that_are_not_utf8() {
        assert_eq!(
            repair(b"\"\xff\"").as_deref(),
            Some("\"\u{fffd}\"".as_bytes())
        );
    }

    proptest! {
        #[test]
        fn what_is_repaired_needs_no_more_repair(text in r#"([{}",:\\ ]|\\u|d83d|dca5|NaN|-Infinity|x){0,30}"#) {
            if let Some(once) = repair(text.as_bytes()) {
                prop_assert_eq!(repair(&once), None);
            }
        }

        #[test]
        fn valid_json_stays_as_it_is(text in "\\PC{0,40}") {
            let json = serde_json::to_vec(&vec![text]).unwrap();
            prop_assert_eq!(repair(&json), None);
        }
    }
}

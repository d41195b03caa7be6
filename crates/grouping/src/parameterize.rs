//! Replaces what differs from event to event in a message (numbers, dates, ids, addresses) by `<name>`.
//!
//! Source: Sentry, `src/sentry/grouping/parameterization.py` (mid-2026) and `normalize_message_for_grouping`. One scan
//! from left to right, by hand: a kind is tried where the text before and after allows it, in a fixed order, and the
//! first that matches wins. Every kind looks at each byte a bounded number of times.

mod date;
mod identifier;
mod network;
mod number;
mod scan;

use std::borrow::Cow;

use scan::Scan;

/// Returns a message as it is compared: its first two lines that are not blank, parameterised.
pub(crate) fn normalize_message(message: &str) -> Cow<'_, str> {
    let mut lines = message
        .split(is_line_end)
        .filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    if first.len() == message.len() {
        return parameterize(message);
    }
    let mut text = first.to_owned();
    if let Some(second) = lines.next() {
        text.push('\n');
        text.push_str(second);
    }
    if text != message {
        text.push_str("...");
    }
    Cow::Owned(parameterize(&text).into_owned())
}

/// Returns a text with everything variable replaced; one of more than 8192 characters stays as it is.
pub(crate) fn parameterize(text: &str) -> Cow<'_, str> {
    if text.len() > MAX_CHARS && text.chars().nth(MAX_CHARS).is_some() {
        return Cow::Borrowed(text);
    }
    let mut scan = Scan::new(text);
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < text.len() {
        if let Some(end) = scan.plain_word(at) {
            at = end;
            continue;
        }
        match find(&mut scan, at) {
            Some((name, end)) => {
                out.push_str(&text[copied..at]);
                out.push_str(name);
                (at, copied) = (end, end);
            }
            None => at += scan.width(at),
        }
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(out + &text[copied..]),
    }
}

/// Returns the first kind that matches at a position, and where the match ends.
fn find(scan: &mut Scan<'_>, at: usize) -> Option<(&'static str, usize)> {
    let byte = scan.byte(at);
    let kinds: &[Kind] = match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if !scan.is_free_before(at) => &INSIDE_WORDS,
        b'a'..=b'z' | b'A'..=b'Z' => &AT_LETTERS,
        b'0'..=b'9' => &AT_DIGITS,
        b'-' => &AT_MINUS,
        b'\'' | b'"' => &AT_QUOTES,
        b':' => &AT_COLONS,
        b'!'..=b'~' => &AT_SIGNS,
        _ => return None,
    };
    let found = |(name, matches): &Kind| Some((*name, matches(scan, at)?));
    kinds.iter().find_map(found)
}

/// What ends a line for Python's `splitlines`.
fn is_line_end(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// What a match is replaced by, and a function that returns where a match that starts here ends.
type Kind = (&'static str, fn(&mut Scan<'_>, usize) -> Option<usize>);

const EMAIL: Kind = ("<email>", network::email);
const URL: Kind = ("<url>", network::url);
const HOSTNAME: Kind = ("<hostname>", network::hostname);
const TRACEPARENT: Kind = ("<traceparent>", identifier::traceparent);
const UUID: Kind = ("<uuid>", identifier::uuid);
const SHA1: Kind = ("<sha1>", identifier::sha1);
const MD5: Kind = ("<md5>", identifier::md5);
const DATE: Kind = ("<date>", date::date);
const DURATION: Kind = ("<duration>", number::duration);
const MAC_ADDRESS: Kind = ("<mac_addr>", network::mac_address);
const IP: Kind = ("<ip>", network::ip);
const SWIFT: Kind = ("<swift_txn_id>", identifier::swift_transaction);
const HEX: Kind = ("<hex>", identifier::hex);
const GIT_SHA: Kind = ("<git_sha>", identifier::git_sha);
const RANDOM_ID: Kind = ("<random_id>", identifier::random_id);
const RANDOM_IDS: Kind = ("<random_id>", identifier::multi_part_random_id);
const FLOAT: Kind = ("<float>", number::float);
const INT: Kind = ("<int>", number::int);
const QUOTED: Kind = ("<quoted_str>", number::quoted_string);
const BOOLEAN: Kind = ("<bool>", number::boolean);

// Sentry's order decides between kinds that match at the same place; each list has what can start there at all.
const AT_DIGITS: [Kind; 17] = [
    EMAIL,
    URL,
    HOSTNAME,
    TRACEPARENT,
    UUID,
    SHA1,
    MD5,
    DATE,
    DURATION,
    MAC_ADDRESS,
    IP,
    HEX,
    GIT_SHA,
    RANDOM_ID,
    RANDOM_IDS,
    FLOAT,
    INT,
];
const AT_LETTERS: [Kind; 16] = [
    EMAIL,
    URL,
    HOSTNAME,
    TRACEPARENT,
    UUID,
    SHA1,
    MD5,
    DATE,
    MAC_ADDRESS,
    IP,
    SWIFT,
    HEX,
    GIT_SHA,
    RANDOM_ID,
    RANDOM_IDS,
    BOOLEAN,
];
const INSIDE_WORDS: [Kind; 3] = [EMAIL, URL, DATE];
const AT_MINUS: [Kind; 3] = [EMAIL, FLOAT, INT];
const AT_QUOTES: [Kind; 2] = [EMAIL, QUOTED];
const AT_COLONS: [Kind; 1] = [IP];
const AT_SIGNS: [Kind; 1] = [EMAIL];
const MAX_CHARS: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_replaced() {
        let cases = [
            (
                "mail to jane.doe+x@shop.example.com now",
                "mail to <email> now",
            ),
            ("GET https://shop.example/a?b=1, then", "GET <url>, then"),
            ("connect to db.shop.com:5432", "connect to <hostname>:<int>"),
            ("id 0af76519-16cd-43dd-8448-eb211c80319c.", "id <uuid>."),
            ("at 2024-02-20T22:16:36.123Z", "at <date>"),
            ("on Tue, 20 Feb 2024 22:16:36 GMT it", "on <date> it"),
            ("took 12ms, 1.5s", "took <duration>, <duration>"),
            ("from 10.0.0.1:80 and fe80::1", "from <ip>:<int> and <ip>"),
            ("mac 00:1b:44:11:3a:b7", "mac <mac_addr>"),
            ("ptr 0xDEADBEEF", "ptr <hex>"),
            ("x=-1.5 y=-3 z=7", "x=<float> y=<int> z=<int>"),
            ("name='bob' ok=true", "name=<quoted_str> ok=<bool>"),
            ("blob_k9Mtd2gDcgG", "blob_<random_id>"),
        ];
        for (text, expected) in cases {
            assert_eq!(parameterize(text), expected);
        }
    }

    #[test]
    fn words_stay() {
        for text in [
            "python3 abcxyz is Option::unwrap()",
            "v2.x-beta",
            "Zürich7",
            "a = False",
            "",
        ] {
            assert_eq!(parameterize(text), text);
        }
    }

    #[test]
    fn two_lines_are_kept() {
        assert_eq!(normalize_message("a 1\n\n b\r\nc"), "a <int>\n b...");
        assert_eq!(normalize_message("a\n"), "a...");
        assert_eq!(normalize_message("a\nb"), "a\nb");
        assert_eq!(normalize_message("a"), "a");
    }

    #[test]
    fn a_very_long_text_stays() {
        let long = "1 ".repeat(MAX_CHARS);

        assert_eq!(parameterize(&long), long);
    }
}

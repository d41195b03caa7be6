//! Numbers, durations, and the values of `key=value`.

use super::scan::Scan;

/// `12ms`, `1.5s`.
pub(super) fn duration(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.is_free_before(at) {
        return None;
    }
    let whole = digits(scan, at)?;
    if scan.has(whole, "ms") {
        return scan.free(whole + 2);
    }
    let end = scan
        .after(whole, b'.')
        .and_then(|point| digits(scan, point))
        .unwrap_or(whole);
    scan.free(scan.after(end, b's')?)
}

/// `-1.5`: two parts, for `1.2.3` is a version.
pub(super) fn float(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let start = after_sign(scan, at)?;
    let is_after_part =
        scan.before(at) == Some('.') && scan.byte(at.wrapping_sub(2)).is_ascii_digit();
    let point = scan.after(digits(scan, start)?, b'.')?;
    let end = digits(scan, point)?;
    let has_more_parts = scan.byte(end) == b'.' && scan.byte(end + 1).is_ascii_digit();
    match is_after_part || has_more_parts {
        true => None,
        false => scan.free(end),
    }
}

/// `-3`: up to seven digits; longer ones are hex by then.
pub(super) fn int(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let start = after_sign(scan, at)?;
    let end = digits(scan, start).filter(|end| end - start <= MAX_INT)?;
    scan.free(end)
}

/// `'bob'` or `"bob"` right after `=`.
pub(super) fn quoted_string(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let quote = scan.byte(at);
    if scan.before(at) != Some('=') || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let end = scan.run(at + 1, |byte| byte != quote);
    (end > at + 1).then(|| scan.after(end, quote)).flatten()
}

/// `true` or `False` right after `=`.
pub(super) fn boolean(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if scan.before(at) != Some('=') {
        return None;
    }
    let word = ["True", "true", "False", "false"]
        .iter()
        .find(|word| scan.has(at, word))?;
    scan.word_end(at + word.len())
}

/// A minus is a sign unless it follows a word, as in `item-3`.
fn after_sign(scan: &Scan<'_>, at: usize) -> Option<usize> {
    match scan.after(at, b'-') {
        Some(after) => scan.is_word_start(at).then_some(after),
        None => scan.is_free_before(at).then_some(at),
    }
}

fn digits(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let end = scan.run(at, |byte| byte.is_ascii_digit());
    (end > at).then_some(end)
}

const MAX_INT: usize = 7;

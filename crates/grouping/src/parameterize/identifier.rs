//! Ids that programs make: UUIDs, hashes, trace and transaction ids, addresses in memory.

use super::scan::Scan;

/// The W3C header `00-<32 hex>-<16 hex>-01`, or `1-<8 hex>-<24 hex>` of AWS.
pub(super) fn traceparent(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.is_free_before(at) || !scan.byte(at).is_ascii_hexdigit() {
        return None;
    }
    parts(scan, at, &[2, 32, 16, 2])
        .or_else(|| {
            scan.has(at, "1-")
                .then(|| parts(scan, at, &[1, 8, 24]))
                .flatten()
        })
        .and_then(|end| scan.free(end))
}

/// `8-4-4-4-12` hex digits.
pub(super) fn uuid(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.is_free_before(at) {
        return None;
    }
    scan.free(parts(scan, at, &[8, 4, 4, 4, 12])?)
}

/// 40 hex digits.
pub(super) fn sha1(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    hex_digits(scan, at, 40)
}

/// 32 hex digits.
pub(super) fn md5(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    hex_digits(scan, at, 32)
}

/// OpenStack Swift's `tx<21 hex>-<10 hex>`, with the cluster's name if it has one.
pub(super) fn swift_transaction(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.has(at, "tx") || !scan.is_free_before(at) {
        return None;
    }
    let end = parts(scan, at + 2, &[21, 10])?;
    let suffix = scan
        .after(end, b'-')
        .map(|start| (start, scan.run(start, |byte| byte.is_ascii_alphanumeric())));
    match suffix {
        Some((start, suffix)) if suffix > start => scan.free(suffix),
        _ => scan.free(end),
    }
}

/// `0x..`, or 8 to 128 hex digits of one case, or 4 to 6 that have both digits and letters.
pub(super) fn hex(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.byte(at).is_ascii_hexdigit() || !scan.is_free_before(at) {
        return None;
    }
    if scan.has(at, "0x") || scan.has(at, "0X") {
        let end = scan.run(at + 2, |byte| byte.is_ascii_hexdigit());
        return scan.free(end).filter(|end| *end > at + 2);
    }
    let word = scan.word(at)?;
    let is_hex = word.is_hex && !(word.has_lower && word.has_upper);
    let is_id = match word.len() {
        4..=6 => word.has_digit && (word.has_lower || word.has_upper),
        8..=128 => true,
        _ => false,
    };
    (is_hex && is_id).then_some(word.end)
}

/// Seven lower-case hex digits that have both digits and letters.
pub(super) fn git_sha(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.byte(at).is_ascii_hexdigit() || !scan.is_free_before(at) {
        return None;
    }
    let word = scan.word(at)?;
    let is_sha = word.is_hex && word.has_digit && word.has_lower && !word.has_upper;
    (is_sha && word.len() == 7).then_some(word.end)
}

/// Letters and digits that change sides at least three times, such as `k9Mtd2gDcgG`.
pub(super) fn random_id(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.byte(at).is_ascii_alphanumeric() || !scan.is_free_before(at) {
        return None;
    }
    let word = scan.word(at)?;
    word.is_random().then_some(word.end)
}

/// Parts joined by `-` that together look random.
pub(super) fn multi_part_random_id(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let can_start = scan.byte(at).is_ascii_alphanumeric() && scan.is_free_before(at);
    if !can_start || at < scan.no_parts_before {
        return None;
    }
    let mut whole = scan.word(at)?;
    let start = whole.end;
    while let Some(next) = scan
        .after(whole.end, b'-')
        .and_then(|start| scan.word(start))
    {
        whole = whole.join(next);
    }
    if whole.end > start && whole.is_random() {
        return Some(whole.end);
    }
    scan.no_parts_before = whole.end;
    None
}

fn hex_digits(scan: &Scan<'_>, at: usize, count: usize) -> Option<usize> {
    if !scan.byte(at).is_ascii_hexdigit() || !scan.is_free_before(at) {
        return None;
    }
    scan.free(scan.exactly(at, count, |byte| byte.is_ascii_hexdigit())?)
}

/// Reads groups of hex digits joined by `-`.
fn parts(scan: &Scan<'_>, at: usize, lengths: &[usize]) -> Option<usize> {
    let (first, rest) = lengths.split_first()?;
    let start = scan.exactly(at, *first, |byte| byte.is_ascii_hexdigit())?;
    rest.iter().try_fold(start, |end, length| {
        scan.exactly(scan.after(end, b'-')?, *length, |byte| {
            byte.is_ascii_hexdigit()
        })
    })
}

//! Names and addresses on a network: mail, URLs, host names, IP and MAC addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::scan::Scan;

/// `local@domain`, by HTML's definition of a mail address.
pub(super) fn email(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if at < scan.no_email_before {
        return None;
    }
    let end = scan.run(at, is_email_byte);
    if end == at || scan.byte(end) != b'@' {
        scan.no_email_before = end;
        return None;
    }
    let mut domain = label(scan, end + 1)?;
    while let Some(next) = scan
        .after(domain, b'.')
        .and_then(|start| label(scan, start))
    {
        domain = next;
    }
    Some(domain)
}

/// `scheme://…` up to a blank, a quote or an angle bracket, without the punctuation of the sentence around it.
pub(super) fn url(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if at < scan.no_url_before || !scan.byte(at).is_ascii_alphabetic() {
        return None;
    }
    let scheme = scan.run(at, |byte| {
        byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
    });
    if !scan.has(scheme, "://") {
        scan.no_url_before = scheme;
        return None;
    }
    let start = scheme + 3;
    let end = scan.run(start, |byte| {
        !byte.is_ascii_whitespace() && !b"\"'<>".contains(&byte)
    });
    let end = start
        + scan
            .slice(start, end)
            .trim_end_matches(['.', ',', ';'])
            .len();
    (end > start).then_some(end)
}

/// Labels and one of the hundred commonest top-level domains, the first that ends a word.
pub(super) fn hostname(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let can_start = is_label_byte(scan.byte(at)) && scan.is_word_start(at);
    if !can_start || at < scan.no_hostname_before {
        return None;
    }
    let mut start = at;
    while let Some(next) = label(scan, start).and_then(|end| scan.after(end, b'.')) {
        if let Some(end) = top_level_domain(scan, next) {
            return Some(end);
        }
        start = next;
    }
    scan.no_hostname_before = start;
    None
}

/// Six pairs of hex digits joined by `:` or `-`.
pub(super) fn mac_address(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let separator = scan.byte(at + 2);
    if !matches!(separator, b':' | b'-') || !scan.is_free_before(at) {
        return None;
    }
    let pair = |at: usize| scan.exactly(at, 2, |byte| byte.is_ascii_hexdigit());
    let end = (0..5).try_fold(pair(at)?, |end, _| pair(scan.after(end, separator)?))?;
    scan.free(end)
}

/// An IPv4 or IPv6 address.
pub(super) fn ip(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    if !scan.is_word_start(at) {
        return None;
    }
    ipv4(scan, at).or_else(|| ipv6(scan, at))
}

/// A fifth part makes it a version.
fn ipv4(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let is_after_part =
        scan.before(at) == Some('.') && scan.byte(at.wrapping_sub(2)).is_ascii_digit();
    if !scan.byte(at).is_ascii_digit() || is_after_part {
        return None;
    }
    let end = scan.run_up_to(at, MAX_IPV4, |byte| byte.is_ascii_digit() || byte == b'.');
    let text = scan.slice(at, end).trim_end_matches('.');
    text.parse::<Ipv4Addr>().ok()?;
    scan.word_end(at + text.len())
}

/// `::` alone separates names in C++ and Rust.
fn ipv6(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let byte = scan.byte(at);
    if !(byte.is_ascii_hexdigit() || byte == b':') || scan.before(at) == Some(':') {
        return None;
    }
    let end = scan.run_up_to(at, MAX_IPV6, |byte| {
        byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
    });
    if end - at < 3 || !scan.slice(at, end).contains(':') {
        return None;
    }
    let text = scan.slice(at, end).trim_end_matches('.');
    let text = match text.strip_suffix(':') {
        Some(rest) if !rest.ends_with(':') => rest,
        _ => text,
    };
    text.parse::<Ipv6Addr>().ok()?;
    scan.word_end(at + text.len())
}

/// The name ends after it: `example.company` has none.
fn top_level_domain(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let end = scan.run(at, |byte| byte.is_ascii_alphabetic());
    let name = scan.slice(at, end);
    let is_known = |known: &str| match name.as_bytes().first() {
        Some(first) if first.is_ascii_uppercase() => {
            known.len() == name.len()
                && known
                    .bytes()
                    .map(|byte| byte.to_ascii_uppercase())
                    .eq(name.bytes())
        }
        _ => known == name,
    };
    let is_domain = TOP_LEVEL_DOMAINS.iter().any(|known| is_known(known));
    is_domain.then(|| scan.word_end(end)).flatten()
}

fn label(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let end = scan.run_up_to(at, MAX_LABEL, is_label_byte);
    (end > at).then_some(end)
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_email_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

const MAX_LABEL: usize = 63;
const MAX_IPV4: usize = 16;
const MAX_IPV6: usize = 46;
const TOP_LEVEL_DOMAINS: [&str; 100] = [
    "ae", "al", "app", "ar", "at", "au", "be", "bg", "biz", "br", "by", "ca", "cat", "cc", "cf",
    "ch", "cl", "club", "cn", "co", "com", "cz", "de", "dk", "edu", "ee", "es", "eu", "fi", "fm",
    "fr", "ga", "gov", "gq", "gr", "hk", "hr", "hu", "id", "ie", "il", "in", "info", "io", "ir",
    "is", "it", "jobs", "jp", "kr", "kz", "la", "lat", "link", "lt", "lv", "ly", "me", "mobi",
    "ms", "mx", "my", "net", "news", "ng", "nl", "no", "nz", "online", "org", "pe", "ph", "pl",
    "pro", "pt", "ro", "rs", "ru", "sa", "se", "sg", "si", "site", "sk", "th", "tips", "tk", "to",
    "tr", "tv", "tw", "ua", "ug", "uk", "us", "vn", "wiki", "xxx", "xyz", "za",
];

//! Dates and times in the forms programs print them.

use super::scan::Scan;

/// Any of the forms below.
pub(super) fn date(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    match scan.byte(at) {
        b'0'..=b'9' => iso(scan, at)
            .or_else(|| compact(scan, at))
            .or_else(|| clock(scan, at)),
        b'd' if scan.has(at, "datetime.datetime(") => {
            scan.after(scan.run(at, |byte| byte != b')'), b')')
        }
        b'A'..=b'Z' if scan.is_word_start(at) => {
            named_day(scan, at).or_else(|| named_month(scan, at))
        }
        _ => None,
    }
}

/// `2006-01-02`, with a time after a blank or a `T`, with a zone after that.
fn iso(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let year = scan.after(number(scan, at, 4, 0..=9999)?, b'-')?;
    let month = scan.after(number(scan, year, 2, 1..=12)?, b'-')?;
    let day = number(scan, month, 2, 1..=31)?;
    if !matches!(scan.byte(day), b' ' | b'T') {
        return Some(day);
    }
    Some(time(scan, day + 1).map_or(day, |end| zone(scan, end)))
}

/// `20060102 150405`, `20060102T150405Z`, `20060102 15:04:05.999`.
fn compact(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let year = number(scan, at, 4, 0..=9999)?;
    let day = number(scan, number(scan, year, 2, 1..=12)?, 2, 1..=31)?;
    if !matches!(scan.byte(day), b' ' | b'T') {
        return None;
    }
    let end = time(scan, day + 1).or_else(|| compact_time(scan, day + 1))?;
    Some(zone(scan, end))
}

fn compact_time(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let hour = number(scan, at, 2, 0..=24)?;
    let second = number(scan, number(scan, hour, 2, 0..=59)?, 2, 0..=60)?;
    (!scan.byte(second).is_ascii_digit()).then(|| fraction(scan, second))
}

/// `23:21`, `15:04:05`, `3:04 PM`. Followed by yet another part it is an address.
fn clock(scan: &Scan<'_>, at: usize) -> Option<usize> {
    if !scan.is_word_start(at) {
        return None;
    }
    let hour = number(scan, at, 2, 0..=24).or_else(|| number(scan, at, 1, 0..=9))?;
    let end = minutes(scan, hour)?;
    let has_more_parts = scan.byte(end) == b':' && scan.byte(end + 1).is_ascii_hexdigit();
    if has_more_parts {
        return None;
    }
    let half = if scan.byte(end) == b' ' { end + 1 } else { end };
    let is_half = matches!(scan.byte(half), b'a' | b'A' | b'p' | b'P')
        && matches!(scan.byte(half + 1), b'm' | b'M');
    match is_half {
        true => scan.word_end(half + 2).or(Some(end)),
        false => scan.word_end(end),
    }
}

/// `Mon, 02 Jan 2006 15:04:05 MST`, `Monday, 02-Jan-06 15:04:05 MST`, `Mon Jan 02 2006 14:04:05 GMT-0800 (PST)`,
/// `Mon Jan 02, 1999`.
fn named_day(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let after = at + DAYS.iter().find(|name| scan.has(at, name))?.len();
    match scan.byte(after) {
        b',' => mail_date(scan, scan.after(after + 1, b' ')?),
        b' ' => browser_date(scan, after + 1).or_else(|| named_month(scan, after + 1)),
        _ => None,
    }
}

fn mail_date(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let day = number(scan, at, 2, 1..=31).or_else(|| number(scan, at, 1, 1..=9))?;
    let separator = scan.byte(day);
    if !matches!(separator, b' ' | b'-') {
        return None;
    }
    let month = scan.after(month(scan, day + 1)?, separator)?;
    let year = number(scan, month, 4, 0..=9999).or_else(|| number(scan, month, 2, 0..=99))?;
    let end = time(scan, scan.after(year, b' ')?)?;
    Some(mail_zone(scan, end).unwrap_or(end))
}

/// ` MST`, ` GMT`, ` -0700`, ` Z`.
fn mail_zone(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let start = scan.after(at, b' ')?;
    if matches!(scan.byte(start), b'+' | b'-') {
        return scan.exactly(start + 1, 4, |byte| byte.is_ascii_digit());
    }
    let end = scan.run(start, |byte| byte.is_ascii_uppercase());
    (1..=5)
        .contains(&(end - start))
        .then_some(end)
        .and_then(|end| scan.word_end(end))
}

fn browser_date(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let day = scan.after(month(scan, at)?, b' ')?;
    let year = scan.after(number(scan, day, 2, 1..=31)?, b' ')?;
    let clock = scan.after(number(scan, year, 4, 0..=9999)?, b' ')?;
    let end = time(scan, clock)?;
    if !scan.has(end, " GMT") {
        return Some(end);
    }
    let zone = end + 4;
    let zone = match scan.byte(zone) {
        b'+' | b'-' => scan.exactly(zone + 1, 4, |byte| byte.is_ascii_digit())?,
        _ => zone,
    };
    let name = scan
        .has(zone, " (")
        .then(|| scan.after(scan.run(zone + 2, |byte| byte != b')'), b')'));
    Some(name.flatten().unwrap_or(zone))
}

/// `Jan 18, 2019`.
fn named_month(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let start = scan.after(month(scan, at)?, b' ')?;
    let day = number(scan, start, 2, 1..=31).or_else(|| number(scan, start, 1, 1..=9))?;
    let year = scan.after(scan.after(day, b',')?, b' ')?;
    number(scan, year, 4, 0..=9999).or_else(|| number(scan, year, 2, 0..=99))
}

fn month(scan: &Scan<'_>, at: usize) -> Option<usize> {
    MONTHS
        .iter()
        .find(|name| scan.has(at, name))
        .map(|name| at + name.len())
}

/// `15:04`, `15:04:05`, `15:04:05.999`.
fn time(scan: &Scan<'_>, at: usize) -> Option<usize> {
    minutes(scan, number(scan, at, 2, 0..=24)?)
}

fn minutes(scan: &Scan<'_>, hour: usize) -> Option<usize> {
    let minute = number(scan, scan.after(hour, b':')?, 2, 0..=59)?;
    let second = scan
        .after(minute, b':')
        .and_then(|start| number(scan, start, 2, 0..=60));
    let end = second.map_or(minute, |end| fraction(scan, end));
    (!scan.byte(end).is_ascii_digit()).then_some(end)
}

fn fraction(scan: &Scan<'_>, at: usize) -> usize {
    let Some(start) = scan.after(at, b'.') else {
        return at;
    };
    let end = scan.run(start, |byte| byte.is_ascii_digit());
    if end > start { end } else { at }
}

/// `Z`, `+01:00`, `+0100`, and Go's own `Z07:00`.
fn zone(scan: &Scan<'_>, at: usize) -> usize {
    let utc = scan.after(at, b'Z').unwrap_or(at);
    let start = match scan.byte(utc) {
        b'+' | b'-' => utc + 1,
        _ if utc > at => utc,
        _ => return at,
    };
    let offset = number(scan, start, 2, 0..=23)
        .and_then(|hours| number(scan, scan.after(hours, b':').unwrap_or(hours), 2, 0..=59));
    offset.unwrap_or(utc)
}

/// Reads exactly `width` digits within a range.
fn number(
    scan: &Scan<'_>,
    at: usize,
    width: usize,
    range: std::ops::RangeInclusive<u32>,
) -> Option<usize> {
    let end = scan.exactly(at, width, |byte| byte.is_ascii_digit())?;
    let value: u32 = scan.slice(at, end).parse().ok()?;
    range.contains(&value).then_some(end)
}

const DAYS: [&str; 14] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Mon",
    "Tue",
    "Wed",
    "Thu",
    "Fri",
    "Sat",
    "Sun",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

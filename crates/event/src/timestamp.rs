//! Reads the times SDKs write: seconds since 1970, or RFC 3339, which some leave without a zone and mean UTC.
//!
//! Source: <https://develop.sentry.dev/sdk/data-model/event-payloads/#required-attributes>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time of whole seconds since 1970; `None` past the year 9999.
pub(crate) fn of_seconds(seconds: u64) -> Option<SystemTime> {
    let is_near = seconds < YEAR_10000;
    is_near.then(|| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))?
}

/// Returns the time of seconds since 1970; `None` before, and past the year 9999.
pub(crate) fn of_float(seconds: f64) -> Option<SystemTime> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    let is_near = duration.as_secs() < YEAR_10000;
    is_near.then(|| UNIX_EPOCH.checked_add(duration))?
}

/// Reads `2026-11-23T09:38:24.331129915Z`, also with a blank for the `T`, without the fraction or with an offset.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let (fraction, zone) = split_fraction(rest)?;
    let local = days_of(date)? * 86_400 + seconds_of(clock)?;
    let seconds = u64::try_from(local - offset_of(zone)?).ok()?;
    of_seconds(seconds)?.checked_add(fraction)
}

/// Splits `.331129915+08:00` into the fraction and the zone.
fn split_fraction(text: &str) -> Option<(Duration, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((Duration::ZERO, text));
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (digits, zone) = digits.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = padded.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0'));
    Some((Duration::from_nanos(nanos), zone))
}

/// Returns the days from 1970-01-01 to a date such as `2026-11-23`.
///
/// Years count from March, so that the leap day is the last one:
/// <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn days_of(date: &str) -> Option<i64> {
    let [year, month, day] = numbers(date, '-')?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the seconds of a clock time such as `09:38:24`; a leap second counts as the second before.
fn seconds_of(clock: &str) -> Option<i64> {
    let [hour, minute, second] = numbers(clock, ':')?;
    let is_time = hour < 24 && minute < 60 && second <= 60;
    is_time.then_some(hour * 3600 + minute * 60 + second.min(59))
}

/// Returns the seconds east of UTC of `Z`, `+08:00`, `+0800` or nothing.
fn offset_of(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let first = parts.next()?;
    let numbers = [
        number(first, first.len())?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    ];
    parts.next().is_none().then_some(numbers)
}

fn number(text: &str, width: usize) -> Option<i64> {
    let is_number = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// 10000-01-01, in seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(text: &str) -> Option<u128> {
        let time = parse(text)?;
        Some(time.duration_since(UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn reads_rfc3339_as_sdks_write_it() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2026-11-23T09:38:24.331129915Z", 1_795_426_704_331),
            ("2026-11-23T09:38:24.331129Z", 1_795_426_704_331),
            ("2026-11-23T09:38:24", 1_795_426_704_000),
            ("2026-11-23 09:38:24.5", 1_795_426_704_500),
            ("2026-11-23T17:38:24+08:00", 1_795_426_704_000),
            ("2026-11-23T05:08:24-0430", 1_795_426_704_000),
            ("2026-11-23T09:38:60z", 1_795_426_739_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "now",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T09:38:24.Z",
            "2026-11-23T09:38:24+8",
            "2026-11-23T09:38:24 Z",
            "20261123T093824Z",
            "1969-12-31T23:59:59Z",
            "2026-1-2T00:00:000",
            "2026-11-2é09:38:24Z",
            "+026-11-23T09:38:24Z",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn reads_seconds_within_four_digit_years() {
        let float = |seconds| {
            of_float(seconds).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_millis())
        };

        assert_eq!(float(1_795_426_714.25), Some(1_795_426_714_250));
        assert_eq!(float(-1.0), None);
        assert_eq!(float(f64::NAN), None);
        assert_eq!(float(1e300), None);
        assert_eq!(of_seconds(u64::MAX), None);
        assert_eq!(of_seconds(1), Some(UNIX_EPOCH + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Z-]{0,20}|\\PC{0,30}", seconds in any::<f64>()) {
            let _ = parse(&text);
            let _ = of_float(seconds);
        }
    }
}

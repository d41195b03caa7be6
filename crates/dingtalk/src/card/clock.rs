//! Shows moments in the operator's time zone, as short as they stay clear.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Returns a moment as `10:02:11`, with the day when it is not today's, with the year when it is not this year's.
pub(crate) fn short(moment: SystemTime, now: SystemTime, zone: &TimeZone) -> String {
    let (Some(moment), Some(now)) = (zoned(moment, zone), zoned(now, zone)) else {
        return UNKNOWN.to_owned();
    };
    let format = match () {
        () if moment.date() == now.date() => "%H:%M:%S",
        () if moment.year() == now.year() => "%m-%d %H:%M:%S",
        () => "%Y-%m-%d %H:%M",
    };
    moment.strftime(format).to_string()
}

/// Returns a moment as `2026-07-01 10:02:11 +08:00`.
pub(crate) fn long(moment: SystemTime, zone: &TimeZone) -> String {
    zoned(moment, zone).map_or_else(
        || UNKNOWN.to_owned(),
        |moment| moment.strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
    )
}

/// `None` for a moment beyond the years that calendars hold.
fn zoned(moment: SystemTime, zone: &TimeZone) -> Option<ZonedDateTime> {
    let timestamp = Timestamp::try_from(moment).ok()?;
    Some(timestamp.to_zoned_datetime(zone.clone()))
}

const UNKNOWN: &str = "?";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn is_as_short_as_stays_clear() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let now = at(1_782_871_200); // 2026-07-01 10:00:00 there
        let cases = [
            (1_782_871_199, "09:59:59"),
            (1_782_835_199, "06-30 23:59:59"),
            (1_700_000_000, "2023-11-15 06:13"),
        ];

        for (seconds, expected) in cases {
            assert_eq!(short(at(seconds), now, &zone), expected);
        }
        assert_eq!(long(now, &zone), "2026-07-01 10:00:00 +08:00");
    }

    #[test]
    fn survives_moments_outside_the_calendar() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 50);

        assert_eq!(short(far, UNIX_EPOCH, &TimeZone::UTC), "?");
        assert_eq!(long(far, &TimeZone::UTC), "?");
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

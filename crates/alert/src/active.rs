//! The hours in which a route speaks: `Mon-Fri 08:00-22:00`, in a time zone.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// When a route speaks; without any span, always.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// The spans, any of which will do.
    pub spans: Vec<Span>,
    /// Where the clock hangs.
    pub zone: TimeZone,
}

/// Days of the week, and hours of these days. `FromStr` reads `Mon-Fri 08:00-22:00`, `Sat,Sun 10:00-16:00`, `22:00-06:00`
/// (every day, into the next morning), `Mon-Sun 00:00-24:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day.
    from: u16,
    to: u16,
}

/// A text that is no span of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a span of hours")]
pub struct NoSpan;

impl Active {
    /// Returns when the next span begins; `None` while one lasts, and when there is none at all.
    pub fn opens_at(&self, now: SystemTime) -> Option<SystemTime> {
        if self.spans.is_empty() {
            return None;
        }
        // A clock beyond the calendar keeps nobody silent.
        let here = Timestamp::try_from(now)
            .ok()?
            .to_zoned_datetime(self.zone.clone());
        let minute = minute_of(here.time());
        let is_open = |span: &Span| span.holds(here.weekday(), minute);
        if self.spans.iter().any(is_open) {
            return None;
        }
        let days = (0..=7).filter_map(|days| here.date().checked_add(days.days()).ok());
        let starts = days.flat_map(|date| self.spans.iter().map(move |span| (date, span)));
        let starts = starts.filter_map(|(date, span)| span.start_on(date, &self.zone));
        starts.filter(|start| *start > now).min()
    }
}

impl Span {
    /// A span that runs past midnight belongs to the day on which it begins.
    fn holds(&self, day: Weekday, minute: u16) -> bool {
        let on = |day: Weekday| self.days[usize::from(day.to_monday_zero_offset().unsigned_abs())];
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day.previous()) && minute < self.to)
    }

    fn start_on(&self, date: Date, zone: &TimeZone) -> Option<SystemTime> {
        let day = date.weekday().to_monday_zero_offset().unsigned_abs();
        if !self.days[usize::from(day)] {
            return None;
        }
        let (hour, minute) = (self.from / 60, self.from % 60);
        let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        let start = date
            .to_datetime(time)
            .to_zoned_datetime(zone.clone())
            .ok()?;
        SystemTime::try_from(start.timestamp()).ok()
    }
}

impl Default for Active {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let text = text.trim();
        let (days, hours) = match text.rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (read_days(days)?, hours),
            None => ([true; 7], text),
        };
        let (from, to) = hours.split_once('-').ok_or(NoSpan)?;
        let (from, to) = (read_minutes(from)?, read_minutes(to)?);
        if from == to || from >= DAY {
            return Err(NoSpan);
        }
        Ok(Self {
            text: text.to_owned(),
            days,
            from,
            to,
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Reads `Mon-Fri`, `Sat,Sun`, `Mon, Wed-Fri`; `Fri-Mon` goes over the weekend.
fn read_days(text: &str) -> Result<[bool; 7], NoSpan> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (read_day(first)?, read_day(last)?);
        let mut day = first;
        loop {
            days[day] = true;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Ok(days)
}

fn read_day(text: &str) -> Result<usize, NoSpan> {
    let text = text.trim().to_lowercase();
    let day = DAYS.iter().position(|day| *day == text);
    day.ok_or(NoSpan)
}

/// Reads `08:00`, up to `24:00`.
fn read_minutes(text: &str) -> Result<u16, NoSpan> {
    let (hour, minute) = text.trim().split_once(':').ok_or(NoSpan)?;
    let is_number = |text: &str| text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return Err(NoSpan);
    }
    let hour: u16 = hour.parse().map_err(|_| NoSpan)?;
    let minute: u16 = minute.parse().map_err(|_| NoSpan)?;
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY)
        .then_some(minutes)
        .ok_or(NoSpan)
}

fn minute_of(time: Time) -> u16 {
    let minutes = i16::from(time.hour()) * 60 + i16::from(time.minute());
    minutes.unsigned_abs()
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_when_a_route_speaks_again() {
        // In Shanghai; 2026-11-25 is a Wednesday.
        let cases: [(&[&str], &str, Option<&str>); 16] = [
            (&[], "2026-11-25 03:00", None),
            (&["Mon-Fri 08:00-22:00"], "2026-11-25 08:00", None),
            (&["Mon-Fri 08:00-22:00"], "2026-11-25 21:59", None),
            (
                &["Mon-Fri 08:00-22:00"],
                "2026-11-25 22:00",
                Some("2026-11-26 08:00"),
            ),
            (
                &["Mon-Fri 08:00-22:00"],
                "2026-11-25 03:00",
                Some("2026-11-25 08:00"),
            ),
            (
                &["Mon-Fri 08:00-22:00"],
                "2026-11-27 22:30",
                Some("2026-11-30 08:00"),
            ),
            (
                &["Mon-Fri 08:00-22:00", "Sat 10:00-12:00"],
                "2026-11-27 22:30",
                Some("2026-11-28 10:00"),
            ),
            (&["22:00-06:00"], "2026-11-25 23:00", None),
            (&["22:00-06:00"], "2026-11-25 05:59", None),
            (
                &["22:00-06:00"],
                "2026-11-25 06:00",
                Some("2026-11-25 22:00"),
            ),
            (&["Fri 22:00-06:00"], "2026-11-28 05:00", None),
            (
                &["Fri 22:00-06:00"],
                "2026-11-27 05:00",
                Some("2026-11-27 22:00"),
            ),
            (&["Mon-Sun 00:00-24:00"], "2026-11-25 23:59", None),
            (
                &["sat-mon 09:00-10:00"],
                "2026-11-24 12:00",
                Some("2026-11-28 09:00"),
            ),
            (
                &["Wed 08:00-09:00"],
                "2026-11-25 09:00",
                Some("2026-12-02 08:00"),
            ),
            (&["Mon, Wed 9:30-10:00"], "2026-11-25 09:30", None),
        ];

        for (spans, now, expected) in cases {
            let opens = active(spans, "Asia/Shanghai").opens_at(moment(now, "Asia/Shanghai"));

            let expected = expected.map(|at| moment(at, "Asia/Shanghai"));
            assert_eq!(opens, expected, "{spans:?} at {now}");
        }
    }

    #[test]
    fn follows_the_clock_through_the_changes_of_summer_time() {
        let zone = "Europe/Berlin";
        let active = active(&["02:30-04:00"], zone);

        // On 2026-03-29 the clock jumps from 02:00 to 03:00.
        let opens = active.opens_at(moment("2026-03-29 01:59", zone));

        assert_eq!(opens, Some(moment("2026-03-29 03:30", zone)));
        assert_eq!(active.opens_at(moment("2026-03-29 03:10", zone)), None);
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in [
            "",
            "Mon",
            "08:00",
            "08:00-08:00",
            "24:00-02:00",
            "Mon-Foo 08:00-09:00",
            "8-9",
            "25:00-26:00",
            "08:60-09:00",
            "-1:00-02:00",
            "Mon 08:00 - 22:00",
        ] {
            assert_eq!(text.parse::<Span>(), Err(NoSpan), "{text:?}");
        }
    }

    #[test]
    fn a_clock_beyond_the_calendar_silences_nobody() {
        let far = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 50);

        assert_eq!(active(&["Mon 08:00-09:00"], "UTC").opens_at(far), None);
    }

    fn active(spans: &[&str], zone: &str) -> Active {
        Active {
            spans: spans.iter().map(|span| span.parse().unwrap()).collect(),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn moment(text: &str, zone: &str) -> SystemTime {
        let time = format!("{text}:00")
            .parse::<jiff::civil::DateTime>()
            .unwrap();
        let zoned = time
            .to_zoned_datetime(TimeZone::get(zone).unwrap())
            .unwrap();
        SystemTime::try_from(zoned.timestamp()).unwrap()
    }
}

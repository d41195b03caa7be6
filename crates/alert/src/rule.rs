//! When to speak about an issue: the timers of one route.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use state::{RouteKey, Watch, Window};

use crate::active::Active;

/// When to speak about an issue, and when again.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// How long to be silent after a word about an issue.
    pub repeat: Duration,
    /// By what the silence grows each time it runs out; at least 1.
    pub repeat_factor: f64,
    /// The longest silence.
    pub repeat_max: Duration,
    /// What must have happened before the first word.
    pub threshold: Threshold,
    /// What breaks the silence, once until it runs out; `None` is nothing.
    pub burst: Option<Window>,
    /// How long an issue must have been quiet for its next event to break the silence.
    pub regression_after: Duration,
    /// Whether a release in which a known issue was not seen yet breaks the silence.
    pub new_release: bool,
    /// How long an issue must be quiet for a word that it has stopped; `None` is no such word.
    pub quiet_after: Option<Duration>,
    /// How long what exceeds a robot's budget is gathered.
    pub digest: Duration,
    /// When the route speaks.
    pub active: Active,
}

/// So many events or users within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// How many, within how long.
    pub window: Window,
    /// Of what.
    pub of: Counted,
}

/// What a threshold counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Events.
    Events,
    /// Distinct users.
    Users,
}

impl Rule {
    /// Returns what must be counted on a route that obeys this rule.
    pub fn watch(&self, route: RouteKey) -> Watch {
        // The first event always reaches a threshold of one.
        let threshold = Some(self.threshold.window).filter(|_| !self.threshold.is_trivial());
        let of = |counted| threshold.filter(|_| self.threshold.of == counted);
        Watch {
            route,
            events: of(Counted::Events),
            users: of(Counted::Users),
            burst: self.burst,
        }
    }

    /// Returns the silence that follows a silence that has run out.
    pub fn next_silence(&self, silence: Duration) -> Duration {
        let grown = Duration::try_from_secs_f64(silence.as_secs_f64() * self.repeat_factor);
        let longest = self.repeat_max.max(self.repeat);
        grown.unwrap_or(longest).clamp(self.repeat, longest)
    }
}

impl Threshold {
    /// Returns whether the first event reaches it.
    pub fn is_trivial(&self) -> bool {
        self.window.count <= 1 && self.of == Counted::Events
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            repeat: Duration::from_secs(60 * 60),
            repeat_factor: 2.0,
            repeat_max: Duration::from_secs(24 * 60 * 60),
            threshold: Threshold {
                window: in_a_minute(1),
                of: Counted::Events,
            },
            burst: Some(in_a_minute(100)),
            regression_after: Duration::from_secs(7 * 24 * 60 * 60),
            new_release: true,
            quiet_after: None,
            digest: Duration::from_secs(5 * 60),
            active: Active::default(),
        }
    }
}

/// `5 users in 1h`.
impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = match self.of {
            Counted::Events => "",
            Counted::Users => " users",
        };
        let Window { count, within } = self.window;
        write!(formatter, "{count}{users} in {}", short(within))
    }
}

/// Returns a duration as the configuration writes it: `1h30m`, `90s` as `1m30s`, `500ms`.
pub fn short(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Reads what [`short`] writes: a sum of numbers with units `ms`, `s`, `m`, `h`, `d`; `0` needs no unit. Each at most 100
/// years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|character: char| character.is_ascii_digit())
            .map_or(rest.len(), |offset| digits + offset);
        let milliseconds = match rest[digits..unit_end].trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60 * 1_000,
            "h" => 60 * 60 * 1_000,
            "d" => 24 * 60 * 60 * 1_000,
            _ => return None,
        };
        let part = number
            .checked_mul(milliseconds)
            .filter(|part| *part <= LONGEST)?;
        total = total.checked_add(Duration::from_millis(part))?;
        rest = &rest[unit_end..];
    }
    (!text.trim().is_empty()).then_some(total)
}

fn in_a_minute(count: u16) -> Window {
    let within = Duration::from_secs(60);
    Window { count, within }
}

/// The longest duration one number may give, in milliseconds: 100 years. Longer ones overflow clocks.
const LONGEST: u64 = 100 * 366 * 24 * 60 * 60 * 1_000;

/// Milliseconds of each unit.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_grows_to_its_longest() {
        let rule = Rule::default();
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);

        let mut silence = rule.repeat;
        let grown: Vec<u64> = (0..6)
            .map(|_| {
                silence = rule.next_silence(silence);
                silence.as_secs() / 3_600
            })
            .collect();

        assert_eq!(grown, [2, 4, 8, 16, 24, 24]);
        let steady = Rule {
            repeat_factor: 1.0,
            ..rule.clone()
        };
        assert_eq!(steady.next_silence(hours(1)), hours(1));
        let wild = Rule {
            repeat_factor: 1e300,
            ..rule.clone()
        };
        assert_eq!(wild.next_silence(hours(1)), hours(24));
        let shortened = Rule {
            repeat: hours(2),
            repeat_max: hours(1),
            ..rule
        };
        assert_eq!(shortened.next_silence(hours(9)), hours(2));
    }

    #[test]
    fn writes_durations_as_the_configuration_does() {
        let cases = [
            (0, "0s"),
            (500, "500ms"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (86_400_000 * 7, "7d"),
        ];

        for (millis, expected) in cases {
            assert_eq!(short(Duration::from_millis(millis)), expected);
            assert_eq!(
                parse_duration(expected),
                Some(Duration::from_millis(millis))
            );
        }
    }

    #[test]
    fn reads_durations() {
        let cases = [
            ("90s", Some(90_000)),
            ("500ms", Some(500)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("5x", None),
            ("-5s", None),
            ("1.5h", None),
            ("99999999999999999999s", None),
            ("9999999999999d", None),
        ];

        for (text, expected) in cases {
            assert_eq!(
                parse_duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}

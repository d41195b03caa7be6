//! Readers of single values of a route: thresholds, bursts, spans of hours, moments.

use std::time::{Duration, SystemTime};

use ::alert::active::Span;
use ::alert::{Counted, Threshold};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use state::Window;

use super::alerting::timezone;
use super::problem::Wrong;
use super::tree::{Node, Value};
use super::units::{duration, text};
use super::values::positive;

pub(super) fn factor(node: &Node) -> Result<f64, Wrong> {
    let number = match &node.value {
        #[expect(clippy::cast_precision_loss, reason = "nobody writes a factor of 2^53")]
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Boolean(_) | Value::List(_) | Value::Table(_) => None,
    };
    let number = number.filter(|number| (1.0..=1_000.0).contains(number));
    number.ok_or_else(|| {
        Wrong::new(
            "expected a number from 1 to 1000",
            "such as 2.0; 1 = no growth",
        )
    })
}

/// Reads `10 in 1m` or `5 users in 1h`.
pub(super) fn threshold(node: &Node) -> Result<Threshold, Wrong> {
    let written = text(node)?;
    let hint = "such as \"1 in 1m\", \"10 in 5m\", \"5 users in 1h\"";
    let wrong = || Wrong::new(format!("`{written}` is no threshold"), hint);
    let (count, within) = written.split_once(" in ").ok_or_else(wrong)?;
    let count = count.trim();
    let (count, of) = match count.split_once(char::is_whitespace) {
        None => (count, Counted::Events),
        Some((count, "user" | "users")) => (count, Counted::Users),
        Some((count, "event" | "events")) => (count, Counted::Events),
        Some(_) => return Err(wrong()),
    };
    let window = window(count, within, node)?.ok_or_else(wrong)?;
    Ok(Threshold { window, of })
}

/// Reads `100 in 1m`; nothing is off.
pub(super) fn burst(node: &Node) -> Result<Option<Window>, Wrong> {
    let written = text(node)?;
    if written.is_empty() {
        return Ok(None);
    }
    let hint = "such as \"100 in 1m\"; \"\" = off";
    let wrong = || Wrong::new(format!("`{written}` is no burst"), hint);
    let (count, within) = written.split_once(" in ").ok_or_else(wrong)?;
    let window = window(count.trim(), within, node)?.ok_or_else(wrong)?;
    if window.count < 2 {
        let what = format!("`{written}` would be a burst of every event");
        return Err(Wrong::new(what, hint));
    }
    Ok(Some(window))
}

/// `None` when the count is no number.
fn window(count: &str, within: &str, node: &Node) -> Result<Option<Window>, Wrong> {
    if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(None);
    }
    // However large: it is a number.
    let counted = count.parse().ok();
    let Some(count) = counted.filter(|count| (1..=Window::MOST).contains(count)) else {
        let most = Window::MOST;
        let what = format!("`{count}` is out of range: at most {most} are counted within a window");
        return Err(Wrong::new(what, format!("from 1 to {most}")));
    };
    let within = duration(&Node {
        value: Value::Text(within.trim().to_owned()),
        origin: node.origin.clone(),
    })?;
    if within.is_zero() || within > LONGEST_WINDOW {
        let hint = "a window lasts from 1ms to 7d";
        return Err(Wrong::new("the window is too short or too long", hint));
    }
    Ok(Some(Window { count, within }))
}

pub(super) fn optional_duration(node: &Node) -> Result<Option<Duration>, Wrong> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(_)
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => positive(node).map(Some),
    }
}

pub(super) fn span(node: &Node) -> Result<Span, Wrong> {
    let written = text(node)?;
    let hint = "such as \"Mon-Fri 08:00-22:00\", \"Sat,Sun 10:00-16:00\", \"22:00-06:00\"";
    let span = written.parse();
    span.map_err(|_| Wrong::new(format!("`{written}` is no span of hours"), hint))
}

pub(super) fn timezone_or_robots(node: &Node) -> Result<Option<TimeZone>, Wrong> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(_)
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => timezone(node).map(Some),
    }
}

/// Reads `2026-12-31`, `2026-12-31 18:00` or RFC 3339; nothing is never. Without an offset it is the clock of the zone.
pub(super) fn moment(node: &Node, zone: &TimeZone) -> Result<Option<SystemTime>, Wrong> {
    let written = text(node)?;
    if written.is_empty() {
        return Ok(None);
    }
    let local = |time: DateTime| time.to_zoned_datetime(zone.clone()).ok();
    let moment = written.parse::<Timestamp>().ok().or_else(|| {
        let time = written.parse::<DateTime>();
        let time = time.or_else(|_| written.parse::<Date>().map(DateTime::from));
        Some(local(time.ok()?)?.timestamp())
    });
    let moment = moment.and_then(|moment| SystemTime::try_from(moment).ok());
    let hint =
        "such as \"2026-12-31\", \"2026-12-31 18:00:00\", \"2026-12-31T18:00:00Z\"; \"\" = never";
    let wrong = || Wrong::new(format!("`{written}` is no moment"), hint);
    moment.ok_or_else(wrong).map(Some)
}

/// The longest window whose events are kept apart.
const LONGEST_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

//! Small charts as SVG: bars and lines over one hour, without scripts and styles of their own.
//!
//! Colours and strokes come from the page's style sheet by class, so that they follow light and dark.

use std::fmt::Write;

use crate::history::Minute;

/// Returns bars of requests a minute, parted by what became of them; parts are told apart by pattern as well.
pub(crate) fn requests(hour: &[Minute]) -> String {
    let most = hour.iter().map(|minute| minute.span.requests()).max();
    let most = most.unwrap_or_default().max(1) as f64;
    let mut svg = String::new();
    for (at, minute) in hour.iter().enumerate() {
        let span = &minute.span;
        let parts = [
            ("answered", span.answered),
            ("refused", span.refused),
            ("spooled", span.spooled),
            ("lost", span.lost),
        ];
        let mut top = HEIGHT;
        for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            let height = (count as f64 / most * ROOM).max(0.8);
            top -= height;
            let x = at as f64 * STEP;
            // A text takes everything that is written to it.
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{x}" y="{top:.1}" width="3.4" height="{height:.1}"/>"#
            );
        }
    }
    svg
}

/// Returns lines of the median and of the slow answers, and the longest time shown.
pub(crate) fn latency(hour: &[Minute]) -> String {
    let most = hour.iter().filter_map(|minute| minute.slow).max();
    let most = most.map_or(1.0, |most| most.as_secs_f64()).max(1e-6);
    let line = |class: &str, value: fn(&Minute) -> Option<std::time::Duration>| {
        let points = hour.iter().enumerate().map(|(at, minute)| {
            let value = value(minute)?.as_secs_f64();
            Some((at as f64 * STEP + STEP / 2.0, HEIGHT - value / most * ROOM))
        });
        polylines(class, points)
    };
    line("slow", |minute| minute.slow) + &line("median", |minute| minute.median)
}

/// Returns bars of events a minute.
pub(crate) fn sparkline(minutes: &[u16]) -> String {
    let most = f64::from(minutes.iter().copied().max().unwrap_or_default().max(1));
    let mut svg = String::new();
    for (at, count) in minutes.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (f64::from(*count) / most * 16.0).max(1.5);
        let (x, top) = (at * 2, 16.0 - height);
        let _ = write!(
            svg,
            r#"<rect x="{x}" y="{top:.1}" width="1.7" height="{height:.1}"/>"#
        );
    }
    svg
}

/// Draws a line through points, broken where one is missing; a point alone is a dot.
fn polylines(class: &str, points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut svg = String::new();
    let mut run: Vec<String> = Vec::new();
    for point in points.chain([None]) {
        match (point, &run[..]) {
            (Some((x, y)), _) => run.push(format!("{x:.0},{y:.1}")),
            (None, []) => {}
            (None, [dot]) => {
                let (x, y) = dot.split_once(',').unwrap_or_default();
                let _ = write!(
                    svg,
                    r#"<circle class="{class}" cx="{x}" cy="{y}" r="1.2"/>"#
                );
                run.clear();
            }
            (None, _) => {
                let _ = write!(
                    svg,
                    r#"<polyline class="{class}" points="{}"/>"#,
                    run.join(" ")
                );
                run.clear();
            }
        }
    }
    svg
}

/// Width of one minute; the chart is 240 wide.
const STEP: f64 = 4.0;
const HEIGHT: f64 = 60.0;
/// What the tallest bar takes.
const ROOM: f64 = 56.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bars_are_parted_and_lines_broken_where_nothing_was() {
        let minute = |answered, spooled, slow: Option<u64>| {
            let mut minute = Minute::default();
            (minute.span.answered, minute.span.spooled) = (answered, spooled);
            minute.slow = slow.map(Duration::from_millis);
            minute
        };
        let hour = [
            minute(28, 28, Some(10)),
            minute(0, 0, None),
            minute(1, 0, Some(20)),
            minute(0, 0, Some(20)),
        ];

        assert_eq!(
            requests(&hour),
            r#"<rect class="answered" x="0" y="32.0" width="3.4" height="28.0"/><rect class="spooled" x="0" y="4.0" width="3.4" height="28.0"/><rect class="answered" x="8" y="59.0" width="3.4" height="1.0"/>"#
        );
        assert_eq!(
            latency(&hour),
            r#"<circle class="slow" cx="2" cy="32.0" r="1.2"/><polyline class="slow" points="10,4.0 14,4.0"/>"#
        );
        assert_eq!(
            sparkline(&[0, 2, 1]),
            r#"<rect x="2" y="0.0" width="1.7" height="16.0"/><rect x="4" y="8.0" width="1.7" height="8.0"/>"#
        );
    }
}

//! The card that stands for many alerts: the most urgent ones in a line each, the others counted.

use std::time::SystemTime;

use alert::{Alert, Digest, Reason};

use super::issue::{environment, project};
use super::{Card, Link, Part, Row, Shape, Span, clock, dotted, notice};
use crate::config::RobotConfig;
use crate::markdown::line;
use crate::mask::mask;
use crate::words;

/// Returns the card of a digest.
pub(super) fn card(digest: &Digest, robot: &RobotConfig, now: SystemTime) -> Card {
    let mut rows = vec![heading(digest, robot)];
    rows.extend(digest.notices.iter().map(|own| notice::item(own, robot)));
    rows.extend(digest.alerts.iter().map(|alert| item(alert, robot)));
    rows.extend(others(digest, robot));
    rows.push(span_of_time(digest, robot, now));
    Card {
        title: title(digest, robot),
        rows,
        links: status_page(digest, robot),
        footer: Vec::new(),
        may_mention_all: false,
        left_out: Vec::new(),
    }
}

/// Returns the card of a digest with none of the events' own words and without links.
pub(super) fn reduced_card(digest: &Digest, robot: &RobotConfig, now: SystemTime) -> Card {
    let hint = [Span::ours(robot.language.words().see_sentry)];
    Card {
        title: title(digest, robot),
        rows: vec![
            heading(digest, robot),
            Row::new(Part::Summary, Shape::Paragraph, hint),
            span_of_time(digest, robot, now),
        ],
        links: Vec::new(),
        footer: Vec::new(),
        may_mention_all: false,
        left_out: Vec::new(),
    }
}

/// `5 分钟内 214 次错误, 9 个问题`
fn title(digest: &Digest, robot: &RobotConfig) -> String {
    let lasted = digest.until.duration_since(digest.since);
    let alerts = digest.alerts_total + digest.missed;
    let lasted = lasted.unwrap_or_default();
    robot.language.digest(digest.events, alerts, lasted)
}

fn heading(digest: &Digest, robot: &RobotConfig) -> Row {
    let heading = Span::ours(format!("⚠️ {}", title(digest, robot)));
    Row::new(Part::Heading, Shape::Heading, [heading])
}

/// `- 🟠 ×120 · shop-api · 🔴 生产 · ZeroDivisionError: division by zero · 🆕 首次出现 · [查看事件](…)`
fn item(alert: &Alert, robot: &RobotConfig) -> Row {
    let subject = &alert.subject;
    let mark = match alert.reason {
        Reason::Stopped => "✅",
        Reason::FirstSeen
        | Reason::Threshold
        | Reason::Burst
        | Reason::StillHappening
        | Reason::Regression
        | Reason::NewRelease => words::mark(subject.level),
    };
    let times = match alert.counts.events_since_said {
        0 => String::new(),
        events => format!(" ×{events}"),
    };
    let named = subject.environment.as_deref();
    let environment = named.map(|name| environment(name, robot));
    let link = alert.links.event.clone().map(|address| {
        let label = robot.language.words().open_event;
        vec![Span::Link(Link { label, address })]
    });
    let spans = dotted([
        vec![Span::ours(format!("{mark}{times}"))],
        vec![Span::theirs(project(subject, robot))],
        environment.unwrap_or_default(),
        vec![Span::theirs(line(&mask(&subject.title), TITLE))],
        vec![Span::ours(robot.language.reason(alert))],
        link.unwrap_or_default(),
    ]);
    Row::new(Part::Summary, Shape::Item, spans)
}

/// `另有 3 个问题`
fn others(digest: &Digest, robot: &RobotConfig) -> Option<Row> {
    let others = digest.others();
    let text = Span::ours(robot.language.and_more(others));
    (others > 0).then(|| Row::new(Part::Counts, Shape::Paragraph, [Span::strong(text)]))
}

/// `10:02:11 – 10:07:00`
fn span_of_time(digest: &Digest, robot: &RobotConfig, now: SystemTime) -> Row {
    let clock = |moment| clock::short(moment, now, &robot.timezone);
    let text = format!("{} – {}", clock(digest.since), clock(digest.until));
    Row::new(Part::Counts, Shape::Paragraph, [Span::ours(text)])
}

fn status_page(digest: &Digest, robot: &RobotConfig) -> Vec<Link> {
    let label = robot.language.words().status_page;
    let link = digest.status_url.clone();
    link.map(|address| Link { label, address })
        .into_iter()
        .collect()
}

/// Characters shown of an issue's title.
const TITLE: usize = 80;

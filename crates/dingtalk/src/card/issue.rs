//! The card of one issue: what happened, where, to whom, how often, and where to look.

mod crash;
pub(crate) mod details;

use std::time::{Duration, SystemTime};

use alert::{Alert, Reason, Subject};

use super::{Card, Link, Part, Row, SEPARATOR, Shape, Span, clock, dotted, theirs};
use crate::config::RobotConfig;
use crate::links::in_language;
use crate::markdown::line;
use crate::mask::mask;
use crate::words;

/// Returns the card of an alert.
pub(super) fn card(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> Card {
    let subject = &alert.subject;
    let mut rows = vec![heading(alert), summary(alert, robot)];
    rows.extend(crash::rows(subject, robot));
    rows.extend(details::rows(subject, robot));
    rows.push(counts(alert, robot, now));
    Card {
        title: title(subject, robot),
        rows,
        links: links(alert, robot),
        footer: footer(alert, robot),
        may_mention_all: true,
        left_out: Vec::new(),
        written: None,
        has_failed_template: false,
    }
}

/// Returns the card of an alert with none of the event's own sentences and without links.
pub(super) fn reduced_card(alert: &Alert, robot: &RobotConfig) -> Card {
    let (subject, words) = (&alert.subject, robot.language.words());
    let kind = subject
        .exception_type
        .as_deref()
        .unwrap_or(subject.kind.as_str());
    let mark = words::mark(subject.level);
    let heading = [
        Span::ours(format!("{mark} ")),
        Span::theirs(line(kind, NAME)),
    ];
    let hint = Row::new(
        Part::Summary,
        Shape::Paragraph,
        [Span::ours(words.see_sentry)],
    );
    Card {
        title: format!("{} · {}", project(subject, robot), line(kind, NAME)),
        rows: vec![
            Row::new(Part::Heading, Shape::Heading, heading),
            summary(alert, robot),
            hint,
        ],
        links: Vec::new(),
        footer: footer(alert, robot),
        may_mention_all: true,
        left_out: Vec::new(),
        written: None,
        has_failed_template: false,
    }
}

/// `[生产] shop-api · ZeroDivisionError: division by zero`
fn title(subject: &Subject, robot: &RobotConfig) -> String {
    let environment = subject.environment.as_deref().map(|name| {
        let known = robot
            .language
            .environment(name)
            .map(|(_, word)| word.to_owned());
        format!("[{}] ", known.unwrap_or_else(|| line(name, SHORT_NAME)))
    });
    let project = line(&project(subject, robot), SHORT_NAME);
    format!(
        "{}{project} · {}",
        environment.unwrap_or_default(),
        line(&mask(&subject.title), TITLE)
    )
}

/// `### 🟠 ZeroDivisionError: division by zero`
fn heading(alert: &Alert) -> Row {
    let mark = mark(alert);
    let title = line(&mask(&alert.subject.title), TITLE);
    Row::new(
        Part::Heading,
        Shape::Heading,
        [Span::ours(format!("{mark} ")), Span::theirs(title)],
    )
}

/// Returns the mark of the level, or of what is over.
pub(crate) fn mark(alert: &Alert) -> &'static str {
    match alert.reason {
        Reason::Stopped => "✅",
        Reason::FirstSeen
        | Reason::Threshold
        | Reason::Burst
        | Reason::StillHappening
        | Reason::Regression
        | Reason::NewRelease
        | Reason::MuteEnded => words::mark(alert.subject.level),
    }
}

/// `**shop-api** · 🔴 生产 (production) · error · 未处理 · 🆕 首次出现`
fn summary(alert: &Alert, robot: &RobotConfig) -> Row {
    let (subject, words) = (&alert.subject, robot.language.words());
    let project = Span::strong(Span::theirs(project(subject, robot)));
    let handled = subject.handled.map(|handled| match handled {
        true => words.handled,
        false => words.unhandled,
    });
    let environment = subject
        .environment
        .as_deref()
        .map(|name| environment(name, robot));
    let spans = dotted([
        vec![project],
        environment.unwrap_or_default(),
        vec![Span::ours(subject.level.as_str())],
        handled.map(Span::ours).into_iter().collect(),
        vec![Span::ours(robot.language.reason(alert))],
    ]);
    Row::new(Part::Summary, Shape::Paragraph, spans)
}

pub(crate) fn project(subject: &Subject, robot: &RobotConfig) -> String {
    let name = subject.project_name.as_deref().map(|name| line(name, NAME));
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{} {}", robot.language.words().project, subject.project))
}

/// A known environment gets its mark and its word; the name as sent always stays readable.
pub(super) fn environment(name: &str, robot: &RobotConfig) -> Vec<Span> {
    let name = line(name, NAME);
    match robot.language.environment(&name) {
        Some((mark, word)) if word == name => vec![Span::ours(format!("{mark} {word}"))],
        Some((mark, word)) => vec![
            Span::ours(format!("{mark} {word} (")),
            Span::theirs(name),
            Span::ours(")"),
        ],
        None => theirs(Some(&name), NAME),
    }
}

/// `**37 次 / 4 分钟 47 秒 · 影响 12 人** · 首次 10:02:11 · 最近 10:06:58`
fn counts(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> Row {
    let (counts, words) = (&alert.counts, robot.language.words());
    let clock = |moment| clock::short(moment, now, &robot.timezone);
    let rest = match counts.events {
        0 | 1 => format!(" · {}", clock(counts.last_seen)),
        _ => format!(
            " · {} {} · {} {} · {}",
            words.first,
            clock(counts.first_seen),
            words.latest,
            clock(counts.last_seen),
            words.counted_here,
        ),
    };
    let spans = [
        Span::strong(Span::ours(how_often(alert, robot, now))),
        Span::ours(rest),
    ];
    Row::new(Part::Counts, Shape::Paragraph, spans)
}

/// `37 次 / 4 分钟 47 秒 · 影响 12 人`, or after a first message `自上次通知（09:06:58）以来 36 次 · 共 512 次 · 影响 12 人`
pub(crate) fn how_often(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> String {
    let (counts, language) = (&alert.counts, robot.language);
    let lasted = counts.last_seen.duration_since(counts.first_seen);
    let lasted = lasted.unwrap_or_default();
    let mut facts = match counts.last_said {
        Some(said) if counts.events_since_said > 0 => vec![
            language.times_since(
                counts.events_since_said,
                &clock::short(said, now, &robot.timezone),
            ),
            language.times_in_all(counts.events),
        ],
        Some(_) => vec![language.times_in_all(counts.events)],
        None if counts.events > 1 && lasted >= SHORTEST_SPAN => {
            vec![language.times_within(counts.events, lasted)]
        }
        None => vec![language.times(counts.events)],
    };
    if counts.users > 0 {
        facts.push(language.users(counts.users, counts.are_users_exact));
    }
    facts.join(SEPARATOR)
}

/// Where to look further, and how to be left in peace; nobody mutes what has stopped.
fn links(alert: &Alert, robot: &RobotConfig) -> Vec<Link> {
    let (language, words) = (robot.language, robot.language.words());
    let known = [
        (words.open_event, &alert.links.event),
        (words.open_similar, &alert.links.similar),
    ];
    let links = known.into_iter().filter_map(|(label, address)| {
        let (label, address) = (label.into(), address.clone()?);
        Some(Link { label, address })
    });
    let mutes = alert.links.mutes.iter();
    let mutes = mutes.filter(|_| alert.reason != Reason::Stopped);
    let mutes = mutes.map(|(lasts, address)| Link {
        label: language.mute_for(*lasts).into(),
        address: in_language(address, language),
    });
    links.chain(mutes).collect()
}

/// `规则 prod / errors · 事件 9f3c2d1a`
fn footer(alert: &Alert, robot: &RobotConfig) -> Vec<Span> {
    let words = robot.language.words();
    let rule = theirs(Some(&alert.route.join(" / ")), ROUTE);
    let rule = rule
        .into_iter()
        .flat_map(|rule| [Span::ours(format!("{} ", words.rule)), rule]);
    let id = alert.subject.event_id.map(|id| {
        let short: String = id.to_string().chars().take(EVENT_ID).collect();
        Span::ours(format!("{} {short}", words.event))
    });
    dotted([rule.collect(), id.into_iter().collect()])
}

// Characters shown of each text.
const TITLE: usize = 256;
const NAME: usize = 64;
const SHORT_NAME: usize = 24;
const ROUTE: usize = 80;
const EVENT_ID: usize = 8;

/// `3 次 / 1 秒` would say less than `3 次`.
const SHORTEST_SPAN: Duration = Duration::from_secs(2);

//! The card of one issue: what happened, where, to whom, how often, and where to look.

use std::time::SystemTime;

use alert::{Alert, Cause, Counts, Location, Person, Reason, Subject};

use super::{Card, Link, Part, Row, Shape, Span, clock, dotted};
use crate::config::RobotConfig;
use crate::markdown::{line, line_end};
use crate::mask::{mask, mask_name};
use crate::words;

/// Returns the card of an alert.
pub(super) fn card(alert: &Alert, robot: &RobotConfig, now: SystemTime) -> Card {
    let subject = &alert.subject;
    let mut rows = vec![heading(subject), summary(alert, robot)];
    rows.extend(value(subject));
    rows.extend(location(subject, robot));
    rows.extend(
        subject
            .causes
            .iter()
            .take(CAUSES)
            .filter_map(|cause| caused_by(cause, robot)),
    );
    rows.extend(details(subject, robot));
    rows.push(counts(&alert.counts, alert.reason, robot, now));
    Card {
        title: title(subject, robot),
        rows,
        links: links(alert, robot),
        footer: footer(alert, robot),
        may_mention_all: true,
        left_out: Vec::new(),
    }
}

/// Returns the card of an alert with none of the event's own sentences and without links.
pub(super) fn reduced_card(alert: &Alert, robot: &RobotConfig) -> Card {
    let (subject, words) = (&alert.subject, robot.language.words());
    let kind = subject
        .exception_type
        .as_deref()
        .unwrap_or(subject.kind.as_str());
    let mark = words::mark(subject.level.as_str());
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
fn heading(subject: &Subject) -> Row {
    let mark = words::mark(subject.level.as_str());
    let title = line(&mask(&subject.title), TITLE);
    Row::new(
        Part::Heading,
        Shape::Heading,
        [Span::ours(format!("{mark} ")), Span::theirs(title)],
    )
}

/// `**shop-api** · 🔴 生产 (production) · error · 未处理 · 🆕 首次出现`
fn summary(alert: &Alert, robot: &RobotConfig) -> Row {
    let (subject, words) = (&alert.subject, robot.language.words());
    let project = Span::strong(Span::theirs(project(subject, robot)));
    let handled = subject.handled.map(|handled| {
        if handled {
            words.handled
        } else {
            words.unhandled
        }
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
        vec![Span::ours(robot.language.reason(alert.reason))],
    ]);
    Row::new(Part::Summary, Shape::Paragraph, spans)
}

fn project(subject: &Subject, robot: &RobotConfig) -> String {
    match &subject.project_name {
        Some(name) => line(name, NAME),
        None => format!("{} {}", robot.language.words().project, subject.project),
    }
}

/// A known environment gets its mark and its word; the name as sent always stays readable.
fn environment(name: &str, robot: &RobotConfig) -> Vec<Span> {
    let name = line(name, NAME);
    match robot.language.environment(&name) {
        Some((mark, word)) if word == name => vec![Span::ours(format!("{mark} {word}"))],
        Some((mark, word)) => vec![
            Span::ours(format!("{mark} {word} (")),
            Span::theirs(name),
            Span::ours(")"),
        ],
        None => vec![Span::theirs(name)],
    }
}

/// The exception's words, when the title does not hold all of them.
fn value(subject: &Subject) -> Vec<Row> {
    let Some(value) = subject.value.as_deref() else {
        return Vec::new();
    };
    let value = mask(value);
    let lines: Vec<String> = value
        .lines()
        .map(|text| line(text, VALUE))
        .filter(|text| !text.is_empty())
        .collect();
    let is_in_title = match lines.as_slice() {
        [] => true,
        [only] => line(&mask(&subject.title), TITLE).contains(only.as_str()),
        _ => false,
    };
    if is_in_title {
        return Vec::new();
    }
    let mut left = VALUE;
    let shown = lines.iter().take(VALUE_LINES).map_while(|text| {
        let shown = (left > 0).then(|| line(text, left))?;
        left = left.saturating_sub(shown.chars().count());
        Some(quote(Part::Value, Span::theirs(shown)))
    });
    let mut rows: Vec<Row> = shown.collect();
    if lines.len() > rows.len() {
        rows.push(quote(Part::Value, Span::ours("…")));
    }
    rows
}

/// `> shop/price.py:42 in unit_price` and `> 42 | return total / count`, or else the culprit.
fn location(subject: &Subject, robot: &RobotConfig) -> Vec<Row> {
    let Some(location) = &subject.location else {
        let culprit = line(&mask(&subject.culprit), CULPRIT);
        let row = (!culprit.is_empty()).then(|| quote(Part::Location, Span::theirs(culprit)));
        return row.into_iter().collect();
    };
    let mut place = vec![Span::theirs(place(location))];
    if let Some(function) = location.function.as_deref() {
        place.extend([Span::ours(" in "), Span::theirs(line(function, FUNCTION))]);
    }
    if subject.is_unsymbolicated {
        place.push(Span::ours(format!(
            " · {}",
            robot.language.words().unsymbolicated
        )));
    }
    let mut rows = vec![Row::new(Part::Location, Shape::Quote, place)];
    rows.extend(source_line(location));
    rows
}

fn place(location: &Location) -> String {
    let path = location.filename.split('?').next().unwrap_or_default();
    let file = line_end(&mask(path), FILE);
    let file = if file.is_empty() {
        "?".to_owned()
    } else {
        file
    };
    match location.line {
        Some(number) => format!("{file}:{number}"),
        None => file,
    }
}

fn source_line(location: &Location) -> Option<Row> {
    let source = line(&mask(location.source_line.as_deref()?), SOURCE);
    let number = location
        .line
        .map(|number| Span::ours(format!("{number} | ")));
    let spans: Vec<Span> = number
        .into_iter()
        .chain([Span::theirs(source.clone())])
        .collect();
    (!source.is_empty()).then(|| Row::new(Part::SourceLine, Shape::Quote, spans))
}

/// `> 由 KeyError: 'price' 引起`
fn caused_by(cause: &Cause, robot: &RobotConfig) -> Option<Row> {
    let words = [cause.ty.as_deref(), cause.value.as_deref()];
    let words: Vec<&str> = words
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    let (before, after) = robot.language.caused_by();
    let spans = [
        Span::ours(before),
        Span::theirs(line(&mask(&words.join(": ")), CAUSE)),
        Span::ours(after),
    ];
    (!words.is_empty()).then(|| Row::new(Part::Causes, Shape::Quote, spans))
}

/// The list of circumstances.
fn details(subject: &Subject, robot: &RobotConfig) -> Vec<Row> {
    let words = robot.language.words();
    let item = |part, label, spans: Vec<Span>| {
        let label = [Span::strong(Span::ours(label)), Span::ours(": ")];
        (!spans.is_empty()).then(|| {
            Row::new(
                part,
                Shape::Item,
                label.into_iter().chain(spans).collect::<Vec<_>>(),
            )
        })
    };
    let request = request(subject);
    let transaction = subject
        .transaction
        .as_deref()
        .filter(|name| !is_said_by(name, &request, subject));
    let (release, host) = match release(subject) {
        spans if spans.is_empty() => (spans, words.host),
        spans => (spans, words.release),
    };
    let logger = subject
        .logger
        .as_deref()
        .filter(|name| subject.exception_type.is_none() && !name.is_empty());
    let rows = [
        item(
            Part::Request,
            words.request,
            theirs(request.as_deref(), REQUEST),
        ),
        item(
            Part::Request,
            words.transaction,
            theirs(transaction.map(mask).as_deref(), REQUEST),
        ),
        item(
            Part::Release,
            host,
            dotted([release, theirs(subject.server_name.as_deref(), NAME)]),
        ),
        item(
            Part::User,
            words.user,
            theirs(subject.user.as_ref().and_then(person).as_deref(), NAME),
        ),
        item(Part::Tags, words.tags, tags(subject)),
        item(
            Part::Logger,
            words.logger,
            theirs(logger.map(mask).as_deref(), NAME),
        ),
    ];
    rows.into_iter().flatten().collect()
}

/// `POST /api/order/settle`: without host and query.
fn request(subject: &Subject) -> Option<String> {
    let url = subject.request_url.as_deref()?;
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let path = match url[..end].split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => &url[..end],
    };
    let words = [subject.request_method.as_deref().unwrap_or_default(), path];
    Some(mask(words.join(" ").trim()))
}

/// Frameworks name a transaction after the route or the view that the card shows already.
fn is_said_by(transaction: &str, request: &Option<String>, subject: &Subject) -> bool {
    let is_in_request = request
        .as_deref()
        .is_some_and(|request| request.ends_with(transaction));
    transaction.is_empty()
        || is_in_request
        || subject.location.is_none() && subject.culprit == transaction
}

/// `shop-api@2.3.1 (1042)`
fn release(subject: &Subject) -> Vec<Span> {
    let mut spans = theirs(subject.release.as_deref(), RELEASE);
    if let Some(dist) = subject.dist.as_deref().filter(|_| !spans.is_empty()) {
        spans.extend([
            Span::ours(" ("),
            Span::theirs(line(dist, SHORT_NAME)),
            Span::ours(")"),
        ]);
    }
    spans
}

/// The first thing that tells who it was, masked.
fn person(user: &Person) -> Option<String> {
    let known = [&user.id, &user.username, &user.email, &user.ip_address];
    let known = known
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty() && text.as_str() != "{{auto}}");
    known.map(|text| mask_name(&line(text, NAME)))
}

/// Tags that help to place an error and hold nothing personal.
fn tags(subject: &Subject) -> Vec<Span> {
    let chosen = subject
        .tags
        .iter()
        .filter(|(key, value)| TAGS.contains(&key.as_str()) && !value.is_empty());
    let pairs = chosen.take(TAGS_SHOWN).map(|(key, value)| {
        let pair = line(&mask(&format!("{key}={value}")), TAG);
        vec![Span::theirs(pair)]
    });
    dotted(pairs)
}

fn theirs(text: Option<&str>, limit: usize) -> Vec<Span> {
    let text = text
        .map(|text| line(text, limit))
        .filter(|text| !text.is_empty());
    text.map(Span::Theirs).into_iter().collect()
}

/// `**共 37 次 · 影响 12 人** · 首次 10:02:11 · 最近 10:06:58`
fn counts(counts: &Counts, reason: Reason, robot: &RobotConfig, now: SystemTime) -> Row {
    let (language, words) = (robot.language, robot.language.words());
    let clock = |moment| clock::short(moment, now, &robot.timezone);
    let users = (counts.users > 0).then(|| language.users(counts.users));
    let mut strong = match (reason, counts.last_said) {
        (Reason::StillHappening, Some(said)) => {
            vec![
                language.times_since(counts.events_since_said, &clock(said)),
                language.times_in_all(counts.events),
            ]
        }
        (Reason::StillHappening | Reason::FirstSeen, _) => vec![language.times(counts.events)],
    };
    strong.extend(users);
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
        Span::strong(Span::ours(strong.join(" · "))),
        Span::ours(rest),
    ];
    Row::new(Part::Counts, Shape::Paragraph, spans)
}

fn links(alert: &Alert, robot: &RobotConfig) -> Vec<Link> {
    let words = robot.language.words();
    let known = [
        (words.open_event, &alert.links.event),
        (words.open_similar, &alert.links.similar),
    ];
    let links = known.into_iter().filter_map(|(label, address)| {
        let address = address.clone()?;
        Some(Link { label, address })
    });
    links.collect()
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

fn quote(part: Part, span: Span) -> Row {
    Row::new(part, Shape::Quote, [span])
}

// Characters shown of each text.
const TITLE: usize = 256;
const VALUE: usize = 300;
const FILE: usize = 160;
const FUNCTION: usize = 120;
const CULPRIT: usize = 200;
const SOURCE: usize = 120;
const CAUSE: usize = 160;
const REQUEST: usize = 160;
const RELEASE: usize = 200;
const NAME: usize = 64;
const SHORT_NAME: usize = 24;
const TAG: usize = 60;
const ROUTE: usize = 80;
const EVENT_ID: usize = 8;

/// Lines shown of a value.
const VALUE_LINES: usize = 3;
/// Causes shown of a chain.
const CAUSES: usize = 2;
/// Tags shown at most.
const TAGS_SHOWN: usize = 6;

/// Tags that are shown: those that say where a program runs and what kind of client it met.
const TAGS: [&str; 21] = [
    "app",
    "browser",
    "browser.name",
    "client_os",
    "cluster",
    "component",
    "device.family",
    "feature",
    "module",
    "namespace",
    "node",
    "os",
    "os.name",
    "pod",
    "region",
    "runtime",
    "runtime.name",
    "service",
    "shard",
    "tenant",
    "zone",
];

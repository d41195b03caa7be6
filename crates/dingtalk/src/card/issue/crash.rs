//! The rows about the crash itself: the exception's words, where it was raised, what caused it.

use alert::{Cause, Location, Subject};

use super::TITLE;
use crate::card::{Part, Row, Shape, Span};
use crate::config::RobotConfig;
use crate::markdown::{line, line_end};
use crate::mask::mask;

pub(super) fn rows(subject: &Subject, robot: &RobotConfig) -> Vec<Row> {
    let causes = subject.causes.iter().take(CAUSES);
    let causes = causes.filter_map(|cause| caused_by(cause, robot));
    let mut rows = value(subject);
    rows.extend(location(subject, robot));
    rows.extend(causes);
    rows
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

/// `> shop/price.py:42 in unit_price` and `> 42 | return total / count`, or else the culprit; and whether to trust it.
fn location(subject: &Subject, robot: &RobotConfig) -> Vec<Row> {
    let mut spans = match &subject.location {
        Some(location) => whereabouts(location),
        None => culprit(subject),
    };
    if subject.is_unsymbolicated {
        let separator = if spans.is_empty() { "" } else { " · " };
        let words = robot.language.words().unsymbolicated;
        spans.push(Span::ours(format!("{separator}{words}")));
    }
    let is_known = !spans.is_empty();
    let row = is_known.then(|| Row::new(Part::Location, Shape::Quote, spans));
    let source = subject.location.as_ref().and_then(source_line);
    row.into_iter().chain(source).collect()
}

fn whereabouts(location: &Location) -> Vec<Span> {
    let mut spans = vec![Span::theirs(place(location))];
    let function = location.function.as_deref();
    let function = function.map(|function| line(function, FUNCTION));
    if let Some(function) = function.filter(|function| !function.is_empty()) {
        spans.extend([Span::ours(" in "), Span::theirs(function)]);
    }
    spans
}

fn culprit(subject: &Subject) -> Vec<Span> {
    let culprit = line(&mask(&subject.culprit), CULPRIT);
    let span = (!culprit.is_empty()).then(|| Span::theirs(culprit));
    span.into_iter().collect()
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

fn quote(part: Part, span: Span) -> Row {
    Row::new(part, Shape::Quote, [span])
}

// Characters shown of each text.
const VALUE: usize = 300;
const FILE: usize = 160;
const FUNCTION: usize = 120;
const CULPRIT: usize = 200;
const SOURCE: usize = 120;
const CAUSE: usize = 160;

/// Lines shown of a value.
const VALUE_LINES: usize = 3;

/// Causes shown of a chain.
const CAUSES: usize = 2;

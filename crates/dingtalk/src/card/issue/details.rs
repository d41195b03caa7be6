//! The list of circumstances: request, release, user, tags, logger.

use alert::{Person, Subject};

use super::{NAME, SHORT_NAME};
use crate::card::{Part, Row, Shape, Span, dotted, theirs};
use crate::config::RobotConfig;
use crate::markdown::line;
use crate::mask::{mask, mask_name};

pub(super) fn rows(subject: &Subject, robot: &RobotConfig) -> Vec<Row> {
    let words = robot.language.words();
    let request = request(subject);
    let transaction = transaction(subject, request.as_deref());
    let (release, host) = (release(subject), theirs(host(subject), NAME));
    let release_label = if release.is_empty() {
        words.host
    } else {
        words.release
    };
    let user = subject.user.as_ref().and_then(person);
    let rows = [
        item(
            Part::Request,
            words.request,
            theirs(request.as_deref(), REQUEST),
        ),
        item(
            Part::Request,
            words.transaction,
            theirs(transaction.as_deref(), REQUEST),
        ),
        item(Part::Release, release_label, dotted([release, host])),
        item(Part::User, words.user, theirs(user.as_deref(), NAME)),
        item(Part::Tags, words.tags, tags(subject)),
        item(
            Part::Logger,
            words.logger,
            theirs(logger(subject).as_deref(), NAME),
        ),
    ];
    rows.into_iter().flatten().collect()
}

/// `- **接口**: POST /api/order/settle`, if there is anything to list.
fn item(part: Part, label: &'static str, spans: Vec<Span>) -> Option<Row> {
    let mut row = vec![Span::strong(Span::ours(label)), Span::ours(": ")];
    let is_empty = spans.is_empty();
    row.extend(spans);
    (!is_empty).then(|| Row::new(part, Shape::Item, row))
}

/// `POST /api/order/settle`: without host and query.
pub(crate) fn request(subject: &Subject) -> Option<String> {
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
fn transaction(subject: &Subject, request: Option<&str>) -> Option<String> {
    let name = mask(subject.transaction.as_deref()?);
    let is_in_request = request.is_some_and(|request| request.ends_with(&name));
    let is_culprit = subject.location.is_none() && subject.culprit == name;
    (!is_in_request && !is_culprit).then_some(name)
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

/// Old SDKs send the host as a tag only.
pub(crate) fn host(subject: &Subject) -> Option<&str> {
    let tag = subject.tags.iter().find(|(key, _)| key == "server_name");
    let tag = tag.map(|(_, value)| value.as_str());
    subject.server_name.as_deref().or(tag)
}

/// The first thing that tells who it was, masked.
pub(crate) fn person(user: &Person) -> Option<String> {
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

/// A message is told apart by its logger; an exception tells more by its type.
fn logger(subject: &Subject) -> Option<String> {
    let logger = subject.logger.as_deref().map(mask);
    logger.filter(|_| subject.exception_type.is_none())
}

// Characters shown of each text.
const REQUEST: usize = 160;
const RELEASE: usize = 200;
const TAG: usize = 60;

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

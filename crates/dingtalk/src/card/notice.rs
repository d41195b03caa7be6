//! The card in which the proxy speaks about itself.

use std::time::SystemTime;

use alert::Notice;

use super::{Card, Part, Row, Shape, Span, clock};
use crate::config::RobotConfig;
use crate::markdown::line;

/// Returns the card of a notice.
pub(super) fn card(notice: &Notice, robot: &RobotConfig, now: SystemTime) -> Card {
    let (head, rest) = robot.language.notice(&notice.kind);
    let mut rows = vec![Row::new(
        Part::Heading,
        Shape::Heading,
        [
            Span::ours(format!("{} ", mark(notice))),
            Span::theirs(line(&head, HEAD)),
        ],
    )];
    rows.extend(rest.iter().map(|text| {
        let text = Span::theirs(line(text, TEXT));
        Row::new(Part::Summary, Shape::Paragraph, [text])
    }));
    let at = clock::short(notice.at, now, &robot.timezone);
    Card {
        title: head,
        rows,
        links: Vec::new(),
        footer: vec![Span::ours(format!("sentry-notice · {at}"))],
        may_mention_all: false,
        left_out: Vec::new(),
    }
}

/// Returns a notice as one line of a digest.
pub(super) fn item(notice: &Notice, robot: &RobotConfig) -> Row {
    let (head, _) = robot.language.notice(&notice.kind);
    let spans = [
        Span::ours(format!("{} ", mark(notice))),
        Span::theirs(line(&head, HEAD)),
    ];
    Row::new(Part::Summary, Shape::Item, spans)
}

fn mark(notice: &Notice) -> &'static str {
    match notice.kind.is_recovery() {
        true => "✅",
        false => "🛑",
    }
}

/// Characters shown of the first line, and of each other.
const HEAD: usize = 200;
const TEXT: usize = 500;

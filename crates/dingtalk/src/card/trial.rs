//! The card that shows that the way to a chat is open.

use std::time::SystemTime;

use super::{Card, Part, Row, Shape, Span, clock};
use crate::config::RobotConfig;
use crate::markdown;

/// Returns the test card. It mentions the people the robot mentions, to show that this works too, but never everyone.
pub(super) fn card(name: &str, at: SystemTime, robot: &RobotConfig) -> Card {
    let words = robot.language.words();
    let name = markdown::line(name, NAME);
    let heading = Span::ours(format!("✅ {}", words.test_title));
    let sender = vec![
        Span::ours(format!("{} ", words.robot)),
        Span::strong(Span::theirs(name.clone())),
        Span::ours(format!(
            " · {} {}",
            words.sent,
            clock::long(at, &robot.timezone)
        )),
    ];
    Card {
        title: format!("{} · {name}", words.test_title),
        rows: vec![
            Row::new(Part::Heading, Shape::Heading, [heading]),
            Row::new(
                Part::Summary,
                Shape::Paragraph,
                [Span::ours(words.test_text)],
            ),
            Row::new(Part::Summary, Shape::Paragraph, sender),
        ],
        links: Vec::new(),
        footer: vec![Span::ours("sentry-notice")],
        may_mention_all: false,
        left_out: Vec::new(),
        written: None,
        has_failed_template: false,
    }
}

/// Characters shown of a robot's name.
const NAME: usize = 64;

//! A card before it has a form: rows of words, each word marked as ours or as somebody else's.
//!
//! The mark is the whole defence against hostile text: only [`write`](crate::write) turns rows into markdown or plain
//! text, and it makes everything inert that is not ours.

mod clock;
mod digest;
mod issue;
mod notice;
mod trial;

use std::borrow::Cow;
use std::time::SystemTime;

use alert::Message;

use crate::config::RobotConfig;
use crate::markdown;

/// Everything one message shows.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    /// What the list of chats shows: the parts of one line, the least important last.
    pub(crate) title: String,
    /// The rows from top to bottom.
    pub(crate) rows: Vec<Row>,
    /// Where to look further.
    pub(crate) links: Vec<Link>,
    /// The small print; the keyword joins it.
    pub(crate) footer: Vec<Span>,
    /// Whether everyone may be mentioned by it.
    pub(crate) may_mention_all: bool,
    /// What had to be left out.
    pub(crate) left_out: Vec<Part>,
}

/// One row of a card.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) part: Part,
    pub(crate) shape: Shape,
    pub(crate) spans: Vec<Span>,
}

/// How a row looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Heading,
    Paragraph,
    Quote,
    Item,
}

/// A piece of a row.
#[derive(Debug, Clone)]
pub(crate) enum Span {
    /// Our own words, written as they are. They never start with `(`, `[` or `:` right after words of others.
    Ours(Cow<'static, str>),
    /// Words from an event or a config file: one line, made inert when written.
    Theirs(String),
    /// Bold.
    Strong(Vec<Span>),
    /// A way out within a row; plain text shows none.
    Link(Link),
}

/// A labelled way out; the label is ours.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) label: &'static str,
    pub(crate) address: String,
}

/// What a row is about; some may be left out to keep a message within DingTalk's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Heading,
    Summary,
    Value,
    Location,
    SourceLine,
    Causes,
    Request,
    Release,
    User,
    Tags,
    Logger,
    Counts,
    Links,
    Footer,
}

impl Part {
    /// What is left out of a message that is too long, in this order. The heading, the summary, the release and the
    /// counts always stay.
    pub(crate) const DROP_ORDER: [Self; 10] = [
        Self::Tags,
        Self::Causes,
        Self::Request,
        Self::SourceLine,
        Self::Logger,
        Self::User,
        Self::Value,
        Self::Location,
        Self::Footer,
        Self::Links,
    ];
}

impl Card {
    /// Returns the card of a message.
    pub(crate) fn of(message: &Message, robot: &RobotConfig, now: SystemTime) -> Self {
        match message {
            Message::Alert(alert) => issue::card(alert, robot, now),
            Message::Digest(digest) => digest::card(digest, robot, now),
            Message::Notice(notice) => notice::card(notice, robot, now),
            Message::Test { robot: name, at } => trial::card(name, *at, robot),
        }
    }

    /// Returns the card of a message with nothing in it that moderation or a size limit could object to.
    pub(crate) fn reduced(message: &Message, robot: &RobotConfig, now: SystemTime) -> Self {
        match message {
            Message::Alert(alert) => issue::reduced_card(alert, robot),
            Message::Digest(digest) => digest::reduced_card(digest, robot, now),
            Message::Notice(_) | Message::Test { .. } => Self::of(message, robot, now),
        }
    }

    /// Leaves a part out; returns whether there was anything of it.
    pub(crate) fn leave_out(&mut self, part: Part) -> bool {
        let before = (self.rows.len(), self.links.len(), self.footer.len());
        self.rows.retain(|row| row.part != part);
        if part == Part::Links {
            self.links.clear();
        }
        if part == Part::Footer {
            self.footer.clear();
        }
        let is_changed = before != (self.rows.len(), self.links.len(), self.footer.len());
        if is_changed {
            self.left_out.push(part);
        }
        is_changed
    }
}

impl Row {
    fn new(part: Part, shape: Shape, spans: impl Into<Vec<Span>>) -> Self {
        Self {
            part,
            shape,
            spans: spans.into(),
        }
    }
}

impl Span {
    fn ours(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Ours(text.into())
    }

    fn theirs(text: impl Into<String>) -> Self {
        Self::Theirs(text.into())
    }

    fn strong(span: Self) -> Self {
        Self::Strong(vec![span])
    }
}

/// Puts ` · ` between groups of spans.
fn dotted(groups: impl IntoIterator<Item = Vec<Span>>) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        if !spans.is_empty() {
            spans.push(Span::ours(" · "));
        }
        spans.extend(group);
    }
    spans
}

/// Returns a text as one line of at most `limit` characters; nothing when there is nothing to see.
fn theirs(text: Option<&str>, limit: usize) -> Vec<Span> {
    let text = text.map(|text| markdown::line(text, limit));
    let text = text.filter(|text| !text.is_empty());
    text.map(Span::Theirs).into_iter().collect()
}

//! Writes a card as markdown or as plain text. The one place where words of others meet markup.

use alert::Mention;

use crate::card::{Card, Link, Row, Shape, Span};
use crate::config::RobotConfig;
use crate::{links, markdown};

/// Returns a card as DingTalk's markdown; blocks are apart by an empty line, since a single line break shows as none.
pub(crate) fn as_markdown(card: &Card, robot: &RobotConfig) -> String {
    let mut text = String::new();
    let mut before = None;
    for row in &card.rows {
        let is_same_list = before == Some(Shape::Item) && row.shape == Shape::Item;
        text.push_str(match before {
            None => "",
            Some(_) if is_same_list => "\n",
            Some(_) => "\n\n",
        });
        text.push_str(markdown_mark(row.shape));
        push_markdown(&mut text, &row.spans, robot);
        before = Some(row.shape);
    }
    push_block(&mut text, &link_line(&card.links, robot));
    text
}

/// Returns a card as plain text, one row a line.
pub(crate) fn as_plain_text(card: &Card, robot: &RobotConfig) -> String {
    let mut lines: Vec<String> = card
        .rows
        .iter()
        .map(|row| plain_row(row, &robot.mention))
        .collect();
    lines.extend(card.links.iter().filter_map(|link| {
        let address = links::web_address(&link.address)?;
        Some(format!("{}: {address}", link.label))
    }));
    lines.join("\n")
}

/// Returns spans as markdown.
pub(crate) fn spans_as_markdown(spans: &[Span], robot: &RobotConfig) -> String {
    let mut text = String::new();
    push_markdown(&mut text, spans, robot);
    text
}

/// Returns spans as plain text.
pub(crate) fn spans_as_plain_text(spans: &[Span], mention: &Mention) -> String {
    let mut text = String::new();
    push_plain(&mut text, spans, mention);
    text
}

/// Adds a block of markdown, if there is anything in it.
pub(crate) fn push_block(text: &mut String, block: &str) {
    if !text.is_empty() && !block.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(block);
}

fn markdown_mark(shape: Shape) -> &'static str {
    match shape {
        Shape::Heading => "### ",
        Shape::Paragraph => "",
        Shape::Quote => "> ",
        Shape::Item => "- ",
    }
}

fn push_markdown(text: &mut String, spans: &[Span], robot: &RobotConfig) {
    for span in spans {
        match span {
            Span::Ours(words) => text.push_str(words),
            Span::Theirs(line) => text.push_str(&markdown::inert(line, &robot.mention)),
            Span::Strong(inner) => {
                text.push_str("**");
                push_markdown(text, inner, robot);
                text.push_str("**");
            }
            Span::Link(link) => text.push_str(&link_line(std::slice::from_ref(link), robot)),
        }
    }
}

/// `[查看事件](…) · [相似问题](…)`
fn link_line(links: &[Link], robot: &RobotConfig) -> String {
    let links = links.iter().filter_map(|link| {
        let target = links::target(&link.address, robot.open_links_in)?;
        Some(format!("[{}]({target})", link.label))
    });
    links.collect::<Vec<_>>().join(" · ")
}

fn plain_row(row: &Row, mention: &Mention) -> String {
    let mut text = match row.shape {
        Shape::Heading | Shape::Paragraph | Shape::Quote => String::new(),
        Shape::Item => "- ".to_owned(),
    };
    push_plain(&mut text, &row.spans, mention);
    text
}

fn push_plain(text: &mut String, spans: &[Span], mention: &Mention) {
    for span in spans {
        match span {
            Span::Ours(words) => text.push_str(words),
            Span::Theirs(line) => text.push_str(&markdown::inert_in_plain_text(line, mention)),
            Span::Strong(inner) => push_plain(text, inner, mention),
            Span::Link(_) => {}
        }
    }
}

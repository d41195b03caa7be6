//! Turns what is to be said into the JSON that a robot takes, within DingTalk's limits.
//!
//! Source: DingTalk refuses a body above 20 000 bytes (`460101`); a keyword counts where title and text hold it; only
//! text and markdown mention.

use std::time::SystemTime;

use alert::{Alert, Mention, Message};

use crate::card::{Card, Part};
use crate::config::{MessageKind, RobotConfig};
use crate::message::{ActionCard, At, Body, Button, Buttons, Content, Markdown, Orientation, Text};
use crate::{links, markdown, write};

/// Returns the body of a message: never more than 18 000 bytes of JSON, a title of at most 64 characters.
///
/// Pure: the same arguments give the same body.
pub fn render(message: &Message, robot: &RobotConfig, now: SystemTime) -> Body {
    render_within(LIMIT, message, robot, now)
}

/// Returns the body of a message in at most `limit` bytes, by leaving parts out in their stated order, then everything
/// but the bare facts, then the mentions.
pub(crate) fn render_within(
    limit: usize,
    message: &Message,
    robot: &RobotConfig,
    now: SystemTime,
) -> Body {
    let robot = &addressed(message, robot);
    let fits = |body: &Body| body.to_json().len() <= limit;
    let mut card = Card::of(message, robot, now);
    let mut body = write_body(&card, robot);
    for part in Part::DROP_ORDER {
        if fits(&body) {
            return body;
        }
        if card.leave_out(part) {
            body = write_body(&card, robot);
        }
    }
    if !fits(&body) {
        body = text_body(&Card::reduced(message, robot, now), robot);
    }
    if !fits(&body) {
        let robot = without_mentions(robot);
        body = text_body(&Card::reduced(message, &robot, now), &robot);
    }
    body
}

/// Returns a body of plain text with none of the event's own sentences and without links.
pub(crate) fn render_reduced(message: &Message, robot: &RobotConfig, now: SystemTime) -> Body {
    let robot = &addressed(message, robot);
    text_body(&Card::reduced(message, robot, now), robot)
}

/// Lets the robot mention whom the message wants mentioned: the route may name others than the robot does, an event its
/// owners. A digest mentions each of its people, and nobody is woken by good news.
fn addressed(message: &Message, robot: &RobotConfig) -> RobotConfig {
    let of_alert = |alert: &Alert| {
        let mut mention = alert
            .mention
            .clone()
            .unwrap_or_else(|| robot.mention.clone());
        mention.add(&alert.owners);
        mention
    };
    let mention = match message {
        Message::Alert(alert) => of_alert(alert),
        Message::Digest(digest) => {
            let mut all = Mention::default();
            digest
                .alerts
                .iter()
                .for_each(|alert| all.add(&of_alert(alert)));
            all
        }
        Message::Notice(notice) if notice.kind.is_recovery() => Mention::default(),
        Message::Notice(_) | Message::Test { .. } => robot.mention.clone(),
    };
    RobotConfig {
        mention,
        ..robot.clone()
    }
}

/// Better a message that mentions nobody than one that DingTalk refuses for a list of a thousand people.
fn without_mentions(robot: &RobotConfig) -> RobotConfig {
    RobotConfig {
        mention: Mention::default(),
        ..robot.clone()
    }
}

fn write_body(card: &Card, robot: &RobotConfig) -> Body {
    match robot.message {
        MessageKind::Text => text_body(card, robot),
        MessageKind::Markdown => markdown_body(card, robot),
        // DingTalk mentions nobody from a card with buttons, and takes none without a button.
        MessageKind::ActionCard if !robot.mention.is_empty() => markdown_body(card, robot),
        MessageKind::ActionCard => {
            action_card_body(card, robot).unwrap_or_else(|| markdown_body(card, robot))
        }
    }
}

fn text_body(card: &Card, robot: &RobotConfig) -> Body {
    let mut content = write::as_plain_text(card, robot);
    let footer = write::spans_as_plain_text(&card.footer, &robot.mention);
    let rest = [
        left_out(card, robot),
        keyed(footer, &content, robot),
        mention_line(card, robot),
    ];
    for line in rest.iter().filter(|line| !line.is_empty()) {
        content.push('\n');
        content.push_str(line);
    }
    Body {
        content: Content::Text {
            text: Text { content },
        },
        at: at(card, robot),
        msg_uuid: None,
    }
}

fn markdown_body(card: &Card, robot: &RobotConfig) -> Body {
    let mut text = markdown_text(card, robot);
    write::push_block(&mut text, &mention_line(card, robot));
    Body {
        content: Content::Markdown {
            markdown: Markdown {
                title: title(card, robot),
                text,
            },
        },
        at: at(card, robot),
        msg_uuid: None,
    }
}

/// `None` when the card leads nowhere.
fn action_card_body(card: &Card, robot: &RobotConfig) -> Option<Body> {
    let mut buttons = card.links.iter().filter_map(|link| {
        let action_url = links::target(&link.address, robot.open_links_in)?;
        let title = link.label.to_owned();
        Some(Button { title, action_url })
    });
    let mut buttons: Vec<Button> = buttons.by_ref().collect();
    let buttons = match buttons.len() {
        0 => return None,
        1 => {
            let Button { title, action_url } = buttons.remove(0);
            Buttons::Single {
                title,
                url: action_url,
            }
        }
        2 => Buttons::Many {
            orientation: Orientation::Horizontal,
            buttons,
        },
        _ => Buttons::Many {
            orientation: Orientation::Vertical,
            buttons,
        },
    };
    let linkless = Card {
        links: Vec::new(),
        ..card.clone()
    };
    let action_card = ActionCard {
        title: title(card, robot),
        text: markdown_text(&linkless, robot),
        buttons,
    };
    Some(Body::from(Content::ActionCard { action_card }))
}

/// The whole text but the mentions, which must come last.
fn markdown_text(card: &Card, robot: &RobotConfig) -> String {
    let mut text = write::as_markdown(card, robot);
    let footer = write::spans_as_markdown(&card.footer, robot);
    let footer = keyed(footer, &text, robot);
    write::push_block(&mut text, &left_out(card, robot));
    write::push_block(&mut text, &footer);
    text
}

/// Returns a title that holds the keyword, if there is one.
fn title(card: &Card, robot: &RobotConfig) -> String {
    let title = markdown::line(
        &markdown::inert_in_plain_text(&card.title, &robot.mention),
        TITLE,
    );
    match robot.keyword.as_deref() {
        Some(keyword) if !title.contains(keyword) => {
            let room = TITLE.saturating_sub(keyword.chars().count() + SEPARATOR.chars().count());
            match room {
                0 => keyword.chars().take(TITLE).collect(),
                _ => format!("{}{SEPARATOR}{keyword}", markdown::line(&title, room)),
            }
        }
        Some(_) | None => title,
    }
}

/// Returns the footer, with the keyword when neither it nor the text above holds it.
fn keyed(footer: String, text: &str, robot: &RobotConfig) -> String {
    match robot.keyword.as_deref() {
        Some(keyword) if !text.contains(keyword) && !footer.contains(keyword) => {
            match footer.is_empty() {
                true => keyword.to_owned(),
                false => format!("{footer}{SEPARATOR}{keyword}"),
            }
        }
        Some(_) | None => footer,
    }
}

fn left_out(card: &Card, robot: &RobotConfig) -> String {
    let (language, words) = (robot.language, robot.language.words());
    let parts: Vec<&str> = card
        .left_out
        .iter()
        .map(|part| language.part(*part))
        .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("{}: {}", words.left_out, parts.join(words.between)),
    }
}

/// `@13800000000 @manager1`: DingTalk notifies only whom the text names.
fn mention_line(card: &Card, robot: &RobotConfig) -> String {
    let Some(at) = at(card, robot) else {
        return String::new();
    };
    let people = at.at_mobiles.iter().chain(&at.at_user_ids);
    people
        .map(|person| format!("@{person}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn at(card: &Card, robot: &RobotConfig) -> Option<At> {
    let at = At {
        at_mobiles: robot.mention.mobiles.clone(),
        at_user_ids: robot.mention.user_ids.clone(),
        is_at_all: robot.mention.all && card.may_mention_all,
    };
    let is_anyone = at.is_at_all || !at.at_mobiles.is_empty() || !at.at_user_ids.is_empty();
    is_anyone.then_some(at)
}

/// Bytes of JSON. DingTalk takes 20 000; what is kept back is for `msgUuid` and for proxies that count differently.
const LIMIT: usize = 17_900;

/// Characters of a title; notifications show fewer.
const TITLE: usize = 64;

const SEPARATOR: &str = " · ";

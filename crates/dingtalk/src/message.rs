//! The JSON that a robot takes: five kinds of message, mentions, and the id that makes a repeat harmless.
//!
//! Source: DingTalk, "Robot message types". Field names are DingTalk's to the letter; `messageUrl` of a link and
//! `messageURL` of a feed card really differ.

use serde::Serialize;

/// The body of one request: `{"msgtype":"markdown","markdown":{…},"at":{…},"msgUuid":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Body {
    /// What is shown.
    #[serde(flatten)]
    pub content: Content,
    /// Whom it mentions; only text and markdown can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// Stays the same over retries, so that DingTalk can drop a repeat.
    #[serde(rename = "msgUuid", skip_serializing_if = "Option::is_none")]
    pub msg_uuid: Option<String>,
}

/// What a message shows; `msgtype` names the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "msgtype", rename_all = "camelCase")]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        text: Text,
    },
    /// Markdown in a bubble.
    Markdown {
        /// The title and the text.
        markdown: Markdown,
    },
    /// One link with a picture.
    Link {
        /// The link.
        link: Link,
    },
    /// Markdown with one button or several.
    ActionCard {
        /// The card.
        #[serde(rename = "actionCard")]
        action_card: ActionCard,
    },
    /// A list of links with pictures.
    FeedCard {
        /// The list.
        #[serde(rename = "feedCard")]
        feed_card: FeedCard,
    },
}

/// Plain text: `{"content":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// The text, with line breaks.
    pub content: String,
}

/// Markdown: `{"title":"…","text":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Markdown {
    /// Shown in the list of chats and in notifications only, never in the bubble. Must not be empty.
    pub title: String,
    /// The markdown of the bubble.
    pub text: String,
}

/// One link: `{"title":"…","text":"…","messageUrl":"…","picUrl":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The heading.
    pub title: String,
    /// A few words; DingTalk cuts long ones.
    pub text: String,
    /// Where a tap leads.
    #[serde(rename = "messageUrl")]
    pub message_url: String,
    /// A picture, fetched by DingTalk.
    #[serde(rename = "picUrl", skip_serializing_if = "Option::is_none")]
    pub pic_url: Option<String>,
}

/// Markdown with buttons: `{"title":"…","text":"…","singleTitle":"…","singleURL":"…"}` or `{…,"btns":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionCard {
    /// Shown in the list of chats and in notifications.
    pub title: String,
    /// The markdown above the buttons.
    pub text: String,
    /// The buttons.
    #[serde(flatten)]
    pub buttons: Buttons,
}

/// One button that makes the whole card a link, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Buttons {
    /// The whole card leads to one place.
    Single {
        /// The button's label.
        #[serde(rename = "singleTitle")]
        title: String,
        /// Where a tap leads.
        #[serde(rename = "singleURL")]
        url: String,
    },
    /// Each button leads to its own place.
    Many {
        /// How they are laid out.
        #[serde(rename = "btnOrientation")]
        orientation: Orientation,
        /// The buttons in order.
        #[serde(rename = "btns")]
        buttons: Vec<Button>,
    },
}

/// How buttons are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Orientation {
    /// Below each other.
    #[serde(rename = "0")]
    Vertical,
    /// Side by side.
    #[serde(rename = "1")]
    Horizontal,
}

/// One button: `{"title":"…","actionURL":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Button {
    /// Its label.
    pub title: String,
    /// Where a tap leads.
    #[serde(rename = "actionURL")]
    pub action_url: String,
}

/// A list of links: `{"links":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedCard {
    /// The links in order.
    pub links: Vec<FeedLink>,
}

/// One link of a list: `{"title":"…","messageURL":"…","picURL":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedLink {
    /// Its heading.
    pub title: String,
    /// Where a tap leads.
    #[serde(rename = "messageURL")]
    pub message_url: String,
    /// A picture, fetched by DingTalk; required.
    #[serde(rename = "picURL")]
    pub pic_url: String,
}

/// Whom a message mentions: `{"atMobiles":["138…"],"atUserIds":["…"],"isAtAll":false}`.
///
/// The text must also hold `@` and the number or id, or nobody is notified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct At {
    /// Mobile numbers, as strings.
    pub at_mobiles: Vec<String>,
    /// DingTalk user ids.
    pub at_user_ids: Vec<String>,
    /// Everyone in the chat.
    pub is_at_all: bool,
}

impl Body {
    /// Returns the bytes of the request.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, booleans and lists of them always serialize")
    }

    /// Returns the text that people read, in the kinds that have one.
    pub fn text(&self) -> &str {
        match &self.content {
            Content::Text { text } => &text.content,
            Content::Markdown { markdown } => &markdown.text,
            Content::Link { link } => &link.text,
            Content::ActionCard { action_card } => &action_card.text,
            Content::FeedCard { .. } => "",
        }
    }

    /// Returns what the list of chats shows of it, where the kind has such a title.
    pub fn title(&self) -> Option<&str> {
        match &self.content {
            Content::Text { .. } => None,
            Content::Markdown { markdown } => Some(&markdown.title),
            Content::Link { link } => Some(&link.title),
            Content::ActionCard { action_card } => Some(&action_card.title),
            Content::FeedCard { feed_card } => {
                feed_card.links.first().map(|link| link.title.as_str())
            }
        }
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self {
            content,
            at: None,
            msg_uuid: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn spells_every_field_as_dingtalk_does() {
        let cases = [
            (
                Content::Text {
                    text: Text { content: text("c") },
                },
                json!({"msgtype": "text", "text": {"content": "c"}}),
            ),
            (
                Content::Markdown {
                    markdown: Markdown {
                        title: text("t"),
                        text: text("x"),
                    },
                },
                json!({"msgtype": "markdown", "markdown": {"title": "t", "text": "x"}}),
            ),
            (
                Content::Link {
                    link: link(Some(text("p"))),
                },
                json!({"msgtype": "link", "link": {"title": "t", "text": "x", "messageUrl": "u", "picUrl": "p"}}),
            ),
            (
                Content::Link { link: link(None) },
                json!({"msgtype": "link", "link": {"title": "t", "text": "x", "messageUrl": "u"}}),
            ),
            (
                card(Buttons::Single {
                    title: text("s"),
                    url: text("u"),
                }),
                json!({"msgtype": "actionCard",
                    "actionCard": {"title": "t", "text": "x", "singleTitle": "s", "singleURL": "u"}}),
            ),
            (
                card(Buttons::Many {
                    orientation: Orientation::Horizontal,
                    buttons: vec![Button {
                        title: text("b"),
                        action_url: text("u"),
                    }],
                }),
                json!({"msgtype": "actionCard", "actionCard": {"title": "t", "text": "x",
                    "btnOrientation": "1", "btns": [{"title": "b", "actionURL": "u"}]}}),
            ),
            (
                Content::FeedCard {
                    feed_card: FeedCard {
                        links: vec![FeedLink {
                            title: text("t"),
                            message_url: text("u"),
                            pic_url: text("p"),
                        }],
                    },
                },
                json!({"msgtype": "feedCard",
                    "feedCard": {"links": [{"title": "t", "messageURL": "u", "picURL": "p"}]}}),
            ),
        ];

        for (content, expected) in cases {
            let json: Value = serde_json::from_slice(&Body::from(content).to_json()).unwrap();

            assert_eq!(json, expected);
        }
    }

    #[test]
    fn puts_mentions_and_the_id_beside_the_content() {
        let body = Body {
            content: Content::Text {
                text: Text { content: text("c") },
            },
            at: Some(At {
                at_mobiles: vec![text("13800000000")],
                at_user_ids: vec![text("manager1")],
                is_at_all: false,
            }),
            msg_uuid: Some(text("id-1")),
        };

        let json: Value = serde_json::from_slice(&body.to_json()).unwrap();

        let expected = json!({"msgtype": "text", "text": {"content": "c"}, "msgUuid": "id-1",
            "at": {"atMobiles": ["13800000000"], "atUserIds": ["manager1"], "isAtAll": false}});
        assert_eq!(json, expected);
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn link(pic_url: Option<String>) -> Link {
        Link {
            title: text("t"),
            text: text("x"),
            message_url: text("u"),
            pic_url,
        }
    }

    fn card(buttons: Buttons) -> Content {
        Content::ActionCard {
            action_card: ActionCard {
                title: text("t"),
                text: text("x"),
                buttons,
            },
        }
    }
}

//! The five message types of a custom robot: required fields by their exact names, and what does nothing.
//!
//! Source: open.dingtalk.com/document/orgapp/custom-bot-send-message-type, help.dingtalk.io "Robot message type".

use serde_json::{Map, Value};

use super::refusal::Reason;

/// What kind of message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// `text`.
    Text,
    /// `link`.
    Link,
    /// `markdown`.
    Markdown,
    /// `actionCard`, with one link for the whole card or with buttons.
    ActionCard,
    /// `feedCard`.
    FeedCard,
}

/// Something to click in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is written on it.
    pub title: String,
    /// Where it leads.
    pub url: String,
}

/// What a reader gets to see of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) message_type: MessageType,
    pub(crate) title: Option<String>,
    pub(crate) text: String,
    pub(crate) links: Vec<Link>,
}

impl Content {
    /// Reads the content of a body, and adds to `warnings` what DingTalk would silently ignore.
    pub(crate) fn read(
        body: &Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Reason> {
        let name = match body.get("msgtype") {
            Some(Value::String(name)) => name.as_str(),
            Some(other) => return Err(Reason::MessageType(other.to_string())),
            None => return Err(Reason::MessageType("null".to_owned())),
        };
        let read = match name {
            "text" => text,
            "link" => link,
            "markdown" => markdown,
            "actionCard" => action_card,
            "feedCard" => feed_card,
            _ => return Err(Reason::MessageType(name.to_owned())),
        };
        warn_of_unknown(body, &["msgtype", "at", "msgUuid", name], "", warnings);
        read(body, warnings)
    }

    /// Tells whether one of the keywords is in what a reader sees.
    pub(crate) fn has_any(&self, keywords: &[String]) -> bool {
        let title = self.title.as_deref().unwrap_or_default();
        keywords
            .iter()
            .any(|keyword| title.contains(keyword.as_str()) || self.text.contains(keyword.as_str()))
    }
}

type Warnings<'a> = &'a mut Vec<String>;

fn text(body: &Map<String, Value>, warnings: Warnings<'_>) -> Result<Content, Reason> {
    let fields = Fields::of(body, "text", 400_201)?;
    fields.warn_of_unknown(&["content"], warnings);
    Ok(Content {
        message_type: MessageType::Text,
        title: None,
        text: fields.required("content", 400_202)?,
        links: Vec::new(),
    })
}

fn link(body: &Map<String, Value>, warnings: Warnings<'_>) -> Result<Content, Reason> {
    let fields = Fields::of(body, "link", 400_301)?;
    fields.warn_of_unknown(&["text", "title", "messageUrl", "picUrl"], warnings);
    let text = fields.required("text", 400_302)?;
    let title = fields.required("title", 400_303)?;
    let url = fields.required("messageUrl", 400_304)?;
    Ok(Content {
        message_type: MessageType::Link,
        title: Some(title.clone()),
        text,
        links: vec![Link { title, url }],
    })
}

fn markdown(body: &Map<String, Value>, warnings: Warnings<'_>) -> Result<Content, Reason> {
    let fields = Fields::of(body, "markdown", 400_401)?;
    fields.warn_of_unknown(&["title", "text"], warnings);
    Ok(Content {
        message_type: MessageType::Markdown,
        title: Some(fields.required("title", 400_402)?),
        text: fields.required("text", 400_403)?,
        links: Vec::new(),
    })
}

fn action_card(body: &Map<String, Value>, warnings: Warnings<'_>) -> Result<Content, Reason> {
    let fields = Fields::of(body, "actionCard", 400_501)?;
    fields.warn_of_unknown(&ACTION_CARD_FIELDS, warnings);
    for flag in ["btnOrientation", "hideAvatar"] {
        fields.warn_unless_zero_or_one(flag, warnings);
    }
    let title = fields.required("title", 400_502)?;
    let text = fields.required("text", 400_503)?;
    let links = match fields.has("singleTitle") || fields.has("singleURL") {
        true => vec![single_link(&fields, warnings)?],
        false => buttons(&fields, warnings)?,
    };
    Ok(Content {
        message_type: MessageType::ActionCard,
        title: Some(title),
        text,
        links,
    })
}

fn single_link(fields: &Fields<'_>, warnings: Warnings<'_>) -> Result<Link, Reason> {
    if fields.has("btns") {
        warnings.push("actionCard.btns is ignored beside singleTitle and singleURL".to_owned());
    }
    Ok(Link {
        title: fields.required("singleTitle", 400_504)?,
        url: fields.required("singleURL", 400_505)?,
    })
}

fn buttons(fields: &Fields<'_>, warnings: Warnings<'_>) -> Result<Vec<Link>, Reason> {
    let buttons = fields.items("btns", 400_506)?;
    buttons
        .iter()
        .map(|button| {
            button.warn_of_unknown(&["title", "actionURL"], warnings);
            Ok(Link {
                title: button.required("title", 400_507)?,
                url: button.required("actionURL", 400_508)?,
            })
        })
        .collect()
}

fn feed_card(body: &Map<String, Value>, warnings: Warnings<'_>) -> Result<Content, Reason> {
    let fields = Fields::of(body, "feedCard", 400_601)?;
    fields.warn_of_unknown(&["links"], warnings);
    let mut links = Vec::new();
    for item in fields.items("links", 400_602)? {
        item.warn_of_unknown(&["title", "messageURL", "picURL"], warnings);
        item.required("picURL", 400_605)?;
        links.push(Link {
            title: item.required("title", 400_603)?,
            url: item.required("messageURL", 400_604)?,
        });
    }
    let titles: Vec<_> = links.iter().map(|link| link.title.as_str()).collect();
    Ok(Content {
        message_type: MessageType::FeedCard,
        title: None,
        text: titles.join("\n"),
        links,
    })
}

/// An object of the body, with the name under which DingTalk's answers speak of it.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    parent: &'static str,
}

impl<'a> Fields<'a> {
    fn of(
        body: &'a Map<String, Value>,
        parent: &'static str,
        errcode: i64,
    ) -> Result<Self, Reason> {
        match body.get(parent) {
            Some(Value::Object(object)) => Ok(Self { object, parent }),
            _ => Err(Reason::Field {
                errcode,
                parent,
                name: "",
            }),
        }
    }

    /// Returns a string field; an empty one counts as missing.
    fn required(&self, name: &'static str, errcode: i64) -> Result<String, Reason> {
        match self.object.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(self.missing(name, errcode)),
        }
    }

    /// Returns the objects of a list that must not be empty.
    fn items(&self, name: &'static str, errcode: i64) -> Result<Vec<Fields<'a>>, Reason> {
        let Some(Value::Array(items)) = self.object.get(name) else {
            return Err(self.missing(name, errcode));
        };
        let fields: Option<Vec<_>> = items
            .iter()
            .map(|item| item.as_object())
            .map(|item| {
                item.map(|object| Fields {
                    object,
                    parent: name,
                })
            })
            .collect();
        match fields {
            Some(fields) if !fields.is_empty() => Ok(fields),
            _ => Err(self.missing(name, errcode)),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    fn missing(&self, name: &'static str, errcode: i64) -> Reason {
        Reason::Field {
            errcode,
            parent: self.parent,
            name,
        }
    }

    fn warn_of_unknown(&self, known: &[&str], warnings: Warnings<'_>) {
        warn_of_unknown(self.object, known, self.parent, warnings);
    }

    fn warn_unless_zero_or_one(&self, name: &str, warnings: Warnings<'_>) {
        match self.object.get(name) {
            None => {}
            Some(Value::String(text)) if matches!(text.as_str(), "0" | "1") => {}
            Some(other) => warnings.push(format!(
                "{}.{name} is {other}, not \"0\" or \"1\"",
                self.parent
            )),
        }
    }
}

/// Warns of every field of `object` that is not in `known`.
pub(crate) fn warn_of_unknown(
    object: &Map<String, Value>,
    known: &[&str],
    parent: &str,
    warnings: Warnings<'_>,
) {
    let dot = if parent.is_empty() { "" } else { "." };
    for name in object.keys() {
        if !known.contains(&name.as_str()) {
            warnings.push(format!("{parent}{dot}{name} is not a field"));
        }
    }
}

const ACTION_CARD_FIELDS: [&str; 7] = [
    "title",
    "text",
    "singleTitle",
    "singleURL",
    "btns",
    "btnOrientation",
    "hideAvatar",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_each_type() {
        let table = [
            (
                json!({"msgtype": "text", "text": {"content": "hi"}}),
                "hi",
                0,
            ),
            (
                json!({"msgtype": "link", "link":
                    {"title": "t", "text": "hi", "messageUrl": "http://a", "picUrl": ""}}),
                "hi",
                1,
            ),
            (
                json!({"msgtype": "markdown", "markdown": {"title": "t", "text": "hi"}}),
                "hi",
                0,
            ),
            (
                json!({"msgtype": "actionCard", "actionCard": {"title": "t", "text": "hi",
                    "singleTitle": "open", "singleURL": "http://a", "btnOrientation": "0"}}),
                "hi",
                1,
            ),
            (
                json!({"msgtype": "actionCard", "actionCard": {"title": "t", "text": "hi", "btns": [
                    {"title": "a", "actionURL": "http://a"}, {"title": "b", "actionURL": "http://b"}]}}),
                "hi",
                2,
            ),
            (
                json!({"msgtype": "feedCard", "feedCard": {"links": [
                    {"title": "hi", "messageURL": "http://a", "picURL": "http://b"}]}}),
                "hi",
                1,
            ),
        ];
        for (body, text, links) in table {
            let (content, warnings) = read(&body);

            let content = content.unwrap();
            assert_eq!(
                (content.text.as_str(), content.links.len()),
                (text, links),
                "{body}"
            );
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    #[test]
    fn refuses_missing_empty_misspelt_and_mistyped_fields() {
        refuses(&[
            (json!({}), 400_105),
            (json!({"msgtype": 1}), 400_105),
            (json!({"msgtype": "action_card"}), 400_105),
            (
                json!({"msgtype": "image", "image": {"picURL": "http://a"}}),
                400_105,
            ),
            (json!({"msgtype": "text"}), 400_201),
            (json!({"msgtype": "text", "text": "hi"}), 400_201),
            (json!({"msgtype": "text", "text": {"content": 1}}), 400_202),
            (json!({"msgtype": "markdown"}), 400_401),
            (
                json!({"msgtype": "markdown", "markdown": {"text": "x"}}),
                400_402,
            ),
            (
                json!({"msgtype": "markdown", "markdown": {"title": "t", "text": " "}}),
                400_403,
            ),
            (link(json!({})), 400_302),
            (link(json!({"text": "x"})), 400_303),
            (
                link(json!({"text": "x", "title": "t", "messageURL": "http://a"})),
                400_304,
            ),
        ]);
    }

    #[test]
    fn refuses_cards_without_something_to_click() {
        refuses(&[
            (
                json!({"msgtype": "actionCard", "actionCard": {"text": "x"}}),
                400_502,
            ),
            (
                json!({"msgtype": "actionCard", "actionCard": {"title": "t"}}),
                400_503,
            ),
            (card(json!({"singleURL": "http://a"})), 400_504),
            (
                card(json!({"singleTitle": "a", "singleUrl": "http://a"})),
                400_505,
            ),
            (card(json!({})), 400_506),
            (card(json!({"btns": []})), 400_506),
            (card(json!({"btns": ["a"]})), 400_506),
            (card(json!({"btns": [{"actionURL": "http://a"}]})), 400_507),
            (
                card(json!({"btns": [{"title": "a", "actionUrl": "http://a"}]})),
                400_508,
            ),
            (json!({"msgtype": "feedCard", "feedCard": {}}), 400_602),
            (
                feed(json!({"messageURL": "http://a", "picURL": "http://b"})),
                400_603,
            ),
            (
                feed(json!({"title": "t", "messageUrl": "http://a", "picURL": "http://b"})),
                400_604,
            ),
            (
                feed(json!({"title": "t", "messageURL": "http://a", "picUrl": "http://b"})),
                400_605,
            ),
        ]);
    }

    #[test]
    fn warns_of_what_has_no_effect() {
        let table = [
            (
                json!({"msgtype": "text", "text": {"content": "x"}, "isAtAll": true}),
                "isAtAll is not a field",
            ),
            (
                json!({"msgtype": "markdown", "markdown": {"title": "t", "text": "x", "titel": ""}}),
                "markdown.titel is not a field",
            ),
            (
                json!({"msgtype": "actionCard", "actionCard": {"title": "t", "text": "x",
                    "singleTitle": "a", "singleURL": "http://a", "btnOrientation": 0}}),
                "actionCard.btnOrientation is 0, not \"0\" or \"1\"",
            ),
        ];
        for (body, expected) in table {
            let (content, warnings) = read(&body);

            assert!(content.is_ok());
            assert_eq!(warnings, [expected]);
        }
    }

    fn refuses(table: &[(Value, i64)]) {
        for (body, errcode) in table {
            let (content, _) = read(body);

            assert_eq!(content.unwrap_err().errcode(), *errcode, "{body}");
        }
    }

    fn link(link: Value) -> Value {
        json!({"msgtype": "link", "link": link})
    }

    fn card(rest: Value) -> Value {
        let mut card = json!({"msgtype": "actionCard", "actionCard": rest});
        card["actionCard"]["title"] = json!("t");
        card["actionCard"]["text"] = json!("x");
        card
    }

    fn feed(item: Value) -> Value {
        json!({"msgtype": "feedCard", "feedCard": {"links": [item]}})
    }

    fn read(body: &Value) -> (Result<Content, Reason>, Vec<String>) {
        let mut warnings = Vec::new();
        let content = Content::read(body.as_object().unwrap(), &mut warnings);
        (content, warnings)
    }
}

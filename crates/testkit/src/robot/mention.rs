//! Who is really mentioned by a message: `at` says who may be, the text must say so too.
//!
//! Source: the `at` parameters of help.dingtalk.io "Robot message type": strings, members of the group, `@…` in the text;
//! text and markdown only.

use serde_json::{Map, Value};

use super::content::{Content, MessageType, warn_of_unknown};
use super::profile::Robot;

/// The mentions that take effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentions {
    pub(crate) mobiles: Vec<String>,
    pub(crate) user_ids: Vec<String>,
    pub(crate) is_at_all: bool,
}

impl Mentions {
    /// Reads `at`, and adds to `warnings` what mentions nobody.
    pub(crate) fn read(
        at: Option<&Value>,
        content: &Content,
        robot: &Robot,
        warnings: &mut Vec<String>,
    ) -> Self {
        let at = match at {
            None | Some(Value::Null) => return Self::default(),
            Some(Value::Object(at)) => at,
            Some(_) => {
                warnings.push("at is not an object".to_owned());
                return Self::default();
            }
        };
        warn_of_unknown(at, &["atMobiles", "atUserIds", "isAtAll"], "at", warnings);
        let mentions = Self {
            mobiles: effective(at, "atMobiles", content, warnings),
            user_ids: effective(at, "atUserIds", content, warnings),
            is_at_all: flag(at, warnings),
        };
        mentions.among_members(content, robot, warnings)
    }

    fn among_members(self, content: &Content, robot: &Robot, warnings: &mut Vec<String>) -> Self {
        if self == Self::default() {
            return self;
        }
        if !matches!(
            content.message_type,
            MessageType::Text | MessageType::Markdown
        ) {
            warnings.push("at has no effect in this message type".to_owned());
            return Self::default();
        }
        let members =
            |ids: Vec<String>| ids.into_iter().filter(|id| robot.has_member(id)).collect();
        Self {
            mobiles: members(self.mobiles),
            user_ids: members(self.user_ids),
            is_at_all: self.is_at_all,
        }
    }
}

fn effective(
    at: &Map<String, Value>,
    name: &str,
    content: &Content,
    warnings: &mut Vec<String>,
) -> Vec<String> {
    let ids = match at.get(name) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(ids)) => ids,
        Some(_) => {
            warnings.push(format!("at.{name} is not a list"));
            return Vec::new();
        }
    };
    let mut mentioned = Vec::new();
    for id in ids {
        match id {
            Value::String(id) if id.is_empty() => {
                warnings.push(format!("at.{name} has an empty string"));
            }
            Value::String(id) if is_in(&content.text, id) => mentioned.push(id.clone()),
            Value::String(id) => {
                warnings.push(format!("at.{name} has `{id}`, the text has no `@{id}`"));
            }
            other => warnings.push(format!("at.{name} has {other}, not a string")),
        }
    }
    mentioned
}

fn flag(at: &Map<String, Value>, warnings: &mut Vec<String>) -> bool {
    match at.get("isAtAll") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(other) => {
            warnings.push(format!("at.isAtAll is {other}, not true or false"));
            false
        }
    }
}

/// Tells whether the text says `@id`, and not just a longer number that begins with it.
fn is_in(text: &str, id: &str) -> bool {
    let mention = format!("@{id}");
    text.match_indices(&mention).any(|(start, found)| {
        let next = text[start + found.len()..].chars().next();
        !next.is_some_and(|next| next.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mentions_members_that_the_text_names_too() {
        let robot = Robot::new("a").member("13800000000").member("u1");
        let at = json!({"atMobiles": ["13800000000", "13900000000"], "atUserIds": ["u1"]});
        let content = content(MessageType::Markdown, "x\n@13800000000@13900000000 @u1");

        let (mentions, warnings) = read(&at, &content, &robot);

        assert_eq!(mentions.mobiles, ["13800000000"]);
        assert_eq!(mentions.user_ids, ["u1"]);
        assert!(!mentions.is_at_all && warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn mentions_nobody_by_mistakes_seen_in_the_wild() {
        let text = "@13800000000";
        let table = [
            (json!({"isAtALL": true}), "at.isAtALL is not a field"),
            (
                json!({"isAtAll": "true"}),
                "at.isAtAll is \"true\", not true or false",
            ),
            (
                json!({"atMobiles": [13_800_000_000_u64]}),
                "at.atMobiles has 13800000000, not a string",
            ),
            (
                json!({"atMobiles": "13800000000"}),
                "at.atMobiles is not a list",
            ),
            (
                json!({"atMobiles": [""]}),
                "at.atMobiles has an empty string",
            ),
            (
                json!({"atMobiles": ["138"]}),
                "at.atMobiles has `138`, the text has no `@138`",
            ),
            (json!(["13800000000"]), "at is not an object"),
        ];
        for (at, warning) in table {
            let (mentions, warnings) =
                read(&at, &content(MessageType::Text, text), &Robot::new("a"));

            assert_eq!(mentions, Mentions::default(), "{at}");
            assert_eq!(warnings, [warning]);
        }
    }

    #[test]
    fn mentions_nobody_in_a_card() {
        let at = json!({"isAtAll": true});

        let (mentions, warnings) = read(
            &at,
            &content(MessageType::ActionCard, "x"),
            &Robot::new("a"),
        );

        assert_eq!(mentions, Mentions::default());
        assert_eq!(warnings, ["at has no effect in this message type"]);
    }

    fn read(at: &Value, content: &Content, robot: &Robot) -> (Mentions, Vec<String>) {
        let mut warnings = Vec::new();
        let mentions = Mentions::read(Some(at), content, robot, &mut warnings);
        (mentions, warnings)
    }

    fn content(message_type: MessageType, text: &str) -> Content {
        Content {
            message_type,
            title: None,
            text: text.to_owned(),
            links: Vec::new(),
        }
    }
}

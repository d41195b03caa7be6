//! Whom a message mentions, and how a tag of an event names its owner.

use std::collections::BTreeMap;

use event::model::Event;
use serde::{Deserialize, Serialize};

/// Whom messages mention. Only members of the chat are; others are shown as masked text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mention {
    /// Mobile numbers, such as `13800000000`; outside China with country code and hyphen, such as `+852-12345678`.
    pub mobiles: Vec<String>,
    /// DingTalk user ids.
    pub user_ids: Vec<String>,
    /// Everyone in the chat.
    pub all: bool,
}

/// Who is behind the values of an owner tag: names in lower case, and whom to mention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People(pub BTreeMap<String, Mention>);

impl Mention {
    /// Returns whether nobody is mentioned.
    pub fn is_empty(&self) -> bool {
        self.mobiles.is_empty() && self.user_ids.is_empty() && !self.all
    }

    /// Adds whom another mentions, each person once.
    pub fn add(&mut self, other: &Self) {
        let add = |list: &mut Vec<String>, more: &[String]| {
            for person in more {
                if !list.contains(person) {
                    list.push(person.clone());
                }
            }
        };
        add(&mut self.mobiles, &other.mobiles);
        add(&mut self.user_ids, &other.user_ids);
        self.all |= other.all;
    }
}

impl People {
    /// Returns whom an event's tag names; one tag may name several, with commas between.
    pub fn named_by(&self, tag: &str, event: &Event<'_>) -> Mention {
        let mut mention = Mention::default();
        if self.0.is_empty() || tag.is_empty() {
            return mention;
        }
        let values = event.tags.iter().filter(|(key, _)| key == tag);
        let names = values.flat_map(|(_, value)| value.split(','));
        for name in names.take(NAMES) {
            if let Some(person) = self.0.get(&name.trim().to_lowercase()) {
                mention.add(person);
            }
        }
        mention
    }
}

/// Names that one event may call.
const NAMES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_owners() {
        let person = |mobile: &str| Mention {
            mobiles: vec![mobile.to_owned()],
            ..Mention::default()
        };
        let known = [("alice", person("1")), ("team-shop", person("2"))];
        let people = People(known.map(|(name, who)| (name.to_owned(), who)).into());
        let named = |tag: &'static str, value: &'static str| {
            let event = Event {
                tags: vec![(tag.into(), value.into())],
                ..Event::default()
            };
            people.named_by("owner", &event).mobiles
        };

        assert_eq!(named("owner", "Alice"), ["1"]);
        assert_eq!(named("owner", "team-shop, alice,alice, nobody"), ["2", "1"]);
        assert_eq!(named("owner", "nobody"), [""; 0]);
        assert_eq!(named("other", "alice"), [""; 0]);
    }
}

//! How messages are kept in the outbox: as JSON, with the types of other crates as their usual texts.

use serde::{Deserialize, Serialize};

use crate::{Alert, Message, Notice};

/// A message that can wait in the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stored {
    /// A word about one issue.
    Alert(Box<Alert>),
    /// A word about ourselves.
    Notice(Box<Notice>),
}

impl Stored {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("a message is made of texts, numbers and lists, which JSON has")
    }

    /// Reads what `encode` wrote; `None` for what another version wrote otherwise.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn into_message(self) -> Message {
        match self {
            Self::Alert(alert) => Message::Alert(alert),
            Self::Notice(notice) => Message::Notice(notice),
        }
    }
}

/// Whatever reads what it writes.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom("the text cannot be read"))
    }
}

pub(crate) mod event_id {
    use event::model::EventId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        id: &Option<EventId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        id.map(|id| id.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<EventId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            EventId::parse(&text).ok_or_else(|| D::Error::custom("not an event's id"))
        };
        text.map(read).transpose()
    }
}

pub(crate) mod level {
    use event::model::Level;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        level: &Level,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(level.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Level, D::Error> {
        let text = String::deserialize(deserializer)?;
        Level::parse(&text).ok_or_else(|| D::Error::custom("not a level"))
    }
}

pub(crate) mod kind {
    use event::model::EventKind;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        kind: &EventKind,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<EventKind, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = KINDS.into_iter().find(|kind| kind.as_str() == text);
        // A kind that a later version knows is shown as a message.
        Ok(known.unwrap_or_default())
    }

    pub(crate) const KINDS: [EventKind; 9] = [
        EventKind::Error,
        EventKind::Default,
        EventKind::Csp,
        EventKind::Security,
        EventKind::Transaction,
        EventKind::Feedback,
        EventKind::Crash,
        EventKind::CheckIn,
        EventKind::Log,
    ];
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use event::ProjectId;
    use event::model::{Event, EventId, Exception, Level};

    use super::*;
    use crate::rule::Counted;
    use crate::{Config, Counts, Links, Mention, NoticeKind, Reason, Sight, Subject, WindowCount};

    #[test]
    fn reads_what_it_wrote() {
        let alert = Stored::Alert(Box::new(alert()));
        let notice = Stored::Notice(Box::new(Notice {
            id: "n".to_owned(),
            at: SystemTime::UNIX_EPOCH,
            kind: NoticeKind::StateFallback {
                backend: "redis".to_owned(),
            },
        }));

        for stored in [alert, notice] {
            assert_eq!(Stored::decode(&stored.encode()), Some(stored));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        for bytes in [&b""[..], b"{}", b"{\"alert\":{}}", b"\xff"] {
            assert_eq!(Stored::decode(bytes), None);
        }
    }

    #[test]
    fn every_kind_keeps_its_name() {
        for kind in super::kind::KINDS {
            let event = Event {
                kind,
                ..Event::default()
            };
            let subject = subject(&event);
            let json = serde_json::to_string(&subject).unwrap();

            assert_eq!(serde_json::from_str::<Subject>(&json).unwrap(), subject);
        }
    }

    fn alert() -> Alert {
        let event = Event {
            id: Some(EventId([7; 16])),
            level: Level::Fatal,
            exceptions: vec![Exception {
                ty: Some("Error".into()),
                ..Exception::default()
            }],
            tags: vec![("标签".into(), "\u{0}".into())],
            ..Event::default()
        };
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_782_871_199_123);
        Alert {
            id: "42:0-1".to_owned(),
            issue: "42:9f3c2d1a00000000000000000000000b".parse().unwrap(),
            reason: Reason::Burst,
            subject: subject(&event),
            counts: Counts {
                events: 5,
                events_since_said: 3,
                users: 2,
                are_users_exact: false,
                first_seen: moment,
                last_seen: moment,
                last_said: Some(moment),
                window: Some(WindowCount {
                    count: 100,
                    of: Counted::Users,
                    within: Duration::from_secs(60),
                }),
                quiet: Some(Duration::from_secs(9)),
            },
            links: Links {
                mutes: vec![(Duration::from_secs(3_600), "https://x".to_owned())],
                ..Links::default()
            },
            route: vec!["alert".to_owned()],
            mention: Some(Mention::default()),
            owners: Mention::default(),
        }
    }

    fn subject(event: &Event<'_>) -> Subject {
        let group = grouping::group(event, &grouping::Config::default());
        let sight = Sight {
            event,
            project: ProjectId::from(42),
            group: &group,
        };
        Subject::of(&sight, &Config::default())
    }
}

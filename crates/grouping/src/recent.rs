//! Remembers where the last events came from: in a flood the same code fails again and again, if with other messages.
//!
//! Grouping takes a fifth of the time that the pipeline needs for an event, and most of it goes into rules and frames. What
//! comes of them is remembered for events of which nothing else counts (`key`); all others are grouped as ever.

mod key;

use std::fmt;

use event::model::Event;
use event::title;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::evaluation::Evaluation;
use crate::stack::Prepared;
use crate::strategy::Depth;
use crate::{Group, group};

/// Groups events one after the other, the same as [`group`] does.
///
/// Takes up to 2 MiB once it has seen many large stacks, else a few kilobytes for each place that events came from lately.
pub struct Grouper {
    config: Config,
    /// Whether rules of the project may read messages: then nothing can be known without one.
    reads_messages: bool,
    /// By the hash of the key, the later of each pair first: two places of one flood do not push each other out.
    pairs: Box<[[Option<Known>; 2]; PAIRS]>,
    key: Vec<u8>,
    /// How many events in a row came from places that were not known.
    misses: u32,
}

/// A place that an event came from.
struct Known {
    key: Box<[u8]>,
    /// The group without its title, in which the message is.
    group: Group,
}

impl Grouper {
    /// Makes one that has seen no event yet.
    pub fn new(config: Config) -> Self {
        Self {
            reads_messages: config.reads_messages(),
            config,
            pairs: Box::new([const { [const { None }; 2] }; PAIRS]),
            key: Vec::new(),
            misses: 0,
        }
    }

    /// Returns the group of an event: the same hashes that Sentry computes from the same event.
    pub fn group(&mut self, event: &Event<'_>) -> Group {
        if !self.may_know() || !key::write(event, &mut self.key) {
            return group(event, &self.config);
        }
        let place = usize::try_from(xxh3_64(&self.key) % PAIRS as u64).unwrap_or_default();
        let mut pair = self.pairs[place].iter().flatten();
        if let Some(known) = pair.find(|known| *known.key == *self.key) {
            self.misses = 0;
            return Group {
                title: title::title(event),
                ..known.group.clone()
            };
        }
        self.misses += 1;
        let prepared = Prepared::new(event, &self.config);
        let evaluation = Evaluation::new(&prepared, &self.config, Depth::Hashes);
        let group = evaluation.group();
        if evaluation.is_by_stack() {
            let known = Known {
                key: self.key.as_slice().into(),
                group: Group {
                    title: String::new(),
                    ..group.clone()
                },
            };
            let before = self.pairs[place][0].replace(known);
            self.pairs[place][1] = before;
        }
        group
    }

    /// Returns whether it is worth a look: not if rules read messages, and seldom while every event comes from elsewhere.
    fn may_know(&mut self) -> bool {
        if self.reads_messages {
            return false;
        }
        if self.misses < PATIENCE {
            return true;
        }
        self.misses += 1;
        let is_due = self.misses >= PATIENCE + SELDOM;
        if is_due {
            self.misses = PATIENCE;
        }
        is_due
    }
}

impl fmt::Debug for Grouper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grouper").finish_non_exhaustive()
    }
}

/// Places remembered, by twos.
const PAIRS: usize = 32;

/// So many events in a row from unknown places, and only one of [`SELDOM`] is looked up until one is known.
const PATIENCE: u32 = 256;
const SELDOM: u32 = 16;

#[cfg(test)]
mod tests {
    use event::model::{Exception, Stacktrace};

    use super::*;

    fn raised_in(function: &str, value: &str) -> Event<'static> {
        let frame = event::model::Frame {
            module: Some("shop.views".into()),
            function: Some(function.to_owned().into()),
            in_app: Some(true),
            ..event::model::Frame::default()
        };
        let exception = Exception {
            ty: Some("ValueError".into()),
            value: Some(value.to_owned().into()),
            stacktrace: Some(Stacktrace {
                frames: vec![frame],
            }),
            ..Exception::default()
        };
        Event {
            kind: event::EventKind::Error,
            exceptions: vec![exception],
            platform: "python".into(),
            ..Event::default()
        }
    }

    fn known(grouper: &Grouper) -> usize {
        grouper.pairs.iter().flatten().flatten().count()
    }

    #[test]
    fn a_place_is_known_whatever_the_message() {
        let mut grouper = Grouper::new(Config::default());
        let first = grouper.group(&raised_in("pay", "order 1 is lost"));
        assert_eq!((known(&grouper), grouper.misses), (1, 1));

        let second = grouper.group(&raised_in("pay", "card declined"));

        assert_eq!((known(&grouper), grouper.misses), (1, 0));
        assert_eq!(first.title, "ValueError: order 1 is lost");
        assert_eq!(second.title, "ValueError: card declined");
        assert_eq!(
            second,
            group(&raised_in("pay", "card declined"), &Config::default())
        );
    }

    #[test]
    fn another_place_is_another_group() {
        let mut grouper = Grouper::new(Config::default());

        let (one, other) = (
            grouper.group(&raised_in("pay", "a")),
            grouper.group(&raised_in("ship", "a")),
        );

        assert_ne!(one.hashes, other.hashes);
        assert_eq!(known(&grouper), 2);
    }

    #[test]
    fn a_flood_from_a_few_places_is_known_and_of_many_places_only_some_stay() {
        let mut grouper = Grouper::new(Config::default());
        let places = ["pay", "ship", "login", "search"].map(|function| raised_in(function, "a"));
        for event in places.iter().cycle().take(40) {
            grouper.group(event);
        }
        assert_eq!((known(&grouper), grouper.misses), (4, 0));

        for number in 0..PATIENCE {
            grouper.group(&raised_in(&format!("step_{number}"), "a"));
        }

        assert!((PAIRS..=2 * PAIRS).contains(&known(&grouper)));
    }

    /// The stack does not count, so the message does: even where the first event has none.
    #[test]
    fn nothing_is_known_of_a_stack_that_does_not_count() {
        let mut grouper = Grouper::new(Config::default());
        let bare = |value: Option<&str>| {
            let mut event = raised_in("", "");
            event.exceptions[0].value = value.map(|value| value.to_owned().into());
            event.exceptions[0]
                .stacktrace
                .as_mut()
                .expect("it has one")
                .frames[0]
                .module = None;
            event
        };

        for value in [None, Some("disk full"), Some("no route")] {
            let event = bare(value);
            assert_eq!(grouper.group(&event), group(&event, &Config::default()));
        }

        assert_eq!(known(&grouper), 0);
    }

    #[test]
    fn built_in_rules_see_every_message_of_a_browser() {
        let mut grouper = Grouper::new(Config::default());
        for value in ["x is not a function", "ChunkLoadError: 3"] {
            let mut event = raised_in("pay", value);
            event.platform = "javascript".into();
            assert_eq!(grouper.group(&event), group(&event, &Config::default()));
        }
        assert_eq!(known(&grouper), 0);
    }

    #[test]
    fn rules_that_read_messages_are_always_asked() {
        let config = || Config::default();
        let rules = [
            config()
                .with_fingerprints("error.value:*lost* -> lost")
                .expect("a sound rule"),
            config()
                .with_enhancements("error.value:*lost* function:pay -group")
                .expect("a sound rule"),
        ];
        for config in rules {
            let mut grouper = Grouper::new(config.clone());
            for value in ["order is lost", "card declined"] {
                let event = raised_in("pay", value);
                assert_eq!(grouper.group(&event), group(&event, &config), "{value}");
            }
            assert_eq!(known(&grouper), 0);
        }
    }

    #[test]
    fn places_that_never_come_again_are_looked_up_seldom_until_one_does() {
        let mut grouper = Grouper::new(Config::default());
        for number in 0..PATIENCE {
            grouper.group(&raised_in(&format!("step_{number}"), "a"));
        }
        grouper.key.clear();
        for _ in 1..SELDOM {
            grouper.group(&raised_in("pay", "a"));
            assert!(grouper.key.is_empty());
        }

        grouper.group(&raised_in("pay", "a"));
        assert!(!grouper.key.is_empty());
        for _ in 0..SELDOM {
            grouper.group(&raised_in("pay", "a"));
        }

        assert_eq!(grouper.misses, 0);
    }
}

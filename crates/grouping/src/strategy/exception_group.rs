//! Chooses which exceptions of an event count: those an exception group wraps, and which one the event is named after.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/newstyle.py`, `filter_exceptions_for_exception_groups` and
//! `determine_main_exception_id`; RFC 79 of Sentry's SDKs.

use std::collections::{BTreeMap, HashSet};

use event::model::{Event, Exception};

use crate::stack::Prepared;

use super::Variant;

/// Which exceptions count, by their place in `event.exceptions`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// In the order they are hashed.
    pub(super) members: Vec<usize>,
    /// The one that the event is named after, when it is not the last of the event.
    pub(super) main: Option<usize>,
}

/// Chooses from an event's exceptions, whose components are `singles`.
pub(super) fn choose(prepared: &Prepared<'_>, singles: &[Vec<Variant<'_>>]) -> Chosen {
    let exceptions = &prepared.event.exceptions;
    let filtered = match has_broken_groups(prepared.event) {
        true => None,
        false => Tree::of(exceptions).and_then(|tree| tree.filter(exceptions, singles)),
    };
    let mut chosen = filtered.unwrap_or_else(|| Chosen {
        members: (0..exceptions.len()).collect(),
        main: None,
    });
    chosen.main = wrapped(exceptions, &chosen.members).or(chosen.main);
    chosen
}

/// Python's SDK 3 marks what are no exception groups as such.
fn has_broken_groups(event: &Event<'_>) -> bool {
    let version = event.sdk.as_ref().and_then(|sdk| sdk.version.as_deref());
    event.platform == "python" && version.is_some_and(|version| version.starts_with('3'))
}

/// The exceptions by their ids.
struct Tree {
    places: BTreeMap<i64, usize>,
    children: BTreeMap<i64, Vec<i64>>,
}

impl Tree {
    /// Returns the tree if there are several exceptions and every one has its own id.
    fn of(exceptions: &[Exception<'_>]) -> Option<Self> {
        let mut tree = Self {
            places: BTreeMap::new(),
            children: BTreeMap::new(),
        };
        for (place, exception) in exceptions.iter().enumerate().rev() {
            let mechanism = &exception.mechanism;
            let id = mechanism
                .exception_id
                .filter(|id| mechanism.parent_id != Some(*id))?;
            if tree.places.insert(id, place).is_some() {
                return None;
            }
            if let Some(parent) = mechanism.parent_id {
                tree.children.entry(parent).or_default().push(id);
            }
        }
        (exceptions.len() > 1).then_some(tree)
    }

    /// Keeps one of each kind of wrapped exception and the root, or a single one and what caused it.
    fn filter(&self, exceptions: &[Exception<'_>], singles: &[Vec<Variant<'_>>]) -> Option<Chosen> {
        let root = *self.places.get(&ROOT)?;
        let mut wrapped = self.wrapped(exceptions)?;
        let name = |place: &usize| exceptions[*place].ty.as_deref().unwrap_or("None");
        wrapped.sort_by(|one, other| name(other).cmp(name(one)));
        wrapped.dedup_by(|one, other| say_the_same(&singles[*one], &singles[*other]));
        match *wrapped {
            [] => None,
            [only] => Some(Chosen {
                members: self.first_path(only, exceptions)?,
                main: Some(only),
            }),
            _ => {
                wrapped.push(root);
                Some(Chosen {
                    members: wrapped,
                    main: None,
                })
            }
        }
    }

    /// Returns the first exceptions below the root that are no groups themselves; `None` when ids go in a circle.
    fn wrapped(&self, exceptions: &[Exception<'_>]) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let place = *self.places.get(&id)?;
            if !seen.insert(id) {
                return None;
            }
            match exceptions[place].mechanism.is_exception_group {
                true => open.extend(self.children_of(id).iter().rev()),
                false => found.push(place),
            }
        }
        Some(found)
    }

    /// Returns an exception, its first child, that one's first child and so on.
    fn first_path(&self, place: usize, exceptions: &[Exception<'_>]) -> Option<Vec<usize>> {
        let mut path = vec![place];
        let mut id = exceptions[place].mechanism.exception_id?;
        while let Some(child) = self.children_of(id).first() {
            path.push(*self.places.get(child)?);
            if path.len() > exceptions.len() {
                return None;
            }
            id = *child;
        }
        Some(path)
    }

    fn children_of(&self, id: i64) -> &[i64] {
        self.children
            .get(&id)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

/// Returns whether two exceptions have the same variants with the same values; what does not count may differ.
fn say_the_same(one: &[Variant<'_>], other: &[Variant<'_>]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs.all(|((kind, component), (other_kind, other))| {
            kind == other_kind && component.has_hash_of(other)
        })
}

/// Returns the cause that a wrapper of React or RxJava hides.
fn wrapped(exceptions: &[Exception<'_>], members: &[usize]) -> Option<usize> {
    let is_rx_java = |place: &&usize| {
        let exception = &exceptions[**place];
        let is_module = exception
            .module
            .as_deref()
            .is_some_and(|module| module.starts_with("io.reactivex.rxjava3"));
        is_module
            && exception
                .ty
                .as_deref()
                .is_some_and(|ty| RX_JAVA.contains(&ty))
    };
    let wrapper = members.iter().find(is_rx_java).copied();
    if let Some(id) = wrapper.and_then(|place| exceptions[place].mechanism.exception_id) {
        let is_child = |exception: &Exception<'_>| exception.mechanism.parent_id == Some(id);
        return exceptions.iter().position(is_child);
    }
    let last = exceptions.last()?;
    let is_cause = last.mechanism.source.as_deref() == Some("cause");
    let is_react = |exception: &Exception<'_>| {
        let value = exception.value.as_deref().unwrap_or_default();
        REACT.iter().any(|text| value.contains(text))
    };
    (is_cause && exceptions.iter().any(is_react)).then(|| exceptions.len() - 1)
}

const ROOT: i64 = 0;
const REACT: [&str; 2] = ["error during concurrent rendering", "error while hydrating"];
const RX_JAVA: [&str; 3] = [
    "OnErrorNotImplementedException",
    "CompositeException",
    "UndeliverableException",
];

#[cfg(test)]
mod tests {
    use event::model::Mechanism;

    use super::super::{Depth, exception as strategy};
    use super::*;

    fn exception(
        ty: &'static str,
        id: i64,
        parent: Option<i64>,
        is_group: bool,
    ) -> Exception<'static> {
        let mechanism = Mechanism {
            exception_id: Some(id),
            parent_id: parent,
            is_exception_group: is_group,
            ..Mechanism::default()
        };
        Exception {
            ty: Some(ty.into()),
            value: Some(ty.into()),
            mechanism,
            ..Exception::default()
        }
    }

    fn chosen(exceptions: Vec<Exception<'static>>) -> Chosen {
        let event = Event {
            exceptions,
            ..Event::default()
        };
        let config = crate::Config::default();
        let prepared = Prepared::new(&event, &config);
        let singles: Vec<_> = event
            .exceptions
            .iter()
            .zip(&prepared.exceptions)
            .map(|(exception, stack)| {
                let stacks = strategy::stacks(stack.as_ref(), Depth::Everything);
                strategy::single(exception, stacks, Depth::Everything)
            })
            .collect();
        choose(&prepared, &singles)
    }

    #[test]
    fn equal_members_of_a_group_count_once_and_without_the_group() {
        let group = vec![
            exception("Deep", 3, Some(1), false),
            exception("A", 2, Some(0), false),
            exception("A", 1, Some(0), false),
            exception("Group", 0, None, true),
        ];

        assert_eq!(
            chosen(group),
            Chosen {
                members: vec![2, 0],
                main: Some(2)
            }
        );
    }

    #[test]
    fn members_are_compared_by_what_counts() {
        let raised = |value: &'static str, id| {
            let frame = event::model::Frame {
                function: Some("f".into()),
                in_app: Some(true),
                ..event::model::Frame::default()
            };
            Exception {
                value: Some(value.into()),
                stacktrace: Some(event::model::Stacktrace {
                    frames: vec![frame],
                }),
                ..exception("A", id, Some(0), false)
            }
        };
        let group = vec![
            raised("red", 2),
            raised("blue", 1),
            exception("Group", 0, None, true),
        ];

        let found = chosen(group);

        assert_eq!((found.members, found.main), (vec![1], Some(1)));
    }

    #[test]
    fn different_members_count_with_the_group_last() {
        let group = vec![
            exception("B", 2, Some(0), false),
            exception("A", 1, Some(0), false),
            exception("Group", 0, None, true),
        ];

        assert_eq!(
            chosen(group),
            Chosen {
                members: vec![0, 1, 2],
                main: None
            }
        );
    }

    #[test]
    fn ids_in_a_circle_leave_the_list_alone() {
        let circle = vec![
            exception("A", 1, Some(2), true),
            exception("B", 2, Some(1), true),
            exception("Group", 0, None, true),
        ];

        assert_eq!(
            chosen(circle),
            Chosen {
                members: vec![0, 1, 2],
                main: None
            }
        );
    }

    #[test]
    fn a_plain_chain_is_left_alone() {
        let mut chain = vec![
            exception("A", 1, Some(0), false),
            exception("B", 0, None, false),
        ];
        chain[0].mechanism.exception_id = None;

        assert_eq!(
            chosen(chain),
            Chosen {
                members: vec![0, 1],
                main: None
            }
        );
    }
}

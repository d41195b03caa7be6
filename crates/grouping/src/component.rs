//! The tree an event's hash is made of: values, whether each counts, and the hint why not, so that it can explain itself.
//!
//! Source: Sentry, `src/sentry/grouping/component.py`.

use std::borrow::Cow;

use crate::hash::Hasher;

/// A value or a group of components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component<'e> {
    /// What it is, such as `exception`, `frame`, `function`.
    pub(crate) id: &'static str,
    /// Whether it and what is below counts.
    pub(crate) contributes: bool,
    /// Why it does not count, or how it was changed.
    pub(crate) hint: Option<Cow<'static, str>>,
    /// What it holds.
    pub(crate) content: Content<'e>,
}

/// What a component holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'e> {
    /// Nothing.
    Empty,
    /// One value.
    Value(Cow<'e, str>),
    /// Components in the order they are hashed.
    Children(Vec<Component<'e>>),
}

impl<'e> Component<'e> {
    /// Returns a component without content, which does not count.
    pub(crate) fn empty(id: &'static str) -> Self {
        Self {
            id,
            contributes: false,
            hint: None,
            content: Content::Empty,
        }
    }

    /// Returns a value, which counts.
    pub(crate) fn value(id: &'static str, value: impl Into<Cow<'e, str>>) -> Self {
        Self {
            id,
            contributes: true,
            hint: None,
            content: Content::Value(value.into()),
        }
    }

    /// Returns a value if there is one.
    pub(crate) fn optional(id: &'static str, value: Option<impl Into<Cow<'e, str>>>) -> Self {
        match value {
            Some(value) => Self::value(id, value),
            None => Self::empty(id),
        }
    }

    /// Returns a group, which counts if any member does now; switching a member off later does not change that.
    pub(crate) fn group(id: &'static str, children: Vec<Self>) -> Self {
        let contributes = children.iter().any(|child| child.contributes);
        Self {
            id,
            contributes,
            hint: None,
            content: Content::Children(children),
        }
    }

    /// Makes it not count.
    pub(crate) fn ignore(&mut self, hint: impl Into<Cow<'static, str>>) {
        self.contributes = false;
        self.hint = Some(hint.into());
    }

    /// Makes it not count, in passing.
    pub(crate) fn ignored(mut self, hint: &'static str) -> Self {
        self.ignore(hint);
        self
    }

    /// Adds a hint, in passing.
    pub(crate) fn hinted(mut self, hint: &'static str) -> Self {
        self.hint = Some(Cow::Borrowed(hint));
        self
    }

    /// Returns the direct member of that id.
    pub(crate) fn child(&mut self, id: &str) -> Option<&mut Self> {
        match &mut self.content {
            Content::Children(children) => children.iter_mut().find(|child| child.id == id),
            Content::Empty | Content::Value(_) => None,
        }
    }

    /// Feeds the values that count to a hash.
    pub(crate) fn feed(&self, hasher: &mut Hasher) {
        if !self.contributes {
            return;
        }
        match &self.content {
            Content::Empty => (),
            Content::Value(value) => hasher.update(value),
            Content::Children(children) => children.iter().for_each(|child| child.feed(hasher)),
        }
    }

    /// Returns whether the hashes are the same, without making them.
    pub(crate) fn has_hash_of(&self, other: &Self) -> bool {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        self.collect(&mut own);
        other.collect(&mut others);
        own == others || own.concat() == others.concat()
    }

    fn collect<'c>(&'c self, values: &mut Vec<&'c str>) {
        if !self.contributes {
            return;
        }
        match &self.content {
            Content::Empty => (),
            Content::Value(value) => values.push(value),
            Content::Children(children) => children.iter().for_each(|child| child.collect(values)),
        }
    }

    /// Returns the hash of the values that count.
    #[cfg(test)]
    pub(crate) fn hash(&self) -> String {
        let mut hasher = Hasher::default();
        self.feed(&mut hasher);
        hasher.finish()
    }

    /// Returns whether a stack that counts is below, leaving out what does not count.
    pub(crate) fn has_stacktrace(&self) -> bool {
        match &self.content {
            Content::Children(children) => children
                .iter()
                .filter(|child| child.contributes)
                .any(|child| child.id == STACKTRACE || child.has_stacktrace()),
            Content::Empty | Content::Value(_) => false,
        }
    }
}

/// The id of a stack.
pub(crate) const STACKTRACE: &str = "stacktrace";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_does_not_count_hides_its_members() {
        let mut group = Component::group("g", vec![Component::value("v", "a")]);
        assert_eq!(group.hash(), crate::hash::hash(["a"]));

        group.ignore("because");

        assert_eq!(group.hash(), crate::hash::hash([]));
    }

    #[test]
    fn a_member_switched_off_late_leaves_the_group_counting() {
        let mut group = Component::group("g", vec![Component::value("v", "a")]);
        if let Content::Children(children) = &mut group.content {
            children[0].ignore("late");
        }

        assert!(group.contributes);
        assert_eq!(group.hash(), crate::hash::hash([]));
    }
}

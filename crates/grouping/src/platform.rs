//! Families of platforms that Sentry treats alike.
//!
//! Source: Sentry, `src/sentry/stacktraces/platform.py`.

/// A family of platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Compiled to machine code: C, C++, Objective-C, Swift and what calls itself `native`.
    Native,
    /// Browsers and Node.js.
    JavaScript,
    /// Everything else.
    Other,
}

impl Family {
    /// Every family, in the order of their numbers.
    pub(crate) const ALL: [Self; 3] = [Self::Native, Self::JavaScript, Self::Other];

    /// Returns the family of a platform.
    pub(crate) fn of(platform: &str) -> Self {
        match platform {
            "objc" | "cocoa" | "swift" | "native" | "c" => Self::Native,
            "javascript" | "node" => Self::JavaScript,
            _ => Self::Other,
        }
    }

    /// Returns the name that rules use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::JavaScript => "javascript",
            Self::Other => "other",
        }
    }
}

/// A set of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Families(u8);

impl Families {
    /// Every family.
    pub(crate) const ALL: Self = Self(7);

    /// How many sets there are.
    pub(crate) const SETS: usize = 8;

    /// Returns every set, in the order of [`Families::index`].
    pub(crate) fn every_set() -> [Self; Self::SETS] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(Self)
    }

    /// Returns the set's place among all.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// Reads a comma-separated list; `all` stands for every family and unknown names for none.
    pub(crate) fn parse(list: &str) -> Self {
        list.split(',')
            .fold(Self::default(), |set, name| match name.trim() {
                "native" => set.with(Family::Native),
                "javascript" => set.with(Family::JavaScript),
                "other" => set.with(Family::Other),
                "all" => Self::ALL,
                _ => set,
            })
    }

    /// Returns the set with one family more.
    pub(crate) fn with(self, family: Family) -> Self {
        Self(self.0 | 1 << family as u8)
    }

    /// Returns the families that both sets hold.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the families that either set holds.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether the set holds a family.
    pub(crate) fn contains(self, family: Family) -> bool {
        self.0 & 1 << family as u8 != 0
    }

    /// Returns whether the set holds no family.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_it_names() {
        assert!(Families::parse("native,other").contains(Family::Other));
        assert!(!Families::parse("native,other").contains(Family::JavaScript));
        assert_eq!(Families::parse("all"), Families::ALL);
        assert!(Families::parse("pony").is_empty());
    }
}

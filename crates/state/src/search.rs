//! Looking for issues, a page at a time: nobody ever holds them all.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::memory::millis;
use crate::{Issue, IssueKey, NoIssueKey};

/// What issues must have in common to be found. The default finds all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// Their project.
    pub project: Option<u64>,
    /// The environment of their newest event, to the letter.
    pub environment: Option<String>,
    /// What their title holds; ASCII letters match in either case.
    pub text: String,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Issues, last seen first.
    pub issues: Vec<Issue>,
    /// Where the search goes on; `None` when there is nothing more to look at.
    pub next: Option<Cursor>,
    /// How many issues are known, found or not.
    pub known: usize,
}

/// The place in the order of issues after which a search goes on. `Display` and `FromStr` speak `1764117533000-42:9f3c…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When the last issue looked at was seen, in milliseconds since 1970.
    pub last_seen: u64,
    /// That issue.
    pub issue: IssueKey,
}

impl Cursor {
    /// Returns the place after an issue that was last seen at a moment.
    pub fn after(issue: IssueKey, last_seen: SystemTime) -> Self {
        let last_seen = millis(last_seen);
        Self { last_seen, issue }
    }

    /// Returns when the issue before this place was seen.
    pub fn moment(&self) -> SystemTime {
        crate::memory::moment(self.last_seen)
    }
}

impl Found {
    /// How many issues one call of [`crate::Store::search`] looks at.
    pub const LOOKED_AT: usize = 5_000;
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.last_seen, self.issue)
    }
}

impl FromStr for Cursor {
    type Err = NoIssueKey;

    fn from_str(text: &str) -> Result<Self, NoIssueKey> {
        let (last_seen, issue) = text.split_once('-').ok_or(NoIssueKey)?;
        Ok(Self {
            last_seen: last_seen.parse().map_err(|_| NoIssueKey)?,
            issue: issue.parse()?,
        })
    }
}

/// A search made ready for many titles.
pub(crate) struct Sieve<'a> {
    search: &'a Search,
    text: String,
    title: String,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(search: &'a Search) -> Self {
        Self {
            search,
            text: search.text.to_ascii_lowercase(),
            title: String::new(),
        }
    }

    /// The text as every backend compares it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_match(&mut self, project: u64, environment: &str, title: &str) -> bool {
        let search = self.search;
        if search.project.is_some_and(|wanted| wanted != project)
            || (search.environment.as_deref()).is_some_and(|wanted| wanted != environment)
        {
            return false;
        }
        if self.text.is_empty() {
            return true;
        }
        self.title.clear();
        self.title.push_str(title);
        self.title.make_ascii_lowercase();
        self.title.contains(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes_and_nothing_else() {
        let text = "1764117533000-42:9f3c2d1a00000000000000000000000b";

        let cursor: Cursor = text.parse().unwrap();

        assert_eq!(cursor.to_string(), text);
        for wrong in [
            "",
            "1",
            "1-",
            "x-42:9f3c2d1a00000000000000000000000b",
            "1-42:9f",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}

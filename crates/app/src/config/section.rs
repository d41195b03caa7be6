//! Reads one table of the configuration key by key, and collects every problem instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::problem::{Origin, Problem, Wrong};
use super::tree::{Node, Table, Value};

/// Problems and warnings found so far, shared by all sections.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    problems: Rc<RefCell<Vec<Problem>>>,
    warnings: Rc<RefCell<Vec<Problem>>>,
    keys: Rc<RefCell<BTreeSet<String>>>,
}

/// One table of the configuration, and which of its keys were asked for.
pub(super) struct Section {
    table: Table,
    path: String,
    origin: Origin,
    asked: BTreeSet<String>,
    findings: Findings,
}

impl Findings {
    pub(super) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn warning(&self, warning: Problem) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Returns every dotted key that was looked for and is obeyed.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        self.keys.borrow().clone()
    }

    /// Returns problems and warnings in the order of their lines.
    pub(super) fn take(&self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |list: &RefCell<Vec<Problem>>| {
            let mut list = list.take();
            list.sort_by_key(|problem| match &problem.origin {
                Origin::File { line, .. } => (0, *line),
                Origin::Environment(_) => (1, 0),
                Origin::Flag(_) => (2, 0),
                Origin::Missing => (3, 0),
            });
            list
        };
        (sorted(&self.problems), sorted(&self.warnings))
    }
}

impl Section {
    pub(super) fn root(table: Table, findings: Findings) -> Self {
        Self {
            table,
            path: String::new(),
            origin: Origin::Missing,
            asked: BTreeSet::new(),
            findings,
        }
    }

    /// Returns the section of a sub-table; an absent one reads as empty.
    pub(super) fn section(&mut self, key: &str) -> Self {
        let node = self.node(key);
        let origin = node
            .as_ref()
            .map_or_else(|| self.origin.clone(), |node| node.origin.clone());
        let table = match node.map(|node| node.value) {
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.complain(
                    key,
                    &Wrong::new(
                        format!("expected a table, found {}", describe(&other)),
                        format!("write `[{}]`", self.full(key)),
                    ),
                );
                Table::new()
            }
            None => Table::new(),
        };
        Self {
            table,
            path: self.full(key),
            origin,
            asked: BTreeSet::new(),
            findings: self.findings.clone(),
        }
    }

    /// Returns the sections of a list of tables, `[[key]]`.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Self> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::List(items) = node.value else {
            let what = format!("expected a list of tables, found {}", describe(&node.value));
            self.complain(
                key,
                &Wrong::new(what, format!("write `[[{}]]`", self.full(key))),
            );
            return Vec::new();
        };
        let numbered = items.into_iter().enumerate();
        numbered
            .filter_map(|(index, item)| match item.value {
                Value::Table(table) => Some(Self {
                    table,
                    path: format!("{}[{index}]", self.full(key)),
                    origin: item.origin,
                    asked: BTreeSet::new(),
                    findings: self.findings.clone(),
                }),
                other => {
                    let what = format!("item {index} is {}, not a table", describe(&other));
                    self.complain(
                        key,
                        &Wrong::new(what, format!("write `[[{}]]`", self.full(key))),
                    );
                    None
                }
            })
            .collect()
    }

    /// Returns the names of all sub-tables, for tables whose keys the user chooses.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Returns whether a key is set.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Returns whether a key is set to any text.
    pub(super) fn is_any_text(&self, key: &str) -> bool {
        let node = self.table.get(key);
        node.is_some_and(|node| matches!(node.value, Value::Text(_)))
    }

    /// Counts a key as known here without reading it.
    pub(super) fn ask(&mut self, key: &str) {
        self.asked.insert(key.to_owned());
    }

    /// Reads a key, or returns the default when it is absent or wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// Reads a key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.findings.keys.borrow_mut().insert(self.full(key));
        let node = self.node(key)?;
        match parse(&node) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(key, &wrong);
                None
            }
        }
    }

    /// Reports a problem of a key of this section.
    pub(super) fn complain(&self, key: &str, wrong: &Wrong) {
        self.findings.problem(self.finding(key, wrong));
    }

    /// Reports every fault of a file that a key names, at its line there.
    pub(super) fn complain_in(
        &self,
        file: &str,
        key: &str,
        faults: impl Iterator<Item = (usize, String)>,
    ) {
        for (line, what) in faults {
            self.findings.problem(Problem {
                origin: Origin::File {
                    file: file.to_owned(),
                    line,
                },
                key: self.full(key),
                what,
                hint: String::new(),
            });
        }
    }

    /// Reports something about a key that is worth knowing and does no harm.
    pub(super) fn warn(&self, key: &str, wrong: &Wrong) {
        self.findings.warning(self.finding(key, wrong));
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let unknown: Vec<&String> = self
            .table
            .keys()
            .filter(|key| !self.asked.contains(*key))
            .collect();
        for key in unknown {
            let hint = nearest(key, self.asked.iter().map(String::as_str)).map_or_else(
                || format!("known keys here: {}", join(&self.asked)),
                |known| format!("did you mean `{known}`?"),
            );
            self.complain(key, &Wrong::new("unknown key", hint));
        }
    }

    fn node(&mut self, key: &str) -> Option<Node> {
        self.asked.insert(key.to_owned());
        self.table.get(key).cloned()
    }

    fn finding(&self, key: &str, wrong: &Wrong) -> Problem {
        let node = self.table.get(key);
        Problem {
            origin: node.map_or_else(|| self.origin.clone(), |node| node.origin.clone()),
            key: self.full(key),
            what: wrong.what.clone(),
            hint: wrong.hint.clone(),
        }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }
}

/// Returns the candidate most like a word, if any is like it at all.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// Says what kind of value was found.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Boolean(boolean) => format!("the boolean `{boolean}`"),
        Value::Integer(integer) => format!("the number `{integer}`"),
        Value::Float(float) => format!("the number `{float}`"),
        Value::Text(text) => format!("the text `{text}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn join(words: &BTreeSet<String>) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

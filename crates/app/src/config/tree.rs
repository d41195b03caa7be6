//! The configuration as written: values with the place each came from, from a TOML file, the environment and flags.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Node>;

/// Parses a TOML text, and reports every syntax error.
pub(super) fn parse(file: &str, text: &str) -> (Table, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let source = Source { file, text };
    let problems = errors.iter().map(|error| Problem {
        origin: source.origin(error.span().unwrap_or_default()),
        key: String::new(),
        what: error.message().to_owned(),
        hint: "see https://toml.io for the syntax".to_owned(),
    });
    let problems = problems.collect();
    (source.table(table.into_inner()), problems)
}

/// Puts `PREFIX__A__B=value` variables into the tree as `a.b`.
///
/// A segment matches existing keys without regard to case, so that robots with upper-case names can be reached.
pub(super) fn overlay_environment(
    root: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let origin = Origin::Environment(name.clone());
        overlay(
            root,
            &path,
            Node {
                value: Value::Text(value),
                origin,
            },
        );
    }
}

/// Puts one value into the tree, over whatever was there.
pub(super) fn overlay(table: &mut Table, path: &[String], node: Node) {
    let [key, rest @ ..] = path else { return };
    let known = table.keys().find(|known| known.eq_ignore_ascii_case(key));
    let key = known.unwrap_or(key).clone();
    if rest.is_empty() {
        table.insert(key, node);
        return;
    }
    let origin = node.origin.clone();
    let empty = || Node {
        value: Value::Table(Table::new()),
        origin,
    };
    let child = table.entry(key).or_insert_with(empty);
    if let Value::Table(child) = &mut child.value {
        overlay(child, rest, node);
    }
}

/// Puts one value into the tree where there is none.
pub(super) fn underlay(table: &mut Table, path: &[String], node: Node) {
    if find(table, path).is_none() {
        overlay(table, path, node);
    }
}

fn find<'t>(table: &'t Table, path: &[String]) -> Option<&'t Node> {
    let (key, rest) = path.split_first()?;
    let node = table.get(key)?;
    match &node.value {
        Value::Table(child) if !rest.is_empty() => find(child, rest),
        _ => Some(node),
    }
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Origin::File {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
        }
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        table
            .into_iter()
            .map(|(key, value)| {
                let at_key = self.origin(key.span());
                let mut node = self.node(value);
                // A table's own span is that of its header or braces; its key says better where it is.
                node.origin = at_key;
                (key.into_inner().into_owned(), node)
            })
            .collect()
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        let origin = self.origin(value.span());
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Integer(integer) => integer_of(&integer),
            DeValue::Float(float) => float
                .as_str()
                .parse()
                .map_or_else(|_| Value::Text(float.to_string()), Value::Float),
            DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
            DeValue::Array(list) => {
                Value::List(list.into_iter().map(|item| self.node(item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { value, origin }
    }
}

fn integer_of(integer: &toml::de::DeInteger<'_>) -> Value {
    i64::from_str_radix(integer.as_str(), integer.radix())
        .map_or_else(|_| Value::Text(integer.to_string()), Value::Integer)
}

/// What the names of our environment variables begin with.
pub(super) const PREFIX: &str = "SENTRY_NOTICE__";

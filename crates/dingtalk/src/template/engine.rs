//! The engine with its guards: which filters there are, how a value is written, how much a run may cost.
//!
//! Left out on purpose: whatever makes markup of a value (`safe`, `escape`, `replace` on markup), other files, macros.

use std::collections::BTreeSet;

use alert::Mention;
use minijinja::value::{Object, Value, ValueKind};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, filters, syntax,
};

use crate::markdown;

/// How values are written: whom a text must not mention by chance, and whether markdown acts in it.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) mention: Mention,
    pub(super) is_markdown: bool,
}

impl Object for Manner {}

/// Returns an engine that holds one template.
pub(super) fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("dingtalk".into()));
    environment.set_formatter(write_value);
    environment.set_fuel(Some(FUEL));
    let syntax = syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    add_filters(&mut environment);
    environment.add_template_owned(NAME, source.to_owned())?;
    Ok(environment)
}

/// Runs the template: its text, and its title if it sets one.
pub(super) fn run(
    environment: &Environment<'_>,
    facts: Value,
) -> Result<(String, Option<String>), Error> {
    let template = environment.get_template(NAME)?;
    let captured = template.render_captured(facts)?;
    let title = captured.state().lookup(TITLE);
    let title = title.and_then(|title| title.as_str().map(str::to_owned));
    Ok((captured.output().to_owned(), title))
}

/// Returns the names that a template asks for, in whatever branch, and that `facts` lack.
pub(super) fn unknown_names(environment: &Environment<'_>, facts: &Value) -> BTreeSet<String> {
    let Ok(template) = environment.get_template(NAME) else {
        return BTreeSet::new();
    };
    let asked = template.undeclared_variables(true).into_iter();
    asked
        .filter(|name| name != TITLE && !is_known(name, facts))
        .collect()
}

fn is_known(name: &str, facts: &Value) -> bool {
    let mut value = facts.clone();
    for part in name.split('.') {
        value = match value.get_attr(part) {
            Ok(inner) if !inner.is_undefined() => inner,
            Ok(_) | Err(_) => return false,
        };
        if value.kind() != ValueKind::Map {
            return true;
        }
    }
    true
}

fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("default", filters::default);
    environment.add_filter("first", |values: Value| {
        values.try_iter().map(|mut values| values.next())
    });
    environment.add_filter("join", join);
    environment.add_filter("last", |values: Value| {
        values.try_iter().map(|values| values.last())
    });
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", |value: Value| {
        on_text(&value, |text| Ok(text.to_lowercase()))
    });
    environment.add_filter("replace", |value: Value, from: &str, to: &str| {
        on_text(&value, |text| replace(text, from, to))
    });
    environment.add_filter("round", filters::round);
    environment.add_filter("truncate", |value: Value, limit: usize| {
        on_text(&value, |text| Ok(markdown::line(text, limit)))
    });
    environment.add_filter("upper", |value: Value| {
        on_text(&value, |text| Ok(text.to_uppercase()))
    });
}

/// Changes a text; what is not there stays so. The result is plain text, whatever went in.
fn on_text(
    value: &Value,
    change: impl FnOnce(&str) -> Result<String, Error>,
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Ok(Value::from(())),
        _ => change(&value.to_string()).map(Value::from),
    }
}

/// The longest result is what the fuel allows anyway; a longer one must not be made first.
fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = match from.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(from).count(),
    };
    match text.len() + found.saturating_mul(to.len()) <= LONGEST_VALUE {
        true => Ok(text.replace(from, to)),
        false => Err(too_long()),
    }
}

/// Joins plain texts: what comes out is plain text, whatever went in.
fn join(values: Value, separator: Option<&str>) -> Result<String, Error> {
    let mut text = String::new();
    for (place, value) in values.try_iter()?.enumerate() {
        if place > 0 {
            text.push_str(separator.unwrap_or_default());
        }
        text.push_str(&value.to_string());
        if text.len() > LONGEST_VALUE {
            return Err(too_long());
        }
    }
    Ok(text)
}

fn too_long() -> Error {
    Error::from(ErrorKind::OutOfFuel)
}

/// Writes a value: ours as it is, nothing for what is not there, and everything else as one inert line.
fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => return Ok(()),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            let what = "a list or a group of facts cannot be shown; name one of them";
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
        _ => {}
    }
    if value.is_safe() {
        return Ok(output.write_str(value.as_str().unwrap_or_default())?);
    }
    let manner = state.lookup(MANNER);
    let manner = manner
        .as_ref()
        .and_then(|manner| manner.downcast_object_ref::<Manner>());
    let manner = manner.ok_or_else(|| Error::new(ErrorKind::BadEscape, "no manner of writing"))?;
    let line = markdown::line(&value.to_string(), LONGEST_VALUE);
    let line = match manner.is_markdown {
        true => markdown::inert_anywhere(&line, &manner.mention),
        false => markdown::inert_in_plain_text(&line, &manner.mention),
    };
    Ok(output.write_str(&line)?)
}

/// Where a run finds its [`Manner`]; no template can say a name with a blank.
pub(super) const MANNER: &str = "manner of writing";

const NAME: &str = "template";
const TITLE: &str = "title";

/// What a run may cost: one for each step, and one for each 64 bytes it makes. A usual card takes some hundred.
const FUEL: u64 = 20_000;

/// Bytes of the longest text that a filter makes, and characters of the longest value that is written.
const LONGEST_VALUE: usize = 16 << 10;

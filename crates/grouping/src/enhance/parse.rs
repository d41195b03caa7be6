//! Reads enhancement rules: one a line, `matchers actions`, `#` starts a comment.

use crate::error::{RuleError, RuleErrors, RuleProblem};
use crate::glob::Glob;
use crate::platform::Families;

use super::Patterns;
use super::rule::{
    Action, ExceptionField, ExceptionMatcher, Field, Flag, FrameMatcher, FrameTest, Range, Rule,
    Whose,
};

/// Reads a text of rules, adding the patterns they use to `patterns`.
///
/// # Errors
/// Every line that is no rule.
pub(crate) fn parse(text: &str, patterns: &mut Patterns) -> Result<Vec<Rule>, RuleErrors> {
    let mut rules = Vec::new();
    let mut errors: Vec<RuleError> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Parser::new(line, patterns).rule() {
            Ok(rule) => rules.push(rule),
            Err(problem) => errors.push(problem.on(index + 1)),
        }
    }
    match errors.is_empty() {
        true => Ok(rules),
        false => Err(RuleErrors(errors)),
    }
}

struct Parser<'t, 'p> {
    text: &'t str,
    rest: &'t str,
    patterns: &'p mut Patterns,
    rule: Rule,
}

impl<'t, 'p> Parser<'t, 'p> {
    fn new(text: &'t str, patterns: &'p mut Patterns) -> Self {
        let rule = Rule {
            text: text.into(),
            families: Families::ALL,
            exception: Vec::new(),
            frame: Vec::new(),
            actions: Vec::new(),
        };
        Self {
            text,
            rest: text,
            patterns,
            rule,
        }
    }

    fn rule(mut self) -> Result<Rule, RuleProblem> {
        if self.skip("[") {
            self.neighbour(Whose::Caller)?;
            self.expect("|")?;
        }
        while self.is_at_matcher() {
            self.matcher(Whose::Own)?;
        }
        if self.rule.frame.is_empty() && self.rule.exception.is_empty() {
            return Err(RuleProblem::NoMatcher);
        }
        if self.skip("|") {
            self.expect("[")?;
            self.neighbour(Whose::Callee)?;
        }
        self.actions()?;
        Ok(self.rule)
    }

    fn neighbour(&mut self, whose: Whose) -> Result<(), RuleProblem> {
        self.matcher(whose)?;
        self.expect("]")
    }

    fn actions(&mut self) -> Result<(), RuleProblem> {
        let mut has_action = false;
        while !self.peek().is_empty() && !self.rest.starts_with('#') {
            let action = self.action()?;
            self.rule.actions.extend(action);
            has_action = true;
        }
        match has_action {
            true => Ok(()),
            false => Err(RuleProblem::NoAction),
        }
    }

    /// Reads `-app`, or `max-frames=3` with blanks around the sign or not.
    fn action(&mut self) -> Result<Option<Action>, RuleProblem> {
        let is_end = |c: char| c.is_whitespace() || c == '=';
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        let Some(after) = after.trim_start().strip_prefix('=') else {
            let action = flag(word).ok_or_else(|| RuleProblem::UnknownAction(word.to_owned()));
            return action.map(Some);
        };
        let value = after.split_whitespace().next().unwrap_or_default();
        self.rest = &after.trim_start()[value.len()..];
        assignment(word, value)
    }

    /// A matcher is `key:value`; an action never holds a colon before its first blank.
    fn is_at_matcher(&mut self) -> bool {
        let word = self.peek().trim_start_matches('!');
        match word.strip_prefix('"') {
            Some(quoted) => quoted.contains("\":"),
            None => {
                let end = word.find(|c: char| c.is_whitespace() || c == '=');
                word[..end.unwrap_or(word.len())].contains(':')
            }
        }
    }

    fn matcher(&mut self, whose: Whose) -> Result<(), RuleProblem> {
        let is_negated = self.skip("!");
        let key = self.key()?;
        let value = self.value()?;
        let pattern = value.replace("\\\\", "\\");
        if let Some(field) = exception_field(key) {
            let glob = compile(&pattern, Glob::text)?;
            self.rule.exception.push(ExceptionMatcher {
                is_negated,
                field,
                glob,
            });
            return Ok(());
        }
        let test = self.frame_test(key, &pattern)?;
        if let (FrameTest::Family(families), Whose::Own, false) = (&test, whose, is_negated) {
            self.rule.families = self.rule.families.and(*families);
        }
        self.rule.frame.push(FrameMatcher {
            is_negated,
            whose,
            test,
        });
        Ok(())
    }

    fn key(&mut self) -> Result<&'t str, RuleProblem> {
        let text = self.peek();
        let (key, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once("\":").ok_or(RuleProblem::OpenQuote)?,
            None => text.split_once(':').ok_or(RuleProblem::NoMatcher)?,
        };
        self.rest = rest;
        Ok(key)
    }

    fn value(&mut self) -> Result<&'t str, RuleProblem> {
        let (value, rest) = match self.rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(RuleProblem::OpenQuote)?,
            None => self.rest.split_at(
                self.rest
                    .find(char::is_whitespace)
                    .unwrap_or(self.rest.len()),
            ),
        };
        self.rest = rest;
        Ok(value)
    }

    fn frame_test(&mut self, key: &str, value: &str) -> Result<FrameTest, RuleProblem> {
        let field = match key {
            "stack.module" | "module" => Field::Module,
            "stack.function" | "function" => Field::Function,
            "stack.abs_path" | "path" => Field::Path,
            "stack.package" | "package" => Field::Package,
            "category" => return compile(value, Glob::text).map(FrameTest::Category),
            "family" => return Ok(FrameTest::Family(Families::parse(value))),
            "app" => return boolean(key, value).map(FrameTest::InApp),
            _ => return Err(RuleProblem::UnknownMatcher(key.to_owned())),
        };
        let glob = match field {
            Field::Module | Field::Function => compile(value, Glob::text)?,
            Field::Path | Field::Package => compile(value, Glob::path)?,
        };
        Ok(FrameTest::Field(self.patterns.add(field, value, glob)))
    }

    fn peek(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.peek().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), RuleProblem> {
        debug_assert!(!self.text.is_empty(), "blank lines are skipped");
        match self.skip(token) {
            true => Ok(()),
            false => Err(RuleProblem::InvalidNeighbour),
        }
    }
}

fn exception_field(key: &str) -> Option<ExceptionField> {
    match key {
        "error.type" | "type" => Some(ExceptionField::Type),
        "error.value" | "value" => Some(ExceptionField::Value),
        "error.mechanism" | "mechanism" => Some(ExceptionField::Mechanism),
        _ => None,
    }
}

/// `invert-stacktrace` turned the order of Sentry's former tree grouping; hashes do not depend on it.
fn assignment(key: &str, value: &str) -> Result<Option<Action>, RuleProblem> {
    let invalid = || RuleProblem::InvalidValue {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let number = || value.parse().map_err(|_| invalid());
    match key {
        "category" if !value.is_empty() => Ok(Some(Action::Category(value.into()))),
        "category" => Err(invalid()),
        "max-frames" => number().map(Action::MaxFrames).map(Some),
        "min-frames" => number().map(Action::MinFrames).map(Some),
        "invert-stacktrace" => boolean(key, value).map(|_| None),
        _ => Err(RuleProblem::UnknownAction(key.to_owned())),
    }
}

fn flag(word: &str) -> Option<Action> {
    let (range, word) = match word.strip_prefix('^') {
        Some(rest) => (Range::Up, rest),
        None => match word.strip_prefix('v') {
            Some(rest) => (Range::Down, rest),
            None => (Range::Own, word),
        },
    };
    let (value, name) = match word.strip_prefix('+') {
        Some(name) => (true, name),
        None => (false, word.strip_prefix('-')?),
    };
    let flag = match name {
        "app" => Flag::App,
        "group" => Flag::Group,
        _ => return None,
    };
    Some(Action::Flag { flag, value, range })
}

fn boolean(key: &str, value: &str) -> Result<bool, RuleProblem> {
    match value {
        "1" | "yes" | "true" => Ok(true),
        "0" | "no" | "false" => Ok(false),
        _ => Err(RuleProblem::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    }
}

fn compile(pattern: &str, compiler: fn(&str) -> Result<Glob, String>) -> Result<Glob, RuleProblem> {
    compiler(pattern).map_err(|reason| RuleProblem::InvalidPattern {
        pattern: pattern.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Rule, RuleProblem> {
        Parser::new(line, &mut Patterns::default()).rule()
    }

    #[test]
    fn every_documented_form_is_read() {
        let lines = [
            "family:native function:std::* -app",
            "stack.abs_path:**/x/** +app +group",
            "!module:foo.* category=mine",
            "[ function:outer ] | function:inner -group",
            "function:inner | [ !category:system ] ^-group v-group",
            "error.type:Foo error.value:\"a b*\" error.mechanism:onerror app:yes max-frames=3",
            "path:C:\\\\x\\\\** min-frames=2 # why",
            "function:x max-frames = 3 category= mine -app",
            "function:x invert-stacktrace=1",
            "\"stack.function\":\"operator new\" -group",
        ];
        for line in lines {
            assert!(one(line).is_ok(), "{line}: {:?}", one(line).err());
        }
    }

    #[test]
    fn each_problem_is_named_with_its_line() {
        let text = "function:ok -app\nfunction:x\n\n-app\nfunktion:x -app\nfunction:x app\nfunction:a[b -app\n\
                    app:perhaps +app\nfunction:x max-frames=many\n[ function:a | function:b -app\nfunction:\"x -app";

        let errors = parse(text, &mut Patterns::default()).unwrap_err();

        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "line 2: no action such as `-app` at the end",
                "line 4: no matcher such as `function:main` at the start",
                "line 5: unknown matcher `funktion`",
                "line 6: `app` is neither a matcher nor an action",
                "line 7: the pattern `a[b` does not work: unclosed character class; missing ']'",
                "line 8: `perhaps` is not a value of `app`",
                "line 9: `many` is not a value of `max-frames`",
                "line 10: a matcher of the caller is written `[ … ] |`, one of the callee `| [ … ]`",
                "line 11: a quote does not close",
            ]
        );
    }

    #[test]
    fn family_matchers_narrow_the_rule() {
        let rule = one("family:native,javascript family:native function:x -app").unwrap();

        assert_eq!(rule.families, Families::parse("native"));
    }
}

//! Reads fingerprint rules: one a line, `matchers -> fingerprint title="…"`, `#` starts a comment.
//!
//! Source: <https://docs.sentry.io/concepts/data-management/event-grouping/fingerprint-rules/>.

use crate::error::{RuleError, RuleErrors, RuleProblem};

use super::rule::FingerprintRule;

/// Reads a text of rules.
///
/// # Errors
/// Every line that is no rule.
pub(crate) fn parse(text: &str) -> Result<Vec<FingerprintRule>, RuleErrors> {
    let mut rules = Vec::new();
    let mut errors: Vec<RuleError> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match rule(line) {
            Ok(rule) => rules.push(rule),
            Err(problem) => errors.push(problem.on(index + 1)),
        }
    }
    match errors.is_empty() {
        true => Ok(rules),
        false => Err(RuleErrors(errors)),
    }
}

fn rule(line: &str) -> Result<FingerprintRule, RuleProblem> {
    let mut rest = line;
    let mut matchers: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("->") {
            let (values, title) = fingerprint(after)?;
            let matchers = matchers
                .iter()
                .map(|(key, pattern)| (key.as_str(), pattern.as_str()));
            return FingerprintRule::new(matchers, values, title);
        }
        matchers.push(matcher(&mut rest)?);
    }
}

fn matcher(rest: &mut &str) -> Result<(String, String), RuleProblem> {
    let negation = match rest.strip_prefix('!') {
        Some(after) => {
            *rest = after;
            "!"
        }
        None => "",
    };
    let key = match rest.starts_with('"') {
        true => quoted(rest)?,
        false => {
            let end = rest.find([':', ' ']).unwrap_or(rest.len());
            take(rest, end).to_owned()
        }
    };
    *rest = rest.strip_prefix(':').ok_or(RuleProblem::NoArrow)?;
    Ok((format!("{negation}{key}"), word(rest)?))
}

fn word(rest: &mut &str) -> Result<String, RuleProblem> {
    if rest.starts_with('"') {
        return quoted(rest);
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Ok(take(rest, end).to_owned())
}

fn fingerprint(text: &str) -> Result<(Vec<String>, Option<String>), RuleProblem> {
    let mut rest = text;
    let (mut values, mut title) = (Vec::new(), None);
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() || rest.starts_with('#') {
            return Ok((values, title));
        }
        match attribute(&mut rest)? {
            Some((name, value)) if name == "title" => title = Some(value),
            Some((name, _)) => return Err(RuleProblem::UnknownAction(name)),
            None => values.push(value(&mut rest)?),
        }
    }
}

/// Reads `name="value"`, if that is what stands here.
fn attribute(rest: &mut &str) -> Result<Option<(String, String)>, RuleProblem> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    if end == 0 || !rest[end..].starts_with("=\"") {
        return Ok(None);
    }
    let name = take(rest, end).to_owned();
    *rest = &rest[1..];
    Ok(Some((name, quoted(rest)?)))
}

/// Reads an entry up to a blank or a comma; blanks within `{{ }}` belong to it.
fn value(rest: &mut &str) -> Result<String, RuleProblem> {
    if rest.starts_with('"') {
        return quoted(rest);
    }
    let mut end = 0;
    while let Some(character) = rest[end..].chars().next() {
        if character.is_whitespace() || character == ',' {
            break;
        }
        let variable = rest[end..]
            .strip_prefix("{{")
            .and_then(|inside| inside.find("}}"));
        end += variable.map_or(character.len_utf8(), |inside| inside + 4);
    }
    Ok(take(rest, end).to_owned())
}

/// Reads a text in quotes; a backslash takes the next character as it is.
fn quoted(rest: &mut &str) -> Result<String, RuleProblem> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                take(rest, at + 1);
                return Ok(text);
            }
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err(RuleProblem::OpenQuote)
}

fn take<'t>(rest: &mut &'t str, end: usize) -> &'t str {
    let (taken, after) = rest.split_at(end);
    *rest = after;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_titles_and_quotes_are_read() {
        let rule = rule(
            r#"error.type:DatabaseError !message:"a \"b\" *" -> db, {{ transaction }}, "two words" title="DB: {{ message }}" # why"#,
        )
        .unwrap();

        assert_eq!(rule.values, ["db", "{{ transaction }}", "two words"]);
        assert_eq!(rule.title.as_deref(), Some("DB: {{ message }}"));
    }

    #[test]
    fn each_problem_is_named_with_its_line() {
        let text = "# ok\ntype:A -> a\ntype:A\n-> a\ntype:A ->\npony:A -> a\nmessage:[a -> a\napp:x -> a\n\
                    type:\"A -> a\ntype:A -> a color=\"red\"";

        let errors = parse(text).unwrap_err();

        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "line 3: no `->` between matchers and fingerprint",
                "line 4: no matcher such as `function:main` at the start",
                "line 5: no fingerprint after `->`",
                "line 6: unknown matcher `pony`",
                "line 7: the pattern `[a` does not work: unclosed character class; missing ']'",
                "line 8: `x` is not a value of `app`",
                "line 9: a quote does not close",
                "line 10: `color` is neither a matcher nor an action",
            ]
        );
    }
}

//! Glob patterns of rules: `*`, `**`, `?`, `[..]`, `{a,b}`, always against the whole value.
//!
//! The forms nearly every rule has (a word, a prefix, a suffix, something in the middle) are matched by hand; the rest
//! becomes a linear-time regex. Semantics are those of the crate `globset`, which Sentry's rule engine uses.

use std::borrow::Cow;

use globset::GlobBuilder;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Glob(Form);

impl Glob {
    /// Compiles a pattern in which `*` matches anything, `/` too; case counts.
    ///
    /// # Errors
    /// When brackets or braces do not close, or the pattern is too large; the text says which.
    pub(crate) fn text(pattern: &str) -> Result<Self, String> {
        match simple_text(pattern) {
            Some(form) => Ok(Self(form)),
            None => regex(pattern, Separator::Ordinary, Case::Counts),
        }
    }

    /// Compiles like [`Glob::text`], but upper and lower case are the same.
    ///
    /// # Errors
    /// As [`Glob::text`].
    pub(crate) fn text_in_any_case(pattern: &str) -> Result<Self, String> {
        regex(pattern, Separator::Ordinary, Case::Ignored)
    }

    /// Compiles a pattern for [`Glob::matches_path`]: `*` stops at `/`, `**` does not, case does not count.
    ///
    /// # Errors
    /// As [`Glob::text`].
    pub(crate) fn path(pattern: &str) -> Result<Self, String> {
        let pattern = normalize_path(pattern);
        match simple_path(&pattern) {
            Some(form) => Ok(Self(form)),
            None => regex(&pattern, Separator::StopsStar, Case::Counts),
        }
    }

    /// Returns whether the whole value matches.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match &self.0 {
            Form::Anything => true,
            Form::Exact(text) => value == &**text,
            Form::Prefix(text) => {
                value.as_bytes().first() == text.as_bytes().first() && value.starts_with(&**text)
            }
            Form::Suffix(text) => {
                value.as_bytes().last() == text.as_bytes().last() && value.ends_with(&**text)
            }
            Form::Contains(finder) => finder.find(value.as_bytes()).is_some(),
            Form::Regex(regex) => regex.matches(value),
        }
    }

    /// Returns what every match starts with, ends with, and holds; empty where that is not known.
    pub(crate) fn literals(&self) -> (&str, &str, &[u8]) {
        match &self.0 {
            Form::Anything => ("", "", b""),
            Form::Exact(text) | Form::Prefix(text) => (text, "", b""),
            Form::Suffix(text) => ("", text, b""),
            Form::Contains(finder) => ("", "", finder.needle()),
            Form::Regex(regex) => (&regex.prefix, &regex.suffix, b""),
        }
    }

    /// Returns whether a path matches, as it is or with `/` put in front.
    ///
    /// `rooted` is the path as [`normalize_path`] gives it, with one `/` in front of whatever it was.
    pub(crate) fn matches_path(&self, rooted: &str) -> bool {
        let path = rooted.get(1..).unwrap_or_default();
        self.matches(path) || (!path.starts_with('/') && self.matches(rooted))
    }
}

/// Returns a path with `/` for `\` and in lower case.
pub(crate) fn normalize_path(path: &str) -> Cow<'_, str> {
    let is_normal = |byte: u8| byte.is_ascii() && byte != b'\\' && !byte.is_ascii_uppercase();
    match path.bytes().all(is_normal) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(path.replace('\\', "/").to_lowercase()),
    }
}

#[derive(Debug, Clone)]
enum Form {
    Anything,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<Finder<'static>>),
    Regex(Box<Bounded>),
}

/// A regex and what every match begins and ends with, which tells most values apart sooner.
#[derive(Debug, Clone)]
struct Bounded {
    prefix: Box<str>,
    suffix: Box<str>,
    regex: Regex,
}

impl Bounded {
    fn matches(&self, value: &str) -> bool {
        value.starts_with(&*self.prefix)
            && value.ends_with(&*self.suffix)
            && self.regex.is_match(value.as_bytes())
    }
}

impl Form {
    fn contains(text: &str) -> Self {
        Self::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
    }
}

enum Separator {
    Ordinary,
    StopsStar,
}

enum Case {
    Counts,
    Ignored,
}

fn simple_text(pattern: &str) -> Option<Form> {
    let trimmed = pattern.trim_matches('*');
    if has_wildcard(trimmed) || pattern.contains("**") {
        return None;
    }
    Some(match (pattern.starts_with('*'), pattern.ends_with('*')) {
        _ if trimmed.is_empty() && !pattern.is_empty() => Form::Anything,
        (false, false) => Form::Exact(pattern.into()),
        (false, true) => Form::Prefix(trimmed.into()),
        (true, false) => Form::Suffix(trimmed.into()),
        (true, true) => Form::contains(trimmed),
    })
}

/// `**/x/**` holds for `x/y` and `/x/y` too, but those are also tried with `/` in front, where `/x/` is found.
fn simple_path(pattern: &str) -> Option<Form> {
    let (start, rest) = match pattern.strip_prefix("**/") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, middle) = match rest.strip_suffix("/**") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if has_wildcard(middle) || middle.starts_with('/') && start || middle.is_empty() {
        return None;
    }
    Some(match (start, end) {
        (false, false) => Form::Exact(middle.into()),
        (false, true) => Form::Prefix(format!("{middle}/").into()),
        (true, false) => Form::Suffix(format!("/{middle}").into()),
        (true, true) => Form::contains(&format!("/{middle}/")),
    })
}

fn has_wildcard(text: &str) -> bool {
    text.contains(WILDCARDS)
}

fn regex(pattern: &str, separator: Separator, case: Case) -> Result<Glob, String> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(matches!(separator, Separator::StopsStar))
        .case_insensitive(matches!(case, Case::Ignored))
        .build()
        .map_err(|problem| problem.kind().to_string())?;
    let regex = RegexBuilder::new(glob.regex())
        .dot_matches_new_line(true)
        .build()
        .map_err(|_| "the pattern is too large".to_owned())?;
    let (prefix, suffix) = match case {
        Case::Counts => bounds(pattern),
        Case::Ignored => ("", ""),
    };
    Ok(Glob(Form::Regex(Box::new(Bounded {
        prefix: prefix.into(),
        suffix: suffix.into(),
        regex,
    }))))
}

/// Returns the literal start and end of a pattern; `**/` may match nothing, so its `/` does not belong to the end.
fn bounds(pattern: &str) -> (&str, &str) {
    let first = pattern.find(WILDCARDS).unwrap_or(pattern.len());
    let last = pattern.rfind(WILDCARDS).map_or(0, |at| at + 1);
    let suffix = &pattern[last..];
    match pattern.contains(['{', '\\']) {
        true => (&pattern[..first], ""),
        false => (
            &pattern[..first],
            suffix.strip_prefix('/').unwrap_or(suffix),
        ),
    }
}

const WILDCARDS: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str, value: &str) -> bool {
        Glob::text(pattern).unwrap().matches(value)
    }

    fn path(pattern: &str, value: &str) -> bool {
        let rooted = format!("/{}", normalize_path(value));
        Glob::path(pattern).unwrap().matches_path(&rooted)
    }

    #[test]
    fn text_globs_match_the_whole_value_in_its_case() {
        assert!(text("std::*", "std::rt::lang_start"));
        assert!(text("*::main", "log_demo::main"));
        assert!(text("*closure*", "a::{{closure}}"));
        assert!(text("*", ""));
        assert!(text("{a,b}?[0-9]*", "bx7/end"));
        assert!(!text("main", "Main"));
        assert!(!text("main", "main2"));
    }

    #[test]
    fn path_globs_ignore_case_and_kind_of_slash() {
        assert!(path("**/Site-Packages/**", "C:\\py\\site-packages\\x.py"));
        assert!(path("?:/Windows/**", "D:\\Windows\\System32\\kernel32.dll"));
    }

    #[test]
    fn a_star_in_a_path_stops_at_the_slash() {
        assert!(path("/usr/*/libc.so", "/usr/lib/libc.so"));
        assert!(!path("/usr/*/libc.so", "/usr/lib/x/libc.so"));
        assert!(path("/usr/**/libc.so", "/usr/lib/x/libc.so"));
    }

    #[test]
    fn relative_paths_also_match_as_if_rooted() {
        assert!(path("**/node_modules/**", "node_modules/a.js"));
        assert!(path("/usr/lib/**", "usr/lib/libc.so"));
        assert!(path("libc.so", "libc.so"));
        assert!(!path("**/node_modules/**", "my_node_modules/a.js"));
    }

    #[test]
    fn shortcuts_agree_with_the_bare_regex() {
        let patterns = [
            "**/lib/**",
            "**/lib",
            "lib/**",
            "/lib/**",
            "/a/lib",
            "**/l*b",
            "/*/**/lib",
            "l?b/**",
            "lib**",
            "{a,/a}/lib",
        ];
        let values = [
            "lib", "/lib", "lib/", "lib/x", "/lib/x", "a/lib", "/a/lib", "/a/lib/x", "xlib/y",
            "a/b/lib", "libx",
        ];
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .unwrap();
            let bare = Regex::new(glob.regex()).unwrap();
            let is_match = |value: &str| bare.is_match(value.as_bytes());
            for value in values {
                let wanted =
                    is_match(value) || (!value.starts_with('/') && is_match(&format!("/{value}")));
                assert_eq!(path(pattern, value), wanted, "{pattern} {value}");
            }
        }
    }

    #[test]
    fn an_open_bracket_is_named() {
        assert!(Glob::text("a[b").unwrap_err().contains("character class"));
    }
}

//! Trims function names of compiled languages: arguments, template arguments, lambdas and hashes differ between builds.
//!
//! Source: Sentry, `src/sentry/stacktraces/functions.py`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::platform::Family;

/// Returns the function name that grouping compares.
pub(crate) fn trim<'f>(function: &'f str, platform: &str) -> Cow<'f, str> {
    if platform == "csharp" {
        let name = function.split_once(" (").map_or(function, |(name, _)| name);
        return Cow::Borrowed(name);
    }
    match Family::of(platform) {
        Family::Native if needs_trimming(function) => trim_native(function),
        Family::Native | Family::JavaScript | Family::Other => Cow::Borrowed(function),
    }
}

fn needs_trimming(function: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    !function.bytes().all(is_plain) && !UNKNOWN.contains(&function)
}

fn trim_native(function: &str) -> Cow<'_, str> {
    let trimmed = function.trim();
    if OBJECTIVE_C.iter().any(|start| trimmed.starts_with(start)) {
        return Cow::Borrowed(trimmed);
    }
    let original = replace(&CLONE, "[clone", trimmed, "");
    let protected = protect(cut_trailers(&original));
    let lambdas = match protected.contains("lambda") || protected.contains("$_") {
        true => LAMBDA.replace_all(&protected, "lambda"),
        false => Cow::Borrowed(&*protected),
    };
    let named = replace(&MSVC_NAMESPACE, "?A0x", &lambdas, ANONYMOUS_WITH_COLONS);
    let bare = replace_enclosed(&named, '(', ')', &mut |inner, _| arguments(inner));
    let plain = replace_enclosed(&bare, '<', '>', &mut |inner, at| {
        generics(inner, at, MAX_NESTING)
    });
    match name_token(&plain) {
        Some(name) => Cow::Owned(cut_suffixes(&unprotect(name))),
        None => Cow::Borrowed(function),
    }
}

/// Replaces what a pattern matches, looking only where the text it needs stands.
fn replace<'t>(pattern: &Regex, needed: &str, text: &'t str, with: &str) -> Cow<'t, str> {
    match text.contains(needed) {
        true => pattern.replace_all(text, with),
        false => Cow::Borrowed(text),
    }
}

/// Cuts a trailing `const` or `&`, which qualify a C++ method.
fn cut_trailers(mut function: &str) -> &str {
    loop {
        let end = function.trim_end();
        let without_const = end
            .strip_suffix("const")
            .filter(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        match end.strip_suffix('&').or(without_const) {
            Some(rest) => function = rest.trim_end(),
            None => return function,
        }
    }
}

/// Hides the brackets of operators and of MSVC's anonymous namespace from the balancing below.
fn protect(function: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(function);
    let has_operator = function.contains("operator");
    for (open, hidden) in PROTECTED {
        if (has_operator || !open.starts_with("operator")) && text.contains(open) {
            text = Cow::Owned(text.replace(open, hidden));
        }
    }
    text
}

fn unprotect(mut function: String) -> String {
    for (open, hidden) in PROTECTED {
        if !function.is_ascii() && function.contains(hidden) {
            function = function.replace(hidden, open);
        }
    }
    function
}

fn arguments(inner: &str) -> String {
    match inner.trim() {
        name @ ("anonymous namespace" | "operator") => format!("({name})"),
        _ => String::new(),
    }
}

/// Names template arguments `<T>`; at the very start stands Rust's `<Type as Trait>`, of which the type is kept.
fn generics(inner: &str, at: usize, nesting: usize) -> String {
    if inner == "lambda" {
        return "<lambda>".to_owned();
    }
    if at > 0 || nesting == 0 {
        return "<T>".to_owned();
    }
    let inner = without_blanket(inner);
    let inner = replace_enclosed(inner, '<', '>', &mut |inner, at| {
        generics(inner, at, nesting - 1)
    });
    match inner.split_once(" as ") {
        Some((ty, _)) => ty.to_owned(),
        None => inner,
    }
}

/// Drops `T as ` of a blanket implementation: the trait says more than the parameter.
fn without_blanket(inner: &str) -> &str {
    let rest = inner.strip_prefix(|c: char| c.is_ascii_uppercase());
    rest.and_then(|rest| rest.strip_prefix(" as "))
        .unwrap_or(inner)
}

/// Replaces every balanced outermost pair; what follows an unbalanced end is lost, as in Sentry.
fn replace_enclosed(
    text: &str,
    open: char,
    close: char,
    replacement: &mut dyn FnMut(&str, usize) -> String,
) -> String {
    if !text.contains(open) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut start, mut plain) = (0_i64, 0, 0);
    for (at, bracket) in text.match_indices([open, close]) {
        if depth == 0 {
            out.push_str(&text[plain..at]);
            start = at;
        }
        plain = at + bracket.len();
        depth += if bracket.starts_with(open) { 1 } else { -1 };
        if depth == 0 && bracket.starts_with(close) {
            out.push_str(&replacement(&text[start + open.len_utf8()..at], start));
        }
    }
    if depth == 0 {
        out.push_str(&text[plain..]);
    }
    out
}

/// Returns the word that is the name: the one before Swift's return arrow, else the last.
fn name_token(function: &str) -> Option<String> {
    let tokens = join_generics(split_tokens(function));
    let arrow = tokens.iter().position(|token| token == ARROW);
    let name = match arrow {
        Some(at) => tokens.get(at.checked_sub(1)?)?,
        None => tokens.last()?,
    };
    if !name.starts_with('@') || arrow.is_none() {
        return Some(name.clone());
    }
    match tokens.first().map(String::as_str) {
        Some("thunk") => Some("thunk for closure".to_owned()),
        _ => Some("closure".to_owned()),
    }
}

/// Gives a generic operator its arguments back: demanglers write a blank between them, as in `operator<< <char>`.
fn join_generics(mut tokens: Vec<String>) -> Vec<String> {
    if let [.., name, last] = tokens.as_mut_slice()
        && last == "<T>"
    {
        name.push_str(" <T>");
        tokens.pop();
    }
    tokens
}

/// Splits at blanks outside of brackets; what stands after a bracket that does not close is lost, as in Sentry.
fn split_tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    let mut open: Vec<char> = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        if let Some(close) = closing(character) {
            open.push(close);
        } else if open.last() == Some(&character) {
            open.pop();
            if open.is_empty() {
                token.push_str(&text[start..end]);
                start = end;
            }
        } else if open.is_empty() {
            match character.is_whitespace() {
                true if !token.is_empty() => tokens.push(std::mem::take(&mut token)),
                true => (),
                false => token.push_str(&text[start..end]),
            }
            start = end;
        }
    }
    tokens.extend((!token.is_empty()).then_some(token));
    tokens
}

fn closing(character: char) -> Option<char> {
    match character {
        '(' => Some(')'),
        '{' => Some('}'),
        '[' => Some(']'),
        '<' => Some('>'),
        _ => None,
    }
}

/// Cuts Rust's `::h0123456789abcdef`, glibc's `@@GLIBC_2.5` and the `@8` of Windows calling conventions.
fn cut_suffixes(name: &str) -> String {
    let name = replace(&RUST_HASH, "::h", name, "");
    let name = replace(&GLIBC_VERSION, "@@", &name, "");
    match name.rsplit_once('@') {
        Some((rest, digits))
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            rest.strip_prefix('@').unwrap_or(rest).to_owned()
        }
        _ => name.into_owned(),
    }
}

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a test runs every pattern")
}

static CLONE: LazyLock<Regex> = LazyLock::new(|| compiled(r" ?\[clone [^\]]*\]"));
static LAMBDA: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"\{lambda\(.*?\)#[0-9]+\}|(?-u:\b)lambda_[a-f0-9]{32}(?-u:\b)|\$_[0-9]+(?-u:\b)")
});
static MSVC_NAMESPACE: LazyLock<Regex> = LazyLock::new(|| compiled(r"\?A0x[a-f0-9]{8}::"));
static RUST_HASH: LazyLock<Regex> = LazyLock::new(|| compiled(r"::h[a-z0-9]{16}$"));
static GLIBC_VERSION: LazyLock<Regex> = LazyLock::new(|| compiled(r"@@GLIBC_[0-9.]+$"));

/// Longest first, so that `operator<<` is not taken for `operator<`.
const PROTECTED: [(&str, &str); 6] = [
    ("operator<<", "operator\u{27e8}\u{27e8}"),
    ("operator<", "operator\u{27e8}"),
    ("operator()", "operator\u{25ef}"),
    ("operator->", "operator\u{27ff}"),
    (" -> ", " \u{27ff} "),
    ("`anonymous namespace'", ANONYMOUS),
];
const ANONYMOUS: &str = "\u{3014}anonymousnamespace\u{3015}";
const ANONYMOUS_WITH_COLONS: &str = "\u{3014}anonymousnamespace\u{3015}::";
const ARROW: &str = "\u{27ff}";
const OBJECTIVE_C: [&str; 3] = ["[", "+[", "-["];
const UNKNOWN: [&str; 2] = ["<redacted>", "<unknown>"];
const MAX_NESTING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csharp_loses_its_arguments() {
        assert_eq!(
            trim("Game.Update (System.Int32 n)", "csharp"),
            "Game.Update"
        );
        assert_eq!(trim("Game.Update()", "csharp"), "Game.Update()");
    }

    #[test]
    fn other_platforms_keep_their_names() {
        assert_eq!(trim("f<int>(a)", "python"), "f<int>(a)");
    }

    #[test]
    fn native_names_are_trimmed() {
        let cases = [
            ("main", "main"),
            ("<redacted>", "<redacted>"),
            ("-[NSView display:]", "-[NSView display:]"),
            (
                "void app::Cart::add(int, char const*) const",
                "app::Cart::add",
            ),
            (
                "int (anonymous namespace)::helper(int)",
                "(anonymous namespace)::helper",
            ),
            (
                "(anonymous namespace)::helper(int)",
                "(anonymous namespace)::helper",
            ),
            (
                "std::vector<int, std::allocator<int> >::push_back(int&&)",
                "std::vector<T>::push_back",
            ),
            (
                "std::ostream& operator<< <char>(std::ostream&, char)",
                "operator<< <T>",
            ),
            ("bool app::operator<(app::A const&)", "app::operator<"),
            (
                "app::Functor::operator()(int) const",
                "app::Functor::operator()",
            ),
            (
                "app::Pointer::operator->() const",
                "app::Pointer::operator->",
            ),
            (
                "void run()::{lambda(int, char)#2}::operator()(int, char) const",
                "run::lambda::operator()",
            ),
            ("app::run::$_0::operator()", "app::run::lambda::operator()"),
            (
                "<lambda_0123456789abcdef0123456789abcdef>::operator()",
                "<lambda>::operator()",
            ),
            (
                "`anonymous namespace'::start",
                "`anonymous namespace'::start",
            ),
            ("?A0x0a1b2c3d::start", "`anonymous namespace'::start"),
            ("<app::Cart as core::ops::Drop>::drop", "app::Cart::drop"),
            (
                "<T as core::convert::Into<U>>::into",
                "core::convert::Into<T>::into",
            ),
            (
                "<F as alloc::boxed::FnBox<A>>::call_box",
                "alloc::boxed::FnBox<T>::call_box",
            ),
            ("app::main::h0123456789abcdef", "app::main"),
            ("app::work [clone .isra.0]", "app::work"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("_DispatchHook@16", "_DispatchHook"),
            ("@fast@8", "fast"),
            ("closure #1 in Cart.add() -> Int", "Cart.add"),
            (
                "thunk for @escaping @callee_guaranteed () -> ()",
                "thunk for closure",
            ),
            ("partial apply for @objc () -> ()", "closure"),
        ];
        for (function, expected) in cases {
            assert_eq!(trim(function, "native"), expected, "{function}");
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = "<".repeat(100_000) + &">".repeat(100_000);

        assert!(trim(&deep, "native").len() <= deep.len());
    }
}

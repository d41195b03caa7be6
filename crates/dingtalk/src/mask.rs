//! Masks secrets and personal data in text that an event carries, for a chat is read by more people than Sentry is.
//!
//! It errs on the side of masking. Each rule leaves enough to tell two values apart: a first letter, a last digit group.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};

/// Returns the text with passwords, tokens, mail addresses, phone and card numbers and IP addresses masked by `•`, which no
/// markdown acts on.
///
/// Linear in the length of the text.
pub(crate) fn mask(text: &str) -> String {
    let rules = ANY_RULE.matches(text);
    let rules = rules.iter().filter_map(|number| RULES.get(number));
    rules.fold(text.to_owned(), |text, rule| {
        let masked = rule.pattern.replace_all(&text, rule.replace);
        masked.into_owned()
    })
}

/// Returns a user's id or name with its middle masked: `u_10037` becomes `u_10••7`.
pub(crate) fn mask_name(name: &str) -> String {
    let masked = mask(name);
    if masked != name {
        return masked;
    }
    let characters: Vec<char> = name.chars().collect();
    match characters.as_slice() {
        [] | [_] => "••".to_owned(),
        [first, _] | [first, _, _] | [first, _, _, _] => format!("{first}••"),
        [.., last] => {
            let head: String = characters
                .iter()
                .take(NAME_HEAD.min(characters.len().div_ceil(2)))
                .collect();
            format!("{head}••{last}")
        }
    }
}

/// One kind of thing to mask. The rules run in order, each over the result of those before it.
struct Rule {
    pattern: Regex,
    replace: fn(&Captures<'_>) -> String,
}

fn rule(pattern: &str, replace: fn(&Captures<'_>) -> String) -> Rule {
    Rule {
        pattern: Regex::new(pattern).expect("the pattern is a constant that tests compile"),
        replace,
    }
}

// `(?-u:\b)` is the boundary of an ASCII word, so that Chinese next to a number does not hide it.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(r"-----BEGIN [A-Z ]*KEY-----[^\n]*", |_| "•••".to_owned()),
        // User and password in front of a host.
        rule(r"(://)[^\s/?#]+@", |found| format!("{}•••@", &found[1])),
        // A query.
        rule(r#"\?[A-Za-z0-9_.\[\]-]+=[^\s"'<>)]*"#, |_| {
            "?•••".to_owned()
        }),
        rule(SECRET_PAIR, keep_name_of_pair),
        rule(r"((?i:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", |found| {
            format!("{}•••", &found[1])
        }),
        rule(KNOWN_TOKENS, keep_head),
        rule(
            r"(?-u:\b)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?-u:\b)",
            keep_head,
        ),
        rule(r"(?-u:\b)[0-9a-fA-F]{32,}(?-u:\b)", keep_head),
        rule(r"[A-Za-z0-9+_-]{24,}={0,2}", keep_head_of_mixture),
        rule(
            r"([A-Za-z0-9])[A-Za-z0-9._%+-]*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})",
            |found| format!("{}•••@{}", &found[1], &found[2]),
        ),
        rule(r"(1[3-9][0-9])[ -][0-9]{4}[ -]([0-9]{4})", |found| {
            format!("{}••••{}", &found[1], &found[2])
        }),
        rule(r"(?:[0-9]{4}[ -]){3}([0-9]{4})", |found| {
            format!("••••{}", &found[1])
        }),
        rule(
            r"(\+[0-9]{1,3})[ -]?\(?[0-9]{2,4}\)?(?:[ -]?[0-9]{2,4}){1,3}",
            |found| format!("{} •••", &found[1]),
        ),
        rule(r"([0-9]{11,})[Xx]?", keep_ends_of_number),
        rule(
            r"(?-u:\b)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?-u:\b)",
            keep_network_of_ipv4,
        ),
        rule(r"[0-9A-Fa-f:]{6,39}", keep_network_of_ipv6),
    ]
});

/// Tells in one pass which rules have anything to do; most texts need none.
static ANY_RULE: LazyLock<RegexSet> = LazyLock::new(|| {
    let patterns = RULES.iter().map(|rule| rule.pattern.as_str());
    RegexSet::new(patterns).expect("each pattern has been compiled before")
});

/// `password=…`, `"api_key": "…"`, `Authorization: Bearer …`.
const SECRET_PAIR: &str = r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization|cookie|session(?:[_-]?id)?|密码|口令|密钥)["']?\s*[:=：]\s*)("[^"]*"|'[^']*'|(?:(?:bearer|basic)\s+)?[^\s,;&)}\]]+)"#;

/// Tokens that say by their first letters what they are: JWT, Stripe, OpenAI, GitHub, GitLab, Slack, AWS, Aliyun, Google,
/// DingTalk.
const KNOWN_TOKENS: &str = r"(?-u:\b)(?:eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}|[sprw][kh]_(?:live|test)_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{8,}|A[KS]IA[0-9A-Z]{12,}|LTAI[A-Za-z0-9]{10,}|AIza[A-Za-z0-9_-]{30,}|SEC[0-9a-f]{16,})";

fn keep_name_of_pair(found: &Captures<'_>) -> String {
    let is_no_secret = matches!(
        &found[2].to_ascii_lowercase()[..],
        "yes"
            | "no"
            | "true"
            | "false"
            | "null"
            | "none"
            | "nil"
            | "undefined"
            | "•••"
            | "\"\""
            | "''"
    );
    match is_no_secret {
        true => found[0].to_owned(),
        false => format!("{}•••", &found[1]),
    }
}

fn keep_head(found: &Captures<'_>) -> String {
    format!("{}•••", &found[0][..HEAD])
}

/// A long word is a token when it mixes upper case, lower case and digits as no name does.
fn keep_head_of_mixture(found: &Captures<'_>) -> String {
    let word = &found[0];
    let count = |is: fn(&u8) -> bool| word.bytes().filter(is).count();
    let is_token = count(u8::is_ascii_uppercase) >= 2
        && count(u8::is_ascii_lowercase) >= 2
        && count(u8::is_ascii_digit) >= 3;
    match is_token {
        true => keep_head(found),
        false => word.to_owned(),
    }
}

/// A mobile number, or the 15 to 19 digits of an identity card or a bank card; a time in milliseconds has 13.
fn keep_ends_of_number(found: &Captures<'_>) -> String {
    let digits = &found[1];
    let local = digits
        .strip_prefix("86")
        .filter(|local| local.len() == 11)
        .unwrap_or(digits);
    let is_mobile =
        local.len() == 11 && local.starts_with('1') && !matches!(local.as_bytes()[1], b'0'..=b'2');
    let last = &found[0][found[0].len() - 4..];
    match digits.len() {
        _ if is_mobile => format!("{}••••{last}", &local[..3]),
        15.. => format!("••••{last}"),
        _ => found[0].to_owned(),
    }
}

fn keep_network_of_ipv4(found: &Captures<'_>) -> String {
    match found[0].parse::<Ipv4Addr>() {
        Ok(address) if !address.is_loopback() && !address.is_unspecified() => {
            let [a, b, _, _] = address.octets();
            format!("{a}.{b}.•.•")
        }
        _ => found[0].to_owned(),
    }
}

/// Two colons alone are more often a path of Rust or C++ than an address.
fn keep_network_of_ipv6(found: &Captures<'_>) -> String {
    let text = &found[0];
    let is_likely =
        text.matches(':').count() >= 3 && text.bytes().any(|byte| byte.is_ascii_digit());
    match text.parse::<Ipv6Addr>() {
        Ok(address) if is_likely => {
            let [a, b, ..] = address.segments();
            format!("{a:x}:{b:x}:•••")
        }
        _ => text.to_owned(),
    }
}

/// Characters of a token that are shown.
const HEAD: usize = 4;
/// Characters of a name that are shown in front.
const NAME_HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masks_each_kind_of_secret() {
        let cases = [
            (
                "login of alice.li@example.com failed",
                "login of a•••@example.com failed",
            ),
            ("手机号13800138000不存在", "手机号138••••8000不存在"),
            ("call +86 13800138000", "call +86 •••"),
            ("8613800138000", "138••••8000"),
            ("138-0013-8000", "138••••8000"),
            ("id 11010519491231002X", "id ••••002X"),
            ("card 6222021234567890123", "card ••••0123"),
            ("card 4111 1111 1111 1111", "card ••••1111"),
            (
                "connect ECONNREFUSED 10.2.3.4:5432",
                "connect ECONNREFUSED 10.2.•.•:5432",
            ),
            (
                "from 2001:db8:85a3::8a2e:370:7334 at",
                "from 2001:db8:••• at",
            ),
            ("password=hunter2, user=x", "password=•••, user=x"),
            (
                r#"{"api_key": "a b c", "n": 1}"#,
                r#"{"api_key": •••, "n": 1}"#,
            ),
            ("Authorization: Bearer abc.def", "Authorization: •••"),
            ("got Bearer 0a1b2c3d4e5f", "got Bearer •••"),
            ("密码：hunter2", "密码：•••"),
            ("postgres://app:s3cr@t@db/shop", "postgres://•••@db/shop"),
            ("GET /reset?token=abc&x=1 failed", "GET /reset?••• failed"),
            ("key sk_live_0123456789abcdef", "key sk_l•••"),
            (
                "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_-x",
                "jwt eyJh•••",
            ),
            ("ghp_0123456789abcdefABCD", "ghp_•••"),
            (
                "session 9f3c2d1a-0000-4000-8000-0123456789ab",
                "session 9f3c•••",
            ),
            ("d41d8cd98f00b204e9800998ecf8427e", "d41d•••"),
            ("A1b2C3d4E5f6G7h8I9j0K1l2M3", "A1b2•••"),
        ];

        for (text, expected) in cases {
            assert_eq!(mask(text), expected);
        }
    }

    #[test]
    fn leaves_what_is_no_secret() {
        let cases = [
            "ZeroDivisionError: division by zero",
            "connect ECONNREFUSED 127.0.0.1:5432",
            "std::vec::Vec<a::b> at 10:02:11",
            "com.example.shop.AbstractSingletonProxyFactoryBean",
            "test_that_a_very_long_name_of_2_things_stays",
            "order 1700000000000 took 12345678901 ns",
            "Access denied (using password: YES)",
            "shop-api@2.3.1",
            "site-packages/django/core/handlers/exception.py",
            "Unexpected token < in JSON at position 0",
        ];

        for text in cases {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn masks_the_middle_of_names() {
        let cases = [
            ("u_10037", "u_10••7"),
            ("1", "••"),
            ("bob", "b••"),
            ("sentry", "sen••y"),
            ("张三", "张••"),
            ("a@b.example", "a•••@b.example"),
            ("9.8.7.6", "9.8.•.•"),
        ];

        for (name, expected) in cases {
            assert_eq!(mask_name(name), expected);
        }
    }

    proptest! {
        // No file of failures: a failure becomes a case of the tables above.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

        #[test]
        fn takes_any_text_and_stays_small(text in "\\PC{0,200}") {
            let masked = mask(&text);

            prop_assert!(masked.chars().count() <= text.chars().count() * 2 + 8);
        }

        #[test]
        fn never_shows_a_whole_mobile_number(before in "[^0-9+]{0,20}", number in "1[3-9][0-9]{9}", after in "[^0-9]{0,20}") {
            let masked = mask(&format!("{before}{number}{after}"));

            prop_assert!(!masked.contains(&number), "{}", masked);
        }
    }
}

//! Makes text that came from outside inert: one visible line that DingTalk's markdown cannot read as anything but text.
//!
//! DingTalk promises headings, quotes, bold, italic, links, images and lists, says nothing about escaping, and reads raw
//! HTML on top (a phone then shows an empty message). So nothing is escaped with `\` or entities, which only some
//! renderers know: a character that would act is replaced by its full-width form, which acts nowhere and reads the same.

use unicode_segmentation::UnicodeSegmentation;

use alert::Mention;

/// Returns the text as one visible line of at most `limit` characters, cut with an ellipsis between graphemes.
///
/// Line breaks and controls become single blanks; characters that hide or reorder text are dropped.
pub(crate) fn line(text: &str, limit: usize) -> String {
    cut(&visible(text), limit)
}

/// Returns the text as [`line`] does, but keeps its end: what matters of a path.
pub(crate) fn line_end(text: &str, limit: usize) -> String {
    let text = visible(text);
    let mut left = text.chars().count();
    if left <= limit {
        return text;
    }
    let tail = text.graphemes(true).skip_while(|cluster| {
        let is_over = left >= limit;
        left -= cluster.chars().count();
        is_over
    });
    std::iter::once("…").chain(tail).collect()
}

/// Returns a line that no markdown renderer reads as markup and that mentions nobody.
///
/// The result may be put at the start of a block, inside `**…**` and inside a heading, but not inside a link's label.
pub(crate) fn inert(line: &str, mention: &Mention) -> String {
    replace_where(line, |text, at| {
        acts_in_markdown(text, at) || acts_anywhere(text, at, mention)
    })
}

/// Returns a line that mentions nobody and links nowhere in a message of plain text.
pub(crate) fn inert_in_plain_text(line: &str, mention: &Mention) -> String {
    replace_where(line, |text, at| acts_anywhere(text, at, mention))
}

/// Cuts a text to at most `limit` characters, the ellipsis included, never inside a grapheme.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut left = limit.saturating_sub(1);
    let head = text.graphemes(true).take_while(|cluster| {
        let length = cluster.chars().count();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    });
    let head: String = head.collect();
    format!("{}…", head.trim_end())
}

fn visible(text: &str) -> String {
    let blank = |character: char| {
        character.is_whitespace() || character.is_control() || character == BRAILLE_BLANK
    };
    let shown: String = text
        .chars()
        .filter(|character| !is_invisible(*character))
        .map(|character| if blank(character) { ' ' } else { character })
        .collect();
    let mut line = String::with_capacity(shown.len());
    for word in shown.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        // Marks stacked by the hundred on one letter paint over the lines above and below.
        line.extend(
            word.graphemes(true)
                .flat_map(|cluster| cluster.chars().take(CLUSTER)),
        );
    }
    line
}

/// Characters that show nothing, reorder what is shown, or glue other characters together.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn replace_where(line: &str, acts: impl Fn(&[char], usize) -> bool) -> String {
    let text: Vec<char> = line.chars().collect();
    let replaced = text
        .iter()
        .enumerate()
        .map(|(at, character)| match acts(&text, at) {
            true => full_width(*character),
            false => *character,
        });
    replaced.collect()
}

fn acts_in_markdown(text: &[char], at: usize) -> bool {
    let next = text.get(at + 1).copied();
    match text[at] {
        '<' | '>' | '*' | '`' | '~' => true,
        '&' => next.is_some_and(|next| next == '#' || next.is_ascii_alphabetic()),
        '_' => !is_inside_word(text, at),
        ']' => may_join_a_target(text, at),
        '\\' => {
            next.is_none_or(|next| next.is_ascii_punctuation()) || at > 0 && text[at - 1] == '\\'
        }
        '#' => is_heading_mark(text, at),
        '-' | '+' => at == 0 && next.is_none_or(|next| next == ' ' || next == text[0]),
        '.' | ')' => is_number_of_a_list(text, at),
        _ => false,
    }
}

/// What clients act on in every kind of message: mentions, and addresses that they turn into links.
fn acts_anywhere(text: &[char], at: usize, mention: &Mention) -> bool {
    match text[at] {
        '@' => !is_inside_name(text, at, mention),
        ':' => text[at + 1..].starts_with(&['/', '/']),
        '.' => is_after_www(text, at),
        _ => false,
    }
}

/// `unit_price` is one word to every renderer; `__init__` would be bold.
fn is_inside_word(text: &[char], at: usize) -> bool {
    let is_underscore = |character: &&char| **character == '_';
    let before = text[..at]
        .iter()
        .rev()
        .find(|character| !is_underscore(character));
    let after = text[at..]
        .iter()
        .find(|character| !is_underscore(character));
    let is_word =
        |character: Option<&char>| character.is_some_and(|character| character.is_alphanumeric());
    is_word(before) && is_word(after)
}

/// `](`, `][` and `]:` make links. Our own words after a text never start with one of the three.
fn may_join_a_target(text: &[char], at: usize) -> bool {
    let next = text[at + 1..].iter().find(|character| **character != ' ');
    next.is_some_and(|next| matches!(next, '(' | '[' | ':'))
}

/// `# x` starts a heading, and the last `#` of `### x #` is not shown.
fn is_heading_mark(text: &[char], at: usize) -> bool {
    let is_mark = |character: &char| *character == '#';
    let run = text[..at]
        .iter()
        .rev()
        .take_while(|character| is_mark(character))
        .count();
    let before = (at - run).checked_sub(1).map(|before| text[before]);
    let is_last = text[at..].iter().all(is_mark);
    before.is_none() || is_last && before == Some(' ')
}

/// `1. x` and `1) x` start a list.
fn is_number_of_a_list(text: &[char], at: usize) -> bool {
    let ends = text.get(at + 1).is_none_or(|next| *next == ' ');
    ends && at > 0 && text[..at].iter().all(char::is_ascii_digit)
}

fn is_after_www(text: &[char], at: usize) -> bool {
    let before = text[..at].iter().rev().take(3);
    at >= 3
        && before
            .filter(|character| matches!(character, 'w' | 'W'))
            .count()
            == 3
}

/// `shop-api@2.3.1` may stay as it is, for an `@` inside a name mentions only who is named after it, and is configured.
fn is_inside_name(text: &[char], at: usize, mention: &Mention) -> bool {
    let is_after_letter = at > 0 && text[at - 1].is_ascii_alphanumeric();
    let rest = plain_letters(text[at + 1..].iter().copied());
    is_after_letter && !rest.is_empty() && !names(mention).any(|name| rest.starts_with(&name))
}

fn names(mention: &Mention) -> impl Iterator<Item = String> {
    let people = mention
        .mobiles
        .iter()
        .chain(&mention.user_ids)
        .map(String::as_str);
    people
        .chain(["all", "所有人"])
        .map(|name| plain_letters(name.chars()))
}

fn plain_letters(text: impl Iterator<Item = char>) -> String {
    text.filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Printable ASCII has its full-width forms in one block, in the same order.
fn full_width(character: char) -> char {
    match character {
        '!'..='~' => char::from_u32(u32::from(character) + FULL_WIDTH_OFFSET).unwrap_or(character),
        _ => character,
    }
}

const FULL_WIDTH_OFFSET: u32 = 0xfee0;
const BRAILLE_BLANK: char = '\u{2800}';

/// Characters kept of one grapheme; the longest in earnest use have seven.
const CLUSTER: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    #[test]
    fn leaves_ordinary_text_as_it_is() {
        let mention = somebody();
        let cases = [
            "ZeroDivisionError: division by zero",
            "shop/price.py:42 in unit_price",
            "shop-api@2.3.1",
            "C:\\Users\\shop (x86)",
            "a - b + c = d | 50% of $5, C# and list[int] = [1, 2]",
            "TypeError: Cannot read properties of undefined (reading 'map')",
            "订单 42 处理失败：余额不足",
            "1.5 s, -1 is wrong, R & D",
            "👍🏽 café 🇨🇳",
        ];

        for text in cases {
            assert_eq!(inert(&line(text, 100), &mention), text);
        }
    }

    #[test]
    fn replaces_what_would_act() {
        let mention = somebody();
        let cases = [
            ("<script>alert(1)</script>", "＜script＞alert(1)＜/script＞"),
            (
                "[click](https://evil.example)",
                "[click］(https：//evil.example)",
            ),
            ("![x] (y)", "![x］ (y)"),
            ("[x]: y", "[x］: y"),
            (
                "**bold** *it* ~~no~~ `code`",
                "＊＊bold＊＊ ＊it＊ ～～no～～ ｀code｀",
            ),
            ("__init__ and _x", "＿＿init＿＿ and ＿x"),
            ("# heading #", "＃ heading ＃"),
            ("> quote", "＞ quote"),
            ("- item", "－ item"),
            ("1. item", "1． item"),
            ("12) item", "12） item"),
            ("--- x", "－-- x"),
            ("&lt;b&#62;", "＆lt;b＆#62;"),
            ("a \\* b\\", "a ＼＊ b＼"),
            ("www.evil.example WWW.x", "www．evil.example WWW．x"),
            ("@13800000000 @all", "＠13800000000 ＠all"),
            ("x@13800000000", "x＠13800000000"),
            ("x@138-0000-0000", "x＠138-0000-0000"),
            ("x@Manager1", "x＠Manager1"),
            ("x@ALL x@所有人", "x＠ALL x＠所有人"),
            ("mail@", "mail＠"),
        ];

        for (text, expected) in cases {
            assert_eq!(inert(&line(text, 100), &mention), expected);
        }
    }

    #[test]
    fn makes_one_visible_line() {
        let cases = [
            (" a\r\n\tb\u{2028}c\u{0}d\u{85}e ", "a b c d e"),
            ("user\u{202e}gnp.exe", "usergnp.exe"),
            ("a\u{200b}b\u{feff}c\u{2066}d\u{ad}e", "abcde"),
            ("\u{3164}\u{2800}\u{e0041}", ""),
            ("@\u{200d}all", "@all"),
        ];

        for (text, expected) in cases {
            assert_eq!(line(text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn thins_out_stacked_marks() {
        let tower = format!("z{}", "\u{301}".repeat(500));

        assert_eq!(line(&tower, 100).chars().count(), CLUSTER);
    }

    #[test]
    fn cuts_between_graphemes() {
        let cases = [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 4, "abc…"),
            ("ab cdef", 4, "ab…"),
            ("e\u{301}e\u{301}e\u{301}", 4, "e\u{301}…"),
            ("👍🏽👍🏽👍🏽", 4, "👍🏽…"),
            ("🇨🇳🇨🇳", 3, "🇨🇳…"),
            ("订单处理失败", 3, "订单…"),
        ];

        for (text, limit, expected) in cases {
            assert_eq!(line(text, limit), expected);
        }
    }

    #[test]
    fn keeps_the_end_of_a_path() {
        assert_eq!(line_end("shop/price.py", 13), "shop/price.py");
        assert_eq!(line_end("a/very/long/shop/price.py", 9), "…price.py");
        assert_eq!(line_end("xxe\u{301}e\u{301}", 4), "…e\u{301}");
    }

    #[test]
    fn keeps_markdown_apart_from_plain_text() {
        let text = inert_in_plain_text("<b> *x* @all http://x", &somebody());

        assert_eq!(text, "<b> *x* ＠all http：//x");
    }

    proptest! {
        // No file of failures: a failure becomes a case of the tables above.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

        #[test]
        fn nothing_inert_is_read_as_markup(text in hostile(), limit in 1_usize..200) {
            let mention = somebody();
            let line = line(&text, limit);
            let inert = inert(&line, &mention);

            prop_assert!(line.chars().count() <= limit);
            prop_assert_eq!(inert.chars().count(), line.chars().count());
            prop_assume!(!line.is_empty());
            for place in ["", "> ", "### 🟠 ", "- **label**: ", "1 | "] {
                let markdown = format!("{place}{inert}\n\nafter");
                prop_assert_eq!(markup(&markdown), markup(&format!("{place}plain\n\nafter")), "{}", markdown);
            }
            let squashed = plain_letters(inert.split_once('@').unwrap_or_default().1.chars());
            prop_assert!(!squashed.starts_with("13800000000") && !squashed.starts_with("all"), "{}", inert);
            prop_assert!(!inert.contains("://"));
        }
    }

    /// Returns the structure of a text: every tag, and no words.
    fn markup(markdown: &str) -> Vec<String> {
        let events = Parser::new_ext(
            markdown,
            Options::ENABLE_TABLES
                | Options::ENABLE_STRIKETHROUGH
                | Options::ENABLE_TASKLISTS
                | Options::ENABLE_GFM,
        );
        events
            .filter_map(|event| match event {
                Event::Text(_) | Event::End(_) => None,
                Event::Start(Tag::Paragraph) => Some("paragraph".to_owned()),
                other => Some(format!("{other:?}")),
            })
            .collect()
    }

    /// Text made of what acts in markdown, of what hides, and of ordinary pieces between.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => prop::sample::select(PIECES).prop_map(str::to_owned),
            2 => "[!-/:-@\\[-`{-~]{1,4}",
            1 => "\\PC{1,6}",
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    fn somebody() -> Mention {
        Mention {
            mobiles: vec!["13800000000".to_owned()],
            user_ids: vec!["manager1".to_owned()],
            all: false,
        }
    }

    const PIECES: &[&str] = &[
        "[x](https://evil.example)",
        "![x](https://evil.example/a.png)",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        "<b>",
        "</b>",
        "<img src=x onerror=alert(1)>",
        "<!--",
        "-->",
        "<https://evil.example>",
        "https://",
        "www.",
        "@",
        "@all",
        "@13800000000",
        "@所有人",
        "manager1",
        "\n",
        "\n\n",
        "\r\n",
        "# ",
        "###",
        "> ",
        "- ",
        "+ ",
        "* ",
        "1. ",
        "2) ",
        "---",
        "***",
        "___",
        "===",
        "```",
        "`",
        "~~",
        "*",
        "**",
        "_",
        "__",
        "\\",
        "&lt;",
        "&#60;",
        "|",
        "|---|",
        "    ",
        "\t",
        "\u{202e}",
        "\u{200b}",
        "\u{200d}",
        "\u{301}",
        "[x]: ",
        "[ ] ",
        "$$",
        "word",
        " ",
        "a",
        "1",
        "中文",
        "👍🏽",
    ];
}

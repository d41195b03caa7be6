//! What hostile events can do to a card: nothing. Each case fills every field of an event with text made to act, renders
//! it, reads the result with a markdown parser, and compares it with the same card of a harmless event.

use alert::{Alert, Cause, Location, Person};
use dingtalk::{Mention, MessageKind, OpenLinks, RobotConfig, Template, render};
use proptest::prelude::*;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag};

use crate::sample::{alert, json, message, now, robot, text};

proptest! {
    #![proptest_config(events())]

    #[test]
    fn no_event_adds_markup_links_or_mentions(fields in prop::collection::vec(hostile(), FIELDS)) {
        let robot = listening();
        let hostile = message(filled(fields));

        let text = text(&hostile, &robot);

        let seen = markup(&text);
        prop_assert!(seen.iter().all(|seen| ALLOWED.contains(&seen.as_str()) || is_ours(seen)), "{:?}\n{}", seen, text);
        let headings = seen.iter().filter(|seen| seen.starts_with("Heading")).count();
        prop_assert_eq!(headings, 1, "{}", &text);
        prop_assert_eq!(seen.iter().filter(|seen| seen.starts_with("link ")).count(), 2, "{}", &text);
        prop_assert_eq!(mentions(&text), ["@13800000000", "@manager1"], "{}", &text);
        prop_assert!(!text.chars().any(hides), "{:?}", &text);
        prop_assert!(text.lines().last() == Some("@13800000000 @manager1"));
    }

    #[test]
    fn no_event_adds_markup_links_or_mentions_to_a_template(fields in prop::collection::vec(hostile(), FIELDS)) {
        let robot = RobotConfig { template: Some(Template::parse(TEMPLATE).unwrap()), ..listening() };
        let hostile = message(filled(fields));

        let text = text(&hostile, &robot);

        prop_assert!(text.starts_with("### x:"), "the built-in card came instead: {}", text);
        let seen = markup(&text);
        prop_assert!(seen.iter().all(|seen| seen == "SoftBreak" || ALLOWED.contains(&seen.as_str()) || is_ours(seen)), "{:?}\n{}", seen, text);
        let headings = seen.iter().filter(|seen| seen.starts_with("Heading")).count();
        prop_assert_eq!(headings, 1, "{}", &text);
        // One link of the template, with a hostile label.
        prop_assert_eq!(seen.iter().filter(|seen| seen.starts_with("link ")).count(), 1, "{}", &text);
        prop_assert_eq!(mentions(&text), ["@13800000000", "@manager1"], "{}", &text);
        prop_assert!(!text.chars().any(hides), "{:?}", &text);
        let body = render(&hostile, &robot, now());
        prop_assert!(body.to_json().len() <= 18_000);
        prop_assert!((1..=64).contains(&body.title().unwrap().chars().count()));
    }

    #[test]
    fn no_event_makes_a_body_that_dingtalk_refuses(
        fields in prop::collection::vec(hostile(), FIELDS),
        kind in prop::sample::select(vec![MessageKind::Markdown, MessageKind::ActionCard, MessageKind::Text]),
    ) {
        let robot = RobotConfig { message: kind, mention: Mention::default(), keyword: Some("告警".to_owned()), ..listening() };
        let hostile = message(filled(fields));

        let body = render(&hostile, &robot, now());

        prop_assert!(body.to_json().len() <= 18_000);
        prop_assert!(text(&hostile, &robot).contains("告警"));
        if let Some(title) = body.title() {
            prop_assert!((1..=64).contains(&title.chars().count()) && title.contains("告警") && !title.contains('\n'));
        }
        prop_assert!(json(&hostile, &robot).get("at").is_none());
    }
}

#[test]
fn the_parser_would_notice_what_is_not_made_inert() {
    let raw = "### x\n\n<b>x</b> [x](https://evil.example) `x` *x*";

    let seen = markup(raw);

    for expected in [
        "InlineHtml",
        "link https://evil.example",
        "Code",
        "Emphasis",
    ] {
        assert!(
            seen.iter().any(|seen| seen.starts_with(expected)),
            "{expected} is not in {seen:?}"
        );
    }
    assert_eq!(
        mentions("a @all, x@13800000000 and v@1"),
        ["@all", "@13800000000"]
    );
}

/// Every fact, in every place a template may put one: in front, behind, side by side, in a label.
const TEMPLATE: &str = "\
{% set title %}{{ event.title }}{{ event.value }}{% endset %}
### x: {{ event.title }}

{{ event.value }}{{ event.culprit }}

{{ event.platform }}

> {{ event.lines | join(' ') }}

- {{ event.environment }}
- **{{ badge or 'x' }}** {{ event.release }} {{ event.dist }} {{ event.server_name }}

[x {{ event.transaction }}]({{ links.event }}) {{ event.logger }}

x {{ event.request }} {{ event.user }} {{ project.name }} {{ route }}

x [{{ event.exception }}]{{ location.file }} {{ location.function }}{{ location.source }}

{% for cause in causes %}
x {{ cause.exception }}: {{ cause.value | upper }}

{% endfor %}
{% for name in tags %}
x {{ name }}={{ tags[name] | truncate(20) }}
{% endfor %}
x
";

/// 1 000 events of 24 hostile fields each. tests/run.sh takes 7 000 for each property; `PROPTEST_CASES=20000` looks better still.
///
/// There is no file of failures: a failure becomes a case of the tables in `markdown.rs`.
fn events() -> ProptestConfig {
    let chosen = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: chosen.and_then(|cases| cases.parse().ok()).unwrap_or(1_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn listening() -> RobotConfig {
    RobotConfig {
        mention: Mention {
            mobiles: vec!["13800000000".to_owned()],
            user_ids: vec!["manager1".to_owned()],
            all: false,
        },
        open_links_in: OpenLinks::Sidebar,
        ..robot()
    }
}

/// Puts a hostile text into every field.
fn filled(fields: Vec<String>) -> Alert {
    let mut fields = fields.into_iter();
    let mut next = || fields.next().unwrap();
    let mut alert = alert();
    let subject = &mut alert.subject;
    (subject.title, subject.culprit, subject.platform) = (next(), next(), next());
    for field in [
        &mut subject.project_name,
        &mut subject.exception_type,
        &mut subject.value,
        &mut subject.environment,
        &mut subject.release,
        &mut subject.dist,
        &mut subject.server_name,
        &mut subject.transaction,
        &mut subject.logger,
        &mut subject.request_method,
        &mut subject.request_url,
    ] {
        *field = Some(next());
    }
    subject.location = Some(Location {
        filename: next(),
        line: Some(42),
        function: Some(next()),
        source_line: Some(next()),
    });
    subject.causes = vec![Cause {
        ty: Some(next()),
        value: Some(next()),
    }];
    subject.user = Some(Person {
        id: Some(next()),
        ..Person::default()
    });
    subject.tags = vec![("region".to_owned(), next())];
    alert.route = vec![next()];
    alert
}

/// Returns the structure of a text: its tags and the targets of its links, without words.
fn markup(markdown: &str) -> Vec<String> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let events = Parser::new_ext(markdown, options);
    events
        .filter_map(|event| match event {
            Event::Text(_) | Event::End(_) => None,
            Event::Start(Tag::Link {
                link_type: LinkType::Inline,
                dest_url,
                ..
            }) => Some(format!("link {dest_url}")),
            Event::Start(tag) => Some(
                format!("{tag:?}")
                    .split(['(', ' '])
                    .next()
                    .unwrap()
                    .to_owned(),
            ),
            other => Some(format!("{other:?}")),
        })
        .collect()
}

fn is_ours(seen: &str) -> bool {
    let Some(target) = seen.strip_prefix("link ") else {
        return false;
    };
    let links = alert().links;
    [links.event, links.similar]
        .iter()
        .flatten()
        .any(|ours| ours == target)
}

/// Every place where DingTalk could find somebody who is configured, or everyone.
fn mentions(text: &str) -> Vec<String> {
    let names = ["13800000000", "manager1", "all", "所有人"];
    let places = text.match_indices('@').filter_map(|(at, _)| {
        let rest = text[at + 1..].to_lowercase();
        let name = names.iter().find(|name| rest.starts_with(**name))?;
        Some(format!("@{name}"))
    });
    places.collect()
}

fn hides(character: char) -> bool {
    let is_control = character.is_control() && character != '\n';
    is_control
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text made of what acts in markdown, of what hides, and of ordinary pieces between.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(str::to_owned),
        2 => prop::collection::vec(prop::sample::select(PUNCTUATION), 1..5).prop_map(String::from_iter),
        1 => prop::collection::vec(any::<char>(), 1..6).prop_map(String::from_iter),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const PUNCTUATION: &[char] = &[
    '!', '"', '#', '$', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', ':', ';', '<', '=',
    '>', '?', '@', '[', '\\', ']', '^', '_', '`', '{', '|', '}', '~',
];

const FIELDS: usize = 24;

const ALLOWED: &[&str] = &[
    "Heading",
    "Paragraph",
    "BlockQuote",
    "List",
    "Item",
    "Strong",
];

const PIECES: &[&str] = &[
    "[x](https://evil.example)",
    "![x](https://evil.example/a.png)",
    "](",
    "][",
    "]:",
    "[",
    "<b>",
    "</b>",
    "<!--",
    "-->",
    "<img src=x onerror=alert(1)>",
    "<https://evil.example>",
    "javascript:alert(1)",
    "www.evil.example",
    "@",
    "@all",
    "@13800000000",
    "@所有人",
    "x@manager1",
    "manager1",
    "\n",
    "\n\n",
    "\r\n",
    "# ",
    "###",
    "> ",
    "- ",
    "* ",
    "1. ",
    "---",
    "***",
    "___",
    "===",
    "```",
    "~~~",
    "`",
    "~~",
    "*",
    "**",
    "_",
    "__",
    "\\",
    "&lt;b&gt;",
    "&#60;",
    "|---|",
    "    ",
    "\t",
    "\u{202e}",
    "\u{200b}",
    "\u{200d}",
    "\u{2066}",
    "\u{feff}",
    "\u{0}",
    "[x]: ",
    "[ ] ",
    "word",
    " ",
    "a",
    "1",
    "中文",
    "👍🏽",
];

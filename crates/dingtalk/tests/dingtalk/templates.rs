//! What operators can write in a template, what they cannot, and what an alert becomes when theirs fails.

use std::time::Duration;

use alert::{Alert, Message, Reason};
use dingtalk::{
    Mention, MessageKind, OpenLinks, RobotConfig, Template, TemplateError, render, template_problem,
};
use serde_json::json;

use crate::sample::{alert, in_english, json, message, now, robot, text};

#[test]
fn the_documented_templates_pass_the_check_and_show_what_is_documented() {
    let documented = include_str!("../../../../docs/templates.md");
    let [smallest, own] = &blocks(documented, "jinja")[..] else {
        panic!("docs/templates.md shows two templates");
    };

    for kind in [
        MessageKind::Markdown,
        MessageKind::ActionCard,
        MessageKind::Text,
    ] {
        for source in [smallest, own] {
            let robot = RobotConfig {
                message: kind,
                ..robot()
            };
            assert_eq!(Template::parse(source).unwrap().check(&robot), Ok(()));
        }
    }
    let shown = text(&message(mutable()), &writing(own));
    assert_eq!(shown, blocks(documented, "markdown")[0].trim_end());
    let title = render(&message(mutable()), &writing(own), now());
    assert_eq!(
        title.title(),
        Some("🔴 生产 (production) shop-api: ZeroDivisionError")
    );
    let extended = text(&message(alert()), &writing(smallest));
    let built_in = text(&message(alert()), &sidebar());
    assert_eq!(
        extended,
        format!("{built_in}\n\n值班手册: [wiki](https://wiki.example.com/oncall)")
    );
}

#[test]
fn a_wrong_template_is_refused_with_its_line() {
    let cases = [
        ("a\n{{ event.title", 2, "syntax error"),
        ("a\n{% for x in causes %}\n{% endif %}", 3, "syntax error"),
        ("a\n\n{{ evnt.title }}", 3, "unknown variable `evnt.title`"),
        ("{{ event.titel }}", 1, "unknown variable `event.titel`"),
        (
            "x\n{% if level == 'debug' %}\n{{ event.nothing }}{% endif %}",
            3,
            "unknown variable `event.nothing`",
        ),
        ("x\n{{ location.file }}", 2, "undefined value"),
        (
            "x\n{% for cause in causes %}{{ cause.typ }}{% endfor %}",
            2,
            "undefined value",
        ),
        ("x\n{{ event.title | safe }}", 2, "filter safe is unknown"),
        (
            "x\n{{ event.title | escape }}",
            2,
            "filter escape is unknown",
        ),
        ("x\n{% include 'secrets' %}", 2, "syntax error"),
        (
            "{{ event.one }}\n{{ two }}\n{{ event.one }}",
            2,
            "unknown variable `two`",
        ),
        ("x\n{{ event }}", 2, "cannot be shown"),
        ("x\n{{ event.lines }}", 2, "cannot be shown"),
        ("x\n{{ counts.events + 'x' }}", 2, "invalid operation"),
        ("{% if location %}x{% endif %}", 1, "says nothing"),
        (
            "x\n{% for a in range(9) %}{% endfor %}",
            2,
            "unknown variable `range`",
        ),
    ];
    for (source, line, what) in cases {
        let errors = problems(source);

        assert!(
            errors
                .iter()
                .any(|error| error.line == line && error.what.contains(what)),
            "{source}: {errors:?}"
        );
    }
    let long = "x".repeat(65 << 10);
    assert!(problems(&long)[0].what.contains("longer than 64 KiB"));
}

#[test]
fn filters_pass_over_what_is_not_there() {
    let mut alert = alert();
    alert.subject.release = None;
    let source = "x{{ event.release | upper | lower | truncate(3) | replace('a', 'b') }}{{ event.release | default('no', true) }} {{ counts.events | replace('3', '4') }} {{ event.lines | first | upper }}";

    assert_eq!(problems(source), []);
    assert_eq!(
        text(&message(alert), &writing(source)),
        "xno 47 DIVISION BY ZERO"
    );
}

#[test]
fn every_fault_is_told_once_in_the_order_of_lines() {
    let errors =
        problems("{{ event.one }}\n{{ location.line }}\n{% if level == 'x' %}{{ two }}{% endif %}");

    let lines: Vec<_> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines.first(), Some(&1));
    assert_eq!(lines.last(), Some(&3));
    let mut once = errors.clone();
    once.dedup();
    assert_eq!(errors, once);
}

#[test]
fn no_template_hangs_or_explodes() {
    let nines = "'999999999'";
    let doubled = format!(
        "{{% set a = {nines} %}}{}{{{{ a }}}}",
        "{% set a = a ~ a %}".repeat(60)
    );
    let captured = format!(
        "{{% set a %}}{nines}{{% endset %}}{}{{{{ a }}}}",
        "{% set a %}{{ a }}{{ a }}{% endset %}".repeat(60)
    );
    let replaced = format!(
        "{{{{ {nines}{} }}}}",
        "|replace('9', '99999999')".repeat(20)
    );
    let nested = "{% for a in '0123456789' %}".repeat(9) + "x" + &"{% endfor %}".repeat(9);
    let sources = [
        doubled.as_str(),
        captured.as_str(),
        replaced.as_str(),
        nested.as_str(),
        "{{ 'x' * 1000000000 }}",
        "{% set a = [0] * 1000000000 %}x",
        "{{ 9 ** 999999999 }}",
        "{{ ['x' * 10000] * 10000 | join(',') }}",
        "{{ ('x' * 900000) | truncate(3) }}{{ ('x' * 900000) | upper }}",
    ];
    for source in sources {
        let errors = problems(source);

        assert!(!errors.is_empty(), "{source}");
    }
}

#[test]
fn an_alert_is_told_with_the_built_in_card_where_the_template_fails() {
    let cases = [
        "{{ location.file }} {{ tags.region.nothing }}",
        "{% for a in 'xxxxxxxxxx' %}{% for b in 'xxxxxxxxxx' %}{{ event.title }}{% for c in 'xxxxxxxxxx' %}{{ event.title }}{% endfor %}{% endfor %}{% endfor %}",
        "{% if level == 'debug' %}x{% endif %}",
    ];
    for source in cases {
        for (robot, word) in [
            (robot(), "模板无法使用"),
            (in_english(), "the template cannot be used"),
        ] {
            let robot = RobotConfig {
                template: Some(Template::parse(source).unwrap()),
                ..robot
            };
            let built_in = RobotConfig {
                template: None,
                ..robot.clone()
            };

            let shown = text(&message(alert()), &robot);

            assert!(shown.contains(word), "{shown}");
            let without: Vec<_> = shown
                .split("\n\n")
                .filter(|block| !block.contains(word))
                .collect();
            assert_eq!(without.join("\n\n"), text(&message(alert()), &built_in));
            assert!(render(&message(alert()), &robot, now()).to_json().len() <= 18_000);
        }
    }
}

#[test]
fn a_problem_can_be_asked_for_before_anything_is_sent() {
    let failing = writing("{{ tags.region.nothing }}");

    let problem = template_problem(&message(alert()), &failing, now()).unwrap();

    assert_eq!(problem.line, 1);
    assert_eq!(
        template_problem(&message(alert()), &writing("x"), now()),
        None
    );
    assert_eq!(template_problem(&message(alert()), &robot(), now()), None);
    let test = Message::Test {
        robot: "oncall".to_owned(),
        at: now(),
    };
    assert_eq!(template_problem(&test, &failing, now()), None);
}

#[test]
fn keyword_mentions_and_buttons_come_with_a_template_too() {
    let listening = RobotConfig {
        keyword: Some("告警".to_owned()),
        mention: Mention {
            mobiles: vec!["13800000000".to_owned()],
            ..Mention::default()
        },
        ..writing("{{ event.title }}")
    };
    let plain = RobotConfig {
        message: MessageKind::Text,
        ..listening.clone()
    };
    let buttons = RobotConfig {
        message: MessageKind::ActionCard,
        ..writing("{{ event.title }}")
    };

    let title = "ZeroDivisionError: division by zero";
    assert_eq!(
        text(&message(alert()), &listening),
        format!("{title}\n\n告警\n\n@13800000000")
    );
    let body = json(&message(alert()), &listening);
    assert_eq!(body["at"]["atMobiles"], json!(["13800000000"]));
    assert!(
        body["markdown"]["title"]
            .as_str()
            .unwrap()
            .ends_with("告警")
    );
    assert_eq!(
        text(&message(alert()), &plain),
        format!("{title}\n告警\n@13800000000")
    );
    let body = json(&message(mutable()), &buttons);
    assert_eq!(body["actionCard"]["text"], title);
    assert_eq!(body["actionCard"]["btns"].as_array().unwrap().len(), 4);
}

#[test]
fn values_are_masked_and_inert_also_as_titles_and_in_labels() {
    let mut hostile = alert();
    hostile.subject.title = "a](https://evil.example) <b> @all ![x".to_owned();
    hostile.subject.value = Some("password=hunter2 alice@example.com".to_owned());
    hostile.subject.tags = vec![("token".to_owned(), "hunter3".to_owned())];
    let source = "{% set title %}{{ event.title }}{% endset %}[{{ event.title }}](https://ours.example)\n\n{{ event.value }} {{ tags.token }} {{ '**' ~ event.title | upper }}";

    let body = json(&message(hostile), &writing(source));

    let expected = "［a］(https：//evil.example) ＜b＞ ＠all !［x](https://ours.example)";
    let text = body["markdown"]["text"].as_str().unwrap();
    assert_eq!(
        text.lines().next(),
        Some(&expected.replacen('［', "[", 1)[..])
    );
    for hidden in ["hunter", "alice", "**", "](HTTPS"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    let title = body["markdown"]["title"].as_str().unwrap();
    assert!(!title.contains('<') && !title.contains("@all"), "{title}");
}

#[test]
fn other_messages_and_shrunk_ones_keep_the_built_in_card() {
    let notice = Message::Test {
        robot: "oncall".to_owned(),
        at: now(),
    };

    assert_eq!(text(&notice, &writing("x")), text(&notice, &robot()));
}

#[test]
fn a_template_tells_reasons_apart() {
    let source = "{{ reason }}{% if counts.quiet %} {{ counts.quiet }}{% endif %}";
    let mut stopped = alert();
    stopped.reason = Reason::Stopped;
    stopped.counts.quiet = Some(Duration::from_secs(3_600));

    assert_eq!(text(&message(alert()), &writing(source)), "first_seen");
    assert_eq!(text(&message(stopped), &writing(source)), "stopped 1 小时");
}

/// Every problem of a template, whether it is found at reading or at trying.
fn problems(source: &str) -> Vec<TemplateError> {
    match Template::parse(source) {
        Ok(template) => template.check(&robot()).err().unwrap_or_default(),
        Err(error) => vec![error],
    }
}

fn writing(source: &str) -> RobotConfig {
    RobotConfig {
        template: Some(Template::parse(source).unwrap()),
        ..sidebar()
    }
}

fn sidebar() -> RobotConfig {
    RobotConfig {
        open_links_in: OpenLinks::Sidebar,
        ..robot()
    }
}

fn mutable() -> Alert {
    crate::cards::mutable()
}

fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = markdown.split(&fence).skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("```")?.0.to_owned()))
        .collect()
}

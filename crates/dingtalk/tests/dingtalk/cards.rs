//! What cards look like. The snapshots beside this file are meant to be read.

use std::time::Duration;

use alert::{
    Alert, Counted, Counts, Digest, Location, Message, Notice, NoticeKind, Reason, WindowCount,
};
use dingtalk::{Mention, MessageKind, OpenLinks, RobotConfig, render};
use event::model::{EventKind, Level};
use serde_json::json;

use crate::sample::{alert, at, in_english, json, message, now, robot, text};

#[test]
fn says_what_happened_in_chinese() {
    insta::assert_snapshot!(text(&message(alert()), &robot()));
}

#[test]
fn says_what_happened_in_english() {
    insta::assert_snapshot!(text(&message(alert()), &in_english()));
}

#[test]
fn says_how_often_it_went_on_in_chinese() {
    insta::assert_snapshot!(text(&message(still_happening()), &robot()));
}

#[test]
fn says_how_often_it_went_on_in_english() {
    insta::assert_snapshot!(text(&message(still_happening()), &in_english()));
}

#[test]
fn says_a_bare_message_shortly() {
    insta::assert_snapshot!(text(&message(bare()), &robot()));
}

#[test]
fn shows_the_lines_of_a_long_value_and_marks_minified_names() {
    let mut alert = alert();
    alert.subject.title =
        "TypeError: Cannot read properties of undefined (reading 'map')".to_owned();
    alert.subject.value = Some(
        "Cannot read properties of undefined (reading 'map')\n  at <anonymous>\n\n  at b.c\n  at d"
            .to_owned(),
    );
    alert.subject.is_unsymbolicated = true;
    alert.subject.location = Some(Location {
        filename: "https://cdn.example.com/static/js/main.1a2b3c.js?v=7".to_owned(),
        line: Some(1),
        function: Some("t.<computed> [as value]".to_owned()),
        source_line: None,
    });

    insta::assert_snapshot!(text(&message(alert), &robot()));
}

#[test]
fn says_that_names_are_missing_also_where_there_is_no_frame_to_show() {
    for (culprit, expected) in [
        ("?", "> ? · 未还原, 以 Sentry 为准"),
        ("", "> 未还原, 以 Sentry 为准"),
    ] {
        let mut alert = alert();
        alert.subject.is_unsymbolicated = true;
        alert.subject.location = None;
        alert.subject.culprit = culprit.to_owned();

        let card = text(&message(alert), &robot());

        assert!(card.lines().any(|line| line == expected), "{card}");
    }
}

#[test]
fn shows_a_test_card_in_both_languages() {
    let test = Message::Test {
        robot: "oncall".to_owned(),
        at: now(),
    };

    insta::assert_snapshot!(format!(
        "{}\n\n---\n\n{}",
        text(&test, &robot()),
        text(&test, &in_english())
    ));
}

#[test]
fn shows_plain_text_where_asked() {
    let robot = RobotConfig {
        message: MessageKind::Text,
        mention: somebody(),
        ..robot()
    };

    insta::assert_snapshot!(text(&message(alert()), &robot));
}

#[test]
fn puts_links_on_buttons_where_asked() {
    let robot = RobotConfig {
        message: MessageKind::ActionCard,
        open_links_in: OpenLinks::Sidebar,
        ..in_english()
    };

    let body = json(&message(alert()), &robot);

    assert_eq!(body["msgtype"], "actionCard");
    let buttons = json!([
        {"title": "Open event", "actionURL": alert().links.event},
        {"title": "Similar issues", "actionURL": alert().links.similar},
    ]);
    assert_eq!(body["actionCard"]["btns"], buttons);
    assert_eq!(body["actionCard"]["btnOrientation"], "1");
    assert!(!text(&message(alert()), &robot).contains("]("));
}

#[test]
fn mutes_from_the_card_where_links_are_signed() {
    let robot = RobotConfig {
        message: MessageKind::ActionCard,
        open_links_in: OpenLinks::Sidebar,
        ..robot()
    };

    let buttons = &json(&message(mutable()), &robot)["actionCard"];

    let titles = ["查看事件", "相似问题", "静默 1 小时", "静默 24 小时"];
    let shown: Vec<_> = (0..4).map(|at| &buttons["btns"][at]["title"]).collect();
    assert_eq!(shown, titles);
    assert_eq!(buttons["btns"][2]["actionURL"], json!(mute_link(3_600)));
    assert_eq!(buttons["btnOrientation"], "0");
    let stopped = Alert {
        reason: Reason::Stopped,
        ..mutable()
    };
    let shown = json(&message(stopped), &robot).to_string();
    assert!(!shown.contains("静默"), "{shown}");
}

#[test]
fn shows_mutes_in_every_form_and_both_languages() {
    let mut shown = String::new();
    for kind in [MessageKind::Markdown, MessageKind::Text] {
        for robot in [robot(), in_english()] {
            let robot = RobotConfig {
                message: kind,
                open_links_in: OpenLinks::Sidebar,
                ..robot
            };
            shown.push_str(&text(&message(mutable()), &robot));
            shown.push_str("\n\n---\n\n");
        }
    }

    insta::assert_snapshot!(shown);
}

#[test]
fn shows_a_card_with_buttons_in_both_languages() {
    let shown = [robot(), in_english()].map(|robot| {
        let robot = RobotConfig {
            message: MessageKind::ActionCard,
            ..robot
        };
        format!("{:#}", json(&message(mutable()), &robot))
    });

    insta::assert_snapshot!(shown.join("\n\n---\n\n"));
}

#[test]
fn says_how_long_it_went_on_only_where_that_tells_something() {
    let counted = |events, first_seen, last_said: Option<u64>| {
        let mut alert = alert();
        alert.counts.events = events;
        alert.counts.users = 0;
        alert.counts.first_seen = at(first_seen);
        alert.counts.last_said = last_said.map(at);
        text(&message(alert), &in_english())
    };
    let last_seen = 1_782_871_618;
    let cases = [
        (
            counted(37, last_seen - 300, None),
            "**37 times in 5 minutes**",
        ),
        (counted(3, last_seen - 1, None), "**3 times**"),
        (counted(1, last_seen, None), "**once** · 10:06:58"),
        (counted(3, last_seen + 9, None), "**3 times**"),
    ];

    for (text, expected) in cases {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn makes_a_lone_link_the_whole_card() {
    let robot = RobotConfig {
        message: MessageKind::ActionCard,
        open_links_in: OpenLinks::Sidebar,
        ..in_english()
    };
    let mut alert = alert();
    alert.links.similar = None;

    let body = json(&message(alert.clone()), &robot);

    assert_eq!(body["actionCard"]["singleTitle"], "Open event");
    assert_eq!(body["actionCard"]["singleURL"], json!(alert.links.event));
    assert_eq!(body["actionCard"].get("btns"), None);
}

#[test]
fn falls_back_to_markdown_where_a_card_with_buttons_cannot_do() {
    let buttons = RobotConfig {
        message: MessageKind::ActionCard,
        ..robot()
    };
    let mentioning = RobotConfig {
        mention: somebody(),
        ..buttons.clone()
    };

    assert_eq!(json(&message(bare()), &buttons)["msgtype"], "markdown");
    assert_eq!(json(&message(alert()), &mentioning)["msgtype"], "markdown");
}

#[test]
fn mentions_in_the_last_line_and_beside_the_text() {
    let robot = RobotConfig {
        mention: somebody(),
        keyword: Some("sentry".to_owned()),
        ..robot()
    };

    let body = json(&message(alert()), &robot);

    let at = json!({"atMobiles": ["13800000000"], "atUserIds": ["manager1"], "isAtAll": true});
    assert_eq!(body["at"], at);
    let text = text(&message(alert()), &robot);
    assert_eq!(text.lines().last(), Some("@13800000000 @manager1"));
}

#[test]
fn a_test_card_never_mentions_everyone() {
    let robot = RobotConfig {
        mention: somebody(),
        ..robot()
    };
    let test = Message::Test {
        robot: "oncall".to_owned(),
        at: now(),
    };

    assert_eq!(json(&test, &robot)["at"]["isAtAll"], false);
}

#[test]
fn puts_the_keyword_into_title_and_text_unless_it_is_there() {
    let cases = [("监控报警", 1), ("division by zero", 1), ("shop-api", 1)];
    for kind in [
        MessageKind::Markdown,
        MessageKind::ActionCard,
        MessageKind::Text,
    ] {
        for (keyword, times) in cases {
            let robot = RobotConfig {
                keyword: Some(keyword.to_owned()),
                message: kind,
                ..robot()
            };
            let mut alert = alert();
            alert.subject.release = None;

            let body = render(&message(alert.clone()), &robot, now());

            assert!(
                body.title().is_none_or(|title| title.contains(keyword)),
                "{kind:?} {body:?}"
            );
            let text = text(&message(alert), &robot);
            assert_eq!(
                text.matches(keyword).count(),
                times,
                "{kind:?} {keyword}: {text}"
            );
        }
    }
}

#[test]
fn keeps_titles_short_and_keeps_the_keyword_in_them() {
    let mut alert = alert();
    alert.subject.title = "长".repeat(300);
    for keyword in [
        None,
        Some("sentry".to_owned()),
        Some("长".repeat(70)),
        Some("k".repeat(64)),
    ] {
        let robot = RobotConfig { keyword, ..robot() };

        let body = render(&message(alert.clone()), &robot, now());

        let title = body.title().unwrap();
        assert!(title.chars().count() <= 64, "{title}");
        if let Some(keyword) = robot.keyword.filter(|keyword| keyword.len() <= 64) {
            assert!(title.contains(&keyword), "{title}");
        }
    }
}

#[test]
fn previews_environment_project_and_title() {
    let body = render(&message(alert()), &robot(), now());
    assert_eq!(
        body.title(),
        Some("[生产] shop-api · ZeroDivisionError: division by zero")
    );

    let mut unnamed = alert();
    unnamed.subject.project_name = None;
    unnamed.subject.environment = Some("canary".to_owned());
    let body = render(&message(unnamed), &in_english(), now());
    assert_eq!(
        body.title(),
        Some("[canary] project 42 · ZeroDivisionError: division by zero")
    );
}

#[test]
fn leaves_parts_out_in_order_as_room_shrinks() {
    let marks = [
        "**标签**",
        "引起",
        "**接口**",
        "| return",
        "**用户**",
        "> shop/price.py",
        "规则",
        "查看事件",
    ];
    let mut seen = Vec::new();
    for crowd in (400..1_000).step_by(4) {
        let robot = RobotConfig {
            mention: crowd_of(crowd),
            ..robot()
        };
        let body = json(&message(long_alert()), &robot);

        assert!(
            body.to_string().len() <= 18_000,
            "{}",
            body.to_string().len()
        );
        let text = text(&message(long_alert()), &robot);
        let shown = marks.map(|mark| text.contains(mark));
        if seen.last() != Some(&shown) {
            seen.push(shown);
        }
        let is_complete = shown.iter().all(|shown| *shown);
        let is_reduced = body["msgtype"] == "text";
        assert_eq!(
            text.contains("已省略: 标签"),
            !is_complete && !is_reduced,
            "{text}"
        );
        assert!(text.contains("production") && text.contains("shop-api") && text.contains("error"));
        if is_reduced {
            break;
        }
    }

    assert_eq!(seen.first(), Some(&[true; 8]));
    let counts: Vec<usize> = seen
        .iter()
        .map(|shown| shown.iter().filter(|shown| **shown).count())
        .collect();
    assert!(
        counts.is_sorted_by(|before, after| before > after),
        "{counts:?}"
    );
    for shown in &seen[..seen.len() - 1] {
        let is_in_order = shown.is_sorted();
        assert!(is_in_order, "{shown:?}");
    }
    assert!(seen.len() >= 6, "too few steps were seen: {seen:?}");
}

#[test]
fn keeps_every_kind_small_whatever_is_configured() {
    for kind in [
        MessageKind::Markdown,
        MessageKind::ActionCard,
        MessageKind::Text,
    ] {
        for crowd in [0, 300, 600, 900, 5_000] {
            let robot = RobotConfig {
                message: kind,
                mention: crowd_of(crowd),
                ..robot()
            };

            let body = render(&message(long_alert()), &robot, now());

            assert!(
                body.to_json().len() <= 18_000,
                "{kind:?} {crowd}: {}",
                body.to_json().len()
            );
        }
    }
}

#[test]
fn shows_neither_secrets_nor_personal_data() {
    let mut alert = alert();
    alert.subject.title = "LoginError: no user alice@example.com".to_owned();
    alert.subject.value =
        Some("no user alice@example.com\npassword=hunter2 from 203.0.113.77".to_owned());

    for robot in [robot(), in_english()] {
        let text = text(&message(alert.clone()), &robot);

        for hidden in [
            "alice",
            "hunter2",
            "113.77",
            "10037",
            "13800138000",
            "token=abc",
            "?",
            "#top",
        ] {
            assert!(
                !text.replace("/page/link?url", "").contains(hidden),
                "{hidden} is shown:\n{text}"
            );
        }
    }
}

#[test]
fn finds_the_host_in_a_tag_too() {
    let mut alert = bare();
    alert.subject.tags = vec![("server_name".to_owned(), "web01.example.org".to_owned())];

    let text = text(&message(alert), &robot());

    assert!(text.contains("- **主机**: web01.example.org"), "{text}");
}

#[test]
fn shows_every_level_by_a_word_beside_its_mark() {
    for (level, mark) in [
        (Level::Fatal, "🔴"),
        (Level::Error, "🟠"),
        (Level::Warning, "🟡"),
        (Level::Info, "🔵"),
        (Level::Debug, "⚪"),
    ] {
        let mut alert = alert();
        alert.subject.level = level;

        let text = text(&message(alert), &robot());

        assert!(text.starts_with(&format!("### {mark} ")), "{text}");
        assert!(text.contains(&format!(" · {level} · ")), "{text}");
    }
}

/// An alert whose message may mute it.
pub(crate) fn mutable() -> Alert {
    let mut alert = alert();
    alert.links.mutes = [3_600, 86_400]
        .map(|seconds| (Duration::from_secs(seconds), mute_link(seconds)))
        .into();
    alert
}

fn mute_link(seconds: u64) -> String {
    format!(
        "https://notice.example.com/mute?issue=42:d41d8cd9&for={seconds}&exp=1782958020&sig=0a1b2c"
    )
}

fn still_happening() -> Alert {
    Alert {
        reason: Reason::StillHappening,
        counts: Counts {
            events: 512,
            events_since_said: 36,
            users: 1_000,
            are_users_exact: false,
            first_seen: at(1_782_771_331),
            last_seen: at(1_782_871_618),
            last_said: Some(at(1_782_868_018)),
            ..alert().counts
        },
        ..alert()
    }
}

/// The least an event can hold.
fn bare() -> Alert {
    let mut alert = alert();
    let subject = &mut alert.subject;
    subject.project_name = None;
    subject.kind = EventKind::Default;
    subject.level = Level::Fatal;
    subject.title = "This is an example Python exception".to_owned();
    subject.value = Some(subject.title.clone());
    subject.culprit = "raven.scripts.runner in main".to_owned();
    subject.exception_type = None;
    subject.location = None;
    subject.causes.clear();
    subject.handled = None;
    subject.user = None;
    subject.tags.clear();
    for text in [
        &mut subject.environment,
        &mut subject.release,
        &mut subject.dist,
        &mut subject.server_name,
        &mut subject.transaction,
        &mut subject.request_url,
    ] {
        *text = None;
    }
    alert.counts.events = 1;
    alert.counts.users = 0;
    alert.links.event = None;
    alert.links.similar = None;
    alert.route.clear();
    alert
}

/// Every text as long as an alert can hold, made of what JSON has to escape.
fn long_alert() -> Alert {
    let long = |text: &str| text.repeat(1_024);
    let mut alert = alert();
    let subject = &mut alert.subject;
    subject.value = Some(long("\"值\\\n"));
    subject.tags = (0..32).map(|_| ("region".to_owned(), long("\""))).collect();
    subject.causes = vec![subject.causes[0].clone(); 8];
    for text in [
        &mut subject.server_name,
        &mut subject.dist,
        &mut subject.transaction,
    ] {
        *text = Some(long("\\"));
    }
    alert.route = vec![long("路"); 8];
    alert
}

fn crowd_of(people: usize) -> Mention {
    Mention {
        mobiles: (0..people)
            .map(|number| format!("138{number:08}"))
            .collect(),
        ..Mention::default()
    }
}

fn somebody() -> Mention {
    Mention {
        mobiles: vec!["13800000000".to_owned()],
        user_ids: vec!["manager1".to_owned()],
        all: true,
    }
}

#[test]
fn says_every_reason_in_both_languages() {
    let mut shown = String::new();
    for reason in Reason::ALL {
        let alert = because(reason);
        for robot in [robot(), in_english()] {
            let text = text(&message(alert.clone()), &robot);
            let told = text.lines().filter(|line| {
                ["**shop-api**", "###", "按本代理", "as this proxy"]
                    .iter()
                    .any(|word| line.contains(word))
            });
            shown.push_str(&told.collect::<Vec<_>>().join("\n"));
            shown.push_str("\n\n");
        }
    }

    insta::assert_snapshot!(shown);
}

#[test]
fn the_documentation_says_each_reason_as_the_card_does() {
    let documentation = include_str!("../../../../docs/cards.md");
    for reason in Reason::ALL {
        for robot in [robot(), in_english()] {
            let text = text(&message(because(reason)), &robot);
            let summary = text.lines().find(|line| line.starts_with("**shop-api**"));
            let (_, said) = summary.unwrap().rsplit_once(" · ").unwrap();

            assert!(documentation.contains(&format!(" | {said} |")), "{said}");
        }
    }
}

#[test]
fn a_digest_names_the_most_urgent_and_counts_the_rest() {
    let digest = Message::Digest(Box::new(digest()));

    insta::assert_snapshot!(format!(
        "{}\n\n---\n\n{}",
        text(&digest, &robot()),
        text(&digest, &in_english())
    ));
}

#[test]
fn a_digest_fits_whatever_it_holds_and_mentions_each_of_its_people_but_never_everyone() {
    let mut full = digest();
    full.alerts = (0..Digest::NAMED)
        .map(|number| {
            let mut alert = alert();
            alert.subject.title = "题 [x](http://evil.example) <b> @all ".repeat(200);
            alert.owners.mobiles = vec![format!("1380000000{number}")];
            alert.mention = Some(Mention {
                all: true,
                ..Mention::default()
            });
            alert
        })
        .collect();
    let robot = RobotConfig {
        mention: somebody(),
        ..robot()
    };

    let body = json(&Message::Digest(Box::new(full)), &robot);

    assert!(body.to_string().len() <= 18_000);
    assert_eq!(body["at"]["isAtAll"], false);
    let mobiles = body["at"]["atMobiles"].as_array().unwrap();
    assert_eq!(mobiles.len(), Digest::NAMED);
    let shown = body["markdown"]["text"].as_str().unwrap();
    assert!(!shown.contains("](http://evil"), "{shown}");
    assert_eq!(shown.matches("](dingtalk://").count(), Digest::NAMED + 1);
}

#[test]
fn a_digest_in_plain_text_has_no_links_within_its_lines() {
    let plain = RobotConfig {
        message: MessageKind::Text,
        ..in_english()
    };

    let text = text(&Message::Digest(Box::new(digest())), &plain);

    assert!(
        text.contains("and 5 more") && !text.contains("]("),
        "{text}"
    );
    assert!(!text.contains(" · \n"), "{text}");
}

#[test]
fn a_digest_gives_up_links_first_then_names_fewer_and_counts_them() {
    let mut full = digest();
    full.alerts = vec![alert(); Digest::NAMED];
    full.alerts_total = 12;
    full.missed = 0;
    for alert in &mut full.alerts {
        alert.subject.title = "\"题".repeat(80);
        alert.links.event = Some(format!("https://sentry.example.com/{}", "é".repeat(60)));
    }
    let mut seen = Vec::new();
    for crowd in (0..1_400).step_by(20) {
        let robot = RobotConfig {
            mention: crowd_of(crowd),
            ..in_english()
        };
        let message = Message::Digest(Box::new(full.clone()));

        let body = json(&message, &robot);

        assert!(body.to_string().len() <= 18_000);
        let text = text(&message, &robot);
        let named = text.matches("first seen").count();
        if body["msgtype"] == "markdown" {
            assert!(text.contains(&format!("and {} more", 12 - named)), "{text}");
            assert_eq!(
                text.contains("left out: links"),
                !text.contains("[Open]"),
                "{text}"
            );
        }
        let shown = (text.contains("[Open]"), named);
        if seen.last() != Some(&shown) {
            seen.push(shown);
        }
    }

    assert_eq!(
        &seen[..3],
        [(true, 10), (false, 10), (false, 9)],
        "{seen:?}"
    );
    assert_eq!(seen.last(), Some(&(false, 0)), "{seen:?}");
    assert!(
        seen.is_sorted_by(|before, after| before > after),
        "{seen:?}"
    );
}

#[test]
fn the_proxy_speaks_of_itself_in_both_languages() {
    let hour = Duration::from_secs(3_600);
    let text_of = |text: &str| text.to_owned();
    let kinds = [
        NoticeKind::SentryDown {
            since: at(1_782_871_331),
            waiting: 41,
            upstream: text_of("https://sentry.example.com"),
            lost: 0,
        },
        NoticeKind::SentryBack {
            lasted: hour,
            waited: 41,
            delivered: 40,
            upstream: text_of("https://sentry.example.com"),
            lost: 3,
        },
        NoticeKind::RobotBroken {
            robot: text_of("oncall"),
            detail: text_of("errcode 310000: sign not match"),
            hint: text_of("check `secret`"),
        },
        NoticeKind::RobotBack {
            robot: text_of("oncall"),
            lasted: hour,
        },
        NoticeKind::SpoolNearlyFull {
            used: 1_932_735_283,
            size: 2 << 30,
        },
        NoticeKind::StateFallback {
            backend: text_of("redis"),
        },
        NoticeKind::StateFallback {
            backend: text_of("file"),
        },
        NoticeKind::StateBack {
            backend: text_of("redis"),
            lasted: hour,
        },
    ];
    let mut shown = String::new();
    for kind in kinds {
        let notice = Notice {
            id: text_of("n"),
            at: at(1_782_871_618),
            kind,
        };
        for robot in [robot(), in_english()] {
            shown.push_str(&text(&Message::Notice(Box::new(notice.clone())), &robot));
            shown.push_str("\n\n---\n\n");
        }
    }

    insta::assert_snapshot!(shown);
}

#[test]
fn a_route_mentions_others_than_the_robot_and_an_event_its_owners() {
    let robot = RobotConfig {
        mention: somebody(),
        ..robot()
    };
    let mention = |mobile: &str| Mention {
        mobiles: vec![mobile.to_owned()],
        ..Mention::default()
    };
    let mut owned = alert();
    owned.owners = mention("13900000000");
    let mut routed = owned.clone();
    routed.mention = Some(mention("13700000000"));
    let mut nobody = alert();
    nobody.mention = Some(Mention::default());

    let mobiles = |alert: Alert| json(&message(alert), &robot)["at"]["atMobiles"].clone();
    assert_eq!(mobiles(owned), json!(["13800000000", "13900000000"]));
    assert_eq!(mobiles(routed), json!(["13700000000", "13900000000"]));
    assert_eq!(json(&message(nobody), &robot).get("at"), None);
}

/// An alert said for a reason, with what the engine tells along.
fn because(reason: Reason) -> Alert {
    let window = WindowCount {
        count: 100,
        of: Counted::Events,
        within: Duration::from_secs(60),
    };
    let (last_said, since_said) = match reason {
        Reason::FirstSeen | Reason::Threshold => (None, 37),
        Reason::Stopped => (Some(at(1_782_871_400)), 0),
        _ => (Some(at(1_782_871_400)), 12),
    };
    let mut alert = alert();
    alert.reason = reason;
    alert.counts.last_said = last_said;
    alert.counts.events_since_said = since_said;
    alert.counts.window = match reason {
        Reason::Threshold => Some(WindowCount {
            count: 5,
            of: Counted::Users,
            ..window
        }),
        Reason::Burst => Some(window),
        _ => None,
    };
    alert.counts.quiet = match reason {
        Reason::Regression => Some(Duration::from_secs(8 * 86_400)),
        Reason::Stopped => Some(Duration::from_secs(3_600)),
        _ => None,
    };
    alert
}

fn digest() -> Digest {
    let reasons = [
        (Reason::FirstSeen, Level::Fatal),
        (Reason::Burst, Level::Error),
        (Reason::Stopped, Level::Error),
    ];
    let alerts = reasons.map(|(reason, level)| {
        let mut alert = because(reason);
        alert.subject.level = level;
        alert
    });
    Digest {
        alerts: alerts.into(),
        notices: vec![Notice {
            id: "n".to_owned(),
            at: at(1_782_871_618),
            kind: NoticeKind::StateFallback {
                backend: "redis".to_owned(),
            },
        }],
        alerts_total: 6,
        events: 214,
        missed: 2,
        since: at(1_782_871_320),
        until: now(),
        status_url: Some("https://notice.example.com/".to_owned()),
    }
}

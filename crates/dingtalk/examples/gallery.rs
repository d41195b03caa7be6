//! Writes a page for each picture in `docs/cards.md`: cards as `render` makes them, in a chat as wide as a phone.
//!
//! `docs/images/make.sh` calls it and takes the pictures. What DingTalk's own renderer adds (fonts, margins, colours) is
//! guessed; what is in the markdown is exact.

#![expect(clippy::unwrap_used, reason = "a tool of ours that may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use alert::{Alert, Counted, Digest, Message, Notice, NoticeKind, Reason, WindowCount};
use dingtalk::message::{Buttons, Content};
use dingtalk::{Language, MessageKind, OpenLinks, RobotConfig, Template, render};
use event::model::Level;
use pulldown_cmark::{Parser, html};

#[path = "../tests/dingtalk/sample.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod sample;

use sample::{alert, at, message, now};

fn main() {
    let directory = PathBuf::from(std::env::args().nth(1).expect("a directory to write to"));
    let (zh, en) = (robot(Language::ZhCn), robot(Language::En));
    let with_buttons = |robot: &RobotConfig| RobotConfig {
        message: MessageKind::ActionCard,
        ..robot.clone()
    };
    let own = RobotConfig {
        template: Some(documented_template()),
        ..zh.clone()
    };
    let pages: [(&str, Vec<(Message, RobotConfig)>); 6] = [
        ("alert-zh", vec![(message(first_seen()), zh.clone())]),
        ("buttons-en", vec![(message(burst()), with_buttons(&en))]),
        (
            "reasons-zh",
            vec![
                (message(regression()), zh.clone()),
                (message(stopped()), zh.clone()),
            ],
        ),
        ("digest-zh", vec![(digest(), zh.clone())]),
        (
            "notices-en",
            vec![
                (notice(down()), en.clone()),
                (notice(broken()), en.clone()),
                (test(), en),
            ],
        ),
        ("template-zh", vec![(message(first_seen()), own)]),
    ];
    for (name, messages) in pages {
        write_page(&directory, name, &messages);
    }
}

fn write_page(directory: &Path, name: &str, messages: &[(Message, RobotConfig)]) {
    let bubbles: String = messages
        .iter()
        .map(|(message, robot)| bubble(message, robot))
        .collect();
    let page = PAGE.replace("BUBBLES", &bubbles);
    std::fs::write(directory.join(format!("{name}.html")), page).unwrap();
}

fn bubble(message: &Message, robot: &RobotConfig) -> String {
    let (text, buttons) = match render(message, robot, now()).content {
        Content::Markdown { markdown } => (markdown.text, Vec::new()),
        Content::ActionCard { action_card } => {
            let buttons = match action_card.buttons {
                Buttons::Single { title, .. } => vec![title],
                Buttons::Many { buttons, .. } => {
                    buttons.into_iter().map(|button| button.title).collect()
                }
            };
            (action_card.text, buttons)
        }
        other => panic!("no picture of {other:?}"),
    };
    let mut shown = String::new();
    html::push_html(&mut shown, Parser::new(&text));
    let buttons: String = buttons
        .iter()
        .map(|title| format!("<div class=button>{title}</div>"))
        .collect();
    let clock = "<div class=time>10:07</div>";
    format!(
        "{clock}<div class=row><div class=avatar>🤖</div><div><div class=name>sentry-notice</div>\
         <div class=bubble>{shown}{buttons}</div></div></div>"
    )
}

fn first_seen() -> Alert {
    let mut alert = alert();
    alert.links.mutes = [3_600, 86_400]
        .map(|seconds| {
            let link = "https://notice.example.com/mute?for=";
            (Duration::from_secs(seconds), format!("{link}{seconds}"))
        })
        .into();
    alert
}

fn burst() -> Alert {
    let mut alert = first_seen();
    let subject = &mut alert.subject;
    let title = "TypeError: Cannot read properties of undefined (reading 'map')";
    subject.project_name = Some("shop-web".to_owned());
    subject.title = title.to_owned();
    subject.value = Some(title.trim_start_matches("TypeError: ").to_owned());
    subject.level = Level::Fatal;
    subject.is_unsymbolicated = true;
    subject.causes.clear();
    subject.transaction = None;
    subject.request_method = None;
    subject.request_url = Some("https://shop.example.com/cart".to_owned());
    subject.release = Some("shop-web@4.0.0-rc.2".to_owned());
    (subject.dist, subject.server_name) = (None, None);
    subject.tags = vec![("browser.name".to_owned(), "Chrome".to_owned())];
    subject.location = Some(alert::Location {
        filename: "/static/js/main.1a2b3c.js".to_owned(),
        line: Some(1),
        function: Some("t.render".to_owned()),
        source_line: None,
    });
    alert.reason = Reason::Burst;
    alert.counts.window = Some(WindowCount {
        count: 100,
        of: Counted::Events,
        within: Duration::from_secs(60),
    });
    alert.counts.last_said = Some(at(1_782_871_331));
    (alert.counts.events, alert.counts.events_since_said) = (164, 163);
    alert.counts.users = 58;
    alert
}

fn regression() -> Alert {
    let mut alert = alert();
    alert.reason = Reason::Regression;
    alert.counts.quiet = Some(Duration::from_secs(8 * 86_400));
    alert.counts.last_said = Some(at(1_782_171_400));
    alert.counts.first_seen = at(1_781_871_331);
    (alert.counts.events, alert.counts.events_since_said) = (38, 1);
    alert
}

fn stopped() -> Alert {
    let mut alert = alert();
    alert.reason = Reason::Stopped;
    alert.subject.location = None;
    alert.subject.culprit.clear();
    alert.subject.causes.clear();
    alert.subject.request_url = None;
    alert.subject.transaction = None;
    alert.subject.user = None;
    alert.subject.tags.clear();
    alert.counts.quiet = Some(Duration::from_secs(3_600));
    alert.counts.last_said = Some(at(1_782_868_018));
    alert.counts.last_seen = at(1_782_868_018);
    alert.counts.first_seen = at(1_782_860_000);
    (alert.counts.events, alert.counts.events_since_said) = (512, 0);
    alert.links.similar = None;
    alert
}

fn digest() -> Message {
    let named = [
        (
            "ZeroDivisionError: division by zero",
            "shop-api",
            120,
            Level::Fatal,
        ),
        (
            "OperationalError: too many connections",
            "shop-api",
            61,
            Level::Error,
        ),
        (
            "TimeoutError: upstream pay.example.com",
            "pay",
            21,
            Level::Error,
        ),
    ];
    let alerts = named.map(|(title, project, count, level)| {
        let mut alert = alert();
        alert.subject.title = title.to_owned();
        alert.subject.project_name = Some(project.to_owned());
        alert.subject.level = level;
        alert.counts.events_since_said = count;
        alert
    });
    Message::Digest(Box::new(Digest {
        alerts: alerts.into(),
        notices: Vec::new(),
        alerts_total: 6,
        events: 214,
        missed: 0,
        since: at(1_782_871_320),
        until: now(),
        status_url: Some("https://notice.example.com/".to_owned()),
    }))
}

fn down() -> NoticeKind {
    NoticeKind::SentryDown {
        since: at(1_782_871_331),
        waiting: 41,
        upstream: "https://sentry.example.com".to_owned(),
        lost: 0,
    }
}

fn broken() -> NoticeKind {
    NoticeKind::RobotBroken {
        robot: "oncall".to_owned(),
        detail: "errcode 310000: sign not match".to_owned(),
        hint:
            "copy the `secret` from the security settings of the very robot whose webhook this is"
                .to_owned(),
    }
}

fn notice(kind: NoticeKind) -> Message {
    Message::Notice(Box::new(Notice {
        id: "notice".to_owned(),
        at: at(1_782_871_618),
        kind,
    }))
}

fn test() -> Message {
    Message::Test {
        robot: "oncall".to_owned(),
        at: now(),
    }
}

fn robot(language: Language) -> RobotConfig {
    RobotConfig {
        language,
        open_links_in: OpenLinks::Sidebar,
        ..sample::robot()
    }
}

/// The second example of `docs/templates.md`.
fn documented_template() -> Template {
    let documentation = include_str!("../../../docs/templates.md");
    let example = documentation.split("```jinja\n").nth(2).unwrap();
    Template::parse(example.split("```").next().unwrap()).unwrap()
}

const PAGE: &str = include_str!("gallery.html");

//! An alert with every fact filled in, and robots to show it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alert::{Alert, Cause, Counts, Links, Location, Message, Person, Reason, Subject};
use dingtalk::{Language, Mention, MessageKind, OpenLinks, RobotConfig, Secret, Webhook, render};
use event::endpoint::ProjectId;
use event::model::{EventId, EventKind, Level};
use serde_json::Value;
use state::{IssueHash, IssueKey};

/// 2026-07-01 10:07:00 in Shanghai.
pub(crate) fn now() -> SystemTime {
    at(1_782_871_620)
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn robot() -> RobotConfig {
    RobotConfig {
        name: "oncall".to_owned(),
        webhooks: vec![Webhook::parse(TOKEN).unwrap()],
        secret: Some(Secret::new(SECRET)),
        secrets: Vec::new(),
        keyword: None,
        per_minute: 18,
        message: MessageKind::Markdown,
        mention: Mention::default(),
        language: Language::ZhCn,
        timezone: jiff::tz::TimeZone::get("Asia/Shanghai").unwrap(),
        open_links_in: OpenLinks::Browser,
    }
}

pub(crate) fn in_english() -> RobotConfig {
    RobotConfig {
        language: Language::En,
        ..robot()
    }
}

pub(crate) fn alert() -> Alert {
    Alert {
        id: "0198f2c4".to_owned(),
        issue: IssueKey::new(42, IssueHash::of("d41d8cd98f00b204e9800998ecf8427e")),
        reason: Reason::FirstSeen,
        subject: subject(),
        counts: Counts {
            events: 37,
            events_since_said: 37,
            users: 12,
            are_users_exact: true,
            first_seen: at(1_782_871_331),
            last_seen: at(1_782_871_618),
            last_said: None,
            window: None,
            quiet: None,
        },
        links: Links {
            event: Some(format!("{ISSUES}&query=9f3c2d1a00004000800000000000beef")),
            similar: Some(format!(
                "{ISSUES}&query=is%3Aunresolved+error.type%3AZeroDivisionError"
            )),
            mutes: Vec::new(),
        },
        route: vec!["root".to_owned(), "prod-errors".to_owned()],
        mention: None,
        owners: Mention::default(),
    }
}

pub(crate) fn message(alert: Alert) -> Message {
    Message::Alert(Box::new(alert))
}

/// The markdown or plain text that a robot would show.
pub(crate) fn text(message: &Message, robot: &RobotConfig) -> String {
    let body = json(message, robot);
    let texts = ["/markdown/text", "/actionCard/text", "/text/content"];
    let text = texts.iter().find_map(|pointer| body.pointer(pointer));
    text.and_then(Value::as_str).unwrap().to_owned()
}

pub(crate) fn json(message: &Message, robot: &RobotConfig) -> Value {
    serde_json::to_value(render(message, robot, now())).unwrap()
}

fn subject() -> Subject {
    let text = |text: &str| Some(text.to_owned());
    Subject {
        project: ProjectId::parse("42").unwrap(),
        project_name: text("shop-api"),
        event_id: EventId::parse("9f3c2d1a00004000800000000000beef"),
        kind: EventKind::Error,
        level: Level::Error,
        title: "ZeroDivisionError: division by zero".to_owned(),
        exception_type: text("ZeroDivisionError"),
        value: text("division by zero"),
        culprit: "shop.price in unit_price".to_owned(),
        location: Some(Location {
            filename: "shop/price.py".to_owned(),
            line: Some(42),
            function: text("unit_price"),
            source_line: text("        return total / count"),
        }),
        causes: vec![Cause {
            ty: text("KeyError"),
            value: text("'count' of alice@example.com"),
        }],
        handled: Some(false),
        platform: "python".to_owned(),
        environment: text("production"),
        release: text("shop-api@2.3.1"),
        dist: text("1042"),
        server_name: text("web-03"),
        transaction: text("shop.views.settle"),
        logger: text("django.request"),
        request_method: text("POST"),
        request_url: text("https://shop.example.com/api/order/settle?token=abc#top"),
        user: Some(Person {
            id: text("u_10037"),
            email: text("alice@example.com"),
            ..Person::default()
        }),
        tags: vec![
            ("region".to_owned(), "cn-east".to_owned()),
            ("phone".to_owned(), "13800138000".to_owned()),
        ],
        trace_id: text("0af7651916cd43dd8448eb211c80319c"),
        timestamp: Some(at(1_782_871_618)),
        is_unsymbolicated: false,
    }
}

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const SECRET: &str = "SEC0123456789abcdef";
const ISSUES: &str = "https://sentry.example.com/organizations/sentry/issues/?project=42";

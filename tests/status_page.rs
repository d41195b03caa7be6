//! The status page in a real browser, in front of the whole program: it fills by itself, nothing in an event can act in it,
//! and what is muted there is silent. And the metrics as Prometheus' own tool reads them.
//!
//! `tests/setup.sh` installs the browser and the tool; without them the tests skip themselves, loudly, unless
//! `SENTRY_NOTICE_REQUIRE_REAL` makes that a failure.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{Behaviour, SdkRequest};

use crate::browser::{Browser, variable};
use crate::stage::Stage;

#[path = "support/browser.rs"]
mod browser;
#[path = "support/stage.rs"]
mod stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fills_by_itself_while_events_flow() {
    let stage = Stage::start("[project.1]\nname = \"shop\"").await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    browser.step(json!({"do": "open"})).await;
    browser.sees("#live", "live").await;
    browser.sees("#issues", "Nothing has gone wrong").await;

    let problem = event("payment gateway did not answer", "prod");
    stage.send(&problem).await;
    browser
        .sees("#issues li", "payment gateway did not answer")
        .await;
    browser.sees("#robots", "✓ delivered").await;
    stage.send(&problem).await;
    stage.send(&problem).await;

    browser.sees("#issues li", "shop · prod").await;
    browser.sees("#issues li", "events 3").await;
    browser
        .sees("#issues li", "held: silent for another 59 min")
        .await;
    browser.sees("#issues li", "said").await;
    browser
        .sees("#alerts .card h4", "payment gateway did not answer")
        .await;
    browser.sees("#robots", "17 / 18 left this minute").await;
    browser.sees("#robots", "✓ delivered").await;
    browser.sees("#hour", "answered by Sentry 3").await;
    stage.send(&event("cart is empty", "staging")).await;
    browser.sees("#issues li", "cart is empty").await;
    browser.is_calm().await;
    assert_eq!(stage.sentry.received().len(), 4);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_seen_while_it_lasts_and_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let spool = format!("[spool]\ndir = {:?}", folder.path().join("spool"));
    let stage = Stage::start(&spool).await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    browser.step(json!({"do": "open"})).await;
    browser.sees("#upstreams", "✓ answers").await;
    stage.sentry.script().always(Behaviour::status(503));

    for number in 0..4 {
        let number = format!("problem {number}");
        assert_eq!(stage.send(&event(&number, "prod")).await, 200);
    }

    browser.sees("#upstreams", "✕ does not answer, for").await;
    browser.sees("#now .bad", "does not answer").await;
    browser.sees("#now .warn", "4 wait").await;
    browser.sees("#now .warn", "oldest").await;
    browser.sees("#hour .legend", "spooled 4").await;
    browser.sees("#alerts summary", "problem 0").await;
    stage.sentry.script().clear();
    browser.sees("#upstreams", "✓ answers").await;
    browser.sees("#now .ok", "0 wait").await;
    browser.is_calm().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_searched_with_scripts_and_without() {
    let stage = Stage::start("").await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    for (title, environment) in [
        ("timeout one", "prod"),
        ("reset two", "prod"),
        ("timeout three", "staging"),
    ] {
        stage.send(&event(title, environment)).await;
    }
    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"queued\"} 3")
        .await;

    for script in [true, false] {
        browser.step(json!({"do": "open", "script": script})).await;
        assert_eq!(
            browser
                .step(json!({"do": "count", "place": "#issues li"}))
                .await,
            3
        );
        browser
            .step(json!({"do": "fill", "place": "[name=q]", "text": "TIMEOUT"}))
            .await;
        browser
            .step(json!({"do": "fill", "place": "[name=environment]", "text": "prod"}))
            .await;
        let url = browser
            .step(json!({"do": "click", "place": ".search button"}))
            .await;

        browser
            .step(json!({"do": "see", "place": "#issues li", "text": "timeout one"}))
            .await;
        assert_eq!(
            browser
                .step(json!({"do": "count", "place": "#issues li"}))
                .await,
            1,
            "{url}"
        );
        browser.is_calm().await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_an_event_acts_on_the_page() {
    let hostile = [
        "<img src=x onerror=alert(1)>",
        "\"><script>alert(2)</script>",
        "'><svg onload=alert(3)>",
        "</title></head><body onload=alert(4)>",
        "{{ 7*7 }} ${7*7} <iframe src=\"javascript:alert(5)\"></iframe>",
        "[click](javascript:alert(6)) ![x](http://evil.example/x.png)",
        "\u{202e}<style>*{display:none}</style>",
    ];
    let stage = Stage::start("[project.1]\nname = \"<i>shop</i>\"").await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    browser.step(json!({"do": "open"})).await;

    for text in hostile {
        assert_eq!(stage.send(&event(text, text)).await, 200);
    }

    for text in hostile {
        let shown = text.trim_start_matches('\u{202e}');
        browser.sees("#issues .title", shown).await;
        browser.sees("#alerts summary", shown).await;
    }
    browser.sees("#issues li", "<i>shop</i>").await;
    // All cards unfolded.
    for at in 1..=hostile.len() {
        let place = format!("#alerts li:nth-child({at}) details:not([open]) summary");
        if browser.step(json!({"do": "count", "place": place})).await != 0 {
            browser.step(json!({"do": "click", "place": place})).await;
        }
    }
    let made = "main :is(img, script, iframe, object, embed, style, link, i, video, body), main [onerror], main [onload], main [style], a[href^=javascript]";
    assert_eq!(browser.step(json!({"do": "count", "place": made})).await, 0);
    browser.step(json!({"do": "go", "path": "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&environment=%3Cimg%20src=x%20onerror=alert(1)%3E"})).await;
    assert_eq!(browser.step(json!({"do": "count", "place": made})).await, 0);
    browser.is_calm().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_from_the_link_of_a_card_silences_until_it_is_undone_on_the_page() {
    // The browser finds the pages under this name.
    let stage = Stage::start(
        "language = \"en\"\n[admin]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://notice.test\"",
    )
    .await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    stage.send(&event("read ECONNRESET", "prod")).await;
    browser
        .step(json!({"do": "open", "path": "http://notice.test/"}))
        .await;
    let link = "#alerts .card a[href^='http://notice.test/mute?']";
    browser.sees(link, "1 h").await;

    browser.step(json!({"do": "click", "place": link})).await;
    browser
        .step(json!({"do": "see", "place": "body", "text": "read ECONNRESET"}))
        .await;
    browser
        .step(json!({"do": "click", "place": "form button"}))
        .await;
    browser
        .step(json!({"do": "miss", "place": "form button", "text": "Mute"}))
        .await;
    stage.send(&event("read ECONNRESET", "prod")).await;
    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"held_muted\"} 1")
        .await;

    browser
        .step(json!({"do": "go", "path": "http://notice.test/"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "#issues li", "text": "held: muted by"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "#mutes li", "text": "read ECONNRESET"}))
        .await;
    browser
        .step(json!({"do": "click", "place": "#mutes li button"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "#mutes", "text": "Nothing is muted"}))
        .await;
    // And the other way round.
    browser
        .step(json!({"do": "click", "place": "#issues li form button"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "#mutes li", "text": "read ECONNRESET"}))
        .await;
    browser.is_calm().await;
    assert_eq!(stage.robots.messages().len(), 1);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_phone_in_the_dark_and_speaks_chinese() {
    let stage = Stage::start("").await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };
    stage
        .send(&event(
            &"AVeryLongNameWithoutAnySpace".repeat(9),
            &"e".repeat(60),
        ))
        .await;
    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"queued\"} 1")
        .await;

    for (phone, dark) in [(true, true), (false, false)] {
        let open = json!({"do": "open", "language": "zh-CN", "phone": phone, "dark": dark});
        browser.step(open).await;
        browser.sees("#live", "实时更新").await;
        browser.sees("#issues li", "首次出现").await;
        let overflow = browser.step(json!({"do": "overflow"})).await;
        assert!(overflow.as_i64() <= Some(0), "{overflow} pixels too wide");
        browser.is_calm().await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_people_sign_in_once() {
    let stage =
        Stage::start("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"a token of many words\"").await;
    let Some(mut browser) = Browser::start(stage.admin) else {
        return;
    };

    let url = browser.step(json!({"do": "open", "path": "/?q=x"})).await;
    assert!(url.as_str().unwrap().ends_with("/login?q=x"), "{url}");
    browser
        .step(json!({"do": "fill", "place": "[name=token]", "text": "a token of many words"}))
        .await;
    browser
        .step(json!({"do": "click", "place": "form button"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "#live", "text": "live"}))
        .await;
    let url = browser.step(json!({"do": "go", "path": "./"})).await;

    assert!(!url.as_str().unwrap().contains("token"), "{url}");
    browser
        .step(json!({"do": "see", "place": "#now", "text": "requests/s"}))
        .await;
    browser
        .step(json!({"do": "click", "place": "header form button"}))
        .await;
    browser
        .step(json!({"do": "see", "place": "form", "text": "Token"}))
        .await;
    browser.is_calm().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::start(&format!("[spool]\ndir = {:?}", folder.path().join("spool"))).await;
    let Some(promtool) = variable("SENTRY_NOTICE_PROMTOOL") else {
        return;
    };
    stage.send(&event("boom", "prod")).await;
    stage
        .wait_for_count("sentry_notice_messages_total{robot=\"oncall\",result=\"ok\"} 1")
        .await;
    let metrics = stage.metrics().await;

    let mut tool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();

    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!((output.status.code(), &*said), (Some(0), ""), "{metrics}");
    for name in PROMISED {
        let start = format!("sentry_notice_{name}");
        assert!(metrics.contains(&format!("\n{start}")), "{name} is missing");
        let described = name.trim_end_matches("_bucket");
        assert!(
            metrics.contains(&format!("# HELP sentry_notice_{described} ")),
            "{name} is not described"
        );
    }
    stage.stop().await;
}

fn event(message: &str, environment: &str) -> SdkRequest {
    let event = json!({
        "message": message,
        "level": "error",
        "environment": environment,
        "platform": "node",
        "tags": {"page": message},
        "user": {"username": message},
        "transaction": message,
    });
    SdkRequest::new("POST", "/api/1/store/?sentry_key=a").body(Value::to_string(&event))
}

/// The names that dashboards and alerts go by.
const PROMISED: [&str; 12] = [
    "requests_total",
    "request_duration_seconds_bucket",
    "upstream_duration_seconds_bucket",
    "spool_bytes",
    "spool_requests",
    "replayed_total",
    "tee_dropped_total",
    "events_total",
    "alerts_total",
    "messages_total",
    "outbox_alerts",
    "state_fallback",
];

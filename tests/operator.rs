//! What people see and do besides reading alerts: they mute from a card, and are told how the proxy itself fares.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::Duration;

use testkit::{Listening, Response, SdkRequest};

use crate::stage::{PATIENCE, Stage};

#[path = "support/stage.rs"]
mod stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_a_card_mutes_its_issue_and_undoes_it() {
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\npublic_url = \"{PUBLIC}\"\n");
    let stage = Stage::start(&format!("{EVERY_EVENT}{admin}")).await;
    stage.send(&boom(1)).await;
    let shown = stage.robots.wait_for(1, PATIENCE).await.unwrap();
    let links = mute_links(&shown[0].text);
    assert_eq!(links.len(), 2, "{}", shown[0].text);
    let query = links[0].strip_prefix(&format!("{PUBLIC}/mute?")).unwrap();

    let asked = ask(&stage, SdkRequest::new("GET", format!("/mute?{query}"))).await;
    stage.send(&boom(2)).await;
    stage.robots.wait_for(2, PATIENCE).await.unwrap();
    let done = ask(&stage, form("/mute", query)).await;
    stage.send(&boom(3)).await;
    stage
        .wait_for_count("sentry_notice_events_total{outcome=\"held_muted\"} 1")
        .await;
    let undone = ask(&stage, form("/mute", &format!("{query}&undo=1"))).await;
    stage.send(&boom(4)).await;
    let shown = stage.robots.wait_for(3, PATIENCE).await.unwrap();

    let pages = [asked, done, undone].map(|answer| {
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    });
    for (page, heading) in pages.iter().zip(["静默这个问题?", "已静默", "已撤销静默"])
    {
        let heading = format!("<h1>{heading}</h1>");
        assert!(page.contains(&heading) && page.contains("Boom"), "{page}");
    }
    assert_eq!(shown.len(), 3, "the one that was muted was not told");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_link_nowhere_when_nobody_said_where_these_pages_are() {
    let stage = Stage::start("").await;

    stage.send(&boom(1)).await;

    let shown = stage.robots.wait_for(1, PATIENCE).await.unwrap();
    assert!(!shown[0].text.contains("mute"), "{}", shown[0].text);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_that_sentry_is_away_and_that_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let stage = Stage::start(&format!(
        "[alert]\nrobot = \"\"\n[self]\nrobot = \"oncall\"\noutage_after = \"3s\"\n[spool]\ndir = \"{}\"\n",
        directory.path().join("spool").display()
    ))
    .await;
    stage.sentry.listen(Listening::Refusing).await.unwrap();

    for number in 0..5 {
        assert_eq!(stage.send(&boom(number)).await, 200);
    }
    let down = stage.robots.wait_for(1, 3 * PATIENCE).await.unwrap();
    stage.sentry.listen(Listening::Serving).await.unwrap();
    let told = stage.robots.wait_for(2, 6 * PATIENCE).await.unwrap();

    let down = &down[0].text;
    assert!(
        down.contains("Sentry 无法访问") && down.contains("已暂存 5 个请求"),
        "{down}"
    );
    let address = stage.sentry.address().to_string();
    assert!(down.contains(&address), "{down}");
    let back = &told[1].text;
    assert!(back.contains("Sentry 已恢复, 中断"), "{back}");
    assert!(back.contains("共暂存 5 个请求, 已补发 5 个"), "{back}");
    assert_eq!(stage.sentry.received().len(), 5);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_what_is_lost_where_there_is_no_spool() {
    let settings = "[alert]\nrobot = \"\"\n[self]\nrobot = \"oncall\"\noutage_after = \"3s\"\n";
    let stage = Stage::start(settings).await;
    stage.sentry.listen(Listening::Refusing).await.unwrap();

    for number in 0..4 {
        assert_eq!(stage.send(&boom(number)).await, 503);
    }
    let told = stage.robots.wait_for(1, 3 * PATIENCE).await.unwrap();

    assert_eq!(told.len(), 1);
    let text = &told[0].text;
    assert!(text.contains("4 个请求已丢失"), "{text}");
    stage.stop().await;
}

/// Returns the addresses behind the mute links of a card, as DingTalk opens them.
fn mute_links(card: &str) -> Vec<String> {
    let parts = card.split("](").skip(1);
    let targets = parts.filter_map(|part| part.split(')').next());
    let targets = targets.filter_map(|target| target.strip_prefix(WRAPPED));
    let addresses = targets.filter_map(|target| target.split('&').next());
    let addresses = addresses.map(decoded);
    addresses
        .filter(|address| address.contains("/mute?"))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

async fn ask(stage: &Stage, request: SdkRequest) -> Response {
    let asking = testkit::send(stage.admin, &request);
    tokio::time::timeout(Duration::from_secs(10), asking)
        .await
        .unwrap()
        .unwrap()
}

fn form(path: &str, body: &str) -> SdkRequest {
    SdkRequest::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body.to_owned())
}

/// An event of always the same issue.
fn boom(number: u32) -> SdkRequest {
    let body = format!(
        r#"{{"event_id":"{number:032x}","exception":{{"values":[{{"type":"Boom","value":"went off"}}]}}}}"#
    );
    let key = "/api/1/store/?sentry_key=a94ae32be2584e0bbd7a4cbb95971fee&sentry_version=7";
    SdkRequest::new("POST", key).body(body)
}

const PUBLIC: &str = "https://notice.example.com";

/// What DingTalk's link to the default browser begins with.
const WRAPPED: &str = "dingtalk://dingtalkclient/page/link?url=";

/// Every event of an issue is told.
const EVERY_EVENT: &str = "[alert]\nrobot = \"oncall\"\nrepeat = \"1ms\"\nrepeat_factor = 1\n";

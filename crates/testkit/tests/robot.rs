//! The robot simulator answers as DingTalk's custom robots do.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::{
    Behaviour, Break, Listening, MessageType, Point, Reason, Response, Robot, RobotFailure,
    RobotSimulator, SdkRequest, Wording, send,
};

const SOON: Duration = Duration::from_secs(10);
const SECRET: &str = "SEC0123456789abcdef";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn shows_a_message_and_keeps_its_request() {
    let simulator = start(Robot::new("a")).await;
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"title": "t", "text": "### t\n\n@13800000000"},
        "at": {"atMobiles": ["13800000000"], "isAtAll": false},
        "msgUuid": "u-1",
    });

    let verdict = post(&simulator, "a", &body).await;
    let message = simulator.wait_for(1, SOON).await.unwrap().remove(0);

    assert_eq!(verdict, (0, "ok".to_owned()));
    assert_eq!(message.token, "a");
    assert_eq!(message.message_type, MessageType::Markdown);
    assert_eq!(message.title.as_deref(), Some("t"));
    assert_eq!(message.text, "### t\n\n@13800000000");
    assert_eq!(message.at_mobiles, ["13800000000"]);
    assert_eq!(message.message_uuid.as_deref(), Some("u-1"));
    assert_eq!(message.body, body);
    assert_eq!(message.request.method, "POST");
    assert_eq!(
        message.request.header("content-type"),
        Some("application/json")
    );
    assert!(message.warnings.is_empty());
}

#[tokio::test]
async fn refuses_requests_that_are_no_messages() {
    let simulator = start(Robot::new("a")).await;
    let json_type = "application/json; charset=utf-8";
    let get = SdkRequest::new("GET", "/robot/send?access_token=a");
    let path = SdkRequest::new("POST", "/robot/sendBySession?access_token=a");
    let table = [
        (path.header("Content-Type", json_type), 404),
        (get, 43002),
        (request("/robot/send", json_type, "{}"), 40035),
        (request("/robot/send?access_token=", json_type, "{}"), 40035),
        (
            request("/robot/send?access_token=a", "text/plain", "{}"),
            43004,
        ),
        (request("/robot/send?access_token=a", json_type, "{"), 40035),
        (
            request("/robot/send?access_token=a", json_type, "[]"),
            40035,
        ),
        (
            request("/robot/send?access_token=b", json_type, "{}"),
            300_005,
        ),
        (
            request("/robot/send?access_token=a", json_type, "{}"),
            400_105,
        ),
    ];
    for (request, errcode) in table {
        let answer = send(simulator.address(), &request).await.unwrap();

        assert_eq!(
            (answer.status, answer.json()["errcode"].as_i64()),
            (200, Some(errcode))
        );
    }
    let texts: Vec<_> = simulator
        .refusals()
        .into_iter()
        .map(|refusal| refusal.errmsg)
        .collect();
    assert_eq!(
        texts[..8],
        [
            "请求的URI地址不存在",
            "需要POST请求",
            "缺少参数 access_token",
            "缺少参数 access_token",
            "无效的HTTP HEADER Content-Type",
            "缺少参数 json",
            "缺少参数 json",
            "token is not exist",
        ]
    );
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn demands_a_signature_that_is_fresh_and_encoded_once() {
    let simulator = start(Robot::new("a").secret(SECRET).wording(Wording::Plain)).await;
    let now = millis_now();
    let sign = sign(now);
    let once = encoded(&sign);
    let signed = |millis: i64, sign: &str| format!("a&timestamp={millis}&sign={sign}");
    let table = [
        ("a".to_owned(), Some("sign not match")),
        (signed(now, &once), None),
        (signed(now, &encoded(&once)), Some("sign not match")),
        (signed(now + 1, &once), Some("sign not match")),
        (signed(now - 3_700_000, &once), Some("invalid timestamp")),
        (format!("{}&timestamp=1&sign=x", signed(now, &once)), None),
    ];
    for (token, refused) in table {
        let (errcode, errmsg) = post(&simulator, &token, &text("hi")).await;

        let expected = refused.map_or((0, "ok"), |errmsg| (310_000, errmsg));
        assert_eq!((errcode, errmsg.as_str()), expected, "{token}");
    }
}

#[tokio::test]
async fn judges_a_signature_by_its_own_clock_and_tells_that_clock() {
    let simulator = start(Robot::new("a").secret(SECRET)).await;
    let now = millis_now();
    let query = format!("a&timestamp={now}&sign={}", encoded(&sign(now)));
    simulator.clock().advance(Duration::from_secs(2 * 3600));

    let late = post_raw(&simulator, &query, &text("hi")).await;
    let date = httpdate::parse_http_date(late.header("date").unwrap()).unwrap();
    let told = i64::try_from(date.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let query = format!("a&timestamp={told}&sign={}", encoded(&sign(told)));
    let corrected = post(&simulator, &query, &text("hi")).await;

    assert_eq!(late.json()["errcode"], 310_000);
    assert_eq!(simulator.refusals()[0].reason, Reason::Time);
    assert_eq!(corrected.0, 0);
}

#[tokio::test]
async fn demands_a_keyword_in_title_or_text() {
    let simulator = start(Robot::new("a").keyword("告警").keyword("alert")).await;
    let titled = json!({"msgtype": "markdown", "markdown": {"title": "告警", "text": "x"}});

    let without = post(&simulator, "a", &text("hi")).await;
    let in_text = post(&simulator, "a", &text("an alert")).await;
    let in_title = post(&simulator, "a", &titled).await;

    assert_eq!(without.0, 310_000);
    assert!(
        without.1.starts_with("description:关键词不匹配;"),
        "{without:?}"
    );
    assert_eq!((in_text.0, in_title.0), (0, 0));
}

#[tokio::test]
async fn lets_in_only_allowed_networks_and_names_the_peer() {
    let outside = Robot::new("a")
        .allowed_network(Ipv4Addr::new(10, 0, 0, 0), 8)
        .wording(Wording::Plain);
    let inside = Robot::new("b").allowed_network(Ipv4Addr::LOCALHOST, 32);
    let simulator = RobotSimulator::start([outside, inside]).await.unwrap();

    let refused = post(&simulator, "a", &text("hi")).await;
    let let_in = post(&simulator, "b", &text("hi")).await;

    assert_eq!(
        refused,
        (310_000, "ip 127.0.0.1 not in whitelist".to_owned())
    );
    assert_eq!(let_in.0, 0);
}

#[tokio::test]
async fn refuses_a_body_over_20000_bytes() {
    let simulator = start(Robot::new("a").wording(Wording::Plain)).await;
    let frame = text("").to_string().len();

    let longest = post(&simulator, "a", &text(&"x".repeat(20_000 - frame))).await;
    let too_long = post(&simulator, "a", &text(&"x".repeat(20_001 - frame))).await;

    assert_eq!(longest.0, 0);
    assert_eq!(
        too_long,
        (460_101, "message too long, exceed 20000 bytes".to_owned())
    );
}

#[tokio::test]
async fn blocks_a_robot_for_ten_minutes_after_the_21st_message_of_a_minute() {
    let simulator = RobotSimulator::start([Robot::new("a"), Robot::new("b")])
        .await
        .unwrap();

    for _ in 0..20 {
        assert_eq!(post(&simulator, "a", &text("hi")).await.0, 0);
    }
    let too_fast = post(&simulator, "a", &text("hi")).await;
    let other_robot = post(&simulator, "b", &text("hi")).await;
    simulator.clock().advance(MINUTE * 2);
    let still_blocked = post(&simulator, "a", &text("hi")).await;
    simulator.clock().advance(MINUTE * 8);
    let again = post(&simulator, "a", &text("hi")).await;

    let expected = "send too fast, exceed 20 times per minute".to_owned();
    assert_eq!(too_fast, (130_101, expected));
    assert_eq!((still_blocked.0, other_robot.0, again.0), (130_101, 0, 0));
    assert_eq!(simulator.messages().len(), 22);
}

#[tokio::test]
async fn shows_a_repeated_message_uuid_once() {
    let simulator = start(Robot::new("a").per_minute(1)).await;
    let mut body = text("hi");
    body["msgUuid"] = json!("u-1");
    let lost = Behaviour::usual().broken_at(Point::Start, Break::Reset);
    simulator.script().next(lost);

    let answer_lost = try_post(&simulator, "a", &body).await;
    let retried = post(&simulator, "a", &body).await;

    assert!(answer_lost.is_err());
    assert_eq!(retried, (0, "ok".to_owned()));
    assert_eq!(simulator.messages().len(), 1);
    assert_eq!(simulator.repeats(), ["u-1"]);
}

#[tokio::test]
async fn warns_of_mentions_without_effect_and_refuses_them_when_strict() {
    let lenient = Robot::new("a");
    let simulator = RobotSimulator::start([lenient, Robot::new("b").strict()])
        .await
        .unwrap();
    let mut body = text("hi");
    body["at"] = json!({"isAtALL": true});

    let let_pass = post(&simulator, "a", &body).await;
    let refused = post(&simulator, "b", &body).await;

    let message = simulator.messages().remove(0);
    assert_eq!(let_pass.0, 0);
    assert!(!message.is_at_all);
    assert_eq!(message.warnings, ["at.isAtALL is not a field"]);
    assert_eq!(
        refused,
        (40035, "strict: at.isAtALL is not a field".to_owned())
    );
}

#[tokio::test]
async fn fails_as_told_and_then_recovers() {
    let simulator = RobotSimulator::start([Robot::new("a"), Robot::new("b")])
        .await
        .unwrap();
    simulator.fail_next_of(
        "b",
        1,
        RobotFailure::Errcode(300_001, "token is not exist".to_owned()),
    );
    simulator.fail_next(1, RobotFailure::Errcode(-1, "系统繁忙".to_owned()));
    simulator.fail_next(1, RobotFailure::Html(502));
    simulator.fail_next(1, RobotFailure::Redirect("http://127.0.0.1:9/".to_owned()));
    simulator.fail_next(1, RobotFailure::AntiFlood);

    let busy = post_raw(&simulator, "a", &text("hi")).await;
    let html = post_raw(&simulator, "a", &text("hi")).await;
    let redirect = post_raw(&simulator, "a", &text("hi")).await;
    let anti_flood = post_raw(&simulator, "a", &text("hi")).await;
    let well = post(&simulator, "a", &text("hi")).await;
    let gone = post(&simulator, "b", &text("hi")).await;

    assert_eq!(busy.json(), json!({"errcode": -1, "errmsg": "系统繁忙"}));
    assert_eq!(html.status, 502);
    assert!(html.body.starts_with(b"<html>"));
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (302, Some("http://127.0.0.1:9/"))
    );
    assert_eq!(
        (anti_flood.status, anti_flood.json()["errcode"].clone()),
        (200, Value::Null)
    );
    assert_eq!(anti_flood.json()["punish"], "deny");
    assert_eq!((well.0, gone.0), (0, 300_001));
    assert_eq!(
        (simulator.messages().len(), simulator.requests().len()),
        (1, 6)
    );
}

#[tokio::test]
async fn hangs_delays_breaks_and_refuses_connections_like_every_fake() {
    let simulator = start(Robot::new("a")).await;
    let delay = Duration::from_millis(50);
    simulator.script().next(Behaviour::hang());
    simulator.script().next(Behaviour::usual().delayed(delay));

    let body = text("hi");
    let hanging = post_raw(&simulator, "a", &body);
    let hung = tokio::time::timeout(Duration::from_millis(100), hanging).await;
    let started = Instant::now();
    let late = post(&simulator, "a", &text("hi")).await;
    let elapsed = started.elapsed();
    simulator.listen(Listening::Refusing).await.unwrap();
    let refused = try_post(&simulator, "a", &text("hi")).await;

    assert!(hung.is_err(), "{hung:?}");
    assert!(late.0 == 0 && elapsed >= delay);
    assert!(refused.is_err());
    assert_eq!(simulator.messages().len(), 1);
}

#[tokio::test]
async fn hands_messages_to_subscribers_as_they_come() {
    let simulator = start(Robot::new("a")).await;
    let mut feed = simulator.subscribe();

    post(&simulator, "a", &text("one")).await;
    post(&simulator, "a", &text("two")).await;

    assert_eq!(feed.recv().await.unwrap().text, "one");
    assert_eq!(feed.recv().await.unwrap().text, "two");
}

#[tokio::test]
async fn forgets_on_clear_but_not_how_fast_a_robot_was() {
    let simulator = start(Robot::new("a").per_minute(1)).await;
    post(&simulator, "a", &text("hi")).await;
    post(&simulator, "a", &text("hi")).await;

    simulator.clear();
    let blocked = post(&simulator, "a", &text("hi")).await;

    assert_eq!(blocked.0, 130_101);
    assert!(simulator.messages().is_empty());
    assert_eq!(
        (simulator.refusals().len(), simulator.requests().len()),
        (1, 1)
    );
}

async fn start(robot: Robot) -> RobotSimulator {
    RobotSimulator::start([robot]).await.unwrap()
}

async fn post(simulator: &RobotSimulator, token: &str, body: &Value) -> (i64, String) {
    let answer = post_raw(simulator, token, body).await;
    assert_eq!(answer.status, 200);
    let verdict = answer.json();
    let errmsg = verdict["errmsg"].as_str().unwrap().to_owned();
    (verdict["errcode"].as_i64().unwrap(), errmsg)
}

async fn post_raw(simulator: &RobotSimulator, token: &str, body: &Value) -> Response {
    try_post(simulator, token, body).await.unwrap()
}

async fn try_post(
    simulator: &RobotSimulator,
    token: &str,
    body: &Value,
) -> Result<Response, testkit::ClientError> {
    let target = format!("/robot/send?access_token={token}");
    let request = request(&target, "application/json", &body.to_string());
    send(simulator.address(), &request).await
}

fn request(target: &str, content_type: &'static str, body: &str) -> SdkRequest {
    SdkRequest::new("POST", target)
        .header("Content-Type", content_type)
        .body(body.to_owned())
}

fn text(content: &str) -> Value {
    json!({"msgtype": "text", "text": {"content": content}})
}

fn millis_now() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

fn sign(millis: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{millis}\n{SECRET}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

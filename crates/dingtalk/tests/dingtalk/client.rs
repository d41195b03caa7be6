//! What the client sends, and what it makes of answers. The server speaks HTTP on a free port of this machine.

use std::time::Duration;

use alert::{Failure, Notifier as _, Retry};
use dingtalk::{HttpSettings, Mention, MessageKind, Robot, RobotConfig, RobotError, Webhook};
use tokio::io::AsyncWriteExt as _;

use crate::sample::{SECRET, TOKEN, alert, message, now, robot};
use crate::server::{self, Server};

#[tokio::test]
async fn delivers_a_signed_card() {
    let server = Server::start(&[ok()]).await;

    send(&server).await.unwrap();

    let [request] = &server.requests()[..] else {
        panic!("more than one request");
    };
    let (path, query) = request.target.split_once('?').unwrap();
    assert_eq!(path, "/robot/send");
    let expected = format!("access_token={TOKEN}&timestamp=1782871620000&sign=");
    assert!(query.starts_with(&expected), "{query}");
    assert!(!query.contains("%25"), "encoded twice: {query}");
    assert!(request.head.starts_with("post "), "{}", request.head);
    assert!(
        request
            .head
            .contains("content-type: application/json; charset=utf-8")
    );
    assert_eq!(request.body["msgtype"], "markdown");
    assert_eq!(request.body["msgUuid"], "id-1");
}

#[tokio::test]
async fn sends_without_signature_when_there_is_no_secret() {
    let server = Server::start(&[ok()]).await;
    let config = RobotConfig {
        secret: None,
        ..config(&server)
    };

    robot_of(config)
        .notify(0, &message(alert()), "id-1", now())
        .await
        .unwrap();

    let target = &server.requests()[0].target;
    assert_eq!(*target, format!("/robot/send?access_token={TOKEN}"));
}

#[tokio::test]
async fn never_takes_a_refusal_for_a_delivery() {
    let (never, repair) = (Retry::Never, Retry::AfterRepair);
    let closed = Retry::Paused(Duration::from_secs(60));
    let cases = [
        (
            errcode(310_000, "keywords not in content"),
            "keyword_missing",
            repair,
        ),
        (
            errcode(310_000, "sign not match"),
            "signature_mismatch",
            repair,
        ),
        (
            errcode(310_000, "ip 203.0.113.9 not in whitelist"),
            "address_refused",
            repair,
        ),
        (
            errcode(300_005, "token is not exist"),
            "token_unknown",
            repair,
        ),
        (
            errcode(130_101, "send too fast, exceed 20 times per minute"),
            "rate_limited",
            closed,
        ),
        (errcode(-1, "系统繁忙"), "busy", Retry::Soon),
        (errcode(987_654, "ok"), "code_unknown", never),
        (
            http("200 OK", "", r#"{"status":1111,"wait":5}"#),
            "code_missing",
            closed,
        ),
        (http("200 OK", "", "<html>"), "not_json", Retry::Soon),
        (
            http("503 Service Unavailable", "", ""),
            "status_unexpected",
            Retry::Soon,
        ),
        (
            http("302 Found", "Location: /robot/send2\r\n", ""),
            "redirected",
            repair,
        ),
        (String::new(), "broken_off", Retry::Soon),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned(),
            "broken_off",
            Retry::Soon,
        ),
    ];
    for (answer, reason, retry) in cases {
        let server = Server::start(&[answer]).await;

        let failure = send(&server).await.unwrap_err();

        assert_eq!(
            (failure.reason, failure.retry),
            (reason, retry),
            "{failure:?}"
        );
        assert_eq!(server.requests().len(), 1, "{reason} was sent again");
    }
}

#[tokio::test]
async fn says_dingtalks_own_words_without_token_and_secret() {
    let words = format!(
        "ip 203.0.113.9 not in whitelist {TOKEN} {SECRET}\u{202e} /send?sign=a%2Bb%3D&x \"sign=c\""
    );
    let server = Server::start(&[errcode(310_000, &words)]).await;

    let failure = send(&server).await.unwrap_err();

    assert_eq!(
        failure.detail,
        "errcode 310000: ip 203.0.113.9 not in whitelist [redacted] [redacted] /send?sign=[redacted]&x \"sign=[redacted]\""
    );
}

#[tokio::test]
async fn a_failed_connection_tells_no_token() {
    let server = Server::start(&[ok()]).await;
    let config = config(&server);
    drop(server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let config = RobotConfig {
        webhooks: vec![webhook(&closed.to_string())],
        ..config
    };

    let failure = robot_of(config)
        .notify(0, &message(alert()), "id-1", now())
        .await
        .unwrap_err();

    assert_eq!(failure.reason, "unreachable");
    assert!(
        !format!("{failure:?} {failure}").contains(&TOKEN[..16]),
        "{failure:?}"
    );
}

#[tokio::test]
async fn gives_up_on_an_answer_that_does_not_come() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = RobotConfig {
        webhooks: vec![webhook(&address)],
        ..robot()
    };
    let http = HttpSettings {
        timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    install_tls();

    let failure = Robot::new(config, &http)
        .unwrap()
        .notify(0, &message(alert()), "id-1", now())
        .await;

    let failure = failure.unwrap_err();
    assert_eq!((failure.reason, failure.retry), ("timed_out", Retry::Soon));
}

#[tokio::test]
async fn signs_again_with_dingtalks_clock_and_remembers_it() {
    let late = http(
        "200 OK",
        "Date: Wed, 01 Jul 2026 04:07:00 GMT\r\n",
        r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#,
    );
    let server = Server::start(&[late, ok(), ok()]).await;
    let robot = robot_of(config(&server));

    robot
        .notify(0, &message(alert()), "id-1", now())
        .await
        .unwrap();
    robot
        .notify(0, &message(alert()), "id-2", now())
        .await
        .unwrap();

    let requests = server.requests();
    let timestamps: Vec<_> = requests
        .iter()
        .map(|request| timestamp(&request.target))
        .collect();
    assert_eq!(
        timestamps,
        ["1782871620000", "1782878820000", "1782878820000"]
    );
    assert_eq!(requests[1].body["msgUuid"], "id-1");
}

#[tokio::test]
async fn signs_again_only_once() {
    let late = http(
        "200 OK",
        "Date: Wed, 01 Jul 2026 04:07:00 GMT\r\n",
        r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#,
    );
    let server = Server::start(&[late]).await;

    let failure = send(&server).await.unwrap_err();

    assert_eq!((failure.reason, server.requests().len()), ("clock_off", 2));
}

#[tokio::test]
async fn does_not_sign_again_without_a_date() {
    let server = Server::start(&[errcode(310_000, "invalid timestamp")]).await;

    let failure = send(&server).await.unwrap_err();

    assert_eq!((failure.reason, server.requests().len()), ("clock_off", 1));
}

#[tokio::test]
async fn shrinks_a_message_once_when_it_is_too_long() {
    let too_long = errcode(460_101, "message too long, exceed 20000 bytes");
    let server = Server::start(&[too_long.clone(), ok()]).await;
    let mut long = alert();
    long.subject.tags = (0..6)
        .map(|_| ("region".to_owned(), "值".repeat(60)))
        .collect();
    long.subject.value = Some("值".repeat(900));
    long.subject.title = "题".repeat(900);
    long.route = vec!["路".repeat(80)];
    long.links.similar = Some(format!("https://sentry.example.com/{}", "é".repeat(200)));

    robot_of(config(&server))
        .notify(0, &message(long), "id-1", now())
        .await
        .unwrap();

    let sizes: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.body.to_string().len())
        .collect();
    assert!(sizes[0] > 4_200 && sizes[1] <= 4_100, "{sizes:?}");
    assert_eq!(server.requests()[1].body["msgUuid"], "id-1-shrunk");

    let server = Server::start(&[too_long]).await;
    let failure = send(&server).await.unwrap_err();
    assert_eq!((failure.reason, server.requests().len()), ("too_long", 2));
}

#[tokio::test]
async fn sends_refused_content_again_without_links_and_words_of_the_event() {
    let server = Server::start(&[errcode(430_101, "unsafe link"), ok()]).await;

    send(&server).await.unwrap();

    let body = &server.requests()[1].body;
    assert_eq!(
        (&body["msgtype"], &body["msgUuid"]),
        (&"text".into(), &"id-1-reduced".into())
    );
    let content = body["text"]["content"].as_str().unwrap();
    for shown in [
        "ZeroDivisionError",
        "shop-api",
        "production",
        "error",
        "9f3c2d1a",
    ] {
        assert!(content.contains(shown), "{shown} is missing: {content}");
    }
    for hidden in ["division", "://", "unit_price", "settle"] {
        assert!(!content.contains(hidden), "{hidden} is shown: {content}");
    }

    let server = Server::start(&[errcode(430_104, "unsafe content")]).await;
    let failure = send(&server).await.unwrap_err();
    assert_eq!(
        (failure.reason, server.requests().len()),
        ("content_refused", 2)
    );
}

#[tokio::test]
async fn leaves_a_closed_robot_alone_for_longer_until_it_delivers() {
    let fast = errcode(130_101, "send too fast, exceed 20 times per minute");
    let server = Server::start(&[fast.clone(), fast.clone(), ok(), fast]).await;
    let robot = robot_of(config(&server));
    let mut pauses = Vec::new();

    for _ in 0..4 {
        let verdict = robot.notify(0, &message(alert()), "id-1", now()).await;
        pauses.push(verdict.map_err(|failure| failure.retry).err());
    }

    let paused = |seconds| Some(Retry::Paused(Duration::from_secs(seconds)));
    assert_eq!(pauses, [paused(60), paused(600), None, paused(60)]);
}

#[tokio::test]
async fn calls_everyone_together_only_once_in_a_while() {
    let server = Server::start(&[errcode(-1, "系统繁忙"), ok(), ok(), ok(), ok()]).await;
    let everyone = Mention {
        mobiles: vec!["13800000000".to_owned()],
        all: true,
        ..Mention::default()
    };
    let robot = robot_of(RobotConfig {
        mention: everyone.clone(),
        mention_all_every: Duration::from_secs(60),
        ..config(&server)
    });
    let mut routed = alert();
    routed.mention = Some(everyone);
    let alerts = [alert(), alert(), alert(), routed, alert()];

    for (alert, after) in alerts.into_iter().zip([0, 1, 2, 60, 61]) {
        let now = now() + Duration::from_secs(after);
        let _ = robot.notify(0, &message(alert), "id-1", now).await;
    }

    let requests = server.requests();
    let calls = requests
        .iter()
        .map(|request| &request.body["at"]["isAtAll"]);
    assert_eq!(calls.collect::<Vec<_>>(), [true, true, false, false, true]);
    for request in &requests {
        assert_eq!(request.body["at"]["atMobiles"][0], "13800000000");
    }
}

#[tokio::test]
async fn keeps_its_connection_for_the_next_message() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // A second connection would never be accepted.
    let only = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while server::read(&mut stream).await.is_some() {
            stream.write_all(ok().as_bytes()).await.unwrap();
        }
        drop(listener);
    });
    let robot = robot_of(RobotConfig {
        webhooks: vec![webhook(&address)],
        ..robot()
    });

    for id in ["id-1", "id-2", "id-3"] {
        robot.notify(0, &message(alert()), id, now()).await.unwrap();
    }

    drop(robot);
    only.await.unwrap();
}

#[tokio::test]
async fn reads_no_more_than_a_bounded_answer() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(4 << 20));
    let server = Server::start(&[endless]).await;

    let failure = send(&server).await.unwrap_err();

    assert_eq!(failure.reason, "not_json");
}

#[test]
fn tells_its_name_and_budget() {
    install_tls();

    let robot = Robot::new(robot(), &HttpSettings::default()).unwrap();

    let channels = robot.channels();
    assert_eq!(robot.name(), "oncall");
    assert_eq!((channels.len(), channels[0].per_minute), (1, 18));
    assert!(!channels[0].bucket.contains(&TOKEN[..8]));
    assert_eq!(robot.config().message, MessageKind::Markdown);
}

#[test]
fn refuses_to_be_made_without_a_webhook() {
    let config = RobotConfig {
        webhooks: Vec::new(),
        ..robot()
    };

    let refused = Robot::new(config, &HttpSettings::default()).err().unwrap();

    assert!(matches!(refused, RobotError::WebhookMissing(name) if name == "oncall"));
}

async fn send(server: &Server) -> Result<(), Failure> {
    robot_of(config(server))
        .notify(0, &message(alert()), "id-1", now())
        .await
}

fn config(server: &Server) -> RobotConfig {
    RobotConfig {
        webhooks: vec![webhook(&server.address)],
        ..robot()
    }
}

fn webhook(address: &str) -> Webhook {
    Webhook::parse(&format!("http://{address}/robot/send?access_token={TOKEN}")).unwrap()
}

fn robot_of(config: RobotConfig) -> Robot {
    install_tls();
    Robot::new(config, &HttpSettings::default()).unwrap()
}

/// What the program does at its start; every test but the first finds it done.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn timestamp(target: &str) -> &str {
    let after = target.split("timestamp=").nth(1).unwrap();
    after.split('&').next().unwrap()
}

fn ok() -> String {
    errcode(0, "ok")
}

fn errcode(code: i64, errmsg: &str) -> String {
    let body = serde_json::json!({"errcode": code, "errmsg": errmsg});
    http("200 OK", "", &body.to_string())
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

//! Ambiguous, malformed and hostile requests: refused, and never seen by Sentry.

use crate::message::{Connection, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{Started, post, start, start_with};

const LINE: &str = "POST /api/1/store/ HTTP/1.1\r\n";

/// Sends raw bytes on a new connection and returns everything that comes back.
async fn probe(proxy: &Started, bytes: impl AsRef<[u8]>) -> String {
    let mut client = proxy.connect().await;
    client.send(bytes).await;
    String::from_utf8(client.rest().await).unwrap()
}

/// Asserts that a request is refused with this status, that the connection ends, and that Sentry sees nothing.
async fn assert_refused(cases: &[(&str, String)]) {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);

    for (status, request) in cases {
        let smuggled = format!(
            "{request}{}",
            "GET /api/1/store/?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );

        let answer = probe(&proxy, smuggled).await;

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?} got {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{request:?} got {answer:?}"
        );
        assert!(sentry.request_now().is_none(), "{request:?} reached Sentry");
    }
}

#[tokio::test]
async fn refuses_what_two_servers_could_read_differently() {
    let with = |fields: &str| format!("{LINE}Host: a\r\n{fields}\r\n0\r\n\r\n");
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: a\r\n folded\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: nul\0\r\n",
        "X: bell\u{7}\r\n",
        "X y: 1\r\n",
        "X\n",
        "X: 1\nContent-Length: 5\r\n",
        "Host: a\r\n",
    ];
    let mut cases: Vec<(&str, String)> = heads.iter().map(|fields| ("400", with(fields))).collect();
    cases.push((
        "400",
        "POST /api/1/store/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ));

    assert_refused(&cases).await;
}

#[tokio::test]
async fn refuses_requests_for_nobody_or_for_somebody_else() {
    let lines = [
        ("400", "POST /api/1/store/ HTTP/1.1\r\n\r\n"),
        ("400", "POST /api/1/store/ HTTP/1.1\r\nHost: a/b@c\r\n\r\n"),
        ("400", "POST /api/1/store/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "400",
            "GET http://169.254.169.254/api/1/store/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "400",
            "GET /api/1/store/#fragment HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("400", "GET /api/1/store/ HTTP/1.1 \r\nHost: a\r\n\r\n"),
        ("400", "GET  /api/1/store/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("400", "GET /api/1/store/ HTTP/9.9\r\nHost: a\r\n\r\n"),
        ("400", "GET /api/1/store/\r\n\r\n"),
        ("400", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("400", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n"),
        (
            "417",
            "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\n\r\n",
        ),
    ];
    let cases: Vec<_> = lines
        .iter()
        .map(|(status, text)| (*status, (*text).to_owned()))
        .collect();

    assert_refused(&cases).await;
}

#[tokio::test]
async fn refuses_heads_that_are_too_large() {
    let with = |fields: &str| format!("{LINE}Host: a\r\n{fields}\r\n");
    let cases = [
        ("431", with(&"X: y\r\n".repeat(150))),
        ("431", with(&format!("X: {}\r\n", "y".repeat(65_536)))),
        ("431", with(&format!("X: {}\r\n", "y".repeat(1 << 20)))),
        (
            "431",
            format!("{LINE}Host: a\r\nX: {}", "y".repeat(1 << 20)),
        ),
        (
            "414",
            format!(
                "GET /api/1/store/?{} HTTP/1.1\r\nHost: a\r\n\r\n",
                "y".repeat(60_000)
            ),
        ),
        ("414", format!("GET /api/1/store/?{}", "y".repeat(1 << 20))),
        (
            "400",
            format!(
                "{} /api/1/store/ HTTP/1.1\r\nHost: a\r\n\r\n",
                "M".repeat(100)
            ),
        ),
    ];

    assert_refused(&cases).await;
}

#[tokio::test]
async fn refuses_malformed_chunks() {
    let bodies = [
        "x\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "1\r\nab\r\n0\r\n\r\n",
        "-1\r\na\r\n",
        "ffffffffffffffffff\r\na\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "5\r\nab\r\n0\r\n\r\n",
        "\r\n\r\n",
    ];
    let cases: Vec<_> = bodies
        .iter()
        .map(|body| {
            (
                "400",
                format!("{LINE}Host: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
            )
        })
        .collect();

    assert_refused(&cases).await;
}

#[tokio::test]
async fn a_malformed_chunk_late_in_a_large_body_reaches_sentry_only_as_incomplete() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.buffer = 1000);
    let head = format!("{LINE}Host: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let request = [head.as_bytes(), b"2000\r\n", &noise(0x2000), b"\r\nzz\r\n"].concat();

    let mut client = proxy.connect().await;
    client.send(request).await;

    assert_eq!(client.read().await.unwrap().status(), 400);
    assert!(sentry.request_now().is_none());
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="store",verdict="malformed"}"#),
        1
    );
}

#[tokio::test]
async fn good_requests_before_a_bad_one_are_answered_first() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let pipelined = [
        post("/api/1/store/", b"a"),
        post("/api/2/store/", b"b"),
        b"bad\r\n\r\n".to_vec(),
    ]
    .concat();

    let answer = probe(&proxy, pipelined).await;

    let statuses: Vec<_> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| &rest[..3])
        .collect();
    assert_eq!(statuses, ["200", "200", "400"]);
    assert_eq!(sentry.request().await.body, b"a");
    assert_eq!(sentry.request().await.body, b"b");
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="none",verdict="malformed"}"#),
        1
    );
}

#[tokio::test]
async fn a_smuggled_request_in_a_body_stays_in_the_body() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let inner = post("/api/666/store/", b"smuggled");

    let mut client = proxy.connect().await;
    client.ask(post("/api/1/store/", &inner)).await;
    let upgrade = "GET /api/1/store/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.ask(upgrade).await;

    assert_eq!(sentry.request().await.body, inner);
    assert_eq!(sentry.request().await.header("upgrade"), None);
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn heads_and_bodies_may_come_byte_by_byte() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    client.stream.set_nodelay(true).unwrap();
    let chunked = format!(
        "{LINE}Host: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n\r\n"
    );
    let requests = [
        post("/api/1/store/", b"{}"),
        chunked.into_bytes(),
        post("/api/1/store/", b"{}"),
    ]
    .concat();

    for byte in requests {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }

    for body in [&b"{}"[..], b"abcd", b"{}"] {
        assert_eq!(client.read().await.unwrap().status(), 200);
        assert_eq!(sentry.request().await.body, body);
    }
}

#[tokio::test]
async fn continues_only_bodies_that_will_be_taken() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.max_body = 10);
    let ask = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };

    for (path, length, status) in [("/api/1/store/", 11, 413), ("/nowhere/", 2, 404)] {
        let mut client = proxy.connect().await;
        client.send(ask(path, length)).await;
        assert_eq!(client.read().await.unwrap().status(), status);
    }
    let mut client = proxy.connect().await;
    client.send(ask("/api/1/store/", 2)).await;
    assert_eq!(client.read_head().await.unwrap().status(), 100);
    assert_eq!(client.ask("{}").await.status(), 200);

    let arrived = sentry.request().await;
    assert_eq!(
        (arrived.header("expect"), &*arrived.body),
        (None, &b"{}"[..])
    );
}

#[tokio::test]
async fn answers_ten_thousand_pipelined_requests() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let client = proxy.connect().await;
    let (reader, mut writer) = client.stream.into_split();

    let writing = tokio::spawn(async move {
        let request = post("/api/1/store/", b"{}");
        for _ in 0..10_000 {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &request)
                .await
                .unwrap();
        }
        writer
    });
    let mut answers = Connection::new(reader);
    for _ in 0..10_000 {
        assert_eq!(answers.read().await.unwrap().status(), 200);
    }
    writing.await.unwrap();
}

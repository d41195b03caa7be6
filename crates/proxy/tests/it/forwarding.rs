//! Requests and answers go through unchanged.

use std::time::Duration;

use proxy::config::UpstreamRoute;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::message::{chunked, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start, start_with};

#[tokio::test]
async fn forwards_head_byte_for_byte() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let head = "POST /api/42/envelope/?sentry_key=a&b=%7B%22c%22&&d=e+f HTTP/1.1\r\n\
        hOST: proxy.test\r\n\
        X-Sentry-Auth: Sentry sentry_key=abc, sentry_version=7\r\n\
        X-Twice: 1\r\n\
        x-twice: 2\r\n\
        Content-Encoding:\r\n\
        B-Header: b\r\n\
        a-header: a\r\n\
        Content-Length: 4\r\n\r\nbody";

    let answer = proxy.connect().await.ask(head).await;

    assert_eq!(answer.status(), 200);
    let request = sentry.request().await;
    assert_eq!(
        request.start,
        "POST /api/42/envelope/?sentry_key=a&b=%7B%22c%22&&d=e+f HTTP/1.1"
    );
    let expected = [
        ("X-Sentry-Auth", "Sentry sentry_key=abc, sentry_version=7"),
        ("X-Twice", "1"),
        ("x-twice", "2"),
        ("Content-Encoding", ""),
        ("B-Header", "b"),
        ("a-header", "a"),
        ("Content-Length", "4"),
    ];
    assert_eq!(request.own_headers(), expected);
    assert_eq!(
        request.headers[0],
        ("hOST".to_owned(), sentry.address.to_string())
    );
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("proxy.test"));
    assert_eq!(request.body, b"body");
}

#[tokio::test]
async fn forwards_bodies_of_every_size_in_their_framing() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.buffer = 100_000);
    let mut client = proxy.connect().await;

    for size in [0, 1, 9_000, 99_999, 100_000, 100_001, 3_000_000] {
        let body = noise(size);

        client.ask(post("/api/1/store/", &body)).await;
        let sized = sentry.request().await;
        let mut request =
            b"POST /api/1/store/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        request.extend(chunked(&body, 4_321));
        client.ask(request).await;
        let streamed = sentry.request().await;

        assert!(sized.body == body && streamed.body == body, "{size}");
        assert_eq!(sized.header("content-length"), Some(&*size.to_string()));
        assert_eq!(sized.header("transfer-encoding"), None);
        assert_eq!(
            streamed.header("transfer-encoding"),
            Some("chunked"),
            "{size}"
        );
        assert_eq!(streamed.header("content-length"), None);
    }
}

#[tokio::test]
async fn returns_the_answer_byte_for_byte() {
    let answers = [
        "HTTP/1.1 429 Too Many Requests\r\nX-Sentry-Rate-Limits: 60:error:key, 2700::org\r\nRetry-After: 60\r\n\
         access-control-allow-origin: *\r\nContent-Length: 4\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nnope",
        "HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: 6\r\n\r\nGIF89a",
        "HTTP/1.1 200 Fine Indeed\r\nContent-Length: 0\r\nDate: never\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 1\r\n\r\nx",
    ];
    for answer in answers {
        let sentry = Sentry::answering(answer).await;
        let proxy = start(sentry.address);
        let mut client = proxy.connect().await;
        let connection_header = "POST /api/1/envelope/ HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

        client.send(connection_header).await;
        let got = String::from_utf8(client.rest().await).unwrap();

        let got = got.replacen("connection: close\r\n", "", 1);
        assert_eq!(got, answer);
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_at_the_proxy_and_nothing_else_does() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Answer, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Answer: 1\r\n\
        Upgrade: h2c\r\nContent-Length: 0\r\n\r\n";
    let mut sentry = Sentry::answering(answer).await;
    let proxy = start(sentry.address);
    let request = "POST /api/1/envelope/ HTTP/1.1\r\nHost: p\r\nConnection: Upgrade, X-Sentry-Auth, Content-Length, close\r\n\
        Upgrade: websocket\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
        X-Sentry-Auth: Sentry sentry_key=a\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\nhi";

    let got = proxy.connect().await.ask(request).await;

    let arrived = sentry.request().await;
    let expected = [
        ("X-Sentry-Auth", "Sentry sentry_key=a"),
        ("Authorization", "Bearer b"),
        ("Content-Length", "2"),
    ];
    assert_eq!(arrived.own_headers(), expected);
    assert_eq!(arrived.body, b"hi");
    assert_eq!(got.header("x-answer"), Some("1"));
    assert_eq!(
        (got.header("keep-alive"), got.header("upgrade")),
        (None, None)
    );
}

#[tokio::test]
async fn forwards_every_method_to_every_endpoint() {
    let mut sentry = Sentry::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    let lines = [
        "OPTIONS /api/1/envelope/",
        "GET /api/1/store/?sentry_data=%7B%7D&sentry_key=a",
        "POST /api/store/",
        "PATCH /api/1/upload/key/",
        "HEAD /api/1/upload/key/",
        "DELETE /api/0/projects/a/b/files/",
        "PUT /api/0/x/",
        "GET /api/0/relays/live/",
        "GET /api/embed/error-page/?dsn=x",
        "POST /api/1/envelope",
        "POST //api//1//store//",
        "POST /api/1/cron/nightly",
        "POST /api/1/integration/otlp/v1/traces",
    ];

    for line in lines {
        let answer = client
            .ask(format!("{line} HTTP/1.1\r\nHost: p\r\n\r\n"))
            .await;

        assert_eq!(answer.status(), 200, "{line}");
        assert_eq!(sentry.request().await.start, format!("{line} HTTP/1.1"));
    }
}

#[tokio::test]
async fn refuses_what_is_no_endpoint() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    let cases = [
        ("GET / HTTP/1.1", 404),
        ("POST /tunnel HTTP/1.1", 404),
        ("GET /api/1/../0/ HTTP/1.1", 404),
        ("POST /api/1/%2e%2e/0/ HTTP/1.1", 404),
        ("POST /api/x/envelope/ HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("TRACE /api/1/store/ HTTP/1.1", 405),
        ("CONNECT 169.254.169.254:80 HTTP/1.1", 405),
    ];

    for (line, status) in cases {
        let answer = client.ask(format!("{line}\r\nHost: p\r\n\r\n")).await;

        assert_eq!(answer.status(), status, "{line}");
        assert!(answer.body.starts_with(b"{\"detail\":\""), "{line}");
        if line.starts_with("CONNECT") {
            client = proxy.connect().await;
        }
    }
    let answer = proxy
        .connect()
        .await
        .ask("GET http://169.254.169.254/api/1/store/ HTTP/1.1\r\nHost: p\r\n\r\n")
        .await;
    assert_eq!(answer.status(), 400);
    assert!(sentry.request_now().is_none());
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="none",verdict="not_found"}"#),
        6
    );
}

#[tokio::test]
async fn keeps_connections_alive_on_both_sides() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    for _ in 0..10 {
        assert_eq!(client.ask(post("/api/1/store/", b"{}")).await.status(), 200);
        sentry.request().await;
    }

    assert_eq!(sentry.connection_count(), 1);
}

#[tokio::test]
async fn answers_pipelined_requests_in_order() {
    let sentry = Sentry::scripted(|stream, recorder| async move {
        let mut connection = crate::message::Connection::new(stream);
        while let Ok(message) = connection.read().await {
            let body = message.start.clone();
            recorder.send(message).ok();
            connection
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .await;
        }
    })
    .await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;
    let many: Vec<u8> = (1..=50)
        .flat_map(|id| post(&format!("/api/{id}/store/"), b"{}"))
        .collect();

    client.send(many).await;

    for id in 1..=50 {
        let answer = client.read().await.unwrap();
        assert_eq!(
            answer.body,
            format!("POST /api/{id}/store/ HTTP/1.1").as_bytes()
        );
    }
}

#[tokio::test]
async fn keeps_a_path_prefix_and_adds_a_missing_one() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.url = format!("{}/sentry/", config.upstream.url).parse().unwrap();
    });
    let mut client = proxy.connect().await;

    for (asked, got) in [
        ("/api/1/store/?a=1", "/sentry/api/1/store/?a=1"),
        ("/sentry/api/1/store/?a=1", "/sentry/api/1/store/?a=1"),
    ] {
        client.ask(post(asked, b"{}")).await;
        assert_eq!(sentry.request().await.start, format!("POST {got} HTTP/1.1"));
    }
    assert_eq!(
        client
            .ask(post("/other/api/1/store/", b"{}"))
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn serves_a_request_whose_client_has_left() {
    let (release, released) = tokio::sync::watch::channel(false);
    let mut sentry = Sentry::scripted(move |stream, recorder| {
        let mut released = released.clone();
        async move {
            let mut connection = crate::message::Connection::new(stream);
            recorder.send(connection.read().await.unwrap()).ok();
            released.wait_for(|is| *is).await.unwrap();
            connection.send(OK).await;
            connection.rest().await;
        }
    })
    .await;
    let mut proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    client
        .send(post("/api/1/store/", b"{\"last\":\"words\"}"))
        .await;
    sentry.request().await;
    socket2::SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    release.send_replace(true);

    let captured = timeout(Duration::from_secs(5), proxy.captures.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(captured.body.concat(), b"{\"last\":\"words\"}");
    assert_eq!(captured.verdict, proxy::Verdict::Accepted);
}

#[tokio::test]
async fn answers_a_client_that_has_closed_its_sending_side() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    client.send(post("/api/1/store/", b"{}")).await;
    client.stream.shutdown().await.unwrap();

    assert_eq!(client.read().await.unwrap().status(), 200);
}

#[tokio::test]
async fn refuses_a_body_over_the_limit_without_reading_it() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.forward.max_body = 300_000;
        config.forward.buffer = 100_000;
    });

    let mut client = proxy.connect().await;
    client
        .send("POST /api/1/store/ HTTP/1.1\r\nHost: p\r\nContent-Length: 300001\r\n\r\n")
        .await;
    assert_eq!(client.read().await.unwrap().status(), 413);
    assert!(client.rest().await.is_empty());

    let mut client = proxy.connect().await;
    client
        .send("POST /api/1/store/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.send(chunked(&noise(300_001), 10_000)).await;
    assert_eq!(client.read().await.unwrap().status(), 413);

    assert!(sentry.request_now().is_none());
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="store",verdict="too_large"}"#),
        2
    );
}

#[tokio::test]
async fn refuses_projects_and_keys_that_are_not_listed() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.forward.projects = vec!["1".parse().unwrap()];
        config.forward.public_keys = vec!["good".parse().unwrap()];
    });
    let mut client = proxy.connect().await;

    for (path, status) in [
        ("/api/1/store/?sentry_key=good", 200),
        ("/api/2/store/?sentry_key=good", 403),
        ("/api/1/store/?sentry_key=bad", 403),
    ] {
        assert_eq!(
            client.ask(post(path, b"{}")).await.status(),
            status,
            "{path}"
        );
    }
    sentry.request().await;
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn forwards_everything_when_told_so() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.everything = true);

    proxy
        .connect()
        .await
        .ask("GET /static/app.js?v=1 HTTP/1.1\r\nHost: p\r\n\r\n")
        .await;

    assert_eq!(
        sentry.request().await.start,
        "GET /static/app.js?v=1 HTTP/1.1"
    );
}

#[tokio::test]
async fn stops_at_once_when_idle_and_finishes_what_is_in_flight() {
    let (release, released) = tokio::sync::watch::channel(false);
    let mut sentry = Sentry::scripted(move |stream, recorder| {
        let mut released = released.clone();
        async move {
            let mut connection = crate::message::Connection::new(stream);
            recorder.send(connection.read().await.unwrap()).ok();
            released.wait_for(|is| *is).await.unwrap();
            connection.send(OK).await;
            connection.rest().await;
        }
    })
    .await;
    let proxy = start(sentry.address);
    let mut silent = proxy.connect().await;
    let mut busy = proxy.connect().await;
    busy.send(post("/api/1/store/", b"{}")).await;
    sentry.request().await;

    proxy.running.shutdown(Duration::from_secs(60));
    assert!(silent.rest().await.is_empty());
    release.send_replace(true);

    assert_eq!(busy.read().await.unwrap().status(), 200);
    timeout(Duration::from_secs(5), proxy.running.stopped())
        .await
        .unwrap();
    assert!(tokio::net::TcpStream::connect(proxy.address).await.is_err());
}

#[tokio::test]
async fn an_unlisted_key_cannot_hide_in_the_body() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| {
        config.forward.public_keys = vec!["good".parse().unwrap()];
        config.forward.buffer = 1000;
    });
    let mut client = proxy.connect().await;
    let envelope = |key: &str, size: usize| {
        [
            format!("{{\"dsn\":\"https://{key}@h/1\"}}\n").into_bytes(),
            noise(size),
        ]
        .concat()
    };

    for (key, size, status) in [
        ("good", 10, 200),
        ("bad", 10, 403),
        ("good", 50_000, 200),
        ("bad", 50_000, 403),
    ] {
        let mut client = proxy.connect().await;
        assert_eq!(
            client
                .ask(post("/api/1/envelope/", &envelope(key, size)))
                .await
                .status(),
            status,
            "{key} {size}"
        );
    }
    assert_eq!(
        client.ask(post("/api/1/envelope/", b"{}\n")).await.status(),
        403
    );
    assert_eq!(sentry.request().await.body, envelope("good", 10));
    assert!(sentry.request().await.body == envelope("good", 50_000));
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn the_tunnel_forwards_to_the_project_its_envelope_names() {
    let mut sentry = Sentry::answering(OK).await;
    let mut proxy = start_with(sentry.address, |config| {
        config.tunnel_path = Some("/tunnel".to_owned());
        config.forward.projects = vec![42.into()];
        config.forward.buffer = 1000;
    });
    let mut client = proxy.connect().await;
    let envelope = |project: u64, size: usize| {
        [
            format!("{{\"dsn\":\"https://abc@elsewhere.test/{project}\"}}\n").into_bytes(),
            noise(size),
        ]
        .concat()
    };

    for size in [10, 50_000] {
        let body = envelope(42, size);
        assert_eq!(client.ask(post("/tunnel", &body)).await.status(), 200);
        let arrived = sentry.request().await;
        assert_eq!(arrived.start, "POST /api/42/envelope/ HTTP/1.1");
        assert!(arrived.body == body);
        let captured = proxy.captures.next().await.unwrap();
        assert_eq!(captured.endpoint.project, Some(42.into()));
        assert_eq!(captured.endpoint.key, "abc".parse().ok());
        assert!(captured.body.concat() == body);
    }
    assert_eq!(
        client
            .ask(post("/tunnel", &envelope(43, 10)))
            .await
            .status(),
        403
    );
    assert_eq!(client.ask(post("/tunnel", b"{}\n")).await.status(), 400);
    assert_eq!(
        client
            .ask("GET /tunnel HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status(),
        405
    );
    assert_eq!(client.ask(post("/tunnel/x", b"{}\n")).await.status(), 404);
    assert!(sentry.request_now().is_none());
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="tunnel",verdict="accepted"}"#),
        2
    );
}

#[tokio::test]
async fn projects_that_live_elsewhere_are_forwarded_there() {
    let (mut here, mut there) = (Sentry::answering(OK).await, Sentry::answering(OK).await);
    let proxy = start_with(here.address, |config| {
        config.upstream.routes = vec![UpstreamRoute {
            projects: vec![7.into(), 8.into()],
            url: format!("http://{}/moved", there.address).parse().unwrap(),
        }];
    });
    let mut client = proxy.connect().await;

    for (path, arrived) in [
        ("/api/7/store/?a=1", "/moved/api/7/store/?a=1"),
        ("/moved/api/8/store/", "/moved/api/8/store/"),
    ] {
        client.ask(post(path, b"{}")).await;
        let request = there.request().await;
        assert_eq!(request.start, format!("POST {arrived} HTTP/1.1"));
        assert_eq!(request.header("host"), Some(&*there.address.to_string()));
    }
    client.ask(post("/moved/api/1/store/", b"{}")).await;
    assert_eq!(here.request().await.start, "POST /api/1/store/ HTTP/1.1");
    assert!(there.request_now().is_none());
}

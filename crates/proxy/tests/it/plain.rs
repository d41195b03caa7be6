//! Plain requests: what only their short way can keep, every form of answer, and the way over to hyper in mid-connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::message::noise;
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start, start_with};

/// Answers one connection with raw bytes and returns what came on it, up to the empty line.
async fn raw_head(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        stream.read_buf(&mut read).await.unwrap();
    }
    stream.write_all(OK.as_bytes()).await.unwrap();
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn keeps_the_order_the_repeats_and_the_writing_of_fields() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = start(address);
    let arriving = tokio::spawn(raw_head(listener));
    let request = "POST /api/1/store/?a=%20b HTTP/1.1\r\nA: 1\r\nhOST: proxy.test\r\nX-Sentry-Auth:Sentry sentry_key=a\r\n\
        B: 2\r\nConnection: x-sentry-auth, keep-alive\r\nA:   3 \r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 0\r\n\r\n";

    proxy.connect().await.ask(request).await;

    let expected = format!(
        "POST /api/1/store/?a=%20b HTTP/1.1\r\nA: 1\r\nhOST: {address}\r\nX-Sentry-Auth:Sentry sentry_key=a\r\nB: 2\r\n\
        A:   3 \r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1\r\nContent-Length: 0\r\nx-forwarded-proto: http\r\n\
        x-forwarded-host: proxy.test\r\n\r\n"
    );
    assert_eq!(arriving.await.unwrap(), expected);
}

#[tokio::test]
async fn a_head_that_came_before_goes_on_with_its_own_body() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let head = |length: &str| {
        format!(
            "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\n{length}\r\nX-Sentry-Auth: Sentry sentry_key=a\r\n\r\n"
        )
    };
    let inner = head("Content-Length: 999");
    let mut bodies: Vec<_> = ["a", "bb", "", "c", &inner, "dd"].map(str::to_owned).into();
    bodies.push("e".repeat(inner.len()));
    let mut client = proxy.connect().await;

    for body in &bodies {
        // Whole, then in two pieces: what came of a head must last until its body is there.
        let request = head(&format!("Content-Length: {}", body.len())) + body;
        client.ask(&request).await;
        let (start, rest) = request.split_at(request.len() - body.len() / 2);
        client.send(start).await;
        tokio::task::yield_now().await;
        client.ask(rest).await;

        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let chunked = if body.is_empty() {
            "0\r\n\r\n".to_owned()
        } else {
            chunked
        };
        client
            .ask(head("Transfer-Encoding: chunked") + &chunked)
            .await;
    }
    let pipelined: Vec<_> = bodies
        .iter()
        .map(|body| head(&format!("Content-Length: {}", body.len())) + body)
        .collect();
    client.send(pipelined.concat()).await;

    for body in bodies.iter().flat_map(|body| [body; 3]).chain(&bodies) {
        let request = sentry.request().await;
        assert_eq!(String::from_utf8_lossy(&request.body), *body);
        assert_eq!(
            request.own_headers()[1],
            ("X-Sentry-Auth", "Sentry sentry_key=a")
        );
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn passes_on_every_form_of_answer() {
    let large = String::from_utf8(vec![b'x'; 300_000]).unwrap();
    let with_length = format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{large}");
    let chunked = format!(
        "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n493e0;a=b\r\n{large}\r\n0\r\n\r\n"
    );
    let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{large}");
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".to_owned() + OK;
    let cases = [
        (with_length.as_str(), 200, large.as_str()),
        (&chunked, 200, &large),
        (&until_close, 200, &large),
        (&interim, 200, "{}"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        (
            "HTTP/1.1 429\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            429,
            "x",
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            200,
            "{}",
        ),
    ];

    for (answer, status, body) in cases {
        let sentry = Sentry::scripted(answering_once(answer)).await;
        let proxy = start(sentry.address);
        let got = proxy
            .connect()
            .await
            .ask(post("/api/1/store/", b"{}"))
            .await;

        let start = &answer[..answer.len().min(60)];
        assert_eq!(got.status(), status, "{start:?}");
        assert!(got.body == body.as_bytes(), "{start:?}");
    }
}

/// Returns a script that reads a request, answers and closes.
fn answering_once(
    answer: &str,
) -> impl Fn(
    tokio::net::TcpStream,
    tokio::sync::mpsc::UnboundedSender<crate::message::Message>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
+ Send
+ 'static {
    let answer = answer.to_owned();
    move |stream, _| {
        let answer = answer.clone();
        Box::pin(async move {
            let mut connection = crate::message::Connection::new(stream);
            connection.read().await.unwrap();
            connection.send(answer).await;
        })
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_outage() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: 1\r\n\r\n",
    ] {
        let sentry = Sentry::scripted(answering_once(answer)).await;
        let proxy = start(sentry.address);

        let got = proxy
            .connect()
            .await
            .ask(post("/api/1/store/", b"{}"))
            .await;

        assert_eq!(got.status(), 503, "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_goes_over_to_hyper_with_all_that_was_read() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_with(sentry.address, |config| config.forward.buffer = 10_000);
    let large = noise(200_000);
    let requests = [
        post("/api/1/store/", b"plain"),
        post("/api/2/store/", b"plain too"),
        b"OPTIONS /api/3/store/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        post("/api/4/store/", &large),
        post("/api/5/store/", b"plain again"),
    ];
    let mut client = proxy.connect().await;

    client.send(requests.concat()).await;

    for (path, body) in [
        ("POST /api/1", &b"plain"[..]),
        ("POST /api/2", b"plain too"),
        ("OPTIONS /api/3", b""),
        ("POST /api/4", &large),
        ("POST /api/5", b"plain again"),
    ] {
        assert_eq!(client.read().await.unwrap().status(), 200);
        let arrived = sentry.request().await;
        assert!(arrived.start.starts_with(path), "{}", arrived.start);
        assert!(arrived.body == body, "{path}");
    }
}

#[tokio::test]
async fn ends_the_connection_when_the_client_wants_it() {
    let sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let mut client = proxy.connect().await;

    client
        .send("POST /api/1/store/ HTTP/1.1\r\nHost: a\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}")
        .await;

    let answer = client.read().await.unwrap();
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn requests_may_be_cut_anywhere() {
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start(sentry.address);
    let chunked = "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n\r\n";
    let requests = [
        post("/api/1/store/", b"{}"),
        post("/api/1/store/", b"12345"),
        chunked.as_bytes().to_vec(),
        post("/api/1/store/", b"{}"),
    ]
    .concat();

    for cut in 1..requests.len() {
        let mut client = proxy.connect().await;
        client.stream.set_nodelay(true).unwrap();
        client.send(&requests[..cut]).await;
        // Gives the proxy the chance to read so much and no more; it must not matter whether it does.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        client.send(&requests[cut..]).await;

        for body in [&b"{}"[..], b"12345", b"abcd", b"{}"] {
            assert_eq!(client.read().await.unwrap().status(), 200, "{cut}");
            let arrived = sentry.request().await;
            assert_eq!(arrived.body, body, "{cut} {arrived:?}");
        }
    }
}

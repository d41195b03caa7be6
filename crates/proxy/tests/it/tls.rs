//! Encryption on both sides: private authorities, client certificates, HTTP/2 and the tunnel of an HTTP proxy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::config::KeyPair;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::message::{Connection, chunked, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{post, start_with};

/// A Sentry behind TLS.
pub(crate) async fn encrypted(acceptor: TlsAcceptor) -> Sentry {
    Sentry::scripted(move |stream, recorder| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut connection = Connection::new(stream);
            while let Ok(message) = connection.read().await {
                recorder.send(message).ok();
                connection.stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn forwards_over_https_to_a_sentry_of_a_private_authority() {
    let authority = Authority::new();
    let mut sentry = encrypted(authority.acceptor(false)).await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.url = format!("https://localhost:{}", sentry.address.port())
            .parse()
            .unwrap();
        config.upstream.ca_file = Some(authority.file());
    });
    let mut client = proxy.connect().await;

    for size in [10, 10, 5_000_000, 5_000_000] {
        let body = noise(size);
        assert_eq!(client.ask(post("/api/1/store/", &body)).await.status(), 200);
        assert!(sentry.request().await.body == body);
    }
    // One for plain requests, one for the others; both were used twice.
    assert_eq!(sentry.connection_count(), 2);
}

#[tokio::test]
async fn does_not_talk_to_a_sentry_whose_certificate_it_cannot_trust() {
    let authority = Authority::new();
    let mut sentry = encrypted(authority.acceptor(false)).await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.url = format!("https://localhost:{}", sentry.address.port())
            .parse()
            .unwrap();
    });

    let answer = proxy
        .connect()
        .await
        .ask(post("/api/1/store/", b"{}"))
        .await;

    assert_eq!(answer.status(), 503);
    assert!(
        String::from_utf8(answer.body)
            .unwrap()
            .contains("cannot shake hands with Sentry")
    );
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn shows_its_client_certificate() {
    let authority = Authority::new();
    let sentry = encrypted(authority.acceptor(true)).await;

    for (pair, status) in [(Some(authority.sign("proxy")), 200), (None, 503)] {
        let proxy = start_with(sentry.address, |config| {
            config.upstream.url = format!("https://127.0.0.1:{}", sentry.address.port())
                .parse()
                .unwrap();
            config.upstream.ca_file = Some(authority.file());
            config.upstream.client_cert = pair;
        });

        assert_eq!(
            proxy
                .connect()
                .await
                .ask(post("/api/1/store/", b"{}"))
                .await
                .status(),
            status
        );
    }
}

#[tokio::test]
async fn reaches_sentry_through_an_http_proxy() {
    let authority = Authority::new();
    let mut sentry = encrypted(authority.acceptor(false)).await;
    let mut middle = Sentry::scripted(|mut stream, recorder| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap();
        let mut onward = TcpStream::connect(target).await.unwrap();
        recorder
            .send(crate::message::Message {
                start: head.clone(),
                headers: Vec::new(),
                body: Vec::new(),
            })
            .ok();
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .unwrap();
        copy_bidirectional(&mut stream, &mut onward).await.ok();
    })
    .await;
    let proxy = start_with(sentry.address, |config| {
        config.upstream.url = format!("https://localhost:{}", sentry.address.port())
            .parse()
            .unwrap();
        config.upstream.ca_file = Some(authority.file());
        config.upstream.proxy = Some(
            format!("http://user:pass@{}", middle.address)
                .parse()
                .unwrap(),
        );
    });

    assert_eq!(
        proxy
            .connect()
            .await
            .ask(post("/api/1/store/", b"{}"))
            .await
            .status(),
        200
    );

    let port = sentry.address.port();
    assert_eq!(
        middle.request().await.start,
        format!(
            "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )
    );
    assert_eq!(sentry.request().await.body, b"{}");
}

#[tokio::test]
async fn serves_https_over_http_1_with_the_same_screening() {
    let authority = Authority::new();
    let mut sentry = Sentry::answering(OK).await;
    let pair = authority.sign("own");
    let proxy = start_with(sentry.address, |config| config.tls = Some(pair));

    let mut client = Connection::new(authority.connect(proxy.address, b"http/1.1").await);
    client
        .stream
        .write_all(&post("/api/1/store/", b"{}"))
        .await
        .unwrap();
    assert_eq!(client.read().await.unwrap().status(), 200);
    assert_eq!(
        sentry.request().await.header("x-forwarded-proto"),
        Some("https")
    );
    client
        .stream
        .write_all(b"GET /api/1/store/ HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.read().await.unwrap().status(), 400);
    assert!(sentry.request_now().is_none());
}

#[tokio::test]
async fn serves_http_2_and_forwards_as_http_1() {
    let authority = Authority::new();
    let mut sentry = Sentry::answering(OK).await;
    let pair = authority.sign("own");
    let proxy = start_with(sentry.address, |config| {
        config.tls = Some(pair);
        config.forward.buffer = 10_000;
    });
    let stream = authority.connect(proxy.address, b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    for size in [0, 5, 9_999, 300_000] {
        let body = noise(size);
        let request = http::Request::post("https://proxy.test:1/api/1/envelope/?a=1")
            .header("x-sentry-auth", "Sentry sentry_key=a")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("content-length", size)
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();

        let answer = sender.send_request(request).await.unwrap();

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
        let arrived = sentry.request().await;
        assert_eq!(arrived.start, "POST /api/1/envelope/?a=1 HTTP/1.1");
        assert_eq!(arrived.header("x-forwarded-host"), Some("proxy.test:1"));
        assert_eq!(arrived.header("cookie"), Some("a=1; b=2"));
        assert_eq!(arrived.header("content-length"), Some(&*size.to_string()));
        assert!(arrived.body == body, "{size}");
    }
}

#[tokio::test]
async fn an_http_2_body_of_unknown_length_is_forwarded_in_chunks() {
    let authority = Authority::new();
    let mut sentry = Sentry::answering(OK).await;
    let pair = authority.sign("own");
    let proxy = start_with(sentry.address, |config| config.tls = Some(pair));
    let stream = authority.connect(proxy.address, b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let body = Unsized(VecDeque::from([Bytes::from("abc"), Bytes::from("def")]));

    let request = http::Request::post("https://p/api/1/store/")
        .body(body)
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);

    let arrived = sentry.request().await;
    assert_eq!(arrived.header("transfer-encoding"), Some("chunked"));
    assert_eq!(arrived.body, b"abcdef");
}

#[tokio::test]
async fn a_reload_changes_certificates_upstream_and_lists_and_keeps_connections() {
    let (mut old, mut new) = (Sentry::answering(OK).await, Sentry::answering(OK).await);
    let proxy = start_with(old.address, |_| {});
    let mut client = proxy.connect().await;
    client.ask(post("/api/1/store/", b"1")).await;
    assert_eq!(old.request().await.body, b"1");
    let mut config = proxy.config.clone();
    config.upstream.url = format!("http://{}", new.address).parse().unwrap();
    config.forward.projects = vec![1.into()];

    proxy.running.reload(config.clone()).unwrap();

    while client.ask(post("/api/2/store/", b"2")).await.status() != 403 {
        old.request().await;
    }
    assert_eq!(client.ask(post("/api/1/store/", b"3")).await.status(), 200);
    assert_eq!(new.request().await.body, b"3");
    assert!(old.request_now().is_none());

    config.tls = Some(KeyPair {
        cert_file: "missing.pem".into(),
        key_file: "missing.key".into(),
    });
    config.forward.projects = Vec::new();
    let error = proxy.running.reload(config.clone()).unwrap_err();
    assert_eq!(error.to_string(), "cannot set up TLS");
    config.tls = None;
    config.threads = 7;
    let error = proxy.running.reload(config).unwrap_err();
    assert_eq!(error.to_string(), "`threads` can only change by a restart");
    assert_eq!(client.ask(post("/api/2/store/", b"4")).await.status(), 403);
}

#[tokio::test]
async fn a_reload_reads_the_certificate_anew() {
    let (first, second) = (Authority::new(), Authority::new());
    let sentry = Sentry::answering(OK).await;
    let pair = first.sign("own");
    let proxy = start_with(sentry.address, |config| config.tls = Some(pair.clone()));
    let mut early = Connection::new(first.connect(proxy.address, b"http/1.1").await);
    let renewed = second.sign("own");
    std::fs::copy(renewed.cert_file, &pair.cert_file).unwrap();
    std::fs::copy(renewed.key_file, &pair.key_file).unwrap();

    proxy.running.reload(proxy.config.clone()).unwrap();
    early
        .stream
        .write_all(&post("/api/1/store/", &chunked(b"", 1)))
        .await
        .unwrap();
    assert_eq!(early.read().await.unwrap().status(), 200);

    let mut late = Connection::new(second.connect(proxy.address, b"http/1.1").await);
    late.stream
        .write_all(&post("/api/1/store/", b"{}"))
        .await
        .unwrap();
    assert_eq!(late.read().await.unwrap().status(), 200);
}

/// A body that does not know its length.
struct Unsized(VecDeque<Bytes>);

impl Body for Unsized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

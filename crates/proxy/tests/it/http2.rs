//! HTTP/2 on both sides: Sentry reached over it, and floods of its frames from clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::config::UpstreamHttp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::authority::Authority;
use crate::message::{Connection, chunked, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{Started, post, start_with};

/// A request as a Sentry that speaks HTTP/2 gets it.
type Arrived = (http::request::Parts, Bytes);

/// Serves HTTP/2 to whoever connects; returns the port and what arrives.
async fn http2_sentry(authority: Option<&Authority>) -> (u16, mpsc::UnboundedReceiver<Arrived>) {
    let acceptor = authority.map(|authority| authority.acceptor_of(&[b"h2", b"http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => serve(stream, sender).await,
                    Some(acceptor) => serve(acceptor.accept(stream).await.unwrap(), sender).await,
                }
            });
        }
    });
    (port, requests)
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    sender: mpsc::UnboundedSender<Arrived>,
) {
    let answer = |request: http::Request<Incoming>| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            sender.send((parts, body)).ok();
            let mut response = http::Response::new(Full::new(Bytes::from("{}")));
            let limits = http::HeaderValue::from_static("60:transaction:key");
            response
                .headers_mut()
                .insert("x-sentry-rate-limits", limits);
            Ok::<_, Infallible>(response)
        }
    };
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
        .ok();
}

#[tokio::test]
async fn reaches_sentry_over_http_2_by_prior_knowledge_and_by_agreement() {
    let authority = Authority::new();
    for (tls, http) in [
        (None, UpstreamHttp::Http2),
        (Some(&authority), UpstreamHttp::Http2),
        (Some(&authority), UpstreamHttp::Auto),
    ] {
        let (port, mut requests) = http2_sentry(tls).await;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let proxy = start_with(([127, 0, 0, 1], port).into(), |config| {
            config.upstream.url = format!("{scheme}://localhost:{port}").parse().unwrap();
            config.upstream.ca_file = tls.map(Authority::file);
            config.upstream.http = http;
            config.forward.buffer = 100_000;
        });
        let mut client = proxy.connect().await;

        for size in [0, 5, 300_000] {
            let body = noise(size);
            let answer = client.ask(post("/api/1/envelope/?a=1", &body)).await;

            assert_eq!((answer.status(), &*answer.body), (200, &b"{}"[..]));
            assert_eq!(
                answer.header("x-sentry-rate-limits"),
                Some("60:transaction:key")
            );
            let (head, arrived) = requests.recv().await.unwrap();
            assert_eq!(head.version, http::Version::HTTP_2);
            assert_eq!(
                head.uri,
                *format!("{scheme}://localhost:{port}/api/1/envelope/?a=1")
            );
            assert_eq!(head.headers["content-length"], *size.to_string());
            assert!(!head.headers.contains_key("host"));
            assert!(arrived == body, "{size}");
        }
    }
}

#[tokio::test]
async fn a_chunked_body_goes_on_over_http_2_without_its_framing() {
    let (port, mut requests) = http2_sentry(None).await;
    let proxy = start_with(([127, 0, 0, 1], port).into(), |config| {
        config.upstream.http = UpstreamHttp::Http2;
    });
    let request = "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    let request = [request.as_bytes(), &chunked(b"abcdef", 4)].concat();
    assert_eq!(proxy.connect().await.ask(request).await.status(), 200);

    let (head, body) = requests.recv().await.unwrap();
    assert!(!head.headers.contains_key("transfer-encoding"));
    assert_eq!(body, "abcdef");
}

#[tokio::test]
async fn speaks_http_1_with_a_sentry_that_agrees_to_nothing_else() {
    let authority = Authority::new();
    let mut sentry = crate::tls::encrypted(authority.acceptor(false)).await;
    let port = sentry.address.port();
    let proxy = start_with(sentry.address, |config| {
        config.upstream.url = format!("https://localhost:{port}").parse().unwrap();
        config.upstream.ca_file = Some(authority.file());
        config.upstream.http = UpstreamHttp::Auto;
    });

    let answer = proxy
        .connect()
        .await
        .ask(post("/api/1/store/", b"{}"))
        .await;

    assert_eq!(answer.status(), 200);
    let arrived = sentry.request().await;
    assert_eq!(arrived.header("host"), Some(&*format!("localhost:{port}")));
}

/// Kinds of frames. Source: RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// `POST https://p/api/1/store/`. Source: RFC 7541 §6.1 and §6.2.2, appendix A.
fn head() -> Vec<u8> {
    let path = b"/api/1/store/";
    [
        &[0x83, 0x87, 0x01, 1, b'p', 0x04, path.len() as u8],
        &path[..],
    ]
    .concat()
}

/// Opens a connection and sends frames for as long as they are taken, at most so many bytes; returns how many were.
async fn flood(
    proxy: &Started,
    authority: &Authority,
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> usize {
    let mut stream = authority.connect(proxy.address, b"h2").await;
    let preface = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &*frame(SETTINGS, 0, 0, b""),
    ]
    .concat();
    stream.write_all(&preface).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = tokio::spawn(async move { reader.read_to_end(&mut Vec::new()).await.ok() });
    let mut sent = 0;
    for number in 0..u32::MAX {
        let bytes = next(number);
        let written = timeout(Duration::from_secs(10), writer.write_all(&bytes)).await;
        sent += bytes.len();
        if !matches!(written, Ok(Ok(()))) || sent > FLOOD || reading.is_finished() {
            break;
        }
    }
    reading.abort();
    sent
}

/// Bytes of a flood that nobody stops: more than what buffers take of one whose connection has ended.
const FLOOD: usize = 32 << 20;

async fn start_https(sentry: &Sentry, authority: &Authority) -> Started {
    let pair = authority.sign("own");
    start_with(sentry.address, |config| {
        config.tls = Some(pair);
        config.limits.stall_timeout = Duration::from_secs(2);
    })
}

async fn assert_serves(proxy: &Started, authority: &Authority) {
    let mut client = Connection::new(authority.connect(proxy.address, b"http/1.1").await);
    client
        .stream
        .write_all(&post("/api/1/store/", b"{}"))
        .await
        .unwrap();
    let answer = timeout(Duration::from_secs(10), client.read())
        .await
        .unwrap();
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn floods_of_headers_that_never_end_are_cut_off() {
    let authority = Authority::new();
    let mut sentry = Sentry::answering(OK).await;
    let proxy = start_https(&sentry, &authority).await;
    // A literal field of 100 bytes that is never indexed, so that nothing is compressed away.
    let filler = [&[0x10, 1, b'x', 100], &[b'y'; 100][..]]
        .concat()
        .repeat(40);

    let sent = flood(&proxy, &authority, |number| match number {
        0 => frame(HEADERS, END_STREAM, 1, &head()),
        _ => frame(CONTINUATION, 0, 1, &filler),
    });
    assert!(sent.await < FLOOD, "the connection was not ended");

    assert!(sentry.request_now().is_none());
    assert_serves(&proxy, &authority).await;
}

#[tokio::test]
async fn floods_that_cost_the_client_as_much_as_us_keep_nobody_else_waiting() {
    let authority = Authority::new();
    let sentry = Sentry::answering(OK).await;
    let proxy = start_https(&sentry, &authority).await;

    let pings = flood(&proxy, &authority, |_| {
        frame(PING, 0, 0, &[0; 8]).repeat(100)
    });
    let settings = flood(&proxy, &authority, |_| {
        frame(SETTINGS, 0, 0, b"").repeat(100)
    });
    let empty = flood(&proxy, &authority, |number| match number {
        0 => frame(HEADERS, END_HEADERS, 1, &head()),
        _ => frame(DATA, 0, 1, b"").repeat(100),
    });
    let served = async {
        for _ in 0..20 {
            assert_serves(&proxy, &authority).await;
        }
    };

    tokio::select! {
        _ = async { tokio::join!(pings, settings, empty) } => {}
        () = served => {}
    }
    assert_serves(&proxy, &authority).await;
}

#[tokio::test]
async fn requests_that_are_reset_once_they_are_forwarded_do_not_pile_up() {
    let authority = Authority::new();
    let open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&open);
    let sentry = Sentry::scripted(move |stream, _| {
        let open = Arc::clone(&counter);
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            Connection::new(stream).rest().await;
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let proxy = start_https(&sentry, &authority).await;
    let stream = authority.connect(proxy.address, b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    for number in 0..300 {
        let request = http::Request::post("https://p/api/1/store/").body(Full::new(Bytes::new()));
        let asking = tokio::spawn(sender.send_request(request.unwrap()));
        while sentry.connection_count() <= number {
            tokio::task::yield_now().await;
        }
        asking.abort();
        sender.ready().await.unwrap();
    }

    timeout(Duration::from_secs(10), async {
        while open.load(Ordering::SeqCst) > 129 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("abandoned requests were ended");
}

#[tokio::test]
async fn requests_that_are_reset_at_once_do_not_pile_up() {
    let authority = Authority::new();
    let sentry = Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read().await.ok();
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = start_https(&sentry, &authority).await;

    let sent = flood(&proxy, &authority, |number| {
        let stream = number * 2 + 1;
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head());
        [ask, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });

    assert!(sent.await < FLOOD, "the connection was not ended");
    assert!(
        sentry.connection_count() <= 128,
        "{}",
        sentry.connection_count()
    );
}

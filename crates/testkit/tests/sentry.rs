//! The fake Sentry does on the wire what its script says.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::{Duration, Instant};

use testkit::{
    Answer, Behaviour, Break, Client, ClientError, FakeSentry, Framing, Listening, Point, Response,
    SdkRequest, WireError, send,
};

const SOON: Duration = Duration::from_secs(10);
const ID: &str = "5a552273622c4d949495df39b7b063c8";

#[tokio::test]
async fn keeps_the_exact_bytes_of_a_chunked_request() {
    let sentry = FakeSentry::start().await.unwrap();
    let wire = b"POST /api/1/envelope/?sentry_key=a HTTP/1.1\r\nhOST:x\r\nX-A: 1\r\nx-a:2\r\n\
        Content-Encoding: \r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    let head_length = wire.len() - "3;e\r\nabc\r\n1\r\nd\r\n0\r\n\r\n".len();

    let answer = exchange(&sentry, wire).await;
    let received = sentry.wait_for(1, SOON).await.unwrap().remove(0);

    assert_eq!(answer.status, 200);
    assert_eq!(received.head, &wire[..head_length]);
    assert_eq!(received.framed_body, &wire[head_length..]);
    assert_eq!(received.body, "abcd");
    assert_eq!(received.framing, Framing::Chunked);
    assert_eq!(received.header_values("X-A"), ["1", "2"]);
    assert!(received.is_complete);
}

#[tokio::test]
async fn answers_like_relay_unless_told_otherwise() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.add_usual_header("X-Sentry-Rate-Limits", "60:error:key");

    let known = send(sentry.address(), &event(ID)).await.unwrap();
    let unknown = send(sentry.address(), &event("")).await.unwrap();
    let preflight = SdkRequest::new("OPTIONS", "/api/1/envelope/");
    let preflight = send(sentry.address(), &preflight).await.unwrap();

    assert_eq!(known.json(), serde_json::json!({ "id": ID }));
    assert_eq!(known.header("x-sentry-rate-limits"), Some("60:error:key"));
    assert_eq!(unknown.json(), serde_json::json!({}));
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("POST")
    );
}

#[tokio::test]
async fn answers_pipelined_requests_in_order_on_one_connection() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().next(Behaviour::status(201));
    sentry.script().next(Behaviour::status(202));
    let (mut writer, mut reader) = client(&sentry).await.split();

    let one = "POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
    let two = "POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n";
    let three = "GET /3 HTTP/1.1\r\n\r\n";
    writer
        .write([one, two, three].concat().as_bytes())
        .await
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(reader.read().await.unwrap().status);
    }

    let received = sentry.received();
    let targets: Vec<_> = received.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(statuses, [201, 202, 200]);
    assert_eq!(targets, ["/1", "/2", "/3"]);
    assert!(received.iter().all(|one| one.connection == 1));
    assert_eq!(sentry.connections(), 1);
}

#[tokio::test]
async fn invites_an_expected_body_before_the_answer() {
    let sentry = FakeSentry::start().await.unwrap();
    let (mut writer, mut reader) = client(&sentry).await.split();

    let head = "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    writer.write(head.as_bytes()).await.unwrap();
    let interim = reader.read_interim().await.unwrap();
    writer.write(b"ok").await.unwrap();
    let answer = reader.read().await.unwrap();

    assert_eq!((interim.status, answer.status), (100, 200));
    assert_eq!(sentry.received()[0].body, "ok");
}

#[tokio::test]
async fn refuses_an_expected_body_with_an_early_answer() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry
        .script()
        .next(Behaviour::status(413).never_reading_on().closing());
    let head = "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

    let (mut writer, mut reader) = client(&sentry).await.split();
    writer.write(head.as_bytes()).await.unwrap();
    let answer = reader.read_interim().await.unwrap();

    assert_eq!(answer.status, 413);
    assert!(matches!(reader.read().await, Err(ClientError::Unanswered)));
    assert!(!sentry.received()[0].is_complete);
}

#[tokio::test]
async fn answers_early_and_still_reads_the_whole_body() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().next(Behaviour::status(429).early());
    let (mut writer, mut reader) = client(&sentry).await.split();

    writer
        .write(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na")
        .await
        .unwrap();
    let early = reader.read().await.unwrap();
    writer.write(b"bcGET /next HTTP/1.1\r\n\r\n").await.unwrap();
    let next = reader.read().await.unwrap();

    assert_eq!((early.status, next.status), (429, 200));
    assert_eq!(sentry.received()[0].body, "abc");
}

#[tokio::test]
async fn hands_an_early_answer_to_a_client_that_is_still_writing() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry
        .script()
        .next(Behaviour::status(413).never_reading_on().closing());
    let request = SdkRequest::new("POST", "/").body(vec![b'x'; 32 << 20]);

    let answer = client(&sentry).await.send(&request).await.unwrap();

    assert_eq!(answer.status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_requests_from_many_connections_at_once() {
    let sentry = std::sync::Arc::new(FakeSentry::start().await.unwrap());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let address = sentry.address();
        senders.spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            for _ in 0..100 {
                client.send(&event(ID)).await.unwrap();
            }
        });
    }

    let received = sentry.wait_for(800, SOON).await.unwrap();
    senders.join_all().await;

    assert_eq!((received.len(), sentry.connections()), (800, 8));
}

#[tokio::test]
async fn neither_reads_on_nor_closes_after_an_early_answer() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry
        .script()
        .next(Behaviour::status(429).never_reading_on());
    let (mut writer, mut reader) = client(&sentry).await.split();

    writer
        .write(b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    let early = reader.read().await.unwrap();
    let megabyte = vec![b'x'; 1 << 20];
    let stuck = async { while writer.write(&megabyte).await.is_ok() {} };
    let stuck = tokio::time::timeout(Duration::from_millis(500), stuck).await;

    assert_eq!(early.status, 429);
    assert!(
        stuck.is_err(),
        "the connection neither filled up nor stayed open"
    );
    assert_eq!(sentry.received()[0].body_length, 0);
}

#[tokio::test]
async fn hangs_after_reading_the_request() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().next(Behaviour::hang());
    let mut client = client(&sentry).await;

    let answer = tokio::time::timeout(Duration::from_millis(100), client.send(&event(ID))).await;

    assert!(answer.is_err(), "{answer:?}");
    assert!(sentry.received()[0].is_complete);
}

#[tokio::test]
async fn hangs_without_reading_the_body() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().next(Behaviour::hang_unread());
    let mut client = client(&sentry).await;

    let answer = tokio::time::timeout(Duration::from_millis(100), client.send(&event(ID))).await;

    assert!(answer.is_err(), "{answer:?}");
    let received = sentry.received();
    assert!(!received[0].is_complete && received[0].body.is_empty());
}

#[tokio::test]
async fn holds_an_answer_until_released() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().next(Behaviour::status(201).held());
    let mut client = client(&sentry).await;
    let request = event(ID);

    let sending = client.send(&request);
    tokio::pin!(sending);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut sending).await;
    sentry.wait_for(1, SOON).await.unwrap();
    sentry.script().release();
    let answer = sending.await.unwrap();

    assert!(early.is_err());
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn delays_an_answer() {
    let sentry = FakeSentry::start().await.unwrap();
    let delay = Duration::from_millis(80);
    sentry.script().next(Behaviour::usual().delayed(delay));

    let started = Instant::now();
    send(sentry.address(), &event(ID)).await.unwrap();

    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn breaks_off_where_told() {
    let answer = || Behaviour::answer(Answer::new(200).body("0123456789"));
    let table = [
        (Point::Start, Break::Fin),
        (Point::Start, Break::Reset),
        (Point::Head, Break::Fin),
        (Point::Head, Break::Reset),
        (Point::Body, Break::Fin),
        (Point::Body, Break::Reset),
    ];
    for (point, how) in table {
        let sentry = FakeSentry::start().await.unwrap();
        sentry.script().next(answer().broken_at(point, how));

        let result = send(sentry.address(), &event(ID)).await.unwrap_err();

        let is_expected = match (how, point) {
            (Break::Reset, _) => matches!(
                &result,
                ClientError::Unreadable(WireError::Unreadable(error))
                    if error.kind() == std::io::ErrorKind::ConnectionReset
            ),
            (Break::Fin, Point::Start) => matches!(result, ClientError::Unanswered),
            (Break::Fin, _) => matches!(result, ClientError::Unreadable(WireError::Closed)),
        };
        assert!(is_expected, "{point:?} {how:?}: {result:?}");
        assert!(sentry.received()[0].is_complete);
    }
}

#[tokio::test]
async fn closes_unannounced_after_a_whole_answer() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry
        .script()
        .next(Behaviour::usual().broken_at(Point::End, Break::Fin));
    let mut client = client(&sentry).await;

    let first = client.send(&event(ID)).await.unwrap();
    let second = client.send(&event(ID)).await;

    assert_eq!((first.status, first.header("connection")), (200, None));
    assert!(second.is_err());
    assert_eq!(sentry.received().len(), 1);
}

#[tokio::test]
async fn closes_after_each_answer_when_told() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.script().always(Behaviour::usual().closing());
    let mut client = client(&sentry).await;

    let first = client.send(&event(ID)).await.unwrap();
    let second = client.send(&event(ID)).await;

    assert_eq!(first.header("connection"), Some("close"));
    assert!(second.is_err());
}

#[tokio::test]
async fn trickles_an_answer_byte_by_byte() {
    let sentry = FakeSentry::start().await.unwrap();
    let pause = Duration::from_millis(1);
    sentry
        .script()
        .next(Behaviour::answer(Answer::new(200).body("abc")).trickled(1, pause));

    let started = Instant::now();
    let answer = send(sentry.address(), &event(ID)).await.unwrap();

    let bytes = u32::try_from(answer.head.len() + answer.body.len()).unwrap();
    assert_eq!(answer.body, "abc");
    assert!(started.elapsed() >= pause * (bytes - 1));
}

#[tokio::test]
async fn answers_in_each_framing() {
    let sentry = FakeSentry::start().await.unwrap();
    let answer = Answer::new(200)
        .header("X-CaSe", "1")
        .header("x-case", "2")
        .body("hello");
    let table = [
        (answer.clone(), Framing::Length(5), "hello"),
        (
            answer.clone().chunked(4),
            Framing::Chunked,
            "4\r\nhell\r\n1\r\no\r\n0\r\n\r\n",
        ),
        (answer.until_close(), Framing::UntilClose, "hello"),
    ];
    for (answer, framing, framed) in table {
        sentry.script().next(Behaviour::answer(answer));

        let answer = send(sentry.address(), &event(ID)).await.unwrap();

        assert_eq!(
            (answer.framing, answer.framed_body.as_ref()),
            (framing, framed.as_bytes())
        );
        assert_eq!(answer.body, "hello");
        assert_eq!(answer.headers[0].0, "X-CaSe");
    }
}

#[tokio::test]
async fn writes_raw_bytes_and_endless_bodies() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry
        .script()
        .next(Behaviour::raw("SSH-2.0-OpenSSH\r\n\r\n"));
    sentry.script().next(Behaviour::endless());

    let raw = send(sentry.address(), &event(ID)).await;
    let mut client = client(&sentry).await;
    let endless = tokio::time::timeout(Duration::from_millis(300), client.send(&event(ID))).await;

    assert!(matches!(
        raw,
        Err(ClientError::Unreadable(WireError::Malformed(_)))
    ));
    assert!(endless.is_err(), "{endless:?}");
}

#[tokio::test]
async fn refuses_connections_and_comes_back_on_the_same_port() {
    let sentry = FakeSentry::start().await.unwrap();
    let mut open = client(&sentry).await;
    open.send(&event(ID)).await.unwrap();

    sentry.listen(Listening::Refusing).await.unwrap();
    let on_open = open.send(&event(ID)).await;
    let on_new = Client::connect(sentry.address()).await;
    sentry.listen(Listening::Serving).await.unwrap();
    let back = send(sentry.address(), &event(ID)).await.unwrap();

    assert!(on_open.is_err());
    assert!(matches!(
        on_new,
        Err(ClientError::Unreachable(_, error)) if error.kind() == std::io::ErrorKind::ConnectionRefused
    ));
    assert_eq!(back.status, 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn keeps_its_port_while_it_refuses() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.listen(Listening::Refusing).await.unwrap();

    let other = tokio::net::TcpSocket::new_v4().unwrap();
    let taken = other.bind(sentry.address());

    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn accepts_and_never_reads_when_silent() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.listen(Listening::Silent).await.unwrap();
    let mut client = client(&sentry).await;

    let answer = tokio::time::timeout(Duration::from_millis(100), client.send(&event(ID))).await;

    assert!(answer.is_err(), "{answer:?}");
    assert!(sentry.received().is_empty());
    assert_eq!(sentry.connections(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn lets_connecting_hang_when_stuck() {
    let sentry = FakeSentry::start().await.unwrap();
    sentry.listen(Listening::Stuck).await.unwrap();

    let connecting = Client::connect(sentry.address());
    let stuck = tokio::time::timeout(Duration::from_millis(300), connecting).await;
    sentry.listen(Listening::Serving).await.unwrap();
    let back = send(sentry.address(), &event(ID)).await.unwrap();

    assert!(stuck.is_err(), "{stuck:?}");
    assert_eq!(back.status, 200);
}

#[tokio::test]
async fn directs_only_the_requests_that_are_meant() {
    let sentry = FakeSentry::start().await.unwrap();
    let script = sentry.script();
    script.next_where(2, |request| request.path() == "/b", Behaviour::status(500));
    script.next(Behaviour::status(201));
    script.always(Behaviour::status(202));

    let mut statuses = Vec::new();
    for target in ["/b", "/a", "/a", "/b", "/b"] {
        let request = SdkRequest::new("POST", target);
        statuses.push(send(sentry.address(), &request).await.unwrap().status);
    }

    assert_eq!(statuses, [500, 201, 202, 500, 202]);
    assert_eq!(script.pending(), 0);
}

#[tokio::test]
async fn tells_requests_that_stop_half_way_from_whole_ones() {
    let sentry = FakeSentry::start().await.unwrap();
    for ending in [Break::Fin, Break::Reset] {
        sentry.clear();
        let (mut writer, reader) = client(&sentry).await.split();
        writer
            .write(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
            .await
            .unwrap();
        match ending {
            Break::Fin => writer.finish().await.unwrap(),
            Break::Reset => writer.reset_on_drop().unwrap(),
        }
        drop((writer, reader));

        let received = sentry.wait_for(1, SOON).await.unwrap().remove(0);

        assert!(!received.is_complete);
    }
}

#[tokio::test]
async fn reports_what_is_not_a_request() {
    let table: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\nHost: a\n\n", "without CR"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", "not HTTP"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "beside",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "chunked",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "hexadecimal",
        ),
    ];
    for (wire, why) in table {
        let sentry = FakeSentry::start().await.unwrap();

        let answer = exchange(&sentry, wire).await;

        let malformed = sentry.malformed();
        assert_eq!(answer.status, 400, "{why}");
        assert!(malformed[0].why.contains(why), "{malformed:?}");
    }
}

#[tokio::test]
async fn forgets_the_oldest_requests_past_its_bound() {
    let sentry = FakeSentry::start().await.unwrap();
    let mut client = client(&sentry).await;
    let body = vec![b'x'; 24 << 20];

    for number in 0..3 {
        let request = SdkRequest::new("POST", format!("/{number}")).body(body.clone());
        client.send(&request).await.unwrap();
    }

    let kept = sentry.wait_for(3, SOON).await.unwrap();
    let targets: Vec<_> = kept.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(targets, ["/1", "/2"]);
    assert_eq!(sentry.dropped(), 1);
}

#[tokio::test]
async fn says_how_many_requests_are_missing() {
    let sentry = FakeSentry::start().await.unwrap();
    send(sentry.address(), &event(ID)).await.unwrap();

    let missing = sentry.wait_for(2, Duration::from_millis(20)).await;

    assert_eq!(
        missing.unwrap_err().to_string(),
        "1 of 2 requests arrived within 20ms"
    );
}

async fn client(sentry: &FakeSentry) -> Client {
    Client::connect(sentry.address()).await.unwrap()
}

async fn exchange(sentry: &FakeSentry, wire: &[u8]) -> Response {
    let (mut writer, mut reader) = client(sentry).await.split();
    writer.write(wire).await.unwrap();
    reader.read().await.unwrap()
}

fn event(id: &str) -> SdkRequest {
    let body = format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\"}}\n{{}}\n");
    SdkRequest::new("POST", "/api/1/envelope/").body(body)
}

//! Sentry is down, slow or out of quota: nothing that was acknowledged is lost, and all of it arrives as it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use proxy::config::Patience;
use spool::{Body, Framing, Head, Lane, Queue};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::message::{Connection, Message, chunked, noise};
use crate::sentry::{OK, Sentry};
use crate::setup::{Started, post, start_keeping};

const PATIENCE: Duration = Duration::from_secs(20);
const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";

/// A spool in a directory of its own.
pub(crate) struct Spool {
    pub(crate) queue: Queue,
    dir: TempDir,
}

impl Spool {
    pub(crate) fn new() -> Spool {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(spool::Config::new(dir.path().join("spool"))).unwrap();
        Spool { queue, dir }
    }

    /// Waits until so many requests are in it.
    pub(crate) async fn holds(&self, requests: u64) {
        let until = async {
            while self.queue.counts().requests != requests {
                tokio::task::yield_now().await;
            }
        };
        let reached = timeout(PATIENCE, until).await;
        assert!(reached.is_ok(), "{:?}", self.queue.counts());
    }
}

/// Returns an address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Listens at an address and answers every request alike.
pub(crate) async fn answering_at(address: SocketAddr, answer: &'static str) -> Sentry {
    Sentry::at(address, move |stream, recorder| async move {
        let mut connection = Connection::new(stream);
        while let Ok(message) = connection.read().await {
            recorder.send(message).ok();
            connection.send(answer).await;
        }
    })
    .await
}

pub(crate) fn envelope(kind: &str) -> Vec<u8> {
    format!("{{\"event_id\":\"{ID}\"}}\n{{\"type\":\"{kind}\"}}\n{{\"exception\":[]}}\n")
        .into_bytes()
}

pub(crate) async fn ask(proxy: &Started, request: impl AsRef<[u8]>) -> Message {
    let answered = async { proxy.connect().await.ask(request).await };
    timeout(PATIENCE, answered).await.unwrap()
}

pub(crate) async fn arrives(sentry: &mut Sentry) -> Message {
    timeout(PATIENCE, sentry.request()).await.unwrap()
}

#[tokio::test]
async fn answers_for_a_sentry_that_is_down_and_sends_everything_once_it_is_up() {
    let (spool, address) = (Spool::new(), nobody().await);
    let mut proxy = start_keeping(address, &spool.queue, |config| config.forward.buffer = 1000);
    let small = post("/api/42/envelope/?sentry_key=a", &envelope("event"));
    let large = [&envelope("event")[..], &noise(3_000_000)].concat();
    let in_chunks = [
        &b"POST /api/42/envelope/ HTTP/1.1\r\nHost: proxy.test\r\nX-Forwarded-For: 10.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        &chunked(&large, 100_000),
    ]
    .concat();

    for request in [small, post("/api/42/envelope/", &large), in_chunks] {
        let answer = ask(&proxy, request).await;
        assert_eq!(
            (answer.status(), &*answer.body),
            (200, format!("{{\"id\":\"{ID}\"}}").as_bytes())
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(
            proxy.captures.next().await.unwrap().verdict,
            proxy::Verdict::Spooled
        );
    }
    assert_eq!(spool.queue.counts().requests, 3);
    let mut sentry = answering_at(address, OK).await;

    let first = arrives(&mut sentry).await;
    assert_eq!(first.start, "POST /api/42/envelope/?sentry_key=a HTTP/1.1");
    assert_eq!(first.header("host"), Some(&*address.to_string()));
    assert_eq!(first.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(first.body, envelope("event"));
    let second = arrives(&mut sentry).await;
    assert_eq!(
        second.header("content-length"),
        Some(&*large.len().to_string())
    );
    assert!(second.body == large);
    let third = arrives(&mut sentry).await;
    assert_eq!(third.header("transfer-encoding"), Some("chunked"));
    assert_eq!(third.header("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
    assert!(third.body == large);
    spool.holds(0).await;
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="envelope",verdict="spooled"}"#),
        3
    );
    assert_eq!(ask(&proxy, post("/api/42/store/", b"{}")).await.body, b"{}");
}

/// Without this a browser would not send, and what it does not send cannot be kept.
#[tokio::test]
async fn browsers_may_send_while_sentry_is_away() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    let asks = |target: &str, fields: &str| {
        format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n{fields}\r\n"
        )
        .into_bytes()
    };
    let question =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-lab\r\n";

    let allowed = ask(&proxy, asks("/api/1/envelope/", question)).await;

    assert_eq!(allowed.status(), 200);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "x-lab"),
        ("access-control-max-age", "60"),
    ] {
        assert_eq!(allowed.header(name), Some(value), "{name}");
    }
    let kept = ask(&proxy, post("/api/1/envelope/", &envelope("event"))).await;
    assert_eq!(kept.header("access-control-allow-origin"), Some("*"));
    for unanswerable in [
        asks("/api/1/envelope/", ""),
        asks("/api/0/relays/live/", question),
        asks(
            "/api/1/envelope/",
            "Access-Control-Request-Method: DELETE\r\n",
        ),
    ] {
        let lost = ask(&proxy, unanswerable).await;
        assert_eq!(lost.status(), 503);
        assert_eq!(lost.header("access-control-allow-origin"), Some("*"));
    }
    let counted = proxy.metric(r#"requests_total{endpoint="envelope",verdict="preflight"}"#);
    assert_eq!(counted, 1);
    let totals = proxy.metrics.totals();
    assert_eq!((totals.spooled, totals.lost, totals.refused), (1, 3, 0));
}

/// A browser that waits for its question to be answered has not sent its event yet, and the tab may be closed.
#[tokio::test]
async fn browsers_do_not_wait_for_a_sentry_that_hangs() {
    let (spool, hanging) = (Spool::new(), hanging().await);
    let proxy = start_keeping(hanging.address, &spool.queue, |config| {
        config.forward.patience = Patience::For(Duration::from_millis(200));
        config.upstream.response_timeout = Duration::from_secs(600);
    });
    let question =
        b"OPTIONS /api/1/envelope/ HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n\
        Access-Control-Request-Method: POST\r\n\r\n";

    let allowed = ask(&proxy, question.to_vec()).await;

    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.header("access-control-max-age"), Some("60"));
    assert_eq!(hanging.connection_count(), 1, "Sentry is asked first");
}

#[tokio::test]
async fn not_every_browser_asks_a_sentry_that_is_down() {
    let spool = Spool::new();
    let failing = Sentry::scripted(|stream, _| async move {
        Connection::new(stream).read().await.ok();
    })
    .await;
    let proxy = start_keeping(failing.address, &spool.queue, |_| {});
    let question =
        b"OPTIONS /api/1/envelope/ HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n\
        Access-Control-Request-Method: POST\r\n\r\n";
    for _ in 0..3 {
        ask(&proxy, post("/api/1/store/", b"{}")).await;
    }

    let before = failing.connection_count();
    for _ in 0..10 {
        assert_eq!(ask(&proxy, question.to_vec()).await.status(), 200);
    }

    let asked = failing.connection_count() - before;
    assert!(asked < 10, "asked {asked} times");
}

#[tokio::test]
async fn tells_which_upstream_is_down_and_since_when() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    let before = proxy.outlook.upstreams();

    for _ in 0..3 {
        ask(
            &proxy,
            post("/api/42/envelope/?sentry_key=a", &envelope("event")),
        )
        .await;
    }

    let down = proxy.outlook.upstreams();
    let totals = proxy.metrics.totals();
    let _sentry = answering_at(address, OK).await;
    spool.holds(0).await;
    let after = proxy.outlook.upstreams();
    assert_eq!(before.len(), 1);
    assert_eq!(
        (&*before[0].origin, before[0].down_since),
        (&*format!("http://{address}"), None)
    );
    assert!(down[0].down_since.is_some());
    assert_eq!((totals.spooled, totals.answered, totals.lost), (3, 0, 0));
    assert_eq!(totals.answers_by_time.iter().sum::<u64>(), 3);
    assert_eq!(
        totals.answers_by_time.len(),
        proxy::Totals::bounds().count() + 1
    );
    assert_eq!(after[0].down_since, None);
}

#[tokio::test]
async fn an_outage_in_words_is_one_too_and_other_answers_are_sentrys() {
    for (status, kept) in [
        ("502 Bad Gateway", true),
        ("503 Service Unavailable", true),
        ("504 Gateway Timeout", true),
        ("500 Internal Server Error", false),
        ("429 Too Many Requests", false),
        ("400 Bad Request", false),
    ] {
        let spool = Spool::new();
        let text = format!("HTTP/1.1 {status}\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nbad");
        let sentry = Sentry::answering(text).await;
        let proxy = start_keeping(sentry.address, &spool.queue, |_| {});

        let answer = ask(&proxy, post("/api/1/envelope/", &envelope("event"))).await;

        if kept {
            assert_eq!(
                (answer.status(), answer.header("retry-after")),
                (200, None),
                "{status}"
            );
            assert_eq!(spool.queue.counts().requests, 1, "{status}");
        } else {
            assert_eq!(answer.status().to_string(), status[..3]);
            assert_eq!(
                (answer.header("retry-after"), &*answer.body),
                (Some("9"), &b"bad"[..])
            );
            assert_eq!(spool.queue.counts().requests, 0, "{status}");
        }
        let web = ask(&proxy, "GET /api/0/projects/ HTTP/1.1\r\nHost: p\r\n\r\n").await;
        assert_eq!(
            web.status().to_string(),
            status[..3],
            "the web API is a conversation"
        );
    }
}

/// Answers each request after a while, and counts them.
async fn slow(delay: Duration) -> (Sentry, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let sentry = Sentry::scripted(move |stream, recorder| {
        let asked = Arc::clone(&counter);
        async move {
            let mut connection = Connection::new(stream);
            while let Ok(message) = connection.read().await {
                asked.fetch_add(1, Ordering::SeqCst);
                recorder.send(message).ok();
                tokio::time::sleep(delay).await;
                connection.send(OK).await;
            }
        }
    })
    .await;
    (sentry, asked)
}

#[tokio::test]
async fn a_slow_sentry_gets_each_request_once_and_keeps_nobody_waiting() {
    for (patience, size) in [(200, 10), (0, 10), (200, 100_000)] {
        let spool = Spool::new();
        let (mut sentry, asked) = slow(Duration::from_millis(1500)).await;
        let proxy = start_keeping(sentry.address, &spool.queue, |config| {
            config.forward.patience = Patience::For(Duration::from_millis(patience));
            config.forward.buffer = 10_000;
        });
        let body = noise(size);
        let started = std::time::Instant::now();

        let answer = ask(&proxy, post("/api/1/envelope/", &body)).await;

        assert!(
            started.elapsed() < Duration::from_millis(1400),
            "{patience} {size}"
        );
        assert_eq!((answer.status(), &*answer.body), (200, &b"{}"[..]));
        assert!(arrives(&mut sentry).await.body == body);
        spool.holds(0).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{patience} {size}");
    }
}

#[tokio::test]
async fn without_a_limit_to_patience_sentrys_own_answer_is_waited_for() {
    let spool = Spool::new();
    let (sentry, _) = slow(Duration::from_millis(1500)).await;
    let proxy = start_keeping(sentry.address, &spool.queue, |config| {
        config.forward.patience = Patience::Off;
    });

    let answer = ask(&proxy, post("/api/1/envelope/", b"{}")).await;

    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(spool.queue.counts().appended, 0);
    assert_eq!(
        proxy.metric(r#"requests_total{endpoint="envelope",verdict="accepted"}"#),
        1
    );
}

#[tokio::test]
async fn what_the_spool_cannot_take_is_refused_without_a_false_200() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = spool::Config::new(dir.path().join("spool"));
    config.max_size = 2 << 20;
    let queue = Queue::open(config).unwrap();
    let proxy = start_keeping(nobody().await, &queue, |config| {
        config.forward.buffer = 1000
    });

    let mut kept = 0;
    for size in [50_000, 3_000_000].repeat(60) {
        let answer = ask(&proxy, post("/api/1/envelope/", &noise(size))).await;
        match answer.status() {
            200 => kept += 1,
            status => {
                assert_eq!((status, answer.header("retry-after")), (503, None));
                assert!(answer.body.starts_with(b"{\"detail\":"));
            }
        }
    }
    assert_eq!(queue.counts().requests, kept);
    assert!((10..60).contains(&kept), "{kept}");
}

#[tokio::test]
async fn the_next_process_sends_what_the_last_one_kept() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    for number in 0..20 {
        let body = format!("{number}");
        assert_eq!(
            ask(&proxy, post("/api/1/store/", body.as_bytes()))
                .await
                .status(),
            200
        );
    }
    proxy.running.shutdown(Duration::from_secs(5));
    proxy.running.stopped().await;
    let Spool { queue, dir } = spool;
    queue.close().await;
    drop(queue);
    let queue = Queue::open(spool::Config::new(dir.path().join("spool"))).unwrap();
    let mut sentry = answering_at(address, OK).await;

    let _proxy = start_keeping(address, &queue, |_| {});

    for number in 0..20 {
        let arrived = arrives(&mut sentry).await;
        assert_eq!(arrived.body, format!("{number}").as_bytes(), "oldest first");
    }
    Spool { queue, dir }.holds(0).await;
}

#[tokio::test]
async fn a_spent_quota_holds_back_what_it_names_and_nothing_else() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    let key = "?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for kind in ["event", "event", "session"] {
        let path = format!("/api/1/envelope/{key}");
        ask(&proxy, post(&path, &envelope(kind))).await;
    }
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tries);
    let mut sentry = Sentry::at(address, move |stream, recorder| {
        let tries = Arc::clone(&counter);
        async move {
            let mut connection = Connection::new(stream);
            while let Ok(message) = connection.read().await {
                let is_error = message.body.windows(7).any(|window| window == b"\"event\"");
                let is_limited = is_error && tries.fetch_add(1, Ordering::SeqCst) == 0;
                recorder.send(message).ok();
                let limited = "HTTP/1.1 429 Too Many Requests\r\nX-Sentry-Rate-Limits: 2:error:key\r\nContent-Length: 0\r\n\r\n";
                connection.send(if is_limited { limited } else { OK }).await;
            }
        }
    })
    .await;

    let kinds: Vec<bool> = [arrives(&mut sentry).await, arrives(&mut sentry).await]
        .iter()
        .map(|message| message.body == envelope("event"))
        .collect();
    assert_eq!(
        kinds,
        [true, false],
        "the session does not wait for the limit of errors"
    );
    spool.holds(2).await;
    let kept = proxy.metric(r#"replayed_total{result="limited"}"#);
    assert_eq!(
        (kept, tries.load(Ordering::SeqCst)),
        (1, 1),
        "no second try before its time"
    );

    assert_eq!(arrives(&mut sentry).await.body, envelope("event"));
    assert_eq!(arrives(&mut sentry).await.body, envelope("event"));
    spool.holds(0).await;
}

#[tokio::test]
async fn our_own_answers_pass_sentrys_limits_on() {
    let spool = Spool::new();
    let answers = [
        "HTTP/1.1 200 OK\r\nX-Sentry-Rate-Limits: 60:transaction:key\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n",
    ];
    let asked = Arc::new(AtomicUsize::new(0));
    let sentry = Sentry::scripted(move |stream, _| {
        let asked = Arc::clone(&asked);
        async move {
            let mut connection = Connection::new(stream);
            while connection.read().await.is_ok() {
                connection
                    .send(answers[asked.fetch_add(1, Ordering::SeqCst).min(1)])
                    .await;
            }
        }
    })
    .await;
    let proxy = start_keeping(sentry.address, &spool.queue, |_| {});
    let path = |key: &str| format!("/api/1/envelope/?sentry_key={}", key.repeat(32));

    ask(&proxy, post(&path("a"), &envelope("event"))).await;
    let same_key = ask(&proxy, post(&path("a"), &envelope("event"))).await;
    let other_key = ask(&proxy, post(&path("b"), &envelope("event"))).await;

    let limits = same_key.header("x-sentry-rate-limits").unwrap_or_default();
    assert!(limits.ends_with(":transaction:key"), "{limits}");
    assert_eq!((same_key.status(), other_key.status()), (200, 200));
    assert_eq!(other_key.header("x-sentry-rate-limits"), None);
}

#[tokio::test]
async fn what_sentry_refuses_for_good_is_kept_aside_and_keeps_nobody_back() {
    let (spool, address) = (Spool::new(), nobody().await);
    let proxy = start_keeping(address, &spool.queue, |_| {});
    for body in ["bad", "good"] {
        ask(&proxy, post("/api/1/store/", body.as_bytes())).await;
    }
    let mut sentry = Sentry::at(address, |stream, recorder| async move {
        let mut connection = Connection::new(stream);
        while let Ok(message) = connection.read().await {
            let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let answer = if message.body == b"bad" { bad } else { OK };
            recorder.send(message).ok();
            connection.send(answer).await;
        }
    })
    .await;

    assert_eq!(arrives(&mut sentry).await.body, b"bad");
    assert_eq!(arrives(&mut sentry).await.body, b"good");
    spool.holds(0).await;
    assert_eq!(spool.queue.counts().refused, 1);
    assert_eq!(proxy.metric(r#"replayed_total{result="refused"}"#), 1);
}

#[tokio::test]
async fn an_envelope_that_is_late_says_so_and_is_otherwise_as_it_was() {
    let (spool, address) = (Spool::new(), nobody().await);
    let items = "\n{\"type\":\"event\"}\n{\"sent_at\":\"2026-11-23T09:00:00Z\"}\n";
    let body = format!("{{\"sent_at\":\"2026-11-23T09:00:00Z\",\"dsn\":\"x\"}}{items}");
    for age in [49, 120] {
        let head = Head {
            lane: Lane::default(),
            method: http::Method::POST,
            target: "/api/1/envelope/".parse().unwrap(),
            fields: [
                ("Host", "old"),
                ("content-length", &*body.len().to_string()),
            ]
            .map(|(name, value)| (name.to_owned().into(), value.to_owned().into()))
            .into(),
            framing: Framing::Length,
            received_at: SystemTime::now() - Duration::from_secs(age * 60),
            event_id: None,
            note: None,
        };
        let kept = spool
            .queue
            .append(head, Body::Memory(vec![body.clone().into()]))
            .await;
        kept.unwrap().release();
    }
    let mut sentry = answering_at(address, OK).await;

    let _proxy = start_keeping(address, &spool.queue, |_| {});

    assert_eq!(arrives(&mut sentry).await.body, body.as_bytes());
    let late = arrives(&mut sentry).await;
    let text = String::from_utf8(late.body).unwrap();
    assert!(
        text.starts_with("{\"sent_at\":\"2026-11-23T11:00:0"),
        "{text}"
    );
    assert!(
        text.ends_with(&format!(",\"dsn\":\"x\"}}{items}")),
        "{text}"
    );
    assert_eq!(
        late.headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .unwrap()
            .1,
        text.len().to_string()
    );
}

#[tokio::test]
async fn a_hanging_sentry_costs_each_request_its_patience_at_most_and_soon_nothing() {
    let (spool, sentry) = (Spool::new(), hanging().await);
    let proxy = start_keeping(sentry.address, &spool.queue, |config| {
        config.forward.patience = Patience::For(Duration::from_millis(200));
        config.upstream.response_timeout = Duration::from_millis(400);
    });

    for _ in 0..5 {
        assert_eq!(
            ask(&proxy, post("/api/1/store/", b"{}")).await.status(),
            200
        );
    }
    // Until the time is up that Sentry has for an answer.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let before = sentry.connection_count();
    let started = std::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(
            ask(&proxy, post("/api/1/store/", b"{}")).await.status(),
            200
        );
    }

    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(
        sentry.connection_count() < before + 10,
        "not every request tries"
    );
    assert_eq!(spool.queue.counts().requests, 55);
}

/// Returns a Sentry that reads requests and never answers.
async fn hanging() -> Sentry {
    Sentry::scripted(|stream, _| async move {
        let mut connection = Connection::new(stream);
        connection.read().await.ok();
        std::future::pending::<()>().await;
    })
    .await
}

//! The pages as browsers and programs meet them.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use state::{IssueHash, Memory, Sighting};
use tower::ServiceExt;

use super::*;
use crate::vitals::{Spool, Upstream};

#[tokio::test]
async fn is_ready_only_while_requests_are_accepted_and_can_go_somewhere() {
    let admin = admin(None);
    let down = Admin {
        probe: Arc::new(|| vitals(Some(Duration::from_secs(9)), None)),
        ..admin.clone()
    };
    let kept = Admin {
        probe: Arc::new(|| vitals(Some(Duration::from_secs(9)), Some(spool()))),
        ..admin.clone()
    };

    let before = get_page(&admin, "/readyz").await.0;
    admin.ready.set(true);

    assert_eq!(before, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get_page(&admin, "/readyz").await.0, StatusCode::OK);
    assert_eq!(get_page(&kept, "/readyz").await.0, StatusCode::OK);
    let (status, text) = get_page(&down, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("spool"), "{text}");
    assert_eq!(get_page(&down, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn says_when_state_is_in_memory_alone() {
    let away = state::Config::Redis(state::RedisConfig {
        address: "redis://:secret@127.0.0.1:1".parse().unwrap(),
        prefix: String::new(),
        retention: Duration::from_secs(60),
        budget: Duration::from_millis(50),
    });
    let store = state::open(&away, Arc::new(SystemTime::now)).await.unwrap();
    let well = admin(None);
    let troubled = Admin {
        store,
        ..well.clone()
    };

    let (_, well) = get_page(&well, "/").await;
    let (status, page) = get_page(&troubled, "/").await;

    assert!(!well.contains("in memory alone"), "{well}");
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("in memory alone:</strong> `redis` is away: "),
        "{page}"
    );
    assert!(!page.contains("secret"), "{page}");
}

#[tokio::test]
async fn shows_how_it_goes_in_both_languages_and_never_by_colour_alone() {
    let admin = Admin {
        probe: Arc::new(|| vitals(Some(Duration::from_secs(90)), Some(spool()))),
        ..admin(None)
    };

    let (_, english) = get_page(&admin, "/").await;
    let (_, chinese) = get_page(&admin, "/?lang=zh-CN").await;

    for expected in [
        "<html lang=\"en\">",
        "<span aria-hidden=\"true\">✕</span> does not answer, for 1 min",
        "<span aria-hidden=\"true\">△</span> 3 wait",
        "1.0 MiB / 64.0 MiB · oldest 2 min · 1 refused by Sentry",
        "https://sentry.example.com",
        "alert.robots: is unused",
        "No robot is configured",
    ] {
        assert!(english.contains(expected), "{expected} in {english}");
    }
    for expected in [
        "<html lang=\"zh-CN\">",
        "无应答, 已持续 1 分钟",
        "暂存队列",
        "?lang=en",
    ] {
        assert!(chinese.contains(expected), "{expected} in {chinese}");
    }
}

#[tokio::test]
async fn lists_issues_without_letting_their_text_become_markup() {
    let admin = admin(None);
    see(&admin, "\"><script>alert(1)</script>").await;

    let (status, page) = get_page(&admin, "/").await;
    let (_, list) = get_page(&admin, "/api/issues").await;

    assert_eq!(status, StatusCode::OK);
    assert!(
        !page.contains("<script>") && page.contains("alert(1)"),
        "{page}"
    );
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["hash"], "a68d622cec8b5822836dbc7977af7f3b");
    assert_eq!(list[0]["title"], "\"><script>alert(1)</script>");
    assert_eq!(
        (&list[0]["events"], &list[0]["environment"]),
        (&1.into(), &"prod".into())
    );
}

#[tokio::test]
async fn what_is_searched_for_is_text_too() {
    let admin = admin(None);

    let query = "q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&project=%3Cb%3E&environment='";
    let (_, page) = get_page(&admin, &format!("/?{query}")).await;

    assert!(
        !page.contains("<script>") && !page.contains("<b>\""),
        "{page}"
    );
    assert!(page.contains("No issue was found"), "{page}");
    assert!(page.contains("data-every=\"10\""), "{page}");
}

#[tokio::test]
async fn issues_are_searched_and_paged() {
    let admin = admin(None);
    for number in 0..120_u64 {
        let title = format!("TypeError: number {number}");
        see_issue(&admin, number % 3, number, &title).await;
    }

    let (first, all) = get_list(&admin, "/api/issues?limit=50").await;
    let next = next_of(&first);
    let (second, rest) = get_list(&admin, &next).await;
    let (last, end) = get_list(&admin, &next_of(&second)).await;
    let (_, shop) = get_list(&admin, "/api/issues?project=shop&q=typeerror").await;
    let (_, one) = get_list(&admin, "/api/issues?q=number+77&environment=prod").await;
    let (_, none) = get_list(&admin, "/api/issues?project=unknown").await;
    let (_, page) = get_page(&admin, "/").await;

    assert_eq!(first["x-known-issues"], "120");
    assert_eq!((all.len(), rest.len(), end.len()), (50, 50, 20));
    assert!(!last.contains_key(header::LINK));
    let hashes: std::collections::BTreeSet<String> = [&all, &rest, &end]
        .into_iter()
        .flatten()
        .map(|issue| issue["key"].to_string())
        .collect();
    assert_eq!(hashes.len(), 120);
    assert_eq!(
        (shop.len(), shop[0]["project_name"].as_str()),
        (40, Some("shop"))
    );
    assert_eq!(
        (one.len(), one[0]["title"].as_str()),
        (1, Some("TypeError: number 77"))
    );
    assert_eq!(none.len(), 0);
    assert_eq!(page.matches("<li id=\"i-").count(), 50);
    assert!(page.contains("rel=\"next\" href=\"./?after="), "{page}");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    for path in [
        "/",
        "/metrics",
        "/style.css",
        "/login",
        "/nowhere",
        "/healthz",
    ] {
        let answer = get(&admin(None), path, &[]).await;

        let headers = answer.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin", "{path}");
    }
}

#[tokio::test]
async fn shows_counters_in_prometheus_text() {
    let (admin, open) = (admin(None), [("accept", "application/openmetrics-text")]);

    let plain = get(&admin, "/metrics", &[]).await;
    let open = get(&admin, "/metrics", &open).await;

    assert!(
        plain.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(
        open.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(text_of(open).await.ends_with("# EOF\n"));
    assert!(!text_of(plain).await.contains("EOF"));
}

#[tokio::test]
async fn wants_the_token_for_everything_but_health() {
    let admin = admin(Some(Token::new("right".to_owned())));

    for path in [
        "/",
        "/metrics",
        "/events",
        "/api/issues",
        "/api/alerts",
        "/api/mutes",
        "/?token=wrong",
        "/?token=",
        "/api/issues?token=right",
    ] {
        assert_eq!(
            get_page(&admin, path).await.0,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    for path in ["/healthz", "/login", "/style.css", "/live.js"] {
        assert_eq!(get_page(&admin, path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn takes_the_token_as_a_bearer() {
    let admin = admin(Some(Token::new("right".to_owned())));

    for (bearer, expected) in [
        ("Bearer right", StatusCode::OK),
        ("bearer right", StatusCode::OK),
        ("Bearer wrong", StatusCode::UNAUTHORIZED),
        ("right", StatusCode::UNAUTHORIZED),
    ] {
        let answer = get(&admin, "/", &[("authorization", bearer)]).await;

        assert_eq!(answer.status(), expected, "{bearer}");
    }
}

#[tokio::test]
async fn a_browser_signs_in_once_and_then_brings_a_cookie() {
    let (_close, site) = site(admin(Some(Token::new("right".to_owned()))));
    let html = ("accept", "text/html,*/*");

    let sent_on = send(&site, "GET", "/?q=a", &[html], "").await;
    assert_eq!(sent_on.status(), StatusCode::SEE_OTHER);
    assert_eq!(sent_on.headers()["location"], "login?q=a");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let wrong = send(&site, "POST", "/login?q=a", &[form], "token=wrong").await;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    assert!(!wrong.headers().contains_key("set-cookie"));
    let right = send(&site, "POST", "/login?q=a", &[form], "token=right").await;
    assert_eq!(right.status(), StatusCode::SEE_OTHER);
    assert_eq!(right.headers()["location"], "./?q=a");
    let cookie = right.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("right"), "{cookie}");

    let cookie = ("cookie", cookie.split(';').next().unwrap());
    let page = send(&site, "GET", "/", &[html, cookie], "").await;
    assert_eq!(page.status(), StatusCode::OK);
    send(&site, "POST", "/logout", &[cookie], "").await;
    let after = send(&site, "GET", "/metrics", &[cookie], "").await;
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_link_with_the_token_signs_in_and_drops_it_from_the_address() {
    let (_close, site) = site(admin(Some(Token::new("r%t".to_owned()))));

    let answer = send(&site, "GET", "/?token=r%25t", &[], "").await;

    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "./");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = ("cookie", cookie.split(';').next().unwrap());
    let page = send(&site, "GET", "/", &[cookie], "").await;
    assert_eq!(page.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_cookie_is_for_https_where_people_come_by_it() {
    let secure = Admin {
        config: public("https://notice.example.com"),
        ..admin(Some(Token::new("right".to_owned())))
    };

    for (host, expected) in [("notice.example.com", true), ("127.0.0.1:9011", false)] {
        let answer = get(&secure, "/?token=right", &[("host", host)]).await;

        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.ends_with("; Secure"), expected, "{cookie}");
    }
}

#[tokio::test]
async fn without_a_token_other_host_names_are_not_answered() {
    let plain = admin(None);
    let public = Admin {
        config: public("https://notice.example.com/sn"),
        ..plain.clone()
    };
    let guarded = admin(Some(Token::new("right".to_owned())));
    let cases = [
        (&plain, "127.0.0.1:9011", 200),
        (&plain, "127.9.9.9", 200),
        (&plain, "[::1]:8080", 200),
        (&plain, "localhost:1234", 200),
        (&plain, "LOCALHOST", 200),
        (&plain, "evil.example:9011", 421),
        (&plain, "127.0.0.1.evil.example", 421),
        (&plain, "localhost.evil.example", 421),
        (&plain, "192.168.1.1", 421),
        (&plain, "", 421),
        (&public, "notice.example.com", 200),
        (&public, "evil.example", 421),
        (&guarded, "evil.example", 200),
    ];

    for (admin, host, expected) in cases {
        let bearer = ("authorization", "Bearer right");
        let answer = get(admin, "/metrics", &[("host", host), bearer]).await;

        assert_eq!(answer.status(), expected, "{host}");
    }
    let health = get(&plain, "/healthz", &[("host", "evil.example")]).await;
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_changes_something_must_come_from_a_page_of_ours() {
    let (_close, site) = site(admin(None));
    let host = ("host", "127.0.0.1:9011");
    let cases = [
        (None, true),
        (Some(("sec-fetch-site", "same-origin")), true),
        (Some(("sec-fetch-site", "none")), true),
        (Some(("sec-fetch-site", "same-site")), false),
        (Some(("sec-fetch-site", "cross-site")), false),
        (Some(("origin", "http://127.0.0.1:9011")), true),
        (Some(("origin", "http://127.0.0.1:8080")), false),
        (Some(("origin", "https://evil.example")), false),
        (Some(("origin", "null")), false),
    ];

    for path in ["/mutes/remove", "/logout", "/login"] {
        for (from, is_ours) in cases {
            let form = ("content-type", "application/x-www-form-urlencoded");
            let headers: Vec<_> = [host, form].into_iter().chain(from).collect();
            let answer = send(&site, "POST", path, &headers, "id=x&token=x").await;

            let expected = if is_ours {
                StatusCode::SEE_OTHER
            } else {
                StatusCode::FORBIDDEN
            };
            assert_eq!(answer.status(), expected, "{path} {from:?}");
        }
    }
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let (_close, site) = site(admin(Some(Token::new("right".to_owned()))));
    let form = [("content-type", "application/x-www-form-urlencoded")];

    let body = format!("token={}", "x".repeat(20_000));
    let answer = send(&site, "POST", "/login", &form, &body).await;

    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn tells_open_pages_of_changes_and_lets_them_go_at_the_end() {
    let (close, site) = site(admin(None));

    let mut stream = send(&site, "GET", "/events", &[], "").await.into_body();
    let watching = tokio::spawn(live::watch_over(site.clone()));
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    close.send(true).unwrap();
    let rest = stream.collect().await;

    assert!(first.starts_with(b"data: "), "{first:?}");
    assert!(rest.is_ok());
    watching.abort();
}

#[tokio::test]
async fn only_so_many_pages_listen_at_a_time() {
    let (_close, site) = site(admin(None));

    let mut streams = Vec::new();
    for _ in 0..live::SEATS {
        streams.push(send(&site, "GET", "/events", &[], "").await);
    }
    let refused = send(&site, "GET", "/events", &[], "").await;
    streams.pop();
    let again = send(&site, "GET", "/events", &[], "").await;

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(again.status(), StatusCode::OK);
}

/// A page of 100 000 issues, and a search that finds the last of them, on both states that live in this process.
#[tokio::test]
async fn a_hundred_thousand_issues_stay_quick() {
    let folder = tempfile::tempdir().unwrap();
    let file = state::File::open(&folder.path().join("state.db")).unwrap();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(Memory::new()), Arc::new(file)];
    for store in stores {
        let admin = Admin {
            store,
            ..admin(None)
        };
        for number in 0..100_000 {
            let title = format!("TypeError: cannot read property number {number} of undefined");
            see_issue(&admin, number % 50, number, &title).await;
        }

        for path in [
            "/",
            "/?q=number+7+of",
            "/?q=nothing+has+this",
            "/?project=7&environment=prod&q=99957",
        ] {
            let started = std::time::Instant::now();
            let (status, page) = get_page(&admin, path).await;
            let took = started.elapsed();

            assert_eq!(status, StatusCode::OK);
            assert!(page.contains("100\u{202f}000 known"), "{path}");
            let backend = admin.store.backend();
            println!("{backend}: {path}: {took:?}");
            // Ten times what it may take where it is built for speed and alone on its machine.
            assert!(took < Duration::from_secs(1), "{backend}: {path}: {took:?}");
        }
    }
}

pub(crate) fn router(admin: Admin) -> Router {
    routes(Site::new(admin, watch::channel(false).1))
}

async fn get_page(admin: &Admin, path: &str) -> (StatusCode, String) {
    let answer = get(admin, path, &[]).await;
    (answer.status(), text_of(answer).await)
}

async fn get_list(admin: &Admin, path: &str) -> (HeaderMap, Vec<serde_json::Value>) {
    let answer = get(admin, path, &[]).await;
    let headers = answer.headers().clone();
    (
        headers,
        serde_json::from_str(&text_of(answer).await).unwrap(),
    )
}

fn next_of(headers: &HeaderMap) -> String {
    let link = headers[header::LINK].to_str().unwrap();
    let (link, rest) = link.trim_start_matches('<').split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    link.to_owned()
}

async fn get(admin: &Admin, path: &str, headers: &[(&str, &str)]) -> Response {
    let (_close, site) = site(admin.clone());
    send(&site, "GET", path, headers, "").await
}

async fn send(
    site: &Site,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    routes(site.clone()).oneshot(request).await.unwrap()
}

async fn text_of(answer: Response) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn site(admin: Admin) -> (watch::Sender<bool>, Site) {
    let (close, closing) = watch::channel(false);
    (close, Site::new(admin, closing))
}

pub(crate) async fn see(admin: &Admin, title: &str) {
    observe(
        admin,
        1,
        IssueHash::of("abc"),
        title,
        SystemTime::UNIX_EPOCH,
    )
    .await;
}

async fn see_issue(admin: &Admin, project: u64, number: u64, title: &str) {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
    observe(admin, project, IssueHash(hash), title, at).await;
}

async fn observe(admin: &Admin, project: u64, hash: IssueHash, title: &str, at: SystemTime) {
    let sighting = Sighting {
        project,
        hashes: &[hash],
        event_id: None,
        user: None,
        release: None,
        environment: Some("prod"),
        title,
        level: 3,
        routes: &[],
    };
    admin.store.observe(&sighting, at).await.unwrap();
}

pub(crate) fn admin(token: Option<Token>) -> Admin {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let keyring = alert::Keyring::new(Arc::clone(&store), None, alert::Key::new("key"));
    let mut config = alert::Config::default();
    config.project_names.insert(2.into(), "shop".to_owned());
    let config = watch::Sender::new(Arc::new(config)).subscribe();
    let warnings = vec!["alert.robots: is unused".to_owned()];
    Admin {
        registry: Arc::default(),
        muting: Muting {
            mutes: alert::Mutes::new(Arc::clone(&store)),
            keyring,
            config: watch::Sender::default().subscribe(),
        },
        reload: Reload::default(),
        store,
        robots: alert::Health::default(),
        journal: alert::Journal::default(),
        activity: alert::Activity::default(),
        config,
        warnings: watch::Sender::new(Arc::new(warnings)).subscribe(),
        probe: Arc::new(|| vitals(None, None)),
        draw: Arc::new(|_| None),
        scheme: "http",
        listen: SocketAddr::from(([127, 0, 0, 1], 9010)),
        ready: Ready::default(),
        token,
    }
}

fn public(url: &str) -> watch::Receiver<Arc<alert::Config>> {
    let config = alert::Config {
        public_url: Some(url.to_owned()),
        ..alert::Config::default()
    };
    watch::Sender::new(Arc::new(config)).subscribe()
}

fn vitals(down_for: Option<Duration>, spool: Option<Spool>) -> Vitals {
    Vitals {
        upstreams: vec![Upstream {
            origin: "https://sentry.example.com".to_owned(),
            projects: Vec::new(),
            down_for,
            is_late: false,
        }],
        spool,
        ..Vitals::default()
    }
}

fn spool() -> Spool {
    Spool {
        bytes: 1 << 20,
        size: 64 << 20,
        requests: 3,
        refused: 1,
        oldest: Some(Duration::from_secs(150)),
        is_failing: false,
    }
}

/// WCAG 2.2, 1.4.3: text differs from what is behind it by 4.5 to 1 at least.
#[test]
fn text_can_be_read_in_light_and_in_dark() {
    let style = include_str!("../assets/style.css");
    let pair = |name: &str| {
        let (_, rest) = style.split_once(&format!("--{name}: light-dark(")).unwrap();
        let (light, rest) = rest.split_once(", ").unwrap();
        [luminance(light), luminance(rest.split(')').next().unwrap())]
    };

    for ground in ["ground", "sheet"] {
        for text in ["ink", "soft", "accent", "ok", "warn", "bad"] {
            for (text_is, ground_is) in pair(text).into_iter().zip(pair(ground)) {
                let (more, less) = (text_is.max(ground_is), text_is.min(ground_is));
                let contrast = (more + 0.05) / (less + 0.05);
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.1}");
            }
        }
    }
}

/// Source: <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
fn luminance(colour: &str) -> f64 {
    let number = u32::from_str_radix(colour.trim_start_matches('#'), 16).unwrap();
    let part = |shift: u32| {
        let share = f64::from((number >> shift) & 0xff) / 255.0;
        match share <= 0.04045 {
            true => share / 12.92,
            false => ((share + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
}

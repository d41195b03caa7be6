//! The pages as browsers and programs meet them.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use state::{Found, IssueHash, Memory, Sighting};
use tower::ServiceExt;

use super::*;
use crate::snapshot::{Spool, Upstream};

mod access;
mod live;
mod style;

#[tokio::test]
async fn is_ready_only_while_requests_are_accepted_and_can_go_somewhere() {
    let admin = admin(None);
    let down = Admin {
        probe: Arc::new(|| snapshot(Some(Duration::from_secs(9)), None)),
        ..admin.clone()
    };
    let kept = Admin {
        probe: Arc::new(|| snapshot(Some(Duration::from_secs(9)), Some(spool()))),
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
        probe: Arc::new(|| snapshot(Some(Duration::from_secs(90)), Some(spool()))),
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

/// How long it takes with 100 000 issues is for bench `state`.
#[tokio::test]
async fn a_search_among_many_issues_gives_up_after_a_while_and_says_where_to_go_on() {
    let admin = admin(None);
    for number in 0..3 * Found::LOOKED_AT as u64 {
        let title = format!("TypeError: cannot read property number {number} of undefined");
        see_issue(&admin, number % 50, number, &title).await;
    }

    let (status, page) = get_page(&admin, "/?q=number+7+of").await;
    let odd = get_page(&admin, "/api/issues?after=odd").await;

    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("15\u{202f}000 known"), "{page}");
    assert!(
        page.contains("number 7 of") || page.contains("after="),
        "{page}"
    );
    assert_eq!(odd.0, StatusCode::BAD_REQUEST);
    assert!(odd.1.contains("`after` cannot be `odd`"), "{}", odd.1);
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
        },
        reload: Reload::default(),
        store,
        robots: alert::Health::default(),
        journal: alert::Journal::default(),
        activity: alert::Activity::default(),
        config,
        warnings: watch::Sender::new(Arc::new(warnings)).subscribe(),
        probe: Arc::new(|| snapshot(None, None)),
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

fn snapshot(down_for: Option<Duration>, spool: Option<Spool>) -> Snapshot {
    Snapshot {
        upstreams: vec![Upstream {
            origin: "https://sentry.example.com".to_owned(),
            projects: Vec::new(),
            down_for,
            is_late: false,
        }],
        spool,
        ..Snapshot::default()
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

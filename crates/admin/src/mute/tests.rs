//! Mutes as programs, forms and thumbs set them.

use std::time::{Duration, SystemTime};

use alert::mute::Author;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use state::{IssueHash, IssueKey, Mute};
use tower::ServiceExt;

use crate::tests::{admin, see};
use crate::{Admin, Token};

#[tokio::test]
async fn a_mute_is_set_listed_and_removed_as_json() {
    let admin = admin(None);
    see(&admin, "read ECONNRESET").await;
    let wanted =
        json!({"issue": issue().to_string(), "for": "1h", "comment": "known", "by": "alice"});

    let (status, set) = add(&admin, &wanted).await;
    let (_, listed) = call(&admin, "GET", "/api/mutes", &[], "").await;
    let id = set["id"].as_str().unwrap();
    let path = format!("/api/mutes/{id}");
    let removed = call(&admin, "DELETE", &path, &[], "").await;
    let again = call(&admin, "DELETE", &path, &[], "").await;

    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(id, format!("issue-1-{}", issue().hash));
    for (key, value) in [
        ("what", "read ECONNRESET"),
        ("comment", "known"),
        ("by", "alice"),
    ] {
        assert_eq!(set[key], value);
    }
    assert_eq!(set["is_standing"], false);
    assert_eq!(
        serde_json::from_str::<Value>(&listed).unwrap(),
        json!([set])
    );
    assert_eq!(removed.0, StatusCode::NO_CONTENT);
    assert_eq!(again.0, StatusCode::NOT_FOUND);
    assert!(again.1.contains("there is no mute"), "{}", again.1);
    assert_eq!(muted(&admin).await, []);
}

#[tokio::test]
async fn a_mute_of_what_matches_lasts_until_a_moment_or_for_good() {
    let admin = admin(None);

    let (_, dated) = add(&admin, &json!({"match": {"title": "*timeout*", "level": ["error", "warning"]}, "until": "2999-01-01T00:00:00Z"})).await;
    let (_, endless) = add(&admin, &json!({"match": {"title": "*timeout*"}})).await;

    assert_eq!(
        dated["what"],
        r#"level = ["error", "warning"], title = "*timeout*""#
    );
    assert_eq!(
        dated["match"],
        json!({"level": ["error", "warning"], "title": ["*timeout*"]})
    );
    assert_eq!(dated["until"], "2999-01-01T00:00:00Z");
    assert_eq!(
        (&endless["until"], &endless["by"]),
        (&Value::Null, &json!("api"))
    );
}

#[tokio::test]
async fn what_makes_no_mute_is_refused_with_a_reason() {
    let admin = admin(None);
    let issue = issue().to_string();
    let cases = [
        (json!({}), "either `issue` or `match` is needed"),
        (json!({"issue": issue, "match": {}}), "not both"),
        (json!({"issue": "42"}), "`42` is no issue"),
        (json!({"match": {}}), "a mute needs at least one condition"),
        (
            json!({"match": {"title": []}}),
            "a mute needs at least one condition",
        ),
        (
            json!({"match": {"colour": "red"}}),
            "`colour` is nothing to match on",
        ),
        (
            json!({"match": {"title": "/(/"}}),
            "cannot read `/(/` as a pattern",
        ),
        (
            json!({"issue": issue, "for": "soon"}),
            "`soon` is no duration",
        ),
        (json!({"issue": issue, "for": "0s"}), "`0s` is no duration"),
        (
            json!({"issue": issue, "until": "2001-01-01T00:00:00Z"}),
            "is no moment to come",
        ),
        (
            json!({"issue": issue, "until": "tomorrow"}),
            "is no moment to come",
        ),
        (
            json!({"issue": issue, "for": "1h", "until": "2999-01-01T00:00:00Z"}),
            "both set",
        ),
        (
            json!({"issue": issue, "comment": "x".repeat(1_001)}),
            "`comment` is longer",
        ),
        (
            json!({"issue": issue, "by": "x".repeat(101)}),
            "`by` is longer",
        ),
        (json!({"isue": issue}), "unknown field `isue`"),
        (json!([1]), "cannot read the mute"),
    ];

    for (wanted, expected) in cases {
        let (status, answer) = add(&admin, &wanted).await;

        assert_eq!(status, StatusCode::BAD_REQUEST, "{wanted}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{wanted}: {detail}");
    }
    assert_eq!(muted(&admin).await, []);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let admin = admin(None);
    let large = format!("{{\"comment\":\"{}\"}}", "x".repeat(20_000));
    let form = format!("id={}", "x".repeat(20_000));

    let as_json = call(&admin, "POST", "/api/mutes", &[JSON], &large).await;
    let as_form = call(&admin, "POST", "/mutes/remove", &[FORM], &form).await;
    let by_link = call(&admin, "POST", "/mute", &[FORM], &form).await;

    for (status, _) in [as_json, as_form, by_link] {
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn forms_of_the_status_page_set_and_remove_and_lead_back() {
    let admin = admin(None);
    let add = format!(
        "issue={}&for=1h&comment=",
        issue().to_string().replace(':', "%3A")
    );

    let added = call(&admin, "POST", "/mutes/add", &[FORM, OWN], &add).await;
    let after = muted(&admin).await;
    let remove = format!("id={}", after[0].id);
    let removed = call(&admin, "POST", "/mutes/remove", &[FORM, OWN], &remove).await;
    let again = call(&admin, "POST", "/mutes/remove", &[FORM, OWN], &remove).await;

    assert_eq!((after.len(), after[0].by.as_str()), (1, "page"));
    for (status, _) in [added, removed, again] {
        assert_eq!(status, StatusCode::SEE_OTHER);
    }
    assert_eq!(muted(&admin).await, []);
}

#[tokio::test]
async fn pages_of_others_and_those_without_the_token_change_nothing() {
    let open = admin(None);
    let closed = admin(Some(Token::new("right".to_owned())));
    let wanted = json!({"issue": issue().to_string()}).to_string();
    let form = format!("issue={}&for=1h", issue());
    let foreign = ("origin", "https://evil.example");
    let hidden = ("origin", "null");

    for origin in [foreign, hidden] {
        for (path, ty, body) in [("/api/mutes", JSON, &wanted), ("/mutes/add", FORM, &form)] {
            let (status, _) = call(&open, "POST", path, &[ty, origin], body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {origin:?}");
        }
    }
    let (status, _) = call(
        &open,
        "POST",
        "/api/mutes",
        &[("content-type", "text/plain")],
        &wanted,
    )
    .await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for (method, path, ty, body) in [
        ("GET", "/api/mutes", JSON, ""),
        ("POST", "/api/mutes", JSON, &wanted),
        ("DELETE", "/api/mutes/x", JSON, ""),
        ("POST", "/mutes/add", FORM, &form),
        ("POST", "/mutes/remove", FORM, "id=x"),
        ("POST", "/-/reload", FORM, ""),
    ] {
        let (status, _) = call(&closed, method, path, &[ty], body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!((muted(&open).await, muted(&closed).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_link_asks_and_only_the_button_mutes() {
    let admin = admin(Some(Token::new("right".to_owned())));
    see(&admin, "<script>alert(1)</script>").await;
    let link = link(&admin, 1).await;

    for method in ["GET", "HEAD"] {
        let (status, _) = call(&admin, method, &format!("/mute?{link}&lang=en"), &[], "").await;
        assert_eq!(status, StatusCode::OK);
    }
    let (_, question) = call(&admin, "GET", &format!("/mute?{link}&lang=en"), &[], "").await;
    let before = muted(&admin).await;
    let (status, done) = call(
        &admin,
        "POST",
        "/mute",
        &[FORM, OWN],
        &format!("{link}&lang=en"),
    )
    .await;
    let after = muted(&admin).await;

    assert!(
        question.contains("Mute this issue?") && question.contains("Mute for 24 hours"),
        "{question}"
    );
    assert!(question.contains("&#60;script&#62;alert(1)"), "{question}");
    assert!(!question.contains("<script"), "{question}");
    assert!(
        question.contains("Whoever sees the card can undo"),
        "{question}"
    );
    assert_eq!(before, []);
    assert_eq!(status, StatusCode::OK);
    assert!(
        done.contains("<h1>Muted</h1>") && done.contains("Undo"),
        "{done}"
    );
    let left = after[0]
        .until
        .unwrap()
        .duration_since(SystemTime::now())
        .unwrap();
    assert!(left > Duration::from_secs(86_390) && left <= Duration::from_secs(86_400));
    assert_eq!((after.len(), after[0].by.as_str()), (1, "link"));
}

#[tokio::test]
async fn a_click_that_is_repeated_changes_nothing_and_never_shortens() {
    let admin = admin(None);
    let (hour, day) = (link(&admin, 0).await, link(&admin, 1).await);
    call(&admin, "POST", "/mute", &[FORM], &day).await;
    let first = muted(&admin).await;

    call(&admin, "POST", "/mute", &[FORM], &hour).await;
    let (_, question) = call(&admin, "GET", &format!("/mute?{hour}"), &[], "").await;
    let after = muted(&admin).await;

    assert_eq!(first, after);
    assert!(
        question.contains("已静默到") && !question.contains("<button>静默"),
        "{question}"
    );
}

#[tokio::test]
async fn a_link_undoes_what_a_link_did_and_nothing_else() {
    let admin = admin(None);
    let link = link(&admin, 0).await;
    let undo = format!("{link}&undo=1&lang=en");
    call(&admin, "POST", "/mute", &[FORM], &link).await;

    let (status, undone) = call(&admin, "POST", "/mute", &[FORM], &undo).await;
    let after = muted(&admin).await;
    let author = Author {
        by: "alice".to_owned(),
        until: None,
        comment: String::new(),
    };
    admin
        .muting
        .mutes
        .mute_issue(issue(), author, SystemTime::now())
        .await
        .unwrap();
    let (_, kept) = call(&admin, "POST", "/mute", &[FORM], &undo).await;

    assert_eq!(status, StatusCode::OK);
    assert!(undone.contains("No longer muted"), "{undone}");
    assert_eq!(after, []);
    assert!(
        kept.contains("This cannot be undone here") && kept.contains("by alice"),
        "{kept}"
    );
    assert_eq!(muted(&admin).await.len(), 1);
}

#[tokio::test]
async fn a_link_makes_the_mute_of_somebody_else_longer_and_leaves_it_theirs() {
    let admin = admin(None);
    let day = link(&admin, 1).await;
    let author = Author {
        by: "alice".to_owned(),
        until: Some(SystemTime::now() + Duration::from_secs(3_600)),
        comment: "deploy".to_owned(),
    };
    let mutes = &admin.muting.mutes;
    let before = mutes.mute_issue(issue(), author, SystemTime::now()).await;

    let (_, done) = call(&admin, "POST", "/mute", &[FORM], &day).await;
    let undo = format!("{day}&undo=1&lang=en");
    let (_, kept) = call(&admin, "POST", "/mute", &[FORM], &undo).await;

    let [after] = muted(&admin).await.try_into().unwrap();
    assert!(after.until > before.unwrap().until);
    assert_eq!((&*after.by, &*after.comment), ("alice", "deploy"));
    assert!(!done.contains("undo"), "{done}");
    assert!(kept.contains("This cannot be undone here"), "{kept}");
}

#[tokio::test]
async fn nobody_can_pose_as_a_link() {
    let admin = admin(None);
    let wanted = json!({"issue": issue().to_string(), "by": "link"}).to_string();

    let (status, refused) = call(&admin, "POST", "/api/mutes", &[JSON], &wanted).await;

    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused.contains("`by` cannot be `link`"), "{refused}");
    assert_eq!(muted(&admin).await, []);
}

#[tokio::test]
async fn links_that_are_not_ours_do_nothing_and_say_why() {
    let admin = admin(None);
    let link = link(&admin, 0).await;
    let old = SystemTime::now() - Duration::from_secs(4 * 86_400);
    let old = admin.muting.keyring.links("", issue(), old).await.unwrap();
    let old = old[0].1.split_once('?').unwrap().1;
    let cases = [
        ("", StatusCode::BAD_REQUEST, "not complete"),
        ("issue=1:x", StatusCode::BAD_REQUEST, "not complete"),
        (
            &link.replace("for=3600", "for=360000"),
            StatusCode::FORBIDDEN,
            "not genuine",
        ),
        (
            &link.replace("issue=1:", "issue=2:"),
            StatusCode::FORBIDDEN,
            "not genuine",
        ),
        (
            &link.replace("sig=", "sig=00"),
            StatusCode::FORBIDDEN,
            "not genuine",
        ),
        (old, StatusCode::GONE, "has expired"),
    ];

    for (query, expected, text) in cases {
        let query = format!("{query}&lang=en");
        for (method, path, body) in [
            ("GET", format!("/mute?{query}"), ""),
            ("POST", "/mute".to_owned(), query.as_str()),
        ] {
            let (status, page) = call(&admin, method, &path, &[FORM], body).await;
            assert_eq!(status, expected, "{method} {query}");
            assert!(page.contains(text), "{page}");
        }
    }
    let foreign = ("origin", "https://evil.example");
    let (status, _) = call(&admin, "POST", "/mute", &[FORM, foreign], &link).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(muted(&admin).await, []);
    let hidden = ("origin", "null");
    let (status, _) = call(&admin, "POST", "/mute", &[FORM, hidden], &link).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "an in-app browser may hide where it comes from"
    );
}

#[tokio::test]
async fn parameters_of_a_link_do_not_become_markup() {
    let admin = admin(None);
    let link = link(&admin, 0).await;
    let query = format!("{link}&lang=%22%3E%3Cscript%3E&x=%3Cscript%3E");

    let (_, page) = call(&admin, "GET", &format!("/mute?{query}"), &[], "").await;

    assert!(!page.contains("<script"), "{page}");
}

async fn add(admin: &Admin, wanted: &Value) -> (StatusCode, Value) {
    let (status, body) = call(admin, "POST", "/api/mutes", &[JSON], &wanted.to_string()).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn muted(admin: &Admin) -> Vec<Mute> {
    admin.muting.mutes.list(SystemTime::now()).await.unwrap()
}

/// Returns the query of a card's link: the first mutes for an hour, the second for a day.
async fn link(admin: &Admin, which: usize) -> String {
    let links =
        admin
            .muting
            .keyring
            .links("https://notice.example.com", issue(), SystemTime::now());
    let (_, link) = links.await.unwrap().swap_remove(which);
    link.strip_prefix("https://notice.example.com/mute?")
        .unwrap()
        .to_owned()
}

async fn call(
    admin: &Admin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:9011");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let answer = crate::router(admin.clone()).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn issue() -> IssueKey {
    IssueKey::new(1, IssueHash::of("abc"))
}

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("origin", "http://127.0.0.1:9011");

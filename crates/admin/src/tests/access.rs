//! Who is answered, and what every answer tells the browser.

use super::*;

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    for path in [
        "/",
        "/metrics",
        "/style.css",
        "/login",
        "/mute",
        "/mute.css",
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_wrong_token_waits_for_its_answer_and_nobody_else_does() {
    let (_close, site) = site(admin(Some(Token::new("right".to_owned()))));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let wrong = [("authorization", "Bearer wrong")];
    let right = [("authorization", "Bearer right")];

    for (method, path, headers, body, waits) in [
        ("GET", "/metrics", &right[..], "", false),
        ("GET", "/metrics", &[], "", false),
        ("GET", "/metrics", &wrong, "", true),
        ("GET", "/?token=wrong", &[], "", true),
        ("POST", "/login", &[form], "token=wrong", true),
        ("POST", "/login", &[form], "token=right", false),
    ] {
        let before = tokio::time::Instant::now();
        send(&site, method, path, headers, body).await;

        let has_waited = before.elapsed() >= std::time::Duration::from_secs(1);
        assert_eq!(has_waited, waits, "{method} {path} {headers:?} {body}");
    }
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
    // A proxy in front that changes `Host`; the browser knows better.
    let behind = [
        host,
        ("origin", "https://notice.example.com"),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = send(&site, "POST", "/mutes/remove", &behind, "id=x").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let (_close, site) = site(admin(Some(Token::new("right".to_owned()))));
    let form = [("content-type", "application/x-www-form-urlencoded")];

    let body = format!("token={}", "x".repeat(20_000));
    let answer = send(&site, "POST", "/login", &form, &body).await;

    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

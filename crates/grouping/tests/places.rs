//! Where an event happened, as the rules see it: they may know better than the SDK which frames are in the application.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use event::title::crash_stack;
use grouping::{CoarseReason, Config, Group, group};
use serde_json::{Value, json};

#[test]
fn a_library_frame_that_the_sdk_calls_its_own_is_not_where_it_happened() {
    let event = raised(&json!([
        frame("shop/price.py", "/srv/shop/price.py", "unit_price", true),
        frame(
            "django/base.py",
            "/venv/lib/site-packages/django/base.py",
            "get",
            true
        ),
    ]));

    with(&event, "", |group, function| {
        assert_eq!(group.location.as_deref(), Some("shop/price.py"));
        assert_eq!(function, Some("unit_price"));
        assert_eq!(group.culprit, "shop/price.py in unit_price");
    });
}

#[test]
fn the_projects_rules_decide_where_it_happened() {
    let event = raised(&json!([
        frame("shop/price.py", "/srv/shop/price.py", "unit_price", true),
        frame("shop/log.py", "/srv/shop/log.py", "wrapped", true),
    ]));

    with(&event, "", |group, function| {
        assert_eq!(
            (group.location.as_deref(), function),
            (Some("shop/log.py"), Some("wrapped"))
        );
    });
    with(&event, "function:wrapped -app", |group, function| {
        assert_eq!(
            (group.location.as_deref(), function),
            (Some("shop/price.py"), Some("unit_price"))
        );
        assert_eq!(group.culprit, "shop/price.py in unit_price");
    });
}

#[test]
fn frames_without_a_known_function_are_nowhere() {
    let event = raised(&json!([
        frame("a.c", "/a.c", "main", false),
        frame("b.c", "/b.c", "<redacted>", true),
    ]));

    with(&event, "", |group, function| {
        assert_eq!(
            (group.location.as_deref(), function),
            (Some("a.c"), Some("main"))
        );
    });
}

#[test]
fn messages_have_no_location_and_security_reports_that_of_what_was_blocked() {
    for (event, location) in [
        (json!({"message": "m"}), None),
        (
            json!({"message": "m", "stacktrace": {"frames": [frame("a.py", "/a.py", "f", true)]}}),
            None,
        ),
        (
            json!({"csp": {"effective_directive": "script-src", "blocked_uri": "https://evil.example/x.js"}}),
            Some("evil.example"),
        ),
        (
            json!({"expectct": {"hostname": "h.example"}}),
            Some("h.example"),
        ),
        (json!({"exception": [{"type": "E"}]}), None),
    ] {
        with(&event, "", |group, _| {
            assert_eq!(group.location.as_deref(), location, "{event}");
        });
    }
}

#[test]
fn an_event_is_named_after_the_one_exception_of_a_group() {
    let mechanism = |id: u8, parent: Option<u8>, is_group: bool| json!({"type": "chained", "exception_id": id, "parent_id": parent, "is_exception_group": is_group});
    let event = json!({"platform": "python", "exception": [
        {"type": "KeyError", "value": "a", "mechanism": mechanism(2, Some(0), false)},
        {"type": "KeyError", "value": "a", "mechanism": mechanism(1, Some(0), false)},
        {"type": "ExceptionGroup", "value": "2 of them", "mechanism": mechanism(0, None, true)},
    ]});

    with(&event, "", |group, _| {
        assert_eq!(group.title, "KeyError: a");
        assert_eq!(group.main_exception, Some(1));
    });
}

#[test]
fn minified_scripts_group_by_what_they_say() {
    let script = |function: &str, release: &str| {
        json!({"platform": "javascript", "release": release, "exception": [{"type": "TypeError", "value": "order 17 is undefined", "stacktrace": {"frames": [
            {"abs_path": format!("https://shop.example/app.{release}.js"), "filename": "/app.js", "function": function, "lineno": 1, "colno": 71_234, "in_app": true},
        ]}}]})
    };

    let (one, other) = (grouped(&script("t", "1a")), grouped(&script("e", "2b")));

    assert_eq!(one.coarse, Some(CoarseReason::MinifiedJavaScript));
    assert_eq!(one.hashes, other.hashes);
    let bare = json!({"platform": "javascript", "exception": [{"type": "TypeError", "value": "order 99 is undefined"}]});
    assert_eq!(one.hashes, grouped(&bare).hashes);
}

#[test]
fn native_stacks_without_names_group_by_what_they_say() {
    let crash = |address: u32| {
        json!({"platform": "native", "level": "fatal", "exception": [{"type": "SIGSEGV", "value": format!("at {address:#010x}"), "stacktrace": {"frames": [
            {"instruction_addr": "0x1", "package": "/usr/lib/libc.so.6", "function": "__libc_start_main"},
            {"instruction_addr": format!("{address:#x}"), "package": "/opt/game/game", "in_app": true},
        ]}}]})
    };

    let (one, other) = (grouped(&crash(0x1234_5678)), grouped(&crash(0x9abc_def0)));

    assert_eq!(one.coarse, Some(CoarseReason::UnsymbolicatedNative));
    assert_eq!(one.hashes, other.hashes);
}

#[test]
fn obfuscated_classes_group_by_what_they_say() {
    let crash = |module: &str, function: &str| {
        json!({"platform": "java", "exception": [{"type": "IllegalStateException", "value": "cart 7 is closed", "stacktrace": {"frames": [
            {"module": "android.os.Looper", "function": "loop", "in_app": false},
            {"module": module, "function": function, "in_app": true},
        ]}}]})
    };

    let (one, other) = (grouped(&crash("a.b.c", "a")), grouped(&crash("b.a.d", "f")));

    assert_eq!(one.coarse, Some(CoarseReason::ObfuscatedJava));
    assert_eq!(one.hashes, other.hashes);
    assert_eq!(grouped(&crash("com.shop.Cart", "add")).coarse, None);
}

#[test]
fn a_fingerprint_does_not_depend_on_readable_names() {
    let event = json!({"platform": "native", "fingerprint": ["mine"], "exception": [{"type": "SIGSEGV", "stacktrace": {"frames": [{"in_app": true, "package": "/opt/x"}]}}]});

    assert_eq!(grouped(&event).coarse, None);
}

fn raised(frames: &Value) -> Value {
    json!({"platform": "python", "exception": {"values": [{"type": "E", "value": "v", "stacktrace": {"frames": frames}}]}})
}

fn frame(filename: &str, abs_path: &str, function: &str, in_app: bool) -> Value {
    json!({"filename": filename, "abs_path": abs_path, "function": function, "in_app": in_app})
}

fn grouped(event: &Value) -> Group {
    let body = event.to_string();
    let event = event::parse_event(body.as_bytes(), None).unwrap();
    group(&event, &Config::default())
}

/// Hands over the group, and the function of the crash frame.
fn with(event: &Value, rules: &str, check: impl Fn(&Group, Option<&str>)) {
    let body = event.to_string();
    let event = event::parse_event(body.as_bytes(), None).unwrap();
    let config = Config::default().with_enhancements(rules).unwrap();
    let group = group(&event, &config);
    let frames = crash_stack(&event).map(|stack| stack.frames.as_slice());
    let frame = group.crash_frame.and_then(|at| frames?.get(at));
    check(&group, frame.and_then(|frame| frame.function.as_deref()));
}

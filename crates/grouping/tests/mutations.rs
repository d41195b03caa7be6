//! What may change in an event without making it another issue, and what may not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use grouping::{Config, Group, group};
use serde_json::{Value, json};

#[test]
fn what_differs_from_event_to_event_keeps_the_issue() {
    let same: [Mutation; 13] = [
        ("line numbers", |event| {
            each_frame(event, |frame| frame["lineno"] = json!(4711))
        }),
        ("columns", |event| {
            each_frame(event, |frame| frame["colno"] = json!(17))
        }),
        ("digits in the message", |event| {
            exception(event)["value"] = json!("order 98765 is lost")
        }),
        ("message text, as there are frames", |event| {
            exception(event)["value"] = json!("something else")
        }),
        ("a library frame more", |event| {
            frames(event).insert(1, library_frame("retry"))
        }),
        ("another install directory", |event| {
            each_frame(event, |frame| {
                let path = frame["abs_path"]
                    .as_str()
                    .unwrap()
                    .replace("/srv/shop", "/home/blue/releases/7");
                frame["abs_path"] = json!(path);
            });
        }),
        ("deeper recursion", |event| {
            let frame = frames(event)[2].clone();
            frames(event).splice(2..2, std::iter::repeat_n(frame, 40));
        }),
        ("blanks in the source line", |event| {
            frames(event)[2]["context_line"] = json!("\t\tcharge(order,   amount)  ");
        }),
        ("variable values", |event| {
            frames(event)[2]["vars"] = json!({"amount": "1.50", "order": 3})
        }),
        ("another release", |event| {
            event["release"] = json!("shop@2.0.0")
        }),
        ("another user", |event| event["user"] = json!({"id": "2"})),
        ("another server, environment, tags and time", |event| {
            event["server_name"] = json!("web-9");
            event["environment"] = json!("staging");
            event["tags"] = json!({"zone": "eu-2"});
            event["timestamp"] = json!(1_700_000_000);
        }),
        ("a renamed library function", |event| {
            frames(event)[1]["function"] = json!("dispatch_v2")
        }),
    ];

    for (what, change) in same {
        assert!(
            is_same_issue(&event(), &changed(event(), change)),
            "{what} made another issue"
        );
    }
}

#[test]
fn what_tells_problems_apart_makes_another_issue() {
    let other: [Mutation; 7] = [
        ("another type", |event| {
            exception(event)["type"] = json!("KeyError")
        }),
        ("a renamed function", |event| {
            frames(event)[2]["function"] = json!("pay_later")
        }),
        ("another module", |event| {
            frames(event)[2]["module"] = json!("shop.refunds")
        }),
        ("another source line", |event| {
            frames(event)[2]["context_line"] = json!("refund(order)")
        }),
        ("another order of frames", |event| frames(event).swap(0, 2)),
        ("a frame of the application more", |event| {
            let mut frame = frames(event)[2].clone();
            frame["function"] = json!("charge");
            frames(event).push(frame);
        }),
        ("a cause", |event| {
            let cause =
                json!({"type": "OSError", "stacktrace": {"frames": [library_frame("dial")]}});
            event["exception"]["values"]
                .as_array_mut()
                .unwrap()
                .insert(0, cause);
        }),
    ];

    for (what, change) in other {
        assert!(
            !is_same_issue(&event(), &changed(event(), change)),
            "{what} kept the issue"
        );
    }
}

#[test]
fn without_frames_the_message_decides_but_not_its_numbers() {
    let bare = |value: &str| json!({"platform": "python", "exception": {"values": [{"type": "E", "value": value}]}});

    assert!(is_same_issue(
        &bare("order 17 is lost"),
        &bare("order 99 is lost")
    ));
    assert!(!is_same_issue(
        &bare("order 17 is lost"),
        &bare("order 17 is late")
    ));
}

#[test]
fn messages_group_by_template_if_there_is_one() {
    let message = |formatted: &str| json!({"logentry": {"message": "user %s failed", "params": ["x"], "formatted": formatted}});

    assert!(is_same_issue(
        &message("user ann failed"),
        &message("user bob failed")
    ));
    assert!(!is_same_issue(
        &json!({"message": "user ann failed"}),
        &json!({"message": "user bob failed"})
    ));
}

#[test]
fn a_stack_of_library_frames_alone_still_groups_by_its_frames() {
    let libraries = changed(event(), |event| {
        each_frame(event, |frame| frame["in_app"] = json!(false))
    });
    let renamed = changed(libraries.clone(), |event| {
        frames(event)[1]["function"] = json!("dispatch_v2")
    });

    assert!(is_same_issue(
        &libraries,
        &changed(libraries.clone(), |event| exception(event)["value"] =
            json!("x"))
    ));
    assert!(!is_same_issue(&libraries, &renamed));
}

#[test]
fn a_fingerprint_decides_before_anything_else() {
    let custom = |event: Value, fingerprint: Value| changed_to(event, "fingerprint", fingerprint);
    let unlike = json!({"platform": "go", "message": "unlike"});

    assert!(is_same_issue(
        &custom(event(), json!(["mine"])),
        &custom(unlike, json!(["mine"]))
    ));
    assert!(!is_same_issue(
        &event(),
        &custom(event(), json!(["{{ default }}", "zone-1"]))
    ));
    assert!(is_same_issue(
        &event(),
        &custom(event(), json!(["{{ default }}"]))
    ));
}

#[test]
fn minified_scripts_group_by_type_and_message_across_releases_and_say_so() {
    let minified = |file: &str, function: &str, value: &str| {
        let frame = json!({"function": function, "filename": file, "abs_path": file, "lineno": 1, "colno": 90_210, "in_app": true});
        json!({"platform": "javascript", "exception": {"values": [
            {"type": "TypeError", "value": value, "stacktrace": {"frames": [frame]}}]}})
    };
    let one = minified(
        "https://shop.example/app.1a2b.js",
        "t",
        "x is undefined at 17",
    );
    let two = minified(
        "https://shop.example/app.9f8e.js",
        "qe",
        "x is undefined at 99",
    );
    let other = minified(
        "https://shop.example/app.1a2b.js",
        "t",
        "y is undefined at 17",
    );

    assert!(is_same_issue(&one, &two));
    assert!(!is_same_issue(&one, &other));
    assert!(grouped(&one).is_coarse());
    assert!(!grouped(&event()).is_coarse());
}

/// What is changed, in words and in deed.
type Mutation = (&'static str, fn(&mut Value));

fn event() -> Value {
    let frame = |module: &str, function: &str, line: &str, in_app: bool| {
        let file = format!("{}.py", module.replace('.', "/"));
        json!({"module": module, "function": function, "filename": file, "abs_path": format!("/srv/shop/{file}"),
            "lineno": 12, "context_line": format!("    {line}"), "in_app": in_app, "vars": {"amount": "9.99"}})
    };
    json!({
        "event_id": "0123456789abcdef0123456789abcdef", "platform": "python", "release": "shop@1.0.0",
        "user": {"id": "1"},
        "exception": {"values": [{"type": "ValueError", "value": "order 12345 is lost", "stacktrace": {"frames": [
            frame("shop.views", "checkout", "return pay(order)", true),
            frame("framework.routing", "dispatch", "return view(request)", false),
            frame("shop.payment", "pay", "charge(order, amount)", true),
        ]}}]},
    })
}

fn library_frame(function: &str) -> Value {
    json!({"module": "framework.retry", "function": function, "filename": "retry.py", "in_app": false,
        "abs_path": "/srv/shop/framework/retry.py", "lineno": 3, "context_line": "return call()"})
}

fn exception(event: &mut Value) -> &mut Value {
    &mut event["exception"]["values"][0]
}

fn frames(event: &mut Value) -> &mut Vec<Value> {
    exception(event)["stacktrace"]["frames"]
        .as_array_mut()
        .unwrap()
}

fn each_frame(event: &mut Value, change: impl Fn(&mut Value)) {
    frames(event).iter_mut().for_each(change);
}

fn changed(mut event: Value, change: impl Fn(&mut Value)) -> Value {
    change(&mut event);
    event
}

fn changed_to(event: Value, key: &str, value: Value) -> Value {
    changed(event, |event| event[key] = value.clone())
}

/// Two events are one issue when they share any hash.
fn is_same_issue(one: &Value, other: &Value) -> bool {
    let (one, other) = (grouped(one), grouped(other));
    one.hashes.iter().any(|hash| other.hashes.contains(hash))
}

fn grouped(event: &Value) -> Group {
    let body = serde_json::to_vec(event).unwrap();
    let event = event::store::parse_event(&body, None).unwrap();
    group(&event, &Config::default())
}

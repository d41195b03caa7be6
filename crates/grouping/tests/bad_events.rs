//! Bad events from bytes to hashes: an error, or a group; never a panic, never more than is asked for.

use event::{EndpointKind, ParseError};
use grouping::{Config, Group, explain, group};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn odd_events_still_have_a_group() {
    for (what, body, title) in [
        ("nothing", "{}".to_owned(), "<unlabeled event>"),
        ("NaN", r#"{"message":"m","extra":{"x":NaN,"y":[-Infinity]}}"#.to_owned(), "m"),
        ("NaN as value", r#"{"exception":[{"type":"E","value":NaN}]}"#.to_owned(), "E"),
        ("a lone surrogate", r#"{"message":"a\ud83d"}"#.to_owned(), "a\u{fffd}"),
        ("a pair the wrong way round", r#"{"message":"\udca5\ud83d"}"#.to_owned(), "\u{fffd}\u{fffd}"),
        ("a name twice", r#"{"message":"first","message":"last"}"#.to_owned(), "last"),
        (
            "frames twice",
            r#"{"exception":[{"type":"E","stacktrace":{"frames":[{"function":"a"}],"frames":[{"function":"b"}]}}]}"#.to_owned(),
            "E",
        ),
        ("nulls everywhere", r#"{"exception":{"values":[null,{"type":null,"value":null,"stacktrace":{"frames":[null,{}]}}]},"tags":[null],"fingerprint":[null]}"#.to_owned(), "Error"),
        ("numbers for texts", r#"{"exception":[{"type":7,"value":8,"stacktrace":{"frames":[{"function":1,"module":2,"filename":3,"lineno":"x"}]}}]}"#.to_owned(), "7: 8"),
        ("a NUL", r#"{"message":"\u0000"}"#.to_owned(), "\0"),
        ("a huge number", r#"{"message":"m","timestamp":1e400}"#.to_owned(), "<none>"),
    ] {
        match grouped(body.as_bytes()) {
            Ok(found) => assert_eq!(found.title, title, "{what}"),
            Err(reason) => assert_eq!((reason, title), ("invalid_json", "<none>"), "{what}"),
        }
    }
}

#[test]
fn depth_costs_nothing_but_the_value_that_has_it() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for value in [&deep, &deep_object] {
        for name in [
            "extra",
            "message",
            "tags",
            "fingerprint",
            "stacktrace",
            "threads",
            "user",
        ] {
            let body = format!(r#"{{"exception":[{{"type":"E"}}],"{name}":{value}}}"#);
            assert_eq!(grouped(body.as_bytes()).unwrap().title, "E", "{name}");
        }
        let vars = format!(
            r#"{{"exception":[{{"type":"E","stacktrace":{{"frames":[{{"function":"f","vars":{value},"in_app":true}}]}}}}]}}"#
        );
        let plain = r#"{"exception":[{"type":"E","stacktrace":{"frames":[{"function":"f","in_app":true}]}}]}"#;
        assert_eq!(
            grouped(vars.as_bytes()).unwrap().hashes,
            grouped(plain.as_bytes()).unwrap().hashes
        );
    }
    assert!(grouped(deep.as_bytes()).is_err());
    assert!(grouped(&deep.as_bytes()[..50_000]).is_err());
}

#[test]
fn a_text_of_a_hundred_megabytes_is_cut() {
    let long = "x".repeat(100 << 20);
    for body in [
        format!(r#"{{"message":"{long}"}}"#),
        format!(r#"{{"exception":[{{"type":"E","value":"{long}"}}]}}"#),
        format!(
            r#"{{"exception":[{{"type":"E","value":"v","stacktrace":{{"frames":[{{"function":"{long}"}}]}}}}],"platform":"native"}}"#
        ),
    ] {
        let found = grouped(body.as_bytes()).unwrap();

        assert!(found.title.len() < 1000, "{}", found.title.len());
        assert!(found.culprit.len() < 1000, "{}", found.culprit.len());
    }
}

#[test]
fn a_stack_keeps_both_of_its_ends() {
    let frames: Vec<_> = (0..50_000)
        .map(|number| json!({"function": format!("f{number}"), "module": "m", "in_app": true}))
        .collect();
    let body = json!({"platform": "python", "exception": [{"type": "E", "stacktrace": {"frames": frames}}]});

    let found = grouped(body.to_string().as_bytes()).unwrap();

    assert_eq!(found.culprit, "m in f49999");
}

#[test]
fn an_exception_of_nothing_but_nonsense_falls_back() {
    let body = r#"{"exception":[{"module":"m"}]}"#;

    let found = grouped(body.as_bytes()).unwrap();

    assert_eq!(found.hashes, ["d41d8cd98f00b204e9800998ecf8427e"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A sound event with some bytes changed, cut off or put in.
    #[test]
    fn mutated_events_are_grouped_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        inserted in "(NaN|\\\\ud83d|\"|\\{|\\}|\\[|\\]|,|:|null|1e999|\\u{0}|\u{fffd}){0,4}",
        at in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut body = sound().to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let at = at.index(body.len());
        body.splice(at..at, inserted.bytes());
        if is_cut {
            body.truncate(end.index(body.len()));
        }
        for kind in [EndpointKind::Store, EndpointKind::Envelope, EndpointKind::Security, EndpointKind::Cron, EndpointKind::Minidump] {
            if let Ok(parsed) = event::parse_body(&body, kind) {
                for event in &parsed.events {
                    let found = group(event, &Config::default());
                    prop_assert!(found.hashes.iter().all(|hash| hash.len() == 32));
                    prop_assert_eq!(&found.hashes, &explain(event, &Config::default()).hashes);
                }
            }
        }
    }
}

fn sound() -> serde_json::Value {
    json!({
        "platform": "native", "level": "fatal", "message": "order 17 lost", "tags": {"a": "b"}, "fingerprint": ["{{ default }}", "{{ tags.a }}"],
        "exception": {"values": [
            {"type": "Inner", "value": "at 10.0.0.1:80", "mechanism": {"exception_id": 1, "parent_id": 0}, "stacktrace": {"frames": [
                {"function": "std::vector<int>::at(unsigned long)", "package": "/usr/lib/libstdc++.so.6", "instruction_addr": "0x1"},
                {"function": "app::run()", "filename": "run.cc", "abs_path": "/src/run.cc", "lineno": 7, "in_app": true},
            ]}},
            {"type": "Outer", "value": "id 7c1811ed-e98f-4c9c-a9f9-58c757ff494f", "mechanism": {"exception_id": 0, "is_exception_group": true}},
        ]},
        "threads": {"values": [{"id": 1, "crashed": true, "stacktrace": {"frames": [{"function": "main"}]}}]},
    })
}

fn grouped(body: &[u8]) -> Result<Group, &'static str> {
    let event = event::parse_event(body, None).map_err(|error: ParseError| error.reason())?;
    let found = group(&event, &Config::default());
    assert!(found.hashes.iter().all(|hash| hash.len() == 32));
    Ok(found)
}

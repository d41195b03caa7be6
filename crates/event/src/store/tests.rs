//! How events in every shape that SDKs send are read.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::model::Exception;

const ID: &str = "9ec79c33ec9942ab8353589fcb2e04dc";

fn read(body: &str) -> Event<'_> {
    parse_event(body.as_bytes(), None).unwrap()
}

fn is_borrowed(text: &Option<Text<'_>>) -> bool {
    matches!(text, Some(Cow::Borrowed(_)))
}

#[test]
fn reads_every_field() {
    let event = read(
        r#"{"event_id":"9ec79c33-ec99-42ab-8353-589fcb2e04dc","level":"fatal","timestamp":1795426714.5,"platform":"python",
            "title":"t","culprit":"c","transaction":"/pay","logger":"l","release":"shop@1","dist":"7","environment":"prod",
            "server_name":"web-1","checksum":"cs","fingerprint":["{{ default }}",7,true,null,[1]],"sdk":{"name":"sentry.python","version":"2"},
            "user":{"id":7,"username":"u","email":"e","ip_address":"1.2.3.4","geo":{"city":"x"}},
            "request":{"url":"http://h/p?token=x#f","method":"post","headers":[["a","b"]]},
            "contexts":{"os":{"name":"Linux"},"trace":{"trace_id":"abc","span_id":"d"}},
            "template":{"filename":"a.html","context_line":"{{ x }}","lineno":3},
            "extra":{"deep":[[[{"a":1}]]]},"modules":{"a":"1"},"breadcrumbs":{"values":[]},"_meta":{}}"#,
    );

    assert_eq!(event.id.unwrap().to_string(), ID);
    assert_eq!(event.level, Level::Fatal);
    assert_eq!(
        event.timestamp,
        Some(UNIX_EPOCH + Duration::from_millis(1_795_426_714_500))
    );
    assert_eq!(event.platform, "python");
    for (text, expected) in [
        (&event.title, "t"),
        (&event.culprit, "c"),
        (&event.transaction, "/pay"),
        (&event.logger, "l"),
        (&event.release, "shop@1"),
        (&event.dist, "7"),
        (&event.environment, "prod"),
        (&event.server_name, "web-1"),
        (&event.checksum, "cs"),
        (&event.trace_id, "abc"),
    ] {
        assert_eq!(text.as_deref(), Some(expected));
        assert!(is_borrowed(text), "{expected}");
    }
    assert_eq!(event.fingerprint, ["{{ default }}", "7", "True"]);
    let sdk = event.sdk.unwrap();
    assert_eq!(
        (sdk.name.as_deref(), sdk.version.as_deref()),
        (Some("sentry.python"), Some("2"))
    );
    let user = event.user.unwrap();
    assert_eq!(
        (user.id.as_deref(), user.username.as_deref()),
        (Some("7"), Some("u"))
    );
    assert_eq!(
        (user.email.as_deref(), user.ip_address.as_deref()),
        (Some("e"), Some("1.2.3.4"))
    );
    let request = event.request.unwrap();
    assert_eq!(
        (request.url.as_deref(), request.method.as_deref()),
        (Some("http://h/p"), Some("POST"))
    );
    let template = event.template.unwrap();
    assert_eq!(
        (
            template.filename.as_deref(),
            template.context_line.as_deref()
        ),
        (Some("a.html"), Some("{{ x }}"))
    );
}

#[test]
fn takes_the_envelopes_id_where_the_event_has_none() {
    let header_id = EventId::parse(ID);
    let id = |body: &str| {
        parse_event(body.as_bytes(), header_id)
            .unwrap()
            .id
            .unwrap()
            .to_string()
    };

    assert_eq!(id("{}"), ID);
    assert_eq!(id(r#"{"event_id":null}"#), ID);
    assert_eq!(id(r#"{"event_id":"nonsense"}"#), ID);
    assert_eq!(
        id(&format!(r#"{{"event_id":"{}"}}"#, "a".repeat(32))),
        "a".repeat(32)
    );
}

#[test]
fn reads_levels_as_sentry_does() {
    for (level, expected) in [
        (r#""debug""#, Level::Debug),
        (r#""info""#, Level::Info),
        (r#""log""#, Level::Info),
        (r#""warning""#, Level::Warning),
        (r#""error""#, Level::Error),
        (r#""fatal""#, Level::Fatal),
        (r#""critical""#, Level::Fatal),
        ("10", Level::Debug),
        ("30", Level::Warning),
        ("50", Level::Fatal),
        (r#""warn""#, Level::Error),
        (r#""INFO""#, Level::Error),
        ("35", Level::Error),
        ("-1", Level::Error),
        ("20.5", Level::Error),
        ("null", Level::Error),
        ("true", Level::Error),
        ("{}", Level::Error),
        (r#"["info"]"#, Level::Error),
    ] {
        assert_eq!(
            read(&format!(r#"{{"level":{level}}}"#)).level,
            expected,
            "{level}"
        );
    }
    assert_eq!(read("{}").level, Level::Error);
    assert_eq!(read(r#"{"type":"transaction"}"#).level, Level::Info);
}

#[test]
fn infers_what_an_event_is() {
    let exception = r#""exception":[{"type":"E"}]"#;
    for (fields, expected) in [
        ("", EventKind::Default),
        (r#""type":"error""#, EventKind::Default),
        (
            r#""message":"x","exception":{"values":[]}"#,
            EventKind::Default,
        ),
        (exception, EventKind::Error),
        (
            r#""type":"default","exception":[{"type":"E"}]"#,
            EventKind::Error,
        ),
        (
            r#""type":"transaction","exception":[{"type":"E"}]"#,
            EventKind::Transaction,
        ),
        (r#""type":"feedback""#, EventKind::Feedback),
        (r#""type":"userreportv2""#, EventKind::Feedback),
        (r#""csp":{"effective_directive":"img-src"}"#, EventKind::Csp),
        (r#""hpkp":{"hostname":"h"}"#, EventKind::Security),
        (r#""expectct":{"hostname":"h"}"#, EventKind::Security),
        (r#""expectstaple":{"hostname":"h"}"#, EventKind::Security),
    ] {
        assert_eq!(read(&format!("{{{fields}}}")).kind, expected, "{fields}");
    }
}

#[test]
fn reads_exceptions_in_every_shape() {
    let types = |body: &str| {
        let event = read(body);
        let types = event
            .exceptions
            .iter()
            .map(|exception| exception.ty.as_deref().unwrap_or("-").to_owned());
        types.collect::<Vec<_>>().join(",")
    };
    for (exception, expected) in [
        (r#"{"values":[{"type":"A"},{"type":"B"}]}"#, "A,B"),
        (r#"[{"type":"A"},{"type":"B"}]"#, "A,B"),
        (r#"{"type":"A","value":"v"}"#, "A"),
        (r#"{"values":[null,{"type":"A"},null,{},"x",7,[]]}"#, "A"),
        (r#"{"values":{"type":"A"}}"#, ""),
        (r#"{"values":[{"value":"only a value"}]}"#, "-"),
        (
            r#"{"values":[{"stacktrace":{"frames":[{"function":"f"}]}}]}"#,
            "-",
        ),
        (r#"{"values":[{"stacktrace":{"frames":[]}}]}"#, ""),
        (r#"{"values":null}"#, ""),
        ("null", ""),
        ("{}", ""),
        ("[]", ""),
        (r#""boom""#, ""),
        ("7", ""),
    ] {
        for name in ["exception", "sentry.interfaces.Exception"] {
            assert_eq!(
                types(&format!(r#"{{"{name}":{exception}}}"#)),
                expected,
                "{exception}"
            );
        }
    }
}

fn only_exception(exception: &str) -> (Option<String>, Option<String>) {
    let body = format!(r#"{{"exception":[{exception}]}}"#);
    let event = read(&body);
    let Exception { ty, value, .. } = event.exceptions[0].clone();
    (ty.map(Cow::into_owned), value.map(Cow::into_owned))
}

#[test]
fn splits_a_type_off_a_value_of_one_line() {
    for (value, ty, rest) in [
        ("TypeError: x is null", Some("TypeError"), Some("x is null")),
        ("Ошибка: да", Some("Ошибка"), Some("да")),
        ("E:", Some("E"), None),
        ("not a type: x", None, Some("not a type: x")),
        (": x", None, Some(": x")),
        ("E: a\\nb", None, Some("E: a\nb")),
        ("caf\\u00e9: x", Some("café"), Some("x")),
    ] {
        let found = only_exception(&format!(r#"{{"value":"{value}","module":"m"}}"#));
        assert_eq!(
            found,
            (ty.map(str::to_owned), rest.map(str::to_owned)),
            "{value}"
        );
    }
    let typed = only_exception(r#"{"type":"A","value":"B: c"}"#);
    assert_eq!(typed, (Some("A".to_owned()), Some("B: c".to_owned())));
}

#[test]
fn keeps_values_that_are_no_strings_as_their_json() {
    for (value, expected) in [
        (
            r#"{"b":1,"a":[true,null,"x\"",1.0,-2,18446744073709551615]}"#,
            r#"{"a":[true,null,"x\"",1.0,-2,18446744073709551615],"b":1}"#,
        ),
        ("[ ]", "[]"),
        ("{ }", "{}"),
        ("1.0", "1.0"),
        ("7", "7"),
        ("false", "false"),
    ] {
        let (_, found) = only_exception(&format!(r#"{{"type":"E","value":{value}}}"#));
        assert_eq!(found.as_deref(), Some(expected));
    }
    assert_eq!(only_exception(r#"{"type":"E","value":null}"#).1, None);
    assert_eq!(only_exception(r#"{"type":"E","value":""}"#).1, None);
}

#[test]
fn reads_mechanisms() {
    let event = read(
        r#"{"exception":[{"type":"E","mechanism":{"type":"onerror","handled":false,"synthetic":true,"exception_id":1,
            "parent_id":0,"is_exception_group":true,"source":"cause","meta":{"ns_error":{"domain":"d","code":-9}}}},
            {"type":"F","mechanism":null},{"type":"G","mechanism":{"handled":"no","exception_id":"x","meta":[]}}]}"#,
    );

    let [full, none, wrong] = event.exceptions.as_slice() else {
        panic!()
    };

    assert_eq!(full.mechanism.ty.as_deref(), Some("onerror"));
    assert_eq!(
        (full.mechanism.handled, full.mechanism.synthetic),
        (Some(false), true)
    );
    assert_eq!(
        (full.mechanism.exception_id, full.mechanism.parent_id),
        (Some(1), Some(0))
    );
    assert!(full.mechanism.is_exception_group);
    assert_eq!(full.mechanism.source.as_deref(), Some("cause"));
    assert_eq!(full.mechanism.ns_error, Some((Some("d".into()), Some(-9))));
    for unknown in [none, wrong] {
        assert_eq!(
            (unknown.mechanism.handled, unknown.mechanism.synthetic),
            (None, false)
        );
        assert_eq!(
            (unknown.mechanism.exception_id, &unknown.mechanism.ns_error),
            (None, &None)
        );
    }
}

#[test]
fn reads_and_completes_frames() {
    let event = read(
        r#"{"stacktrace":{"frames":[null,
            {"function":"f","raw_function":"f()","module":"m","filename":"a.py","abs_path":"/srv/a.py","package":"p","platform":"c",
             "context_line":"  x = 1","lineno":3,"colno":"4","in_app":true,"data":{"sourcemap":"a.map"},"vars":{"x":[1]}},
            {"function":"?","filename":"http://h:1/static/app.js?v=1#x","lineno":-1,"in_app":"yes","data":{}},
            {"abs_path":"https://h","function":""},
            {"abs_path":"C:\\x\\y.cs"},
            {}]}}"#,
    );
    let stack = event.stacktrace.unwrap();
    let [full, url, host, windows, empty] = stack.frames.as_slice() else {
        panic!()
    };

    for (text, expected) in [
        (&full.function, "f"),
        (&full.raw_function, "f()"),
        (&full.module, "m"),
        (&full.filename, "a.py"),
        (&full.abs_path, "/srv/a.py"),
        (&full.package, "p"),
        (&full.platform, "c"),
        (&full.context_line, "  x = 1"),
    ] {
        assert_eq!(text.as_deref(), Some(expected));
    }
    assert_eq!(
        (full.lineno, full.colno, full.in_app, full.has_sourcemap),
        (Some(3), Some(4), Some(true), true)
    );
    assert_eq!(
        (&url.function, url.lineno, url.in_app, url.has_sourcemap),
        (&None, None, None, false)
    );
    assert_eq!(
        url.abs_path.as_deref(),
        Some("http://h:1/static/app.js?v=1#x")
    );
    assert_eq!(url.filename.as_deref(), Some("/static/app.js"));
    assert_eq!(
        (host.filename.as_deref(), &host.function),
        (Some("https://h"), &None)
    );
    assert_eq!(windows.filename.as_deref(), Some("C:\\x\\y.cs"));
    assert_eq!((&empty.filename, &empty.abs_path), (&None, &None));
}

#[test]
fn moves_the_stack_to_the_only_exception() {
    let stack = r#""stacktrace":{"frames":[{"function":"f"}]}"#;
    let has_stacks = |body: &str| {
        let event = read(body);
        let of_exceptions = event
            .exceptions
            .iter()
            .map(|exception| exception.stacktrace.is_some());
        (
            event.stacktrace.is_some(),
            of_exceptions.collect::<Vec<_>>(),
        )
    };

    assert_eq!(
        has_stacks(&format!(r#"{{{stack},"exception":[{{"type":"E"}}]}}"#)),
        (false, vec![true])
    );
    assert_eq!(
        has_stacks(&format!(
            r#"{{{stack},"exception":[{{"type":"E",{stack}}}]}}"#
        )),
        (true, vec![true])
    );
    assert_eq!(
        has_stacks(&format!(
            r#"{{{stack},"exception":[{{"type":"E"}},{{"type":"F"}}]}}"#
        )),
        (true, vec![false, false])
    );
    assert_eq!(has_stacks(&format!("{{{stack}}}")), (true, vec![]));
}

#[test]
fn reads_threads_in_both_shapes() {
    let list = r#"[{"id":42,"name":"main","crashed":true,"current":false,"stacktrace":{"frames":[{"function":"f"}]}},null]"#;
    for threads in [list.to_owned(), format!(r#"{{"values":{list}}}"#)] {
        let body = format!(r#"{{"threads":{threads}}}"#);
        let event = read(&body);
        let [thread] = event.threads.as_slice() else {
            panic!("{threads}")
        };
        assert_eq!(
            (thread.id.as_deref(), thread.name.as_deref()),
            (Some("42"), Some("main"))
        );
        assert!(thread.crashed && !thread.current && thread.stacktrace.is_some());
    }
}

#[test]
fn reads_messages_in_every_shape() {
    let entry = |fields: &str| {
        let body = format!("{{{fields}}}");
        let entry = read(&body).logentry?;
        let owned = |text: Option<Text<'_>>| text.map(Cow::into_owned).unwrap_or_default();
        let params = entry.params.join("|");
        Some(format!(
            "{}/{}/{params}",
            owned(entry.message),
            owned(entry.formatted)
        ))
    };
    for (fields, expected) in [
        (r#""message":"m""#, Some("m//")),
        (r#""message":{"formatted":"f"}"#, Some("/f/")),
        (
            r#""logentry":{"message":"%s %s","params":["a",1]}"#,
            Some("%s %s//a|1"),
        ),
        (
            r#""logentry":{"message":"%s","formatted":"a","params":["a"]}"#,
            Some("%s/a/a"),
        ),
        (r#""logentry":"m""#, Some("m//")),
        (
            r#""sentry.interfaces.Message":{"message":"m","params":[],"formatted":null},"message":"m""#,
            Some("m//"),
        ),
        (
            r#""message":"hi bob","sentry.interfaces.Message":{"message":"hi %s","params":["bob"]}"#,
            Some("hi %s/hi bob/bob"),
        ),
        (
            r#""logentry":{"message":"m","params":["message",[],null,{"a":1}]}"#,
            Some(r#"m//message|[]|null|{"a":1}"#),
        ),
        (
            r#""logentry":{"message":"m","params":{"name":"x"}}"#,
            Some("m//"),
        ),
        (r#""logentry":{"message":{"a":1}}"#, Some(r#"{"a":1}//"#)),
        (r#""message":"","logentry":{"message":""}"#, None),
        (r#""message":null"#, None),
        (r#""message":[1]"#, None),
    ] {
        assert_eq!(entry(fields).as_deref(), expected, "{fields}");
    }
}

#[test]
fn reads_tags_as_map_and_as_pairs() {
    let tags = |tags: &str| {
        let body = format!(r#"{{"tags":{tags}}}"#);
        let pairs = read(&body).tags;
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (sent, expected) in [
        (
            r#"{"a":"1","b":2,"c":true,"d":null,"e":"","":"x","f":{},"g":["x"]}"#,
            "a=1 b=2 c=True",
        ),
        (
            r#"[["a","1"],["b",2],null,["c",null],["d"],[],["e","f","g"],"h",[null,"i"]]"#,
            "a=1 b=2 e=f",
        ),
        ("null", ""),
        (r#""a=b""#, ""),
    ] {
        assert_eq!(tags(sent), expected);
    }
}

#[test]
fn takes_the_environment_from_its_tag() {
    let environment = |body: &str| read(body).environment.map(Cow::into_owned);

    assert_eq!(
        environment(r#"{"tags":{"environment":"qa"}}"#).as_deref(),
        Some("qa")
    );
    assert_eq!(
        environment(r#"{"environment":" ","tags":[["environment","qa"]]}"#).as_deref(),
        Some("qa")
    );
    assert_eq!(
        environment(r#"{"environment":" prod ","tags":{"environment":"qa"}}"#).as_deref(),
        Some("prod")
    );
    assert_eq!(environment("{}"), None);
}

#[test]
fn the_last_of_equal_keys_wins() {
    let event = read(r#"{"level":"info","release":"1","level":"fatal","release":"2"}"#);

    assert_eq!(
        (event.level, event.release.as_deref()),
        (Level::Fatal, Some("2"))
    );
}

#[test]
fn repairs_what_is_almost_json() {
    for (body, message) in [
        (&b"\xef\xbb\xbf{\"message\":\"m\"}"[..], "m"),
        (b"{\"extra\":NaN,\"message\":\"m\",\"x\":[-Infinity]}", "m"),
        (br#"{"message":"cut \ud83d"}"#, "cut \u{fffd}"),
        (br#"{"message":"\ud83d\udca5 \u0000"}"#, "\u{1f4a5} \0"),
        (br#"{"extra":{"\ud83d":"\udca5"},"message":"m"}"#, "m"),
        (b"{\"message\":\"caf\xe9\"}", "caf\u{fffd}"),
        (b" {\"message\":\"m\"} \n", "m"),
    ] {
        let event = parse_event(body, None).unwrap();
        let found = event.logentry.unwrap().message.unwrap().into_owned();
        assert_eq!(found, message);
    }
}

#[test]
fn refuses_what_is_no_object() {
    for body in [
        "",
        " ",
        "{",
        "{\"a\":}",
        "{}x",
        "{}{}",
        "{\"a\":\"",
        "nul",
        "\u{1}",
        "{'a':1}",
    ] {
        let fault = parse_event(body.as_bytes(), None).unwrap_err();
        assert_eq!(fault.reason(), "invalid_json", "{body}");
    }
    for body in ["[]", "null", "7", "\"x\"", "true", "[{\"message\":\"m\"}]"] {
        let fault = parse_event(body.as_bytes(), None).unwrap_err();
        assert_eq!(fault.reason(), "not_an_object", "{body}");
    }
}

#[test]
fn one_wrong_type_never_costs_the_event() {
    let fields = [
        "event_id",
        "type",
        "level",
        "platform",
        "timestamp",
        "title",
        "culprit",
        "transaction",
        "logger",
        "release",
        "dist",
        "environment",
        "server_name",
        "checksum",
        "fingerprint",
        "tags",
        "message",
        "logentry",
        "exception",
        "stacktrace",
        "threads",
        "template",
        "user",
        "request",
        "sdk",
        "contexts",
        "csp",
        "hpkp",
        "expectct",
    ];
    let wrong = [
        "null",
        "true",
        "-1",
        "1e300",
        "\"\"",
        "\"x\"",
        "[]",
        "[[]]",
        "[null]",
        "[1,\"a\",{}]",
        "{}",
        "{\"values\":7}",
        "{\"values\":[[]]}",
        "{\"frames\":{\"a\":1}}",
        "{\"type\":[],\"value\":{},\"trace\":[]}",
    ];
    for field in fields {
        for value in wrong {
            let body = format!(r#"{{"{field}":{value},"extra":1}}"#);
            parse_event(body.as_bytes(), None).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        }
    }
}

#[test]
fn keeps_both_ends_of_lists_that_are_too_long() {
    let numbered = |count: usize, name: &str| {
        let items: Vec<_> = (0..count)
            .map(|n| format!(r#"{{"{name}":"n{n}"}}"#))
            .collect();
        format!("[{}]", items.join(","))
    };
    let frames = format!(
        r#"{{"stacktrace":{{"frames":{}}}}}"#,
        numbered(5000, "function")
    );
    let exceptions = format!(r#"{{"exception":{}}}"#, numbered(500, "type"));

    let stack = read(&frames).stacktrace.unwrap();
    let event = read(&exceptions);

    let functions: Vec<_> = stack
        .frames
        .iter()
        .map(|frame| frame.function.as_deref().unwrap())
        .collect();
    assert_eq!(functions.len(), 2000);
    assert_eq!(
        (
            functions[0],
            functions[999],
            functions[1000],
            functions[1999]
        ),
        ("n0", "n999", "n4000", "n4999")
    );
    assert_eq!(event.exceptions.len(), 100);
    assert_eq!(event.exceptions[99].ty.as_deref(), Some("n499"));
}

#[test]
fn bounds_the_frames_of_all_exceptions_and_threads_together() {
    let frames = vec!["{}"; 2000].join(",");
    let exception = format!(r#"{{"type":"E","stacktrace":{{"frames":[{frames}]}}}}"#);
    let all = vec![exception; 50].join(",");
    let body = format!(r#"{{"exception":[{all}],"threads":[{all}]}}"#);

    let event = read(&body);

    let of_exceptions: usize = event
        .exceptions
        .iter()
        .filter_map(|e| e.stacktrace.as_ref())
        .map(|s| s.frames.len())
        .sum();
    let of_threads: usize = event
        .threads
        .iter()
        .filter_map(|t| t.stacktrace.as_ref())
        .map(|s| s.frames.len())
        .sum();
    assert!((4000..=10_000).contains(&of_exceptions), "{of_exceptions}");
    assert!((4000..=10_000).contains(&of_threads), "{of_threads}");
}

#[test]
fn bounds_tags_fingerprints_and_texts() {
    let pairs: Vec<_> = (0..100_000).map(|n| format!(r#""k{n}":"v""#)).collect();
    let parts = vec!["\"p\""; 10_000].join(",");
    let long = "é".repeat(1 << 20);
    let body = format!(
        r#"{{"tags":{{{}}},"fingerprint":[{parts}],"message":"{long}","release":"{long}\n"}}"#,
        pairs.join(",")
    );

    let event = read(&body);

    assert_eq!((event.tags.len(), event.fingerprint.len()), (200, 100));
    let message = event.logentry.unwrap().message.unwrap();
    assert_eq!(message.len(), 16 << 10);
    assert_eq!(event.release.unwrap().len(), 16 << 10);
}

#[test]
fn survives_nesting_of_any_depth() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for field in [
        "extra",
        "level",
        "release",
        "tags",
        "message",
        "logentry",
        "user",
        "fingerprint",
        "contexts",
        "exception",
        "stacktrace",
    ] {
        for value in [&deep, &deep_object] {
            let body = format!(r#"{{"{field}":{value},"dist":"d"}}"#);
            let event = read(&body);
            assert_eq!(event.dist.as_deref(), Some("d"), "{field}");
        }
    }
    let value = format!(r#"{{"exception":[{{"type":"E","value":{deep}}}]}}"#);
    assert_eq!(
        read(&value).exceptions[0].value.as_deref(),
        Some("[[[[[[[[[null]]]]]]]]]")
    );
    let values = format!(
        r#"{{"exception":{}1{},"dist":"d"}}"#,
        r#"{"values":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    assert_eq!(read(&values).dist.as_deref(), Some("d"));
}

fn json(depth: u32) -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "exception",
        "values",
        "type",
        "value",
        "stacktrace",
        "frames",
        "mechanism",
        "meta",
        "ns_error",
        "threads",
        "tags",
        "message",
        "logentry",
        "params",
        "user",
        "id",
        "request",
        "url",
        "contexts",
        "trace",
        "level",
        "timestamp",
        "csp",
    ]);
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1.5e3",
        "\"\"",
        "\"x: y\"",
        "\"\\ud83d\"",
        "\"http://h/p?q\"",
        "NaN",
        "[]",
        "{}",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(depth, 64, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((name.clone(), inner), 0..5).prop_map(|fields| {
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
}

proptest! {
    #[test]
    fn any_object_reads_as_an_event(value in json(6)) {
        let body = format!(r#"{{"exception":{value},"tags":{value},"logentry":{value},"threads":{value},"user":{value},"csp":{value}}}"#);
        let event = parse_event(body.as_bytes(), None).unwrap();
        let _ = (crate::title::title(&event), crate::title::culprit(&event), crate::title::location(&event));
    }

    #[test]
    fn repaired_and_plain_bodies_read_alike(value in json(5)) {
        let plain = format!(r#"{{"exception":{value},"request":{value},"message":{value}}}"#).replace("NaN", "null").replace("\\ud83d", "\\ufffd");
        let odd = plain.replacen('{', r#"{"extra":NaN,"#, 1);
        let (plain, odd) = (parse_event(plain.as_bytes(), None).unwrap(), parse_event(odd.as_bytes(), None).unwrap());
        prop_assert_eq!(format!("{plain:?}"), format!("{odd:?}"));
    }

    #[test]
    fn never_panics_on_mutated_events(value in json(4), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..5)) {
        let mut body = format!(r#"{{"exception":{value},"tags":{value}}}"#).into_bytes();
        for (at, byte) in flips {
            let length = body.len();
            body[at % length] = byte;
        }
        let _ = parse_event(&body, None);
    }
}

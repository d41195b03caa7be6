//! Whatever an event holds: grouping ends, does not panic, and gives the same well-formed hashes every time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use event::model::{
    Event, Exception, Frame, LogEntry, Mechanism, SecurityReport, Stacktrace, Thread,
};
use grouping::{Config, explain, group, normalize_message};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_event_gets_well_formed_hashes_and_the_same_again(event in events()) {
        let config = config();

        let found = group(&event, &config);

        prop_assert!(!found.hashes.is_empty());
        for hash in &found.hashes {
            prop_assert!(hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        }
        prop_assert_eq!(&found, &group(&event, &config));
    }

    #[test]
    fn the_explanation_has_the_hashes_of_the_group(event in events()) {
        let config = config();

        let explanation = explain(&event, &config);

        prop_assert_eq!(&explanation.hashes, &group(&event, &config).hashes);
        prop_assert!(explanation.to_string().starts_with("grouped by "));
    }

    #[test]
    fn normalising_a_message_twice_changes_no_more_than_once(message in "[a-z0-9 .:/@=-]{0,80}") {
        let once = normalize_message(&message).into_owned();

        prop_assert!(once.len() <= message.len() * 16 + 3);
    }

    #[test]
    fn any_text_of_rules_is_read_or_refused(text in "([a-z.]{1,9}:[^\\n]{0,12}| \\| | -app| category=x|\\[|\\]|\\n|->|\"){0,30}") {
        let _ = Config::default().with_enhancements(&text);
        let _ = Config::default().with_fingerprints(&text);
    }
}

#[test]
fn ten_thousand_frames_take_no_longer_than_their_number_asks() {
    for platform in ["python", "javascript", "native", "java"] {
        let frames = (0..10_000).map(|number| frame(platform, number)).collect();
        let exception = Exception {
            ty: Some("E".into()),
            stacktrace: Some(Stacktrace { frames }),
            ..Exception::default()
        };
        let event = Event {
            platform: platform.into(),
            exceptions: vec![exception],
            ..Event::default()
        };

        let start = Instant::now();
        let found = group(&event, &config());

        assert!(!found.hashes.is_empty());
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{platform}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn hostile_messages_take_no_longer_than_their_length_asks() {
    let units = [
        "a.",
        "a-",
        "1.",
        "1:",
        "a:a",
        "='",
        "datetime.datetime(",
        "http",
        "a@",
        "0x",
        "f-",
        "\u{e9}a",
        "1-",
    ];
    for unit in units {
        let message = unit.repeat(8192 / unit.chars().count());

        let start = Instant::now();
        let found = normalize_message(&message);

        assert!(!found.is_empty());
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{unit}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn hostile_function_names_end() {
    for unit in [
        "<",
        "(",
        "{lambda(",
        "operator<",
        "<T as ",
        "a::",
        "`anonymous namespace'",
        "@",
        "[clone ",
    ] {
        let name = unit.repeat(16_384 / unit.len());
        let frame = Frame {
            function: Some(name.into()),
            in_app: Some(true),
            ..Frame::default()
        };
        let stacktrace = Stacktrace {
            frames: vec![frame],
        };
        let event = Event {
            platform: "native".into(),
            stacktrace: Some(stacktrace),
            ..Event::default()
        };

        assert!(!group(&event, &Config::default()).hashes.is_empty());
    }
}

fn frame(platform: &str, number: usize) -> Frame<'static> {
    Frame {
        module: (platform != "native").then(|| format!("shop.mod{}.views", number % 97).into()),
        function: Some(format!("std::handle<int>::run_{}", number % 89).into()),
        abs_path: Some(format!("/srv/Shop/mod{}/views.py", number % 97).into()),
        package: (platform == "native").then(|| "/usr/lib/libshop.dylib".into()),
        in_app: Some(number.is_multiple_of(2)),
        ..Frame::default()
    }
}

fn config() -> Config {
    let enhancements = "function:a* -app ^-group\n[ module:b* ] | path:**/c/** +app v+group\nfamily:all max-frames=7\n\
                        category:std min-frames=2\n!app:yes category=mine\ncategory:mine | [ category:mine ] +group";
    let fingerprints = "error.type:a* !message:*b* -> x, {{ default }} title=\"{{ message }}\"\nfunction:c -> {{ function }}";
    Config::default()
        .with_enhancements(enhancements)
        .unwrap()
        .with_fingerprints(fingerprints)
        .unwrap()
}

fn events() -> impl Strategy<Value = Event<'static>> {
    let platform = prop::sample::select(vec![
        "python",
        "javascript",
        "node",
        "native",
        "cocoa",
        "java",
        "php",
        "ruby",
        "csharp",
        "dart",
        "other",
        "",
    ]);
    let texts = (
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
    );
    let parts = (
        vec(exceptions(), 0..5),
        option::of(stacks()),
        vec(threads(), 0..3),
        vec(texts_or_variables(), 0..3),
    );
    (platform, texts, parts, option::of(reports())).prop_map(
        |(platform, texts, parts, security)| {
            let (message, formatted, checksum, transaction) = texts;
            let (exceptions, stacktrace, threads, fingerprint) = parts;
            Event {
                platform: platform.into(),
                logentry: Some(LogEntry {
                    message: message.map(Into::into),
                    formatted: formatted.map(Into::into),
                    params: Vec::new(),
                }),
                checksum: checksum.filter(|text| text.len() > 8).map(Into::into),
                transaction: transaction.map(Into::into),
                exceptions,
                stacktrace,
                threads,
                fingerprint: fingerprint.into_iter().map(Into::into).collect(),
                security,
                ..Event::default()
            }
        },
    )
}

fn exceptions() -> impl Strategy<Value = Exception<'static>> {
    let ids = (
        option::of(0_i64..4),
        option::of(0_i64..4),
        any::<bool>(),
        any::<bool>(),
    );
    (
        option::of(texts()),
        option::of(texts()),
        option::of(stacks()),
        ids,
    )
        .prop_map(|(ty, value, stacktrace, ids)| {
            let (exception_id, parent_id, is_exception_group, synthetic) = ids;
            Exception {
                ty: ty.map(Into::into),
                value: value.map(Into::into),
                module: None,
                mechanism: Mechanism {
                    exception_id,
                    parent_id,
                    is_exception_group,
                    synthetic,
                    ns_error: synthetic.then(|| (Some("d".into()), exception_id)),
                    ..Mechanism::default()
                },
                stacktrace,
            }
        })
}

fn threads() -> impl Strategy<Value = Thread<'static>> {
    (any::<bool>(), any::<bool>(), option::of(stacks())).prop_map(
        |(crashed, current, stacktrace)| Thread {
            crashed,
            current,
            stacktrace,
            ..Thread::default()
        },
    )
}

fn stacks() -> impl Strategy<Value = Stacktrace<'static>> {
    vec(frames(), 0..12).prop_map(|frames| Stacktrace { frames })
}

fn frames() -> impl Strategy<Value = Frame<'static>> {
    let names = (
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
    );
    let rest = (
        option::of(texts()),
        option::of(texts()),
        option::of(any::<bool>()),
        option::of(0_u64..9),
    );
    (names, rest).prop_map(
        |((module, filename, function, abs_path), (package, line, in_app, lineno))| Frame {
            module: module.map(Into::into),
            filename: filename.map(Into::into),
            function: function.map(Into::into),
            abs_path: abs_path.map(Into::into),
            package: package.map(Into::into),
            context_line: line.map(Into::into),
            in_app,
            lineno,
            ..Frame::default()
        },
    )
}

fn reports() -> impl Strategy<Value = SecurityReport<'static>> {
    (texts(), texts(), texts()).prop_map(|(directive, violated, uri)| SecurityReport::Csp {
        effective_directive: directive.into(),
        violated_directive: violated.into(),
        blocked_uri: uri.into(),
        document_uri: "".into(),
    })
}

/// Texts that come near what rules and patterns look for, and texts of anything.
fn texts() -> impl Strategy<Value = String> {
    let near = "(a|b|c|std::|::|<|>|\\(|\\)|lambda|\\$\\$|\\.|/|\\\\|https://|site-packages/|@|-|=|'|\"|[0-9]{1,9}|deadbeef|\
                2024-02-|10\\.0\\.|é| |\\t|operator| -> |const|&|\\[|\\]|\\{|\\}){0,10}";
    prop_oneof![4 => near, 1 => any::<String>()]
}

fn texts_or_variables() -> impl Strategy<Value = String> {
    let variables = prop::sample::select(vec![
        "{{ default }}",
        "{{ message }}",
        "{{ function }}",
        "{{ module }}",
        "{{ tags.x }}",
        "{{ pony }}",
        "{{}}",
    ]);
    prop_oneof![texts(), variables.prop_map(str::to_owned)]
}

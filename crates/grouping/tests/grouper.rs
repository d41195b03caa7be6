//! A `Grouper` says what `group` says, whatever it has seen before.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use event::EventKind;
use event::model::{Event, Exception, Frame, HttpRequest, Level, LogEntry, Stacktrace, Thread};
use grouping::{Config, Grouper, group};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Events of few places, each time with something that was another before.
    #[test]
    fn it_says_what_grouping_says(
        events in vec(events(), 1..4),
        order in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..60),
    ) {
        for config in configs() {
            let mut grouper = Grouper::new(config.clone());
            for (place, change) in &order {
                let mut event = place.get(&events).clone();
                let (name, change) = change.get(&CHANGES);
                change(&mut event);
                prop_assert_eq!(grouper.group(&event), group(&event, &config), "{}", name);
            }
        }
    }
}

fn configs() -> [Config; 5] {
    let with_enhancements = |text| Config::default().with_enhancements(text).unwrap();
    let fingerprints = "error.value:*b* -> b\nmessage:*c* level:warning -> {{ tags.region }}";
    [
        Config::default(),
        with_enhancements(
            "function:a* -app ^-group\nerror.type:b* function:* -group\nfamily:all max-frames=2",
        ),
        with_enhancements("error.value:*b* module:* -group"),
        with_enhancements("error.mechanism:signal module:* -group"),
        Config::default().with_fingerprints(fingerprints).unwrap(),
    ]
}

fn events() -> impl Strategy<Value = Event<'static>> {
    let platform = prop::sample::select(vec!["python", "java", "native", "node", ""]);
    (platform, text(), text(), vec(frames(), 0..4)).prop_map(|(platform, ty, value, frames)| {
        let exception = Exception {
            ty: ty.map(Into::into),
            value: value.map(Into::into),
            stacktrace: Some(Stacktrace { frames }),
            ..Exception::default()
        };
        Event {
            kind: EventKind::Error,
            platform: platform.into(),
            exceptions: vec![exception],
            ..Event::default()
        }
    })
}

fn frames() -> impl Strategy<Value = Frame<'static>> {
    let in_app = option::of(any::<bool>());
    (text(), text(), text(), text(), in_app).prop_map(|(module, function, path, line, in_app)| {
        Frame {
            module: module.map(Into::into),
            function: function.map(Into::into),
            filename: path.clone().map(Into::into),
            abs_path: path.map(Into::into),
            context_line: line.map(Into::into),
            in_app,
            ..Frame::default()
        }
    })
}

fn text() -> impl Strategy<Value = Option<String>> {
    let texts = [
        "",
        "a",
        "bc",
        "c.d",
        "a/b.py",
        "http://h/a.js",
        "e  f",
        "?",
        "site-packages/x",
    ];
    option::of(prop::sample::select(texts.to_vec()).prop_map(str::to_owned))
}

type Change = fn(&mut Event<'static>);

/// One for each field that may count or not.
const CHANGES: [(&str, Change); 40] = [
    ("nothing", |_| ()),
    ("kind", |event| event.kind = EventKind::Default),
    ("level", |event| event.level = Level::Warning),
    ("platform", |event| event.platform = "javascript".into()),
    ("title", |event| event.title = Some("Given".into())),
    ("culprit", |event| event.culprit = Some("given".into())),
    ("transaction", |event| {
        event.transaction = Some("/pay".into())
    }),
    ("another transaction", |event| {
        event.transaction = Some("/ship".into())
    }),
    ("logger", |event| event.logger = Some("shop".into())),
    ("release", |event| event.release = Some("shop@2".into())),
    ("checksum", |event| event.checksum = Some("c".into())),
    ("fingerprint", |event| event.fingerprint = vec!["f".into()]),
    ("default fingerprint", |event| {
        event.fingerprint = vec!["{{ default }}".into()]
    }),
    ("message", |event| {
        event.logentry = Some(LogEntry {
            message: Some("a: bc".into()),
            ..LogEntry::default()
        });
    }),
    ("request", |event| {
        event.request = Some(HttpRequest {
            url: Some("http://h/p".into()),
            method: None,
        });
    }),
    ("tags", |event| {
        event.tags = vec![("region".into(), "cn".into())]
    }),
    ("own stack", |event| event.stacktrace = Some(stack())),
    ("a thread", |event| event.threads = vec![Thread::default()]),
    ("a thread's stack", |event| {
        event.threads = vec![Thread {
            stacktrace: Some(stack()),
            ..Thread::default()
        }];
    }),
    ("no exception", |event| event.exceptions.clear()),
    ("another exception", |event| {
        let first = event.exceptions[0].clone();
        event.exceptions.push(first);
    }),
    ("type", |event| {
        event.exceptions[0].ty = Some("Other".into())
    }),
    ("value", |event| {
        event.exceptions[0].value = Some("other 17".into())
    }),
    ("a value that a built-in rule knows", |event| {
        event.exceptions[0].value = Some("ChunkLoadError: 3".into());
    }),
    ("no value", |event| event.exceptions[0].value = None),
    ("synthetic", |event| {
        event.exceptions[0].mechanism.synthetic = true
    }),
    ("mechanism", |event| {
        event.exceptions[0].mechanism.ty = Some("signal".into())
    }),
    ("ns error", |event| {
        event.exceptions[0].mechanism.ns_error = Some((Some("d".into()), Some(3)));
    }),
    ("no stack", |event| event.exceptions[0].stacktrace = None),
    ("another frame", |event| {
        frames_of(event).push(Frame::default())
    }),
    ("a frame twice", |event| repeat_frame(event, None)),
    ("a frame twice in a line", |event| {
        repeat_frame(event, Some(9));
    }),
    ("module", |event| {
        each_frame(event, |frame| frame.module = Some("other".into()))
    }),
    ("function", |event| {
        each_frame(event, |frame| frame.function = Some("other".into()))
    }),
    ("file", |event| {
        each_frame(event, |frame| frame.filename = Some("other.py".into()))
    }),
    ("path", |event| {
        each_frame(event, |frame| frame.abs_path = Some("/usr/lib/o.py".into()))
    }),
    ("line", |event| {
        each_frame(event, |frame| frame.context_line = Some("x = 1".into()))
    }),
    ("position", |event| {
        each_frame(event, |frame| {
            (frame.lineno, frame.colno) = (Some(7), Some(4000))
        })
    }),
    ("in app", |event| {
        each_frame(event, |frame| {
            frame.in_app = Some(frame.in_app != Some(true))
        })
    }),
    ("the rest of a frame", |event| {
        each_frame(event, |frame| {
            frame.platform = Some("native".into());
            frame.package = Some("/usr/lib/libc.so".into());
            frame.raw_function = Some("raw()".into());
            frame.has_sourcemap = true;
        });
    }),
];

fn stack() -> Stacktrace<'static> {
    // As a native program sends it before its symbols are known.
    Stacktrace {
        frames: vec![Frame::default()],
    }
}

fn frames_of<'e>(event: &'e mut Event<'static>) -> &'e mut Vec<Frame<'static>> {
    &mut event.exceptions[0].stacktrace.as_mut().unwrap().frames
}

fn repeat_frame(event: &mut Event<'static>, colno: Option<u64>) {
    let frames = frames_of(event);
    let last = frames.last().cloned().unwrap_or_default();
    frames.push(Frame { colno, ..last });
}

fn each_frame(event: &mut Event<'static>, change: fn(&mut Frame<'static>)) {
    frames_of(event).iter_mut().for_each(change);
}

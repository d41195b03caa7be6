//! The parts of an event that grouping and alerting read, after the normalisations Sentry's Relay makes.
//!
//! Source: Sentry's event payload, <https://develop.sentry.dev/sdk/data-model/event-payloads/>. Strings borrow from the
//! decoded body where JSON escapes allow it.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

/// A string of an event: borrowed from the body unless it held escapes or had to be changed.
pub type Text<'a> = Cow<'a, str>;

/// One error report or message, as an SDK sent it in an envelope item or a store body.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// The id, normalised to 128 bits, from the payload, else from the envelope header; `None` when neither holds one.
    pub id: Option<EventId>,
    /// What the event is, inferred from its content as Relay does.
    pub kind: EventKind,
    /// How bad it is; a missing or invalid level reads as [`Level::Error`].
    pub level: Level,
    /// When it happened, by the SDK's clock.
    pub timestamp: Option<SystemTime>,
    /// The SDK family, such as `python`; `other` when absent.
    pub platform: Text<'a>,
    /// A title set by the client, or by the reader of a kind that has nothing to compute one from; wins over every
    /// computed one.
    pub title: Option<Text<'a>>,
    /// A culprit set by the client.
    pub culprit: Option<Text<'a>>,
    /// The transaction (route, view, task) in which it happened.
    pub transaction: Option<Text<'a>>,
    /// Which logger recorded it.
    pub logger: Option<Text<'a>>,
    /// The release of the reporting program.
    pub release: Option<Text<'a>>,
    /// The distribution (build) within the release.
    pub dist: Option<Text<'a>>,
    /// The environment, from its own field or, failing that, from the tag of that name.
    pub environment: Option<Text<'a>>,
    /// The reporting host.
    pub server_name: Option<Text<'a>>,
    /// A hash set by the client that overrides all grouping.
    pub checksum: Option<Text<'a>>,
    /// The client's fingerprint, or that of a crash or a check-in, which have nothing else to group by; else empty.
    pub fingerprint: Vec<Text<'a>>,
    /// The message, if any.
    pub logentry: Option<LogEntry<'a>>,
    /// Exceptions, oldest cause first; the last is the outermost.
    pub exceptions: Vec<Exception<'a>>,
    /// A stack trace that belongs to the event itself.
    pub stacktrace: Option<Stacktrace<'a>>,
    /// Threads at the time of the event.
    pub threads: Vec<Thread<'a>>,
    /// Where a template failed to render.
    pub template: Option<Template<'a>>,
    /// The browser security report, if the event is one.
    pub security: Option<SecurityReport<'a>>,
    /// Tags in the order sent.
    pub tags: Vec<(Text<'a>, Text<'a>)>,
    /// Who was affected.
    pub user: Option<User<'a>>,
    /// The HTTP request that was being served.
    pub request: Option<HttpRequest<'a>>,
    /// Which SDK sent it.
    pub sdk: Option<Sdk<'a>>,
    /// `contexts.trace.trace_id`.
    pub trace_id: Option<Text<'a>>,
}

/// A 128-bit event id; `Display` gives 32 lower-case hex digits, as Sentry's URLs want.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Reads 32 hex digits, with or without hyphens, in either case; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 16];
        let mut digits = 0;
        for character in text.trim().bytes().filter(|byte| *byte != b'-') {
            let value = char::from(character).to_digit(16)?;
            let byte = bytes.get_mut(digits / 2)?;
            *byte = (*byte << 4) | u8::try_from(value).ok()?;
            digits += 1;
        }
        (digits == 32).then_some(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventId({self})")
    }
}

/// What an event is; whether a kind alerts is for the configuration to say.
///
/// Source: Relay, `relay-event-normalization/src/event.rs`, `infer_event_type`. [`EventKind::Crash`], [`EventKind::CheckIn`] and
/// [`EventKind::Log`] are our own: Sentry has no such types, since it makes errors of crashes, issues of monitors and no
/// issues of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EventKind {
    /// It has exceptions.
    Error,
    /// It is a message, or nothing better is known.
    #[default]
    Default,
    /// A Content-Security-Policy report.
    Csp,
    /// Another browser security report: HPKP, Expect-CT or Expect-Staple.
    Security,
    /// A performance transaction.
    Transaction,
    /// User feedback that rides in an event item.
    Feedback,
    /// A native crash that comes as a minidump or an Unreal report.
    Crash,
    /// A failed check-in of a cron monitor.
    CheckIn,
    /// A log record of level error or fatal.
    Log,
}

impl EventKind {
    /// Returns the kind's name, one of a closed set; Sentry's own where it has the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Default => "default",
            Self::Csp => "csp",
            Self::Security => "security",
            Self::Transaction => "transaction",
            Self::Feedback => "feedback",
            Self::Crash => "crash",
            Self::CheckIn => "check_in",
            Self::Log => "log",
        }
    }
}

/// How bad an event is, ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Level {
    /// `debug` or 10.
    Debug,
    /// `info`, `log` or 20.
    Info,
    /// `warning` or 30.
    Warning,
    /// `error` or 40, and everything missing or unknown.
    #[default]
    Error,
    /// `fatal`, `critical` or 50.
    Fatal,
}

impl Level {
    /// Reads Sentry's exact lower-case names; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "debug" => Some(Self::Debug),
            "info" | "log" => Some(Self::Info),
            "warning" => Some(Self::Warning),
            "error" => Some(Self::Error),
            "fatal" | "critical" => Some(Self::Fatal),
            _ => None,
        }
    }

    /// Reads Python's logging numbers; `None` for anything but 10, 20, 30, 40 and 50.
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            10 => Some(Self::Debug),
            20 => Some(Self::Info),
            30 => Some(Self::Warning),
            40 => Some(Self::Error),
            50 => Some(Self::Fatal),
            _ => None,
        }
    }

    /// Returns Sentry's name of the level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A message: the template, its parameters and the finished text.
#[derive(Debug, Clone, Default)]
pub struct LogEntry<'a> {
    /// The template, such as `payment %s failed`, or the whole message when the SDK sent only one text.
    pub message: Option<Text<'a>>,
    /// The finished text, when the SDK sent it.
    pub formatted: Option<Text<'a>>,
    /// Positional parameters as text.
    pub params: Vec<Text<'a>>,
}

/// One exception of a chain.
#[derive(Debug, Clone, Default)]
pub struct Exception<'a> {
    /// The type, such as `ZeroDivisionError`.
    pub ty: Option<Text<'a>>,
    /// The message; non-string JSON is kept as its JSON text.
    pub value: Option<Text<'a>>,
    /// The module that defines the type.
    pub module: Option<Text<'a>>,
    /// How it was caught.
    pub mechanism: Mechanism<'a>,
    /// Where it was raised.
    pub stacktrace: Option<Stacktrace<'a>>,
}

/// How an exception was caught, and its place in an exception group.
#[derive(Debug, Clone, Default)]
pub struct Mechanism<'a> {
    /// Such as `generic`, `onerror`, `logging`.
    pub ty: Option<Text<'a>>,
    /// Whether user code handled it; `None` when unknown.
    pub handled: Option<bool>,
    /// Whether the type is made up by the SDK and means nothing.
    pub synthetic: bool,
    /// Its number in the exception group.
    pub exception_id: Option<i64>,
    /// The number of its parent in the exception group.
    pub parent_id: Option<i64>,
    /// Whether it only wraps others.
    pub is_exception_group: bool,
    /// The attribute of the parent that held it, such as `cause`.
    pub source: Option<Text<'a>>,
    /// `meta.ns_error` of Apple platforms: domain and code.
    pub ns_error: Option<(Option<Text<'a>>, Option<i64>)>,
}

/// Frames, from the outermost caller to the crash.
#[derive(Debug, Clone, Default)]
pub struct Stacktrace<'a> {
    /// Outermost caller first.
    pub frames: Vec<Frame<'a>>,
}

/// One stack frame.
#[derive(Debug, Clone, Default)]
pub struct Frame<'a> {
    /// The platform of this frame, when it differs from the event's.
    pub platform: Option<Text<'a>>,
    /// Dotted module or class name.
    pub module: Option<Text<'a>>,
    /// Path as shown.
    pub filename: Option<Text<'a>>,
    /// Absolute path or URL.
    pub abs_path: Option<Text<'a>>,
    /// Function name.
    pub function: Option<Text<'a>>,
    /// Function name before any trimming.
    pub raw_function: Option<Text<'a>>,
    /// Library or binary that holds the code.
    pub package: Option<Text<'a>>,
    /// The source line itself.
    pub context_line: Option<Text<'a>>,
    /// Line number, from 1.
    pub lineno: Option<u64>,
    /// Column number.
    pub colno: Option<u64>,
    /// Whether it is the application's own code; `None` when the SDK did not say.
    pub in_app: Option<bool>,
    /// `data.sourcemap`: Sentry's own mark that a source map was used.
    pub has_sourcemap: bool,
}

/// One thread of the reporting process.
#[derive(Debug, Clone, Default)]
pub struct Thread<'a> {
    /// Its id as text.
    pub id: Option<Text<'a>>,
    /// Its name.
    pub name: Option<Text<'a>>,
    /// Whether it crashed.
    pub crashed: bool,
    /// Whether it reported the event.
    pub current: bool,
    /// Its stack.
    pub stacktrace: Option<Stacktrace<'a>>,
}

/// Where a template failed to render (Django, Jinja).
#[derive(Debug, Clone, Default)]
pub struct Template<'a> {
    /// The template's file.
    pub filename: Option<Text<'a>>,
    /// Its line.
    pub context_line: Option<Text<'a>>,
}

/// A browser security report.
#[derive(Debug, Clone)]
pub enum SecurityReport<'a> {
    /// Content-Security-Policy.
    Csp {
        /// The directive that applied.
        effective_directive: Text<'a>,
        /// The directive as written in the policy.
        violated_directive: Text<'a>,
        /// What was blocked.
        blocked_uri: Text<'a>,
        /// The page.
        document_uri: Text<'a>,
    },
    /// HPKP, Expect-CT or Expect-Staple: the literal kind (`hpkp`, `expect-ct`, `expect-staple`) and the host.
    Hostname {
        /// The kind's name as grouping uses it.
        kind: &'static str,
        /// The host concerned.
        hostname: Text<'a>,
    },
}

/// Who was affected.
#[derive(Debug, Clone, Default)]
pub struct User<'a> {
    /// The application's id of the user.
    pub id: Option<Text<'a>>,
    /// Login name.
    pub username: Option<Text<'a>>,
    /// Mail address.
    pub email: Option<Text<'a>>,
    /// IP address.
    pub ip_address: Option<Text<'a>>,
}

impl<'a> User<'a> {
    /// Returns the first of id, username, email and IP address: what tells two users apart.
    pub fn key(&self) -> Option<&Text<'a>> {
        let known = |text: &&Text<'a>| !text.is_empty() && text.as_ref() != "{{auto}}";
        [&self.id, &self.username, &self.email, &self.ip_address]
            .into_iter()
            .flatten()
            .find(known)
    }
}

/// The HTTP request that was being served.
#[derive(Debug, Clone, Default)]
pub struct HttpRequest<'a> {
    /// The URL, without query and fragment, which may hold secrets.
    pub url: Option<Text<'a>>,
    /// The method.
    pub method: Option<Text<'a>>,
}

/// Which SDK sent the event.
#[derive(Debug, Clone, Default)]
pub struct Sdk<'a> {
    /// Such as `sentry.python`.
    pub name: Option<Text<'a>>,
    /// Such as `2.75.0`.
    pub version: Option<Text<'a>>,
}

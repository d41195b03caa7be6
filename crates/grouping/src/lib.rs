//! Which events are the same issue, as Sentry decides it (config `newstyle:2026-01-20`).
//!
//! Pure: no I/O, no clock. [`group`] gives the hashes of an event; two events that share any hash are one issue.

mod config;
mod hash;
mod simple;
mod title;

use event::model::Event;

pub use config::Config;

/// The issue an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Hashes of 32 lower-case hex digits, the primary one first, never empty; any known one is the same issue.
    pub hashes: Vec<String>,
    /// What the issue is called, such as `ZeroDivisionError: division by zero`.
    pub title: String,
    /// Where it happened, such as `shop.views in checkout`; empty when unknown.
    pub culprit: String,
    /// Why the event could be grouped only coarsely; `None` when the hashes are those Sentry computes.
    pub coarse: Option<CoarseReason>,
}

impl Group {
    /// Returns whether Sentry may split this group further.
    pub fn is_coarse(&self) -> bool {
        self.coarse.is_some()
    }
}

/// Why an event's frames cannot be compared with what Sentry sees after symbolication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoarseReason {
    /// Browser JavaScript whose names a minifier made; Sentry applies source maps.
    MinifiedJavaScript,
    /// Native addresses without function names; Sentry applies debug files.
    UnsymbolicatedNative,
    /// Java whose names ProGuard or R8 made; Sentry applies mapping files.
    ObfuscatedJava,
    /// Dart compiled with `--obfuscate`; Sentry applies its symbol map.
    ObfuscatedDart,
}

impl CoarseReason {
    /// Returns the reason's name, one of a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MinifiedJavaScript => "minified_javascript",
            Self::UnsymbolicatedNative => "unsymbolicated_native",
            Self::ObfuscatedJava => "obfuscated_java",
            Self::ObfuscatedDart => "obfuscated_dart",
        }
    }
}

/// Returns the group of an event: the same hashes that Sentry computes from the same event.
pub fn group(event: &Event<'_>, _config: &Config) -> Group {
    Group {
        hashes: vec![primary_hash(event)],
        title: title::title(event),
        culprit: title::culprit(event),
        coarse: None,
    }
}

fn primary_hash(event: &Event<'_>) -> String {
    match event.checksum.as_deref() {
        Some(checksum) => checksum_hash(checksum),
        None => hash::hash(simple::values(event).iter().map(AsRef::as_ref)),
    }
}

fn checksum_hash(checksum: &str) -> String {
    let is_hash = checksum.len() == 32
        && checksum
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match is_hash {
        true => checksum.to_owned(),
        false => hash::hash([checksum]),
    }
}

#[cfg(test)]
mod tests {
    use event::model::{Exception, Frame, LogEntry, Stacktrace};

    use super::*;

    fn primary(event: &Event<'_>) -> String {
        group(event, &Config::default()).hashes.remove(0)
    }

    fn raised_in(function: &'static str, value: &'static str) -> Event<'static> {
        let frame = Frame {
            module: Some("shop.views".into()),
            function: Some(function.into()),
            in_app: Some(true),
            ..Frame::default()
        };
        let exception = Exception {
            ty: Some("ValueError".into()),
            value: Some(value.into()),
            stacktrace: Some(Stacktrace {
                frames: vec![frame],
            }),
            ..Exception::default()
        };
        Event {
            exceptions: vec![exception],
            platform: "python".into(),
            ..Event::default()
        }
    }

    #[test]
    fn an_event_without_content_gets_the_fallback_hash() {
        assert_eq!(
            primary(&Event::default()),
            "d41d8cd98f00b204e9800998ecf8427e"
        );
    }

    #[test]
    fn another_value_of_the_same_exception_is_the_same_issue() {
        assert_eq!(
            primary(&raised_in("pay", "a")),
            primary(&raised_in("pay", "b"))
        );
        assert_ne!(
            primary(&raised_in("pay", "a")),
            primary(&raised_in("buy", "a"))
        );
    }

    #[test]
    fn messages_group_by_their_template() {
        let entry = |formatted: &'static str| LogEntry {
            message: Some("user %s failed".into()),
            formatted: Some(formatted.into()),
            ..LogEntry::default()
        };
        let event = |text| Event {
            logentry: Some(entry(text)),
            ..Event::default()
        };

        assert_eq!(
            primary(&event("user a failed")),
            primary(&event("user b failed"))
        );
    }

    #[test]
    fn a_client_fingerprint_replaces_the_default() {
        let custom = Event {
            fingerprint: vec!["mine".into()],
            ..raised_in("pay", "a")
        };
        let extended = Event {
            fingerprint: vec!["{{ default }}".into(), "mine".into()],
            ..raised_in("pay", "a")
        };

        assert_eq!(primary(&custom), hash::hash(["mine"]));
        assert_eq!(
            primary(&extended),
            hash::hash(["ValueError", "shop.views", "pay", "mine"])
        );
    }

    #[test]
    fn a_checksum_of_32_hex_digits_is_the_hash() {
        let event = |checksum: &'static str| Event {
            checksum: Some(checksum.into()),
            ..Event::default()
        };

        assert_eq!(
            primary(&event("acbd18db4cc2f85cedef654fccc4a4d8")),
            "acbd18db4cc2f85cedef654fccc4a4d8"
        );
        assert_eq!(primary(&event("foo")), "acbd18db4cc2f85cedef654fccc4a4d8");
    }
}

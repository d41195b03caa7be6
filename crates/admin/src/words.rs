//! The page's own words in both languages; events keep theirs.

use std::time::{Duration, SystemTime};

use alert::{Hold, NoticeKind, Outcome, Reason};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

mod table;

pub(crate) use self::table::Words;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    ZhCn,
    En,
}

impl Language {
    /// Returns the language of `?lang=`, else the one the browser prefers, else English.
    pub(crate) fn of(asked: Option<&str>, headers: &HeaderMap) -> Self {
        let preferred = headers.get(ACCEPT_LANGUAGE);
        let preferred = preferred.and_then(|value| value.to_str().ok());
        let named = asked.or(preferred).unwrap_or_default();
        // Browsers name the preferred one first.
        match named.trim_start().get(..2) {
            Some(start) if start.eq_ignore_ascii_case("zh") => Self::ZhCn,
            Some(_) | None => Self::En,
        }
    }

    /// As [`Self::of`], with `lang` looked for in a query.
    pub(crate) fn of_query(query: &str, headers: &HeaderMap) -> Self {
        let pairs = query.split('&');
        let asked = pairs.filter_map(|pair| pair.strip_prefix("lang=")).next();
        Self::of(asked, headers)
    }

    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::ZhCn => &table::ZH,
            Self::En => &table::EN,
        }
    }

    /// `3 min`, `3 分钟`
    pub(crate) fn span(self, duration: Duration) -> String {
        let seconds = duration.as_secs();
        let (number, [zh, en]) = match seconds {
            0..60 => (seconds, ["秒", "s"]),
            60..3_600 => (seconds / 60, ["分钟", "min"]),
            3_600..172_800 => (seconds / 3_600, ["小时", "h"]),
            172_800.. => (seconds / 86_400, ["天", "d"]),
        };
        format!("{number} {}", self.pick(zh, en))
    }

    /// `3 min ago`, `3 分钟前`
    pub(crate) fn ago(self, then: SystemTime, now: SystemTime) -> String {
        let age = now.duration_since(then).unwrap_or_default();
        match self {
            _ if age.as_secs() < 1 => self.pick("刚刚", "now").to_owned(),
            Self::ZhCn => format!("{}前", self.span(age)),
            Self::En => format!("{} ago", self.span(age)),
        }
    }

    /// `in 3 min`, `3 分钟后`
    pub(crate) fn ahead(self, then: SystemTime, now: SystemTime) -> String {
        let span = self.span(then.duration_since(now).unwrap_or_default());
        match self {
            Self::ZhCn => format!("{span}后"),
            Self::En => format!("in {span}"),
        }
    }

    /// `1.5 ms`, `2.0 s`; a dash when there is none.
    pub(crate) fn took(self, duration: Option<Duration>) -> String {
        match duration.map(|duration| duration.as_secs_f64()) {
            None => "–".to_owned(),
            Some(seconds) if seconds >= 1.0 => format!("{seconds:.1} s"),
            Some(seconds) if seconds >= 0.01 => format!("{:.0} ms", seconds * 1e3),
            Some(seconds) => format!("{:.1} ms", seconds * 1e3),
        }
    }

    /// The mark and the word of a level, as cards have them.
    pub(crate) fn level(self, level: u8) -> (&'static str, &'static str) {
        match level {
            0 => ("⚪", self.pick("调试", "debug")),
            1 => ("🔵", self.pick("信息", "info")),
            2 => ("🟡", self.pick("警告", "warning")),
            3 => ("🟠", self.pick("错误", "error")),
            _ => ("🔴", self.pick("致命", "fatal")),
        }
    }

    pub(crate) fn reason(self, reason: Reason) -> &'static str {
        match reason {
            Reason::FirstSeen => self.pick("首次出现", "first seen"),
            Reason::Threshold => self.pick("达到阈值", "threshold reached"),
            Reason::Burst => self.pick("突增", "burst"),
            Reason::StillHappening => self.pick("仍在发生", "still happening"),
            Reason::Regression => self.pick("再次出现", "back again"),
            Reason::NewRelease => self.pick("在新版本中出现", "in a new release"),
            Reason::Stopped => self.pick("已停止", "has stopped"),
            Reason::MuteEnded => self.pick("静默已结束", "its mute has ended"),
        }
    }

    pub(crate) fn notice(self, kind: &NoticeKind) -> &'static str {
        match kind {
            NoticeKind::SentryDown { .. } => self.pick("Sentry 无法连接", "Sentry is unreachable"),
            NoticeKind::SentryBack { .. } => self.pick("Sentry 已恢复", "Sentry is back"),
            NoticeKind::RobotBroken { .. } => self.pick("机器人不可用", "a robot is broken"),
            NoticeKind::RobotBack { .. } => self.pick("机器人已恢复", "a robot is back"),
            NoticeKind::SpoolNearlyFull { .. } => {
                self.pick("暂存队列将满", "the spool is nearly full")
            }
            NoticeKind::StateFallback { .. } => {
                self.pick("状态存储不可用", "state has fallen back")
            }
            NoticeKind::StateBack { .. } => self.pick("状态存储已恢复", "state is back"),
        }
    }

    /// Says what became of the newest event of an issue.
    pub(crate) fn outcome(self, outcome: &Outcome, now: SystemTime) -> String {
        let plain = match outcome {
            Outcome::Held(hold) => return self.hold(hold, now),
            Outcome::Queued(reason) => {
                let reason = self.reason(*reason);
                return match self {
                    Self::ZhCn => format!("已排队: {reason}"),
                    Self::En => format!("handed over: {reason}"),
                };
            }
            Outcome::AlreadyClaimed => self.pick("一条消息正在发送", "a word is on its way"),
            Outcome::NoRobot => self.pick("没有机器人, 只在这里显示", "no robot: shown here only"),
            Outcome::OutboxFull => self.pick(
                "发件箱已满, 计入下一份汇总",
                "outbox full: counted in the next digest",
            ),
            Outcome::NotAlertable => {
                self.pick("级别或类型不告警", "its level or kind does not alert")
            }
            Outcome::NotAccepted => self.pick("Sentry 未接受", "not accepted by Sentry"),
            Outcome::StateUnavailable => self.pick("状态存储不可用", "state unavailable"),
            Outcome::Undecodable | Outcome::Unparsable | Outcome::Panicked => {
                self.pick("无法读取", "unreadable")
            }
        };
        plain.to_owned()
    }

    fn hold(self, hold: &Hold, now: SystemTime) -> String {
        match (hold, self) {
            (Hold::DuplicateEvent, _) => self.pick("重复的事件", "a duplicate").to_owned(),
            (Hold::Muted { by }, Self::ZhCn) => format!("已静默: {by}"),
            (Hold::Muted { by }, Self::En) => format!("held: muted by {by}"),
            (Hold::BelowThreshold { have, need }, Self::ZhCn) => {
                format!("暂不告警: 阈值 {need}, 目前 {have}")
            }
            (Hold::BelowThreshold { have, need }, Self::En) => {
                format!("held: {have} of {need} for the threshold")
            }
            (Hold::RepeatWindow { left }, Self::ZhCn) => {
                format!("暂不告警: 重复间隔还剩 {}", self.span(*left))
            }
            (Hold::RepeatWindow { left }, Self::En) => {
                format!("held: silent for another {}", self.span(*left))
            }
            (Hold::OutsideActiveHours { until, .. }, Self::ZhCn) => {
                format!("非告警时段: {}发送", self.ahead(*until, now))
            }
            (Hold::OutsideActiveHours { until, .. }, Self::En) => {
                format!("held: outside hours, told {}", self.ahead(*until, now))
            }
        }
    }

    fn pick<'w>(self, zh: &'w str, en: &'w str) -> &'w str {
        match self {
            Self::ZhCn => zh,
            Self::En => en,
        }
    }
}

/// `12 345 678`: thin spaces between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_query_wins_over_what_the_browser_prefers() {
        let prefers =
            |value| HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(value))]);
        let cases = [
            (None, HeaderMap::new(), Language::En),
            (None, prefers("zh-CN,zh;q=0.9,en;q=0.8"), Language::ZhCn),
            (None, prefers("de,zh;q=0.9"), Language::En),
            (Some("en"), prefers("zh-CN"), Language::En),
            (Some("zh-CN"), prefers("en"), Language::ZhCn),
            (Some("é"), prefers("zh"), Language::En),
        ];

        for (asked, headers, expected) in cases {
            assert_eq!(
                Language::of(asked, &headers),
                expected,
                "{asked:?} {headers:?}"
            );
        }
        assert_eq!(
            Language::of_query("q=a&lang=zh-CN", &HeaderMap::new()),
            Language::ZhCn
        );
    }

    #[test]
    fn spans_numbers_and_sizes_are_short() {
        let span = |seconds| Language::En.span(Duration::from_secs(seconds));
        let spans = [0, 59, 60, 3_599, 3_600, 172_799, 172_800].map(span);
        assert_eq!(
            spans,
            ["0 s", "59 s", "1 min", "59 min", "1 h", "47 h", "2 d"]
        );
        assert_eq!(Language::ZhCn.span(Duration::from_secs(90)), "1 分钟");
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!(
            [0, 1_023, 1_536, 2 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]
        );
    }
}

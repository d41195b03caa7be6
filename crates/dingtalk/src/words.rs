//! Our own words in both languages, side by side.

mod notice;

use std::time::Duration;

use alert::{Alert, Counted, Reason, WindowCount};
use event::model::Level;

use crate::card::Part;
use crate::config::Language;

/// Fixed terms of one language.
pub(crate) struct Words {
    pub(crate) project: &'static str,
    pub(crate) handled: &'static str,
    pub(crate) unhandled: &'static str,
    pub(crate) unsymbolicated: &'static str,
    pub(crate) request: &'static str,
    pub(crate) transaction: &'static str,
    pub(crate) release: &'static str,
    pub(crate) host: &'static str,
    pub(crate) user: &'static str,
    pub(crate) tags: &'static str,
    pub(crate) logger: &'static str,
    pub(crate) first: &'static str,
    pub(crate) latest: &'static str,
    pub(crate) counted_here: &'static str,
    pub(crate) open: &'static str,
    pub(crate) open_event: &'static str,
    pub(crate) open_similar: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) event: &'static str,
    pub(crate) left_out: &'static str,
    pub(crate) template_failed: &'static str,
    pub(crate) between: &'static str,
    pub(crate) see_sentry: &'static str,
    pub(crate) status_page: &'static str,
    pub(crate) test_title: &'static str,
    pub(crate) test_text: &'static str,
    pub(crate) robot: &'static str,
    pub(crate) sent: &'static str,
}

impl Language {
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::ZhCn => &ZH_CN,
            Self::En => &EN,
        }
    }

    /// Says why the message comes.
    pub(crate) fn reason(self, alert: &Alert) -> String {
        let window = alert.counts.window.map(|window| self.window(&window));
        let window = window.unwrap_or_default();
        let quiet = alert.counts.quiet.map(|quiet| self.duration(quiet));
        let quiet = quiet.unwrap_or_default();
        match (self, alert.reason) {
            (Self::ZhCn, Reason::FirstSeen) => "🆕 首次出现".to_owned(),
            (Self::En, Reason::FirstSeen) => "🆕 first seen".to_owned(),
            (Self::ZhCn, Reason::Threshold) => format!("🆕 达到阈值: {window}"),
            (Self::En, Reason::Threshold) => format!("🆕 threshold reached: {window}"),
            (Self::ZhCn, Reason::Burst) => format!("🔥 突增: {window}"),
            (Self::En, Reason::Burst) => format!("🔥 burst: {window}"),
            (Self::ZhCn, Reason::StillHappening) => "🔔 仍在发生".to_owned(),
            (Self::En, Reason::StillHappening) => "🔔 still happening".to_owned(),
            (Self::ZhCn, Reason::Regression) => format!("🔁 平静 {quiet}后再次出现"),
            (Self::En, Reason::Regression) => format!("🔁 back after {quiet} of quiet"),
            (Self::ZhCn, Reason::NewRelease) => "📦 在新版本中出现".to_owned(),
            (Self::En, Reason::NewRelease) => "📦 seen in a new release".to_owned(),
            (Self::ZhCn, Reason::MuteEnded) => "🔔 静默结束, 期间仍在发生".to_owned(),
            (Self::En, Reason::MuteEnded) => {
                "🔔 the mute has ended, it went on meanwhile".to_owned()
            }
            (Self::ZhCn, Reason::Stopped) => format!("已停止: {quiet}内无新错误"),
            (Self::En, Reason::Stopped) => format!("has stopped: nothing for {quiet}"),
        }
    }

    /// `1 分钟内至少 100 次`, `at least 5 users in 1 hour`
    fn window(self, window: &WindowCount) -> String {
        let (count, within) = (window.count, self.duration(window.within));
        match (self, window.of) {
            (Self::ZhCn, Counted::Events) => format!("{within}内至少 {count} 次"),
            (Self::ZhCn, Counted::Users) => format!("{within}内至少 {count} 人"),
            (Self::En, Counted::Events) => format!("at least {count} in {within}"),
            (Self::En, Counted::Users) => format!("at least {count} users in {within}"),
        }
    }

    /// Returns a duration in its two largest units: `1 小时 30 分钟`, `7 days`; below a second, `1 秒`.
    pub(crate) fn duration(self, duration: Duration) -> String {
        let mut rest = duration.as_secs().max(1);
        let mut parts = Vec::new();
        for (length, chinese, english) in UNITS {
            let count = rest / length;
            rest %= length;
            match (self, count) {
                (_, 0) => {}
                (Self::ZhCn, _) => parts.push(format!("{count} {chinese}")),
                (Self::En, 1) => parts.push(format!("1 {english}")),
                (Self::En, _) => parts.push(format!("{count} {english}s")),
            }
        }
        parts.truncate(2);
        parts.join(" ")
    }

    /// Heads a digest.
    pub(crate) fn digest(self, events: u64, alerts: u64, lasted: Duration) -> String {
        let lasted = self.duration(lasted);
        let (error, issue) = (plural(events), plural(alerts));
        match self {
            Self::ZhCn => format!("{lasted}内 {events} 次错误, {alerts} 个问题"),
            Self::En => format!("{events} error{error}, {alerts} issue{issue} in {lasted}"),
        }
    }

    /// Counts what a digest does not name.
    pub(crate) fn and_more(self, others: u64) -> String {
        match self {
            Self::ZhCn => format!("另有 {others} 个问题"),
            Self::En => format!("and {others} more"),
        }
    }

    pub(crate) fn times(self, count: u64) -> String {
        match (self, count) {
            (Self::ZhCn, _) => format!("{count} 次"),
            (Self::En, 1) => "once".to_owned(),
            (Self::En, _) => format!("{count} times"),
        }
    }

    /// `37 次 / 5 分钟`, `37 times in 5 minutes`
    pub(crate) fn times_within(self, count: u64, lasted: Duration) -> String {
        let (times, lasted) = (self.times(count), self.duration(lasted));
        match self {
            Self::ZhCn => format!("{times} / {lasted}"),
            Self::En => format!("{times} in {lasted}"),
        }
    }

    pub(crate) fn times_in_all(self, count: u64) -> String {
        match self {
            Self::ZhCn => format!("共 {count} 次"),
            Self::En => format!("{count} in all"),
        }
    }

    pub(crate) fn times_since(self, count: u64, said: &str) -> String {
        match self {
            Self::ZhCn => format!("自上次通知（{said}）以来 {count} 次"),
            Self::En => format!("{} since the last message at {said}", self.times(count)),
        }
    }

    /// Labels a link that mutes an issue for so long.
    pub(crate) fn mute_for(self, lasts: Duration) -> String {
        let hours = lasts.as_secs() / 3_600;
        // People say 24 hours of a mute, not a day.
        let lasts = match self {
            _ if hours * 3_600 != lasts.as_secs() || !(2..=48).contains(&hours) => {
                self.duration(lasts)
            }
            Self::ZhCn => format!("{hours} 小时"),
            Self::En => format!("{hours} hours"),
        };
        match self {
            Self::ZhCn => format!("静默 {lasts}"),
            Self::En => format!("Mute for {lasts}"),
        }
    }

    pub(crate) fn users(self, users: u64, is_exact: bool) -> String {
        let more = if is_exact { "" } else { "≥ " };
        match (self, users) {
            (Self::ZhCn, _) => format!("影响 {more}{users} 人"),
            (Self::En, 1) => format!("{more}1 user"),
            (Self::En, _) => format!("{more}{users} users"),
        }
    }

    /// Puts a cause into a sentence: what stands before it and after it.
    pub(crate) fn caused_by(self) -> (&'static str, &'static str) {
        match self {
            Self::ZhCn => ("由 ", " 引起"),
            Self::En => ("caused by ", ""),
        }
    }

    /// Returns the mark and the word for an environment that goes by one of its usual names.
    pub(crate) fn environment(self, name: &str) -> Option<(&'static str, &'static str)> {
        let name = name.to_lowercase();
        let starts = |heads: &[&str]| heads.iter().any(|head| name.starts_with(head));
        let known = match () {
            () if starts(&["prod", "prd", "live", "生产"]) => ("🔴", "生产", "production"),
            () if starts(&["stag", "stg", "pre", "uat", "预发"]) => ("🟠", "预发", "staging"),
            () if starts(&["test", "qa", "sit", "测试"]) => ("🟡", "测试", "test"),
            () if starts(&["dev", "local", "开发"]) => ("🟢", "开发", "development"),
            () => return None,
        };
        match self {
            Self::ZhCn => Some((known.0, known.1)),
            Self::En => Some((known.0, known.2)),
        }
    }

    /// `🔴 生产 (production)`; the name as sent where it is none of the usual ones.
    pub(crate) fn badge(self, name: &str) -> String {
        match self.environment(name) {
            Some((mark, word)) if word == name => format!("{mark} {word}"),
            Some((mark, word)) => format!("{mark} {word} ({name})"),
            None => name.to_owned(),
        }
    }

    /// Names a part of a card that had to be left out.
    pub(crate) fn part(self, part: Part) -> &'static str {
        let (chinese, english) = match part {
            Part::Heading => ("标题", "title"),
            Part::Summary => ("概要", "summary"),
            Part::Value => ("错误信息", "message"),
            Part::Location => ("位置", "location"),
            Part::SourceLine => ("代码行", "source line"),
            Part::Causes => ("起因", "causes"),
            Part::Request => ("接口", "request"),
            Part::Release => ("版本", "release"),
            Part::User => ("用户", "user"),
            Part::Tags => ("标签", "tags"),
            Part::Logger => ("日志器", "logger"),
            Part::Counts => ("次数", "counts"),
            Part::Links => ("链接", "links"),
            Part::Footer => ("规则", "rule"),
        };
        match self {
            Self::ZhCn => chinese,
            Self::En => english,
        }
    }
}

/// Returns the mark of a level. The word always stands beside it.
pub(crate) fn mark(level: Level) -> &'static str {
    match level {
        Level::Fatal => "🔴",
        Level::Error => "🟠",
        Level::Warning => "🟡",
        Level::Info => "🔵",
        Level::Debug => "⚪",
    }
}

static ZH_CN: Words = Words {
    project: "项目",
    handled: "已处理",
    unhandled: "未处理",
    unsymbolicated: "未还原, 以 Sentry 为准",
    request: "接口",
    transaction: "事务",
    release: "版本",
    host: "主机",
    user: "用户",
    tags: "标签",
    logger: "日志器",
    first: "首次",
    latest: "最近",
    counted_here: "按本代理所见",
    open: "查看",
    open_event: "查看事件",
    open_similar: "相似问题",
    rule: "规则",
    event: "事件",
    left_out: "内容过长, 已省略",
    template_failed: "模板无法使用, 已改用内置卡片",
    between: "、",
    see_sentry: "详情请在 Sentry 中查看",
    status_page: "状态页",
    test_title: "测试消息",
    test_text: "看到这条消息, 说明告警可以送达本群。",
    robot: "机器人",
    sent: "发送时间",
};

static EN: Words = Words {
    project: "project",
    handled: "handled",
    unhandled: "unhandled",
    unsymbolicated: "not symbolicated, see Sentry",
    request: "Request",
    transaction: "Transaction",
    release: "Release",
    host: "Host",
    user: "User",
    tags: "Tags",
    logger: "Logger",
    first: "first",
    latest: "last",
    counted_here: "as this proxy saw it",
    open: "Open",
    open_event: "Open event",
    open_similar: "Similar issues",
    rule: "rule",
    event: "event",
    left_out: "too long, left out",
    template_failed: "the template cannot be used, this is the built-in card",
    between: ", ",
    see_sentry: "see Sentry for the details",
    status_page: "Status page",
    test_title: "Test message",
    test_text: "If you can read this, alerts reach this chat.",
    robot: "robot",
    sent: "sent",
};

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Seconds, and the words for them.
const UNITS: [(u64, &str, &str); 4] = [
    (86_400, "天", "day"),
    (3_600, "小时", "hour"),
    (60, "分钟", "minute"),
    (1, "秒", "second"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_environments_by_their_usual_names() {
        let cases = [
            ("production", Some(("🔴", "生产", "production"))),
            ("Prod-eu", Some(("🔴", "生产", "production"))),
            ("staging", Some(("🟠", "预发", "staging"))),
            ("preprod", Some(("🟠", "预发", "staging"))),
            ("uat", Some(("🟠", "预发", "staging"))),
            ("test-2", Some(("🟡", "测试", "test"))),
            ("dev", Some(("🟢", "开发", "development"))),
            ("canary", None),
            ("", None),
        ];

        for (name, expected) in cases {
            let (chinese, english) = (
                Language::ZhCn.environment(name),
                Language::En.environment(name),
            );

            assert_eq!(
                chinese,
                expected.map(|(mark, word, _)| (mark, word)),
                "{name}"
            );
            assert_eq!(
                english,
                expected.map(|(mark, _, word)| (mark, word)),
                "{name}"
            );
        }
    }

    #[test]
    fn counts_in_words() {
        let (zh, en) = (Language::ZhCn, Language::En);

        assert_eq!(
            [en.times(1), en.times(2), zh.times(1)],
            ["once", "2 times", "1 次"]
        );
        let users = [
            en.users(1, true),
            en.users(999, true),
            en.users(1_000, false),
        ];
        assert_eq!(users, ["1 user", "999 users", "≥ 1000 users"]);
    }

    #[test]
    fn tells_mutes_in_hours() {
        let (zh, en) = (Language::ZhCn, Language::En);
        let cases = [
            (1_800, "静默 30 分钟", "Mute for 30 minutes"),
            (3_600, "静默 1 小时", "Mute for 1 hour"),
            (86_400, "静默 24 小时", "Mute for 24 hours"),
            (604_800, "静默 7 天", "Mute for 7 days"),
        ];

        for (seconds, chinese, english) in cases {
            let lasts = Duration::from_secs(seconds);

            assert_eq!([zh.mute_for(lasts), en.mute_for(lasts)], [chinese, english]);
        }
    }

    #[test]
    fn tells_durations_in_two_units() {
        let (zh, en) = (Language::ZhCn, Language::En);
        let cases = [
            (0, "1 秒", "1 second"),
            (59, "59 秒", "59 seconds"),
            (300, "5 分钟", "5 minutes"),
            (5_400, "1 小时 30 分钟", "1 hour 30 minutes"),
            (7 * 86_400, "7 天", "7 days"),
            (90_061, "1 天 1 小时", "1 day 1 hour"),
        ];

        for (seconds, chinese, english) in cases {
            let duration = Duration::from_secs(seconds);

            assert_eq!(
                [zh.duration(duration), en.duration(duration)],
                [chinese, english]
            );
        }
    }
}

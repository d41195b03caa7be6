//! What the page behind a card's link says, in the languages of cards.

use std::time::{Duration, SystemTime};

use alert::mute::link::LinkError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use state::Mute;

use super::link::Refusal;

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    ZhCn,
    En,
}

/// Words that stand for themselves.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) question: &'static str,
    pub(super) done: &'static str,
    pub(super) undone: &'static str,
    pub(super) not_undone: &'static str,
    pub(super) undo: &'static str,
    pub(super) project: &'static str,
    pub(super) unknown_issue: &'static str,
    pub(super) who_may_undo: &'static str,
}

impl Language {
    /// Returns the language that a link names; cards speak Chinese where nothing is said.
    pub(super) fn of(parameters: &[(String, String)]) -> Self {
        let is_english = |(name, value): &(String, String)| name == "lang" && value == "en";
        match parameters.iter().any(is_english) {
            true => Self::En,
            false => Self::ZhCn,
        }
    }

    pub(super) fn code(self) -> &'static str {
        match self {
            Self::ZhCn => "zh-CN",
            Self::En => "en",
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::ZhCn => &ZH_CN,
            Self::En => &EN,
        }
    }

    /// Labels the button.
    pub(super) fn mute_for(self, lasts: Duration) -> String {
        let lasts = self.duration(lasts);
        match self {
            Self::ZhCn => format!("静默 {lasts}"),
            Self::En => format!("Mute for {lasts}"),
        }
    }

    /// Says that an issue is muted, by whom and until when.
    pub(super) fn muted(self, mute: &Mute) -> String {
        let by = match (self, mute.by.as_str()) {
            (Self::ZhCn, "link") => "卡片链接",
            (Self::En, "link") => "a card's link",
            (_, by) => by,
        };
        match (self, mute.until.map(|until| self.moment(until))) {
            (Self::ZhCn, Some(until)) => format!("已静默到 {until}（{by}）。"),
            (Self::ZhCn, None) => format!("已静默, 直到有人撤销（{by}）。"),
            (Self::En, Some(until)) => format!("Muted until {until}, by {by}."),
            (Self::En, None) => format!("Muted until somebody removes it, by {by}."),
        }
    }

    /// Returns a headline for a link that does nothing, and what to do.
    pub(super) fn refusal(self, refusal: Refusal) -> (&'static str, &'static str) {
        match (self, refusal) {
            (Self::ZhCn, Refusal::Link(LinkError::Incomplete)) => {
                ("链接不完整", "什么都没有改变。请从卡片重新打开。")
            }
            (Self::En, Refusal::Link(LinkError::Incomplete)) => (
                "The link is not complete",
                "Nothing was changed. Open it from the card again.",
            ),
            (Self::ZhCn, Refusal::Link(LinkError::Forged)) => (
                "链接无效",
                "什么都没有改变。链接被改动过, 或者不是由这个代理签发。",
            ),
            (Self::En, Refusal::Link(LinkError::Forged)) => (
                "The link is not genuine",
                "Nothing was changed. It was altered, or another proxy made it.",
            ),
            (Self::ZhCn, Refusal::Link(LinkError::Expired)) => (
                "链接已过期",
                "什么都没有改变。卡片上的链接三天内有效, 请使用较新的卡片, 或者在状态页上静默。",
            ),
            (Self::En, Refusal::Link(LinkError::Expired)) => (
                "The link has expired",
                "Nothing was changed. A card's links are good for three days: use a newer card, or the status page.",
            ),
            (Self::ZhCn, Refusal::Foreign) => {
                ("请求来自其他网站", "什么都没有改变。请从卡片打开链接。")
            }
            (Self::En, Refusal::Foreign) => (
                "The request comes from another site",
                "Nothing was changed. Open the link from the card.",
            ),
            (Self::ZhCn, Refusal::Unavailable) => (
                "暂时无法静默",
                "什么都没有改变。状态存储没有应答, 请稍后再试。",
            ),
            (Self::En, Refusal::Unavailable) => (
                "Muting is not possible at the moment",
                "Nothing was changed. The state does not answer; try again later.",
            ),
        }
    }

    /// `24 小时`, `90 分钟`; `1 hour`, `90 minutes`
    fn duration(self, lasts: Duration) -> String {
        let minutes = lasts.as_secs().div_ceil(60);
        let (number, is_hours) = match minutes % 60 {
            0 => (minutes / 60, true),
            _ => (minutes, false),
        };
        let plural = if number == 1 { "" } else { "s" };
        match (self, is_hours) {
            (Self::ZhCn, true) => format!("{number} 小时"),
            (Self::ZhCn, false) => format!("{number} 分钟"),
            (Self::En, true) => format!("{number} hour{plural}"),
            (Self::En, false) => format!("{number} minute{plural}"),
        }
    }

    /// `北京时间 11-26 18:30`, `26 Nov 18:30 UTC`
    fn moment(self, at: SystemTime) -> String {
        let zone = match self {
            Self::ZhCn => TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC),
            Self::En => TimeZone::UTC,
        };
        let at = Timestamp::try_from(at).unwrap_or(Timestamp::MAX);
        let at = at.to_zoned_datetime(zone);
        match self {
            Self::ZhCn => at.strftime("北京时间 %m-%d %H:%M").to_string(),
            Self::En => at.strftime("%-d %b %H:%M UTC").to_string(),
        }
    }
}

static ZH_CN: Words = Words {
    question: "静默这个问题?",
    done: "已静默",
    undone: "已撤销静默",
    not_undone: "不能在这里撤销",
    undo: "撤销",
    project: "项目",
    unknown_issue: "已不在列表中的问题",
    who_may_undo: "静默期间事件照常转发和计数, 只是不再通知。任何看到卡片的人都可以用卡片上的链接撤销链接设置的静默; \
                   其他静默由管理员在状态页或用 sentry-notice mute remove 撤销。",
};

static EN: Words = Words {
    question: "Mute this issue?",
    done: "Muted",
    undone: "No longer muted",
    not_undone: "This cannot be undone here",
    undo: "Undo",
    project: "project",
    unknown_issue: "an issue that is no longer listed",
    who_may_undo: "While it is muted its events are forwarded and counted as always, and nobody is told. Whoever sees the card can undo \
                   by its links what a link has muted; other mutes are for those who look after this proxy, on the status page or \
                   with sentry-notice mute remove.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_and_until_when() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_685_400);
        let cases = [
            (3_600, "静默 1 小时", "Mute for 1 hour"),
            (86_400, "静默 24 小时", "Mute for 24 hours"),
            (5_400, "静默 90 分钟", "Mute for 90 minutes"),
        ];

        for (lasts, chinese, english) in cases {
            let lasts = Duration::from_secs(lasts);
            assert_eq!(Language::ZhCn.mute_for(lasts), chinese);
            assert_eq!(Language::En.mute_for(lasts), english);
        }
        assert_eq!(Language::ZhCn.moment(at), "北京时间 11-26 17:30");
        assert_eq!(Language::En.moment(at), "26 Nov 09:30 UTC");
    }
}

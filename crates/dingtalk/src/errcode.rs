//! What DingTalk's answers mean: the cause of a refusal, whether trying again helps, and what the operator can do.
//!
//! Source: DingTalk, "Custom robots", table of error codes. The status is 200 whatever happened: only `{"errcode":0}`
//! is a delivery. Code 310000 stands for four causes that only the wording of `errmsg` tells apart; DingTalk has used
//! three wordings over the years.

mod hints;

use std::time::Duration;

use alert::Retry;
use serde_json::Value;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Busy,
    RateLimited,
    QuotaSpent,
    KeywordMissing,
    SignatureMismatch,
    ClockOff,
    AddressRefused,
    SecurityRefused,
    TokenUnknown,
    TokenMissing,
    RobotStopped,
    RobotNotInChat,
    ChatDissolved,
    TypeRefused,
    FieldMissing,
    RequestMalformed,
    TooLong,
    ContentRefused,
    CodeUnknown,
    CodeMissing,
    NotJson,
    Redirected,
    StatusUnexpected,
    TimedOut,
    Unreachable,
    BrokenOff,
}

/// What may be changed about a message so that the same attempt can still succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Sign again with DingTalk's own clock.
    CorrectClock,
    /// Send a shorter card.
    Shrink,
    /// Send plain text without links and without words of the event.
    Reduce,
}

/// Reads an answer: `Ok` for a delivery, else the cause and DingTalk's own words.
pub(crate) fn read_answer(status: u16, body: &[u8]) -> Result<(), (Cause, String)> {
    let json = serde_json::from_slice::<Value>(body).ok();
    let code = json
        .as_ref()
        .and_then(|json| json.get("errcode"))
        .and_then(Value::as_i64);
    let errmsg = json
        .as_ref()
        .and_then(|json| json.get("errmsg"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (status, code) {
        (200, Some(0)) => Ok(()),
        (_, Some(code)) if code != 0 => {
            Err((cause_of(code, errmsg), format!("errcode {code}: {errmsg}")))
        }
        (300..400, _) => Err((Cause::Redirected, format!("HTTP status {status}"))),
        (429, _) => Err((Cause::RateLimited, format!("HTTP status {status}"))),
        (200, _) if json.is_some() => {
            Err((Cause::CodeMissing, "the answer holds no errcode".to_owned()))
        }
        (200, _) => Err((Cause::NotJson, "the answer is not JSON".to_owned())),
        _ => Err((Cause::StatusUnexpected, format!("HTTP status {status}"))),
    }
}

fn cause_of(code: i64, errmsg: &str) -> Cause {
    match code {
        -1 => Cause::Busy,
        130_101 | 410_100 => Cause::RateLimited,
        90_030 | 450_101 => Cause::QuotaSpent,
        310_000 => security_cause_of(errmsg),
        300_001 | 300_005 => Cause::TokenUnknown,
        400_101 => Cause::TokenMissing,
        400_102 => Cause::RobotStopped,
        400_106 => Cause::RobotNotInChat,
        400_013 => Cause::ChatDissolved,
        400_105 => Cause::TypeRefused,
        400_200..=400_699 | 40_035 => Cause::FieldMissing,
        43_002 | 43_004 => Cause::RequestMalformed,
        460_101 | 101_002 => Cause::TooLong,
        430_101..=430_104 => Cause::ContentRefused,
        _ => Cause::CodeUnknown,
    }
}

/// The advice behind the description speaks of keys and times whatever the cause is, so only the description counts.
fn security_cause_of(errmsg: &str) -> Cause {
    let lower = errmsg.to_lowercase();
    let advice = ["solution", "解决方案", "more:"]
        .iter()
        .filter_map(|word| lower.find(word))
        .min();
    let description = &lower[..advice.unwrap_or(lower.len())];
    let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
    match () {
        () if says(&["keyword", "关键词"]) => Cause::KeywordMissing,
        () if says(&["timestamp", "expire", "过期"]) => Cause::ClockOff,
        () if says(&["whitelist", "白名单"]) => Cause::AddressRefused,
        () if says(&["sign", "签名"]) => Cause::SignatureMismatch,
        () => Cause::SecurityRefused,
    }
}

impl Cause {
    /// Every cause, for tables.
    #[cfg(test)]
    const ALL: [Self; 26] = [
        Self::Busy,
        Self::RateLimited,
        Self::QuotaSpent,
        Self::KeywordMissing,
        Self::SignatureMismatch,
        Self::ClockOff,
        Self::AddressRefused,
        Self::SecurityRefused,
        Self::TokenUnknown,
        Self::TokenMissing,
        Self::RobotStopped,
        Self::RobotNotInChat,
        Self::ChatDissolved,
        Self::TypeRefused,
        Self::FieldMissing,
        Self::RequestMalformed,
        Self::TooLong,
        Self::ContentRefused,
        Self::CodeUnknown,
        Self::CodeMissing,
        Self::NotJson,
        Self::Redirected,
        Self::StatusUnexpected,
        Self::TimedOut,
        Self::Unreachable,
        Self::BrokenOff,
    ];

    /// Returns its name in metrics, one of a closed set.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::QuotaSpent => "quota_spent",
            Self::KeywordMissing => "keyword_missing",
            Self::SignatureMismatch => "signature_mismatch",
            Self::ClockOff => "clock_off",
            Self::AddressRefused => "address_refused",
            Self::SecurityRefused => "security_refused",
            Self::TokenUnknown => "token_unknown",
            Self::TokenMissing => "token_missing",
            Self::RobotStopped => "robot_stopped",
            Self::RobotNotInChat => "robot_not_in_chat",
            Self::ChatDissolved => "chat_dissolved",
            Self::TypeRefused => "type_refused",
            Self::FieldMissing => "field_missing",
            Self::RequestMalformed => "request_malformed",
            Self::TooLong => "too_long",
            Self::ContentRefused => "content_refused",
            Self::CodeUnknown => "code_unknown",
            Self::CodeMissing => "code_missing",
            Self::NotJson => "not_json",
            Self::Redirected => "redirected",
            Self::StatusUnexpected => "status_unexpected",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken_off",
        }
    }

    /// Returns whether trying the same message again helps; `strikes` counts the refusals for speed since the last delivery.
    pub(crate) fn retry(self, strikes: u32) -> Retry {
        match self {
            Self::RateLimited | Self::QuotaSpent | Self::CodeMissing => {
                Retry::Paused(closed_for(strikes))
            }
            Self::Busy
            | Self::ClockOff
            | Self::NotJson
            | Self::StatusUnexpected
            | Self::TimedOut
            | Self::Unreachable
            | Self::BrokenOff => Retry::Soon,
            Self::KeywordMissing
            | Self::SignatureMismatch
            | Self::AddressRefused
            | Self::SecurityRefused
            | Self::TokenUnknown
            | Self::TokenMissing
            | Self::RobotStopped
            | Self::RobotNotInChat
            | Self::ChatDissolved
            | Self::Redirected => Retry::AfterRepair,
            Self::TypeRefused
            | Self::FieldMissing
            | Self::RequestMalformed
            | Self::TooLong
            | Self::ContentRefused
            | Self::CodeUnknown => Retry::Never,
        }
    }

    /// Returns what may be changed to deliver it after all.
    pub(crate) fn remedy(self) -> Option<Remedy> {
        match self {
            Self::ClockOff => Some(Remedy::CorrectClock),
            Self::TooLong => Some(Remedy::Shrink),
            Self::ContentRefused => Some(Remedy::Reduce),
            Self::Busy
            | Self::RateLimited
            | Self::QuotaSpent
            | Self::KeywordMissing
            | Self::SignatureMismatch
            | Self::AddressRefused
            | Self::SecurityRefused
            | Self::TokenUnknown
            | Self::TokenMissing
            | Self::RobotStopped
            | Self::RobotNotInChat
            | Self::ChatDissolved
            | Self::TypeRefused
            | Self::FieldMissing
            | Self::RequestMalformed
            | Self::CodeUnknown
            | Self::CodeMissing
            | Self::NotJson
            | Self::Redirected
            | Self::StatusUnexpected
            | Self::TimedOut
            | Self::Unreachable
            | Self::BrokenOff => None,
        }
    }

    /// Returns what the operator can do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Busy => hints::BUSY,
            Self::RateLimited => hints::RATE_LIMITED,
            Self::QuotaSpent => hints::QUOTA_SPENT,
            Self::KeywordMissing => hints::KEYWORD_MISSING,
            Self::SignatureMismatch => hints::SIGNATURE_MISMATCH,
            Self::ClockOff => hints::CLOCK_OFF,
            Self::AddressRefused => hints::ADDRESS_REFUSED,
            Self::SecurityRefused => hints::SECURITY_REFUSED,
            Self::TokenUnknown => hints::TOKEN_UNKNOWN,
            Self::TokenMissing => hints::TOKEN_MISSING,
            Self::RobotStopped => hints::ROBOT_STOPPED,
            Self::RobotNotInChat => hints::ROBOT_NOT_IN_CHAT,
            Self::ChatDissolved => hints::CHAT_DISSOLVED,
            Self::TypeRefused => hints::TYPE_REFUSED,
            Self::FieldMissing | Self::RequestMalformed => hints::UNREADABLE,
            Self::TooLong => hints::TOO_LONG,
            Self::ContentRefused => hints::CONTENT_REFUSED,
            Self::CodeUnknown => hints::CODE_UNKNOWN,
            Self::CodeMissing => hints::CODE_MISSING,
            Self::NotJson => hints::NOT_JSON,
            Self::Redirected => hints::REDIRECTED,
            Self::StatusUnexpected => hints::STATUS_UNEXPECTED,
            Self::TimedOut => hints::TIMED_OUT,
            Self::Unreachable => hints::UNREACHABLE,
            Self::BrokenOff => hints::BROKEN_OFF,
        }
    }

    /// Returns whether DingTalk closed the robot for speed.
    pub(crate) fn is_closed(self) -> bool {
        matches!(self.retry(0), Retry::Paused(_))
    }
}

/// DingTalk opens a robot again after a minute at first, and after ten when it goes on.
fn closed_for(strikes: u32) -> Duration {
    match strikes {
        0 | 1 => Duration::from_secs(60),
        2.. => Duration::from_secs(600),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_errcode_zero_with_status_200_is_a_delivery() {
        assert_eq!(read_answer(200, br#"{"errcode":0,"errmsg":"ok"}"#), Ok(()));
        let cases: [(u16, &str, Cause); 12] = [
            (
                500,
                r#"{"errcode":0,"errmsg":"ok"}"#,
                Cause::StatusUnexpected,
            ),
            (200, r#"{"errcode":"0"}"#, Cause::CodeMissing),
            (
                200,
                r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"x"}"#,
                Cause::CodeMissing,
            ),
            (200, r#"{"errmsg":"ok"}"#, Cause::CodeMissing),
            (200, "null", Cause::CodeMissing),
            (200, "", Cause::NotJson),
            (200, "<html>login</html>", Cause::NotJson),
            (302, "", Cause::Redirected),
            (429, "", Cause::RateLimited),
            (502, "<html>bad gateway</html>", Cause::StatusUnexpected),
            (404, "", Cause::StatusUnexpected),
            (
                400,
                r#"{"errcode":40035,"errmsg":"缺少参数 json"}"#,
                Cause::FieldMissing,
            ),
        ];

        for (status, body, expected) in cases {
            let cause = read_answer(status, body.as_bytes()).map_err(|(cause, _)| cause);

            assert_eq!(cause, Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn reads_every_documented_code() {
        let minute = Retry::Paused(Duration::from_secs(60));
        let cases: [(i64, &str, Cause, Retry); 39] = [
            (-1, "系统繁忙", Cause::Busy, Retry::Soon),
            (
                130_101,
                "send too fast, exceed 20 times per minute",
                Cause::RateLimited,
                minute,
            ),
            (410_100, "发送速度太快而限流", Cause::RateLimited, minute),
            (90_030, "webhook over limit", Cause::QuotaSpent, minute),
            (450_101, "", Cause::QuotaSpent, minute),
            (
                310_000,
                "keywords not in content",
                Cause::KeywordMissing,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "keywords not in content, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
                Cause::KeywordMissing,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "description:关键词不匹配;solution:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;",
                Cause::KeywordMissing,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "错误描述:关键词不匹配;解决方案:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;",
                Cause::KeywordMissing,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "sign not match",
                Cause::SignatureMismatch,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "sign not match, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]",
                Cause::SignatureMismatch,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳(timestamp)必须都放在调用的网址中，请确认机器人的密钥加密和填写正确;",
                Cause::SignatureMismatch,
                Retry::AfterRepair,
            ),
            (310_000, "invalid timestamp", Cause::ClockOff, Retry::Soon),
            (
                310_000,
                "description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 timestampms 以内;",
                Cause::ClockOff,
                Retry::Soon,
            ),
            (
                310_000,
                "错误描述:机器人发送签名过期;解决方案:签名生成时间和发送时间请保持在 timestampms 以内;",
                Cause::ClockOff,
                Retry::Soon,
            ),
            (
                310_000,
                "ip 203.0.113.9 not in whitelist",
                Cause::AddressRefused,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "description:ip 203.0.113.9 not in whitelist;solution:请检查签名;",
                Cause::AddressRefused,
                Retry::AfterRepair,
            ),
            (
                310_000,
                "description:机器人发送IP不在白名单内;solution:x;",
                Cause::AddressRefused,
                Retry::AfterRepair,
            ),
            (310_000, "", Cause::SecurityRefused, Retry::AfterRepair),
            (
                300_001,
                "token is not exist",
                Cause::TokenUnknown,
                Retry::AfterRepair,
            ),
            (
                300_005,
                "token is not exist",
                Cause::TokenUnknown,
                Retry::AfterRepair,
            ),
            (400_101, "", Cause::TokenMissing, Retry::AfterRepair),
            (400_102, "", Cause::RobotStopped, Retry::AfterRepair),
            (400_106, "", Cause::RobotNotInChat, Retry::AfterRepair),
            (400_013, "", Cause::ChatDissolved, Retry::AfterRepair),
            (400_105, "", Cause::TypeRefused, Retry::Never),
            (
                400_402,
                "参数 markdown --》 title 缺失",
                Cause::FieldMissing,
                Retry::Never,
            ),
            (
                400_201,
                "miss param : text->content",
                Cause::FieldMissing,
                Retry::Never,
            ),
            (40_035, "缺少参数 json", Cause::FieldMissing, Retry::Never),
            (43_002, "", Cause::RequestMalformed, Retry::Never),
            (43_004, "", Cause::RequestMalformed, Retry::Never),
            (
                460_101,
                "message too long, exceed 20000 bytes",
                Cause::TooLong,
                Retry::Never,
            ),
            (101_002, "message is too long", Cause::TooLong, Retry::Never),
            (430_101, "", Cause::ContentRefused, Retry::Never),
            (430_102, "", Cause::ContentRefused, Retry::Never),
            (430_103, "", Cause::ContentRefused, Retry::Never),
            (430_104, "", Cause::ContentRefused, Retry::Never),
            (88, "", Cause::CodeUnknown, Retry::Never),
            (999_999, "ok", Cause::CodeUnknown, Retry::Never),
        ];

        for (code, errmsg, expected, retry) in cases {
            let cause = cause_of(code, errmsg);

            assert_eq!(cause, expected, "{code} {errmsg}");
            assert_eq!(cause.retry(1), retry, "{code} {errmsg}");
        }
    }

    #[test]
    fn every_cause_has_its_own_label_and_a_hint() {
        let labels: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.reason()).collect();

        assert_eq!(labels.len(), Cause::ALL.len());
        assert!(Cause::ALL.iter().all(|cause| cause.hint().len() > 20));
    }

    #[test]
    fn a_robot_that_stays_too_fast_is_left_alone_for_longer() {
        let pauses = [0, 1, 2, 9].map(|strikes| Cause::RateLimited.retry(strikes));

        let expected =
            [60, 60, 600, 600].map(|seconds| Retry::Paused(Duration::from_secs(seconds)));
        assert_eq!(pauses, expected);
    }
}

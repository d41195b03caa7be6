//! Why the robot refuses a request, in DingTalk's codes and words.
//!
//! Codes and texts as seen in answers of the live service between 2019 and 2026. Three are inferred from their neighbours:
//! 400502 and the ones for an action card's buttons and a feed card's links.

use std::net::IpAddr;

use super::profile::Wording;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The path is not `/robot/send`.
    Path,
    /// The method is not `POST`.
    Method,
    /// No `access_token` in the query.
    TokenMissing,
    /// `content-type` is not `application/json`.
    ContentType,
    /// The body is not a JSON object in UTF-8.
    Json,
    /// No robot has this token.
    TokenUnknown,
    /// The peer is in none of the allowed networks.
    Address(IpAddr),
    /// `timestamp` is more than an hour away from now.
    Time,
    /// `timestamp` or `sign` is missing, or the signature is wrong (encoded twice, for one).
    Sign,
    /// The body is longer than 20 000 bytes.
    TooLong,
    /// `msgtype` is missing or none of the five.
    MessageType(String),
    /// A field is missing, empty or of the wrong type.
    Field {
        /// Code of the field.
        errcode: i64,
        /// Where the field belongs: `markdown`.
        parent: &'static str,
        /// Name of the field; empty for the parent itself.
        name: &'static str,
    },
    /// The message contains none of the keywords.
    Keyword,
    /// More messages than a minute may have, or still blocked for it.
    TooFast {
        /// Messages a minute may have.
        per_minute: usize,
    },
    /// Something without effect that a strict robot does not let pass. Not a refusal of DingTalk's.
    Strict(String),
}

impl Reason {
    /// Returns the code of the answer.
    pub fn errcode(&self) -> i64 {
        match self {
            Self::Path => 404,
            Self::Method => 43002,
            Self::TokenMissing | Self::Json | Self::Strict(_) => 40035,
            Self::ContentType => 43004,
            Self::TokenUnknown => 300_005,
            Self::Address(_) | Self::Time | Self::Sign | Self::Keyword => 310_000,
            Self::TooLong => 460_101,
            Self::MessageType(_) => 400_105,
            Self::Field { errcode, .. } => *errcode,
            Self::TooFast { .. } => 130_101,
        }
    }

    /// Returns the text of the answer.
    pub fn errmsg(&self, wording: Wording) -> String {
        match wording {
            Wording::Plain => self.plain(),
            Wording::Linked => self.linked(),
            Wording::Described => self.described(),
            Wording::DescribedInChinese => self
                .described()
                .replace("description:", "错误描述:")
                .replace("solution:", "解决方案:")
                .replace("link:", "参考链接:"),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Path => "请求的URI地址不存在".into(),
            Self::Method => "需要POST请求".into(),
            Self::TokenMissing => "缺少参数 access_token".into(),
            Self::ContentType => "无效的HTTP HEADER Content-Type".into(),
            Self::Json => "缺少参数 json".into(),
            Self::TokenUnknown => "token is not exist".into(),
            Self::Address(peer) => format!("ip {peer} not in whitelist"),
            Self::Time => "invalid timestamp".into(),
            Self::Sign => "sign not match".into(),
            Self::TooLong => "message too long, exceed 20000 bytes".into(),
            Self::MessageType(_) => "unsupported msgtype".into(),
            Self::Field {
                parent, name: "", ..
            } => format!("miss param : {parent}"),
            Self::Field { parent, name, .. } => format!("miss param : {parent}->{name}"),
            Self::Keyword => "keywords not in content".into(),
            Self::TooFast { per_minute } => {
                format!("send too fast, exceed {per_minute} times per minute")
            }
            Self::Strict(what) => format!("strict: {what}"),
        }
    }

    fn linked(&self) -> String {
        match self {
            Self::Address(_) | Self::Time | Self::Sign | Self::Keyword => {
                format!("{}, more: [{LINK}]", self.plain())
            }
            _ => self.plain(),
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Address(_) => {
                "description:ip 不在白名单中;solution:请联系对应群的管理员，设置机器人安全ip地址段".into()
            }
            Self::Time => "description:机器人发送签名过期;\
                solution:签名生成时间和发送时间请保持在 timestampms 以内;"
                .into(),
            Self::Sign => "description:机器人发送签名不匹配;\
                solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，请确认机器人的密钥加密和填写正确;\
                link:请参考本接口对应文档获得具体要求，或者在https://open.dingtalk.com/document/  搜索相关文档;"
                .into(),
            Self::Keyword => "description:关键词不匹配;\
                solution:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;"
                .into(),
            Self::TooLong => {
                "description: body 大小不合法;solution:请保持大小在 20000bytes 以内;".into()
            }
            Self::MessageType(name) => format!(
                "description: 不支持类型 msgType:{name} ;solution:请使用支持的类型;\
                link:请参考本接口对应文档查看支持的消息类型，或者在https://open.dingtalk.com/document/ 搜索对应文档;"
            ),
            Self::Field { parent, name, .. } => {
                let arrow = if name.is_empty() { "" } else { " --》 " };
                format!(
                    "description:参数 {parent}{arrow}{name} 缺失，或者参数格式不正确; solution:请填充上对应参数;\
                    link:请参考本接口对应文档查看参数获取方式，或者在https://open.dingtalk.com/document/  搜索对应文档;"
                )
            }
            Self::Path
            | Self::Method
            | Self::TokenMissing
            | Self::ContentType
            | Self::Json
            | Self::TokenUnknown
            | Self::TooFast { .. }
            | Self::Strict(_) => self.plain(),
        }
    }
}

const LINK: &str = "https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_a_wrong_signature_as_dingtalk_did_over_the_years() {
        let starts = [
            (Wording::Plain, "sign not match"),
            (Wording::Linked, "sign not match, more: [https://ding-doc"),
            (
                Wording::Described,
                "description:机器人发送签名不匹配;solution:请确认",
            ),
            (
                Wording::DescribedInChinese,
                "错误描述:机器人发送签名不匹配;解决方案:请确认",
            ),
        ];
        for (wording, start) in starts {
            let text = Reason::Sign.errmsg(wording);

            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn names_the_missing_field() {
        let title = Reason::Field {
            errcode: 400_402,
            parent: "markdown",
            name: "title",
        };
        let parent = Reason::Field {
            errcode: 400_401,
            parent: "markdown",
            name: "",
        };

        assert_eq!(title.errmsg(Wording::Plain), "miss param : markdown->title");
        assert_eq!(parent.errmsg(Wording::Plain), "miss param : markdown");
        assert!(
            title.errmsg(Wording::DescribedInChinese).starts_with(
                "错误描述:参数 markdown --》 title 缺失，或者参数格式不正确; 解决方案:"
            )
        );
    }
}

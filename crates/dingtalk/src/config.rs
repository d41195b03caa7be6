//! What one robot is told: where to send, how to sign, whom to mention, how the card looks.
//!
//! These are meant values: parsed, checked, and free of the config file's spelling.

use std::fmt;

use alert::Mention;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use url::Url;

/// One robot: its webhook, its security settings and the look of its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct RobotConfig {
    /// The robot's name in the config file.
    pub name: String,
    /// Where to send: one robot of the chat, or several that take turns. Empty is refused by [`crate::Robot::new`].
    pub webhooks: Vec<Webhook>,
    /// The secret of the security setting "additional signature"; `None` when the robot has another setting.
    pub secret: Option<Secret>,
    /// The secret of each of `webhooks`, where they have secrets of their own.
    pub secrets: Vec<Secret>,
    /// A word every message must hold, for the security setting "custom keywords".
    pub keyword: Option<String>,
    /// Messages in any 60 seconds through each webhook; DingTalk closes the robot for ten minutes above 20.
    pub per_minute: u32,
    /// The form of alerts.
    pub message: MessageKind,
    /// Whom every alert mentions.
    pub mention: Mention,
    /// The language of our own words.
    pub language: Language,
    /// The zone in which times are shown.
    pub timezone: TimeZone,
    /// Where a tapped link opens on a computer.
    pub open_links_in: OpenLinks,
}

/// The address of a robot. It holds the access token, so `Debug` and `Display` show only the token's last four characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    url: Url,
}

/// A webhook that cannot be one. The text never quotes the value, which may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// There is nothing.
    #[error("webhook is empty")]
    Empty,
    /// It is neither a URL nor a bare token.
    #[error("webhook is neither a URL nor an access token")]
    Unreadable,
    /// The scheme is not `http` or `https`.
    #[error("webhook is not an http or https URL")]
    Scheme,
    /// The `access_token` parameter is missing or empty.
    #[error("webhook has no access_token parameter")]
    TokenMissing,
    /// The token holds something other than ASCII letters, digits, `-` and `_`: often a `…` left from an example.
    #[error("access_token of the webhook holds a character that no token has")]
    TokenUnreadable,
}

/// The key that signs messages; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The form of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageKind {
    /// A markdown bubble with links; the only rich form that can mention.
    #[default]
    Markdown,
    /// A card with buttons. DingTalk mentions nobody from it, so a robot with [`Mention`]s sends markdown instead.
    ActionCard,
    /// Plain text.
    Text,
}

/// The language of our own words; the event's words stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Simplified Chinese.
    #[default]
    ZhCn,
    /// English.
    En,
}

/// Where a tapped link opens in DingTalk on a computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenLinks {
    /// The default browser, where people are signed in to Sentry.
    #[default]
    Browser,
    /// DingTalk's side bar, its own default.
    Sidebar,
}

impl Webhook {
    /// Reads a robot's address as users paste it: the whole URL, the URL without its scheme, or the bare token.
    ///
    /// Any host will do (`oapi.dingtalk.com`, `oapi.dingtalk.io`, a relay of one's own). A `timestamp` and a `sign` left
    /// in the URL are dropped: they would be stale, and would stay in front of the ones added for each message.
    ///
    /// # Errors
    /// [`WebhookError`] when no address with a token can be read from it.
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(WebhookError::Empty);
        }
        let address = match text {
            _ if is_token(text) => format!("{DEFAULT_ADDRESS}?access_token={text}"),
            _ if text.contains("://") => text.to_owned(),
            _ => format!("https://{text}"),
        };
        let url = Url::parse(&address).map_err(|_| WebhookError::Unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebhookError::Scheme);
        }
        Self::of(url)
    }

    fn of(mut url: Url) -> Result<Self, WebhookError> {
        let stays = |name: &str| !matches!(name, "timestamp" | "sign");
        let parameters: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| stays(name))
            .map(|(name, value)| (name.into_owned(), value.trim().to_owned()))
            .collect();
        let token = parameters.iter().find(|(name, _)| name == TOKEN);
        match token {
            Some((_, token)) if is_token(token) => {}
            Some((_, token)) if !token.is_empty() => return Err(WebhookError::TokenUnreadable),
            Some(_) | None => return Err(WebhookError::TokenMissing),
        }
        url.query_pairs_mut().clear().extend_pairs(&parameters);
        url.set_fragment(None);
        Ok(Self { url })
    }

    /// Returns the URL with the access token, to which a request's own parameters are added.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the access token, to keep it out of messages.
    pub(crate) fn token(&self) -> String {
        let token = self.url.query_pairs().find(|(name, _)| name == TOKEN);
        token
            .map(|(_, token)| token.into_owned())
            .unwrap_or_default()
    }

    /// Returns what tells it from others without telling the token: the same for the same token at the same host.
    pub(crate) fn fingerprint(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let digest = Sha256::digest(format!("{host}\n{}", self.token()));
        let start = digest.iter().take(8);
        start.fold("dingtalk-".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        })
    }

    /// Returns whether it names this very machine, which no proxy server can reach.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(url::Host::Domain(domain)) => domain == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Returns whether requests to it are in clear text.
    pub(crate) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token();
        let shown = if token.len() >= TOKEN_SHOWN_FROM {
            &token[token.len() - 4..]
        } else {
            ""
        };
        let origin = self.url.origin().ascii_serialization();
        write!(formatter, "{origin}{}?{TOKEN}=…{shown}", self.url.path())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Webhook({self})")
    }
}

impl Secret {
    /// Keeps a secret, without the blanks that pasting adds around it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Returns the key itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl RobotConfig {
    /// Returns the secret of the webhook at a place in `webhooks`.
    pub(crate) fn secret_of(&self, at: usize) -> Option<&Secret> {
        self.secrets.get(at).or(self.secret.as_ref())
    }
}

impl MessageKind {
    /// Reads the name of the config file: `markdown`, `action_card` or `text`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "markdown" => Some(Self::Markdown),
            "action_card" => Some(Self::ActionCard),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

impl Language {
    /// Reads the name of the config file: `zh-CN` or `en`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "zh-CN" => Some(Self::ZhCn),
            "en" => Some(Self::En),
            _ => None,
        }
    }
}

impl OpenLinks {
    /// Reads the name of the config file: `browser` or `sidebar`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "browser" => Some(Self::Browser),
            "sidebar" => Some(Self::Sidebar),
            _ => None,
        }
    }
}

/// Real tokens are 64 hex digits; a relay's may be others.
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_allowed)
}

const DEFAULT_ADDRESS: &str = "https://oapi.dingtalk.com/robot/send";
const TOKEN: &str = "access_token";
/// A shorter token is shown not at all: four characters would be too much of it.
const TOKEN_SHOWN_FROM: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_webhooks_as_users_paste_them() {
        let cases = [
            (TOKEN_64, "https://oapi.dingtalk.com/robot/send"),
            (
                "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef",
                "https://oapi.dingtalk.com/robot/send",
            ),
            (
                "  https://oapi.dingtalk.io/robot/send?access_token=0123456789abcdef\n",
                "https://oapi.dingtalk.io/robot/send",
            ),
            (
                "oapi.dingtalk.com/robot/send?access_token=0123456789abcdef",
                "https://oapi.dingtalk.com/robot/send",
            ),
            (
                "http://127.0.0.1:8123/robot/send?access_token=0123456789abcdef",
                "http://127.0.0.1:8123/robot/send",
            ),
            (
                "https://relay.example.com/ding?access_token=0123456789abcdef#x",
                "https://relay.example.com/ding",
            ),
        ];

        for (text, address) in cases {
            let webhook = Webhook::parse(text).unwrap();

            assert_eq!(
                webhook.to_string(),
                format!("{address}?access_token=…cdef"),
                "{text}"
            );
        }
    }

    #[test]
    fn drops_stale_timestamp_and_sign_and_keeps_the_rest() {
        let pasted = "https://oapi.dingtalk.com/robot/send?timestamp=1&access_token=abc&sign=a%2Bb&timestamp=2&corp=x";

        let webhook = Webhook::parse(pasted).unwrap();

        let expected = "https://oapi.dingtalk.com/robot/send?access_token=abc&corp=x";
        assert_eq!(webhook.url().as_str(), expected);
    }

    #[test]
    fn refuses_what_is_no_webhook() {
        let cases = [
            ("", WebhookError::Empty),
            (" \n", WebhookError::Empty),
            (
                "ftp://oapi.dingtalk.com/robot/send?access_token=abc",
                WebhookError::Scheme,
            ),
            ("https://", WebhookError::Unreadable),
            (
                "https://oapi.dingtalk.com/robot/send",
                WebhookError::TokenMissing,
            ),
            (
                "https://oapi.dingtalk.com/robot/send?access_token=",
                WebhookError::TokenMissing,
            ),
            (
                "https://oapi.dingtalk.com/robot/send?access_token=…",
                WebhookError::TokenUnreadable,
            ),
            ("my token", WebhookError::Unreadable),
        ];

        for (text, expected) in cases {
            assert_eq!(Webhook::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn shows_neither_token_nor_secret() {
        let config = RobotConfig {
            name: "oncall".to_owned(),
            webhooks: vec![
                Webhook::parse(TOKEN_64).unwrap(),
                Webhook::parse("shorttoken").unwrap(),
            ],
            secret: Some(Secret::new("SEC0123456789abcdef")),
            secrets: vec![Secret::new("SEC0123456789abcdeg")],
            keyword: None,
            per_minute: 18,
            message: MessageKind::Markdown,
            mention: Mention::default(),
            language: Language::En,
            timezone: TimeZone::UTC,
            open_links_in: OpenLinks::Browser,
        };

        let shown = format!("{config:?} {:#?}", config);

        assert!(
            shown.contains("[redacted]") && shown.contains("…cdef"),
            "{shown}"
        );
        for hidden in ["SEC0", "9abcdef", "oken)", "0123"] {
            assert!(!shown.contains(hidden), "{hidden} is shown: {shown}");
        }
    }

    #[test]
    fn a_webhook_is_known_by_its_token_and_the_token_stays_secret() {
        let parse = |text: &str| Webhook::parse(text).unwrap().fingerprint();

        let bare = parse(TOKEN_64);

        assert_eq!(
            bare,
            parse(&format!(
                "https://oapi.dingtalk.com/robot/send?access_token={TOKEN_64}&x=y"
            ))
        );
        assert_ne!(bare, parse("shorttoken"));
        assert!(!bare.contains(&TOKEN_64[..8]), "{bare}");
    }

    const TOKEN_64: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
}

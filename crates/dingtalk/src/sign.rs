//! Signs a request the way a robot with the security setting "additional signature" wants it.
//!
//! Source: DingTalk, "Customize robot security settings": `base64(HMAC-SHA256(key = secret, "{timestamp}\n{secret}"))`,
//! the timestamp in milliseconds and within one hour of DingTalk's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use crate::config::{Secret, Webhook};

/// Returns the address of one request: the webhook, and with a secret the `timestamp` and `sign` of `now`.
///
/// The signature is percent-encoded here and nowhere else: a second encoding is refused as `sign not match`.
pub(crate) fn signed_url(webhook: &Webhook, secret: Option<&Secret>, now: SystemTime) -> Url {
    let mut url = webhook.url().clone();
    let Some(secret) = secret else {
        return url;
    };
    let timestamp = milliseconds(now);
    url.query_pairs_mut()
        .append_pair("timestamp", &timestamp.to_string())
        .append_pair("sign", &signature(secret, timestamp));
    url
}

/// Returns the base64 signature of a moment, not yet percent-encoded.
fn signature(secret: &Secret, timestamp: u64) -> String {
    let key = secret.expose().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{timestamp}\n").as_bytes());
    mac.update(key);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Returns a moment in milliseconds since 1970; 0 for one before.
fn milliseconds(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn signs_the_known_vectors() {
        let cases = [
            (
                1_577_262_236_757,
                "this is secret",
                "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM=",
            ),
            (
                1_700_000_000_000,
                "SEC0123456789abcdef",
                "TSZbRFUuvaSQaRKUpF970OPCb2/LcQAP3wOvwZIzBZk=",
            ),
        ];

        for (timestamp, secret, expected) in cases {
            assert_eq!(signature(&Secret::new(secret), timestamp), expected);
        }
    }

    #[test]
    fn encodes_the_signature_exactly_once() {
        let webhook =
            Webhook::parse("https://oapi.dingtalk.com/robot/send?access_token=abc").unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_577_262_236_757);

        let url = signed_url(&webhook, Some(&Secret::new("this is secret")), now);

        assert_eq!(
            url.as_str(),
            "https://oapi.dingtalk.com/robot/send?access_token=abc&timestamp=1577262236757\
             &sign=hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D"
        );
    }

    #[test]
    fn adds_nothing_without_a_secret() {
        let webhook =
            Webhook::parse("https://oapi.dingtalk.com/robot/send?access_token=abc").unwrap();

        let url = signed_url(&webhook, None, UNIX_EPOCH);

        assert_eq!(url, *webhook.url());
    }
}

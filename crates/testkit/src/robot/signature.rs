//! Checks 加签, DingTalk's signature in the query: `base64(HMAC-SHA256(secret, "{timestamp}\n{secret}"))`, percent-encoded once.
//!
//! Source: help.dingtalk.io, "Customize robot security settings". Written apart from the `dingtalk` crate on purpose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::refusal::Reason;

/// Checks `timestamp` (milliseconds) and `sign` of a decoded query against the secret. Of repeated parameters the first counts.
pub(crate) fn check(
    query: &[(String, String)],
    secret: &str,
    now_millis: i64,
) -> Result<(), Reason> {
    let timestamp = parameter(query, "timestamp").ok_or(Reason::Sign)?;
    let sign = parameter(query, "sign").ok_or(Reason::Sign)?;
    let millis: i64 = timestamp.parse().map_err(|_| Reason::Sign)?;
    if millis.abs_diff(now_millis) > HOUR_MILLIS {
        return Err(Reason::Time);
    }
    match sign == expected(timestamp, secret) {
        true => Ok(()),
        false => Err(Reason::Sign),
    }
}

/// Returns the first value of a query parameter.
pub(crate) fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn expected(timestamp: &str, secret: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{timestamp}\n{secret}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

const HOUR_MILLIS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const SECRET: &str = "SEC0123456789abcdef";
    const SIGN: &str = "TSZbRFUuvaSQaRKUpF970OPCb2/LcQAP3wOvwZIzBZk=";

    #[test]
    fn signs_as_the_published_vectors_do() {
        assert_eq!(
            expected("1577262236757", "this is secret"),
            "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM="
        );
        assert_eq!(expected("1700000000000", SECRET), SIGN);
    }

    #[test]
    fn takes_a_timestamp_within_an_hour_only() {
        let table = [
            (0, Ok(())),
            (3_600_000, Ok(())),
            (-3_600_000, Ok(())),
            (3_600_001, Err(Reason::Time)),
            (-3_600_001, Err(Reason::Time)),
        ];
        for (offset, expected) in table {
            let query = query(&[("timestamp", "1700000000000"), ("sign", SIGN)]);

            assert_eq!(check(&query, SECRET, NOW + offset), expected, "{offset}");
        }
    }

    #[test]
    fn refuses_missing_wrong_and_twice_encoded_signatures() {
        let twice = "TSZbRFUuvaSQaRKUpF970OPCb2%2FLcQAP3wOvwZIzBZk%3D";
        let unencoded_plus = "TSZbRFUuvaSQaRKUpF970OPCb2/LcQAP3wOvwZIzBZk ";
        let table: [&[(&str, &str)]; 6] = [
            &[],
            &[("sign", SIGN)],
            &[("timestamp", "1700000000000")],
            &[("timestamp", "1700000000001"), ("sign", SIGN)],
            &[("timestamp", "1700000000000"), ("sign", twice)],
            &[("timestamp", "1700000000000"), ("sign", unencoded_plus)],
        ];
        for pairs in table {
            assert_eq!(
                check(&query(pairs), SECRET, NOW),
                Err(Reason::Sign),
                "{pairs:?}"
            );
        }
    }

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

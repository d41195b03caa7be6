//! Links that mute an issue: signed, so that nobody can make one up, and of use only for a while.

use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use state::IssueKey;

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuteLink {
    /// The issue it mutes.
    pub issue: IssueKey,
    /// For how long, from the click on; whole seconds.
    pub lasts: Duration,
    /// When the link is of no use any more; whole seconds.
    pub expires: SystemTime,
}

/// Signs links and checks them. `Debug` shows no key.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
}

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A part is missing or cannot be read.
    #[error("the link is not complete")]
    Incomplete,
    /// It was not signed with this key, or was changed.
    #[error("the link is not genuine")]
    Forged,
    /// It is too old.
    #[error("the link has expired")]
    Expired,
}

impl Signer {
    /// Makes a signer of a key of any length; 32 random bytes are good.
    pub fn new(key: &[u8]) -> Self {
        Self {
            mac: Hmac::new_from_slice(key).expect("HMAC takes keys of any length"),
        }
    }

    /// Returns the query of a link: `issue=42:9f3c…&for=3600&exp=1782871620&sig=…`, ready for a URL.
    pub fn sign(&self, link: &MuteLink) -> String {
        let (lasts, expires) = (link.lasts.as_secs(), seconds(link.expires));
        let signature = self.mac_of(&link.issue, lasts, expires).finalize();
        let signature = hex(&signature.into_bytes());
        format!(
            "issue={}&for={lasts}&exp={expires}&sig={signature}",
            link.issue
        )
    }

    /// Checks the parameters of a link: names and values, percent-decoded. Others than ours are passed over.
    ///
    /// # Errors
    /// [`LinkError`]; trying again does not help.
    pub fn verify<'q>(
        &self,
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
        now: SystemTime,
    ) -> Result<MuteLink, LinkError> {
        let [mut issue, mut lasts, mut expires, mut signature] = [None; 4];
        for (name, value) in parameters {
            match name {
                "issue" => issue = Some(value),
                "for" => lasts = Some(value),
                "exp" => expires = Some(value),
                "sig" => signature = Some(value),
                _ => {}
            }
        }
        let issue: IssueKey = parse(issue)?;
        let (lasts, expires): (u64, u64) = (parse(lasts)?, parse(expires)?);
        let signature = unhex(signature.ok_or(LinkError::Incomplete)?).ok_or(LinkError::Forged)?;
        let mac = self.mac_of(&issue, lasts, expires);
        mac.verify_slice(&signature)
            .map_err(|_| LinkError::Forged)?;
        if seconds(now) >= expires {
            return Err(LinkError::Expired);
        }
        Ok(MuteLink {
            issue,
            lasts: Duration::from_secs(lasts),
            expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires),
        })
    }

    fn mac_of(&self, issue: &IssueKey, lasts: u64, expires: u64) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(format!("sentry-notice mute\n{issue}\n{lasts}\n{expires}").as_bytes());
        mac
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer([redacted])")
    }
}

fn parse<T: std::str::FromStr>(text: Option<&str>) -> Result<T, LinkError> {
    let text = text.ok_or(LinkError::Incomplete)?;
    text.parse().map_err(|_| LinkError::Incomplete)
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use state::IssueHash;

    use super::*;

    #[test]
    fn a_signed_link_says_what_it_was_signed_for() {
        let (signer, link) = (Signer::new(b"key"), link());

        let query = signer.sign(&link);

        assert_eq!(signer.verify(pairs(&query), at(99)), Ok(link));
        assert_eq!(
            signer.verify(pairs(&query), at(100)),
            Err(LinkError::Expired)
        );
        let with_more = format!("lang=en&{query}&x=y");
        assert_eq!(signer.verify(pairs(&with_more), at(99)), Ok(link));
    }

    #[test]
    fn a_changed_link_is_refused() {
        let signer = Signer::new(b"key");
        let query = signer.sign(&link());
        let changes = [
            ("issue=42", "issue=43", LinkError::Forged),
            ("for=3600", "for=36000", LinkError::Forged),
            ("exp=", "exp=1", LinkError::Forged),
            ("sig=", "sig=00", LinkError::Forged),
            ("sig=", "sig=x", LinkError::Forged),
            ("sig=", "six=", LinkError::Incomplete),
            ("issue=42", "issue=x", LinkError::Incomplete),
            ("for=3600", "for=-1", LinkError::Incomplete),
        ];

        for (from, to, expected) in changes {
            let changed = query.replace(from, to);

            assert_eq!(
                signer.verify(pairs(&changed), at(99)),
                Err(expected),
                "{changed}"
            );
        }
        let other = Signer::new(b"other key");
        assert_eq!(other.verify(pairs(&query), at(99)), Err(LinkError::Forged));
        assert_eq!(format!("{signer:?}"), "Signer([redacted])");
    }

    fn pairs(query: &str) -> Vec<(&str, &str)> {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect()
    }

    fn link() -> MuteLink {
        MuteLink {
            issue: IssueKey::new(42, IssueHash::of("a")),
            lasts: Duration::from_secs(3_600),
            expires: at(100),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_871_000 + seconds)
    }
}

//! How one simulated robot is set up in its group: token, security settings, members.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// A custom robot of a DingTalk group, as its settings page has it.
///
/// ```
/// use testkit::{Robot, Wording};
///
/// let robot = Robot::new("t0ken")
///     .secret("SEC0123456789abcdef")
///     .keyword("告警")
///     .member("13800000000")
///     .wording(Wording::Plain)
///     .strict();
/// # let _ = robot;
/// ```
#[derive(Clone)]
pub struct Robot {
    pub(crate) token: String,
    pub(crate) secret: Option<String>,
    pub(crate) keywords: Vec<String>,
    pub(crate) networks: Vec<(Ipv4Addr, u8)>,
    pub(crate) members: Vec<String>,
    pub(crate) per_minute: usize,
    pub(crate) wording: Wording,
    pub(crate) is_strict: bool,
}

impl Robot {
    /// Makes a robot without security settings: 20 messages per minute, everybody a member.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            secret: None,
            keywords: Vec::new(),
            networks: Vec::new(),
            members: Vec::new(),
            per_minute: 20,
            wording: Wording::Described,
            is_strict: false,
        }
    }

    /// Demands a signature made with this secret (加签).
    pub fn secret(self, secret: impl Into<String>) -> Self {
        Self {
            secret: Some(secret.into()),
            ..self
        }
    }

    /// Demands that a message contains this keyword, or another one given before.
    pub fn keyword(mut self, keyword: impl Into<String>) -> Self {
        self.keywords.push(keyword.into());
        self
    }

    /// Demands that requests come from this network, or another one given before.
    pub fn allowed_network(mut self, address: Ipv4Addr, prefix: u8) -> Self {
        self.networks.push((address, prefix.min(32)));
        self
    }

    /// Adds a member of the group by mobile number or user id. Once there is one, only members can be mentioned.
    pub fn member(mut self, mobile_or_user_id: impl Into<String>) -> Self {
        self.members.push(mobile_or_user_id.into());
        self
    }

    /// Replaces the number of messages a rolling minute may have.
    pub fn per_minute(self, per_minute: usize) -> Self {
        Self { per_minute, ..self }
    }

    /// Chooses how refusals are worded.
    pub fn wording(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    /// Refuses what DingTalk lets pass without effect: misspelt fields, wrong types, mentions that mention nobody.
    pub fn strict(self) -> Self {
        Self {
            is_strict: true,
            ..self
        }
    }

    pub(crate) fn lets_in(&self, peer: IpAddr) -> bool {
        let IpAddr::V4(peer) = peer else {
            return self.networks.is_empty();
        };
        self.networks.is_empty()
            || self
                .networks
                .iter()
                .any(|(network, prefix)| is_within(peer, *network, *prefix))
    }

    pub(crate) fn has_member(&self, id: &str) -> bool {
        self.members.is_empty() || self.members.iter().any(|member| member == id)
    }
}

impl fmt::Debug for Robot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Robot")
            .field("keywords", &self.keywords)
            .field("members", &self.members)
            .field("per_minute", &self.per_minute)
            .field("wording", &self.wording)
            .finish_non_exhaustive()
    }
}

/// The wordings of `errmsg` that DingTalk has used over the years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Until 2020: `sign not match`.
    Plain,
    /// 2020 to 2021: `sign not match, more: [https://ding-doc…]`.
    Linked,
    /// Since 2022: `description:…;solution:…;`.
    Described,
    /// Since 2022 too, with Chinese labels: `错误描述:…;解决方案:…;`.
    DescribedInChinese,
}

fn is_within(address: Ipv4Addr, network: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX
        .checked_shl(u32::from(32 - prefix))
        .unwrap_or_default();
    u32::from(address) & mask == u32::from(network) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_in_who_is_within_an_allowed_network() {
        let robot = Robot::new("a").allowed_network(Ipv4Addr::new(10, 1, 0, 0), 16);
        let anyone = Robot::new("b").allowed_network(Ipv4Addr::UNSPECIFIED, 0);
        let table = [([10, 1, 2, 3], true), ([10, 2, 2, 3], false)];
        for (octets, expected) in table {
            assert_eq!(robot.lets_in(Ipv4Addr::from(octets).into()), expected);
            assert!(anyone.lets_in(Ipv4Addr::from(octets).into()));
        }
    }

    #[test]
    fn keeps_token_and_secret_out_of_debug_output() {
        let text = format!("{:?}", Robot::new("t0ken").secret("SECret"));

        assert!(
            !text.contains("t0ken") && !text.contains("SECret"),
            "{text}"
        );
    }
}

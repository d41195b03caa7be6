//! Where the admin pages of a proxy are reached from its own machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Returns where to connect to when something listens on this address: `0.0.0.0` and `[::]` are everywhere, so also here.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_everywhere_is_also_here() {
        let cases = [
            ("0.0.0.0:9011", "127.0.0.1:9011"),
            ("[::]:9011", "[::1]:9011"),
            ("10.0.0.7:9011", "10.0.0.7:9011"),
        ];

        for (listens, expected) in cases {
            assert_eq!(
                reachable(listens.parse().unwrap()).to_string(),
                expected,
                "{listens}"
            );
        }
    }
}

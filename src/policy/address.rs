//! Whose address counts: the peer's own, or what a trusted proxy in front of us says of it.

use ipnet::IpNet;
use std::net::IpAddr;

/// The proxies whose `X-Forwarded-*` headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// A peer without an address came over a unix socket: only this machine's own programs can, and an operator who
    /// binds one puts a proxy there, so it is trusted.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            None => true,
            Some(address) => {
                let address = address.to_canonical();
                self.0.iter().any(|network| network.contains(&address))
            }
        }
    }

    /// The client's address: the rightmost entry of `X-Forwarded-For` that no trusted proxy wrote about itself. Entries
    /// further left are hearsay.
    pub fn client_address<'a>(
        &self,
        peer: Option<IpAddr>,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        let mut client = peer.map(|address| address.to_canonical());
        for entry in forwarded_for.rev() {
            if !self.trusts(client) {
                break;
            }
            match parse_entry(entry) {
                Some(address) => client = Some(address.to_canonical()),
                None => break,
            }
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:443` are all seen in the wild.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = entry.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    entry.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trusted: &[&str], peer: Option<&str>, forwarded: &[&str], expected: Option<&str>) {
        let trusted = TrustedProxies::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let peer = peer.map(|peer| peer.parse().unwrap());
        let found = trusted.client_address(peer, forwarded.iter().copied());
        assert_eq!(found, expected.map(|address| address.parse().unwrap()), "{peer:?} {forwarded:?}");
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let lan = &["10.0.0.0/8", "fd00::/8"][..];
        check(lan, Some("192.0.2.7"), &["1.1.1.1"], Some("192.0.2.7"));
        check(lan, Some("10.0.0.1"), &["1.1.1.1"], Some("1.1.1.1"));
        check(lan, Some("10.0.0.1"), &["6.6.6.6", "1.1.1.1", "10.9.9.9"], Some("1.1.1.1"));
        check(lan, Some("::ffff:10.0.0.1"), &["1.1.1.1"], Some("1.1.1.1"));
        check(lan, Some("fd00::5"), &["[2001:db8::1]:443"], Some("2001:db8::1"));
        check(lan, Some("10.0.0.1"), &["1.1.1.1:9999"], Some("1.1.1.1"));
        check(lan, Some("10.0.0.1"), &[], Some("10.0.0.1"));
        check(lan, Some("10.0.0.1"), &["1.1.1.1", "unknown"], Some("10.0.0.1"));
        check(lan, Some("10.0.0.1"), &["10.0.0.2"], Some("10.0.0.2"));
        check(&[], Some("10.0.0.1"), &["1.1.1.1"], Some("10.0.0.1"));
        check(&[], None, &["1.1.1.1"], Some("1.1.1.1"));
        check(&[], None, &[], None);
    }
}

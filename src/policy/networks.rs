//! Which addresses may take a route: networks that may, networks that may not. Whose address counts is `address`'s
//! business.

use crate::refusal::{Refusal, Refused};
use ipnet::IpNet;
use std::net::IpAddr;

/// Without a list everybody may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Empty: everybody who is not denied.
    pub allow: Vec<IpNet>,
    /// It wins over `allow`.
    pub deny: Vec<IpNet>,
}

impl Networks {
    /// A client without an address came over a unix socket, and whoever sent it there did not say for whom: where
    /// addresses are asked about it has no right one, and a list of the denied cannot clear it either.
    pub fn judge(&self, client: Option<IpAddr>) -> Result<(), Refused> {
        if self.allow.is_empty() && self.deny.is_empty() {
            return Ok(());
        }
        let Some(client) = client.map(|address| address.to_canonical()) else {
            let why = "nobody told the client's address, and the route asks for it: the proxy that connects to the \
                       unix socket has to send X-Forwarded-For";
            return Err(Refusal::Address.because(why));
        };
        if let Some(network) = self.deny.iter().find(|network| network.contains(&client)) {
            return Err(Refusal::Address.because(format!("{client} is in access.deny ({network})")));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|network| network.contains(&client)) {
            return Err(Refusal::Address.because(format!("{client} is in no network of access.allow")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allow: &[&str], deny: &[&str], client: Option<&str>) -> bool {
        let parse = |list: &[&str]| list.iter().map(|network| network.parse().unwrap()).collect();
        let networks = Networks { allow: parse(allow), deny: parse(deny) };
        let verdict = networks.judge(client.map(|address| address.parse().unwrap()));
        assert!(verdict.as_ref().err().is_none_or(|refused| refused.refusal == Refusal::Address));
        verdict.is_ok()
    }

    #[test]
    fn every_verdict() {
        let lan = &["10.0.0.0/8", "fd00::/8"][..];
        let one = &["10.6.6.6/32"][..];
        for (allow, deny, client, expected) in [
            (&[][..], &[][..], Some("192.0.2.1"), true),
            (&[], &[], None, true),
            (lan, &[], Some("10.1.2.3"), true),
            (lan, &[], Some("fd00::1"), true),
            (lan, &[], Some("11.0.0.1"), false),
            (lan, &[], Some("2001:db8::1"), false),
            // A socket that serves both families shows IPv4 in IPv6's clothes.
            (lan, &[], Some("::ffff:10.1.2.3"), true),
            (&[], lan, Some("::ffff:10.1.2.3"), false),
            (&[], lan, Some("10.1.2.3"), false),
            (&[], lan, Some("192.0.2.1"), true),
            (lan, one, Some("10.6.6.6"), false),
            (lan, one, Some("10.6.6.7"), true),
            // Deny wins, however wide allow is.
            (one, lan, Some("10.6.6.6"), false),
            (&["0.0.0.0/0"], one, Some("10.6.6.6"), false),
            // IPv4's everything is not IPv6's.
            (&["0.0.0.0/0"], &[], Some("2001:db8::1"), false),
            (&["0.0.0.0/0"], &[], Some("192.0.2.1"), true),
            (lan, &[], None, false),
            (&[], lan, None, false),
        ] {
            assert_eq!(admits(allow, deny, client), expected, "{allow:?} {deny:?} {client:?}");
        }
    }
}

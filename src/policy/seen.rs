//! How a request looks from the far side of the proxies in front of us: whose it is, and what its browser asked for.

use super::address::TrustedProxies;
use crate::handshake::forward::{self, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::handshake::{hops, tokens};
use http::HeaderMap;
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub client: Option<IpAddr>,
    /// The peer's word on what was before it is believed.
    pub peer_is_trusted: bool,
    /// `https` or `http`: a trusted proxy in front of us may have ended TLS.
    pub scheme: &'static str,
}

impl Seen {
    /// A request over a connection of `peer`, with TLS or without.
    pub fn new(trusted: &TrustedProxies, peer: Option<IpAddr>, tls: bool, headers: &HeaderMap) -> Seen {
        let client = trusted.client_address(peer, hops(headers, &X_FORWARDED_FOR, "unknown"));
        let peer_is_trusted = trusted.trusts(peer);
        let own = if tls { "https" } else { "http" };
        let told = || tokens(headers, &X_FORWARDED_PROTO).last();
        let told = if peer_is_trusted { told() } else { None };
        let scheme = told.and_then(forward::http_scheme).unwrap_or(own);
        Seen { client, peer_is_trusted, scheme }
    }

    /// Where nobody's word is taken.
    pub fn at_first_sight(peer: Option<IpAddr>, tls: bool) -> Seen {
        Seen { client: peer, peer_is_trusted: false, scheme: if tls { "https" } else { "http" } }
    }

    /// The host that the browser asked for: what a trusted proxy says it was, or the one in the request.
    pub fn authority<'h>(&self, headers: &'h HeaderMap, asked: &'h str) -> &'h str {
        let told = || tokens(headers, &X_FORWARDED_HOST).last();
        let told = if self.peer_is_trusted { told() } else { None };
        told.unwrap_or(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_a_trusted_peer_speaks_for_others() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "http, wss"),
            ("x-forwarded-host", "inner.test, public.test"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let check = |peer: &str, tls: bool, headers: &HeaderMap, expected: (&str, &str, &str)| {
            let seen = Seen::new(&trusted, peer.parse().ok(), tls, headers);
            let client = seen.client.map_or("nobody".to_string(), |client| client.to_string());
            let found = (client.as_str(), seen.scheme, seen.authority(headers, "asked.test"));
            assert_eq!(found, expected, "{peer} {tls}");
        };
        check("10.0.0.1", false, &headers, ("1.1.1.1", "https", "public.test"));
        check("unix", false, &headers, ("1.1.1.1", "https", "public.test"));
        check("192.0.2.1", false, &headers, ("192.0.2.1", "http", "asked.test"));
        check("192.0.2.1", true, &headers, ("192.0.2.1", "https", "asked.test"));
        check("10.0.0.1", true, &HeaderMap::new(), ("10.0.0.1", "https", "asked.test"));
        // What the client wrote is hearsay, and hides nothing of what the proxy added to it.
        for said in [&b"\xFF, 1.1.1.1"[..], b"caf\xC3\xA9,1.1.1.1", b"\xFF,9.9.9.9\xFF, , 1.1.1.1, 10.0.0.2"]
        {
            headers.insert("x-forwarded-for", HeaderValue::from_bytes(said).unwrap());
            check("10.0.0.1", false, &headers, ("1.1.1.1", "https", "public.test"));
        }
        // Nor is hearsay believed where the proxy itself wrote what nobody can read.
        headers.insert("x-forwarded-for", HeaderValue::from_bytes(b"9.9.9.9, \xFF").unwrap());
        check("10.0.0.1", false, &headers, ("10.0.0.1", "https", "public.test"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        headers.insert("x-forwarded-proto", "gopher".parse().unwrap());
        check("10.0.0.1", true, &headers, ("1.1.1.1", "https", "public.test"));
    }
}

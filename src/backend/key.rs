//! What of a request `balance = "hash"` goes by.

use super::balance::hash;
use http::header::{self, HeaderMap, HeaderName};
use std::fmt;
use std::net::IpAddr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    #[default]
    ClientIp,
    Header(HeaderName),
    Query(String),
    Cookie(String),
    Path,
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashOn::ClientIp => f.write_str("client_ip"),
            HashOn::Header(name) => write!(f, "header:{name}"),
            HashOn::Query(name) => write!(f, "query:{name}"),
            HashOn::Cookie(name) => write!(f, "cookie:{name}"),
            HashOn::Path => f.write_str("path"),
        }
    }
}

/// A request, as far as a server may be chosen by it.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts<'a> {
    pub client: Option<IpAddr>,
    pub headers: &'a HeaderMap,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

impl HashOn {
    /// What a request does not have is made up for by the client's address: such clients are spread all the same, and
    /// each stays where it is.
    pub fn key(&self, facts: KeyFacts<'_>) -> u64 {
        let found = match self {
            HashOn::ClientIp => None,
            HashOn::Header(name) => facts.headers.get(name).map(|value| value.as_bytes()),
            HashOn::Query(name) => facts.query.and_then(|query| named(query.split('&'), name)),
            HashOn::Cookie(name) => {
                let lines =
                    facts.headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
                named(lines.flat_map(|line| line.split(';')).map(str::trim), name)
            }
            HashOn::Path => Some(facts.path.as_bytes()),
        };
        match (found, facts.client) {
            (Some(found), _) => hash(found),
            (None, Some(IpAddr::V4(client))) => hash(&client.octets()),
            (None, Some(IpAddr::V6(client))) => hash(&client.octets()),
            (None, None) => hash(b""),
        }
    }
}

/// The value in the first `name=value`.
fn named<'a>(mut pairs: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a [u8]> {
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_by_its_part_of_the_request_and_else_by_the_address() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", "alice".parse().unwrap());
        headers.append("cookie", "a=b; sid=c1".parse().unwrap());
        let facts = KeyFacts {
            client: Some([192, 0, 2, 7].into()),
            headers: &headers,
            path: "/room/1",
            query: Some("x=1&sid=q1&sid=q2"),
        };
        let header = |name| HashOn::Header(HeaderName::from_static(name));
        for (on, expected) in [
            (HashOn::ClientIp, &[192, 0, 2, 7][..]),
            (header("x-user"), b"alice"),
            (HashOn::Query("sid".into()), b"q1"),
            (HashOn::Cookie("sid".into()), b"c1"),
            (HashOn::Path, b"/room/1"),
            (header("x-other"), &[192, 0, 2, 7]),
            (HashOn::Query("si".into()), &[192, 0, 2, 7]),
            (HashOn::Cookie("x".into()), &[192, 0, 2, 7]),
        ] {
            assert_eq!(on.key(facts), hash(expected), "{on:?}");
        }
    }
}

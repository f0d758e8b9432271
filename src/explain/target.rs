//! The request that is asked about: a URL and headers, made into the head that a client would send.

use crate::handshake::request::host_of;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri, request};

/// Where a client wants to go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    /// `ws://` and `wss://`; the others ask for a page.
    pub upgrade: bool,
    /// As a Host header has it.
    authority: String,
    /// In lower case, an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    path: PathAndQuery,
}

impl Target {
    /// Reads a URL. The error says what is wrong with it.
    pub fn parse(url: &str) -> Result<Target, String> {
        let wrong = |why: &str| Err(format!("{url:?} is not a URL to ask about: {why}"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong("it begins with wss://, ws://, https:// or http://");
        };
        let (tls, upgrade) = match scheme.to_ascii_lowercase().as_str() {
            "wss" => (true, true),
            "ws" => (false, true),
            "https" => (true, false),
            "http" => (false, false),
            _ => return wrong("it begins with wss://, ws://, https:// or http://"),
        };
        // RFC 6455 3: a WebSocket's URL has none. A browser keeps a page's to itself.
        if rest.contains('#') {
            return wrong("no client sends what stands behind a #");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            // What stands before the @ may be a password and is not repeated.
            return Err(
                "the URL names a user; clients send that as a header: --header \"Authorization: …\"".into()
            );
        }
        let Some(host) = host_of(authority) else {
            return wrong("its host is not one");
        };
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let Ok(path) = PathAndQuery::try_from(path) else {
            return wrong("its path has characters that no client sends as they are");
        };
        let usual = if tls { 443 } else { 80 };
        let named = authority.rsplit_once(':').filter(|_| !authority.ends_with(']'));
        let port = named.and_then(|(_, port)| port.parse().ok()).unwrap_or(usual);
        let bare = named.map_or(authority, |(bare, _)| bare);
        let authority = if port == usual { bare.to_string() } else { format!("{bare}:{port}") };
        Ok(Target { tls, upgrade, authority, host, port, path })
    }

    /// The name that TLS asks for, where there is TLS; an address is none (RFC 6066 3).
    pub fn sni(&self) -> Option<&str> {
        let is_address = self.host.starts_with('[') || self.host.parse::<std::net::Ipv4Addr>().is_ok();
        Some(self.host.as_str()).filter(|_| !is_address)
    }

    /// What a client would send, with these headers: each stands in for what would be there otherwise, and one that comes
    /// again is a line more.
    pub fn head(&self, headers: &[(HeaderName, HeaderValue)]) -> request::Parts {
        let mut head = Request::new(()).into_parts().0;
        head.uri = Uri::from(self.path.clone());
        if let Ok(host) = HeaderValue::from_str(&self.authority) {
            head.headers.insert(header::HOST, host);
        }
        if self.upgrade {
            ask_for_upgrade(&mut head.headers);
        }
        for (index, (name, value)) in headers.iter().enumerate() {
            if !headers[..index].iter().any(|(earlier, _)| earlier == name) {
                head.headers.remove(name);
            }
            head.headers.append(name.clone(), value.clone());
        }
        head
    }
}

fn ask_for_upgrade(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        // The one of RFC 6455 1.3: any would do.
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: (bool, bool, &str, &str, u16, &str), sni: Option<&str>| {
            let target = Target::parse(url).unwrap();
            let Target { tls, upgrade, authority, host, port, path } = &target;
            assert_eq!((*tls, *upgrade, authority.as_str(), host.as_str(), *port, path.as_str()), expected);
            assert_eq!(target.sni(), sni, "{url}");
        };
        check("wss://a.test", (true, true, "a.test", "a.test", 443, "/"), Some("a.test"));
        check("WSS://A.test:443/x?y=1", (true, true, "A.test", "a.test", 443, "/x?y=1"), Some("a.test"));
        check("ws://a.test:8080?y", (false, true, "a.test:8080", "a.test", 8080, "/?y"), Some("a.test"));
        check("https://127.0.0.1:8443/", (true, false, "127.0.0.1:8443", "127.0.0.1", 8443, "/"), None);
        check("http://[::1]/%2e%2e/", (false, false, "[::1]", "[::1]", 80, "/%2e%2e/"), None);
        check("wss://[::1]:9/", (true, true, "[::1]:9", "[::1]", 9, "/"), None);
        for bad in [
            "a.test",
            "ftp://a",
            "wss://",
            "wss://a b/",
            "wss://a:99999/",
            "wss://a/#x",
            "wss://a/ b",
            "wss:///x",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        let secret = Target::parse("wss://user:secret@a.test/").unwrap_err();
        assert!(!secret.contains("secret"), "{secret}");
    }

    #[test]
    fn a_given_header_stands_in_for_a_clients_own() {
        let target = Target::parse("wss://a.test/").unwrap();
        let pair = |name: &'static str, value: &'static str| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let head = target.head(&[pair("host", "b.test"), pair("x-a", "1"), pair("host", "c.test")]);
        let all = |name: &str| head.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("host"), ["b.test", "c.test"]);
        assert_eq!(all("x-a"), ["1"]);
        assert_eq!(all("upgrade"), ["websocket"]);
        assert!(!Target::parse("https://a.test/").unwrap().head(&[]).headers.contains_key("upgrade"));
    }
}

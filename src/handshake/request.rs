//! What a request asks for: an upgrade, or a plain answer. Everything that RFC 6455 4.2.1 demands of a client is
//! demanded here, before a route is looked for.

use super::path::normalise;
use super::{is_valid_key, tokens};
use crate::refusal::{Refusal, Refused};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version, request};

/// A request that was read and is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The Host header as the client wrote it.
    pub authority: String,
    /// Its host: lower case, no port. Routes are found by it.
    pub host: String,
    /// The path in its normal form.
    pub path: String,
    pub wants: Wants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A WebSocket.
    Upgrade(Upgrade),
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub key: HeaderValue,
    /// In the client's order.
    pub subprotocols: Vec<String>,
}

impl Asked {
    pub fn read(head: &request::Parts) -> Result<Asked, Refused> {
        let (authority, host) = read_host(head)?;
        let path = normalise(head.uri.path()).map_err(|problem| {
            Refusal::Path.because(format!("{}: {}", problem.problem(), head.uri.path()))
        })?;
        let wants = read_wants(head)?;
        // Transfer-Encoding ends here, so a coding in it would be lost (RFC 9112 6.1). hyper knows the one.
        if tokens(&head.headers, &header::TRANSFER_ENCODING)
            .any(|coding| !coding.eq_ignore_ascii_case("chunked"))
        {
            return Err(Refusal::BadRequest.because("a transfer coding other than chunked"));
        }
        Ok(Asked { authority, host, path, wants })
    }

    pub fn subprotocols(&self) -> &[String] {
        match &self.wants {
            Wants::Upgrade(upgrade) => &upgrade.subprotocols,
            Wants::Plain => &[],
        }
    }
}

/// RFC 9112 3.2: one Host, and where the target names an authority too, the same one.
fn read_host(head: &request::Parts) -> Result<(String, String), Refused> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Method.because("CONNECT: this is no forward proxy"));
    }
    let mut lines = head.headers.get_all(header::HOST).iter();
    let (line, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(Refusal::Host.because("two Host headers"));
    }
    let line = line.ok_or_else(|| Refusal::Host.because("no Host header"))?;
    let authority = line.to_str().map_err(|_| Refusal::Host.because("the Host header is not ASCII"))?;
    let host = host_of(authority).ok_or_else(|| {
        Refusal::Host
            .because(format!("the Host header is not a host: {:?}", authority.escape_default().to_string()))
    })?;
    if let Some(target) = head.uri.authority()
        && !target.as_str().eq_ignore_ascii_case(authority)
    {
        return Err(Refusal::Host.because(format!("Host {authority} against request target {target}")));
    }
    Ok((authority.to_string(), host))
}

/// The host of an authority: lower case, without a port. No user name, no zone, nothing that is not a host.
pub fn host_of(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (&authority[..inner.len() + 2], port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let sound_host = host.starts_with('[') || (is_name && !host.starts_with('.') && !host.is_empty());
    let sound_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    // A name may end in the root's dot: it is the same host.
    let host = host.strip_suffix('.').unwrap_or(host);
    (sound_host && sound_port && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

fn read_wants(head: &request::Parts) -> Result<Wants, Refused> {
    let headers = &head.headers;
    let named = tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    let connected = tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !(named && connected) {
        let half = named || (connected && headers.contains_key(header::SEC_WEBSOCKET_KEY));
        return if half {
            Err(Refusal::BadRequest.because("half an upgrade: Connection and Upgrade have to go together"))
        } else {
            Ok(Wants::Plain)
        };
    }
    if head.version != Version::HTTP_11 {
        return Err(Refusal::BadRequest.because(format!("an upgrade needs HTTP/1.1, not {:?}", head.version)));
    }
    if head.method != Method::GET {
        return Err(Refusal::Method.because(format!("an upgrade with {}", head.method)));
    }
    let version = only(headers, &header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        let shown = version.map_or("missing or repeated".into(), |version| format!("{version:?}"));
        return Err(Refusal::Version.because(format!("Sec-WebSocket-Version is {shown}")));
    }
    if has_body(headers) {
        return Err(Refusal::BadRequest.because("an upgrade with a body"));
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_valid_key(key.as_bytes()))
        .ok_or_else(|| {
            Refusal::BadRequest.because("Sec-WebSocket-Key is missing, repeated or not 16 bytes in base64")
        })?;
    let subprotocols = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(String::from).collect();
    Ok(Wants::Upgrade(Upgrade { key: key.clone(), subprotocols }))
}

/// A body would be read by one side as frames and by the other as HTTP: the start of every smuggling.
fn has_body(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    headers.contains_key(header::TRANSFER_ENCODING) || lengths.into_iter().any(|length| length != "0")
}

/// The header's value, if it is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("host", "chat.test"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn head(lines: &[(&str, &str)]) -> request::Parts {
        let mut builder = http::Request::builder().uri("/ws?token=1");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    /// A good upgrade with some lines replaced (an empty value leaves the line out) or, behind `+`, added.
    fn with(changes: &[(&str, &str)]) -> request::Parts {
        let mut lines: Vec<(&str, &str)> = GOOD.to_vec();
        for (name, value) in changes {
            match name.strip_prefix('+') {
                Some(name) => lines.push((name, value)),
                None => {
                    lines.retain(|(old, _)| old != name);
                    lines.push((name, value));
                }
            }
        }
        lines.retain(|(_, value)| *value != "-");
        head(&lines)
    }

    fn refusal(head: &request::Parts) -> Option<Refusal> {
        Asked::read(head).err().map(|refused| refused.refusal)
    }

    #[test]
    fn a_good_upgrade_in_every_spelling() {
        for changes in [
            &[][..],
            &[("connection", "keep-alive, Upgrade")],
            &[("connection", "UPGRADE")],
            &[("connection", "keep-alive"), ("+connection", " x , upgrade ,")],
            &[("upgrade", "WebSocket")],
            &[("+content-length", "0")],
        ] {
            let asked = Asked::read(&with(changes)).unwrap();
            assert!(matches!(asked.wants, Wants::Upgrade(_)), "{changes:?}");
            assert_eq!((asked.host.as_str(), asked.path.as_str()), ("chat.test", "/ws"));
        }
    }

    #[test]
    fn what_is_missing_or_wrong() {
        let table: &[(&[(&str, &str)], Refusal)] = &[
            (&[("sec-websocket-version", "8")], Refusal::Version),
            (&[("sec-websocket-version", "7")], Refusal::Version),
            (&[("sec-websocket-version", "-")], Refusal::Version),
            (&[("+sec-websocket-version", "13")], Refusal::Version),
            (&[("sec-websocket-key", "-")], Refusal::BadRequest),
            (&[("sec-websocket-key", "")], Refusal::BadRequest),
            (&[("sec-websocket-key", "c2hvcnQ=")], Refusal::BadRequest),
            (&[("+sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")], Refusal::BadRequest),
            (&[("+content-length", "5")], Refusal::BadRequest),
            (&[("+transfer-encoding", "chunked")], Refusal::BadRequest),
            (&[("connection", "-")], Refusal::BadRequest),
            (&[("connection", "close")], Refusal::BadRequest),
            (&[("upgrade", "-")], Refusal::BadRequest),
            (&[("host", "-")], Refusal::Host),
            (&[("+host", "other.test")], Refusal::Host),
            (&[("host", "")], Refusal::Host),
            (&[("host", "a b")], Refusal::Host),
            (&[("host", "user@chat.test")], Refusal::Host),
            (&[("host", "[::1%eth0]")], Refusal::Host),
            (&[("host", "chat.test:http")], Refusal::Host),
        ];
        for (changes, expected) in table {
            assert_eq!(refusal(&with(changes)), Some(*expected), "{changes:?}");
        }
    }

    #[test]
    fn method_version_and_target() {
        let mut post = with(&[]);
        post.method = Method::POST;
        assert_eq!(refusal(&post), Some(Refusal::Method));
        let mut old = with(&[]);
        old.version = Version::HTTP_10;
        assert_eq!(refusal(&old), Some(Refusal::BadRequest));
        let mut connect = with(&[]);
        connect.method = Method::CONNECT;
        assert_eq!(refusal(&connect), Some(Refusal::Method));
        let mut absolute = with(&[]);
        absolute.uri = "http://chat.test/ws".parse().unwrap();
        assert_eq!(refusal(&absolute), None);
        absolute.uri = "http://other.test/ws".parse().unwrap();
        assert_eq!(refusal(&absolute), Some(Refusal::Host));
        let mut climbing = with(&[]);
        climbing.uri = "/ws/../../admin".parse().unwrap();
        assert_eq!(refusal(&climbing), Some(Refusal::Path));
        let mut star = with(&[]);
        star.uri = "*".parse().unwrap();
        assert_eq!(refusal(&star), Some(Refusal::Path));
    }

    #[test]
    fn no_coding_but_chunked() {
        let plain = |coding| head(&[("host", "chat.test"), ("transfer-encoding", coding)]);
        assert_eq!(refusal(&plain("Chunked")), None);
        assert_eq!(refusal(&plain("gzip, chunked")), Some(Refusal::BadRequest));
    }

    #[test]
    fn other_upgrades_are_plain_requests() {
        for changes in [
            &[("upgrade", "h2c"), ("connection", "Upgrade, HTTP2-Settings"), ("sec-websocket-key", "-")][..],
            &[("upgrade", "-"), ("connection", "keep-alive")],
            &[("upgrade", "TLS/1.0"), ("sec-websocket-key", "-")],
        ] {
            assert_eq!(Asked::read(&with(changes)).unwrap().wants, Wants::Plain, "{changes:?}");
        }
    }

    #[test]
    fn subprotocols_keep_their_order_over_lines() {
        let head = with(&[("+sec-websocket-protocol", "b, a"), ("+sec-websocket-protocol", "c")]);
        assert_eq!(Asked::read(&head).unwrap().subprotocols(), ["b", "a", "c"]);
    }

    #[test]
    fn a_host_in_every_spelling() {
        for (authority, host) in [
            ("Chat.Test:8443", Some("chat.test")),
            ("chat.test.", Some("chat.test")),
            ("[::1]", Some("[::1]")),
            ("[::1]:80", Some("[::1]")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("chat.test:", Some("chat.test")),
            ("[::1", None),
            ("[::1]x", None),
            (".", None),
            ("a/b", None),
            ("a:b:c", None),
        ] {
            assert_eq!(host_of(authority).as_deref(), host, "{authority}");
        }
    }
}

//! Which headers cross the gateway, and which it adds: hop-by-hop ones stop here (RFC 9110 7.6.1), `X-Forwarded-*` and
//! `Forwarded` (RFC 7239) say who the client is, and what an untrusted client wrote in their place is replaced.

use super::client_cert::{CLIENT_CERT, CLIENT_CERT_CHAIN};
use super::reply::{DEFLATE, extension_name};
use super::{address_text, hops, tokens};
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

/// What a route changes on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    pub host: HostHeader,
    pub request: HeaderEdits,
    pub response: HeaderEdits,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    #[default]
    Keep,
    /// The server's own name, as its URL has it.
    Backend,
    Literal(HeaderValue),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub remove: Vec<HeaderName>,
}

/// What the gateway knows of the hop behind it.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Who sent us the request; `None` over a unix socket.
    pub peer: Option<IpAddr>,
    /// Its word on the hops before it is believed.
    pub peer_is_trusted: bool,
    pub scheme: &'static str,
    pub authority: &'a str,
    pub port: Option<u16>,
    pub request_id: &'a str,
    /// What `Client-Cert` has to say: the client showed a certificate on this very hop.
    pub client_cert: Option<&'a HeaderValue>,
}

/// Names the gateway writes itself.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// In lower case, as every name is.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            // hyper answers 100-continue itself when the body is first asked for.
            | "expect"
            | "trailer"
    )
}

/// What the gateway vouches for toward a backend.
fn is_vouched_for(name: &str) -> bool {
    says_who_it_is(name) || name == "x-request-id"
}

fn says_who_it_is(name: &str) -> bool {
    matches!(
        name,
        "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-real-ip"
            | "forwarded"
            | "client-cert"
            | "client-cert-chain"
    )
}

/// Makes a client's headers those of the request to the backend.
pub fn request_headers(
    headers: &mut HeaderMap,
    hop: Hop<'_>,
    rules: &HeaderRules,
    server: &str,
    upgrade: bool,
) {
    let client_is_believed = hop.peer_is_trusted;
    remove(headers, upgrade, |name| imitates(name) || (!client_is_believed && says_who_it_is(name)));
    match &rules.host {
        HostHeader::Keep => set_if_missing(headers, header::HOST, hop.authority),
        HostHeader::Backend => set(headers, header::HOST, server),
        HostHeader::Literal(value) => {
            headers.insert(header::HOST, value.clone());
        }
    }
    say_who_it_is(headers, hop);
    if let Some(shown) = hop.client_cert {
        // RFC 9440 2.4: one hop's word, not two mixed.
        headers.insert(CLIENT_CERT, shown.clone());
        headers.remove(CLIENT_CERT_CHAIN);
    }
    if upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    edit(headers, &rules.request);
}

/// Makes a backend's headers those of the answer to the client.
pub fn response_headers(headers: &mut HeaderMap, rules: &HeaderRules, upgrade: bool) {
    remove(headers, upgrade, |_| false);
    if upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        // As the backend wrote it, and once.
        if let Some(upgrade) = headers.get(header::UPGRADE).cloned() {
            headers.insert(header::UPGRADE, upgrade);
        }
    }
    edit(headers, &rules.response);
}

/// Writes a header that the backend believes because the gateway wrote it: whatever the client said under that name is
/// gone, however it is spelled. After `request_headers`, so that `Connection` cannot nominate it away.
pub fn vouch(headers: &mut HeaderMap, name: &HeaderName, values: impl IntoIterator<Item = HeaderValue>) {
    let claimed: Vec<HeaderName> = headers.keys().filter(|other| reads_as(other, name)).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    for value in values {
        headers.append(name, value);
    }
}

/// Leaves in the offer only what frames can be followed under, and says whether permessage-deflate is still in it.
/// Offers that are left stand as the client wrote them.
pub fn narrow_extensions(headers: &mut HeaderMap, keep_deflate: bool) -> bool {
    if !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return false;
    }
    let offered: Vec<&str> = tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS).collect();
    let known: Vec<&str> =
        offered.iter().copied().filter(|offer| keep_deflate && extension_name(offer) == DEFLATE).collect();
    let all_read = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().all(|line| line.to_str().is_ok());
    if all_read && known.len() == offered.len() {
        return !known.is_empty();
    }
    match HeaderValue::from_str(&known.join(", ")) {
        Ok(value) if !known.is_empty() => {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, value);
            true
        }
        _ => {
            headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
            false
        }
    }
}

/// Removes what concerns one hop only, and what else is to go. The two names of an upgrade stay where they are: what
/// they say is the caller's.
fn remove(headers: &mut HeaderMap, upgrade: bool, also: impl Fn(&str) -> bool) {
    let stays = |name: &str| upgrade && matches!(name, "connection" | "upgrade");
    let nominated = tokens(headers, &header::CONNECTION)
        .filter(|token| !token.eq_ignore_ascii_case("upgrade"))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !is_load_bearing(name));
    let others = headers.keys().filter(|name| is_hop_by_hop(name.as_str()) || also(name.as_str())).cloned();
    let found: Vec<HeaderName> = nominated.chain(others).filter(|name| !stays(name.as_str())).collect();
    for name in found {
        headers.remove(name);
    }
}

/// A client must not be able to nominate away what the handshake or the body's framing stands on.
fn is_load_bearing(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || name.as_str().starts_with("sec-websocket-")
}

/// `X_Forwarded_For` is `X-Forwarded-For` to every CGI-like server: nothing may imitate what we vouch for.
fn imitates(name: &str) -> bool {
    name.contains('_') && is_vouched_for(&name.replace('_', "-"))
}

/// Whether a CGI-like server takes the one name for the other.
fn reads_as(name: &HeaderName, other: &HeaderName) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.as_str().bytes().map(dashed).eq(other.as_str().bytes().map(dashed))
}

fn say_who_it_is(headers: &mut HeaderMap, hop: Hop<'_>) {
    let peer = hop.peer.map(address_text);
    if let Some(peer) = &peer {
        append_to_list(headers, X_FORWARDED_FOR, peer, "unknown");
    }
    append_to_list(headers, header::FORWARDED, &forwarded(hop, peer.as_deref()), "for=unknown");
    // A trusted proxy in front of us saw the client's own scheme and host: its word stands.
    let told: Vec<&str> =
        tokens(headers, &X_FORWARDED_PROTO).map(|told| http_scheme(told).unwrap_or(told)).collect();
    match told.as_slice() {
        [] => {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme));
        }
        told => {
            let told = told.join(", ");
            set(headers, X_FORWARDED_PROTO, &told);
        }
    }
    set_if_missing(headers, X_FORWARDED_HOST, hop.authority);
    if let Some(port) = hop.port {
        headers.entry(X_FORWARDED_PORT).or_insert_with(|| port.into());
    }
    set(headers, X_REQUEST_ID, hop.request_id);
}

/// The page's scheme, where a proxy may have named the socket's: some write `wss` for what every application calls
/// `https`.
pub fn http_scheme(told: &str) -> Option<&'static str> {
    if told.eq_ignore_ascii_case("https") || told.eq_ignore_ascii_case("wss") {
        return Some("https");
    }
    (told.eq_ignore_ascii_case("http") || told.eq_ignore_ascii_case("ws")).then_some("http")
}

/// RFC 7239: a token or a quoted string each; IPv6 in brackets (6), and therefore in quotes.
fn forwarded(hop: Hop<'_>, peer: Option<&str>) -> String {
    let mut entry = String::with_capacity(64 + hop.authority.len());
    entry.push_str("for=");
    match (hop.peer, peer) {
        (Some(IpAddr::V6(_)), Some(peer)) => push_all(&mut entry, ["\"[", peer, "]\""]),
        (_, peer) => entry.push_str(peer.unwrap_or("unknown")),
    }
    let is_token =
        hop.authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let quote = if is_token { "" } else { "\"" };
    push_all(&mut entry, [";host=", quote, hop.authority, quote, ";proto=", hop.scheme]);
    entry
}

fn push_all<const N: usize>(to: &mut String, parts: [&str; N]) {
    for part in parts {
        to.push_str(part);
    }
}

fn append_to_list(headers: &mut HeaderMap, name: HeaderName, entry: &str, unknown: &'static str) {
    let mut list: Vec<&str> = hops(headers, &name, unknown).collect();
    if list.is_empty() {
        return set(headers, name, entry);
    }
    list.push(entry);
    let list = list.join(", ");
    set(headers, name, &list);
}

fn set_if_missing(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Entry::Vacant(place) = headers.entry(name)
        && let Ok(value) = HeaderValue::from_str(value)
    {
        place.insert(value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop<'static> = Hop {
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        peer_is_trusted: false,
        scheme: "https",
        authority: "chat.test:8443",
        port: Some(8443),
        request_id: "id-1",
        client_cert: None,
    };

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn forwarded(lines: &[(&'static str, &'static str)], hop: Hop<'_>, rules: &HeaderRules) -> HeaderMap {
        let mut headers = map(lines);
        request_headers(&mut headers, hop, rules, "10.0.0.1:9000", true);
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn hop_by_hop_headers_stop_here() {
        let headers = forwarded(
            &[
                ("connection", "keep-alive, Upgrade, X-Secret, Host, Sec-WebSocket-Key, X-Forwarded-For"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic x"),
                ("te", "trailers"),
                ("http2-settings", "AAMAAABk"),
                ("sec-websocket-key", "kept"),
                ("cookie", "kept=1"),
            ],
            HOP,
            &HeaderRules::default(),
        );
        for gone in
            ["x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "te", "http2-settings"]
        {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(all(&headers, "connection"), ["Upgrade"]);
        assert_eq!(all(&headers, "upgrade"), ["websocket"]);
        assert_eq!(all(&headers, "sec-websocket-key"), ["kept"]);
        assert_eq!(all(&headers, "cookie"), ["kept=1"]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7"]);
    }

    #[test]
    fn an_untrusted_clients_copies_are_replaced() {
        let lies = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "wss"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-real_ip", "6.6.6.6"),
        ];
        let headers = forwarded(&lies, HOP, &HeaderRules::default());
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["chat.test:8443"]);
        assert_eq!(all(&headers, "x-forwarded-port"), ["8443"]);
        assert_eq!(all(&headers, "forwarded"), ["for=192.0.2.7;host=\"chat.test:8443\";proto=https"]);
        assert_eq!(all(&headers, "x-request-id"), ["id-1"]);
        for gone in ["x-real-ip", "x_forwarded_for", "x-real_ip"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_trusted_proxys_word_stands() {
        let said = [
            ("x-forwarded-for", "1.1.1.1, 10.0.0.2"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "public.test"),
            ("forwarded", "for=1.1.1.1"),
        ];
        let hop = Hop { peer_is_trusted: true, ..HOP };
        let headers = forwarded(&said, hop, &HeaderRules::default());
        let sockets = forwarded(&[("x-forwarded-proto", "https, WSS")], hop, &HeaderRules::default());
        assert_eq!(all(&sockets, "x-forwarded-proto"), ["https, https"]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["1.1.1.1, 10.0.0.2, 192.0.2.7"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["public.test"]);
        assert!(all(&headers, "forwarded")[0].starts_with("for=1.1.1.1, for=192.0.2.7;"));
        let unreadable = [("x-forwarded-for", "caf\u{e9}, 1.1.1.1"), ("forwarded", "caf\u{e9}, for=1.1.1.1")];
        let headers = forwarded(&unreadable, hop, &HeaderRules::default());
        assert_eq!(all(&headers, "x-forwarded-for"), ["unknown, 1.1.1.1, 192.0.2.7"]);
        assert!(all(&headers, "forwarded")[0].starts_with("for=unknown, for=1.1.1.1, for=192.0.2.7;"));
        let v6 = Hop { peer: Some("2001:db8::1".parse().unwrap()), authority: "h", ..HOP };
        let headers = forwarded(&[], v6, &HeaderRules::default());
        assert_eq!(all(&headers, "forwarded"), ["for=\"[2001:db8::1]\";host=h;proto=https"]);
    }

    #[test]
    fn a_certificate_is_this_hops_or_a_trusted_proxys() {
        let own = HeaderValue::from_static(":b3du:");
        let said = [
            ("client-cert", ":bGll:"),
            ("client-cert-chain", ":bGll:"),
            ("client_cert", ":bGll:"),
            ("client-cert_chain", ":bGll:"),
            ("connection", "upgrade, client-cert"),
        ];
        for (is_trusted, shown, cert, chain) in [
            (false, None, &[][..], &[][..]),
            (false, Some(&own), &[":b3du:"], &[]),
            // It nominated the one for removal, and not the other.
            (true, None, &[], &[":bGll:"]),
            (true, Some(&own), &[":b3du:"], &[]),
        ] {
            let hop = Hop { peer_is_trusted: is_trusted, client_cert: shown, ..HOP };
            let headers = forwarded(&said, hop, &HeaderRules::default());
            assert_eq!(all(&headers, "client-cert"), cert, "{is_trusted} {shown:?}");
            assert_eq!(all(&headers, "client-cert-chain"), chain, "{is_trusted} {shown:?}");
            assert!(!headers.contains_key("client_cert") && !headers.contains_key("client-cert_chain"));
        }
        let hop = Hop { peer_is_trusted: true, ..HOP };
        let headers = forwarded(&said[..2], hop, &HeaderRules::default());
        assert_eq!(all(&headers, "client-cert"), [":bGll:"]);
    }

    #[test]
    fn what_is_vouched_for_has_one_author() {
        let lies = [("x-user", "root"), ("x-user", "toor"), ("x_user", "root"), ("x-users", "kept")];
        let user = HeaderName::from_static("x-user");
        let vouched = |values: &[&'static str]| {
            let mut headers = map(&lies);
            vouch(&mut headers, &user, values.iter().map(|value| HeaderValue::from_static(value)));
            headers
        };
        assert_eq!(all(&vouched(&["ann", "admin"]), "x-user"), ["ann", "admin"]);
        for headers in [vouched(&[]), vouched(&["ann"])] {
            assert!(!headers.contains_key("x_user"));
            assert_eq!(all(&headers, "x-users"), ["kept"]);
        }
        assert!(!vouched(&[]).contains_key("x-user"), "nothing to say is no reason to let the client speak");
    }

    #[test]
    fn a_routes_own_edits_come_last() {
        let edits = HeaderEdits {
            set: vec![(HeaderName::from_static("x-tenant"), HeaderValue::from_static("a"))],
            remove: vec![header::COOKIE],
        };
        let rules = HeaderRules { host: HostHeader::Backend, request: edits.clone(), response: edits };
        let headers = forwarded(&[("host", "chat.test"), ("cookie", "a=1"), ("x-tenant", "z")], HOP, &rules);
        assert_eq!(all(&headers, "host"), ["10.0.0.1:9000"]);
        assert_eq!(all(&headers, "x-tenant"), ["a"]);
        assert!(!headers.contains_key("cookie"));
        let literal =
            HeaderRules { host: HostHeader::Literal(HeaderValue::from_static("x.test")), ..rules.clone() };
        assert_eq!(all(&forwarded(&[], HOP, &literal), "host"), ["x.test"]);
        assert_eq!(all(&forwarded(&[], HOP, &HeaderRules::default()), "host"), ["chat.test:8443"]);
        let mut answer =
            map(&[("cookie", "b"), ("connection", "close, x-hop"), ("x-hop", "1"), ("upgrade", "h2c")]);
        response_headers(&mut answer, &rules, false);
        assert_eq!(all(&answer, "x-tenant"), ["a"]);
        assert_eq!(answer.len(), 1);
    }

    #[test]
    fn a_101_keeps_its_upgrade_as_the_backend_wrote_it() {
        let mut answer =
            map(&[("connection", "upgrade, keep-alive"), ("upgrade", "WebSocket"), ("keep-alive", "1")]);
        response_headers(&mut answer, &HeaderRules::default(), true);
        assert_eq!(all(&answer, "connection"), ["Upgrade"]);
        assert_eq!(all(&answer, "upgrade"), ["WebSocket"]);
        assert!(!answer.contains_key("keep-alive"));
    }

    #[test]
    fn offers_are_narrowed_to_what_is_understood() {
        let check = |lines: &[&'static str], keep: bool, expected: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("sec-websocket-extensions", *line)).collect();
            let mut headers = map(&lines);
            assert_eq!(narrow_extensions(&mut headers, keep), !expected.is_empty());
            assert_eq!(all(&headers, "sec-websocket-extensions"), expected);
        };
        let deflate = "permessage-deflate; client_max_window_bits";
        check(&[deflate], true, &[deflate]);
        check(&[deflate, "permessage-deflate"], true, &[deflate, "permessage-deflate"]);
        check(&["x-foo, permessage-deflate"], true, &["permessage-deflate"]);
        check(&["x-foo"], true, &[]);
        check(&["x-foo; a=é"], true, &[]);
        check(&["permessage-deflate", "x-foo; a=é"], true, &["permessage-deflate"]);
        check(&[deflate], false, &[]);
        check(&[], true, &[]);
    }
}

//! `forward_auth`: another server is asked whether a request may pass. Here is what it is asked and what its answer
//! means; the asking is the network's part (`net::auth`).

use crate::backend::{BackendTls, Server};
use crate::handshake::forward::{self, HeaderRules, Hop, HostHeader};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use std::fmt;
use std::time::Duration;

/// Whom to ask, and what of the answer the backend gets to see.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardAuth {
    pub server: Server,
    /// Only for `https://`.
    pub tls: BackendTls,
    /// The path and the query of the question, as the URL has them.
    pub target: PathAndQuery,
    /// For name, connection, TLS and answer together.
    pub timeout: Duration,
    /// Headers of an admitting answer that the backend gets, and gets from nobody else.
    pub copy_headers: Vec<HeaderName>,
}

/// The request that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub method: &'a Method,
    /// The path in its normal form and the query. Not as the client wrote it: what is judged has to be what is served.
    pub target: &'a HeaderValue,
    pub hop: Hop<'a>,
}

/// What the head of an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted(Admitted),
    /// The answer is the client's to read.
    Denied,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Each of `copy_headers` with what the answer has of it, which may be nothing: the client's own copy goes anyway.
    pub headers: Vec<(HeaderName, Vec<HeaderValue>)>,
    /// How long a session may last.
    pub ttl: Option<Duration>,
}

/// An answer that admits nobody and is fit for nobody to read, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unintelligible(pub String);

const SESSION_TTL: HeaderName = HeaderName::from_static("framegate-session-ttl");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// What concerns the body, which stays here, the WebSocket, which is not opened with this server, and the representation
/// that is asked for (RFC 9110 13 and 14): an answer of 304 would be about another resource, and would deny.
const NOT_ASKED_ABOUT: [HeaderName; 10] = [
    header::CONTENT_LENGTH,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

impl ForwardAuth {
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// The headers of the question: the request's own, but for those of its connection, of its body, of its upgrade and
    /// of its conditions; and what the gateway knows of it.
    pub fn question(&self, request: &HeaderMap, about: About<'_>) -> HeaderMap {
        let mut headers = request.clone();
        let rules = HeaderRules { host: HostHeader::Backend, ..HeaderRules::default() };
        forward::request_headers(&mut headers, about.hop, &rules, &self.server.authority(), false);
        for name in NOT_ASKED_ABOUT {
            headers.remove(name);
        }
        forward::vouch(&mut headers, &X_FORWARDED_METHOD, HeaderValue::from_str(about.method.as_str()).ok());
        forward::vouch(&mut headers, &X_FORWARDED_URI, Some(about.target.clone()));
        // One question a connection: the server need not wait for another.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers
    }

    /// 2xx admits and nothing else does. Who admits for a time that cannot be read admits nobody: the session would
    /// outlive it.
    pub fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Result<Verdict, Unintelligible> {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Unintelligible("a 101 to a question that asked for no upgrade".into()));
        }
        if !status.is_success() {
            return Ok(Verdict::Denied);
        }
        let values = |name: &HeaderName| headers.get_all(name).iter().cloned().collect();
        let copied = self.copy_headers.iter().map(|name| (name.clone(), values(name))).collect();
        Ok(Verdict::Admitted(Admitted { headers: copied, ttl: session_ttl(headers)? }))
    }

    /// Makes the headers of a denial those of the answer to the client: without those of the connection it came on,
    /// without the length of a body that is framed anew, and without what is meant for the gateway and the backend.
    pub fn denial_headers(&self, headers: &mut HeaderMap) {
        forward::response_headers(headers, &HeaderRules::default(), false);
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(SESSION_TTL);
        for name in &self.copy_headers {
            headers.remove(name);
        }
        // What may be glued to the request was meant for a stream that there will not be.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// As it stands in a log: without the query, in which a secret may be.
impl fmt::Display for ForwardAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self.server, Server::Tcp { tls: true, .. }) { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.server.authority(), self.target.path())
    }
}

/// `Framegate-Session-TTL`: whole seconds, at least one, once.
fn session_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Unintelligible> {
    let mut lines = headers.get_all(SESSION_TTL).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    // Up to 136 years. Not `parse` alone: it would take a sign.
    let digits = line.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse::<u32>().ok()).filter(|seconds| *seconds > 0);
    match (seconds, lines.next()) {
        (Some(seconds), None) => Ok(Some(Duration::from_secs(seconds.into()))),
        (_, Some(_)) => Err(Unintelligible("it has more than one Framegate-Session-TTL".into())),
        (None, None) => {
            let shown = line.as_bytes().get(..32).unwrap_or(line.as_bytes()).escape_ascii();
            Err(Unintelligible(format!("Framegate-Session-TTL \"{shown}\" is not a number of seconds")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const HOP: Hop<'static> = Hop {
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        peer_is_trusted: false,
        scheme: "https",
        authority: "chat.test",
        port: Some(443),
        request_id: "id-1",
        client_cert: None,
    };

    fn settings(copy: &[&'static str]) -> ForwardAuth {
        ForwardAuth {
            server: Server::Tcp { host: "auth.test".into(), port: 9001, tls: true },
            tls: BackendTls::default(),
            target: PathAndQuery::from_static("/check?key=secret"),
            timeout: ForwardAuth::TIMEOUT,
            copy_headers: copy.iter().map(|name| HeaderName::from_static(name)).collect(),
        }
    }

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    fn question(lines: &[(&'static str, &'static str)], hop: Hop<'_>) -> HeaderMap {
        let about = About { method: &Method::POST, target: &HeaderValue::from_static("/room?token=1"), hop };
        settings(&["x-user"]).question(&map(lines), about)
    }

    #[test]
    fn what_goes_with_the_question() {
        for (name, value) in [
            ("cookie", "a=1"),
            ("authorization", "Bearer abc"),
            ("origin", "https://chat.test"),
            ("sec-websocket-protocol", "bearer.abc, chat"),
            ("user-agent", "test"),
            ("content-type", "text/plain"),
            ("x-user", "a claim, which that server may look at"),
        ] {
            assert_eq!(all(&question(&[(name, value)], HOP), name), [value]);
        }
    }

    #[test]
    fn what_stays_behind() {
        for (name, value) in [
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("http2-settings", "AAMAAABk"),
            ("if-match", "*"),
            ("if-none-match", "\"a\""),
            ("if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
            ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
            ("if-range", "\"a\""),
            ("range", "bytes=0-1"),
            ("x-real-ip", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x_forwarded_uri", "/public"),
            ("x-forwarded_method", "GET"),
        ] {
            assert!(!question(&[(name, value)], HOP).contains_key(name), "{name}");
        }
        let nominated = question(&[("connection", "upgrade, x-hop, host"), ("x-hop", "1")], HOP);
        assert!(!nominated.contains_key("x-hop"));
        assert_eq!(all(&nominated, "connection"), ["close"]);
    }

    #[test]
    fn what_the_gateway_says_of_the_request() {
        let lies = [
            ("host", "chat.test"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/public"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-request-id", "mine"),
        ];
        let expected = [
            ("host", "auth.test:9001"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/room?token=1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "chat.test"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-request-id", "id-1"),
        ];
        let untrusted = question(&lies, HOP);
        for (name, value) in expected {
            assert_eq!(all(&untrusted, name), [value], "{name}");
        }
        // A trusted proxy knows better who the client is, and no better what is asked of us.
        let trusted = question(&lies, Hop { peer_is_trusted: true, ..HOP });
        assert_eq!(all(&trusted, "x-forwarded-for"), ["6.6.6.6, 192.0.2.7"]);
        assert_eq!(all(&trusted, "x-forwarded-host"), ["evil.test"]);
        assert_eq!(all(&trusted, "x-forwarded-uri"), ["/room?token=1"]);
        assert_eq!(all(&trusted, "x-forwarded-method"), ["POST"]);
    }

    #[test]
    fn two_hundreds_admit_and_nothing_else_does() {
        let auth = settings(&[]);
        for status in [200, 201, 202, 204, 206, 226, 299] {
            let status = StatusCode::from_u16(status).unwrap();
            let verdict = auth.verdict(status, &HeaderMap::new());
            assert_eq!(verdict, Ok(Verdict::Admitted(Admitted::default())), "{status}");
        }
        for status in [300, 301, 302, 304, 307, 400, 401, 403, 404, 407, 426, 429, 500, 502, 503, 599, 999] {
            let status = StatusCode::from_u16(status).unwrap();
            // Neither a TTL nor a header of an answer makes a difference.
            let headers = map(&[("framegate-session-ttl", "60"), ("x-user", "ann")]);
            assert_eq!(auth.verdict(status, &headers), Ok(Verdict::Denied), "{status}");
        }
        assert!(auth.verdict(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_time_to_live_is_a_number_of_seconds_or_nobody_is_admitted() {
        let ttl = |lines: &[&'static str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("framegate-session-ttl", *line)).collect();
            match settings(&[]).verdict(StatusCode::OK, &map(&lines)) {
                Ok(Verdict::Admitted(admitted)) => Ok(admitted.ttl.map(|ttl| ttl.as_secs())),
                Ok(Verdict::Denied) => panic!("a 200 denies nobody"),
                Err(why) => Err(why),
            }
        };
        assert_eq!(ttl(&[]), Ok(None));
        for (text, seconds) in [("1", 1), ("3600", 3600), ("007", 7), ("4294967295", 4_294_967_295)] {
            assert_eq!(ttl(&[text]), Ok(Some(seconds)), "{text}");
        }
        for garbage in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "60s",
            "1 ",
            "0x10",
            "none",
            "4294967296",
            "99999999999999999999",
        ] {
            assert!(ttl(&[garbage]).is_err(), "{garbage}");
        }
        assert!(ttl(&["60", "60"]).is_err() && ttl(&["60", "x"]).is_err());
        let Unintelligible(why) =
            ttl(&["a line that is far too long to be worth a place in a log"]).unwrap_err();
        assert!(why.len() < 100, "{why}");
    }

    #[test]
    fn headers_are_copied_where_they_are_named() {
        let answer = map(&[("x-user", "ann"), ("x-groups", "a"), ("x-groups", "b"), ("x-other", "1")]);
        let verdict = settings(&["x-user", "x-groups", "x-absent"]).verdict(StatusCode::OK, &answer).unwrap();
        let Verdict::Admitted(Admitted { headers, ttl: None }) = verdict else { panic!("{verdict:?}") };
        let copied: Vec<(&str, Vec<&str>)> = headers
            .iter()
            .map(|(name, lines)| (name.as_str(), lines.iter().map(|line| line.to_str().unwrap()).collect()))
            .collect();
        assert_eq!(copied, [("x-user", vec!["ann"]), ("x-groups", vec!["a", "b"]), ("x-absent", vec![])]);
    }

    #[test]
    fn what_a_denied_client_gets_to_read() {
        let kept = [
            ("www-authenticate", "Basic realm=\"a\""),
            ("www-authenticate", "Bearer"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("location", "https://login.test/"),
            ("content-type", "text/html"),
            ("retry-after", "7"),
        ];
        let gone = [
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-length", "5"),
            ("x-user", "ann"),
            ("framegate-session-ttl", "60"),
        ];
        let mut headers = map(&[&kept[..], &gone[..]].concat());
        settings(&["x-user"]).denial_headers(&mut headers);
        assert_eq!(headers.remove("connection").unwrap(), "close");
        assert_eq!(headers, map(&kept));
    }

    #[test]
    fn a_log_shows_no_query() {
        assert_eq!(settings(&[]).to_string(), "https://auth.test:9001/check");
    }
}

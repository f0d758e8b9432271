//! Whether a request may have what it asks for. Pure: a head and what is known of the address go in, a verdict comes out.
//!
//! Who can connect is one question, and programs on this machine can. What they run is another: a browser sends requests
//! for any page that it shows. A page of another site is told by `Origin` and `Sec-Fetch-Site`, which no page can forge;
//! one whose name was made to lead here (DNS rebinding) is told by `Host`; a form, which sends neither custom headers nor
//! JSON, by its content type.

use super::endpoint::Endpoint;
use crate::handshake::request::host_of;
use crate::net::admin::Token;
use crate::policy::bearer::{self, Place};
use crate::policy::origin::Origin;
use http::header::{self, HeaderMap};
use http::{StatusCode, request};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the admin address asks of its callers.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it is; a unix socket has no address.
    pub own: Option<IpAddr>,
    /// `None`: nobody is asked.
    pub token: Option<Token>,
}

/// Why a request gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Host,
    Origin,
    Site,
    TokenMissing,
    TokenWrong,
    NotFound,
    Method(&'static str),
    ContentType,
}

impl Denied {
    pub const fn status(self) -> StatusCode {
        match self {
            Denied::Host => StatusCode::MISDIRECTED_REQUEST,
            Denied::Origin | Denied::Site => StatusCode::FORBIDDEN,
            Denied::TokenMissing | Denied::TokenWrong => StatusCode::UNAUTHORIZED,
            Denied::NotFound => StatusCode::NOT_FOUND,
            Denied::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Denied::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    pub const fn problem(self) -> &'static str {
        match self {
            Denied::Host => "this is not the host that was asked for",
            Denied::Origin => "the page that asks is of another origin",
            Denied::Site => "the page that asks is of another site",
            Denied::TokenMissing => "there is no token",
            Denied::TokenWrong => "the token is another one",
            Denied::NotFound => "there is nothing at this path",
            Denied::Method(_) => "this path takes another method",
            Denied::ContentType => "only JSON is taken",
        }
    }

    pub const fn hint(self) -> &'static str {
        match self {
            Denied::Host => {
                "without a token the admin address answers to localhost, 127.0.0.1, [::1] and its own address; for another name set admin.token_file"
            }
            Denied::Origin | Denied::Site => {
                "open the page at the admin address itself; programs need not send Origin or Sec-Fetch-Site"
            }
            Denied::TokenMissing | Denied::TokenWrong => {
                "send what is in admin.token_file: Authorization: Bearer …"
            }
            Denied::NotFound => {
                "there are /healthz, /readyz, /metrics, /status, /sessions, /sessions/ID, /tap/ID, /config, /live, and by POST /kick, /drain, /reload"
            }
            Denied::Method(_) => "what changes something is a POST, everything else a GET",
            Denied::ContentType => "send Content-Type: application/json",
        }
    }
}

/// What the request may have.
pub fn judge(head: &request::Parts, door: &Door) -> Result<Endpoint, Denied> {
    judge_host(head, door)?;
    judge_page(&head.headers)?;
    let endpoint = Endpoint::at(head.uri.path());
    if !endpoint.as_ref().is_some_and(Endpoint::is_for_everybody) {
        judge_token(head, endpoint.as_ref(), door.token.as_ref())?;
    }
    let endpoint = endpoint.ok_or(Denied::NotFound)?;
    if !endpoint.takes(&head.method) {
        return Err(Denied::Method(endpoint.methods()));
    }
    if endpoint.changes() && !is_json(&head.headers) {
        return Err(Denied::ContentType);
    }
    Ok(endpoint)
}

/// A name that somebody else chose may lead to any address, and a browser then takes what is there for theirs. Where a token
/// is asked for that helps nobody: it is not the browser that has it, but the page that was given it.
fn judge_host(head: &request::Parts, door: &Door) -> Result<(), Denied> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Err(Denied::Host) };
    let authority = line.to_str().map_err(|_| Denied::Host)?;
    let host = host_of(authority).ok_or(Denied::Host)?;
    // RFC 9112 3.2.2: the target's own word would count more. They have to agree.
    if head.uri.authority().is_some_and(|target| !target.as_str().eq_ignore_ascii_case(authority)) {
        return Err(Denied::Host);
    }
    if door.token.is_some() || host == "localhost" {
        return Ok(());
    }
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let known = [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), door.own];
    if address.is_some() && known.contains(&address) { Ok(()) } else { Err(Denied::Host) }
}

/// What a browser says of the page that asks. Programs say nothing.
fn judge_page(headers: &HeaderMap) -> Result<(), Denied> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = Origin::of("http", host).ok();
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| Origin::parse(origin).ok());
        if origin.is_none() || origin != own {
            return Err(Denied::Origin);
        }
    }
    // The user's own doing, such as a bookmark, is of no site.
    let sites = headers.get_all("sec-fetch-site");
    let is_own = |site: &[u8]| site == b"same-origin" || site == b"none";
    if sites.iter().all(|site| is_own(site.as_bytes())) { Ok(()) } else { Err(Denied::Site) }
}

fn judge_token(
    head: &request::Parts,
    endpoint: Option<&Endpoint>,
    token: Option<&Token>,
) -> Result<(), Denied> {
    let Some(token) = token else { return Ok(()) };
    // A page can set no header on its WebSocket, but it can offer a subprotocol.
    let places: &[Place] = match endpoint {
        Some(Endpoint::Live) => &[Place::Header, Place::Subprotocol],
        _ => &[Place::Header],
    };
    let presented = bearer::find(places, &head.headers, None).map_err(|_| Denied::TokenMissing)?;
    if token.is(&presented) { Ok(()) } else { Err(Denied::TokenWrong) }
}

/// A form can send three content types, and this is none of them. For anything else a page of another origin has to ask
/// first (Fetch 3.3), and is never let.
fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let essence = line.to_str().ok().and_then(|line| line.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const TOKEN: &str = "0123456789abcdef";

    fn door(own: &str, token: bool) -> Door {
        Door { own: own.parse().ok(), token: token.then(|| Token::parse(TOKEN).unwrap()) }
    }

    /// `lines` beside a Host of localhost, unless they bring one themselves.
    fn head(request: &str, lines: &[&str]) -> request::Parts {
        let (method, target) = request.split_once(' ').unwrap();
        let mut asked = Request::builder().method(method).uri(target);
        if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            asked = asked.header("host", "localhost:9900");
        }
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            asked = asked.header(name, value.trim());
        }
        asked.body(()).unwrap().into_parts().0
    }

    const JSON: &str = "Content-Type: application/json";

    #[test]
    fn names_that_lead_here() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:9900", true),
            ("LocalHost:1", true),
            ("localhost.", true),
            ("127.0.0.1:9900", true),
            ("[::1]:9900", true),
            ("[0:0:0:0:0:0:0:1]", true),
            ("127.0.0.5", true),
            // Whatever else is of this machine or another's.
            ("127.0.0.2", false),
            ("0.0.0.0:9900", false),
            ("[::]:9900", false),
            ("[::ffff:127.0.0.1]", false),
            // A browser makes an address of these itself; whoever sends them is none.
            ("127.1", false),
            ("2130706433", false),
            ("0x7f000001", false),
            ("0177.0.0.1", false),
            ("::1", false),
            ("evil.test:9900", false),
            ("localhost.evil.test", false),
            ("127.0.0.1.evil.test", false),
            ("evil.test#localhost", false),
            ("localhost@evil.test", false),
            ("evil.test@localhost", false),
            ("localhost,evil.test", false),
            ("localhost evil.test", false),
            ("localhost:port", false),
            ("localhost:99999", false),
            ("localhost..", false),
            ("[::1]evil.test", false),
            ("[::1", false),
            ("", false),
        ] {
            let asked = |own| judge(&head("GET /status", &[&format!("Host: {host}")]), &door(own, false));
            let verdict = if expected { Ok(Endpoint::Status) } else { Err(Denied::Host) };
            assert_eq!(asked("127.0.0.5"), verdict, "{host}");
        }
        let nowhere = door("a unix socket", false);
        assert_eq!(judge(&head("GET /status", &["Host: localhost"]), &nowhere), Ok(Endpoint::Status));
        assert_eq!(judge(&head("GET /status", &["Host: 127.0.0.5"]), &nowhere), Err(Denied::Host));
    }

    #[test]
    fn a_name_is_needed_once() {
        let door = door("127.0.0.1", false);
        let mut none = head("GET /status", &[]);
        none.headers.remove(header::HOST);
        assert_eq!(judge(&none, &door), Err(Denied::Host));
        let two = head("GET /status", &["Host: localhost", "Host: localhost"]);
        assert_eq!(judge(&two, &door), Err(Denied::Host));
        for (target, expected) in [
            ("http://localhost:9900/status", Ok(Endpoint::Status)),
            ("http://evil.test/status", Err(Denied::Host)),
            ("http://localhost/status", Err(Denied::Host)),
        ] {
            assert_eq!(judge(&head(&format!("GET {target}"), &[]), &door), expected, "{target}");
        }
    }

    #[test]
    fn with_a_token_any_name_will_do() {
        let asked = |lines: &[&str]| judge(&head("GET /status", lines), &door("10.0.0.1", true));
        let bearer = format!("Authorization: Bearer {TOKEN}");
        assert_eq!(asked(&["Host: gateway.internal", &bearer]), Ok(Endpoint::Status));
        assert_eq!(asked(&["Host: gateway.internal"]), Err(Denied::TokenMissing));
        assert_eq!(asked(&["Host: not a host", &bearer]), Err(Denied::Host));
    }

    #[test]
    fn pages_of_others() {
        for (lines, expected) in [
            (&[][..], Ok(Endpoint::Kick)),
            (&["Origin: http://localhost:9900"], Ok(Endpoint::Kick)),
            (&["Origin: HTTP://LOCALHOST:9900"], Ok(Endpoint::Kick)),
            (&["Origin: http://127.0.0.1:9900", "Host: 127.0.0.1:9900"], Ok(Endpoint::Kick)),
            (&["Origin: http://127.0.0.1", "Host: 127.0.0.1:80"], Ok(Endpoint::Kick)),
            (&["Origin: http://evil.test"], Err(Denied::Origin)),
            // Another port, another scheme and another name of the same machine are other origins.
            (&["Origin: http://localhost:9901"], Err(Denied::Origin)),
            (&["Origin: http://localhost"], Err(Denied::Origin)),
            (&["Origin: https://localhost:9900"], Err(Denied::Origin)),
            (&["Origin: http://127.0.0.1:9900"], Err(Denied::Origin)),
            (&["Origin: http://localhost:9900.evil.test"], Err(Denied::Origin)),
            (&["Origin: http://localhost:9900/"], Err(Denied::Origin)),
            (&["Origin: null"], Err(Denied::Origin)),
            (&["Origin: "], Err(Denied::Origin)),
            (&["Origin: http://localhost:9900", "Origin: http://evil.test"], Err(Denied::Origin)),
            (&["Sec-Fetch-Site: same-origin"], Ok(Endpoint::Kick)),
            (&["Sec-Fetch-Site: none"], Ok(Endpoint::Kick)),
            (&["Sec-Fetch-Site: same-site"], Err(Denied::Site)),
            (&["Sec-Fetch-Site: cross-site"], Err(Denied::Site)),
            (&["Sec-Fetch-Site: "], Err(Denied::Site)),
            (&["Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"], Err(Denied::Site)),
            (&["Origin: http://localhost:9900", "Sec-Fetch-Site: cross-site"], Err(Denied::Site)),
        ] {
            let lines = [&[JSON], lines].concat();
            assert_eq!(judge(&head("POST /kick", &lines), &door("127.0.0.1", false)), expected, "{lines:?}");
        }
    }

    #[test]
    fn forms_and_links_change_nothing() {
        for (request, content_type, expected) in [
            ("POST /kick", "application/json", Ok(Endpoint::Kick)),
            ("POST /drain", "Application/JSON; charset=utf-8", Ok(Endpoint::Drain)),
            ("POST /reload", "application/json ;", Ok(Endpoint::Reload)),
            // What a form or a script without asking first can send.
            ("POST /kick", "application/x-www-form-urlencoded", Err(Denied::ContentType)),
            ("POST /kick", "multipart/form-data; boundary=application/json", Err(Denied::ContentType)),
            ("POST /kick", "text/plain", Err(Denied::ContentType)),
            ("POST /kick", "text/plain; application/json", Err(Denied::ContentType)),
            ("POST /kick", "application/jsonx", Err(Denied::ContentType)),
            ("POST /kick", "", Err(Denied::ContentType)),
            ("GET /kick?all=true", "application/json", Err(Denied::Method("POST"))),
            ("HEAD /kick", "application/json", Err(Denied::Method("POST"))),
            ("PUT /kick", "application/json", Err(Denied::Method("POST"))),
            // No page of another origin is ever let, so nothing is said about it either.
            ("OPTIONS /kick", "application/json", Err(Denied::Method("POST"))),
            ("POST /status", "application/json", Err(Denied::Method("GET, HEAD"))),
            ("HEAD /live", "", Err(Denied::Method("GET"))),
            ("POST /elsewhere", "application/json", Err(Denied::NotFound)),
        ] {
            let line = format!("Content-Type: {content_type}");
            let verdict = judge(&head(request, &[&line]), &door("127.0.0.1", false));
            assert_eq!(verdict, expected, "{request} {content_type}");
        }
        let twice = head("POST /kick", &[JSON, "Content-Type: text/plain"]);
        assert_eq!(judge(&twice, &door("127.0.0.1", false)), Err(Denied::ContentType));
        assert_eq!(judge(&head("POST /kick", &[]), &door("127.0.0.1", false)), Err(Denied::ContentType));
    }

    #[test]
    fn tokens() {
        let door = door("127.0.0.1", true);
        for (request, lines, expected) in [
            ("GET /status", &["Authorization: Bearer 0123456789abcdef"][..], Ok(Endpoint::Status)),
            ("GET /status", &["authorization: bearer 0123456789abcdef"], Ok(Endpoint::Status)),
            ("GET /status", &[], Err(Denied::TokenMissing)),
            ("GET /status", &["Authorization: Basic 0123456789abcdef"], Err(Denied::TokenMissing)),
            ("GET /status", &["Authorization: Bearer"], Err(Denied::TokenMissing)),
            ("GET /status", &["Authorization: Bearer 0123456789abcdeX"], Err(Denied::TokenWrong)),
            ("GET /status", &["Authorization: Bearer 0123456789abcdef0"], Err(Denied::TokenWrong)),
            ("GET /status", &["Cookie: token=0123456789abcdef"], Err(Denied::TokenMissing)),
            ("GET /status?token=0123456789abcdef", &[], Err(Denied::TokenMissing)),
            // Of two, nobody says which counts.
            (
                "GET /status",
                &["Authorization: Bearer 0123456789abcdef", "Authorization: Bearer another"],
                Err(Denied::TokenMissing),
            ),
            ("GET /live", &["Authorization: Bearer 0123456789abcdef"], Ok(Endpoint::Live)),
            (
                "GET /live",
                &["Sec-WebSocket-Protocol: framegate.live, bearer.0123456789abcdef"],
                Ok(Endpoint::Live),
            ),
            ("GET /live", &["Sec-WebSocket-Protocol: framegate.live"], Err(Denied::TokenMissing)),
            ("GET /live", &["Sec-WebSocket-Protocol: bearer.x, framegate.live"], Err(Denied::TokenWrong)),
            // Only where nothing else will do.
            ("GET /status", &["Sec-WebSocket-Protocol: bearer.0123456789abcdef"], Err(Denied::TokenMissing)),
            ("GET /healthz", &[], Ok(Endpoint::Health)),
            ("GET /readyz", &[], Ok(Endpoint::Ready)),
            ("GET /", &[], Ok(Endpoint::Page)),
            ("GET /metrics", &[], Err(Denied::TokenMissing)),
            ("POST /kick", &[JSON], Err(Denied::TokenMissing)),
            ("GET /tap/1", &[], Err(Denied::TokenMissing)),
            ("GET /config", &[], Err(Denied::TokenMissing)),
            // Who has no token does not learn what there is.
            ("GET /elsewhere", &[], Err(Denied::TokenMissing)),
            ("GET /kick", &[], Err(Denied::TokenMissing)),
        ] {
            assert_eq!(judge(&head(request, lines), &door), expected, "{request} {lines:?}");
        }
    }
}

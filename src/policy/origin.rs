//! Which web pages may connect (RFC 6455 10.2). Browsers name the page's origin and cannot lie about it; other clients
//! can say what they like, so this protects users of browsers, not the server from the world.

use http::header::{self, HeaderMap, HeaderValue};
use std::fmt;

/// An origin in the one form a browser writes (RFC 6454 6.2): scheme and host in lower case, no default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnOrigin {
    Scheme,
    Path,
    UserInfo,
    Host,
    Port,
}

impl NotAnOrigin {
    pub const fn problem(self) -> &'static str {
        match self {
            NotAnOrigin::Scheme => "it has no scheme",
            NotAnOrigin::Path => "an origin ends at the port: no path, no trailing slash, no query",
            NotAnOrigin::UserInfo => "an origin has no user name",
            NotAnOrigin::Host => "its host is not a host name or an address",
            NotAnOrigin::Port => "its port is not a number from 1 to 65535",
        }
    }
}

impl Origin {
    /// The origin that a page on this host has. `authority` is a Host header's value.
    pub fn of(scheme: &str, authority: &str) -> Result<Origin, NotAnOrigin> {
        if authority.contains('@') {
            return Err(NotAnOrigin::UserInfo);
        }
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(NotAnOrigin::Path);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(NotAnOrigin::Host);
        }
        let port = port.map(parse_port).transpose()?;
        let scheme: Box<str> = scheme.to_ascii_lowercase().into();
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Ok(Origin { scheme, host: host.to_ascii_lowercase().into(), port })
    }

    pub fn parse(text: &str) -> Result<Origin, NotAnOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(NotAnOrigin::Scheme)?;
        let mut letters = scheme.bytes();
        let sound = scheme.len() <= MAX_SCHEME
            && letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !sound {
            return Err(NotAnOrigin::Scheme);
        }
        Origin::of(scheme, authority)
    }
}

/// Longer than any there is: what is an origin stands in log lines as it is.
const MAX_SCHEME: usize = 64;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" | "wss" => Some(443),
        "http" | "ws" => Some(80),
        _ => None,
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), NotAnOrigin> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (_, after) = rest.split_once(']').ok_or(NotAnOrigin::Host)?;
        let host = authority.strip_suffix(after).unwrap_or(authority);
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(NotAnOrigin::Host),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn parse_port(port: &str) -> Result<u16, NotAnOrigin> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    port.parse().ok().filter(|_| digits).ok_or(NotAnOrigin::Port)
}

/// A DNS name as browsers serialise it (IDNs arrive as `xn--…`), an IPv4 address, or a bracketed IPv6 address without a
/// zone.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    !name.is_empty() && host.len() <= 254 && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// One entry of `allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// The page came from the host it now connects to.
    SameOrigin,
    Exact(Origin),
    /// `https://*.example.com`: one or more labels in front of the host; never the host itself.
    Subdomains(Origin),
    AnySite,
}

/// As it is written in the file.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::SameOrigin => f.write_str("same-origin"),
            Allowed::AnySite => f.write_str("any-site-may-connect"),
            Allowed::Exact(origin) => origin.fmt(f),
            Allowed::Subdomains(parent) => {
                let parent = parent.to_string();
                let (scheme, host) = parent.split_once("://").unwrap_or_default();
                write!(f, "{scheme}://*.{host}")
            }
        }
    }
}

impl Allowed {
    pub fn parse(text: &str) -> Result<Allowed, NotAnOrigin> {
        match text {
            "same-origin" => Ok(Allowed::SameOrigin),
            "any-site-may-connect" => Ok(Allowed::AnySite),
            _ => match text.split_once("://*.") {
                Some((scheme, parent)) => {
                    Ok(Allowed::Subdomains(Origin::parse(&format!("{scheme}://{parent}"))?))
                }
                None => Ok(Allowed::Exact(Origin::parse(text)?)),
            },
        }
    }

    fn matches(&self, origin: &Origin, own: Option<&Origin>) -> bool {
        match self {
            Allowed::AnySite => true,
            Allowed::Exact(allowed) => allowed == origin,
            Allowed::SameOrigin => own == Some(origin),
            Allowed::Subdomains(parent) => {
                let below = origin.host.strip_suffix(&*parent.host).and_then(|rest| rest.strip_suffix('.'));
                parent.scheme == origin.scheme
                    && parent.port == origin.port
                    && below.is_some_and(|labels| !labels.is_empty())
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginMode {
    Enforce,
    /// A denial is logged and counted, and the client connects all the same.
    Report,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    pub allowed: Vec<Allowed>,
    pub allow_missing: bool,
    pub allow_null: bool,
    pub mode: OriginMode,
}

impl Default for OriginPolicy {
    fn default() -> OriginPolicy {
        OriginPolicy {
            allowed: vec![Allowed::SameOrigin],
            allow_missing: true,
            allow_null: false,
            mode: OriginMode::Enforce,
        }
    }
}

/// What the policy looks at.
#[derive(Clone, Copy, Debug)]
pub struct OriginFacts<'a> {
    /// Every `Origin` line of the request, as it came.
    pub origins: &'a [&'a [u8]],
    /// `https` or `http`, as the browser saw it.
    pub scheme: &'a str,
    /// The Host header, as the browser saw it.
    pub authority: &'a str,
}

impl OriginFacts<'_> {
    /// The `Origin` lines of a request.
    pub fn lines(headers: &HeaderMap) -> Vec<&[u8]> {
        headers.get_all(header::ORIGIN).iter().map(HeaderValue::as_bytes).collect()
    }
}

/// The part of the policy that has the last word on an Origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Allowed,
    AllowMissing,
    AllowNull,
}

/// Why an Origin is denied, in the operator's words, with the line that would let it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(pub String);

impl OriginPolicy {
    pub fn judge(&self, facts: OriginFacts<'_>) -> Result<(), Denial> {
        match self.ruling(facts.origins) {
            Rule::AllowMissing if self.allow_missing => Ok(()),
            Rule::AllowMissing => {
                Err(Denial("no Origin header; `allow_missing = true` admits such clients".into()))
            }
            Rule::AllowNull if self.allow_null => Ok(()),
            Rule::AllowNull => {
                Err(Denial("Origin null (a sandboxed or local page); `allow_null = true` admits it".into()))
            }
            Rule::Allowed => self.judge_named(facts),
        }
    }

    /// Which part of it these lines are a case for.
    pub fn ruling(&self, origins: &[&[u8]]) -> Rule {
        match origins {
            [] => Rule::AllowMissing,
            [one] if *one == b"null" && !self.allowed.contains(&Allowed::AnySite) => Rule::AllowNull,
            _ => Rule::Allowed,
        }
    }

    fn judge_named(&self, facts: OriginFacts<'_>) -> Result<(), Denial> {
        let [raw] = *facts.origins else {
            return Err(Denial("more than one Origin header".into()));
        };
        if self.allowed.contains(&Allowed::AnySite) {
            return Ok(());
        }
        let shown = shown(raw);
        let origin = std::str::from_utf8(raw).ok().and_then(|text| Origin::parse(text).ok());
        let Some(origin) = origin else {
            return Err(Denial(format!("Origin {shown} is not an origin")));
        };
        let own = Origin::of(facts.scheme, facts.authority).ok();
        if self.allowed.iter().any(|allowed| allowed.matches(&origin, own.as_ref())) {
            return Ok(());
        }
        Err(Denial(format!("Origin {shown} is not allowed; to admit it add \"{origin}\" to origin.allowed")))
    }
}

/// At most 256 bytes of what the client sent, escaped: it stands in a log.
fn shown(raw: &[u8]) -> String {
    let cut = raw.get(..256).unwrap_or(raw);
    format!("\"{}\"{}", cut.escape_ascii(), if cut.len() < raw.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    mod hostile;

    use super::*;

    fn judged(policy: &OriginPolicy, origins: &[&str]) -> bool {
        let origins: Vec<&[u8]> = origins.iter().map(|origin| origin.as_bytes()).collect();
        policy.judge(OriginFacts { origins: &origins, scheme: "https", authority: "chat.good.test" }).is_ok()
    }

    fn allowing(entries: &[&str]) -> OriginPolicy {
        let allowed = entries.iter().map(|entry| Allowed::parse(entry).unwrap()).collect();
        OriginPolicy { allowed, ..OriginPolicy::default() }
    }

    #[test]
    fn same_origin_is_scheme_host_and_port() {
        let policy = OriginPolicy::default();
        for good in ["https://chat.good.test", "https://chat.good.test:443", "HTTPS://Chat.Good.TEST"] {
            assert!(judged(&policy, &[good]), "{good}");
        }
        for bad in [
            "http://chat.good.test",
            "https://chat.good.test:8443",
            "https://chat.good.test.",
            "https://chat.good.test.evil.test",
            "https://evil.test",
            "https://chat.good.test/",
            "https://user@chat.good.test",
            "https://chat.good.test#",
            "wss://chat.good.test",
            "null",
            "",
            "chat.good.test",
            "https://",
            "https://chat.good.test evil.test",
            "https://chat.good.test:0443",
            "https://chat.good.test:",
            "https://chat.good.test:99999",
            "https://chat..good.test",
            "https:\\\\chat.good.test",
        ] {
            assert!(!judged(&policy, &[bad]), "{bad}");
        }
        assert!(!judged(&policy, &["https://chat.good.test", "https://chat.good.test"]), "two headers");
    }

    #[test]
    fn same_origin_with_a_port_and_with_ipv6() {
        let judge = |authority: &str, origin: &str| {
            let origins = [origin.as_bytes()];
            OriginPolicy::default()
                .judge(OriginFacts { origins: &origins, scheme: "https", authority })
                .is_ok()
        };
        assert!(judge("localhost:8443", "https://localhost:8443"));
        assert!(!judge("localhost:8443", "https://localhost"));
        assert!(judge("[::1]:8443", "https://[::1]:8443"));
        assert!(!judge("[::1]:8443", "https://[::2]:8443"));
        assert!(!judge("[fe80::1%25eth0]", "https://[fe80::1%25eth0]"));
        assert!(!judge("user@host", "https://user@host"));
    }

    #[test]
    fn a_wildcard_is_below_its_host_only() {
        let policy = allowing(&["https://*.good.test"]);
        for good in ["https://a.good.test", "https://b.a.good.test", "https://a.good.test:443"] {
            assert!(judged(&policy, &[good]), "{good}");
        }
        for bad in [
            "https://good.test",
            "https://.good.test",
            "https://agood.test",
            "https://a.good.test.evil.test",
            "http://a.good.test",
            "https://a.good.test:444",
            "https://a.good.test.",
        ] {
            assert!(!judged(&policy, &[bad]), "{bad}");
        }
    }

    #[test]
    fn missing_and_null_have_keys_of_their_own() {
        let strict = OriginPolicy { allow_missing: false, ..OriginPolicy::default() };
        assert!(judged(&OriginPolicy::default(), &[]));
        assert!(!judged(&strict, &[]));
        assert!(!judged(&OriginPolicy::default(), &["null"]));
        assert!(judged(&OriginPolicy { allow_null: true, ..OriginPolicy::default() }, &["null"]));
        let any = allowing(&["any-site-may-connect"]);
        assert!(judged(&any, &["https://evil.test"]) && judged(&any, &["null"]));
    }

    #[test]
    fn exact_entries_may_be_any_scheme() {
        let policy = allowing(&["https://good.test:8443", "app://desktop", "chrome-extension://abcdef"]);
        assert!(judged(&policy, &["https://good.test:8443"]));
        assert!(judged(&policy, &["app://desktop"]));
        assert!(judged(&policy, &["chrome-extension://abcdef"]));
        assert!(!judged(&policy, &["https://good.test"]));
    }

    #[test]
    fn the_operator_reads_what_to_add() {
        let denial = OriginPolicy::default()
            .judge(OriginFacts { origins: &[b"https://b.test"], scheme: "https", authority: "a.test" })
            .unwrap_err();
        assert_eq!(
            denial.0,
            "Origin \"https://b.test\" is not allowed; to admit it add \"https://b.test\" to origin.allowed"
        );
        let hostile = [b'\n'; 400];
        let denial = OriginPolicy::default()
            .judge(OriginFacts { origins: &[&hostile], scheme: "https", authority: "a.test" })
            .unwrap_err();
        assert!(denial.0.len() < 600 && !denial.0.contains('\n'));
    }

    #[test]
    fn entries_are_shown_as_they_are_written() {
        for entry in
            ["same-origin", "any-site-may-connect", "https://a.test:8443", "https://*.a.test:8443", "app://x"]
        {
            assert_eq!(Allowed::parse(entry).unwrap().to_string(), entry);
        }
    }

    #[test]
    fn entries_that_are_not_origins_are_errors() {
        for bad in
            ["good.test", "https://good.test/", "https://", "*", "https://*", "https://a@b", "https://*.*.x"]
        {
            assert!(Allowed::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Hosts and paths as a route names them, in the one form in which handshakes are matched.

use super::address::host_and_port;
use super::error::Complaint;
use crate::handshake::path::normalise;
use crate::policy::origin::NotAnOrigin;
use crate::route::{HostPattern, PathPattern};

/// `"chat.example.com"`, `"*.example.com"`, `"192.0.2.1"`, `"[::1]"`.
pub fn host(text: &str) -> Result<HostPattern, Complaint> {
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, text),
    };
    let (host, port) = host_and_port(name).map_err(|why| not_a_host(text, why))?;
    if port.is_some() {
        let plain = text.rsplit_once(':').map_or(text, |(plain, _)| plain);
        return Err(Complaint::new(format!("{text:?} has a port; hosts are matched without one"))
            .hint(format!("write \"{plain}\"; ports belong to listeners")));
    }
    if let Some(plain) = host.strip_suffix('.') {
        return Err(Complaint::new(format!("{text:?} ends in a dot")).hint(format!("write \"{plain}\"")));
    }
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    match wildcard {
        true if is_address => Err(Complaint::new(format!("{text:?} is a wildcard below an address"))
            .hint("list the addresses one by one")),
        true => Ok(HostPattern::OneLabelBelow(host)),
        false => Ok(HostPattern::Exact(host)),
    }
}

fn not_a_host(text: &str, why: NotAnOrigin) -> Complaint {
    let hint = if text == "*" {
        "leave host out to match any host".into()
    } else if let Some((_, rest)) = text.split_once("://") {
        format!(
            "write \"{}\", without scheme and path",
            rest.split(['/', '?', '#', ':']).next().unwrap_or(rest)
        )
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("write \"[{text}]\", as in a Host header")
    } else if !text.is_ascii() {
        "write the name as browsers send it, xn--…".into()
    } else if text.contains('*') {
        "a wildcard is one whole label in front: \"*.example.com\"".into()
    } else {
        "a name, \"chat.example.com\", one label below it, \"*.example.com\", or an address".into()
    };
    let problem = match why {
        NotAnOrigin::Path => format!("{text:?} is not a host: a host has no path"),
        NotAnOrigin::UserInfo => format!("{text:?} is not a host: a host has no user name"),
        NotAnOrigin::Port => format!("{text:?} is not a host: {}", why.problem()),
        NotAnOrigin::Host | NotAnOrigin::Scheme => format!("{text:?} is not a host name or an address"),
    };
    Complaint::new(problem).hint(hint)
}

/// `"/exact"`, `"/prefix/*"`.
pub fn path(text: &str) -> Result<PathPattern, Complaint> {
    let (prefix, is_below) = match text.strip_suffix("/*") {
        Some(prefix) => (prefix, true),
        None => (text, false),
    };
    if text == "*" {
        let complaint = Complaint::new("a path begins with /");
        return Err(about(text, complaint.hint("leave path out to match any path")));
    }
    if prefix.contains('*') {
        let complaint = Complaint::new("a * is the whole last segment or not there");
        return Err(about(text, complaint.hint("write \"/prefix/*\": /prefix and everything below it")));
    }
    check_normal(text)?;
    Ok(match prefix {
        "" => PathPattern::Any,
        _ if is_below => PathPattern::Below(prefix.into()),
        _ => PathPattern::Exact(prefix.into()),
    })
}

/// `"none"` or `"/prefix"`, without a slash at its end.
pub fn strip_prefix(text: &str) -> Result<Option<String>, Complaint> {
    if text == "none" {
        return Ok(None);
    }
    check_normal(text)?;
    if let Some(plain) = text.strip_suffix("/*") {
        let complaint = Complaint::new("a prefix is written without a *");
        return Err(about(text, complaint.hint(format!("write \"{plain}\""))));
    }
    match text.strip_suffix('/') {
        None => Ok(Some(text.into())),
        Some("") => Err(Complaint::new("\"/\" takes nothing off").hint("write \"none\", or leave it out")),
        Some(plain) => Err(Complaint::new(format!("{text:?} ends in a slash; what is left keeps its own"))
            .hint(format!("write \"{plain}\""))),
    }
}

/// Whether every path that the pattern matches begins with the prefix, at a segment's end.
pub fn begins_with(path: &PathPattern, prefix: &str) -> bool {
    let fixed = match path {
        PathPattern::Any => return false,
        PathPattern::Exact(fixed) | PathPattern::Below(fixed) => fixed,
    };
    fixed.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn about(text: &str, complaint: Complaint) -> Complaint {
    Complaint { problem: format!("{text:?}: {}", complaint.problem), ..complaint }
}

/// A pattern in any other form than the one handshakes are matched in would never match. (A `*` is a plain letter here.)
fn check_normal(text: &str) -> Result<(), Complaint> {
    let complaint = |problem: &str| about(text, Complaint::new(problem));
    if !text.starts_with('/') {
        return Err(complaint("a path begins with /").hint(format!("write \"/{text}\"")));
    }
    if text.contains(['?', '#']) {
        return Err(complaint("a path has no query and no fragment")
            .hint("routes are told apart by host, path, match_headers and match_subprotocol"));
    }
    if text.contains(|letter: char| letter.is_whitespace() || !letter.is_ascii()) {
        return Err(complaint("requests carry such letters encoded")
            .hint("write the bytes of its UTF-8: a space is %20, an é is %C3%A9"));
    }
    match normalise(text) {
        Ok(normal) if normal == text => Ok(()),
        Ok(normal) => Err(complaint("paths are matched in their normal form, which this is not")
            .hint(format!("write \"{normal}\""))),
        Err(problem) => Err(complaint(problem.problem())
            .hint("requests with such a path are refused, so no route can serve them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let shown = |text: &str| host(text).map(|host| host.to_string()).ok();
        for (text, expected) in [
            ("Chat.Example.COM", Some("chat.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("localhost", Some("localhost")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[0:0::1]", Some("[::1]")),
            ("*", None),
            ("", None),
            ("*.", None),
            ("*.*.example.com", None),
            ("a.*.com", None),
            ("*example.com", None),
            ("example.com:443", None),
            ("[::1]:443", None),
            ("::1", None),
            ("https://example.com", None),
            ("example.com/path", None),
            ("example.com.", None),
            ("bücher.example", None),
            ("*.192.0.2.1", None),
            ("192.0.2.999", None),
            ("a b", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn paths() {
        for (text, expected) in [
            ("/", Some(PathPattern::Exact("/".into()))),
            ("/*", Some(PathPattern::Any)),
            ("/ws", Some(PathPattern::Exact("/ws".into()))),
            ("/ws/", Some(PathPattern::Exact("/ws/".into()))),
            ("/ws/*", Some(PathPattern::Below("/ws".into()))),
            ("/a/b.c~d/(e)/*", Some(PathPattern::Below("/a/b.c~d/(e)".into()))),
            ("/a%20b", Some(PathPattern::Exact("/a%20b".into()))),
            ("", None),
            ("*", None),
            ("ws", None),
            ("//", None),
            ("/a//b", None),
            ("/a//*", None),
            ("/a/../b", None),
            ("/a/.", None),
            ("/a*", None),
            ("/*/b", None),
            ("/a/*/*", None),
            ("/a?x", None),
            ("/a#x", None),
            ("/a b", None),
            ("/é", None),
            ("/a%2", None),
            ("/a%zz", None),
            ("/a%2f", None),
            ("/a%2F", None),
            ("/a%41", None),
            ("/a%c3%a9", None),
            ("/a%+1", None),
            ("/a\\b", None),
        ] {
            assert_eq!(path(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn prefixes() {
        assert_eq!(strip_prefix("none"), Ok(None));
        assert_eq!(strip_prefix("/a/b"), Ok(Some("/a/b".into())));
        for bad in ["", "a", "/", "/a/", "/a//b", "/a/*"] {
            assert!(strip_prefix(bad).is_err(), "{bad:?}");
        }
        let check = |pattern: &str, prefix: &str, expected: bool| {
            assert_eq!(begins_with(&path(pattern).unwrap(), prefix), expected, "{pattern} {prefix}");
        };
        check("/a/b/*", "/a", true);
        check("/a/b/*", "/a/b", true);
        check("/a/b", "/a/b", true);
        check("/ab/*", "/a", false);
        check("/a/*", "/a/b", false);
        check("/*", "/a", false);
    }
}

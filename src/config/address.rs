//! Addresses as text: where a listener binds, where a server is, which networks are trusted.

use super::error::Complaint;
use crate::backend::Server;
use crate::net::listen::Bind;
use crate::policy::origin::{NotAnOrigin, Origin};
use http::uri::PathAndQuery;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `"0.0.0.0:443"`, `"[::]:443"`, `"unix:/path"`, `"systemd:NAME"`.
pub fn bind(text: &str) -> Result<Bind, Complaint> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(|path| Bind::Unix(path.into()));
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return systemd_name(name).map(|name| Bind::Systemd(name.into()));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Bind::Tcp(address));
    }
    let hint = if let Ok(address) = text.parse::<IpAddr>() {
        format!("add the port: \"{}\"", SocketAddr::new(address, 443))
    } else if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        format!("add the address: \"0.0.0.0:{port}\" or, for IPv6 as well, \"[::]:{port}\"")
    } else if let Some(("localhost", port)) = text.rsplit_once(':') {
        format!("a listener binds an address, not a name: \"127.0.0.1:{port}\"")
    } else {
        "an address and a port, \"0.0.0.0:443\" or \"[::]:443\", or \"unix:/path\", or \"systemd:NAME\""
            .into()
    };
    Err(Complaint::new(format!("{text:?} is not an address to bind")).hint(hint))
}

/// `"ws://host:port"`, `"wss://host"`, `"unix:/path"`.
pub fn server(text: &str) -> Result<Server, Complaint> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(|path| Server::Unix(path.into()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Complaint::new(format!("{text:?} is not the URL of a server"))
            .hint(format!("write \"ws://{text}\" (or wss:// for TLS)")));
    };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        // What stands before the @ may be a password and is not repeated.
        return Err(Complaint::new("a server's URL holds no user name or password")
            .hint("set the header the server wants in [route.headers] request.set"));
    }
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "ws" => false,
        "wss" => true,
        "http" => return Err(wrong_scheme(text, "ws", authority)),
        "https" => return Err(wrong_scheme(text, "wss", authority)),
        _ => {
            return Err(Complaint::new(format!("{scheme:?} is not the scheme of a server"))
                .hint("write \"ws://host:port\", \"wss://host:port\" or \"unix:/path\""));
        }
    };
    if !behind.is_empty() {
        let plain = format!("{scheme}://{authority}");
        return Err(Complaint::new(format!("a server's URL ends at the port, without {behind:?}"))
            .hint(format!("write \"{plain}\"; the path is the client's own, and strip_prefix shortens it")));
    }
    let (host, port) = host_and_port(authority).map_err(|why| {
        let hint = match why {
            NotAnOrigin::Port => "a port is a number from 1 to 65535: \"ws://10.0.0.1:9000\"",
            _ => "a host name, an IPv4 address, or an IPv6 address in brackets and without a zone: \"ws://[::1]:9000\"",
        };
        Complaint::new(format!("{text:?}: {}", why.problem())).hint(hint)
    })?;
    Ok(Server::Tcp { host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls })
}

/// `"http://host:port/path?query"`, of a server that is asked something.
pub fn http_url(text: &str) -> Result<(Server, PathAndQuery), Complaint> {
    // A query may hold a secret, and so may what stands before an @: neither is repeated.
    let shown = text.split(['?', '#']).next().unwrap_or(text);
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Complaint::new("this URL holds no user name or password")
            .hint("let the server know the gateway by its address, or by a key in the URL's query"));
    }
    if scheme.is_empty() {
        return Err(Complaint::new(format!("{shown:?} is not a URL"))
            .hint(format!("write \"http://{shown}\" (or https:// for TLS)")));
    }
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => {
            let meant = if scheme.eq_ignore_ascii_case("wss") { "https" } else { "http" };
            let rest = shown.split_once("://").map_or("", |(_, rest)| rest);
            return Err(Complaint::new(format!("{scheme:?} is not the scheme of a plain question"))
                .hint(format!("write \"{meant}://{rest}\"")));
        }
    };
    let (host, port) = host_and_port(authority).map_err(|why| {
        Complaint::new(format!("{shown:?}: {}", why.problem()))
            .hint("a host name or an address, and a port where it is not the usual one: \"http://127.0.0.1:9001/auth\"")
    })?;
    let target = if behind.starts_with('/') { behind.into() } else { format!("/{behind}") };
    let target = PathAndQuery::try_from(target).ok().filter(|_| !behind.contains('#')).ok_or_else(|| {
        Complaint::new(format!("{shown:?}: its path or query cannot stand in a request"))
            .hint("percent-encode what is not a letter, a digit or a sign, and leave out what begins with #")
    })?;
    Ok((Server::Tcp { host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls }, target))
}

fn wrong_scheme(text: &str, scheme: &str, authority: &str) -> Complaint {
    Complaint::new(format!("{text:?} is not the URL of a WebSocket server"))
        .hint(format!("write \"{scheme}://{authority}\": plain HTTP requests reach the same server"))
}

fn unix_path(path: &str) -> Result<&str, Complaint> {
    if path.is_empty() || path.starts_with("//") {
        let path = path.trim_start_matches('/');
        return Err(Complaint::new("unix: is followed by the path of a socket")
            .hint(format!("write \"unix:/{}\"", if path.is_empty() { "run/app.sock" } else { path })));
    }
    Ok(path)
}

/// What may be the name of a descriptor (systemd.socket(5), `FileDescriptorName=`).
fn systemd_name(name: &str) -> Result<&str, Complaint> {
    let is_one = (1..=255).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
    if is_one {
        return Ok(name);
    }
    Err(Complaint::new("systemd: is followed by the name that a socket unit gives its sockets")
        .hint("write \"systemd:web\", and FileDescriptorName=web in the socket unit"))
}

/// A network of clients or proxies: a CIDR, or one address.
pub fn network(text: &str) -> Result<IpNet, Complaint> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network = text.parse::<IpNet>().map_err(|_| {
        Complaint::new(format!("{text:?} is not a network"))
            .hint("an address and the length of its prefix: \"10.0.0.0/8\", \"fd00::/8\"")
    })?;
    if network.trunc() != network {
        return Err(Complaint::new(format!("{text:?} has bits set behind its prefix")).hint(format!(
            "write \"{}\", or \"{}\" for the one address",
            network.trunc(),
            network.addr()
        )));
    }
    Ok(bare_network(network))
}

/// `::ffff:10.0.0.0/104` is IPv4's 10.0.0.0/8. Clients are judged by the address that they have without such clothes, so
/// a network in them would hold nobody, and a list of the denied would deny nobody.
fn bare_network(network: IpNet) -> IpNet {
    const CLOTHES: u8 = 96;
    let bare = || {
        let IpNet::V6(v6) = network else { return None };
        let prefix = v6.prefix_len().checked_sub(CLOTHES)?;
        Ipv4Net::new(v6.addr().to_ipv4_mapped()?, prefix).ok()
    };
    bare().map_or(network, IpNet::V4)
}

/// `host[:port]`, the host in lower case and an IPv6 address in brackets, by the one grammar the program has for it.
pub fn host_and_port(authority: &str) -> Result<(String, Option<u16>), NotAnOrigin> {
    Origin::of("", authority)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = port.map(|port| port.parse().map_err(|_| NotAnOrigin::Port)).transpose()?;
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| NotAnOrigin::Host)?;
        return Ok((format!("[{address}]"), port));
    }
    // No top-level domain is a number (RFC 3696 2), so what ends in one is an address or a typing error.
    let ends_in_number = host
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if ends_in_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(NotAnOrigin::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        assert_eq!(bind("0.0.0.0:443"), Ok(Bind::Tcp("0.0.0.0:443".parse().unwrap())));
        assert_eq!(bind("[::]:443"), Ok(Bind::Tcp("[::]:443".parse().unwrap())));
        assert_eq!(bind("unix:/run/a.sock"), Ok(Bind::Unix("/run/a.sock".into())));
        assert_eq!(bind("unix:a.sock"), Ok(Bind::Unix("a.sock".into())));
        assert_eq!(bind("systemd:web.socket"), Ok(Bind::Systemd("web.socket".into())));
        let hint = |text: &str| bind(text).unwrap_err().hint.unwrap_or_default();
        assert_eq!(hint("127.0.0.1"), "add the port: \"127.0.0.1:443\"");
        assert_eq!(hint("::1"), "add the port: \"[::1]:443\"");
        assert!(hint(":8080").contains("\"0.0.0.0:8080\""));
        assert!(hint("8080").contains("\"0.0.0.0:8080\""));
        assert!(hint("localhost:8080").contains("\"127.0.0.1:8080\""));
        for bad in [
            "",
            "unix:",
            "unix:///a",
            "systemd:",
            "systemd:a:b",
            "systemd:\u{e9}",
            "example.com:443",
            "0.0.0.0:99999",
            "::1:443x",
        ] {
            assert!(bind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers() {
        let tcp = |host: &str, port, tls| Ok(Server::Tcp { host: host.into(), port, tls });
        for (text, expected) in [
            ("ws://127.0.0.1:9000", tcp("127.0.0.1", 9000, false)),
            ("ws://App", tcp("app", 80, false)),
            ("WSS://app.test", tcp("app.test", 443, true)),
            ("wss://[::1]:9443", tcp("[::1]", 9443, true)),
            ("ws://[0:0::1]", tcp("[::1]", 80, false)),
            ("ws://my_app.ns.svc:1", tcp("my_app.ns.svc", 1, false)),
            ("unix:/run/app.sock", Ok(Server::Unix("/run/app.sock".into()))),
        ] {
            assert_eq!(server(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_server() {
        for (text, expected) in [
            ("http://a:1", "write \"ws://a:1\""),
            ("https://a", "write \"wss://a\""),
            ("10.0.0.1:9000", "write \"ws://10.0.0.1:9000\""),
            ("ws://a:1/", "write \"ws://a:1\""),
            ("ws://a/socket?x#y", "write \"ws://a\""),
            ("ws://u:secret@a", "request.set"),
            ("ftp://a", "ws://host:port"),
            ("ws://a:0", "from 1 to 65535"),
            ("ws://a:66000", "from 1 to 65535"),
            ("ws://a:", "from 1 to 65535"),
            ("ws://", "a host name"),
            ("ws://::1", "in brackets"),
            ("ws://[fe80::1%25eth0]", "without a zone"),
            ("ws://[fe80::1%eth0]:1", "without a zone"),
            ("ws://10.0.0.256", "a host name"),
            ("ws://a b", "a host name"),
            ("unix:", "unix:/run/app.sock"),
            ("unix:///run/x", "write \"unix:/run/x\""),
        ] {
            let complaint = server(text).unwrap_err();
            let hint = complaint.hint.unwrap_or_default();
            assert!(hint.contains(expected), "{text}: {hint}");
            assert!(!complaint.problem.contains("secret") && !hint.contains("secret"), "{text}");
        }
    }

    #[test]
    fn urls_to_ask() {
        let url = |host: &str, port, tls, target: &'static str| {
            Ok((Server::Tcp { host: host.into(), port, tls }, PathAndQuery::from_static(target)))
        };
        for (text, expected) in [
            ("http://127.0.0.1:9001/auth", url("127.0.0.1", 9001, false, "/auth")),
            ("https://Auth.test", url("auth.test", 443, true, "/")),
            ("http://auth", url("auth", 80, false, "/")),
            ("http://auth?key=1", url("auth", 80, false, "/?key=1")),
            ("HTTPS://[::1]:9443/a/b?c=d&e", url("[::1]", 9443, true, "/a/b?c=d&e")),
        ] {
            assert_eq!(http_url(text), expected, "{text}");
        }
        for (text, expected) in [
            ("auth:9001/check?key=secret", "write \"http://auth:9001/check\""),
            ("ws://auth/check?key=secret", "write \"http://auth/check\""),
            ("wss://auth", "write \"https://auth\""),
            ("ftp://auth", "write \"http://auth\""),
            ("http://user:secret@auth/", "in the URL's query"),
            ("user:secret@auth/", "in the URL's query"),
            ("http://", "a host name"),
            ("http:///auth", "a host name"),
            ("http://auth:0/?secret", "a host name"),
            ("http://10.0.0.256/", "a host name"),
            ("http://auth/#secret", "leave out"),
            ("http://auth/a b?secret", "percent-encode"),
            ("unix:/run/auth.sock", "write \"http://"),
            ("", "write \"http://"),
        ] {
            let complaint = http_url(text).unwrap_err();
            let hint = complaint.hint.unwrap_or_default();
            assert!(hint.contains(expected), "{text}: {hint}");
            assert!(!complaint.problem.contains("secret") && !hint.contains("secret"), "{text}: {hint}");
        }
    }

    #[test]
    fn networks() {
        for good in ["10.0.0.0/8", "fd00::/8", "192.0.2.1", "::1", "0.0.0.0/0"] {
            assert!(network(good).is_ok(), "{good}");
        }
        for (text, expected) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.6.6.6", "10.6.6.6/32"),
            ("::ffff:10.6.6.6/128", "10.6.6.6/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::ffff:0:0:0/96", "::ffff:0:0:0/96"),
        ] {
            assert_eq!(network(text).unwrap(), expected.parse::<IpNet>().unwrap(), "{text}");
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "a", "", "10.0.0.1/8", "10.0.0.0/8 "] {
            assert!(network(bad).is_err(), "{bad}");
        }
        assert_eq!(
            network("10.0.0.1/8").unwrap_err().hint.unwrap(),
            "write \"10.0.0.0/8\", or \"10.0.0.1\" for the one address"
        );
    }
}

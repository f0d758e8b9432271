//! Which gateway is meant, and the token that it asks for: named on the command line, or found in its configuration.

use super::failure::Failure;
use super::{config_file, environment};
use crate::config;
use crate::net::admin::{AdminSettings, Token};
use crate::net::listen::Bind;
use http::HeaderValue;
use http::uri::Authority;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct At {
    /// The admin address: host:port, unix:/path or http://host:port. By default what the configuration's [admin] says
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "config")]
    admin: Option<Address>,
    /// The gateway's configuration; by default ./framegate.toml, else /etc/framegate/framegate.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file with the token that the admin address asks for. By default the token in FRAMEGATE_TOKEN, else what the
    /// configuration's token_file holds
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where an admin address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A gateway that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: Address,
    /// As `Authorization` has it.
    pub bearer: Option<HeaderValue>,
}

const TOKEN: &str = "FRAMEGATE_TOKEN";

impl At {
    pub fn find(self) -> Result<Target, Failure> {
        let (address, configured) = match self.admin {
            Some(address) => (address, None),
            None => {
                let AdminSettings { bind, token_file } = configured(self.config)?;
                (Address::of(&bind)?, token_file)
            }
        };
        let from_file = |path: &Path| bearer_of(path, &read(path)?);
        let bearer = match (self.token_file, environment(TOKEN), configured) {
            (Some(path), _, _) => Some(from_file(&path)?),
            (None, Some(token), _) => {
                Some(bearer(&token).map_err(|why| Failure::new(format!("{TOKEN} {why}"), ""))?)
            }
            (None, None, Some(path)) => Some(from_file(&path)?),
            (None, None, None) => None,
        };
        Ok(Target { address, bearer })
    }
}

/// `[admin]`, which has to be good. The rest of the file need not be: whoever asks for a reload may have broken it, and
/// whoever asks for the status may not have what it expands to.
fn configured(named: Option<PathBuf>) -> Result<AdminSettings, Failure> {
    let hint = "name the gateway's file with --config, or its admin address with --admin";
    let file = config_file(named).map_err(|why| Failure::new(why, hint))?;
    let found = config::find_admin(&file, &environment).map_err(|problems| {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let hint = "put it right, or name the admin address with --admin";
        Failure::new(format!("where is the admin address? {}", said.join("; ")), hint)
    })?;
    found.ok_or_else(|| {
        let hint = "add these lines, and send framegate a SIGHUP:\n[admin]\nbind = \"127.0.0.1:9900\"";
        Failure::new(format!("{} has no [admin]: its gateway cannot be asked", file.display()), hint)
    })
}

impl Address {
    /// Where to connect to reach what is bound there.
    fn of(bind: &Bind) -> Result<Address, Failure> {
        Ok(match bind {
            Bind::Unix(path) => Address::Unix(path.clone()),
            Bind::Systemd(name) => {
                let why = format!("[admin] bind is the socket that systemd has under the name {name:?}");
                return Err(Failure::new(why, "say where it is with --admin, as the .socket unit has it"));
            }
            Bind::Tcp(address) if address.port() == 0 => {
                let why = "[admin] bind takes any port that is free";
                return Err(Failure::new(why, "the log says which: name it with --admin 127.0.0.1:PORT"));
            }
            Bind::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                let authority = SocketAddr::new(ip, address.port()).to_string();
                let host = authority.rsplit_once(':').map_or("", |(host, _)| host).into();
                Address::Tcp { host, port: address.port() }
            }
        })
    }

    /// As `Host` has it. A socket has none, and whoever listens there is this machine.
    pub fn authority(&self) -> String {
        match self {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { .. } => f.write_str(&self.authority()),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// For clap.
fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() { Err("write unix:/path".into()) } else { Ok(Address::Unix(path.into())) };
    }
    if text.starts_with("https://") {
        return Err("the admin address speaks plain HTTP: http://, or a proxy that adds TLS".into());
    }
    let (rest, usual) = match text.strip_prefix("http://") {
        Some(rest) => (rest.strip_suffix('/').unwrap_or(rest), Some(80)),
        None => (text, None),
    };
    if rest.contains('@') {
        return Err("a token goes into a file, for --token-file, or into FRAMEGATE_TOKEN".into());
    }
    let wrong = || "write host:port, unix:/path or http://host:port".to_string();
    let authority: Authority = rest.parse().map_err(|_| wrong())?;
    if authority.host().is_empty() {
        return Err(wrong());
    }
    // What is no number is no port to the parser.
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => {
            usual.ok_or_else(|| "add the port: host:9900, where the configuration says so".to_string())?
        }
        _ => authority.port_u16().filter(|port| *port > 0).ok_or_else(wrong)?,
    };
    Ok(Address::Tcp { host: authority.host().into(), port })
}

/// Far more than a token has.
const MAX_FILE: u64 = 64 * 1024;

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    file.map(|_| text).map_err(|error| {
        let hint = format!("run it as the user whose file that is, or put the token into {TOKEN}");
        Failure::new(format!("the token cannot be read from {}: {error}", path.display()), hint)
    })
}

fn bearer_of(path: &Path, text: &str) -> Result<HeaderValue, Failure> {
    bearer(text).map_err(|why| Failure::new(format!("{} {why}", path.display()), ""))
}

/// The error repeats nothing of the token.
fn bearer(text: &str) -> Result<HeaderValue, String> {
    Token::parse(text)?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
        .map_err(|_| "holds what cannot stand in a header".to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("127.0.0.1:9900", Ok(tcp("127.0.0.1", 9900))),
            ("[::1]:9900", Ok(tcp("[::1]", 9900))),
            ("localhost:9900", Ok(tcp("localhost", 9900))),
            ("http://gateway.internal:9900/", Ok(tcp("gateway.internal", 9900))),
            ("http://gateway.internal", Ok(tcp("gateway.internal", 80))),
            ("unix:/run/framegate/admin.sock", Ok(Address::Unix("/run/framegate/admin.sock".into()))),
            ("unix:", Err("unix:/path")),
            ("", Err("host:port")),
            ("localhost", Err("add the port")),
            ("9900", Err("add the port")),
            (":9900", Err("host:port")),
            ("localhost:", Err("host:port")),
            ("localhost:0", Err("host:port")),
            ("localhost:65536", Err("host:port")),
            ("localhost:port", Err("host:port")),
            ("http://a:1/status", Err("host:port")),
            ("https://a:1", Err("plain HTTP")),
            ("http://secret@a:1", Err("--token-file")),
        ] {
            match (address(text), expected) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{text}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn where_a_bound_address_is_reached() {
        for (bind, expected) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("[fe80::1]:9900", "[fe80::1]:9900"),
            ("10.0.0.1:9900", "10.0.0.1:9900"),
        ] {
            assert_eq!(
                Address::of(&Bind::Tcp(bind.parse().unwrap())).unwrap().authority(),
                expected,
                "{bind}"
            );
        }
        assert!(Address::of(&Bind::Tcp("127.0.0.1:0".parse().unwrap())).is_err());
        assert!(Address::of(&Bind::Systemd("admin".into())).is_err());
        assert_eq!(Address::of(&Bind::Unix("/a.sock".into())).unwrap().to_string(), "unix:/a.sock");
    }

    #[test]
    fn tokens() {
        let bearer = |text| bearer(text).map(|value| String::from_utf8(value.as_bytes().into()).unwrap());
        assert_eq!(bearer(" 0123456789abcdef\n").unwrap(), "Bearer 0123456789abcdef");
        for wrong in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcde\u{7f}"] {
            let why = bearer(wrong).unwrap_err();
            assert!(wrong.is_empty() || !why.contains(wrong), "{why}");
        }
    }
}

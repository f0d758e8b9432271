//! The servers behind a route: what is configured of them (here), which is next (`balance`, `key`, `sticky`), how they are
//! (`health`), and all that together as it changes (`pool`).

pub mod balance;
pub mod health;
pub mod key;
pub mod sticky;
pub mod pool;

use balance::Balance;
use health::HealthSettings;
use key::HashOn;
use pool::Address;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use sticky::Sticky;

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub name: String,
    pub servers: Vec<Weighted>,
    pub balance: Balance,
    pub hash_on: HashOn,
    pub sticky: Option<Sticky>,
    pub connect_timeout: Duration,
    /// From the request sent to the head of the answer.
    pub upgrade_timeout: Duration,
    /// Other servers that are tried for a client.
    pub retries: u32,
    pub slow_start: Option<Duration>,
    /// Sessions a server.
    pub max_connections: Option<usize>,
    pub send_proxy: SendProxy,
    pub on_server_down: OnServerDown,
    /// Only for `wss://` servers.
    pub tls: BackendTls,
    /// `None`: only what clients meet counts.
    pub health: Option<HealthSettings>,
}

impl Backend {
    /// These servers, alike, with the defaults.
    pub fn new(name: &str, servers: impl IntoIterator<Item = Server>) -> Backend {
        Backend {
            name: name.into(),
            servers: servers.into_iter().map(|server| Weighted { server, weight: 1 }).collect(),
            balance: Balance::default(),
            hash_on: HashOn::default(),
            sticky: None,
            connect_timeout: Duration::from_secs(5),
            upgrade_timeout: Duration::from_secs(10),
            retries: 1,
            slow_start: Some(Duration::from_secs(30)),
            max_connections: None,
            send_proxy: SendProxy::Off,
            on_server_down: OnServerDown::Keep,
            tls: BackendTls::default(),
            health: None,
        }
    }
}

impl fmt::Display for Backend {
    /// Its servers, each with its weight where that is not 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Weighted { server, weight }) in self.servers.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            server.fmt(f)?;
            if *weight != 1 {
                write!(f, " (weight {weight})")?;
            }
        }
        Ok(())
    }
}

/// A server with its part of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    pub server: Server,
    pub weight: u32,
}

/// What becomes of the sessions of a server that probes find down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnServerDown {
    /// They live for as long as they can.
    #[default]
    Keep,
    /// They are told to come back, spread over a while.
    Close,
}

/// Whether a connection begins with a header that says who the client is, for servers that read no `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendProxy {
    #[default]
    Off,
    /// PROXY protocol, version 2.
    V2,
}

/// One server, as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl Server {
    /// Its address, where that is what its URL has for a name.
    pub fn literal(&self) -> Option<Address> {
        match self {
            Server::Tcp { host, port, .. } => {
                let address = bare(host).parse().ok()?;
                Some(Address::Tcp(SocketAddr::new(address, *port)))
            }
            Server::Unix(path) => Some(Address::Unix(path.clone())),
        }
    }

    /// What stands in a Host header that names the server itself.
    pub fn authority(&self) -> String {
        match self {
            Server::Tcp { host, port, tls } if *port == if *tls { 443 } else { 80 } => host.clone(),
            Server::Tcp { host, port, .. } => format!("{host}:{port}"),
            Server::Unix(_) => "localhost".into(),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Tcp { host, port, tls: false } => write!(f, "ws://{host}:{port}"),
            Server::Tcp { host, port, tls: true } => write!(f, "wss://{host}:{port}"),
            Server::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTls {
    pub roots: Roots,
    /// The name to ask for and to check; by default the host of the URL.
    pub server_name: Option<String>,
    /// The certificate that we show, where the server wants one.
    pub identity: Option<Identity>,
}

/// A certificate chain and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Whose word we take for a `wss://` server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    #[default]
    System,
    File(PathBuf),
    /// `verify = "accept-any-certificate"`.
    AcceptAny,
}

/// A URL has IPv6 in brackets.
pub fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

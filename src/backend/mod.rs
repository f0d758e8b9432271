//! The servers behind a route. One server a backend for now; balance, health and stickiness have their place here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub name: String,
    pub server: Server,
    pub connect_timeout: Duration,
    /// From the request sent to the head of the answer.
    pub upgrade_timeout: Duration,
    pub send_proxy: SendProxy,
    /// Only for `wss://` servers.
    pub tls: BackendTls,
}

impl Backend {
    /// One server with the defaults.
    pub fn new(name: &str, server: Server) -> Backend {
        Backend {
            name: name.into(),
            server,
            connect_timeout: Duration::from_secs(5),
            upgrade_timeout: Duration::from_secs(10),
            send_proxy: SendProxy::Off,
            tls: BackendTls::default(),
        }
    }
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

//! Listening sockets and the accept loop.

use super::tls::TlsSettings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSettings {
    pub name: String,
    pub bind: Bind,
    /// `None`: a plain listener.
    pub tls: Option<TlsSettings>,
    /// Every request on it is sent to `https://` with 308 (a plain listener on port 80).
    pub redirect_to_https: bool,
    /// TLS and the request head, together.
    pub handshake_timeout: Duration,
    /// Bytes of a request head; hyper wants at least 8 KiB.
    pub max_header_size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

//! A connection to a backend, ready for its first byte of HTTP: name, socket, TLS, all under one deadline.

use super::proxy_protocol::header;
use super::socket::Socket;
use super::stream::{ReadAhead, Stream};
use super::tls::client_config;
use crate::backend::pool::Address;
use crate::backend::{Backend, SendProxy, Server, Weighted, bare};
use crate::refusal::{Refusal, Refused};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// A server with what dialling it takes, made once.
pub struct Dialer {
    server: Server,
    connect_timeout: Duration,
    send_proxy: SendProxy,
    /// The server as a Host header names it.
    authority: String,
    /// The server as it stands in log lines.
    label: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a backend is told of the client before the first byte of anything else. A connection is for the client it was
/// introduced with, and for no other: compare before one is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction(Option<Vec<u8>>);

impl Dialer {
    /// One for each server of a backend. What TLS needs is made once for all of them.
    pub fn all(backend: &Backend) -> Result<Vec<Dialer>, String> {
        let mut config = None;
        let dialer = |one: &Weighted| {
            let tls = match &one.server {
                Server::Tcp { host, tls: true, .. } => {
                    let config = match &config {
                        Some(made) => Arc::clone(made),
                        None => config.insert(client_config(&backend.tls)?).clone(),
                    };
                    let name = bare(backend.tls.server_name.as_ref().unwrap_or(host)).to_string();
                    let server_name = ServerName::try_from(name.clone())
                        .map_err(|_| format!("{name} is not a name TLS can ask for"))?;
                    Some((TlsConnector::from(config), server_name))
                }
                _ => None,
            };
            Ok(Dialer {
                connect_timeout: backend.connect_timeout,
                send_proxy: backend.send_proxy,
                authority: one.server.authority(),
                label: one.server.to_string().into(),
                server: one.server.clone(),
                tls,
            })
        };
        backend.servers.iter().map(dialer).collect()
    }

    /// For a backend with one server, under another name in log lines.
    pub fn one(backend: &Backend, label: &str) -> Result<Dialer, String> {
        let dialer = Dialer::all(backend)?.pop().ok_or("there is no server")?;
        Ok(Dialer { label: label.into(), ..dialer })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `client` is whoever asks, where that has an address; `listener` is our end of its connection.
    pub fn introduce(&self, client: Option<SocketAddr>, listener: Option<SocketAddr>) -> Introduction {
        match self.send_proxy {
            SendProxy::Off => Introduction(None),
            SendProxy::V2 => Introduction(Some(header::write(client, listener))),
        }
    }

    /// A connection to one of its addresses, within `limit`. It is silent for `quiet` at the most while all is well.
    pub async fn dial_at(
        &self,
        address: &Address,
        limit: Duration,
        quiet: Duration,
        introduction: &Introduction,
    ) -> Result<Stream, Refused> {
        let deadline = from_now(limit);
        let late = || {
            Refusal::BackendConnectTimeout
                .because(format!("{} did not take the connection within {limit:?}", self.label))
        };
        let connected = match address {
            Address::Tcp(address) => {
                timeout_at(deadline, TcpStream::connect(address)).await.map(|tcp| tcp.map(Socket::from))
            }
            Address::Unix(path) => {
                timeout_at(deadline, UnixStream::connect(path)).await.map(|unix| unix.map(Socket::from))
            }
        };
        let mut socket = connected.map_err(|_| late())?.map_err(|error| self.unreachable(&error))?;
        socket.tune(quiet);
        if let Introduction(Some(header)) = introduction {
            let written = timeout_at(deadline, socket.write_all(header)).await;
            written.map_err(|_| late())?.map_err(|error| self.unreachable(&error))?;
        }
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream::Plain(socket));
        };
        let connected = timeout_at(deadline, connector.connect(name.clone(), ReadAhead::new(socket))).await;
        match connected.map_err(|_| late())? {
            Ok(stream) => Ok(Stream::TlsClient(Box::new(stream))),
            Err(error) => Err(Refusal::BackendTls.because(format!("TLS with {}: {error}", self.label))),
        }
    }

    /// A connection to whichever of its addresses takes it first, in the resolver's order.
    pub async fn dial(&self, quiet: Duration, introduction: &Introduction) -> Result<Stream, Refused> {
        let addresses = match (&self.server, self.server.literal()) {
            (_, Some(address)) => vec![address],
            (Server::Tcp { host, port, .. }, None) => {
                let resolved = timeout_at(from_now(self.connect_timeout), resolve(host, *port)).await;
                let late =
                    |_| Refusal::BackendDns.because(format!("cannot resolve {host}: no answer in time"));
                resolved.map_err(late)?.map_err(|why| Refusal::BackendDns.because(why))?
            }
            (Server::Unix(_), None) => Vec::new(),
        };
        let limit = share(self.connect_timeout, addresses.len());
        let mut last = None;
        for address in &addresses {
            match self.dial_at(address, limit, quiet, introduction).await {
                Ok(stream) => return Ok(stream),
                Err(refused) => last = Some(refused),
            }
        }
        Err(last.unwrap_or_else(|| Refusal::BackendDns.because(format!("{} has no addresses", self.label))))
    }

    fn unreachable(&self, error: &io::Error) -> Refused {
        let server = &self.label;
        match error.kind() {
            // No source port or no descriptor is left: that is us, not the backend.
            io::ErrorKind::AddrNotAvailable => Refusal::Overload
                .because(format!("no source port is left for connections to {server}: {error}")),
            _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => {
                Refusal::Overload.because(format!("no file descriptor is left to reach {server}: {error}"))
            }
            _ => Refusal::BackendConnect.because(format!("cannot connect to {server}: {error}")),
        }
    }
}

/// The addresses of a name.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<Address>, String> {
    let no = |why: &str| format!("cannot resolve {host}: {why}");
    let found = tokio::net::lookup_host((bare(host), port)).await.map_err(|error| no(&error.to_string()))?;
    let addresses: Vec<Address> = found.map(Address::Tcp).collect();
    if addresses.is_empty() { Err(no("it has no addresses")) } else { Ok(addresses) }
}

/// One address that swallows packets must not use up the time of the others.
pub fn share(limit: Duration, addresses: usize) -> Duration {
    let share = limit / u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    share.max(Duration::from_millis(1))
}

/// A configuration may say "a million years"; a century is as good.
pub fn from_now(span: Duration) -> Instant {
    Instant::now() + span.min(Duration::from_secs(100 * 365 * 86_400))
}

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

//! A connection to a backend, ready for its first byte of HTTP: name, socket, TLS, all under one deadline.

use super::proxy_protocol::header;
use super::stream::{ReadAhead, Socket, Stream};
use super::tls::client_config;
use crate::backend::{Backend, SendProxy, Server};
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

/// A backend with what dialling it takes, made once.
pub struct Dialer {
    backend: Backend,
    /// The server as a Host header names it.
    authority: String,
    /// Its address, where that is what its URL has for a name.
    literal: Option<SocketAddr>,
    /// The server as it stands in log lines.
    label: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a backend is told of the client before the first byte of anything else. A connection is for the client it was
/// introduced with, and for no other: compare before one is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction(Option<Vec<u8>>);

impl Dialer {
    pub fn new(backend: Backend) -> Result<Dialer, String> {
        let tls = match &backend.server {
            Server::Tcp { host, tls: true, .. } => {
                let name = backend.tls.server_name.as_ref().unwrap_or(host);
                let name = bare(name).to_string();
                let server_name = ServerName::try_from(name.clone())
                    .map_err(|_| format!("{name} is not a name TLS can ask for"))?;
                Some((TlsConnector::from(client_config(&backend.tls)?), server_name))
            }
            _ => None,
        };
        let literal = match &backend.server {
            Server::Tcp { host, port, .. } => bare(host).parse().ok().map(|ip| SocketAddr::new(ip, *port)),
            Server::Unix(_) => None,
        };
        let label = backend.server.to_string().into();
        let authority = backend.server.authority();
        Ok(Dialer { backend, authority, literal, label, tls })
    }

    /// Under another name in log lines than a backend's.
    pub fn called(self, label: &str) -> Dialer {
        Dialer { label: label.into(), ..self }
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn label(&self) -> Arc<str> {
        self.label.clone()
    }

    /// `client` is whoever asks, where that has an address; `listener` is our end of its connection.
    pub fn introduce(&self, client: Option<SocketAddr>, listener: Option<SocketAddr>) -> Introduction {
        match self.backend.send_proxy {
            SendProxy::Off => Introduction(None),
            SendProxy::V2 => Introduction(Some(header::write(client, listener))),
        }
    }

    /// A connection that is silent for `quiet` at the most while all is well.
    pub async fn dial(&self, quiet: Duration, introduction: &Introduction) -> Result<Stream, Refused> {
        let deadline = from_now(self.backend.connect_timeout);
        let mut socket = match (&self.backend.server, self.literal) {
            (Server::Tcp { .. }, Some(address)) => self.connect_tcp(&[address], deadline).await?,
            (Server::Tcp { host, port, .. }, None) => {
                let addresses = timeout_at(deadline, resolve(host, *port)).await;
                self.connect_tcp(&addresses.map_err(|_| self.late())??, deadline).await?
            }
            (Server::Unix(path), _) => {
                let connected = timeout_at(deadline, UnixStream::connect(path)).await;
                let connected = connected.map_err(|_| self.late())?;
                connected.map(Socket::Unix).map_err(|error| self.unreachable(&error))?
            }
        };
        socket.tune(quiet);
        if let Introduction(Some(header)) = introduction {
            let written = timeout_at(deadline, socket.write_all(header)).await;
            written.map_err(|_| self.late())?.map_err(|error| self.unreachable(&error))?;
        }
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream::Plain(socket));
        };
        let connected = timeout_at(deadline, connector.connect(name.clone(), ReadAhead::new(socket))).await;
        match connected.map_err(|_| self.late())? {
            Ok(stream) => Ok(Stream::TlsClient(Box::new(stream))),
            Err(error) => Err(Refusal::BackendTls.because(format!("TLS with {}: {error}", self.label))),
        }
    }

    /// Every address of the name gets its turn, in the resolver's order.
    async fn connect_tcp(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<Socket, Refused> {
        // One address that swallows packets must not use up the time of the others.
        let share = self.backend.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let share = share.max(Duration::from_millis(1));
        let mut last = None;
        for address in addresses {
            let until = deadline.min(from_now(share));
            last = Some(match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(Socket::Tcp(stream)),
                Ok(Err(error)) => self.unreachable(&error),
                Err(_) if until == deadline => self.late(),
                Err(_) => Refusal::BackendConnectTimeout
                    .because(format!("{address} did not take the connection within {share:?}")),
            });
        }
        Err(last.unwrap_or_else(|| self.late()))
    }

    fn late(&self) -> Refused {
        let (label, limit) = (&self.label, self.backend.connect_timeout);
        Refusal::BackendConnectTimeout
            .because(format!("{label} did not take the connection within {limit:?}"))
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

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Refused> {
    let no = |why: &str| Refusal::BackendDns.because(format!("cannot resolve {host}: {why}"));
    let found = tokio::net::lookup_host((bare(host), port)).await.map_err(|error| no(&error.to_string()))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() { Err(no("it has no addresses")) } else { Ok(addresses) }
}

/// A configuration may say "a million years"; a century is as good.
fn from_now(span: Duration) -> Instant {
    Instant::now() + span.min(Duration::from_secs(100 * 365 * 86_400))
}

/// A URL has IPv6 in brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

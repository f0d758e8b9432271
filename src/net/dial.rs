//! A connection to a backend, ready for its first byte of HTTP: name, socket, TLS, all under one deadline.

use super::stream::{ReadAhead, Socket, Stream};
use super::tls::client_config;
use crate::backend::{Backend, Server};
use crate::refusal::{Refusal, Refused};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// A backend with what dialling it takes, made once.
pub struct Dialer {
    backend: Backend,
    /// The server as it stands in log lines.
    label: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    pub fn new(backend: Backend) -> Result<Dialer, String> {
        let tls = match &backend.server {
            Server::Tcp { host, tls: true, .. } => {
                let name = backend.tls.server_name.as_ref().unwrap_or(host);
                let name = name.trim_matches(['[', ']']).to_string();
                let server_name = ServerName::try_from(name.clone())
                    .map_err(|_| format!("{name} is not a name TLS can ask for"))?;
                Some((TlsConnector::from(client_config(&backend.tls)?), server_name))
            }
            _ => None,
        };
        let label = backend.server.to_string().into();
        Ok(Dialer { backend, label, tls })
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    pub fn label(&self) -> Arc<str> {
        self.label.clone()
    }

    pub async fn dial(&self) -> Result<Stream, Refused> {
        let limit = self.backend.connect_timeout;
        match tokio::time::timeout(limit, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Refusal::BackendConnectTimeout
                .because(format!("{} did not take the connection within {limit:?}", self.backend.server))),
        }
    }

    async fn connect(&self) -> Result<Stream, Refused> {
        let socket = match &self.backend.server {
            Server::Tcp { host, port, .. } => self.connect_tcp(host, *port).await?,
            Server::Unix(path) => {
                UnixStream::connect(path).await.map(Socket::Unix).map_err(|error| self.unreachable(&error))?
            }
        };
        socket.tune();
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream::Plain(socket));
        };
        match connector.connect(name.clone(), ReadAhead::new(socket)).await {
            Ok(stream) => Ok(Stream::TlsClient(Box::new(stream))),
            Err(error) => {
                Err(Refusal::BackendTls.because(format!("TLS with {}: {error}", self.backend.server)))
            }
        }
    }

    /// Every address of the name gets its turn, in the resolver's order.
    async fn connect_tcp(&self, host: &str, port: u16) -> Result<Socket, Refused> {
        let name = host.trim_matches(['[', ']']);
        let dns = |why: String| Refusal::BackendDns.because(format!("cannot resolve {host}: {why}"));
        let addresses: Vec<_> =
            tokio::net::lookup_host((name, port)).await.map_err(|error| dns(error.to_string()))?.collect();
        // One address that swallows packets must not use up the time of the others.
        let share = self.backend.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = None;
        for address in &addresses {
            match tokio::time::timeout(share.max(Duration::from_millis(1)), TcpStream::connect(address)).await
            {
                Ok(Ok(stream)) => return Ok(Socket::Tcp(stream)),
                Ok(Err(error)) => last = Some(self.unreachable(&error)),
                Err(_) => {
                    last = Some(
                        Refusal::BackendConnectTimeout
                            .because(format!("{address} did not take the connection within {share:?}")),
                    );
                }
            }
        }
        Err(last.unwrap_or_else(|| dns("it has no addresses".into())))
    }

    fn unreachable(&self, error: &io::Error) -> Refused {
        let server = &self.backend.server;
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

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

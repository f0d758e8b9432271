//! Listeners: how they are set up, and the accept loop, which must outlive everything that can go wrong with one
//! connection.

use super::bound::{Listening, Place, Served};
use super::proxy_protocol::ProxyProtocol;
use super::socket::Socket;
use super::tls::TlsSettings;
use crate::policy::crowd::CrowdLimits;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use super::bound::{Bind, Bound};

#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSettings {
    pub name: String,
    pub bind: Bind,
    /// `None`: a plain listener.
    pub tls: Option<TlsSettings>,
    pub proxy_protocol: ProxyProtocol,
    /// Every request on it is sent to `https://` with 308 (a plain listener on port 80).
    pub redirect_to_https: bool,
    /// The PROXY header, TLS and the request head, together.
    pub handshake_timeout: Duration,
    /// Bytes of a request head.
    pub max_header_size: usize,
    pub limits: CrowdLimits,
}

impl ListenerSettings {
    /// A plain listener with the defaults.
    pub fn new(name: &str, bind: Bind) -> ListenerSettings {
        ListenerSettings {
            name: name.into(),
            bind,
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            redirect_to_https: false,
            handshake_timeout: Duration::from_secs(10),
            max_header_size: 64 * 1024,
            limits: CrowdLimits::default(),
        }
    }
}

/// How long to leave a process alone that has no descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Listener {
    served: Arc<Served>,
    /// Others may copy it for as long as it is served.
    _socket: Arc<Listening>,
    place: Arc<Place>,
}

impl Bound {
    /// Hands it to the event loop in whose context this is called.
    pub fn listen(self) -> io::Result<Listener> {
        let Bound { socket, place } = self;
        Ok(Listener { served: socket.serve(place.at())?, _socket: socket, place })
    }
}

impl Listener {
    /// Where it really listens.
    pub fn at(&self) -> &Bind {
        self.place.at()
    }

    /// Our end of a connection that it accepted. Only a listener on every address of the machine has to ask.
    pub fn own_end(&self, accepted: &Socket) -> Option<SocketAddr> {
        match (self.place.at(), accepted.tcp()) {
            (Bind::Tcp(address), Some(tcp)) if address.ip().is_unspecified() => {
                Some(tcp.local_addr().map_or(*address, canonical))
            }
            (Bind::Tcp(address), _) => Some(*address),
            (Bind::Unix(_) | Bind::Systemd(_), _) => None,
        }
    }

    /// The next connection, tuned, and whose it is. Errors of one connection are passed over; without descriptors or
    /// memory it waits instead of spinning, and says so once a second.
    pub async fn accept(&self) -> (Socket, Option<SocketAddr>) {
        loop {
            let accepted = match &*self.served {
                Served::Tcp(tcp) => {
                    let accepted = tcp.accept().await;
                    accepted.map(|(stream, peer)| (stream.into(), Some(canonical(peer))))
                }
                Served::Unix(unix) => unix.accept().await.map(|(stream, _)| (stream.into(), None)),
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.place.may_complain() {
                        tracing::error!(bind = %self.place.at(), %error, "cannot accept connections; existing ones go on");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await; // why: the socket stays ready, a retry at once would spin
                }
            }
        }
    }
}

/// On a socket for both IPv4 and IPv6, IPv4's addresses come in the clothes of IPv6's.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The peer gave up before we got to it (accept(2)): the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[tokio::test]
    async fn a_listener_on_every_address_knows_which_one_was_called() {
        let bound = Bound::open(&Bind::Tcp(SocketAddr::from(([0, 0, 0, 0], 0))), 1).unwrap().remove(0);
        let Bind::Tcp(at) = *bound.at() else { panic!("no TCP") };
        let called = SocketAddr::from(([127, 0, 0, 5], at.port()));
        let listener = bound.listen().unwrap();
        let client = std::net::TcpStream::connect(called).unwrap();
        let (accepted, _) = listener.accept().await;
        assert_eq!(listener.own_end(&accepted), Some(called));
        drop(client);
    }

    #[tokio::test]
    async fn accepted_connections_inherit_how_they_are_tuned() {
        let bound = Bound::open(&Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), 1).unwrap().remove(0);
        let Bind::Tcp(address) = *bound.at() else { panic!("no TCP") };
        let listener = bound.listen().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, peer) = listener.accept().await;
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        assert_eq!(listener.own_end(&accepted), Some(address));
        let Some(accepted) = accepted.tcp() else { panic!("no TCP") };
        assert!(accepted.nodelay().unwrap());
        let accepted = SockRef::from(accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 4);
        drop(client);
    }
}

//! Listening sockets and the accept loop, which must outlive everything that can go wrong with one connection.

use super::proxy_protocol::ProxyProtocol;
use super::stream::{Socket, tune};
use super::tls::TlsSettings;
use crate::policy::crowd::CrowdLimits;
use socket2::{Domain, Protocol, SockRef, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};

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

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Waiting connections that the kernel keeps for us.
const BACKLOG: i32 = 4096;

/// How long to leave a process alone that has no descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket that no event loop serves yet.
#[derive(Debug)]
pub struct Bound {
    socket: Unserved,
    at: Bind,
    complained: Complained,
}

#[derive(Debug)]
enum Unserved {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

#[derive(Debug)]
pub struct Listener {
    socket: Served,
    at: Bind,
    complained: Complained,
}

/// When it was last said that connections cannot be accepted: once for all loops of an address.
type Complained = Arc<Mutex<Option<Instant>>>;

#[derive(Debug)]
enum Served {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// A socket for each of so many event loops, all at one address: the kernel spreads TCP connections over them, and
    /// from a unix socket takes who comes first.
    pub fn open(bind: &Bind, loops: usize) -> io::Result<Vec<Bound>> {
        let sockets: Vec<Unserved> = match bind {
            Bind::Tcp(address) => {
                let sockets = bind_tcp(*address, loops)?;
                sockets.into_iter().map(|socket| Unserved::Tcp(socket.into())).collect()
            }
            Bind::Unix(path) => {
                let sockets = bind_unix(path, loops)?;
                sockets.into_iter().map(Unserved::Unix).collect()
            }
        };
        // The port, where the configuration said 0.
        let at = match sockets.first() {
            Some(Unserved::Tcp(tcp)) => Bind::Tcp(tcp.local_addr()?),
            _ => bind.clone(),
        };
        let complained = Complained::default();
        let bound = |socket| Bound { socket, at: at.clone(), complained: complained.clone() };
        Ok(sockets.into_iter().map(bound).collect())
    }

    /// Where it really listens.
    pub fn at(&self) -> &Bind {
        &self.at
    }

    /// Hands it to the event loop in whose context this is called.
    pub fn listen(self) -> io::Result<Listener> {
        let socket = match self.socket {
            Unserved::Tcp(tcp) => Served::Tcp(TcpListener::from_std(tcp)?),
            Unserved::Unix(unix) => Served::Unix(UnixListener::from_std(unix)?),
        };
        Ok(Listener { socket, at: self.at, complained: self.complained })
    }
}

impl Listener {
    /// Our end of a connection that it accepted. Only a listener on every address of the machine has to ask.
    pub fn own_end(&self, accepted: &Socket) -> Option<SocketAddr> {
        match (&self.at, accepted) {
            (Bind::Tcp(address), Socket::Tcp(tcp)) if address.ip().is_unspecified() => {
                Some(tcp.local_addr().unwrap_or(*address))
            }
            (Bind::Tcp(address), _) => Some(*address),
            (Bind::Unix(_), _) => None,
        }
    }

    /// The next connection, tuned, and whose it is. Errors of one connection are passed over; without descriptors or
    /// memory it waits instead of spinning, and says so once a second.
    pub async fn accept(&self) -> (Socket, Option<SocketAddr>) {
        loop {
            let accepted = match &self.socket {
                Served::Tcp(tcp) => {
                    let accepted = tcp.accept().await;
                    let canonical = |peer: SocketAddr| SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    accepted.map(|(stream, peer)| (Socket::Tcp(stream), Some(canonical(peer))))
                }
                Served::Unix(unix) => unix.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.may_complain() {
                        tracing::error!(bind = %self.at, %error, "cannot accept connections; existing ones go on");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await; // why: the socket stays ready, a retry at once would spin
                }
            }
        }
    }
}

impl Listener {
    /// Whether the last complaint is a second old.
    fn may_complain(&self) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let may = complained.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
        if may {
            *complained = Some(Instant::now());
        }
        may
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Bind::Unix(path) = &self.at {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The first is bound alone, so that an address that somebody else has is refused: SO_REUSEPORT from the start would
/// share it with any process of the same user.
fn bind_tcp(address: SocketAddr, loops: usize) -> io::Result<Vec<socket2::Socket>> {
    let first = tcp_socket(address)?;
    first.bind(&address.into())?;
    // Where the port was left to the system, the others go where the first went.
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut bound = vec![first];
    for _ in 1..loops {
        bound[0].set_reuse_port(true)?;
        let another = tcp_socket(address)?;
        another.set_reuse_port(true)?;
        another.bind(&address.into())?;
        bound.push(another);
    }
    bound.iter().try_for_each(|socket| socket.listen(BACKLOG))?;
    Ok(bound)
}

fn tcp_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0:443` and `[::]:443` are two listeners in one file, as with nginx.
        socket.set_only_v6(true)?;
    }
    // Once, and not for every connection: what is accepted inherits it.
    tune(SockRef::from(&socket), Duration::MAX);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// One socket, known to each loop.
fn bind_unix(path: &Path, loops: usize) -> io::Result<Vec<std::os::unix::net::UnixListener>> {
    remove_stale(path)?;
    let first = std::os::unix::net::UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut all = (1..loops).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    all.push(first);
    Ok(all)
}

/// A socket file that nobody listens on is a leftover of a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
            Err(_) => std::fs::remove_file(path),
        },
        _ => Ok(()),
    }
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
        let Socket::Tcp(accepted) = accepted else { panic!("no TCP") };
        assert!(accepted.nodelay().unwrap());
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 4);
        drop(client);
    }
}

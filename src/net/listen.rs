//! Listening sockets and the accept loop, which must outlive everything that can go wrong with one connection.

use super::proxy_protocol::ProxyProtocol;
use super::stream::{Socket, tune};
use super::tls::TlsSettings;
use crate::policy::crowd::CrowdLimits;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The sockets that the service manager passed under this name.
    Systemd(String),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
            Bind::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// Waiting connections that the kernel keeps for us.
const BACKLOG: i32 = 4096;

/// How long to leave a process alone that has no descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// An address that is listened at, by one socket or several: what they share.
#[derive(Debug)]
pub struct Place {
    at: Bind,
    /// When it was last said that connections cannot be accepted: once for all loops.
    complained: Mutex<Option<Instant>>,
    keeps_file: AtomicBool,
}

/// A listening socket that no event loop serves yet. Its copies are the same socket: of several loops that serve one,
/// each takes who comes first.
#[derive(Clone, Debug)]
pub struct Bound {
    socket: Arc<OwnedFd>,
    place: Arc<Place>,
}

#[derive(Debug)]
pub struct Listener {
    served: Served,
    /// So that it can be handed over for as long as it is served.
    _socket: Arc<OwnedFd>,
    place: Arc<Place>,
}

#[derive(Debug)]
enum Served {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Place {
    pub fn at(&self) -> &Bind {
        &self.at
    }

    /// Whether the file of its unix socket stays when nobody here listens on it any more: another process does, or another
    /// one made it.
    pub fn keep_file(&self, keep: bool) {
        self.keeps_file.store(keep, Ordering::Relaxed);
    }

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

impl Drop for Place {
    fn drop(&mut self) {
        if let (Bind::Unix(path), false) = (&self.at, self.keeps_file.load(Ordering::Relaxed)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Bound {
    /// Sockets for so many event loops, all at one address: the kernel spreads TCP connections over one for each. A unix
    /// socket is one for all.
    pub fn open(bind: &Bind, loops: usize) -> io::Result<Vec<Bound>> {
        match bind {
            Bind::Tcp(address) => {
                let sockets = bind_tcp(*address, loops)?;
                Bound::all_at_one_place(sockets.into_iter().map(OwnedFd::from).collect(), false)
            }
            Bind::Unix(path) => Bound::all_at_one_place(vec![bind_unix(path)?.into()], false),
            Bind::Systemd(name) => Err(io::Error::other(format!(
                "{name:?} is the name of a socket that somebody else has bound"
            ))),
        }
    }

    /// A unix socket that has this mode from the first moment on: to one that is bound and does not listen yet, nobody can
    /// connect.
    pub fn open_with_mode(path: &Path, mode: u32) -> io::Result<Vec<Bound>> {
        remove_stale(path)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Bound::all_at_one_place(vec![socket.into()], false)
    }

    /// Sockets at one place that were bound elsewhere: by systemd, or by the process before this one. So was the file of a
    /// unix socket, and stays.
    pub fn adopt(sockets: Vec<OwnedFd>) -> io::Result<Vec<Bound>> {
        for socket in &sockets {
            let socket = SockRef::from(socket);
            is_listening(&socket)?;
            socket.set_nonblocking(true)?;
            if socket.domain()? != Domain::UNIX {
                tune(socket, Duration::MAX);
            }
        }
        Bound::all_at_one_place(sockets, true)
    }

    fn all_at_one_place(sockets: Vec<OwnedFd>, keeps_file: bool) -> io::Result<Vec<Bound>> {
        let Some(first) = sockets.first() else { return Ok(Vec::new()) };
        let at = real_address(&SockRef::from(first).local_addr()?);
        let place =
            Arc::new(Place { at, complained: Mutex::default(), keeps_file: AtomicBool::new(keeps_file) });
        let bound = |socket| Bound { socket: Arc::new(socket), place: place.clone() };
        Ok(sockets.into_iter().map(bound).collect())
    }

    /// The same for so many event loops that take them in turn. Every socket is served, for the kernel has connections
    /// waiting at each; and every loop serves one, which for lack of others may be one that a neighbour serves too.
    pub fn for_loops(sockets: Vec<Bound>, loops: usize) -> Vec<Bound> {
        let count = sockets.len().max(loops);
        if sockets.is_empty() { sockets } else { sockets.iter().cycle().take(count).cloned().collect() }
    }

    /// Where it really listens: with the port that the system chose, or the address that somebody else bound.
    pub fn at(&self) -> &Bind {
        &self.place.at
    }

    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    /// Hands it to the event loop in whose context this is called.
    pub fn listen(self) -> io::Result<Listener> {
        let socket = self.socket.try_clone()?;
        let served = match self.place.at {
            Bind::Tcp(_) => Served::Tcp(TcpListener::from_std(socket.into())?),
            Bind::Unix(_) | Bind::Systemd(_) => Served::Unix(UnixListener::from_std(socket.into())?),
        };
        Ok(Listener { served, _socket: self.socket, place: self.place })
    }
}

impl Listener {
    /// Where it really listens.
    pub fn at(&self) -> &Bind {
        &self.place.at
    }

    /// Our end of a connection that it accepted. Only a listener on every address of the machine has to ask.
    pub fn own_end(&self, accepted: &Socket) -> Option<SocketAddr> {
        match (&self.place.at, accepted) {
            (Bind::Tcp(address), Socket::Tcp(tcp)) if address.ip().is_unspecified() => {
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
            let accepted = match &self.served {
                Served::Tcp(tcp) => {
                    let accepted = tcp.accept().await;
                    accepted.map(|(stream, peer)| (Socket::Tcp(stream), Some(canonical(peer))))
                }
                Served::Unix(unix) => unix.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.place.may_complain() {
                        tracing::error!(bind = %self.place.at, %error, "cannot accept connections; existing ones go on");
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

fn real_address(address: &SockAddr) -> Bind {
    match address.as_socket() {
        Some(tcp) => Bind::Tcp(tcp),
        // One in the abstract namespace has a name that is no path, and nothing to tidy up.
        None => Bind::Unix(address.as_pathname().map(Path::to_path_buf).unwrap_or_default()),
    }
}

/// A service manager passes what its configuration says, which may be something else.
fn is_listening(socket: &SockRef<'_>) -> io::Result<()> {
    let problem = if socket.r#type()? != Type::STREAM {
        "it carries no streams: the [Socket] section needs ListenStream="
    } else if !socket.is_listener()? {
        "it does not listen: the [Socket] section needs Accept=no"
    } else {
        return Ok(());
    };
    Err(io::Error::other(problem))
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

fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    remove_stale(path)?;
    let socket = std::os::unix::net::UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
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

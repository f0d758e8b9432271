//! Listening sockets and the accept loop, which must outlive everything that can go wrong with one connection.

use super::stream::Socket;
use super::tls::TlsSettings;
use socket2::{Domain, Protocol, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};

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
    /// Bytes of a request head.
    pub max_header_size: usize,
}

impl ListenerSettings {
    /// A plain listener with the defaults.
    pub fn new(name: &str, bind: Bind) -> ListenerSettings {
        ListenerSettings {
            name: name.into(),
            bind,
            tls: None,
            redirect_to_https: false,
            handshake_timeout: Duration::from_secs(10),
            max_header_size: 64 * 1024,
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

#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listener {
    pub fn bind(bind: &Bind) -> io::Result<Listener> {
        match bind {
            Bind::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
            Bind::Unix(path) => {
                remove_stale(path)?;
                Ok(Listener::Unix { listener: UnixListener::bind(path)?, path: path.clone() })
            }
        }
    }

    /// Where it really listens: the port, where the configuration said 0.
    pub fn local(&self) -> Bind {
        match self {
            Listener::Tcp(tcp) => {
                Bind::Tcp(tcp.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0))))
            }
            Listener::Unix { path, .. } => Bind::Unix(path.clone()),
        }
    }

    /// The next connection. Errors of one connection are passed over; without descriptors or memory it waits instead of
    /// spinning, and says so once a second.
    pub async fn accept(&self) -> Socket {
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = match self {
                Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| Socket::Tcp(stream)),
                Listener::Unix { listener, .. } => {
                    listener.accept().await.map(|(stream, _)| Socket::Unix(stream))
                }
            };
            match accepted {
                Ok(socket) => return socket,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if complained.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
                        complained = Some(Instant::now());
                        tracing::error!(bind = %self.local(), %error, "cannot accept connections; existing ones go on");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await; // why: the socket stays ready, a retry at once would spin
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0:443` and `[::]:443` are two listeners in one file, as with nginx.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
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

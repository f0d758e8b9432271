//! Listening sockets, made here or somewhere else, on their way to the event loops that serve them.

use super::socket::tune;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};

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

/// An address that is listened at, by one socket or several: what they share.
#[derive(Debug)]
pub struct Place {
    at: Bind,
    /// When it was last said that connections cannot be accepted: once for all loops.
    complained: Mutex<Option<Instant>>,
    keeps_file: AtomicBool,
}

/// A listening socket that no event loop serves yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Arc<Listening>,
    pub(super) place: Arc<Place>,
}

/// A listening socket, whether a loop serves it yet or not.
#[derive(Debug)]
pub struct Listening(Mutex<State>);

#[derive(Debug)]
enum State {
    Waiting(OwnedFd),
    Served(Arc<Served>),
    Lost,
}

#[derive(Debug)]
pub(super) enum Served {
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
    pub(super) fn may_complain(&self) -> bool {
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
        Ok(sockets.into_iter().map(|socket| Bound::at_place(socket, &place)).collect())
    }

    fn at_place(socket: OwnedFd, place: &Arc<Place>) -> Bound {
        let socket = Arc::new(Listening(Mutex::new(State::Waiting(socket))));
        Bound { socket, place: place.clone() }
    }

    /// The same for so many event loops that take them in turn. Every socket is served, for the kernel has connections
    /// waiting at each; and every loop serves one, which for lack of others may be one that a neighbour serves too.
    pub fn for_loops(mut sockets: Vec<Bound>, loops: usize) -> io::Result<Vec<Bound>> {
        let count = sockets.len();
        for number in count..loops {
            let Some(Bound { socket, place }) = number.checked_rem(count).map(|number| &sockets[number])
            else {
                break;
            };
            let another = Bound::at_place(socket.copy()?, place);
            sockets.push(another);
        }
        Ok(sockets)
    }

    /// Where it really listens: with the port that the system chose, or the address that somebody else bound.
    pub fn at(&self) -> &Bind {
        &self.place.at
    }

    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub fn socket(&self) -> &Arc<Listening> {
        &self.socket
    }
}

impl Listening {
    /// The same socket once more, for another process or another loop.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        match &*self.state() {
            State::Waiting(socket) => socket.try_clone(),
            State::Served(served) => match &**served {
                Served::Tcp(tcp) => tcp.as_fd().try_clone_to_owned(),
                Served::Unix(unix) => unix.as_fd().try_clone_to_owned(),
            },
            State::Lost => Err(io::Error::other("no loop could serve it")),
        }
    }

    /// Hands it to the event loop in whose context this is called.
    pub(super) fn serve(&self, at: &Bind) -> io::Result<Arc<Served>> {
        let mut state = self.state();
        let State::Waiting(socket) = std::mem::replace(&mut *state, State::Lost) else {
            return Err(io::Error::other("it is served already"));
        };
        let served = Arc::new(match at {
            Bind::Tcp(_) => Served::Tcp(TcpListener::from_std(socket.into())?),
            Bind::Unix(_) | Bind::Systemd(_) => Served::Unix(UnixListener::from_std(socket.into())?),
        });
        *state = State::Served(served.clone());
        Ok(served)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

//! The admin address at work: connections, each bounded in number, size and time. They are served by the thread that
//! carries no sessions.

use super::desk::Desk;
use super::guard::Door;
use crate::latest::Latest;
use crate::net::admin::{self, AdminSettings, MAX_CONNECTIONS, TokenFile};
use crate::net::listen::{Bind, Bound, Listener};
use crate::net::socket::Socket;
use crate::net::sockets::Sockets;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For the head of a request, and for the next one to come on a connection that is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const MAX_HEAD: usize = 32 * 1024;

/// A caller that takes nothing of an answer for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// For answers that are under way when the process ends.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// The admin address, with nobody at it yet.
pub struct Entrance {
    /// More than one where a socket unit names several places.
    listeners: Vec<Listener>,
    token: Option<TokenFile>,
}

impl Entrance {
    /// On the event loop that is to serve it. The error says what the operator has to mend.
    pub fn open(settings: &AdminSettings, sockets: &Sockets) -> Result<Entrance, String> {
        let token = open_token(settings)?;
        let bound = admin::open(&settings.bind, sockets);
        let listeners = bound.and_then(|bound| bound.into_iter().map(Bound::listen).collect());
        let listeners =
            listeners.map_err(|error| format!("admin: cannot listen on {}: {error}", settings.bind))?;
        Ok(Entrance { listeners, token })
    }

    /// Serves it, on the event loop in whose context this is called.
    pub fn serve(self, desk: Arc<Desk>) -> Serving {
        let has_token = self.token.is_some();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let token = Latest::new(Arc::new(self.token));
        let hall = Arc::new(Hall { desk, token, places, stop: CancellationToken::new() });
        let tasks = TaskTracker::new();
        for listener in self.listeners {
            tracing::info!(bind = %listener.at(), token = has_token, "admin listening");
            tasks.spawn(accept(listener, hall.clone(), tasks.clone()));
        }
        Serving { hall, tasks }
    }
}

/// The error says what the operator has to mend.
pub fn open_token(settings: &AdminSettings) -> Result<Option<TokenFile>, String> {
    let token = settings.token_file.as_deref().map(TokenFile::open).transpose();
    token.map_err(|why| format!("admin.token_file: {why}"))
}

/// Dropping it leaves everything as it is.
pub struct Serving {
    hall: Arc<Hall>,
    tasks: TaskTracker,
}

impl Serving {
    /// What callers have to show from now on.
    pub fn ask_for(&self, token: Option<TokenFile>) {
        self.hall.token.replace(Arc::new(token));
    }

    /// Takes no more connections, and gives those that are there a moment for their answers.
    pub async fn end(self) {
        self.hall.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(LAST_MOMENT, self.tasks.wait()).await;
    }
}

/// What connections have in common.
struct Hall {
    desk: Arc<Desk>,
    token: Latest<Option<TokenFile>>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Who asks, over one connection.
#[derive(Clone)]
pub struct Caller {
    /// For the log.
    pub peer: Arc<str>,
    /// Cancelled when the address is closed.
    pub stop: CancellationToken,
    /// For what goes on behind an answer.
    pub tasks: TaskTracker,
    /// Its place among the connections, for as long as anything of it goes on.
    _place: Arc<OwnedSemaphorePermit>,
}

async fn accept(listener: Listener, hall: Arc<Hall>, tasks: TaskTracker) {
    let own = match listener.at() {
        Bind::Tcp(address) => Some(address.ip()),
        _ => None,
    };
    loop {
        let (socket, address) = tokio::select! {
            biased;
            () = hall.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let peer = name_of(&socket, address);
        let Ok(place) = hall.places.clone().try_acquire_owned() else {
            let why = format!("there are {MAX_CONNECTIONS} already");
            hall.desk.refusals.tell(&peer, "connections", "", &why);
            continue;
        };
        let (peer, stop, place) = (peer.into(), hall.stop.clone(), Arc::new(place));
        let caller = Caller { peer, stop, tasks: tasks.clone(), _place: place };
        tasks.spawn(converse(socket, own, caller, hall.clone()));
    }
}

/// A client of a unix socket has no address, but the kernel knows whose process it is.
fn name_of(socket: &Socket, address: Option<SocketAddr>) -> String {
    match (socket.unix(), address) {
        (_, Some(address)) => address.to_string(),
        (Some(unix), None) => match unix.peer_cred() {
            Ok(who) => match who.pid() {
                Some(pid) => format!("unix uid={} pid={pid}", who.uid()),
                None => format!("unix uid={}", who.uid()),
            },
            Err(_) => "unix".into(),
        },
        (None, None) => "unknown".into(),
    }
}

/// `own`: our end's address.
async fn converse(socket: Socket, own: Option<IpAddr>, caller: Caller, hall: Arc<Hall>) {
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let token = hall.token.get().as_ref().as_ref().map(TokenFile::current);
        let (door, caller, desk) = (Door { own, token }, caller.clone(), hall.desk.clone());
        has_asked.store(true, Ordering::Relaxed);
        async move {
            let stop = caller.stop.clone();
            let mut response = desk.answer(&door, caller, request).await;
            if stop.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD);
    let io = TokioIo::new(Patient { socket, stalled: None });
    let served = http.serve_connection(io, service).with_upgrades();
    tokio::pin!(served);
    let result = tokio::select! {
        biased;
        result = &mut served => result,
        () = hall.stop.cancelled() => {
            // Who got through to us just now is answered: hyper would hang up on them.
            if has_asked.load(Ordering::Relaxed) {
                served.as_mut().graceful_shutdown();
            }
            served.await
        }
    };
    if let Err(error) = result {
        if error.is_parse() {
            hall.desk.refusals.tell(&caller.peer, "request", "", &error.to_string());
        } else {
            tracing::debug!(peer = &*caller.peer, %error, "admin connection ended");
        }
    }
}

/// A socket whose writes do not wait for ever: places are few, and a caller that stops reading must not keep one.
struct Patient {
    socket: Socket,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    /// The other end takes nothing, then something, then nothing again.
    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_is_given_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut patient = Patient { socket: ours.into(), stalled: None };
        let write = async {
            let since = tokio::time::Instant::now();
            let error = loop {
                if let Err(error) = patient.write_all(&[0; 65_536]).await {
                    break error;
                }
            };
            (error.kind(), since.elapsed())
        };
        let read = async {
            tokio::time::sleep(WRITE_TIMEOUT / 2).await;
            theirs.readable().await.unwrap();
            theirs.try_read(&mut vec![0; 1 << 20]).unwrap();
        };
        let both = async { tokio::join!(write, read) };
        let ((kind, after), ()) = tokio::time::timeout(WRITE_TIMEOUT * 3, both).await.unwrap();
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(after >= WRITE_TIMEOUT && after < WRITE_TIMEOUT * 2, "{after:?}");
    }
}

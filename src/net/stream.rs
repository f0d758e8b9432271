//! The one stream type of the gateway: TCP or unix socket, in the clear or under TLS, on either leg. hyper serves it,
//! and after the upgrade the splice owns it.

use super::socket::Socket;
use super::tls_server::TlsServer;
use socket2::SockRef;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// A socket, perhaps under TLS. The TLS state is large and rare enough to live on the heap.
#[derive(Debug)]
pub enum Stream {
    Plain(Socket),
    /// A client's: we are TLS's server.
    TlsServer(Box<TlsServer<Socket>>),
    /// A backend's: we are TLS's client.
    TlsClient(Box<TlsStream<ReadAhead>>),
}

/// A backend's socket under TLS. rustls asks for 4 KiB at a time; the kernel is asked for sixteen times that, and what rustls did
/// not want yet is kept. Nothing is kept while nothing is under way.
#[derive(Debug)]
pub struct ReadAhead {
    socket: Socket,
    ahead: Vec<u8>,
    taken: usize,
}

const AHEAD: usize = 64 * 1024;

thread_local! {
    /// The worker's buffer for what comes off a socket under TLS, borrowed for one read.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; AHEAD].into());
}

impl Stream {
    /// The TCP socket, where nothing stands between it and the bytes of the stream.
    pub fn plain_tcp(&mut self) -> Option<&mut Socket> {
        match self {
            Stream::Plain(socket) if socket.tcp().is_some() => Some(socket),
            _ => None,
        }
    }

    /// From now on all polls come with the same waker: see [`Socket::settle`].
    pub fn settle(&mut self) {
        match self {
            Stream::Plain(socket) => socket.settle(),
            Stream::TlsServer(tls) => tls.socket_mut().settle(),
            Stream::TlsClient(tls) => tls.get_mut().0.socket.settle(),
        }
    }

    /// A read would find nothing now, and who waits for more will be woken.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Stream::Plain(socket) => socket.is_exhausted(),
            Stream::TlsServer(tls) => tls.is_drained() && tls.socket().is_exhausted(),
            // What it has decrypted already, it does not tell.
            Stream::TlsClient(_) => false,
        }
    }

    /// Writes what nothing comes behind, and has the end go with it: that of TLS in the same write, that of TCP in the
    /// same segment. The stream is to be shut down all the same, as soon as all is written.
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => {
                socket.end_follows();
                Pin::new(socket).poll_write(cx, bytes)
            }
            Stream::TlsServer(tls) => {
                tls.socket_mut().end_follows();
                tls.poll_write_last(cx, bytes)
            }
            Stream::TlsClient(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    /// Lets the kernel forget what it still holds for a peer that does not take it: megabytes, and for many minutes, if
    /// the socket were closed in good order.
    pub fn abandon(&self) {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::TlsServer(tls) => tls.socket(),
            Stream::TlsClient(tls) => &tls.get_ref().0.socket,
        };
        if let Some(tcp) = socket.tcp() {
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

impl ReadAhead {
    pub fn new(socket: Socket) -> ReadAhead {
        ReadAhead { socket, ahead: Vec::new(), taken: 0 }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.ahead.len() {
            this.ahead = Vec::new();
            this.taken = 0;
            return SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
                let now = read.filled().len().min(buf.remaining());
                buf.put_slice(&read.filled()[..now]);
                this.ahead = read.filled()[now..].to_vec();
                Poll::Ready(Ok(()))
            });
        }
        let rest = &this.ahead[this.taken..];
        let now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..now]);
        this.taken += now;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    /// Under TLS a read yields what the records at hand hold, not just the first of them: what is read together is
    /// written together.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tls = match self.get_mut() {
            Stream::Plain(socket) => return Pin::new(socket).poll_read(cx, buf),
            Stream::TlsServer(tls) => return Pin::new(tls).poll_read(cx, buf),
            Stream::TlsClient(tls) => tls,
        };
        let start = buf.filled().len();
        loop {
            let before = buf.filled().len();
            let read = Pin::new(&mut *tls).poll_read(cx, buf);
            let filled = buf.filled().len();
            match read {
                Poll::Ready(Ok(())) if filled > before && buf.remaining() > 0 => {}
                // An end or an error behind bytes is found again by the next read.
                _ if filled > start => return Poll::Ready(Ok(())),
                other => return other,
            }
        }
    }
}

/// `$on` is the pattern that binds `$inner`, the writer inside.
macro_rules! delegate_write {
    ($type:ty, $($on:pat => $inner:expr),+) => {
        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($on => Pin::new($inner).poll_write(cx, buf),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($on => Pin::new($inner).poll_write_vectored(cx, bufs),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($on => $inner.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($on => Pin::new($inner).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($on => Pin::new($inner).poll_shutdown(cx),)+
                }
            }
        }
    };
}

delegate_write!(ReadAhead, Self { socket, .. } => socket);
delegate_write!(
    Stream,
    Self::Plain(inner) => inner,
    Self::TlsServer(inner) => inner,
    Self::TlsClient(inner) => inner
);

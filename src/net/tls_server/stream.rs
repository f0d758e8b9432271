//! The connection as tokio sees it: a stream of bytes in each direction.

use super::{INCOMING, TlsServer, WRITE};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsServer<S> {
    /// Yields what all the records of a read held: what is read together is written together.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        if !this.unread.is_empty() {
            this.unread.read(buf);
        }
        while buf.filled().len() == start && buf.remaining() > 0 && !this.peer_ended {
            this.still_intact()?;
            let read = this.poll_socket(cx, buf);
            // A client that goes on talking may be long before it has its answer.
            this.in_no_hurry &= read.is_pending();
            // What TLS has to say of its own accord nobody else would send. If it cannot be sent, that is for the next
            // writer to hear: what the peer said before counts.
            let _ = this.poll_send_urgent(cx);
            if ready!(read)? == 0 {
                let why = "peer closed connection without sending TLS close_notify";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsServer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(cx, buf, false)
    }

    /// Pieces share records: a head and the body behind it, a chunk and what frames it.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pieces = bufs.iter().filter(|piece| !piece.is_empty());
        let first = pieces.next().map_or(&[][..], |piece| piece);
        if pieces.next().is_none() {
            return self.poll_write(cx, first);
        }
        if !self.broken {
            ready!(self.poll_send_urgent(cx))?;
        }
        INCOMING.with_borrow_mut(|scratch| {
            let mut joined = ReadBuf::new(&mut scratch[..WRITE]);
            for piece in bufs {
                joined.put_slice(&piece[..piece.len().min(joined.remaining())]);
            }
            self.poll_write(cx, joined.filled())
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_send_urgent(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// close_notify (RFC 8446 6.1), once, and the end of the socket's writing half behind it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.ended, true) && !this.broken && this.failed.is_none() {
            this.say(cx, |mut traffic, room| traffic.queue_close_notify(room))?;
        }
        if !this.broken {
            ready!(this.poll_send(cx))?;
        }
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

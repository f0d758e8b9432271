//! A pipe between two sockets: what goes through it is moved by the kernel and copied nowhere (splice(2)).
//!
//! The worker owns a few and lends them; an idle session has none. While a slow reader keeps one, the kernel holds what is
//! in it, so both their number and their size are bounded. Where there is none to be had, bytes are copied as ever.

use crate::net::socket::Socket;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

/// What fits into a pipe, if it comes in whole pages: the most that Linux gives to anybody. It is counted in pieces of what
/// was received, which are seldom whole, so less than this would go at a time, and that would cost more than copying.
const SIZE: usize = 1024 * 1024;

/// Pipes a worker has at the most.
const MOST: usize = 32;

/// What they take of the process.
pub const DESCRIPTORS: usize = 2 * MOST;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { idle: Vec::new(), lent: 0 }) };
}

struct Pool {
    idle: Vec<Ends>,
    lent: usize,
}

struct Ends {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Goes back to the worker when it is dropped; with bytes left in it, it is closed.
pub(super) struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty one.
    pub(super) fn borrow() -> Option<Pipe> {
        POOL.with_borrow_mut(|pool| {
            if pool.lent >= MOST {
                return None;
            }
            let ends = pool.idle.pop().or_else(Ends::make)?;
            pool.lent += 1;
            Some(Pipe { ends: Some(ends), held: 0 })
        })
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes in what `from` has, `at_most` so much. Nothing, if its stream has ended or is broken.
    pub(super) fn poll_fill(&mut self, from: &mut Socket, at_most: u64, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Ends { writer, .. }) = &self.ends {
            let at_most = usize::try_from(at_most).unwrap_or(SIZE).min(SIZE);
            let moved = ready!(from.poll_read_by(cx, |from| pump(from, writer, at_most)));
            self.held += moved.unwrap_or(0);
        }
        Poll::Ready(())
    }

    /// Until nothing is left in it.
    pub(super) fn poll_empty(&mut self, to: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(Ends { reader, .. }) = self.ends.as_ref().filter(|_| self.held > 0) {
            match ready!(to.poll_write_by(cx, |to| pump(reader, to, self.held)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                moved => self.held -= moved,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A thread that ends may have dropped the pool before its last session.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.lent -= 1;
            pool.idle.extend(self.ends.take().filter(|_| self.held == 0));
        });
    }
}

impl Ends {
    /// Only in full size.
    fn make() -> Option<Ends> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&writer, SIZE).ok().filter(|size| *size >= SIZE)?;
        Some(Ends { reader, writer })
    }
}

fn pump(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    loop {
        match splice(&from, None, &to, None, len, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Err(Errno::INTR) => {}
            moved => return Ok(moved?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Two ends of a TCP connection.
    async fn connection() -> (Socket, Socket) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(connecting, listener.accept());
        (near.unwrap().into(), far.unwrap().0.into())
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_and_no_more_than_was_asked_for() {
        let (mut sender, mut source) = connection().await;
        let (mut sink, mut receiver) = connection().await;
        let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let (whole, asked) = (sent.len() + 5, sent.len());
        let writing = tokio::spawn(async move {
            sender.write_all(&sent).await.unwrap();
            sender.write_all(b"after").await.unwrap();
            (sender, sent)
        });
        let mut passed = 0;
        while passed < asked {
            let mut pipe = Pipe::borrow().unwrap();
            poll_fn(|cx| pipe.poll_fill(&mut source, (asked - passed) as u64, cx)).await;
            assert!(pipe.held() > 0);
            passed += pipe.held();
            poll_fn(|cx| pipe.poll_empty(&mut sink, cx)).await.unwrap();
            assert_eq!(pipe.held(), 0);
        }
        let (_sender, sent) = writing.await.unwrap();
        let mut got = vec![0; asked];
        receiver.read_exact(&mut got).await.unwrap();
        assert!(got == sent && passed == asked);
        let mut rest = vec![0; whole - asked];
        source.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, b"after");
    }

    #[tokio::test]
    async fn an_end_fills_nothing_and_a_broken_sink_is_an_error() {
        let (sender, mut source) = connection().await;
        drop(sender);
        let mut pipe = Pipe::borrow().unwrap();
        poll_fn(|cx| pipe.poll_fill(&mut source, 100, cx)).await;
        assert_eq!(pipe.held(), 0);

        let (mut sender, mut source) = connection().await;
        let (mut sink, receiver) = connection().await;
        sender.write_all(b"abc").await.unwrap();
        socket2::SockRef::from(&receiver).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(receiver);
        poll_fn(|cx| pipe.poll_fill(&mut source, 3, cx)).await;
        assert_eq!(pipe.held(), 3);
        sink.tcp().unwrap().readable().await.unwrap();
        assert!(poll_fn(|cx| pipe.poll_empty(&mut sink, cx)).await.is_err());
    }

    #[tokio::test]
    async fn a_worker_has_so_many_and_no_more_and_closes_what_still_holds_bytes() {
        let (mut sender, mut source) = connection().await;
        sender.write_all(b"abc").await.unwrap();
        let mut lent: Vec<Pipe> = (0..MOST).map(|_| Pipe::borrow().unwrap()).collect();
        assert!(Pipe::borrow().is_none());
        poll_fn(|cx| lent[0].poll_fill(&mut source, 3, cx)).await;
        drop(lent);
        POOL.with_borrow(|pool| assert_eq!((pool.lent, pool.idle.len()), (0, MOST - 1)));
        assert_eq!(Pipe::borrow().unwrap().held(), 0);
    }
}

//! A socket of either kind. A session asks its event loop for as little as possible: a wake-up that was promised and has
//! not come is not asked for again, and a read that left room has found the end of what there was.

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop;

#[derive(Debug)]
pub struct Socket {
    kind: Kind,
    /// All polls come with one waker, and none while the event loop looks for events: what was promised to it, stands.
    settled: bool,
    /// A wake-up was promised for when there is something to read, and has not come.
    read_promised: bool,
    /// The same for when there is room to write.
    write_promised: bool,
    /// The last read left no room: it is followed by others for as long as the peer sends.
    reads_on: bool,
    end_follows: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Socket {
        Socket::new(Kind::Tcp(tcp))
    }
}

impl From<UnixStream> for Socket {
    fn from(unix: UnixStream) -> Socket {
        Socket::new(Kind::Unix(unix))
    }
}

/// Runs `$body` with the stream of either kind.
macro_rules! on_either {
    ($socket:expr, $stream:ident => $body:expr) => {
        match $socket {
            Kind::Tcp($stream) => $body,
            Kind::Unix($stream) => $body,
        }
    };
}

impl Socket {
    fn new(kind: Kind) -> Socket {
        Socket {
            kind,
            settled: false,
            read_promised: false,
            write_promised: false,
            reads_on: false,
            end_follows: false,
        }
    }

    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Unix(_) => None,
        }
    }

    pub fn unix(&self) -> Option<&UnixStream> {
        match &self.kind {
            Kind::Tcp(_) => None,
            Kind::Unix(unix) => Some(unix),
        }
    }

    /// For a connection that is silent for `quiet` at the most while all is well.
    pub fn tune(&self, quiet: Duration) {
        if let Kind::Tcp(tcp) = &self.kind {
            tune(SockRef::from(tcp), quiet);
        }
    }

    /// From now on all polls come with the same waker, until this is said again.
    ///
    /// A promise is lost where an event loop on another thread takes a waker out while a poll puts it in: there, each
    /// poll asks anew.
    pub fn settle(&mut self) {
        self.settled =
            Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::CurrentThread);
        self.read_promised = false;
        self.write_promised = false;
    }

    /// From now on nothing is written that the end of the stream does not follow at once: TCP puts both into one segment.
    pub fn end_follows(&mut self) {
        self.end_follows = true;
    }

    /// Nothing was left to be read when it was read last, and the event loop will tell when there is.
    pub fn is_exhausted(&self) -> bool {
        // It tells once: an event that came while nobody read took the promise with it.
        let has_told =
            || on_either!(&self.kind, stream => stream.try_io(Interest::READABLE, || Ok(()))).is_ok();
        self.read_promised && !has_told()
    }

    /// Reads by `read`, once there is something to read.
    pub fn poll_read_by(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(Direction::Read, 0, cx, read)
    }

    /// Writes by `write`, once there is room.
    pub fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(Direction::Write, 0, cx, write)
    }

    /// Performs `act` as soon as the socket is ready for it. Where it moves less than `whole`, the socket is known not to
    /// be ready any more: epoll tells of every change, and the next one is after this.
    fn poll_io(
        &mut self,
        direction: Direction,
        whole: usize,
        cx: &mut Context<'_>,
        mut act: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.reads_on && matches!(direction, Direction::Read) {
            // What is asked for counts against the task's share of the loop (coop), and a read that succeeds would not.
            if let Err(error) = std::task::ready!(self.ask(direction, cx)) {
                return Poll::Ready(Err(error));
            }
            self.reads_on = false;
        }
        loop {
            match self.attempt(direction, whole, &mut act) {
                None if *self.promised(direction) => return Poll::Pending,
                Some(Ok(n)) => {
                    *self.promised(direction) = false;
                    if n > 0 && matches!(direction, Direction::Read) {
                        self.reads_on = n >= whole;
                        if !self.reads_on {
                            // Ready, or an error: for the next read to find.
                            let _ = self.ask(direction, cx);
                        }
                    }
                    return Poll::Ready(Ok(n));
                }
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                // The event that came took the promise with it.
                None | Some(Err(_)) => {
                    if let Err(error) = std::task::ready!(self.ask(direction, cx)) {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }

    /// `None`: the event loop has not told that it is ready.
    fn attempt(
        &self,
        direction: Direction,
        whole: usize,
        act: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let mut done = None;
        let mut attempt = |socket: BorrowedFd<'_>| {
            let result = act(socket);
            let ready = match &result {
                Ok(n) => *n == 0 || *n >= whole,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
            done = Some(result);
            // What tokio takes for “not ready any more”.
            if ready { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WouldBlock)) }
        };
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        let _ = on_either!(&self.kind, stream => stream.try_io(interest, || attempt(stream.as_fd())));
        done
    }

    /// Asks the event loop to tell when the socket is ready, if it is not.
    fn ask(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Without, tokio sends the task to the end of the queue and promises nothing.
        let lasts = self.settled && coop::has_budget_remaining();
        let ready = match direction {
            Direction::Read => on_either!(&self.kind, stream => stream.poll_read_ready(cx)),
            Direction::Write => on_either!(&self.kind, stream => stream.poll_write_ready(cx)),
        };
        *self.promised(direction) = lasts && ready.is_pending();
        ready
    }

    fn promised(&mut self, direction: Direction) -> &mut bool {
        match direction {
            Direction::Read => &mut self.read_promised,
            Direction::Write => &mut self.write_promised,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        on_either!(&self.kind, stream => stream.as_fd())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.settled {
            return on_either!(&mut this.kind, stream => Pin::new(stream).poll_read(cx, buf));
        }
        let room = buf.initialize_unfilled();
        let read = this.poll_io(Direction::Read, room.len(), cx, |socket| {
            Ok(recv(socket, &mut *room, RecvFlags::empty())?.0)
        });
        read.map_ok(|n| buf.advance(n))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.settled {
            return on_either!(&mut this.kind, stream => Pin::new(stream).poll_write(cx, buf));
        }
        let more = if this.end_follows { SendFlags::MORE } else { SendFlags::empty() };
        let flags = SendFlags::NOSIGNAL | more;
        this.poll_io(Direction::Write, buf.len(), cx, |socket| Ok(send(socket, buf, flags)?))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // It takes what was promised.
        this.write_promised = false;
        on_either!(&mut this.kind, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on_either!(&self.kind, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(&mut self.get_mut().kind, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// When TCP asks whether a silent peer is still there.
const ASK_AFTER: Duration = Duration::from_secs(60);

/// `TCP_NODELAY`, for a gateway writes whole frames and has nothing to wait for; TCP keepalive, for peers that vanish
/// where no heartbeat of ours comes first. That varies a little, so it has to be well before.
pub fn tune(socket: SockRef<'_>, quiet: Duration) {
    let _ = socket.set_tcp_nodelay(true);
    if quiet > ASK_AFTER / 2 {
        let keepalive =
            TcpKeepalive::new().with_time(ASK_AFTER).with_interval(Duration::from_secs(15)).with_retries(4);
        let _ = socket.set_tcp_keepalive(&keepalive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours.into(), theirs)
    }

    fn poll_read(socket: &mut Socket, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(room);
        Pin::new(socket).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    #[tokio::test]
    async fn whoever_was_promised_a_wake_up_gets_it_however_often_it_looks() {
        let (mut ours, mut theirs) = pair();
        let mut room = [0; 64];
        ours.settle();
        for round in 0..50u8 {
            let mut looks = 0;
            let (read, ()) = tokio::join!(
                poll_fn(|cx| {
                    let read = poll_read(&mut ours, cx, &mut room);
                    looks += 1;
                    if read.is_pending() && looks % 3 != 0 {
                        // It looks again of its own accord, as a session does whose other leg is busy.
                        cx.waker().wake_by_ref();
                    }
                    read
                }),
                async {
                    tokio::task::yield_now().await;
                    theirs.write_all(&[round; 3]).await.unwrap();
                }
            );
            assert_eq!((read.unwrap(), &room[..3]), (3, &[round; 3][..]));
            assert!(ours.is_exhausted(), "there was room for more");
        }
        drop(theirs);
        assert_eq!(poll_fn(|cx| poll_read(&mut ours, cx, &mut room)).await.unwrap(), 0);
        assert!(!ours.is_exhausted(), "an end is no promise");
    }

    #[tokio::test]
    async fn a_promise_that_was_kept_is_none_any_more() {
        let (mut ours, mut theirs) = pair();
        let mut room = [0; 64];
        ours.settle();
        theirs.write_all(b"abc").await.unwrap();
        assert_eq!(poll_fn(|cx| poll_read(&mut ours, cx, &mut room)).await.unwrap(), 3);
        assert!(ours.is_exhausted());
        // More comes and the task is woken, but has no use for it yet.
        theirs.write_all(b"d").await.unwrap();
        ours.unix().unwrap().readable().await.unwrap();
        assert!(!ours.is_exhausted(), "nobody will tell again");
        assert_eq!(poll_fn(|cx| poll_read(&mut ours, cx, &mut room)).await.unwrap(), 1);
        assert!(ours.is_exhausted());
    }

    #[tokio::test]
    async fn a_read_without_room_to_spare_may_have_left_something() {
        let (mut ours, mut theirs) = pair();
        ours.settle();
        theirs.write_all(b"abcdef").await.unwrap();
        let mut room = [0; 3];
        for expected in [b"abc", b"def"] {
            assert_eq!(poll_fn(|cx| poll_read(&mut ours, cx, &mut room)).await.unwrap(), 3);
            assert_eq!((&room, ours.is_exhausted()), (expected, false));
        }
    }

    #[tokio::test]
    async fn all_that_is_written_arrives_where_the_peer_is_slow() {
        let (mut ours, mut theirs) = pair();
        ours.settle();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut got = Vec::new();
        let (written, read) = tokio::join!(
            async {
                ours.write_all(&sent).await?;
                ours.shutdown().await
            },
            theirs.read_to_end(&mut got)
        );
        written.unwrap();
        assert_eq!(read.unwrap(), sent.len());
        assert!(got == sent);
    }

    #[tokio::test]
    async fn last_words_arrive_before_the_end() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, listener.accept());
        let (mut ours, mut theirs) = (Socket::from(ours.unwrap()), theirs.unwrap().0);
        ours.settle();
        ours.write_all(b"first, ").await.unwrap();
        ours.end_follows();
        ours.write_all(b"last").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "first, last");
    }

    #[tokio::test]
    async fn tokio_promises_nothing_to_a_task_that_had_its_share() {
        let (mut ours, _theirs) = pair();
        let mut room = [0; 8];
        ours.settle();
        poll_fn(|cx| {
            while pin!(coop::consume_budget()).poll(cx).is_ready() {}
            assert!(poll_read(&mut ours, cx, &mut room).is_pending());
            assert!(!ours.is_exhausted());
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(poll_read(&mut ours, cx, &mut room).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(ours.is_exhausted());
    }

    #[tokio::test]
    async fn a_peer_that_never_stops_is_read_for_a_task_s_share_at_a_time() {
        let (mut ours, mut theirs) = pair();
        ours.settle();
        theirs.write_all(&[7; 1000]).await.unwrap();
        let (mut looks, mut read) = (0, 0);
        poll_fn(|cx| {
            looks += 1;
            while read < 1000 {
                std::task::ready!(poll_read(&mut ours, cx, &mut [0])).unwrap();
                read += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!((5..50).contains(&looks), "{looks} looks at 1000 reads");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn where_the_event_loop_is_on_another_thread_each_look_asks_anew() {
        let (mut ours, _theirs) = pair();
        ours.settle();
        let read = poll_fn(|cx| Poll::Ready(poll_read(&mut ours, cx, &mut [0; 8]))).await;
        assert!(read.is_pending());
        assert!(!ours.is_exhausted());
    }

    #[test]
    fn tcp_asks_where_no_heartbeat_does() {
        for (quiet, asks) in [(25, false), (30, false), (31, true), (u64::MAX, true)] {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            tune(SockRef::from(&listener), Duration::from_secs(quiet));
            let socket = SockRef::from(&listener);
            assert_eq!((socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap()), (true, asks), "{quiet}");
        }
    }
}

//! One leg of a session: its stream, what was read and not disposed of, what waits to be written.

use super::pipe::Pipe;
use super::{SCRATCH, Taken};
use crate::moment::Moment;
use crate::net::stream::Stream;
use crate::relay::Lost;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) struct Leg {
    pub(super) stream: Stream,
    /// Read and not yet disposed of.
    pub(super) unread: Box<[u8]>,
    /// Some of it the relay never saw: it came ahead of the session, or a pause held it back. Else the rest of a frame
    /// is waited for.
    pub(super) unshown: bool,
    /// Nothing more can be read, and why.
    pub(super) ended: Option<Lost>,
    /// The relay knows: told once everything that came before the end was dealt with.
    pub(super) end_told: bool,
    /// Not to be read before this.
    pub(super) paused_until: Option<Moment>,
    pub(super) out: Outbox,
}

/// What waits to be written to a leg.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) queue: Vec<u8>,
    sent: usize,
    /// What the kernel holds for it. It was there first: the queue waits behind it.
    pipe: Option<Box<Pipe>>,
    /// TLS may hold records that the socket did not take.
    unflushed: bool,
    pub(super) broken: bool,
    /// Nothing comes behind what waits.
    is_last: bool,
    shut: bool,
}

impl Leg {
    pub(super) fn new(taken: Taken) -> Leg {
        Leg {
            stream: taken.stream,
            unshown: !taken.early.is_empty(),
            // Copied and let go: an empty-looking `Bytes` may pin hyper's whole buffer.
            unread: taken.early.as_ref().into(),
            ended: None,
            end_told: false,
            paused_until: None,
            out: Outbox::default(),
        }
    }

    /// What comes from it next is not behind anything that was read.
    pub(super) fn is_drained(&self) -> bool {
        self.unread.is_empty() && !self.unshown && self.ended.is_none()
    }

    /// Whether the stream has ended in both directions.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.out.broken && !self.out.is_clear() {
            self.out.is_last = true;
            let flushed = self.out.flush(&mut self.stream, cx);
            if flushed.is_ok() && !self.out.is_clear() {
                return false;
            }
        }
        if !self.out.broken && !self.out.shut {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => self.out.shut = true,
                Poll::Ready(Err(_)) => self.out.broken = true,
            }
        }
        while self.ended.is_none() {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                Pin::new(&mut self.stream).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
            });
            match read {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => self.ended = Some(Lost::Ended),
            }
        }
        true
    }
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.queue.len() - self.sent + self.pipe.as_ref().map_or(0, |pipe| pipe.held())
    }

    /// Nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.pipe.is_none() && !self.unflushed
    }

    /// Writes `bytes` behind what waits; keeps a copy of what the stream does not take. Whether it took anything.
    pub(super) fn write(
        &mut self,
        stream: &mut Stream,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        if self.broken {
            return Ok(false);
        }
        let mut progressed = !self.is_clear() && self.flush(stream, cx)?;
        let mut rest = bytes;
        while self.queue.is_empty() && self.pipe.is_none() && !rest.is_empty() {
            match self.poll_write(stream, rest, cx)? {
                0 => break,
                n => {
                    rest = &rest[n..];
                    progressed = true;
                }
            }
        }
        self.queue.extend_from_slice(rest);
        if self.queue.is_empty() {
            self.poll_flush(stream, cx)?;
        }
        Ok(progressed)
    }

    /// Takes what is in `pipe` as the next thing to be written. Only while nothing waits.
    pub(super) fn take_over(&mut self, pipe: Pipe) {
        self.pipe = Some(Box::new(pipe));
    }

    /// Whether anything left the pipe. It is given back once nothing is in it.
    fn empty_pipe(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<bool> {
        let (Some(pipe), Some(tcp)) = (&mut self.pipe, stream.plain_tcp()) else {
            return Ok(false);
        };
        let before = pipe.held();
        let emptied = pipe.poll_empty(tcp, cx);
        let progressed = pipe.held() < before;
        match emptied {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.pipe = None,
            Poll::Ready(Err(error)) => return Err(self.break_off(error)),
        }
        Ok(progressed)
    }

    /// Tries to write what waits. Whether the stream took anything.
    pub(super) fn flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progressed = self.empty_pipe(stream, cx)?;
        while self.pipe.is_none() && self.sent < self.queue.len() {
            let queue = std::mem::take(&mut self.queue);
            let wrote = self.poll_write(stream, &queue[self.sent..], cx);
            self.queue = queue;
            match wrote? {
                0 => break,
                n => {
                    self.sent += n;
                    progressed = true;
                }
            }
        }
        if self.sent == self.queue.len() {
            self.queue = Vec::new();
            self.sent = 0;
            let was_unflushed = self.unflushed;
            self.poll_flush(stream, cx)?;
            progressed |= was_unflushed && !self.unflushed;
        } else if self.sent >= self.queue.len() / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        Ok(progressed)
    }

    /// 0: the stream takes nothing now.
    fn poll_write(&mut self, stream: &mut Stream, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<usize> {
        let wrote = if self.is_last {
            stream.poll_write_last(cx, bytes)
        } else {
            Pin::new(stream).poll_write(cx, bytes)
        };
        match wrote {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0)) => Err(self.break_off(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => {
                self.unflushed = true;
                Ok(n)
            }
            Poll::Ready(Err(error)) => Err(self.break_off(error)),
        }
    }

    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.unflushed {
            return Ok(());
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(self.break_off(error)),
        }
    }

    /// Nothing reaches the peer any more: what waits is let go.
    fn break_off(&mut self, error: io::Error) -> io::Error {
        *self = Outbox { broken: true, ..Outbox::default() };
        error
    }
}

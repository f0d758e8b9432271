//! The driver of a relay: it moves bytes between two streams as the relay says, and holds no policy of its own.
//!
//! One future a session. Buffers belong to the worker, not to the session: a read lands in the thread's scratch buffer,
//! what the relay forwards is written from there, and only what a blocked peer did not take or a cut frame header left
//! over is copied out and kept. An idle session owns no buffer. The rest of a large frame that nobody reads is not even read.

mod leg;
pub mod pipe;
mod poll;
mod tap;

use super::stream::Stream;
use crate::clock::moment;
use crate::frame::{Control, Pair, Side};
use crate::moment::Moment;
use crate::relay::{Effect, Lost, Opening, Outcome, Relay, Rules};
use crate::session::Session;
use bytes::Bytes;
use leg::Leg;
use pipe::Pipe;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tap::Tapped;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

/// One read. Bursts of small messages like it large.
const READ_SIZE: usize = 64 * 1024;

/// One read inside a large frame, which is copied and nothing else: what it brought is still in the core's cache when it
/// is written.
const BULK_READ: usize = 32 * 1024;

/// A leg is read only while less than this waits for the other leg. It bounds what a slow reader pins.
const HIGH_WATER: usize = 32 * 1024;

/// Frames of our own are gathered up to this before a write is tried: a flood of pings costs a write a batch, and is
/// answered only as fast as the answers are read.
const OWN_FRAMES: usize = 4 * 1024;

/// Unread bytes up to this have more put behind them; above it they were held back by a pause and go first.
const SHORT_REST: usize = 1024;

/// What is left of a frame is worth a pipe from here on.
const WORTH_A_PIPE: u64 = 64 * 1024;

/// Turns of both legs before the task yields to its neighbours.
const TURNS: usize = 8;

thread_local! {
    /// The worker's buffer, borrowed while a session is polled and never across a suspension.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE + SHORT_REST].into());
}

/// A raw stream taken back from hyper, and what was read ahead of it.
pub struct Taken {
    pub stream: Stream,
    pub early: Bytes,
}

/// A session's two streams and the relay between them. Resolves when both streams have ended and the session is
/// finished.
pub struct Splice {
    legs: Pair<Leg>,
    relay: Relay,
    timer: Pin<Box<Sleep>>,
    armed: Option<Moment>,
    /// The relay was at ease when the timer was held against its deadlines last: while it is, they only move away.
    armed_at_ease: bool,
    /// The relay was told of something besides bytes, and may have something to say to it.
    stirred: bool,
    /// Until it is finished.
    session: Option<Session>,
    /// The order that came was carried out: its moment is no deadline any more.
    obeyed: bool,
    registered: Option<Waker>,
    ending: Option<Box<Ending>>,
    /// Somebody looks on.
    tapped: Option<Box<Tapped>>,
}

/// What a turn of one side calls for.
enum Moved {
    Nothing,
    /// Bytes came from it: there may be more.
    Itself,
    /// An output has room again, or a stream ended: both sides may have something to do.
    Both,
}

struct Ending {
    outcome: Outcome,
    deadline: Moment,
}

impl Splice {
    pub fn new(client: Taken, backend: Taken, rules: Arc<Rules>, deflate: bool, session: Session) -> Splice {
        // It tells our pings from others' and spreads timers: nobody gains by guessing it.
        let seed = fastrand::u64(..);
        let instant = Instant::now();
        let opening = Opening { deflate, seed, now: moment(instant) };
        Splice {
            legs: Pair { client: Leg::new(client), backend: Leg::new(backend) },
            relay: Relay::new(rules, opening, session.meters()),
            timer: Box::pin(tokio::time::sleep_until(instant)),
            armed: None,
            armed_at_ease: false,
            stirred: false,
            session: Some(session),
            obeyed: false,
            registered: None,
            ending: None,
            tapped: None,
        }
    }

    /// Reads `from` once if it may be read, and does what the relay makes of it.
    fn turn(&mut self, from: Side, cx: &mut Context<'_>, now: Moment) -> Moved {
        let flushed = self.flush(!from, cx, now);
        let waiting = if self.relay.is_done_with(!from) { 0 } else { self.legs[!from].out.len() };
        let leg = &mut self.legs[from];
        leg.unshown |= leg.paused_until.take_if(|until| *until <= now).is_some();
        let held = waiting >= HIGH_WATER || leg.paused_until.is_some();
        self.relay.hold(from, held, now);
        let (moved, ended) = if held {
            self.obey(from, &[], cx, now);
            (false, false)
        } else if leg.unread.len() > SHORT_REST {
            (self.take_up_rest(from, cx, now), false)
        } else {
            (self.take_in(from, waiting, cx, now), self.tell_end(from, now))
        };
        if self.ending.is_some() {
            // What waits goes out with the end of its stream.
            return Moved::Both;
        }
        // Frames of our own may have been gathered for either leg.
        let sent = self.flush(from, cx, now) | self.flush(!from, cx, now);
        match (flushed || sent || ended, moved) {
            (true, _) => Moved::Both,
            (false, true) if !self.is_at_rest(from) => Moved::Itself,
            (false, _) => Moved::Nothing,
        }
    }

    /// Everything that came from `from` has gone its way, and the event loop will tell when there is more.
    fn is_at_rest(&self, from: Side) -> bool {
        let leg = &self.legs[from];
        leg.stream.is_exhausted()
            && leg.is_drained()
            && leg.paused_until.is_none()
            && self.legs[!from].out.is_clear()
    }

    /// One read behind what is unread, and what the relay makes of it. Whether anything moved.
    fn take_in(&mut self, from: Side, waiting: usize, cx: &mut Context<'_>, now: Moment) -> bool {
        if let Some(moved) = self.pass_unseen(from, cx, now) {
            return moved;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let before = self.legs[from].unread.len();
            // Behind what waits there is room up to the mark; where nothing waits a read may be as long as it likes.
            let end = if waiting > 0 {
                before + HIGH_WATER - waiting
            } else if self.relay.is_inside_frame(from) {
                before + BULK_READ
            } else {
                scratch.len()
            };
            let read = self.read(from, &mut scratch[before..end], cx, now);
            if read.is_none() && !self.stirred && !self.legs[from].unshown {
                return false;
            }
            if before > 0 {
                scratch[..before].copy_from_slice(&self.legs[from].unread);
            }
            let filled = before + read.unwrap_or(0);
            let used = self.obey(from, &scratch[..filled], cx, now);
            let leg = &mut self.legs[from];
            leg.unshown = false;
            if used < filled || before > 0 {
                leg.unread = scratch[used..filled].into();
            }
            read.is_some() || used > 0
        })
    }

    /// Lets the rest of a large frame that nobody reads pass inside the kernel (splice(2)). `None`: it has to be read.
    fn pass_unseen(&mut self, from: Side, cx: &mut Context<'_>, now: Moment) -> Option<bool> {
        let unseen = self.relay.unseen(from);
        // Who looks on looks at everything.
        if unseen < WORTH_A_PIPE
            || self.tapped.is_some()
            || !self.legs[from].is_drained()
            || !self.legs[!from].out.is_clear()
        {
            return None;
        }
        if self.stirred {
            self.obey(from, &[], cx, now);
            if self.ending.is_some() {
                return Some(true);
            }
        }
        self.legs[!from].stream.plain_tcp()?;
        let source = self.legs[from].stream.plain_tcp()?;
        let mut pipe = Pipe::borrow()?;
        if pipe.poll_fill(source, unseen, cx).is_pending() {
            return Some(false);
        }
        let n = pipe.held() as u64;
        if n == 0 {
            // The end or an error: for the next read to find.
            return None;
        }
        self.relay.heard(from, now);
        self.relay.passed_unseen(from, n, now);
        // Behind the frame, a frame of our own may go out.
        self.stirred |= n == unseen;
        self.legs[!from].out.take_over(pipe);
        self.flush(!from, cx, now);
        Some(true)
    }

    /// What a pause held back, before anything is read behind it.
    fn take_up_rest(&mut self, from: Side, cx: &mut Context<'_>, now: Moment) -> bool {
        let unread = std::mem::take(&mut self.legs[from].unread);
        let used = self.obey(from, &unread, cx, now);
        self.legs[from].unread = if used == 0 { unread } else { unread[used..].into() };
        used > 0
    }

    /// `None`: nothing to read now. `Some(0)`: the stream ended.
    fn read(&mut self, from: Side, room: &mut [u8], cx: &mut Context<'_>, now: Moment) -> Option<usize> {
        let leg = &mut self.legs[from];
        if leg.ended.is_some() {
            return None;
        }
        let mut buf = ReadBuf::new(room);
        leg.ended = match Pin::new(&mut leg.stream).poll_read(cx, &mut buf) {
            Poll::Pending => return None,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                self.relay.heard(from, now);
                return Some(buf.filled().len());
            }
            Poll::Ready(Ok(())) if leg.out.broken => Some(Lost::Broke),
            Poll::Ready(Ok(())) => Some(Lost::Ended),
            // A TLS peer that just closes its socket: common, and for a frame stream as good as a FIN.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Lost::Ended),
            Poll::Ready(Err(_)) => Some(Lost::Broke),
        };
        Some(0)
    }

    /// Once the stream of `from` has ended and nothing that came before waits for a pause to be over: tells the relay.
    fn tell_end(&mut self, from: Side, now: Moment) -> bool {
        let leg = &mut self.legs[from];
        let Some(how) = leg.ended.filter(|_| !leg.end_told && leg.paused_until.is_none()) else {
            return false;
        };
        leg.end_told = true;
        self.relay.lost(from, how, now);
        self.stirred = true;
        true
    }

    /// Performs the relay's effects on `unread` in order. How many bytes of it were disposed of.
    fn obey(&mut self, from: Side, unread: &[u8], cx: &mut Context<'_>, now: Moment) -> usize {
        let mut used = 0;
        let mut shown = unread.len();
        loop {
            match self.relay.step(from, &unread[used..shown], now) {
                Effect::Idle => {
                    self.stirred = false;
                    self.tell_round_trip();
                    break;
                }
                Effect::Forward { n } => {
                    if let Some(tapped) = &mut self.tapped {
                        tapped.passed(from, &unread[used..used + n]);
                    }
                    self.forward(!from, &unread[used..used + n], cx, now);
                    used += n;
                }
                Effect::Discard { n } => {
                    // A refused frame and what follows it do not pass.
                    if let Some(tapped) = self.tapped.as_mut().filter(|_| !self.relay.is_deaf_to(from)) {
                        tapped.passed(from, &unread[used..used + n]);
                    }
                    used += n;
                }
                Effect::Send { to, frame } => self.send(to, &frame, cx, now),
                Effect::Pause { from: paused, until } => {
                    self.relay.meters().add_throttled(until.since(now));
                    self.legs[paused].paused_until = Some(until);
                    self.relay.hold(paused, true, now);
                    // What is left stays unread; frames of our own may still go out.
                    shown = used;
                }
                Effect::Finish(outcome) => {
                    self.ending = Some(Box::new(Ending { outcome, deadline: self.relay.ends_by(now) }));
                    break;
                }
            }
        }
        used
    }

    /// Counts what the relay measured.
    fn tell_round_trip(&mut self) {
        if let Some((leg, took)) = self.relay.take_answered()
            && let Some(session) = &self.session
        {
            session.answered(leg, took);
        }
    }

    fn forward(&mut self, to: Side, bytes: &[u8], cx: &mut Context<'_>, now: Moment) {
        let leg = &mut self.legs[to];
        if self.relay.is_done_with(to) && bytes.len() <= OWN_FRAMES && !leg.out.broken {
            // Its Close is among them. If the session ends with it, the end of the stream takes it along.
            leg.out.queue.extend_from_slice(bytes);
            return;
        }
        let result = leg.out.write(&mut leg.stream, bytes, cx);
        self.wrote(to, result, now);
    }

    fn send(&mut self, to: Side, frame: &Control, cx: &mut Context<'_>, now: Moment) {
        // RFC 6455 5.3: toward a server a fresh key that nobody can predict.
        let key = (to == Side::Backend)
            .then(|| getrandom::u32().unwrap_or_else(|_| fastrand::u32(..)).to_ne_bytes());
        let out = &mut self.legs[to].out;
        if out.broken {
            return;
        }
        frame.encode(key, &mut out.queue);
        if let Some(tapped) = &mut self.tapped {
            tapped.said(to, frame);
        }
        if out.len() >= OWN_FRAMES {
            self.flush(to, cx, now);
        }
    }

    /// Whether anything that waited for `to` moved on.
    fn flush(&mut self, to: Side, cx: &mut Context<'_>, now: Moment) -> bool {
        let leg = &mut self.legs[to];
        if leg.out.is_clear() {
            return false;
        }
        let result = leg.out.flush(&mut leg.stream, cx);
        self.wrote(to, result, now)
    }

    fn wrote(&mut self, to: Side, result: io::Result<bool>, now: Moment) -> bool {
        match result {
            Ok(progressed) => {
                self.relay.output(to, !self.legs[to].out.is_clear(), progressed, now);
                self.stirred |= progressed;
                progressed
            }
            Err(_) => {
                self.relay.output(to, false, false, now);
                // What the peer had said counts still, up to its own Close: the relay hears of it when that is read.
                let leg = &mut self.legs[to];
                leg.ended = leg.ended.map(|_| Lost::Broke);
                if leg.end_told {
                    self.relay.lost(to, Lost::Broke, now);
                }
                self.stirred = true;
                true
            }
        }
    }
}

//! The session as a future: whose turn it is, the clock, orders from outside, and the way out.

use super::{Moved, Splice, TURNS};
use crate::drain::Ordered;
use crate::frame::{Pair, Side};
use crate::moment::Moment;
use crate::session::Report;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

impl Splice {
    /// The order that is still to be carried out.
    fn ordered(&self) -> Option<Ordered> {
        self.handle.ordered().filter(|_| !self.obeyed)
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.handle.register(cx.waker());
            self.registered = Some(cx.waker().clone());
            // The timer has to learn of it too.
            self.armed = None;
        }
        let now = self.now();
        self.look_at_the_clock(now);
        let mut turns = Pair { client: true, backend: true };
        for _ in 0..TURNS {
            for side in Side::BOTH {
                if !std::mem::take(&mut turns[side]) {
                    continue;
                }
                match self.turn(side, cx, now) {
                    Moved::Nothing => {}
                    Moved::Itself => turns[side] = true,
                    Moved::Both => turns = Pair { client: true, backend: true },
                }
                if self.ending.is_some() {
                    return Poll::Ready(());
                }
            }
            if turns == Pair::default() {
                return self.poll_timer(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn look_at_the_clock(&mut self, now: Moment) {
        if let Some(Ordered { order, code, .. }) = self.ordered().filter(|order| self.moment(order.at) <= now)
        {
            self.obeyed = true;
            self.relay.end(order, code, now);
            self.stirred = true;
        }
        // The timer is never set later than the next deadline: before it nothing can be due.
        if self.armed.take_if(|armed| *armed <= now).is_some()
            && self.relay.deadline().is_some_and(|deadline| deadline <= now)
        {
            self.relay.tick(now);
            self.stirred = true;
        }
    }

    /// Sleeps until the next deadline, whoever set it. A deadline that moved away is noticed when the timer fires, not
    /// at every byte.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ordered = self.ordered().map(|ordered| self.moment(ordered.at));
        let paused = Side::BOTH.iter().filter_map(|side| self.legs[*side].paused_until);
        let next = self.relay.deadline().into_iter().chain(ordered).chain(paused).min();
        let Some(next) = next.filter(|next| self.armed.is_none_or(|armed| *next < armed)) else {
            return Poll::Pending;
        };
        self.arm(next);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Finishes the session, once.
    fn report(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let outcome = self.ending.take().map_or_else(|| session.cut_off(), |ending| ending.outcome);
        let tally = |side| *self.relay.tally(side);
        let tallies = Pair { client: tally(Side::Client), backend: tally(Side::Backend) };
        session.finish(&Report { outcome, tallies });
    }

    fn arm(&mut self, at: Moment) {
        self.armed = Some(at);
        self.timer.as_mut().reset(self.origin + Duration::from_nanos(at.nanos()));
    }

    /// Writes what is queued, ends both streams, and reads on until the peers end theirs: a socket closed with unread
    /// bytes in it is reset, and the reset can overtake our Close.
    fn poll_ending(&mut self, cx: &mut Context<'_>, deadline: Moment, abandoned: Option<Side>) -> Poll<()> {
        let now = self.now();
        let late = deadline <= now;
        let mut over = true;
        for side in Side::BOTH {
            over &= abandoned == Some(side) || self.legs[side].poll_end(cx);
        }
        if over || late {
            return Poll::Ready(());
        }
        if self.armed != Some(deadline) {
            self.arm(deadline);
        }
        if self.timer.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Future for Splice {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let splice = &mut *self;
        if splice.ending.is_none() && splice.poll_session(cx).is_pending() {
            return Poll::Pending;
        }
        let Some((deadline, abandoned)) =
            splice.ending.as_ref().map(|ending| (ending.deadline, ending.outcome.abandoned()))
        else {
            return Poll::Pending;
        };
        if splice.poll_ending(cx, deadline, abandoned).is_pending() {
            return Poll::Pending;
        }
        if let Some(side) = abandoned {
            splice.legs[side].stream.abandon();
        }
        splice.report();
        Poll::Ready(())
    }
}

impl Drop for Splice {
    /// Cut off: what had passed by then is told all the same.
    fn drop(&mut self) {
        self.report();
    }
}

//! The session as a future: whose turn it is, the clock, orders from outside, and the way out.

use super::tap::Tapped;
use super::{Moved, Splice, TURNS};
use crate::clock::{instant, moment};
use crate::frame::{Pair, Side};
use crate::moment::Moment;
use crate::registry::Ordered;
use crate::registry::tap::Tap;
use crate::relay::Rules;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep};

impl Splice {
    /// The order that is still to be carried out.
    fn ordered(&self) -> Option<Ordered> {
        self.session.as_ref()?.handle().ordered().filter(|_| !self.obeyed)
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            if let Some(session) = &self.session {
                session.handle().register(cx.waker());
            }
            self.registered = Some(cx.waker().clone());
            for side in Side::BOTH {
                self.legs[side].stream.settle();
            }
            // The timer has to learn of it too.
            self.armed = None;
        }
        let now = moment(Instant::now());
        self.hear_the_news(now);
        self.tapped.take_if(|tapped| !tapped.is_wanted());
        let ordered = self.ordered();
        self.look_at_the_clock(ordered, now);
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
                self.relay.meters().set_waiting(self.legs.client.out.len() + self.legs.backend.out.len());
                return self.poll_timer(ordered, cx, now);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whatever was told from outside, besides orders.
    fn hear_the_news(&mut self, now: Moment) {
        let Some(news) = self.session.as_ref().and_then(|session| session.handle().take_news()) else {
            return;
        };
        if let Some(rules) = news.rules {
            self.follow(rules, now);
        }
        for tap in news.taps {
            self.tap(tap);
        }
    }

    fn tap(&mut self, tap: Tap) {
        match &mut self.tapped {
            Some(tapped) => tapped.add(tap),
            none => {
                let left = Pair {
                    client: self.relay.left_of_frame(Side::Client),
                    backend: self.relay.left_of_frame(Side::Backend),
                };
                *none = Some(Box::new(Tapped::new(tap, left, self.relay.has_deflate())));
            }
        }
    }

    /// The configuration was reloaded. What the old rates held back may go at once, if the new ones let it.
    fn follow(&mut self, rules: Arc<Rules>, now: Moment) {
        self.relay.follow(rules, now);
        for side in Side::BOTH {
            let leg = &mut self.legs[side];
            leg.unshown |= leg.paused_until.take().is_some();
        }
        self.stirred = true;
        self.armed = None;
    }

    fn look_at_the_clock(&mut self, ordered: Option<Ordered>, now: Moment) {
        if let Some(Ordered { order, code, .. }) = ordered.filter(|ordered| moment(ordered.at) <= now) {
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
    fn poll_timer(&mut self, ordered: Option<Ordered>, cx: &mut Context<'_>, now: Moment) -> Poll<()> {
        let was_at_ease = std::mem::replace(&mut self.armed_at_ease, self.relay.is_at_ease());
        if was_at_ease && self.armed_at_ease && self.armed.is_some() && ordered.is_none() {
            return Poll::Pending;
        }
        let ordered = ordered.filter(|_| !self.obeyed).map(|ordered| moment(ordered.at));
        let paused = Side::BOTH.iter().filter_map(|side| self.legs[*side].paused_until);
        let exact = paused.chain(ordered).min();
        let deadline = self.relay.deadline();
        let Some(next) = exact.into_iter().chain(deadline).min() else {
            return Poll::Pending;
        };
        if self.armed.is_some_and(|armed| armed <= next) {
            return Poll::Pending;
        }
        let at = if exact == Some(next) { next } else { together(next, now) };
        self.arm(next, at);
        if look_at(self.timer.as_mut(), cx).is_ready() {
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
        if let Some(tapped) = &mut self.tapped {
            tapped.ended(&outcome);
        }
        session.finish(&outcome);
    }

    /// Wakes `at`, for what is due at `deadline`.
    fn arm(&mut self, deadline: Moment, at: Moment) {
        self.armed = Some(deadline);
        self.timer.as_mut().reset(instant(at));
    }

    /// Writes what is queued, ends both streams, and reads on until the peers end theirs: a socket closed with unread
    /// bytes in it is reset, and the reset can overtake our Close.
    fn poll_ending(&mut self, cx: &mut Context<'_>, deadline: Moment, abandoned: Option<Side>) -> Poll<()> {
        let now = moment(Instant::now());
        let late = deadline <= now;
        let mut over = true;
        for side in Side::BOTH {
            over &= abandoned == Some(side) || self.legs[side].poll_end(cx);
        }
        if over || late {
            return Poll::Ready(());
        }
        if self.armed != Some(deadline) {
            self.arm(deadline, deadline);
        }
        if self.timer.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Has the timer wake the task, also where that had its share of the loop (coop): tokio would let it look again later, and
/// a timer that was set is not looked at again before its time.
fn look_at(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(timer)).poll(cx)
}

/// When to look at a deadline: a little late, by less than a 64th of the wait, together with the other sessions whose
/// deadlines are about then. Idle sessions by the thousand then cost a wake for each batch, not for each heartbeat.
fn together(deadline: Moment, now: Moment) -> Moment {
    let slack = u64::try_from(deadline.since(now).as_nanos()).unwrap_or(u64::MAX) / 64;
    // The largest power of two that fits: the grids of all waits share their lines.
    let grid = slack.checked_ilog2().map_or(1, |log| 1 << log);
    Moment::from_nanos(deadline.nanos().checked_next_multiple_of(grid).unwrap_or(u64::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::task::coop::consume_budget;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_a_task_that_had_its_share_when_it_was_set() {
        let (began, wait) = (Instant::now(), Duration::from_secs(25));
        let mut timer = Box::pin(sleep(wait));
        let mut polls = 0;
        let woken = poll_fn(|cx| {
            polls += 1;
            match polls {
                1 => {
                    while pin!(consume_budget()).poll(cx).is_ready() {}
                    look_at(timer.as_mut(), cx)
                }
                // tokio's, for having had its share.
                2 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        });
        // Which looks once more itself when it is over.
        let _ = timeout(2 * wait, woken).await;
        assert_eq!(began.elapsed(), wait);
    }

    #[test]
    fn deadlines_are_looked_at_late_by_a_64th_of_the_wait_at_most_and_never_early() {
        for millis in [0, 1, 5, 63, 64, 100, 1000, 20_000, 27_123, 86_400_000] {
            for start in [0, 1, 12_345_678_901, u64::MAX / 2] {
                let now = Moment::from_nanos(start);
                let wait = Duration::from_millis(millis);
                let at = together(now + wait, now);
                assert!(at >= now + wait, "{wait:?} after {start}");
                assert!(at.since(now + wait) <= wait / 64, "{wait:?} after {start}: {at:?}");
            }
        }
    }

    #[test]
    fn sessions_that_wait_about_as_long_wake_together() {
        let wakes: HashSet<Moment> = (0..1000u32)
            .map(|n| {
                let now = Moment::from_millis(u64::from(n));
                together(now + Duration::from_secs(25), now)
            })
            .collect();
        assert!(wakes.len() <= 5, "{} wakes for a second's sessions", wakes.len());
    }

    #[test]
    fn the_end_of_time_is_a_moment_like_any_other() {
        let now = Moment::default();
        assert!(together(Moment::from_nanos(u64::MAX - 1), now) >= Moment::from_nanos(u64::MAX - 2));
    }
}

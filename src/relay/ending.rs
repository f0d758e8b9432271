//! Endings: each reason to end a session, and what it makes of the two legs.

use super::closing::{Hearing, Saying, to_the_bereft, to_the_innocent};
use super::{By, Cause, Closing, Outcome, Relay};
use crate::frame::{Close, Side, Violation};
use crate::moment::Moment;

impl Relay {
    /// The first reason to end is the one that is reported.
    pub(super) fn begin(&mut self, by: By, cause: Cause, about: Option<Side>, close: &Close, now: Moment) {
        self.at_ease = false;
        if self.closing.is_none() {
            let lived = now.since(self.opened);
            let outcome = Outcome { by, cause, about, close: close.clone(), lived };
            let deadline = now + self.rules.timeouts.close;
            self.closing = Some(Box::new(Closing { outcome, deadline }));
        }
    }

    /// `from` broke a rule: it hears which, the innocent hears that it is over.
    pub(super) fn violated(&mut self, from: Side, violation: Violation, now: Moment) {
        let told = Close::new(violation.close_code(), violation.rule());
        self.begin(By::Gateway, Cause::Violation(violation), Some(from), &told, now);
        self.legs[from].hearing = Hearing::Deaf;
        self.legs[from].close_with(told);
        let innocent = self.farewell(!from, to_the_innocent(!from, violation));
        self.legs[!from].close_with(innocent);
        self.cut_what_cannot_end();
    }

    /// `side` is silent or stuck. A silent one is told, in case it can hear; a stuck one cannot be.
    pub(super) fn give_up_on(&mut self, side: Side, cause: Cause, now: Moment) {
        let told = Close::new(1001, cause.word());
        self.begin(By::Gateway, cause, Some(side), &told, now);
        self.legs[side].hearing = Hearing::Deaf;
        if cause == Cause::WriteTimeout {
            self.legs[side].saying = Saying::Cut;
        } else {
            self.legs[side].close_with(told);
        }
        self.legs[!side].close_with(to_the_bereft(!side, cause.word()));
        self.cut_what_cannot_end();
    }

    pub(super) fn end_gently(&mut self, cause: Cause, code: u16, now: Moment) {
        if self.closing.is_some() {
            return;
        }
        let told = Close::new(code, cause.word());
        self.begin(By::Gateway, cause, None, &told, now);
        self.legs.client.close_with(told);
        if self.legs.backend.saying == Saying::Open {
            self.legs.backend.saying = Saying::Deferred(Close::new(1001, cause.word()));
        }
    }

    pub(super) fn end_idle(&mut self, cause: Cause, now: Moment) {
        let told = Close::new(1001, cause.word());
        self.begin(By::Gateway, cause, Some(Side::Client), &told, now);
        for side in Side::BOTH {
            self.legs[side].close_with(told.clone());
        }
    }

    /// The closing handshake took too long. Who is still owed a Close gets it now; nobody is waited for any more.
    pub(super) fn stop_waiting(&mut self, now: Moment) {
        let deferred = matches!(self.legs.backend.saying, Saying::Deferred(_));
        if let Some(closing) = self.closing.as_mut().filter(|_| deferred) {
            // Not again: from here on that Close is no longer deferred.
            closing.deadline = now + self.rules.timeouts.close;
            self.legs.client.hearing = Hearing::Deaf;
        } else {
            for side in Side::BOTH {
                if self.legs[side].hearing == Hearing::Open {
                    self.legs[side].hearing = Hearing::Deaf;
                }
            }
        }
        for side in Side::BOTH {
            let last = self.farewell(side, to_the_bereft(side, "timeout.close"));
            self.legs[side].close_with(last);
        }
        self.cut_what_cannot_end();
    }

    /// The last word to `side`: a Close that was put off comes now, a peer that began the closing handshake hears its own
    /// words back (RFC 6455 5.5.1), any other hears `otherwise`.
    pub(super) fn farewell(&self, side: Side, otherwise: Close) -> Close {
        if let Saying::Deferred(close) = &self.legs[side].saying {
            return close.clone();
        }
        match &self.closing {
            Some(closing)
                if closing.outcome.cause == Cause::Closed && closing.outcome.about == Some(side) =>
            {
                closing.outcome.close.clone()
            }
            _ => otherwise,
        }
    }

    /// A Close that waits for the end of a frame which nobody will finish never goes out: garbage is not inserted.
    pub(super) fn cut_what_cannot_end(&mut self) {
        for side in Side::BOTH {
            let stuck = !self.lanes[!side].is_between_frames() && self.legs[!side].hearing != Hearing::Open;
            if stuck && !self.legs[side].saying.is_over() {
                self.legs[side].saying = Saying::Cut;
            }
        }
    }
}

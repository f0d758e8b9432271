//! The clock: what is due, and when to look again. Each deadline comes from its own key of `[route.timeouts]` or
//! `[route.heartbeat]`.

use super::{Cause, Relay};
use crate::frame::{Side, Violation};
use crate::moment::Moment;

impl Relay {
    /// Looks at the clock.
    pub fn tick(&mut self, now: Moment) {
        self.at_ease = false;
        if let Some(closing) = &self.closing {
            if closing.deadline <= now {
                self.stop_waiting(now);
            }
            return;
        }
        let due = |deadline: Option<Moment>| deadline.is_some_and(|deadline| deadline <= now);
        for side in Side::BOTH {
            if due(self.write_deadline(side)) {
                return self.give_up_on(side, Cause::WriteTimeout, now);
            }
            let leg = &mut self.legs[side];
            let timeout = self.rules.heartbeat.pong_timeout;
            if leg.held_since.is_none() && leg.keepalive.is_dead(timeout, leg.blocked_since.is_some(), now) {
                return self.give_up_on(side, Cause::PongTimeout, now);
            }
        }
        if due(self.message_deadline()) {
            return self.violated(Side::Client, Violation::MessageDeadline, now);
        }
        if due(self.ages_at) {
            return self.end_gently(Cause::Age, 1012, now);
        }
        let silences = [
            (self.first_message_deadline(), Cause::FirstMessage),
            (self.data_idle_deadline(), Cause::DataIdle),
            (self.idle_deadline(), Cause::Idle),
        ];
        if let Some((_, cause)) = silences.into_iter().find(|(deadline, _)| due(*deadline)) {
            self.end_idle(cause, now);
        }
    }

    /// When [`Relay::tick`] has something to do. It moves: ask again after every turn.
    pub fn deadline(&self) -> Option<Moment> {
        if self.finished {
            return None;
        }
        if let Some(closing) = &self.closing {
            return Some(closing.deadline);
        }
        let pulse = |side: Side| {
            let leg = &self.legs[side];
            let deadline = leg.keepalive.deadline(self.rules.heartbeat.pong_timeout);
            deadline.filter(|_| leg.held_since.is_none())
        };
        let mut next = self.ages_at;
        for deadline in [
            pulse(Side::Client),
            pulse(Side::Backend),
            self.write_deadline(Side::Client),
            self.write_deadline(Side::Backend),
            self.message_deadline(),
            self.first_message_deadline(),
            self.data_idle_deadline(),
            self.idle_deadline(),
        ] {
            if deadline.is_some_and(|deadline| next.is_none_or(|next| deadline < next)) {
                next = deadline;
            }
        }
        next
    }
}

impl Relay {
    fn write_deadline(&self, side: Side) -> Option<Moment> {
        Some(self.legs[side].blocked_since? + self.rules.timeouts.write?)
    }

    fn message_deadline(&self) -> Option<Moment> {
        let read = self.legs.client.held_since.is_none();
        Some(self.message_since.filter(|_| read)? + self.rules.timeouts.message?)
    }

    fn first_message_deadline(&self) -> Option<Moment> {
        let limit = self.rules.timeouts.first_message?;
        (!self.client_spoke).then(|| self.opened + limit)
    }

    fn data_idle_deadline(&self) -> Option<Moment> {
        Some(self.last_data + self.rules.timeouts.data_idle?)
    }

    fn idle_deadline(&self) -> Option<Moment> {
        let heard = |side: Side| self.legs[side].keepalive.last_alive();
        Some(heard(Side::Client).max(heard(Side::Backend)) + self.rules.timeouts.idle?)
    }
}

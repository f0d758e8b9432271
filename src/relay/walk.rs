//! Frames: what is said next, and how far the bytes that came may go.

use super::closing::{Hearing, Saying};
use super::keepalive::Answered;
use super::{By, Cause, Effect, HeartbeatMode, RateAction, Relay};
use crate::frame::{Close, Header, Kind, MAX_CONTROL_PAYLOAD, Opcode, Piece, Side, Violation, apply_mask};
use crate::moment::Moment;

/// What comes next of the unread bytes.
enum Next {
    Partial,
    Data(usize),
    Control(Header),
    Pause(Moment),
}

/// Of a data message.
struct Passed {
    n: usize,
    payload: usize,
    kind: Kind,
    began: bool,
    ended: bool,
}

impl Relay {
    /// The frame of our own that goes out next, if one can.
    pub(super) fn say(&mut self, now: Moment) -> Option<Effect> {
        for to in Side::BOTH {
            let leg = &mut self.legs[to];
            let has_something = leg.keepalive.wants_to_say() || matches!(leg.saying, Saying::Due(_));
            if !has_something || !self.lanes[!to].is_between_frames() {
                continue;
            }
            if leg.blocked_since.is_none()
                && !leg.saying.is_over()
                && let Some(frame) = leg.keepalive.say(now)
            {
                return Some(Effect::Send { to, frame });
            }
            if let Saying::Due(close) = &leg.saying {
                let frame = close.to_frame();
                leg.saying = Saying::Done;
                leg.keepalive.hush();
                return Some(Effect::Send { to, frame });
            }
        }
        None
    }

    /// Walks data frames as far as one `Forward` can carry them.
    pub(super) fn walk(&mut self, from: Side, unread: &[u8], now: Moment) -> Effect {
        let mut run = 0;
        let stops_between_frames = self.waits_for_a_boundary(!from);
        let runs = !(stops_between_frames || from == Side::Client && self.is_rated());
        while let Some(mut rest) = unread.get(run..).filter(|rest| !rest.is_empty()) {
            if runs {
                let n = self.pass_whole_messages(from, rest, now);
                run += n;
                rest = &rest[n..];
                if rest.is_empty() {
                    break;
                }
            }
            if run > 0 && stops_between_frames && self.lanes[from].is_between_frames() {
                break;
            }
            match self.next_piece(from, rest, now) {
                Ok(Next::Data(n)) => run += n,
                Ok(Next::Partial) => break,
                // What was walked so far goes first; the rest is looked at again in the next step.
                _ if run > 0 => break,
                Ok(Next::Control(header)) => return self.control(from, header, rest, now),
                Ok(Next::Pause(until)) => return Effect::Pause { from, until },
                Err(violation) => {
                    self.violated(from, violation, now);
                    return self.step(from, unread, now);
                }
            }
        }
        match run {
            0 => Effect::Idle,
            n if !self.at_ease && self.legs[!from].saying.is_over() => Effect::Discard { n },
            n => Effect::Forward { n },
        }
    }

    /// A frame of our own goes to this side as soon as it is between frames. Data does not change that.
    fn waits_for_a_boundary(&self, to: Side) -> bool {
        if self.at_ease {
            return false;
        }
        let leg = &self.legs[to];
        match leg.saying {
            Saying::Due(_) => true,
            Saying::Open | Saying::Deferred(_) => leg.blocked_since.is_none() && leg.keepalive.wants_to_say(),
            Saying::Done | Saying::Cut => false,
        }
    }

    /// The usual case in one go. Only where each frame need not be looked at apart: no rate, no boundary to stop at.
    fn pass_whole_messages(&mut self, from: Side, unread: &[u8], now: Moment) -> usize {
        let run = self.lanes[from].run(unread, &self.rules.limits[from]);
        if run.n > 0 {
            self.meters.tallies[from].count_run(&run);
            self.last_data = now;
            if from == Side::Client {
                self.client_spoke = true;
                self.message_since = None;
            }
        }
        run.n
    }

    fn is_rated(&self) -> bool {
        self.rules.rates.messages.is_some() || self.rules.rates.bytes.is_some()
    }

    #[inline]
    fn next_piece(&mut self, from: Side, rest: &[u8], now: Moment) -> Result<Next, Violation> {
        if from == Side::Client
            && let Some(until) = self.over_rate(rest, now)?
        {
            return Ok(Next::Pause(until));
        }
        let (n, payload, kind, began, ended) = match self.lanes[from].next(rest, &self.rules.limits[from])? {
            Piece::Partial => return Ok(Next::Partial),
            Piece::Control(header) => return Ok(Next::Control(header)),
            Piece::Data { n, payload, kind, began_message, ended_message } => {
                (n, payload, kind, began_message, ended_message)
            }
        };
        self.count(from, Passed { n, payload, kind, began, ended }, now);
        Ok(Next::Data(n))
    }

    fn count(&mut self, from: Side, passed: Passed, now: Moment) {
        let Passed { n, payload, kind, began, ended } = passed;
        self.meters.tallies[from].count(kind, payload, ended);
        self.last_data = now;
        if from == Side::Client {
            self.client_spoke = true;
            match (began, ended) {
                (_, true) => self.message_since = None,
                (true, false) => {
                    self.message_since = Some(now);
                    self.at_ease = false;
                }
                (false, false) => {}
            }
            if let Some(limit) = self.rules.rates.messages.filter(|_| began) {
                self.spent.messages.charge(limit.rate, 1, now);
            }
            if let Some(limit) = self.rules.rates.bytes {
                self.spent.bytes.charge(limit.rate, n as u64, now);
            }
        }
    }

    /// How many of the bytes to come from `from` may go to the other leg without being shown: the rest of a frame that
    /// was decided at its header and whose payload nobody reads.
    pub fn unseen(&self, from: Side) -> u64 {
        let reads = self.legs[from].hearing == Hearing::Open && !self.legs[!from].saying.is_over();
        let counts_bytes = from == Side::Client && self.rules.rates.bytes.is_some();
        if reads && !counts_bytes && !self.finished {
            self.lanes[from].unseen(&self.rules.limits[from])
        } else {
            0
        }
    }

    /// `n` of the [`Relay::unseen`] bytes went by.
    pub fn passed_unseen(&mut self, from: Side, n: u64, now: Moment) {
        if let Some(Piece::Data { n, payload, kind, began_message, ended_message }) =
            self.lanes[from].pass_unseen(n)
        {
            self.count(from, Passed { n, payload, kind, began: began_message, ended: ended_message }, now);
        }
    }

    /// Whether the client's next bytes have to wait, and until when. A limit that closes does so at a frame's header
    /// only; one that delays may delay anywhere.
    fn over_rate(&self, rest: &[u8], now: Moment) -> Result<Option<Moment>, Violation> {
        if !self.is_rated() {
            return Ok(None);
        }
        let lane = &self.lanes.client;
        let at_header = lane.is_between_frames();
        let starts_message = at_header
            && !lane.is_inside_message()
            && rest.first().is_some_and(|byte| matches!(byte & 0x0F, 0x1 | 0x2));
        let rates = &self.rules.rates;
        let messages = rates.messages.filter(|_| starts_message).and_then(|limit| {
            let until = self.spent.messages.clone().take(limit.rate, 1, now).err()?;
            Some((until, limit.action, Violation::MessageRate))
        });
        let bytes = rates.bytes.and_then(|limit| {
            let until = self.spent.bytes.in_debt_until(limit.rate, now)?;
            Some((until, limit.action, Violation::ByteRate))
        });
        let mut wait = None;
        for (until, action, violation) in messages.into_iter().chain(bytes) {
            match action {
                RateAction::Close if at_header => return Err(violation),
                RateAction::Close => {}
                RateAction::Delay => wait = wait.max(Some(until)),
            }
        }
        Ok(wait)
    }

    fn control(&mut self, from: Side, header: Header, rest: &[u8], now: Moment) -> Effect {
        self.at_ease = false;
        let n = header.size + header.len as usize;
        let mut held = [0; MAX_CONTROL_PAYLOAD];
        let payload = &mut held[..header.len as usize];
        payload.copy_from_slice(&rest[header.size..n]);
        if let Some(key) = header.mask {
            apply_mask(payload, key, 0);
        }
        let refused = match header.opcode {
            Opcode::Close => match Close::parse(payload) {
                Ok(close) => return self.closed(from, close, n, now),
                Err(violation) => Some(violation),
            },
            _ => self.over_control_rate(from, now),
        };
        if let Some(violation) = refused {
            self.violated(from, violation, now);
            return self.step(from, rest, now);
        }
        let passes = match header.opcode {
            Opcode::Ping => self.pinged(from, payload),
            _ => self.ponged(from, payload, now),
        };
        if passes { Effect::Forward { n } } else { Effect::Discard { n } }
    }

    fn over_control_rate(&mut self, from: Side, now: Moment) -> Option<Violation> {
        let limit = self.rules.rates.control.filter(|_| from == Side::Client)?;
        self.spent.control.take(limit.rate, 1, now).err().map(|_| Violation::ControlRate)
    }

    /// Whether the ping passes to the other leg.
    fn pinged(&mut self, from: Side, payload: &[u8]) -> bool {
        self.meters.tallies[from].ping();
        match self.rules.heartbeat.mode {
            HeartbeatMode::Answer => {
                if self.legs[from].saying.takes_frames() {
                    self.legs[from].keepalive.owe_pong(payload);
                }
                false
            }
            HeartbeatMode::Forward => {
                let other = &mut self.legs[!from];
                if other.saying.takes_frames() {
                    other.keepalive.relays_ping(payload);
                }
                !other.saying.is_over()
            }
        }
    }

    /// Whether the pong passes to the other leg.
    fn ponged(&mut self, from: Side, payload: &[u8], now: Moment) -> bool {
        self.meters.tallies[from].pong();
        let answered = self.legs[from].keepalive.answered(payload, now);
        let other = &mut self.legs[!from];
        match answered {
            Answered::Ours { settled, rtt } => {
                if let Some(rtt) = rtt {
                    self.meters.answered(from, rtt);
                    self.answered = Some(from);
                }
                if let Some(payload) = settled.filter(|_| other.saying.takes_frames()) {
                    other.keepalive.owe_pong(&payload);
                }
                false
            }
            Answered::Theirs => {
                self.rules.heartbeat.mode == HeartbeatMode::Forward && !other.saying.is_over()
            }
        }
    }

    /// A peer's own Close: the first of a session, or the answer to one (RFC 6455 5.5.1). It passes verbatim.
    fn closed(&mut self, from: Side, close: Close, n: usize, now: Moment) -> Effect {
        self.legs[from].hearing = Hearing::Closed;
        self.legs[from].keepalive.hush();
        self.begin(By::from(from), Cause::Closed, Some(from), &close, now);
        let other = &mut self.legs[!from];
        match std::mem::replace(&mut other.saying, Saying::Done) {
            Saying::Open => {
                other.keepalive.hush();
                Effect::Forward { n }
            }
            Saying::Deferred(ours) => {
                other.saying = Saying::Due(ours);
                Effect::Discard { n }
            }
            already => {
                other.saying = already;
                Effect::Discard { n }
            }
        }
    }
}

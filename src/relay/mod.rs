//! The brain of a session: it reads every frame of both directions and decides, without a socket, a clock or a lock.
//!
//! # The contract
//!
//! The driver owns two streams and calls [`Relay::step`] with the bytes it has read and not yet disposed of, until the
//! answer is [`Effect::Idle`]; it performs each effect in order. Effects are FIFO per destination, so "between frames
//! when emitted" *is* "between frames on the wire".
//!
//! - `Idle` with bytes left over means: show them again, with more behind them. They are never more than a frame header
//!   or one control frame.
//! - A frame is decided at its header, before one byte of its payload moves. A refused frame never started, so the leg
//!   it was heading for is still between frames and can be closed properly.
//! - A violation is an effect, not an error: a Close for both legs, then `Finish`. The driver holds no policy.
//! - Besides bytes the driver reports what happens to the streams ([`Relay::heard`], [`Relay::lost`],
//!   [`Relay::output`], [`Relay::hold`]) and calls [`Relay::tick`] when [`Relay::deadline`] has come. After any of
//!   these it calls `step` for both sides, if need be with no bytes: what follows comes out there.
//! - After `Finish` the driver flushes what is queued, ends both streams and reports the outcome.

mod closing;
mod keepalive;
mod outcome;
mod rules;

pub use outcome::{By, Cause, Order, Outcome, Tally};
pub use rules::{Heartbeat, HeartbeatMode, Limited, RateAction, Rates, Rules, Timeouts};

use crate::frame::{
    Close, Control, Header, Lane, MAX_CONTROL_PAYLOAD, Opcode, Pair, Piece, Side, Violation, apply_mask,
};
use crate::meter::TokenBucket;
use crate::moment::Moment;
use closing::{Hearing, Saying, to_the_bereft, to_the_innocent};
use keepalive::{Answered, Keepalive};
use std::sync::Arc;
use std::time::Duration;

/// What the driver has to do next. `n` counts from the start of the unread bytes it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing more can be done with what was shown.
    Idle,
    /// Move the first `n` unread bytes to the other leg's output.
    Forward { n: usize },
    /// Drop the first `n` unread bytes.
    Discard { n: usize },
    /// Append this frame to the output of `to`; toward a backend, masked with a fresh random key.
    Send { to: Side, frame: Control },
    /// Neither read nor step `from` before `until`; the unread bytes stay.
    Pause { from: Side, until: Moment },
    /// The session is over. Said once.
    Finish(Outcome),
}

/// The least time that a last Close gets to reach its peer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It ended in order (FIN): the peer sends no more, but may still read.
    Ended,
    /// It broke: nothing reaches the peer any more.
    Broke,
}

/// What the relay needs to know of a session besides its route's rules.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// permessage-deflate was agreed in the 101.
    pub deflate: bool,
    /// Random; marks our own pings and spreads timers.
    pub seed: u64,
    pub now: Moment,
}

#[derive(Debug)]
pub struct Relay {
    rules: Arc<Rules>,
    /// By the side that sends.
    lanes: Pair<Lane>,
    legs: Pair<Leg>,
    tallies: Pair<Tally>,
    spent: Spent,
    opened: Moment,
    ages_at: Option<Moment>,
    last_data: Moment,
    client_spoke: bool,
    /// Since when the client's unfinished message is under way.
    message_since: Option<Moment>,
    closing: Option<Box<Closing>>,
    finished: bool,
    ends_by: Moment,
}

#[derive(Debug)]
struct Leg {
    hearing: Hearing,
    saying: Saying,
    keepalive: Keepalive,
    /// Since when its output is stuck.
    blocked_since: Option<Moment>,
    /// Since when we do not read it, by our own choice.
    held_since: Option<Moment>,
}

/// What the client used up of its rates.
#[derive(Debug, Default)]
struct Spent {
    messages: TokenBucket,
    bytes: TokenBucket,
    control: TokenBucket,
}

#[derive(Debug)]
struct Closing {
    outcome: Outcome,
    deadline: Moment,
    /// The deadline was already moved once, for a Close that had been deferred.
    extended: bool,
}

impl Relay {
    pub fn new(rules: Arc<Rules>, opening: Opening) -> Relay {
        let Opening { deflate, seed, now } = opening;
        let leg = |side: Side| {
            let interval = rules.heartbeat.ping_interval[side];
            let quiet_limit =
                interval.map(|interval| jittered(interval, 0.1, seed.rotate_left(side as u32 * 16)));
            Leg {
                hearing: Hearing::Open,
                saying: Saying::Open,
                keepalive: Keepalive::new(seed, quiet_limit, now),
                blocked_since: None,
                held_since: None,
            }
        };
        let timeouts = &rules.timeouts;
        let age = timeouts.max_connection_age;
        let ages_at =
            age.map(|age| now + jittered(age, timeouts.max_connection_age_jitter, seed.rotate_left(32)));
        Relay {
            lanes: Pair {
                client: Lane::new(Side::Client, deflate),
                backend: Lane::new(Side::Backend, deflate),
            },
            legs: Pair { client: leg(Side::Client), backend: leg(Side::Backend) },
            tallies: Pair::default(),
            spent: Spent::default(),
            opened: now,
            ages_at,
            last_data: now,
            client_spoke: false,
            message_since: None,
            closing: None,
            finished: false,
            ends_by: now,
            rules,
        }
    }

    /// The next effect, given the unread bytes that came from `from`.
    pub fn step(&mut self, from: Side, unread: &[u8], now: Moment) -> Effect {
        if self.finished {
            return Effect::Idle;
        }
        if let Some(effect) = self.say(now) {
            return effect;
        }
        if let Some(closing) = self.closing.take_if(|_| is_over(&self.legs)) {
            self.finished = true;
            self.ends_by = closing.deadline;
            return Effect::Finish(closing.outcome);
        }
        match self.legs[from].hearing {
            Hearing::Open => self.walk(from, unread, now),
            _ if unread.is_empty() => Effect::Idle,
            _ => Effect::Discard { n: unread.len() },
        }
    }

    /// Bytes came from `from`.
    pub fn heard(&mut self, from: Side, now: Moment) {
        self.legs[from].keepalive.heard(now);
    }

    /// The stream of `side` ended or broke.
    pub fn lost(&mut self, side: Side, how: Lost, now: Moment) {
        let before = std::mem::replace(&mut self.legs[side].hearing, Hearing::Gone);
        if before == Hearing::Open || how == Lost::Broke {
            self.legs[side].saying = Saying::Cut;
            self.legs[side].keepalive.hush();
        }
        if before == Hearing::Open {
            let cause = Cause::lost(side);
            let told = self.farewell(!side, to_the_bereft(!side, cause.word()));
            self.begin(By::from(side), cause, Some(side), &told, now);
            self.legs[!side].close_with(told);
        }
        self.cut_what_cannot_end();
    }

    /// How the output of `to` stands after the driver tried to write it.
    pub fn output(&mut self, to: Side, blocked: bool, progressed: bool, now: Moment) {
        let leg = &mut self.legs[to];
        // What an idle socket takes in proves nothing: only its buffer was free.
        if progressed && leg.blocked_since.is_some() {
            leg.keepalive.progressed(now);
        }
        leg.keepalive.stuck(blocked, now);
        leg.blocked_since = match leg.blocked_since {
            _ if !blocked => None,
            Some(since) if !progressed => Some(since),
            _ => Some(now),
        };
    }

    /// The driver stops (`true`) or resumes reading `from`, for reasons of ours. What the peer fails to say meanwhile
    /// is not held against it.
    pub fn hold(&mut self, from: Side, held: bool, now: Moment) {
        let leg = &mut self.legs[from];
        if held {
            leg.held_since.get_or_insert(now);
        } else if let Some(since) = leg.held_since.take() {
            let span = now.since(since);
            leg.keepalive.excuse(span, now);
            if from == Side::Client {
                self.message_since = self.message_since.map(|since| (since + span).min(now));
            }
        }
    }

    /// Ends the session by an order from outside. The client hears `code` first; the backend hears 1001 once the
    /// client has said its last, so that nothing under way from the client is lost.
    pub fn end(&mut self, order: Order, code: u16, now: Moment) {
        self.end_gently(Cause::Order(order), code, now);
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Moment) {
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
        [
            pulse(Side::Client),
            pulse(Side::Backend),
            self.write_deadline(Side::Client),
            self.write_deadline(Side::Backend),
            self.message_deadline(),
            self.first_message_deadline(),
            self.data_idle_deadline(),
            self.idle_deadline(),
            self.ages_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Once the session is over: by when the driver has to be rid of both streams. What is left of the closing
    /// handshake's time, and in any case long enough for a Close that just went out.
    pub fn ends_by(&self, now: Moment) -> Moment {
        self.ends_by.max(now + LAST_WORDS)
    }

    pub fn tally(&self, from: Side) -> &Tally {
        &self.tallies[from]
    }
}

/// Frames.
impl Relay {
    /// The frame of our own that goes out next, if one can.
    fn say(&mut self, now: Moment) -> Option<Effect> {
        for to in Side::BOTH {
            if !self.lanes[!to].is_between_frames() {
                continue;
            }
            let leg = &mut self.legs[to];
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
    fn walk(&mut self, from: Side, unread: &[u8], now: Moment) -> Effect {
        let mut run = 0;
        while let Some(rest) = unread.get(run..).filter(|rest| !rest.is_empty()) {
            if run > 0 && self.must_stop_here(from) {
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
            n if self.legs[!from].saying.is_over() => Effect::Discard { n },
            n => Effect::Forward { n },
        }
    }

    /// A frame of our own waits for the boundary we stand at.
    fn must_stop_here(&self, from: Side) -> bool {
        let leg = &self.legs[!from];
        let waits = match leg.saying {
            Saying::Due(_) => true,
            Saying::Open | Saying::Deferred(_) => leg.blocked_since.is_none() && leg.keepalive.wants_to_say(),
            Saying::Done | Saying::Cut => false,
        };
        waits && self.lanes[from].is_between_frames()
    }

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
        self.tallies[from].count(kind, payload, ended);
        self.last_data = now;
        if from == Side::Client {
            self.client_spoke = true;
            match (began, ended) {
                (_, true) => self.message_since = None,
                (true, false) => self.message_since = Some(now),
                (false, false) => {}
            }
            if let Some(limit) = self.rules.rates.messages.filter(|_| began) {
                self.spent.messages.charge(limit.rate, 1, now);
            }
            if let Some(limit) = self.rules.rates.bytes {
                self.spent.bytes.charge(limit.rate, n as u64, now);
            }
        }
        Ok(Next::Data(n))
    }

    /// Whether the client's next bytes have to wait, and until when. A limit that closes does so at a frame's header
    /// only; one that delays may delay anywhere.
    fn over_rate(&self, rest: &[u8], now: Moment) -> Result<Option<Moment>, Violation> {
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
            _ => self.ponged(from, payload),
        };
        if passes { Effect::Forward { n } } else { Effect::Discard { n } }
    }

    fn over_control_rate(&mut self, from: Side, now: Moment) -> Option<Violation> {
        let limit = self.rules.rates.control.filter(|_| from == Side::Client)?;
        self.spent.control.take(limit.rate, 1, now).err().map(|_| Violation::ControlRate)
    }

    /// Whether the ping passes to the other leg.
    fn pinged(&mut self, from: Side, payload: &[u8]) -> bool {
        self.tallies[from].pings += 1;
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
    fn ponged(&mut self, from: Side, payload: &[u8]) -> bool {
        self.tallies[from].pongs += 1;
        let answered = self.legs[from].keepalive.answered(payload);
        let other = &mut self.legs[!from];
        match answered {
            Answered::Ours(settled) => {
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

enum Next {
    Partial,
    Data(usize),
    Control(Header),
    Pause(Moment),
}

/// Endings.
impl Relay {
    /// The first reason to end is the one that is reported.
    fn begin(&mut self, by: By, cause: Cause, about: Option<Side>, close: &Close, now: Moment) {
        if self.closing.is_none() {
            let outcome = Outcome { by, cause, about, close: close.clone() };
            let deadline = now + self.rules.timeouts.close;
            self.closing = Some(Box::new(Closing { outcome, deadline, extended: false }));
        }
    }

    /// `from` broke a rule: it hears which, the innocent hears that it is over.
    fn violated(&mut self, from: Side, violation: Violation, now: Moment) {
        let told = Close::new(violation.close_code(), violation.rule());
        self.begin(By::Gateway, Cause::Violation(violation), Some(from), &told, now);
        self.legs[from].hearing = Hearing::Deaf;
        self.legs[from].close_with(told);
        let innocent = self.farewell(!from, to_the_innocent(!from, violation));
        self.legs[!from].close_with(innocent);
        self.cut_what_cannot_end();
    }

    /// `side` is silent or stuck. A silent one is told, in case it can hear; a stuck one cannot be.
    fn give_up_on(&mut self, side: Side, cause: Cause, now: Moment) {
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

    fn end_gently(&mut self, cause: Cause, code: u16, now: Moment) {
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

    fn end_idle(&mut self, cause: Cause, now: Moment) {
        let told = Close::new(1001, cause.word());
        self.begin(By::Gateway, cause, Some(Side::Client), &told, now);
        for side in Side::BOTH {
            self.legs[side].close_with(told.clone());
        }
    }

    /// The closing handshake took too long. Who is still owed a Close gets it now; nobody is waited for any more.
    fn stop_waiting(&mut self, now: Moment) {
        let deferred = matches!(self.legs.backend.saying, Saying::Deferred(_));
        if let Some(closing) = self.closing.as_mut().filter(|closing| deferred && !closing.extended) {
            closing.extended = true;
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
    fn farewell(&self, side: Side, otherwise: Close) -> Close {
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
    fn cut_what_cannot_end(&mut self) {
        for side in Side::BOTH {
            let stuck = !self.lanes[!side].is_between_frames() && self.legs[!side].hearing != Hearing::Open;
            if stuck && !self.legs[side].saying.is_over() {
                self.legs[side].saying = Saying::Cut;
            }
        }
    }
}

impl Leg {
    fn close_with(&mut self, close: Close) {
        self.saying.close_with(close);
    }
}

/// Deadlines, each from its own key of `[route.timeouts]`.
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

fn is_over(legs: &Pair<Leg>) -> bool {
    Side::BOTH.iter().all(|side| match legs[*side].saying {
        Saying::Done => legs[*side].hearing != Hearing::Open,
        // It hears no Close from us, so it owes us none.
        Saying::Cut => true,
        Saying::Open | Saying::Deferred(_) | Saying::Due(_) => false,
    })
}

/// `span`, longer or shorter by at most `part` of it, as `seed` has it.
fn jittered(span: Duration, part: f64, seed: u64) -> Duration {
    let unit = f64::from((seed >> 32) as u32) / f64::from(u32::MAX);
    span.mul_f64((1.0 + part * (2.0 * unit - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests;

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
//! - Where [`Relay::unseen`] says so, the driver may move that many of the bytes to come by itself and report them with
//!   [`Relay::passed_unseen`]: the rest of a frame that was decided at its header and whose payload nobody reads.
//! - A violation is an effect, not an error: a Close for both legs, then `Finish`. The driver holds no policy.
//! - Besides bytes the driver reports what happens to the streams ([`Relay::heard`], [`Relay::lost`],
//!   [`Relay::output`], [`Relay::hold`]) and calls [`Relay::tick`] when [`Relay::deadline`] has come. After any of
//!   these, and after [`Relay::follow`], it calls `step` for both sides, if need be with no bytes: what follows comes
//!   out there.
//! - After `Finish` the driver flushes what is queued, ends both streams and reports the outcome.

mod closing;
mod deadlines;
mod ending;
mod keepalive;
mod outcome;
mod rules;
mod tally;
mod walk;

pub use outcome::{By, Cause, Order, Outcome};
pub use rules::{Heartbeat, HeartbeatMode, Limited, RateAction, Rates, Rules, Timeouts};
pub use tally::{Meters, Tally};

use crate::frame::{Close, Control, Lane, Pair, Side};
use crate::meter::TokenBucket;
use crate::moment::Moment;
use closing::{Hearing, Saying, to_the_bereft};
use keepalive::Keepalive;
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
    meters: Arc<Meters>,
    /// This side answered a ping of ours just now.
    answered: Option<Side>,
    spent: Spent,
    opened: Moment,
    ages_at: Option<Moment>,
    last_data: Moment,
    client_spoke: bool,
    /// Since when the client's unfinished message is under way.
    message_since: Option<Moment>,
    closing: Option<Box<Closing>>,
    /// See [`Relay::is_at_ease`]. Whatever happens besides whole messages ends it.
    at_ease: bool,
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
}

impl Relay {
    /// What passes is counted in `meters`.
    pub fn new(rules: Arc<Rules>, opening: Opening, meters: Arc<Meters>) -> Relay {
        let Opening { deflate, seed, now } = opening;
        let leg = |side: Side| Leg {
            hearing: Hearing::Open,
            saying: Saying::Open,
            keepalive: Keepalive::new(seed, quiet_limit(&rules, side, seed), now),
            blocked_since: None,
            held_since: None,
        };
        let ages_at = ages_at(&rules, seed, now);
        Relay {
            lanes: Pair {
                client: Lane::new(Side::Client, deflate),
                backend: Lane::new(Side::Backend, deflate),
            },
            legs: Pair { client: leg(Side::Client), backend: leg(Side::Backend) },
            meters,
            answered: None,
            spent: Spent::default(),
            opened: now,
            ages_at,
            last_data: now,
            client_spoke: false,
            message_since: None,
            closing: None,
            at_ease: false,
            finished: false,
            ends_by: now,
            rules,
        }
    }

    /// The next effect, given the unread bytes that came from `from`.
    pub fn step(&mut self, from: Side, unread: &[u8], now: Moment) -> Effect {
        if self.at_ease {
            return self.walk(from, unread, now);
        }
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
        // With nothing closing, both peers may still speak and be spoken to.
        let goes_on = self.closing.is_none() && self.message_since.is_none();
        self.at_ease = goes_on && Side::BOTH.iter().all(|side| self.legs[*side].is_at_ease());
        match self.legs[from].hearing {
            Hearing::Open => self.walk(from, unread, now),
            _ if unread.is_empty() => Effect::Idle,
            _ => Effect::Discard { n: unread.len() },
        }
    }

    /// Nobody waits for anything: we have nothing to say, nothing that we said wants an answer, no message of the client's
    /// is cut off. While that lasts, deadlines only move away.
    pub fn is_at_ease(&self) -> bool {
        self.at_ease
    }

    /// Bytes came from `from`.
    pub fn heard(&mut self, from: Side, now: Moment) {
        self.legs[from].keepalive.heard(now);
    }

    /// The stream of `side` ended or broke. To be reported once all that was read of it was shown and let go, pauses
    /// included: what comes after the end is thrown away.
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
        if self.at_ease && !blocked {
            return;
        }
        self.at_ease = false;
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
        if self.at_ease && !held {
            return;
        }
        self.at_ease = false;
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

    /// Once the session is over: by when the driver has to be rid of both streams. What is left of the closing
    /// handshake's time, and in any case long enough for a Close that just went out.
    pub fn ends_by(&self, now: Moment) -> Moment {
        self.ends_by.max(now + LAST_WORDS)
    }

    /// Nothing more goes to `to`: what the other side still sends is thrown away, and need not wait for it.
    pub fn is_done_with(&self, to: Side) -> bool {
        self.legs[to].saying.is_over()
    }

    /// More of a data frame's payload is to come from `from`.
    pub fn is_inside_frame(&self, from: Side) -> bool {
        !self.lanes[from].is_between_frames()
    }

    /// What is still to come of the frame that `from` is in.
    pub fn left_of_frame(&self, from: Side) -> u64 {
        self.lanes[from].left_of_frame()
    }

    /// What `from` still sends is thrown away: it broke a rule, or the time to listen is over.
    pub fn is_deaf_to(&self, from: Side) -> bool {
        matches!(self.legs[from].hearing, Hearing::Deaf)
    }

    /// permessage-deflate was agreed.
    pub fn has_deflate(&self) -> bool {
        self.lanes.client.has_deflate()
    }

    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Who answered a ping of ours since this was asked last, and how long that took.
    pub fn take_answered(&mut self) -> Option<(Side, Duration)> {
        let side = self.answered.take()?;
        Some((side, self.meters.rtt()[side]?))
    }

    /// From now on the session follows other rules: the configuration was reloaded. What was decided stays decided; a
    /// message that is under way is measured by the new limits from its next frame on.
    pub fn follow(&mut self, rules: Arc<Rules>, now: Moment) {
        self.at_ease = false;
        for side in Side::BOTH {
            let keepalive = &mut self.legs[side].keepalive;
            keepalive.ask_after(quiet_limit(&rules, side, keepalive.seed()));
        }
        let seed = self.legs.client.keepalive.seed();
        // Those that are too old already go within the jitter of an age, and not all at once.
        let soonest = now + too_old_for(&rules, seed);
        self.ages_at = ages_at(&rules, seed, self.opened).map(|at| at.max(soonest));
        // A bucket keeps time, not tokens: what was spent at one rate would take as long to pay at another, faster one.
        let (before, after) = (&self.rules.rates, &rules.rates);
        for (bucket, before, after) in [
            (&mut self.spent.messages, before.messages, after.messages),
            (&mut self.spent.bytes, before.bytes, after.bytes),
            (&mut self.spent.control, before.control, after.control),
        ] {
            if before.map(|limited| limited.rate) != after.map(|limited| limited.rate) {
                *bucket = TokenBucket::default();
            }
        }
        self.rules = rules;
    }
}

impl Leg {
    fn close_with(&mut self, close: Close) {
        self.saying.close_with(close);
    }

    fn is_at_ease(&self) -> bool {
        self.blocked_since.is_none() && self.held_since.is_none() && self.keepalive.is_at_ease()
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

/// How long a leg may be quiet before we ask. Sessions are spread by `seed`, and the two legs of one are not: asked
/// together, they cost one wake.
fn quiet_limit(rules: &Rules, side: Side, seed: u64) -> Option<Duration> {
    rules.heartbeat.ping_interval[side].map(|interval| jittered(interval, 0.1, seed))
}

fn ages_at(rules: &Rules, seed: u64, opened: Moment) -> Option<Moment> {
    let age = rules.timeouts.max_connection_age?;
    Some(opened + jittered(age, rules.timeouts.max_connection_age_jitter, seed.rotate_left(32)))
}

/// How long a session goes on that is older than a new rule lets it be.
fn too_old_for(rules: &Rules, seed: u64) -> Duration {
    let Some(age) = rules.timeouts.max_connection_age else { return Duration::ZERO };
    age.mul_f64(rules.timeouts.max_connection_age_jitter * unit(seed.rotate_left(32)))
}

/// 0 to 1, as `seed` has it.
fn unit(seed: u64) -> f64 {
    f64::from((seed >> 32) as u32) / f64::from(u32::MAX)
}

/// `span`, longer or shorter by at most `part` of it, as `seed` has it.
fn jittered(span: Duration, part: f64, seed: u64) -> Duration {
    span.mul_f64((1.0 + part * (2.0 * unit(seed) - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests;

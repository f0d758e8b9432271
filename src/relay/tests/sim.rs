//! A driver in virtual time: it owns the two outputs, performs effects exactly as the relay's contract says, and holds
//! the relay to its own half of it.

use super::super::*;
use super::Step;
use super::decoder::{Decoder, Got};
use super::frames::{OUR_KEY, SEED};
use std::time::Duration;

/// The longest leftover that is no whole control frame.
const LEFTOVER: usize = 130;

pub struct Sim {
    pub relay: Relay,
    pub meters: Arc<Meters>,
    pub now: Moment,
    pub legs: Pair<Wire>,
    /// How many bytes one read gives at most.
    pub chunk: usize,
    /// What need not be shown is not: it goes straight to the other leg.
    pub passes_unseen: bool,
    /// The output above which the other leg is not read.
    pub mark: usize,
    /// The relay's when it was at ease last, by the rules of now.
    deadline_at_ease: Option<Moment>,
    outcome: Option<Outcome>,
    finishes: usize,
}

/// One leg as its driver sees it.
pub struct Wire {
    /// Sent by the peer, not read by us.
    pub inbox: Vec<u8>,
    /// How the stream ends behind the inbox.
    pub ends: Option<Lost>,
    /// Read, and not disposed of.
    unread: Vec<u8>,
    /// On its way to the peer, in our memory.
    pub queued: Vec<u8>,
    /// How much the peer's side takes before a write blocks. `usize::MAX` never does.
    pub room: usize,
    /// What reached the peer.
    pub got: Decoder,
    /// Nothing reaches the peer any more, and the relay knows.
    broken: bool,
    held: bool,
    paused: Option<Moment>,
}

impl Sim {
    pub fn new(rules: Rules, deflate: bool) -> Sim {
        Sim::with_seed(rules, deflate, SEED)
    }

    pub fn with_seed(rules: Rules, deflate: bool, seed: u64) -> Sim {
        let now = Moment::from_millis(1_000_000);
        let meters = Arc::<Meters>::default();
        let wire = |to: Side| Wire {
            inbox: Vec::new(),
            ends: None,
            unread: Vec::new(),
            queued: Vec::new(),
            room: usize::MAX,
            got: Decoder::new(to == Side::Backend, deflate),
            broken: false,
            held: false,
            paused: None,
        };
        Sim {
            relay: Relay::new(Arc::new(rules), Opening { deflate, seed, now }, meters.clone()),
            meters,
            now,
            legs: Pair { client: wire(Side::Client), backend: wire(Side::Backend) },
            chunk: usize::MAX,
            passes_unseen: false,
            mark: 0,
            deadline_at_ease: None,
            outcome: None,
            finishes: 0,
        }
    }

    pub fn play(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Says(from, bytes) => self.legs[*from].inbox.extend(bytes.on_the_wire_from(*from)),
                Step::Ends(side) => self.legs[*side].ends = Some(Lost::Ended),
                Step::Breaks(side) => {
                    self.legs[*side].inbox.clear();
                    self.legs[*side].ends = Some(Lost::Broke);
                }
                Step::Blocks(side) => self.legs[*side].room = 0,
                Step::Takes(side, n) => self.legs[*side].room += n,
                Step::Reads(side) => self.legs[*side].room = usize::MAX,
                Step::Wait(millis) => self.advance(Duration::from_millis(*millis)),
                Step::Ordered(order, code) => self.relay.end(*order, *code, self.now),
                Step::Follows(rules) => {
                    self.relay.follow(Arc::new(Rules::clone(rules)), self.now);
                    assert!(!self.relay.is_at_ease(), "other rules, other deadlines");
                    self.deadline_at_ease = None;
                    // A pause was the old rates' word.
                    self.legs.client.paused = None;
                }
            }
            self.turn();
        }
    }

    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Everything that reached the peer.
    pub fn got(&self, side: Side) -> &[u8] {
        &self.legs[side].got.bytes
    }

    pub fn frames(&self, side: Side) -> &[Got] {
        &self.legs[side].got.frames
    }

    /// What the relay was shown and left.
    pub fn leftover(&self, from: Side) -> usize {
        self.legs[from].unread.len()
    }

    /// Reads, steps and writes until nothing moves any more.
    pub fn turn(&mut self) {
        let mut moves = true;
        while moves {
            moves = false;
            for side in Side::BOTH {
                for from in Side::BOTH {
                    moves |= self.step(from);
                }
                moves |= self.read(side);
            }
            for side in Side::BOTH {
                moves |= self.write(side);
            }
            for side in Side::BOTH {
                self.hold(side);
            }
        }
    }

    /// Lets time pass, ticking whenever the relay asked for it.
    pub fn advance(&mut self, span: Duration) {
        let target = self.now + span;
        for _ in 0..100_000 {
            let pauses = Side::BOTH.map(|side| self.legs[side].paused);
            let next = pauses.into_iter().chain([self.relay.deadline()]).flatten().min();
            let Some(next) = next.filter(|next| *next <= target) else {
                self.now = target;
                return;
            };
            self.now = self.now.max(next);
            for side in Side::BOTH {
                self.legs[side].paused = self.legs[side].paused.filter(|until| *until > self.now);
                self.hold(side);
            }
            if self.relay.deadline().is_some_and(|deadline| deadline <= self.now) {
                self.relay.tick(self.now);
                self.turn();
                let deadline = self.relay.deadline();
                assert!(deadline.is_none_or(|deadline| deadline > self.now), "a tick that settles nothing");
            } else {
                self.turn();
            }
        }
        panic!("time does not pass: the relay asks for one tick after the other");
    }

    fn read(&mut self, side: Side) -> bool {
        let leg = &mut self.legs[side];
        if leg.ends == Some(Lost::Broke) {
            leg.inbox.clear();
            leg.broken = true;
        } else if leg.held || leg.paused.is_some() {
            return false;
        }
        let n = leg.inbox.len().min(self.chunk);
        let unseen = usize::try_from(self.relay.unseen(side)).unwrap_or(usize::MAX).min(n);
        if self.passes_unseen && unseen > 0 && leg.unread.is_empty() && !self.legs[!side].broken {
            let moved = self.legs[side].inbox.drain(..unseen).collect::<Vec<u8>>();
            self.legs[!side].queued.extend(moved);
            self.relay.heard(side, self.now);
            self.relay.passed_unseen(side, unseen as u64, self.now);
            return true;
        }
        let leg = &mut self.legs[side];
        if n > 0 {
            leg.unread.extend(leg.inbox.drain(..n));
            self.relay.heard(side, self.now);
            return true;
        }
        match leg.ends.take() {
            None => false,
            Some(how) => {
                self.relay.lost(side, how, self.now);
                true
            }
        }
    }

    /// Steps until `Idle` and holds the relay to its contract.
    fn step(&mut self, from: Side) -> bool {
        if self.legs[from].paused.is_some() {
            return false;
        }
        let most = self.legs[from].unread.len() + 16;
        for effects in 0..most {
            let effect = self.relay.step(from, &self.legs[from].unread, self.now);
            assert!(self.outcome.is_none() || effect == Effect::Idle, "{effect:?} after Finish");
            match effect {
                Effect::Idle => {
                    self.watch_ease();
                    let leftover = self.legs[from].unread.len();
                    assert!(
                        self.outcome.is_some() || leftover <= LEFTOVER,
                        "idle with {leftover} bytes left"
                    );
                    return effects > 0;
                }
                Effect::Forward { n } => {
                    assert!(!self.legs[!from].broken, "a Forward to a broken leg");
                    let moved = self.dispose(from, n);
                    self.legs[!from].queued.extend(moved);
                }
                Effect::Discard { n } => {
                    self.dispose(from, n);
                }
                Effect::Send { to, frame } => {
                    assert!(!self.legs[to].broken, "{frame:?} to a broken leg");
                    let key = (to == Side::Backend).then_some(OUR_KEY);
                    frame.encode(key, &mut self.legs[to].queued);
                }
                Effect::Pause { from: paused, until } => {
                    assert_eq!(paused, from, "a pause of the side that was not stepped");
                    assert!(until > self.now, "a pause that is over");
                    self.legs[from].paused = Some(until);
                    self.hold(from);
                    return true;
                }
                Effect::Finish(outcome) => {
                    self.finishes += 1;
                    assert_eq!(self.finishes, 1, "Finish is said once");
                    assert_eq!(self.relay.deadline(), None, "a deadline after Finish");
                    self.outcome = Some(outcome);
                }
            }
        }
        panic!("more than {most} effects and no Idle");
    }

    /// While the relay is at ease, its deadlines only move away, whatever happened in between: a driver that has one of
    /// them set need not ask again.
    fn watch_ease(&mut self) {
        if !self.relay.is_at_ease() {
            return;
        }
        let never = Moment::from_nanos(u64::MAX);
        let deadline = self.relay.deadline().unwrap_or(never);
        let before = self.deadline_at_ease.replace(deadline);
        assert!(before.is_none_or(|before| before <= deadline), "{before:?}, then {deadline:?}");
    }

    fn dispose(&mut self, from: Side, n: usize) -> Vec<u8> {
        let unread = &mut self.legs[from].unread;
        assert!(n > 0 && n <= unread.len(), "an effect on {n} of {} bytes", unread.len());
        unread.drain(..n).collect()
    }

    fn write(&mut self, to: Side) -> bool {
        let leg = &mut self.legs[to];
        if leg.queued.is_empty() {
            return false;
        }
        let n = if leg.broken { leg.queued.len() } else { leg.queued.len().min(leg.room) };
        let written: Vec<u8> = leg.queued.drain(..n).collect();
        if leg.room != usize::MAX {
            leg.room = leg.room.saturating_sub(n);
        }
        if !leg.broken {
            leg.got.feed(&written);
        }
        let blocked = !leg.queued.is_empty();
        self.relay.output(to, blocked, n > 0, self.now);
        n > 0
    }

    fn hold(&mut self, from: Side) {
        let held = self.legs[!from].queued.len() > self.mark || self.legs[from].paused.is_some();
        if held != self.legs[from].held {
            self.legs[from].held = held;
            self.relay.hold(from, held, self.now);
        }
    }
}

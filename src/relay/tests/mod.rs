//! The relay's rules as bytes in and bytes out, in virtual time: no socket, no sleep.
//!
//! A scenario is a list of [`Step`]s; [`check`] plays it and compares what each peer got and how the session ended. The
//! [`Sim`] beneath is a driver that keeps the relay's contract to the letter and trusts it in nothing: every byte that
//! reaches a peer also passes the strict [`Decoder`], which shares no code with the relay.

mod closing;
mod cuts;
mod decoder;
mod follow;
mod frames;
mod garbage;
mod limits;
mod pings;
mod schedules;
mod sim;
mod timeouts;
mod violations;

use super::*;
use frames::{Bytes, beat, binary, close, continuation, empty_close, frame, ping, pong, raw, text};
use sim::Sim;
use std::time::Duration;

use Side::{Backend, Client};

/// What happens in a scenario, in order.
#[derive(Clone, Debug)]
enum Step {
    /// These bytes of the peer arrive.
    Says(Side, Bytes),
    /// The peer's stream ends behind what it said.
    Ends(Side),
    /// The peer's stream breaks; what it said and we had not read is lost.
    Breaks(Side),
    /// The peer stops reading.
    Blocks(Side),
    /// The peer, though it does not read on, takes so many bytes more.
    Takes(Side, usize),
    /// The peer reads on.
    Reads(Side),
    /// So many milliseconds pass.
    Wait(u64),
    /// The session is ended from outside.
    Ordered(Order, u16),
    /// The configuration is reloaded.
    Follows(Box<Rules>),
}

use Step::{Blocks, Breaks, Ends, Follows, Ordered, Reads, Says, Takes, Wait};

/// How the session ended, if it did: who, the cause word, the code and the reason.
type End = Option<(By, &'static str, Option<u16>, &'static str)>;

const GOES_ON: End = None;

const fn ended(by: By, word: &'static str, code: u16, reason: &'static str) -> End {
    Some((by, word, Some(code), reason))
}

/// Plays `steps` and compares the bytes each peer got, and the end.
#[track_caller]
fn check(rules: Rules, steps: &[Step], gets: Pair<Vec<Bytes>>, end: End) {
    check_deflate(false, rules, steps, gets, end);
}

#[track_caller]
fn check_deflate(deflate: bool, rules: Rules, steps: &[Step], gets: Pair<Vec<Bytes>>, end: End) {
    let mut sim = Sim::new(rules, deflate);
    sim.play(steps);
    for side in Side::BOTH {
        let expected: Vec<u8> = gets[side].iter().flat_map(|bytes| bytes.on_the_wire_to(side)).collect();
        let got = sim.got(side);
        assert!(
            got == expected,
            "the {} got\n  {got:02x?}\n  {:?}\ninstead of\n  {expected:02x?}\nin {steps:?}",
            side.word(),
            sim.frames(side)
        );
    }
    let got = sim.outcome().map(|outcome| {
        (outcome.by, outcome.cause.word(), outcome.close.code, String::from(outcome.close.reason.clone()))
    });
    let expected = end.map(|(by, word, code, reason)| (by, word, code, reason.to_owned()));
    assert_eq!(got, expected, "the outcome of {steps:?}");
}

/// What each side gets: `own` for `side`, `other` for the other one.
fn gets(side: Side, own: Vec<Bytes>, other: Vec<Bytes>) -> Pair<Vec<Bytes>> {
    match side {
        Client => Pair { client: own, backend: other },
        Backend => Pair { client: other, backend: own },
    }
}

/// What a peer hears when the other one broke a rule.
fn to_innocent(side: Side, word: &str) -> Bytes {
    close(if side == Client { 1011 } else { 1001 }, word).ours()
}

/// What a peer hears when the other one is gone.
fn to_bereft(side: Side, word: &str) -> Bytes {
    close(if side == Client { 1012 } else { 1001 }, word).ours()
}

/// No heartbeat and no deadline but that of the closing handshake: only the frames speak.
fn still() -> Rules {
    let mut rules = Rules::default();
    rules.heartbeat.ping_interval = Pair { client: None, backend: None };
    rules.timeouts = Timeouts { idle: None, message: None, write: None, close: secs(5), ..rules.timeouts };
    rules
}

fn forwarding() -> Rules {
    let mut rules = still();
    rules.heartbeat.mode = HeartbeatMode::Forward;
    rules
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

//! What the pure core costs: the header walk, the relay's step, the UTF-8 check. Each scenario walks a corpus that was
//! made once; no socket, no clock inside.
//!
//! ```text
//! cargo bench --bench lane [-- PART_OF_A_NAME...]      time: nanoseconds a frame, bytes a second
//! lane --once NAME                                     fixed work, for benches/instructions to count
//! lane --list                                          the names, each with its number of frames in fixed work
//! ```

#![allow(clippy::unwrap_used)] // a bench that cannot go on has nothing better to do than to say where

use framegate::frame::{Lane, LaneRules, Piece, Side, Utf8Stream, apply_mask};
use framegate::moment::Moment;
use framegate::relay::{Effect, Opening, Relay, Rules};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a driver reads at once where there is much to read, and what a network hands it.
const READ: usize = 64 * 1024;
const SEGMENT: usize = 1460;

/// Passes over the corpus that make up the fixed work.
const FIXED_PASSES: u32 = 16;

/// A mask key, one for all: what it is changes nothing, and a corpus must be the same each time.
const KEY: [u8; 4] = [0x9E, 0x37, 0x79, 0xB9];

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;

struct Scenario {
    name: String,
    /// In one pass: frames, or blocks of text.
    frames: u64,
    bytes: u64,
    /// One pass. What it returns depends on all its work, so that none of it can be left out.
    pass: Box<dyn FnMut() -> u64>,
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for size in [0, 16, 64, 125, 1024] {
        all.push(lane(&format!("lane, {size} B frames"), size, READ));
    }
    all.push(lane("lane, 64 B frames, 1460 B reads", 64, SEGMENT));
    for (from, opcode, size) in [
        (Side::Client, BINARY, 64),
        (Side::Client, TEXT, 64),
        (Side::Backend, TEXT, 64),
        (Side::Client, TEXT, 1024),
        (Side::Backend, TEXT, 1024),
    ] {
        let kind = if opcode == TEXT { "text" } else { "binary" };
        all.push(relay(&format!("relay, {size} B {kind} of the {}", from.word()), from, opcode, size, READ));
    }
    all.push(relay("relay, 64 B text of the client, 1460 B reads", Side::Client, TEXT, 64, SEGMENT));
    all.push(relay("relay, 1 MiB binary of the client", Side::Client, BINARY, 1 << 20, READ));
    all.push(ping_pong());
    all.push(pings());
    for (name, sample) in [
        ("ASCII", "{\"type\":\"update\",\"id\":1048576,\"bid\":101.25} "),
        ("Latin", "Der Zug fährt über die Brücke, très bien, señor. "),
        ("CJK", "数据帧按顺序转发,不做任何更改。"),
        ("emoji", "status 👍 done 🎉 next 🚀 "),
    ] {
        all.push(utf8(&format!("utf8, {name}"), sample, None));
        all.push(utf8(&format!("utf8, {name}, masked"), sample, Some(KEY)));
    }
    all
}

// ---- the corpus -------------------------------------------------------------------------------------------------

/// About a read's worth of whole frames, and how many they are.
fn corpus(from: Side, opcode: u8, size: usize) -> (Vec<u8>, u64) {
    let payload = text("{\"type\":\"update\",\"id\":1048576} ", size);
    let one = frame(from, opcode, &payload);
    let count = (READ / one.len()).max(1);
    (one.repeat(count), count as u64)
}

/// At most `size` bytes, not cut inside a character.
fn text(sample: &str, size: usize) -> Vec<u8> {
    let mut text = sample.repeat(size.div_ceil(sample.len()));
    text.truncate(text.floor_char_boundary(size));
    text.into_bytes()
}

fn frame(from: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ ..126 => bytes.push(len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if from == Side::Client {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&KEY);
        apply_mask(&mut payload, KEY, 0);
    }
    bytes.extend_from_slice(&payload);
    bytes
}

// ---- the scenarios ----------------------------------------------------------------------------------------------

/// The header walk by itself.
fn lane(name: &str, size: usize, read: usize) -> Scenario {
    let (corpus, frames) = corpus(Side::Client, BINARY, size);
    let bytes = corpus.len() as u64;
    let rules = Rules::default().limits.client;
    let mut lane = Lane::new(Side::Client, false);
    let pass = move || walk(&mut lane, &rules, black_box(&corpus), read);
    Scenario { name: name.into(), frames, bytes, pass: Box::new(pass) }
}

fn walk(lane: &mut Lane, rules: &LaneRules, corpus: &[u8], read: usize) -> u64 {
    let (mut used, mut shown, mut payloads) = (0, 0, 0);
    while shown < corpus.len() {
        shown = (shown + read).min(corpus.len());
        while let Piece::Data { n, payload, .. } = lane.next(&corpus[used..shown], rules).unwrap() {
            used += n;
            payloads += payload as u64;
        }
    }
    payloads
}

/// A relay with the default policy, and a clock that ticks a little at every read: no heartbeat falls due.
struct Driven {
    relay: Relay,
    now: Moment,
}

impl Driven {
    fn new() -> Driven {
        let now = Moment::default();
        let opening = Opening { deflate: false, seed: 7, now };
        let relay = Relay::new(Arc::new(Rules::default()), opening, Arc::default());
        Driven { relay, now }
    }

    /// What the driver does with what it read: steps until the relay is idle. Returns the bytes forwarded or answered.
    fn drive(&mut self, from: Side, corpus: &[u8], read: usize, tick: Duration) -> u64 {
        let (mut used, mut shown, mut moved) = (0, 0, 0);
        while shown < corpus.len() {
            shown = (shown + read).min(corpus.len());
            self.now = self.now + tick;
            self.relay.heard(from, self.now);
            loop {
                match self.relay.step(from, &corpus[used..shown], self.now) {
                    Effect::Idle => break,
                    Effect::Forward { n } => {
                        used += n;
                        moved += n as u64;
                    }
                    Effect::Discard { n } => used += n,
                    Effect::Send { frame, .. } => moved += frame.payload().len() as u64,
                    other => panic!("the corpus breaks a rule: {other:?}"),
                }
            }
        }
        moved
    }
}

const A_MICROSECOND: Duration = Duration::from_micros(1);

/// One direction under load.
fn relay(name: &str, from: Side, opcode: u8, size: usize, read: usize) -> Scenario {
    let (corpus, frames) = corpus(from, opcode, size);
    let bytes = corpus.len() as u64;
    let mut driven = Driven::new();
    let pass = move || driven.drive(from, black_box(&corpus), read, A_MICROSECOND);
    Scenario { name: name.into(), frames, bytes, pass: Box::new(pass) }
}

/// One message a read, there and back, and the look at the deadline that ends each turn of the driver.
fn ping_pong() -> Scenario {
    const TRIPS: u64 = 500;
    let there = corpus(Side::Client, TEXT, 64).0;
    let there = there[..there.len() / (READ / (64 + 6))].to_vec();
    let back = frame(Side::Backend, TEXT, &text("{\"type\":\"update\",\"id\":1048576} ", 64));
    let bytes = TRIPS * (there.len() + back.len()) as u64;
    let mut driven = Driven::new();
    let pass = move || {
        let mut moved = 0;
        for _ in 0..TRIPS {
            for (from, bytes) in [(Side::Client, &there), (Side::Backend, &back)] {
                moved += driven.drive(from, black_box(bytes), READ, A_MICROSECOND);
                moved += u64::from(black_box(driven.relay.deadline()).is_some());
            }
        }
        moved
    };
    Scenario { name: "relay, 64 B ping-pong".into(), frames: 2 * TRIPS, bytes, pass: Box::new(pass) }
}

/// Pings that the relay answers, seldom enough for the rate that a client has.
fn pings() -> Scenario {
    const PINGS: u64 = 200;
    let ping = frame(Side::Client, PING, b"are you there");
    let bytes = PINGS * ping.len() as u64;
    let mut driven = Driven::new();
    let pass = move || {
        let tick = Duration::from_millis(200);
        (0..PINGS).map(|_| driven.drive(Side::Client, black_box(&ping), READ, tick)).sum()
    };
    Scenario { name: "relay, pings answered".into(), frames: PINGS, bytes, pass: Box::new(pass) }
}

fn utf8(name: &str, sample: &str, key: Option<[u8; 4]>) -> Scenario {
    let mut corpus = text(sample, READ);
    if let Some(key) = key {
        apply_mask(&mut corpus, key, 0);
    }
    let bytes = corpus.len() as u64;
    let pass = move || {
        let after = Utf8Stream::new().after(black_box(&corpus), key, 0).unwrap();
        u64::from(after.is_complete())
    };
    Scenario { name: name.into(), frames: 1, bytes, pass: Box::new(pass) }
}

// ---- measuring --------------------------------------------------------------------------------------------------

/// The one function whose instructions are counted; a call that is not inlined is how the counter finds it. No closure
/// in it: its name would contain this one, and entering it would switch the counter off again.
#[inline(never)]
fn counted_work(scenario: &mut Scenario) -> u64 {
    let mut sum = 0u64;
    for _ in 0..FIXED_PASSES {
        sum = sum.wrapping_add((scenario.pass)());
    }
    sum
}

fn time(scenario: &mut Scenario) {
    const SAMPLES: usize = 25;
    const SAMPLE: Duration = Duration::from_millis(4);
    let mut passes = 0u32;
    let warm = Instant::now();
    while warm.elapsed() < SAMPLE * 5 {
        black_box((scenario.pass)());
        passes += 1;
    }
    let passes = passes.div_ceil(5);
    let mut nanos: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..passes {
                black_box((scenario.pass)());
            }
            start.elapsed().as_nanos() as f64 / f64::from(passes)
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    let a_frame = |nanos: f64| nanos / scenario.frames as f64;
    println!(
        "{:48} {:9.1} ns ({:.1} to {:.1}) {:8.2} GB/s",
        scenario.name,
        a_frame(nanos[SAMPLES / 2]),
        a_frame(nanos[0]),
        a_frame(nanos[SAMPLES - 1]),
        scenario.bytes as f64 / nanos[SAMPLES / 2]
    );
}

fn main() {
    // cargo bench adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut all = scenarios();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            for scenario in &all {
                println!("{}\t{}", scenario.name, scenario.frames * u64::from(FIXED_PASSES));
            }
        }
        ["--once", name] => {
            let scenario = all.iter_mut().find(|scenario| scenario.name == name);
            black_box(counted_work(scenario.expect("a name from --list")));
        }
        ref parts => {
            println!("{:48} {:>9} a frame, or a block of 64 KiB of text", "", "");
            let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
            all.iter_mut().filter(|scenario| wanted(&scenario.name)).for_each(time);
        }
    }
}

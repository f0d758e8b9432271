//! Whatever bytes come, the relay refuses or waits; what it lets through is well-formed (the [`Decoder`] of each output
//! sees to that) and the session ends in time.

use super::*;

const SEEDS: u64 = 1500;

/// Noise, legal frames, and legal frames with a byte of noise in them.
fn noise(rng: &mut fastrand::Rng, from: Side) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..6) {
        let kind = rng.u8(0..4);
        let payload: Vec<u8> = (0..rng.usize(0..140)).map(|_| rng.u8(32..127)).collect();
        let first = *rng.choice(&[0x81, 0x82, 0x01, 0x80, 0x89, 0x8A, 0xC1, 0x88]).expect("not empty");
        match kind {
            0 => bytes.extend((0..rng.usize(1..40)).map(|_| rng.u8(..))),
            1 => bytes.extend(frame(first, &payload).on_the_wire_from(from)),
            _ => {
                let mut legal = frame(first, &payload).on_the_wire_from(from);
                let at = rng.usize(..legal.len().min(if kind == 2 { 6 } else { usize::MAX }));
                legal[at] = rng.u8(..);
                bytes.extend(legal);
            }
        }
    }
    bytes
}

#[test]
fn garbage_from_either_side_is_refused_or_waited_for_and_the_session_ends_in_time() {
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut rules = if rng.bool() { Rules::default() } else { forwarding() };
        rules.timeouts.idle = Some(secs(300));
        rules.timeouts.message = Some(secs(60));
        let mut sim = Sim::new(rules, rng.bool());
        for _ in 0..rng.usize(1..8) {
            let from = if rng.bool() { Client } else { Backend };
            let bytes = noise(&mut rng, from);
            sim.chunk = if rng.bool() { usize::MAX } else { rng.usize(1..9) };
            sim.play(&[Says(from, raw(&bytes)), Wait(rng.u64(0..2_000))]);
        }
        sim.advance(secs(1_000));
        let outcome = sim.outcome().unwrap_or_else(|| panic!("seed {seed}: the session does not end"));
        let expected = ["protocol", "utf8", "closed", "timeout.pong", "timeout.idle", "timeout.message"];
        let word = outcome.cause.word();
        assert!(expected.contains(&word) || word.starts_with("limit."), "seed {seed}: {word}");
    }
}

#[test]
fn noise_without_any_sense_is_a_violation_of_the_side_that_made_it() {
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let from = if rng.bool() { Client } else { Backend };
        let mut sim = Sim::new(still(), false);
        // The fourth byte on, at the latest, is one that no header can have: RSV3 with a reserved opcode.
        let sense: Vec<u8> = (0..rng.usize(0..3)).map(|_| rng.u8(..)).collect();
        sim.play(&[Says(from, raw(&sense)), Says(from, raw(&[0xFF; 70_000])), Wait(20_000)]);
        let outcome = sim.outcome();
        let refused = outcome.is_some_and(|outcome| {
            matches!(outcome.cause, Cause::Violation(_)) && outcome.about == Some(from)
        });
        // Or it is the payload of a frame so long that it is not over yet, or it was a Close.
        assert!(
            refused || outcome.is_none() || outcome.is_some_and(|outcome| outcome.cause == Cause::Closed)
        );
        assert!(sim.leftover(from) <= 130);
    }
}

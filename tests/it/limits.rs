//! What a route lets a client send: sizes, counts and rates.

use crate::support::*;
use std::time::{Duration, Instant};

/// `from` sends `good`, which passes, and `bad`, which ends the session.
fn check(bench: &Bench, from: Peer, good: &[u8], bad: &[u8], (code, rule, cause): (u16, &str, &str)) {
    let mut ends = bench.open();
    let (offender, innocent) = ends.of(from);
    offender.send([good, bad].concat());
    innocent.expect(good);
    let innocent_code = if from == Peer::Client { 1001 } else { 1011 };
    assert_eq!(ends.hears(from, code), rule);
    assert_eq!(ends.hears(from.other(), innocent_code), cause);
    ends.closes(from.other(), innocent_code, "");
    ends.both_end();
    let line = bench.expect_gateway_ended(from.word(), cause);
    assert_eq!(told(&line), (code.into(), rule, rule));
}

/// The same on both sides, each under its own `limits`.
fn check_both(limits: &str, good: &[(u8, &[u8])], bad: (u8, &[u8]), expected: (u16, &str, &str)) {
    for from in Peer::BOTH {
        let bench = Bench::new(&format!("limits = {{ {} = {{ {limits} }} }}", from.word()));
        let good: Vec<_> = good.iter().map(|(first, payload)| from.frame(*first, payload)).collect();
        // Only the header: nobody waits for a payload that is refused.
        let bad = from.frame(bad.0, bad.1);
        let header = bad.len().min(8);
        check(&bench, from, &good.concat(), &bad[..header], expected);
    }
}

#[test]
fn sizes() {
    let (ten, eleven) = (&[b'x'; 10][..], &[b'x'; 11][..]);
    check_both(
        "max_frame_size = \"10B\"",
        &[(0x82, ten)],
        (0x82, eleven),
        (1009, "max_frame_size", "limit.frame"),
    );
    check_both(
        "max_message_size = \"10B\"",
        &[(0x82, ten), (0x01, &ten[..6]), (0x00, &ten[..4])],
        (0x80, b"x"),
        (1009, "max_message_size", "limit.message"),
    );
}

#[test]
fn fragments() {
    check_both(
        "max_fragments = 3",
        &[(0x01, b"a"), (0x00, b""), (0x80, b"c"), (0x82, b"d"), (0x02, b""), (0x00, b""), (0x00, b"")],
        (0x80, b""),
        (1008, "max_fragments", "limit.fragments"),
    );
}

#[test]
fn kinds_of_message() {
    check_both(
        "opcodes = [\"text\"]",
        &[(0x81, b"a")],
        (0x82, b"b"),
        (1003, "opcode not allowed", "limit.opcode"),
    );
    check_both(
        "opcodes = [\"binary\"]",
        &[(0x02, b"a"), (0x80, b"b")],
        (0x01, b"b"),
        (1003, "opcode not allowed", "limit.opcode"),
    );
}

/// A length is only a number: nothing is allocated by it, and no sum of lengths wraps.
#[test]
fn declared_lengths_cost_nothing() {
    let bench = Bench::new("");
    let huge = [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
    let too_big = (1009, "max_message_size", "limit.message");
    check(&bench, Peer::Client, b"", &huge, too_big);
    let mut more = huge;
    more[0] = 0x80;
    check(&bench, Peer::Client, &client_frame(0x02, b"12345678"), &more, too_big);
    // Where there is no limit it is the start of a long frame.
    let bench = Bench::new("limits = { client = { max_message_size = \"none\" } }");
    let mut ends = bench.open();
    let before = bench.gateway.resident();
    ends.client.send([&huge[..], b"the beginning"].concat());
    ends.server.expect([&huge[..], b"the beginning"].concat());
    assert!(bench.gateway.resident() < before + (512 << 10));
}

/// On by default: ten a second, fifty at once.
#[test]
fn control_frames_have_a_rate() {
    let bench = Bench::new("");
    for first in [0x89, 0x8A] {
        let mut ends = bench.open();
        ends.client.send(client_frame(first, b"").repeat(200));
        let mut pongs = 0;
        let close = loop {
            match ends.client.frame() {
                (0x8A, _) => pongs += 1,
                (first, payload) => break (first, payload),
            }
        };
        assert_eq!(close, (0x88, close_payload(1008, "control frame rate")));
        assert!(if first == 0x89 { (50..200).contains(&pongs) } else { pongs == 0 }, "{pongs}");
        assert_eq!(ends.hears(Peer::Server, 1001), "rate.control");
        ends.closes(Peer::Server, 1001, "");
        ends.both_end();
        let line = bench.expect_gateway_ended("client", "rate.control");
        assert_eq!(told(&line), (1008, "control frame rate", "control frame rate"));
    }
    // A backend is trusted with its own.
    let mut ends = bench.open();
    ends.server.send(server_frame(0x89, b"").repeat(200));
    ends.exchange_past_pongs("on");
}

#[test]
fn rates_that_close() {
    let close = "per_second = 1, burst = 3, action = \"close\"";
    let bench = Bench::new(&format!("rate = {{ messages = {{ {close} }} }}"));
    let three = [text("one"), client_frame(0x01, b"t"), client_frame(0x80, b"wo"), text("three")].concat();
    check(&bench, Peer::Client, &three, &text("four"), (1008, "message rate", "rate.messages"));
    let bench =
        Bench::new("rate = { bytes = { per_second = \"1B\", burst = \"100B\", action = \"close\" } }");
    let good = client_frame(0x82, &[0; 100]);
    check(&bench, Peer::Client, &good, &text("more"), (1008, "byte rate", "rate.bytes"));
}

/// Late, in order, all of it; and pings meanwhile are answered from this side of the queue.
#[test]
fn rates_that_delay() {
    for rate in
        ["messages = { per_second = 20, burst = 2 }", "bytes = { per_second = \"2000B\", burst = \"200B\" }"]
    {
        let bench = Bench::new(&format!("rate = {{ {rate} }}"));
        let mut ends = bench.open();
        let since = Instant::now();
        let messages: Vec<_> = (0..12).map(|n| client_frame(0x82, &[n; 94])).collect();
        ends.client.send(messages.concat());
        ends.server.expect(messages.concat());
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(400) && took < SOON, "{rate}: {took:?}");
        // The backend has no rate.
        ends.server.send(server_frame(0x82, b"!").repeat(100));
        ends.client.expect(server_frame(0x82, b"!").repeat(100));
    }
}

//! The closing handshake: whose words reach whom, and what becomes of the streams.

use crate::support::*;
use std::io::Read;
use std::time::{Duration, Instant};

#[test]
fn a_close_and_its_echo_cross_verbatim() {
    let bench = Bench::new("");
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999];
    let mut payloads: Vec<_> = codes.map(|code| close_payload(code, "")).into();
    payloads.push(Vec::new());
    payloads.push(close_payload(1000, &"é".repeat(61)));
    for from in Peer::BOTH {
        for payload in &payloads {
            let mut ends = bench.open();
            let (closer, other) = ends.of(from);
            let close = from.frame(0x88, payload);
            closer.send(&close);
            other.expect(&close);
            // An echo need not repeat the words; it passes as it is.
            let echo = from.other().frame(0x88, &close_payload(4321, "as you like"));
            other.send(&echo);
            closer.expect(&echo);
            ends.both_end();
            let line = bench.gateway.expect_ended(from.word(), "closed");
            assert_eq!(line["about"], from.word());
            let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code).into());
            let reason = str::from_utf8(payload.get(2..).unwrap_or_default()).unwrap();
            assert_eq!(told(&line), (code, reason, ""));
        }
    }
}

#[test]
fn nothing_after_a_close_is_delivered() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        let close = from.frame(0x88, &close_payload(1000, ""));
        let (closer, other) = ends.of(from);
        closer.send([&close[..], &from.frame(0x81, b"too late"), b"\xFF\xFF garbage"].concat());
        other.expect(&close);
        other.send(from.other().frame(0x88, &close_payload(1000, "")));
        closer.expect(from.other().frame(0x88, &close_payload(1000, "")));
        ends.both_end();
        let line = bench.gateway.expect_ended(from.word(), "closed");
        assert_eq!(counted(&line, &format!("{}_text", from.word())), (0, 0));
    }
}

#[test]
fn both_close_at_once() {
    let bench = Bench::new("");
    let mut ends = bench.open();
    ends.closes(Peer::Client, 4001, "mine");
    ends.closes(Peer::Server, 4002, "yours");
    assert_eq!(ends.hears(Peer::Server, 4001), "mine");
    assert_eq!(ends.hears(Peer::Client, 4002), "yours");
    ends.both_end();
    let line = bench.gateway.ended();
    assert_eq!(line["cause"], "closed", "{line:#}");
}

/// A peer may end its half of the stream behind its Close: it still reads, and gets its answer.
#[test]
fn a_close_with_a_fin_behind_it_is_answered() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        ends.closes(from, 4000, "over");
        ends.of(from).0.finish();
        assert_eq!(ends.hears(from.other(), 4000), "over");
        let data = from.other().frame(0x81, b"still to say");
        ends.of(from.other()).0.send(&data);
        ends.of(from).0.expect(&data);
        ends.closes(from.other(), 4000, "over");
        assert_eq!(ends.hears(from, 4000), "over");
        ends.both_end();
        bench.gateway.expect_ended(from.word(), "closed");
    }
}

/// Whoever waits for an echo hears its own words in the end, and both streams end.
#[test]
fn a_close_that_is_never_answered() {
    let bench = Bench::new("timeouts = { close = \"300ms\" }");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        let since = Instant::now();
        ends.closes(from, 4000, "bye");
        assert_eq!(ends.hears(from.other(), 4000), "bye");
        assert_eq!(ends.hears(from, 4000), "bye");
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
        ends.both_end();
        let line = bench.gateway.expect_ended(from.word(), "closed");
        assert_eq!(told(&line), (4000, "bye", ""));
    }
}

/// A peer that keeps its socket open for ever does not keep the session.
#[test]
fn a_stream_that_never_ends_is_cut() {
    let bench = Bench::new("timeouts = { close = \"200ms\" }");
    let mut ends = bench.open();
    let since = Instant::now();
    ends.closes(Peer::Client, 1000, "");
    ends.hears(Peer::Server, 1000);
    ends.closes(Peer::Server, 1000, "");
    ends.hears(Peer::Client, 1000);
    let line = bench.gateway.expect_ended("client", "closed");
    assert!(since.elapsed() < AT_ONCE, "{:?} {line:#}", since.elapsed());
}

/// A socket that is closed with unread bytes in it is reset, and the reset can overtake the Close: whatever an offender
/// still sends is read, and its stream ends in order.
#[test]
fn who_talks_on_is_not_reset() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        ends.of(from).0.send(from.frame(0x83, b""));
        let code = if from == Peer::Client { 1001 } else { 1011 };
        ends.hears(from.other(), code);
        ends.closes(from.other(), code, "");
        ends.of(from.other()).0.expect_end();
        for _ in 0..5 {
            // Whatever the gateway has to do for the first session it has done when it opens the next.
            drop(bench.open());
            ends.of(from).0.send([b'!'; 10_000]);
        }
        assert_eq!(ends.hears(from, 1002), "reserved opcode");
        assert_eq!(ends.of(from).0.stream.read(&mut [0; 10]).unwrap(), 0);
    }
}

#[test]
fn data_ahead_of_a_close_is_delivered() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        let frame = from.frame(0x82, &[7; 60_000]);
        let close = from.frame(0x88, &close_payload(1000, "done"));
        let (sender, receiver) = ends.of(from);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    sender.send(&frame);
                }
                sender.send(&close);
            });
            for _ in 0..100 {
                receiver.expect(&frame);
            }
            receiver.expect(&close);
        });
        ends.closes(from.other(), 1000, "done");
        ends.hears(from, 1000);
        ends.both_end();
        let line = bench.gateway.expect_ended(from.word(), "closed");
        assert_eq!(counted(&line, &format!("{}_binary", from.word())), (100, 6_000_000));
    }
}

/// The answer to a Close may have a long frame before it.
#[test]
fn a_close_waits_for_the_frame_that_is_under_way() {
    let bench = Bench::new("");
    for from in Peer::BOTH {
        let mut ends = bench.open();
        let long = from.other().frame(0x82, &[9; 3000]);
        let (closer, other) = ends.of(from);
        other.send(&long[..1000]);
        closer.expect(&long[..1000]);
        closer.send(from.frame(0x88, &close_payload(1000, "")));
        other.expect(from.frame(0x88, &close_payload(1000, "")));
        other.send([&long[1000..], &from.other().frame(0x88, b"")].concat());
        closer.expect([&long[1000..], &from.other().frame(0x88, b"")].concat());
        ends.both_end();
        bench.gateway.expect_ended(from.word(), "closed");
    }
}

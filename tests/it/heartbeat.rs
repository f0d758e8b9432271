//! Pings: answered here or passed on, and the gateway's own, which find the dead and keep the living.

use crate::support::*;
use std::time::{Duration, Instant};

const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// How late a deadline may be noticed on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

#[test]
fn answered_here_with_the_exact_payload() {
    let bench = Bench::new("");
    let mut ends = bench.open();
    for from in Peer::BOTH {
        for payload in [&b""[..], b"hello", &[0xFF; 125]] {
            ends.of(from).0.send(from.frame(PING, payload));
            assert_eq!(ends.of(from).0.expect_frame(PONG), payload);
        }
        // Pongs that nobody asked for are swallowed.
        ends.of(from).0.send(from.frame(PONG, b"unsolicited"));
    }
    // Neither side saw any of it.
    ends.exchange("next");
    ends.closes(Peer::Client, 1000, "");
    ends.hears(Peer::Server, 1000);
    drop(ends);
    let line = bench.gateway.expect_ended("client", "closed");
    let counts =
        ["client_pings", "client_pongs", "backend_pings", "backend_pongs"].map(|key| line[key].as_u64());
    assert_eq!(counts, [Some(3), Some(1), Some(3), Some(1)]);
}

/// Toward a server every frame has a fresh mask, toward a client none (RFC 6455 5.3).
#[test]
fn own_frames_are_masked_as_the_direction_demands() {
    let bench = Bench::new("");
    let mut ends = bench.open();
    ends.client.send(ping(b"hello"));
    ends.client.expect(server_frame(PONG, b"hello"));
    let mut keys = Vec::new();
    for _ in 0..8 {
        ends.server.send(server_frame(PING, b"hello"));
        let pong = ends.server.take(11);
        assert_eq!(pong[..2], [PONG, 0x80 | 5]);
        let key = pong[2..6].to_vec();
        let payload: Vec<u8> =
            pong[6..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(payload, b"hello");
        assert!(!keys.contains(&key), "{key:?} again");
        keys.push(key);
    }
}

#[test]
fn answered_between_fragments() {
    let bench = Bench::new("");
    let mut ends = bench.open();
    for from in Peer::BOTH {
        let (sender, receiver) = ends.of(from);
        let [begin, end] = [from.frame(0x01, b"be"), from.frame(0x80, b"fore")];
        sender.send([&begin[..], &from.frame(PING, b"?")].concat());
        assert_eq!(sender.expect_frame(PONG), b"?");
        sender.send(&end);
        receiver.expect([begin, end].concat());
    }
}

/// The other side does not read, and stands inside a frame of its own: neither delays the answer.
#[test]
fn answered_while_the_backend_is_stalled() {
    let bench = Bench::new("");
    let mut ends = bench.open();
    ends.client.send(client_frame(0x82, &[1; 20_000]));
    let half = server_frame(0x82, &[2; 100]);
    let since = Instant::now();
    ends.client.send(ping(b"alive?"));
    assert_eq!(ends.client.expect_frame(PONG), b"alive?");
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    // Inside a frame of the backend's a pong would be garbage: it comes right behind.
    ends.server.send(&half[..50]);
    ends.client.expect(&half[..50]);
    ends.client.send([ping(b"first"), ping(b"and now?"), text("behind")].concat());
    ends.server.expect(client_frame(0x82, &[1; 20_000]));
    ends.server.expect(text("behind"));
    ends.server.send(&half[50..]);
    ends.client.expect(&half[50..]);
    // One slot: the latest is answered (RFC 6455 5.5.3).
    assert_eq!(ends.client.expect_frame(PONG), b"and now?");
    ends.exchange("on");
}

#[test]
fn forwarded_where_the_route_says_so() {
    let bench = Bench::new("heartbeat = { mode = \"forward\" }");
    let mut ends = bench.open();
    for from in Peer::BOTH {
        let frames =
            [from.frame(PING, b"a"), from.frame(PONG, b"b"), from.frame(PING, b""), from.frame(0x81, b"c")];
        let (sender, receiver) = ends.of(from);
        sender.send(frames.concat());
        receiver.expect(frames.concat());
    }
}

/// The gateway's own pings and their pongs stay between it and the peer; an answer to only the latest ping settles the
/// far end's earlier one too.
#[test]
fn own_pings_are_kept_apart_from_forwarded_ones() {
    for peer in Peer::BOTH {
        let key = if peer == Peer::Client { "ping_interval" } else { "backend_ping_interval" };
        let other = if peer == Peer::Client { "backend_ping_interval" } else { "ping_interval" };
        let bench = Bench::new(&format!(
            "heartbeat = {{ mode = \"forward\", {key} = \"200ms\", {other} = \"none\" }}"
        ));
        let mut ends = bench.open();
        let (near, far) = ends.of(peer);
        let own = near.expect_frame(PING);
        near.send(peer.frame(PONG, &own));
        far.send(peer.other().frame(PING, b"theirs"));
        // On a busy machine another one of the gateway's may come before it.
        while near.expect_frame(PING) != b"theirs" {}
        let own = near.expect_frame(PING);
        near.send([peer.frame(PONG, &own), peer.frame(PONG, b"mine"), peer.frame(0x81, b"x")].concat());
        assert_eq!(far.expect_frame(PONG), b"theirs", "settled by the answer to the later ping");
        assert_eq!(far.expect_frame(PONG), b"mine");
        far.expect(peer.frame(0x81, b"x"));
    }
}

/// A client that pings and never reads costs one pong slot, not memory.
#[test]
fn a_ping_flood_that_nobody_reads() {
    const PINGS: u32 = 100_000;
    let bench = Bench::new("rate = { control = \"none\" }");
    let mut ends = bench.open();
    ends.exchange("warm");
    let payload = |number: u32| [&number.to_be_bytes()[..], &[b'.'; 121]].concat();
    let before = bench.gateway.resident();
    let mut most = before;
    for hundred in 0..PINGS / 100 {
        let pings: Vec<_> = (hundred * 100..hundred * 100 + 100).map(|n| ping(&payload(n))).collect();
        ends.client.send(pings.concat());
        most = most.max(bench.gateway.resident());
    }
    // Behind all the pings: once it arrives they were all read.
    ends.client.send(text("done"));
    ends.server.expect(text("done"));
    most = most.max(bench.gateway.resident());
    println!("ping flood: +{} KiB", (most - before) / 1024);
    assert!(most - before < 256 * 1024, "{} KiB more", (most - before) / 1024);
    // What comes back are answers in order, the last ping's among them, and fewer than were asked.
    let (mut answers, mut last) = (0, None);
    while last != Some(PINGS - 1) {
        let pong = ends.client.expect_frame(PONG);
        let number = u32::from_be_bytes(*pong.first_chunk().unwrap());
        assert_eq!(pong, payload(number));
        assert!(last.is_none_or(|last| last < number), "{last:?} before {number}");
        (answers, last) = (answers + 1, Some(number));
    }
    assert!(answers < PINGS, "the flood was too small to block anything");
}

/// One silent side is found within `ping + pong`; both sides are told.
#[test]
fn the_silent_are_found() {
    for silent in Peer::BOTH {
        let (key, other) = match silent {
            Peer::Client => ("ping_interval", "backend_ping_interval"),
            Peer::Server => ("backend_ping_interval", "ping_interval"),
        };
        let bench = Bench::new(&format!(
            "heartbeat = {{ {key} = \"400ms\", {other} = \"none\", pong_timeout = \"400ms\" }}"
        ));
        let since = Instant::now();
        let mut ends = bench.open();
        assert_eq!(ends.of(silent).0.expect_frame(PING).len(), 12);
        // Pings come up to a tenth earlier or later than the interval.
        assert!(since.elapsed() >= Duration::from_millis(360), "{:?}", since.elapsed());
        let code = if silent == Peer::Client { 1001 } else { 1012 };
        assert_eq!(ends.hears(silent.other(), code), "timeout.pong");
        let found = since.elapsed();
        assert!(
            found >= Duration::from_millis(760) && found < Duration::from_millis(840) + SLACK,
            "{found:?}"
        );
        assert_eq!(ends.hears(silent, 1001), "timeout.pong", "tried, in case it hears");
        ends.closes(silent.other(), code, "");
        ends.both_end();
        let line = bench.expect_gateway_ended(silent.word(), "timeout.pong");
        assert_eq!(told(&line), (1001, "timeout.pong", ""));
    }
}

#[test]
fn who_answers_is_kept() {
    let bench = Bench::new(
        "heartbeat = { ping_interval = \"100ms\", backend_ping_interval = \"100ms\", pong_timeout = \"10s\" }",
    );
    let mut ends = bench.open();
    for _ in 0..4 {
        for peer in Peer::BOTH {
            let end = ends.of(peer).0;
            let asked = end.expect_frame(PING);
            end.send(peer.frame(PONG, &asked));
        }
    }
    ends.client.send(text("still here"));
    while ends.server.frame() != (0x81, b"still here".to_vec()) {}
}

/// Any byte counts as life, not only pongs.
#[test]
fn who_speaks_is_not_asked() {
    let bench = Bench::new("heartbeat = { ping_interval = \"3s\", backend_ping_interval = \"none\" }");
    let (mut silent, mut ends) = (bench.open(), bench.open());
    // The silent session is the clock: it is asked.
    silent.client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut heard = Vec::new();
    while heard.is_empty() {
        ends.client.send(text("tick"));
        ends.server.expect(text("tick"));
        heard = silent.client.some();
    }
    assert_eq!(heard[0], PING);
    ends.client.send(client_frame(0x88, b""));
    assert_eq!(ends.server.frame(), (0x88, Vec::new()));
    ends.server.send(server_frame(0x88, b""));
    assert_eq!(ends.client.frame(), (0x88, Vec::new()), "it was never asked");
}

/// While we hold back reading a client, its silence proves nothing.
#[test]
fn frozen_under_backpressure() {
    let bench = Bench::new(
        "heartbeat = { ping_interval = \"150ms\", backend_ping_interval = \"none\", pong_timeout = \"150ms\" }\n\
         timeouts = { write = \"none\", message = \"none\" }",
    );
    let mut ends = bench.open();
    let frame = client_frame(0x82, &[4; 50_000]);
    let flood = ends.client.flood(&frame);
    for _ in 0..4 {
        // The clock: silent sessions that end after ping + pong.
        let mut silent = bench.open();
        silent.server.expect_close(1001);
        drop(silent);
        bench.expect_gateway_ended("client", "timeout.pong");
    }
    let frames = flood.frames();
    std::thread::scope(|scope| {
        scope.spawn(|| flood.finish());
        for _ in 0..frames {
            ends.server.expect(&frame);
        }
    });
}

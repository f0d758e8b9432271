//! Peers that go away without a word.

use crate::support::*;
use std::time::{Duration, Instant};

const WAYS: [fn(Raw); 2] = [finish, reset];

fn finish(raw: Raw) {
    raw.finish();
    // Some read on, and some do not.
    drop(raw);
}

fn reset(raw: Raw) {
    raw.reset();
}

fn lose(ends: Ends, peer: Peer, how: fn(Raw)) -> Raw {
    let Ends { client, server } = ends;
    let (lost, left) = if peer == Peer::Client { (client, server) } else { (server, client) };
    how(lost);
    left
}

/// What the one who is left hears.
fn word_to(left: Peer) -> (u16, &'static str) {
    if left == Peer::Client { (1012, "backend_lost") } else { (1001, "client_lost") }
}

#[test]
fn gone_without_a_close() {
    let bench = Bench::new("");
    for peer in Peer::BOTH {
        for how in WAYS {
            let mut ends = bench.open();
            ends.exchange("hi");
            let last = peer.frame(0x81, b"last words");
            let (leaves, stays) = ends.of(peer);
            leaves.send(&last);
            stays.expect(&last);
            let mut left = lose(ends, peer, how);
            let (code, cause) = word_to(peer.other());
            assert_eq!(left.expect_close(code), cause);
            drop(left);
            let line = bench.gateway.expect_ended(peer.word(), cause);
            assert_eq!((line["about"].as_str(), told(&line)), (Some(peer.word()), (code.into(), cause, "")));
        }
    }
}

/// Complete messages sent right before the end of the stream arrive, in whatever segments.
#[test]
fn messages_before_a_fin_are_delivered() {
    let bench = Bench::new("");
    for peer in Peer::BOTH {
        let mut ends = bench.open();
        let last = [peer.frame(0x01, b"last "), peer.frame(0x80, b"words"), peer.frame(0x82, b"")].concat();
        ends.of(peer).0.send(&last);
        let mut left = lose(ends, peer, finish);
        left.expect(&last);
        left.expect_close(word_to(peer.other()).0);
    }
}

/// Between the fragments of a message a Close may stand; inside a frame nothing may.
#[test]
fn gone_inside_a_frame() {
    let bench = Bench::new("");
    for peer in Peer::BOTH {
        for how in WAYS {
            for long in [peer.frame(0x82, &[5; 300]), peer.frame(0x01, &[b'a'; 70_000])] {
                let mut ends = bench.open();
                let (leaves, stays) = ends.of(peer);
                leaves.send(&long[..long.len() - 1]);
                stays.expect(&long[..long.len() - 1]);
                let mut left = lose(ends, peer, how);
                let since = Instant::now();
                left.expect_end();
                assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
                drop(left);
                bench.gateway.expect_ended(peer.word(), word_to(peer.other()).1);
            }
            let mut ends = bench.open();
            let fragment = peer.frame(0x01, b"and then");
            let (leaves, stays) = ends.of(peer);
            leaves.send(&fragment);
            stays.expect(&fragment);
            lose(ends, peer, how).expect_close(word_to(peer.other()).0);
            bench.gateway.expect_ended(peer.word(), word_to(peer.other()).1);
        }
    }
}

/// Of a frame whose header is not complete nothing was forwarded: the other side is between frames.
#[test]
fn gone_inside_a_header() {
    let bench = Bench::new("");
    for peer in Peer::BOTH {
        for cut in [1, 2, 3] {
            let mut ends = bench.open();
            let header = &peer.frame(0x82, &[0; 300])[..cut];
            ends.exchange("hi");
            ends.of(peer).0.send(header);
            lose(ends, peer, finish).expect_close(word_to(peer.other()).0);
        }
    }
}

/// Half a header is no reason to look again and again.
#[test]
fn truncated_input_costs_nothing() {
    let bench = Bench::new("");
    let mut sessions: Vec<_> = (0..50).map(|_| bench.open()).collect();
    for (ends, cut) in sessions.iter_mut().zip((1..=5).cycle()) {
        for peer in Peer::BOTH {
            ends.of(peer).0.send(&peer.frame(0x82, &[0; 300])[..cut]);
        }
    }
    bench.open().exchange("everything was read");
    let before = bench.gateway.cpu_time();
    // Nothing comes: a second goes by.
    sessions[0].client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(sessions[0].client.some().is_empty());
    let spent = bench.gateway.cpu_time() - before;
    // Who looks again and again does so all the time.
    assert!(spent <= Duration::from_millis(300), "{spent:?}");
}

/// The end of a stream is noticed by a write before what came ahead of it was passed on: what the peer had said counts
/// all the same, up to its own Close.
#[test]
fn what_was_said_before_a_write_failed_is_delivered() {
    let bench = Bench::new("rate = { bytes = { per_second = \"60KB\", burst = \"10KB\" } }");
    let Ends { mut client, mut server } = bench.open();
    let frame = client_frame(0x82, &[3; 10_000]);
    let close = client_frame(0x88, &close_payload(4000, "all sent"));
    client.send([frame.repeat(4), close.clone()].concat());
    client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop(client);
    let mut heard = Vec::new();
    for _ in 0..3 {
        // The first write into the closed socket is answered by a reset, the next one fails.
        server.send([server_frame(0x81, b"nobody hears this"), server_frame(0x89, b"written?")].concat());
        loop {
            let (first, payload) = server.frame();
            if first == 0x8A {
                break;
            }
            heard.push((first, payload.len()));
        }
    }
    while heard.last().is_none_or(|(first, _)| *first != 0x88) {
        let (first, payload) = server.frame();
        heard.push((first, payload.len()));
    }
    assert_eq!(heard, [(0x82, 10_000), (0x82, 10_000), (0x82, 10_000), (0x82, 10_000), (0x88, 10)]);
    server.send(server_frame(0x88, b""));
    drop(server);
    bench.gateway.expect_ended("client", "closed");
}

/// A FIN behind messages that a rate still holds back: they arrive first.
#[test]
fn messages_that_wait_for_their_rate_survive_a_fin() {
    let bench = Bench::new("rate = { messages = { per_second = 20, burst = 1 } }");
    let mut ends = bench.open();
    let messages = [text("one"), text("two"), text("three"), text("four")].concat();
    ends.client.send(&messages);
    let mut server = lose(ends, Peer::Client, finish);
    server.expect(&messages);
    assert_eq!(server.expect_close(1001), "client_lost");
}

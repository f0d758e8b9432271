//! The deadlines of `[route.timeouts]`, one by one.

use crate::support::*;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

const QUIET: &str = "heartbeat = { ping_interval = \"none\", backend_ping_interval = \"none\" }";

/// Opens a session, does something, and then nothing: `cause` ends it. Returns how long that took.
fn ended_by(route: &str, cause: &str, first: impl FnOnce(&mut Ends)) -> Duration {
    let bench = Bench::new(&format!("{QUIET}\n{route}"));
    let mut ends = bench.open();
    let since = Instant::now();
    first(&mut ends);
    for peer in Peer::BOTH {
        assert_eq!(ends.hears(peer, 1001), cause);
    }
    let took = since.elapsed();
    for peer in Peer::BOTH {
        ends.closes(peer, 1001, "");
    }
    ends.both_end();
    let line = bench.expect_gateway_ended("client", cause);
    assert_eq!(told(&line), (1001, cause, ""));
    took
}

#[test]
fn idle() {
    let took = ended_by("timeouts = { idle = \"600ms\" }", "timeout.idle", |ends| ends.exchange("hi"));
    assert!(took >= Duration::from_millis(590), "{took:?}");
}

/// A ping is a byte: it keeps a session from being idle, and not from being without data.
#[test]
fn data_idle_does_not_count_pings() {
    let route = "rate = { control = \"none\" }\ntimeouts = { data_idle = \"600ms\", idle = \"30s\" }";
    let took = ended_by(route, "timeout.data_idle", |ends| {
        ends.exchange("hi");
        for _ in 0..20 {
            ends.client.send(ping(b"not data"));
            ends.client.expect_frame(0x8A);
        }
    });
    assert!(took >= Duration::from_millis(590), "{took:?}");
}

/// The session that keeps silent ends; the one that spoke stays.
#[test]
fn first_message() {
    let bench = Bench::new(&format!("{QUIET}\ntimeouts = {{ first_message = \"2s\" }}"));
    let (mut spoke, mut silent) = (bench.open(), bench.open());
    spoke.client.send(text("me first"));
    spoke.server.expect(text("me first"));
    // What the backend says does not count, nor does a ping.
    silent.server.send(server_frame(0x81, b"hello?"));
    silent.client.expect(server_frame(0x81, b"hello?"));
    silent.client.send(ping(b""));
    silent.client.expect_frame(0x8A);
    assert_eq!(silent.hears(Peer::Client, 1001), "timeout.first_message");
    assert_eq!(silent.hears(Peer::Server, 1001), "timeout.first_message");
    drop(silent);
    bench.expect_gateway_ended("client", "timeout.first_message");
    spoke.exchange("still here");
}

#[test]
fn a_message_that_does_not_end() {
    let bench = Bench::new(&format!("{QUIET}\ntimeouts = {{ message = \"1500ms\" }}"));
    // Between its fragments.
    let mut ends = bench.open();
    ends.client.send(client_frame(0x01, b"once upon"));
    ends.server.expect(client_frame(0x01, b"once upon"));
    ends.client.send(ping(b"not an end"));
    ends.client.expect_frame(0x8A);
    assert_eq!(ends.hears(Peer::Client, 1008), "message timeout");
    assert_eq!(ends.hears(Peer::Server, 1001), "timeout.message");
    drop(ends);
    let line = bench.expect_gateway_ended("client", "timeout.message");
    assert_eq!(told(&line), (1008, "message timeout", "message timeout"));
    // Inside a frame: the backend cannot be told, its stream ends.
    let mut ends = bench.open();
    let frame = client_frame(0x82, &[0; 1000]);
    ends.client.send(&frame[..500]);
    ends.server.expect(&frame[..500]);
    assert_eq!(ends.hears(Peer::Client, 1008), "message timeout");
    let since = Instant::now();
    ends.server.expect_end();
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    drop(ends);
    bench.expect_gateway_ended("client", "timeout.message");
    // A message from the backend may take its time, and so may a client's that ended.
    let mut ends = bench.open();
    ends.server.send(server_frame(0x01, b"once upon"));
    ends.client.expect(server_frame(0x01, b"once upon"));
    ends.client.send([client_frame(0x01, b"short "), client_frame(0x80, b"story")].concat());
    ends.server.expect([client_frame(0x01, b"short "), client_frame(0x80, b"story")].concat());
    let mut clock = bench.open();
    clock.client.send(client_frame(0x02, b""));
    clock.hears(Peer::Client, 1008);
    ends.server.send(server_frame(0x80, b" a time"));
    ends.client.expect(server_frame(0x80, b" a time"));
}

/// Whoever stops reading is dropped, and the other one told.
#[test]
fn a_blocked_write() {
    for stuck in Peer::BOTH {
        let bench = Bench::new(&format!(
            "{QUIET}\ntimeouts = {{ write = \"400ms\", message = \"none\", close = \"20s\" }}"
        ));
        let mut ends = bench.open();
        let frame = stuck.other().frame(0x82, &[6; 50_000]);
        let flooder = ends.of(stuck.other()).0;
        let (code, about) = if stuck == Peer::Client { (1001, "client") } else { (1012, "backend") };
        flooder.flooding(&frame, |flooder| assert_eq!(flooder.expect_close(code), "timeout.write"));
        let Ends { client, server } = ends;
        let mut stuck = if stuck == Peer::Client { client } else { server };
        // A stuck peer is not waited for.
        let since = Instant::now();
        let line = bench.expect_gateway_ended(about, "timeout.write");
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        assert_eq!(told(&line).0, 1001);
        // What it did not take is not kept for it by the kernel either.
        assert_eq!(stuck.broken_off(), ErrorKind::ConnectionReset);
    }
}

/// Slow is not stuck: what moves on is waited for, however long it takes.
#[test]
fn a_write_that_moves_on() {
    let bench = Bench::new(&format!("{QUIET}\ntimeouts = {{ write = \"2s\" }}"));
    let (mut clock, mut ends) = (bench.open(), bench.open_narrow());
    clock.client.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let since = Instant::now();
    let Ends { client, server } = &mut ends;
    server.flooding(&server_frame(0x82, &[6; 50_000]), |_| {
        while since.elapsed() < Duration::from_millis(3500) {
            client.take(20_000);
            clock.client.some();
        }
        client.take(1 << 20);
    });
}

#[test]
fn old_age() {
    let bench = Bench::new("timeouts = { max_connection_age = \"1500ms\", max_connection_age_jitter = 0.0 }");
    let since = Instant::now();
    let mut ends = bench.open();
    ends.exchange("young");
    assert_eq!(ends.hears(Peer::Client, 1012), "age");
    assert!(since.elapsed() >= Duration::from_millis(1500), "{:?}", since.elapsed());
    // What the client still says is delivered before the backend hears of it.
    ends.client.send(text("last"));
    ends.closes(Peer::Client, 1012, "");
    ends.server.expect(text("last"));
    assert_eq!(ends.hears(Peer::Server, 1001), "age");
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
    let line = bench.gateway.expect_ended("gateway", "age");
    assert_eq!((line["about"].as_str(), told(&line)), (Some(""), (1012, "age", "")));
}

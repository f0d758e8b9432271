//! Peers that are killed or stopped as processes: the other side is told in time, and the log names the cause.

use crate::support::*;
use std::time::{Duration, Instant};

/// A session between a process and a raw peer; the process plays `peer`.
fn session_with(peer: Peer, route: &str) -> (Gateway, Process, Raw) {
    if peer == Peer::Server {
        let (mut process, address) = Process::backend();
        let gateway = Gateway::in_front_of_address(address, route);
        let mut client = gateway.connect();
        client.send(upgrade_request("/", ""));
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(process.says(), "open");
        return (gateway, process, client);
    }
    let backend = Backend::start();
    let gateway = Gateway::in_front_of(&backend, route);
    let mut process = Process::client(gateway.address());
    let (_, server) = backend.accept_upgrade(b"");
    assert_eq!(process.says(), "open");
    (gateway, process, server)
}

/// What the one who is left hears, and within which time.
fn expect_told(left: &mut Raw, peer: Peer, cause: &str, since: Instant, within: Duration) {
    let code = if peer == Peer::Client { 1001 } else { 1012 };
    assert_eq!(left.expect_close(code), cause);
    let took = since.elapsed();
    assert!(took < within, "{cause}: {took:?}");
}

#[test]
fn killed() {
    for peer in Peer::BOTH {
        let (gateway, process, mut left) = session_with(peer, "");
        let since = Instant::now();
        process.signal("KILL");
        let cause = if peer == Peer::Client { "client_lost" } else { "backend_lost" };
        expect_told(&mut left, peer, cause, since, AT_ONCE);
        drop(left);
        let line = gateway.expect_ended(peer.word(), cause);
        assert_eq!(line["about"], peer.word());
    }
}

/// A stopped process keeps its connection, and its kernel takes what fits: only the heartbeat can tell.
#[test]
fn stopped_and_found_by_the_heartbeat() {
    for peer in Peer::BOTH {
        let beat = "heartbeat = { ping_interval = \"KEY\", backend_ping_interval = \"OTHER\", pong_timeout = \"400ms\" }\n\
                    timeouts = { close = \"100ms\" }";
        let (client, backend) = if peer == Peer::Client { ("400ms", "none") } else { ("none", "400ms") };
        let beat = beat.replace("KEY", client).replace("OTHER", backend);
        let (gateway, process, mut left) = session_with(peer, &beat);
        let since = Instant::now();
        process.signal("STOP");
        expect_told(&mut left, peer, "timeout.pong", since, Duration::from_millis(840) + AT_ONCE);
        drop(left);
        let line = gateway.expect_ended("gateway", "timeout.pong");
        assert_eq!(line["about"], peer.word());
    }
}

/// Under load the write that moves nothing tells, before or without any heartbeat.
#[test]
fn stopped_and_found_by_a_blocked_write() {
    for peer in Peer::BOTH {
        let (gateway, process, mut left) = session_with(
            peer,
            "heartbeat = { ping_interval = \"none\", backend_ping_interval = \"none\" }\n\
             timeouts = { write = \"400ms\", message = \"none\", close = \"100ms\" }",
        );
        process.signal("STOP");
        let frame = peer.other().frame(0x82, &[8; 50_000]);
        let since = Instant::now();
        left.flooding(&frame, |left| {
            expect_told(left, peer, "timeout.write", since, Duration::from_secs(4) + AT_ONCE);
        });
        let line = gateway.expect_ended("gateway", "timeout.write");
        assert_eq!(line["about"], peer.word());
    }
}

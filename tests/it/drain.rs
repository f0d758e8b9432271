//! Going away: who is told what and when, and how the process ends.

use crate::support::*;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A gateway that is told to go, once its sessions are there.
fn shutdown(keys: &str) -> Bench {
    Bench::new(&format!("[shutdown]\n{keys}"))
}

/// Sends the signal, and returns once the Closes have begun. The time is that before the signal: nothing that happens
/// because of it shows earlier than it may.
fn begin(bench: &Bench, signal: &str) -> Instant {
    let since = Instant::now();
    bench.gateway.signal(signal);
    bench.gateway.wait_for("closing sessions", |line| {
        line["message"].as_str().is_some_and(|message| message.starts_with("no longer accepting"))
    });
    since
}

/// The client hears of it and answers, the backend hears after it; both streams end.
fn see_off(mut ends: Ends, code: u16) {
    assert_eq!(ends.hears(Peer::Client, code), "drain");
    ends.closes(Peer::Client, code, "");
    assert_eq!(ends.hears(Peer::Server, 1001), "drain");
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
}

#[test]
fn closes_are_spread_and_the_process_ends() {
    const SESSIONS: u32 = 10;
    // How late who was told may notice: less than the spread, or it would not be seen that the first are told early.
    let (spread, late) = (Duration::from_secs(4), Duration::from_secs(3));
    for signal in ["TERM", "INT"] {
        let mut bench = shutdown("close_spread = \"4s\"");
        let sessions: Vec<_> = (0..SESSIONS).map(|_| bench.open()).collect();
        let since = begin(&bench, signal);
        let mut told: Vec<_> = std::thread::scope(|scope| {
            let clients = sessions.into_iter().map(|mut ends| {
                scope.spawn(move || {
                    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
                    let at = since.elapsed();
                    ends.closes(Peer::Client, 1012, "");
                    assert_eq!(ends.hears(Peer::Server, 1001), "drain");
                    ends.closes(Peer::Server, 1001, "");
                    ends.both_end();
                    at
                })
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        told.sort();
        for (place, at) in (0..).zip(&told) {
            let slot = spread / SESSIONS;
            assert!(*at >= slot * place && *at <= slot * (place + 1) + late, "{place}: {told:?}");
        }
        for _ in 0..SESSIONS {
            let line = bench.gateway.expect_ended("gateway", "drain");
            assert_eq!(
                (line["about"].as_str(), crate::support::told(&line)),
                (Some(""), (1012, "drain", ""))
            );
        }
        assert_eq!(bench.gateway.exit_code(), Some(0));
    }
}

/// A Close that falls due in the very moment its session is looked at was once forgotten. A matter of luck: hence so
/// often.
#[test]
fn everybody_is_told() {
    for _ in 0..12 {
        let mut bench = shutdown("close_spread = \"1ms\"\ndrain_timeout = \"10s\"");
        let sessions: Vec<_> = (0..30).map(|_| bench.open()).collect();
        begin(&bench, "TERM");
        for ends in sessions {
            see_off(ends, 1012);
        }
        assert_eq!(bench.gateway.exit_code(), Some(0));
    }
}

#[test]
fn nobody_is_cut_inside_a_frame() {
    let mut bench = shutdown("close_spread = \"1ms\"");
    let (mut long, other) = (bench.open(), bench.open());
    let frame = server_frame(0x82, &[7; 5000]);
    long.server.send(&frame[..2000]);
    long.client.expect(&frame[..2000]);
    begin(&bench, "TERM");
    // The other session is the clock.
    see_off(other, 1012);
    long.server.send(&frame[2000..]);
    long.client.expect(&frame[2000..]);
    see_off(long, 1012);
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

/// Between the fragments of a message a Close may stand (RFC 6455 5.4), and need not wait for its end.
#[test]
fn messages_under_way_from_the_client_arrive() {
    let mut bench = shutdown("close_spread = \"1ms\"");
    let mut ends = bench.open();
    let message =
        [client_frame(0x01, b"to be "), client_frame(0x80, b"continued"), text("and ended")].concat();
    ends.client.send(&message[..8]);
    ends.server.expect(&message[..8]);
    begin(&bench, "TERM");
    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
    ends.client.send(&message[8..]);
    ends.server.expect(&message[8..]);
    ends.closes(Peer::Client, 1012, "");
    assert_eq!(ends.hears(Peer::Server, 1001), "drain");
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
    let line = bench.gateway.expect_ended("gateway", "drain");
    assert_eq!(counted(&line, "client_text"), (2, 24));
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

#[test]
fn the_code_is_the_operators() {
    let mut bench = shutdown("close_spread = \"1ms\"\nclose_code = 4503");
    let ends = bench.open();
    begin(&bench, "TERM");
    see_off(ends, 4503);
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

#[test]
fn accepts_during_the_pre_stop_delay_and_refuses_after() {
    let mut bench = shutdown("pre_stop_delay = \"2s\"\nclose_spread = \"1s\"");
    let mut early = bench.open();
    // Not a whole request yet.
    let request = upgrade_request("/", "");
    let mut waiting = bench.gateway.connect();
    waiting.send(&request[..40]);
    let since = Instant::now();
    bench.gateway.signal("TERM");
    bench.gateway.wait_for("not ready", |line| line["ready"] == false);
    let late = bench.open();
    early.exchange("nobody was told yet");
    bench.gateway.wait_for("closing sessions", |line| line["spread"].is_string());
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
    // Who was about to ask is answered; a new connection is not even taken.
    waiting.send(&request[40..]);
    let answer = String::from_utf8(waiting.rest()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("x-framegate-cause: draining"),
        "{answer}"
    );
    // The listener is on its way out; then nobody is there.
    while TcpStream::connect(bench.gateway.address()).map_err(|error| error.kind()).err()
        != Some(ErrorKind::ConnectionRefused)
    {
        assert!(since.elapsed() < SOON, "still accepting");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| see_off(early, 1012));
        see_off(late, 1012);
    });
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

#[test]
fn waiting_for_an_answer_costs_nothing() {
    let bench = shutdown("close_spread = \"1ms\"\n[route.timeouts]\nclose = \"1s\"");
    let mut ends = bench.open();
    begin(&bench, "TERM");
    assert_eq!(ends.hears(Peer::Client, 1012), "drain");
    let before = bench.gateway.cpu_time();
    assert_eq!(ends.hears(Peer::Server, 1001), "drain", "once the client was waited for");
    let spent = bench.gateway.cpu_time() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?}");
}

/// A handshake that the backend has yet to answer becomes a session, which is then told at once.
#[test]
fn a_handshake_under_way() {
    let mut bench = shutdown("close_spread = \"1ms\"");
    let mut client = bench.gateway.connect();
    client.send(upgrade_request("/", ""));
    let mut server = bench.backend.accept();
    server.head();
    begin(&bench, "TERM");
    server.send(upgrade_response(""));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    see_off(Ends { client, server }, 1012);
    bench.gateway.expect_ended("gateway", "drain");
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

/// Clients that never answer do not keep the process; each session has its line.
#[test]
fn the_hard_deadline() {
    let mut bench = shutdown("drain_timeout = \"700ms\"\nclose_spread = \"1ms\"");
    let sessions: Vec<_> = (0..3).map(|_| bench.open()).collect();
    let silent = bench.gateway.connect();
    let since = begin(&bench, "TERM");
    assert_eq!(bench.gateway.exit_code(), Some(0));
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(700) && took < AT_ONCE, "{took:?}");
    for mut ends in sessions {
        assert_eq!(ends.hears(Peer::Client, 1012), "drain");
        assert_eq!(ends.client.rest(), b"");
        let line = bench.gateway.expect_ended("gateway", "drain");
        assert_eq!(line["about"], "");
    }
    drop(silent);
    let warned = bench.gateway.lines_to_the_end();
    assert!(warned.iter().any(|line| line["level"] == "WARN" && line["sessions"] == 3), "{warned:#?}");
    assert!(!warned.iter().any(|line| line["message"] == "session ended"), "{warned:#?}");
}

/// At once, with 1, and every session has its line, whether its Close was due or not.
#[test]
fn a_second_signal() {
    for delay in ["0s", "15s"] {
        let mut bench = shutdown(&format!("close_spread = \"15s\"\npre_stop_delay = \"{delay}\""));
        let mut sessions: Vec<_> = (0..3).map(|_| bench.open()).collect();
        for ends in &mut sessions {
            ends.client.send(text("counted"));
            ends.server.expect(text("counted"));
        }
        bench.gateway.signal("TERM");
        bench.gateway.wait_for("not ready", |line| line["ready"] == false);
        let since = Instant::now();
        bench.gateway.signal("INT");
        assert_eq!(bench.gateway.exit_code(), Some(1));
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        for ends in &mut sessions {
            ends.client.rest();
            let line = bench.gateway.expect_ended("gateway", "drain");
            assert_eq!(line["client_text"], 1, "what had passed is told all the same: {line:#}");
        }
    }
}

#[test]
fn an_idle_gateway_goes_at_once() {
    let mut bench = shutdown("");
    let mut ends = bench.open();
    ends.closes(Peer::Client, 1000, "");
    ends.closes(Peer::Server, 1000, "");
    drop(ends);
    bench.gateway.ended();
    let since = Instant::now();
    bench.gateway.signal("TERM");
    assert_eq!(bench.gateway.exit_code(), Some(0));
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
}

#[test]
fn signals_that_do_not_end_it() {
    let bench = shutdown("");
    let mut ends = bench.open();
    for (signal, said) in [("HUP", "reloaded"), ("PIPE", ""), ("HUP", "reloaded")] {
        bench.gateway.signal(signal);
        if !said.is_empty() {
            bench.gateway.wait_for(signal, |line| {
                line["message"].as_str().is_some_and(|message| message.contains(said))
            });
        }
        ends.exchange(signal);
    }
    bench.open().exchange("new ones too");
}

//! `/tap`: the frames of one session as they pass.

use crate::support::*;
use serde_json::{Value, json};

fn bench(keys: &str) -> (Bench, Admin) {
    let bench = Bench::new(&format!("{keys}\n{ADMIN}"));
    let admin = Admin::of(&bench.gateway);
    (bench, admin)
}

/// A tap that is open.
struct Tap {
    raw: Raw,
    unread: String,
}

impl Tap {
    fn open(bench: &Bench, admin: &Admin, query: &str) -> Tap {
        let sessions = admin.told("/sessions");
        let number = sessions["sessions"][0]["number"].as_u64().unwrap();
        let mut raw = admin.tcp();
        raw.send(format!("GET /tap/{number}{query} HTTP/1.1\r\nHost: {}\r\n\r\n", admin.host()));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/x-ndjson"), "{head}");
        bench.gateway.wait_for("tapped", |line| line["message"] == "admin: a session is tapped");
        Tap { raw, unread: String::new() }
    }

    /// The next line, out of chunks as they come.
    fn line(&mut self) -> Value {
        loop {
            if let Some((line, rest)) = self.unread.split_once('\n') {
                let value = serde_json::from_str(line).unwrap();
                self.unread = rest.into();
                return value;
            }
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.extend(self.raw.take(1));
            }
            let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
            assert!(size > 0, "the tap ended");
            let chunk = self.raw.take(size + 2);
            self.unread += std::str::from_utf8(&chunk[..size]).unwrap();
        }
    }

    /// The next frame, without its time.
    fn frame(&mut self) -> Value {
        let mut line = self.line();
        assert!(line["t_ms"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{line}");
        line.as_object_mut().unwrap().remove("t_ms");
        line
    }
}

fn frame(from: &str, to: &str, opcode: &str, size: u64) -> Value {
    json!({ "from": from, "to": to, "opcode": opcode, "fin": true, "rsv1": false, "size": size })
}

#[test]
fn frames_are_told_as_they_pass_and_payload_is_not() {
    let (bench, admin) = bench("");
    let mut ends = bench.open();
    ends.exchange("before");
    let mut tap = Tap::open(&bench, &admin, "");
    ends.exchange("hello");
    assert_eq!(tap.frame(), frame("client", "backend", "text", 5));
    assert_eq!(tap.frame(), frame("backend", "client", "text", 5));
    // Answered here: it goes nowhere, and is told all the same, with the answer.
    ends.client.send(client_frame(0x89, b"there?"));
    ends.client.expect(server_frame(0x8A, b"there?"));
    assert_eq!(tap.frame(), frame("client", "backend", "ping", 6));
    assert_eq!(tap.frame(), frame("gateway", "client", "pong", 6));
    ends.closes(Peer::Client, 1000, "");
    assert_eq!(ends.hears(Peer::Server, 1000), "");
    assert_eq!(tap.frame(), frame("client", "backend", "close", 2));
    ends.closes(Peer::Server, 1000, "");
    assert_eq!(tap.frame(), frame("backend", "client", "close", 2));
    ends.client.expect_close(1000);
    ends.both_end();
    assert_eq!(tap.line(), json!({ "ended": { "by": "client", "cause": "closed", "code": 1000 } }));
    let line =
        bench.gateway.wait_for("over", |line| line["message"] == "admin: a session is not tapped any more");
    assert_eq!(line["session"], 1);
}

#[test]
fn payload_is_told_where_it_is_asked_for_and_never_logged() {
    let (bench, admin) = bench("");
    let mut ends = bench.open();
    let mut tap = Tap::open(&bench, &admin, "?payload=4");
    ends.exchange("secret words");
    for from in ["client", "backend"] {
        let told = tap.frame();
        assert_eq!(
            (told["from"].as_str(), told["payload"].as_str()),
            (Some(from), Some("c2Vjcg==")),
            "{told}"
        );
    }
    drop((ends, tap));
    assert!(!bench.gateway.rest_of_log().iter().any(|line| line.to_string().contains("secr")));
}

/// A large binary frame passes inside the kernel, unless somebody looks on; and that may begin in the middle of it.
#[test]
fn a_look_begins_in_the_middle_of_a_large_frame() {
    const SIZE: usize = 4 << 20;
    let (bench, admin) = bench("");
    let mut ends = bench.open();
    let large = client_frame(0x82, &vec![7; SIZE]);
    let (first, rest) = large.split_at(SIZE / 2);
    ends.client.send(first);
    ends.server.expect(first);
    let mut tap = Tap::open(&bench, &admin, "");
    ends.client.send(rest);
    ends.server.expect(rest);
    ends.client.send(&large);
    ends.server.expect(&large);
    assert_eq!(tap.frame(), frame("client", "backend", "binary", SIZE as u64));
    // Nobody looks any more, and it goes on.
    drop(tap);
    ends.client.send(&large);
    ends.server.expect(&large);
    ends.exchange("after");
}

#[test]
fn a_looker_that_does_not_read_slows_nobody_down() {
    let (bench, admin) = bench("");
    let mut ends = bench.open();
    let mut tap = Tap::open(&bench, &admin, "?payload=1000");
    let said = client_frame(0x82, &[7; 1000]);
    const FRAMES: u64 = 20_000;
    std::thread::scope(|scope| {
        let (client, server) = (&mut ends.client, &mut ends.server);
        scope.spawn(|| (0..FRAMES).for_each(|_| client.send(&said)));
        (0..FRAMES).for_each(|_| server.expect(&said));
    });
    let (mut told, mut missed) = (0, 0);
    while told + missed < FRAMES {
        let line = tap.line();
        match line["missed"].as_u64() {
            Some(more) => missed += more,
            None => told += 1,
        }
        // What was left out last is told with what passes next.
        if told + missed < FRAMES && tap.unread.is_empty() {
            ends.client.send(client_frame(0x82, b"x"));
            ends.server.expect(client_frame(0x82, b"x"));
        }
    }
    assert!(missed > 0 && told > 256, "{told} told, {missed} missed");
}

#[test]
fn taps_are_few_and_of_sessions_that_there_are() {
    let (bench, admin) = bench("");
    let ends = bench.open();
    let taps: Vec<Tap> = (0..8).map(|_| Tap::open(&bench, &admin, "")).collect();
    let number = admin.told("/sessions")["sessions"][0]["number"].as_u64().unwrap();
    assert_eq!(admin.get(&format!("/tap/{number}")).status, 503);
    assert_eq!(admin.get("/tap/77").status, 404);
    assert_eq!(admin.get(&format!("/tap/{number}?payload=all")).status, 400);
    drop(taps);
    within_a_moment("there is room again", || {
        let mut raw = admin.tcp();
        raw.send(format!("GET /tap/{number} HTTP/1.1\r\nHost: {}\r\n\r\n", admin.host()));
        raw.head().starts_with("HTTP/1.1 200 ")
    });
    drop(ends);
}

/// An address that is closed tells nothing any more.
#[test]
fn a_tap_ends_with_the_admin_address() {
    let backend = Backend::start();
    let config = |admin: &str| {
        format!("[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n{admin}", backend.url())
    };
    let gateway = Gateway::start(&config(ADMIN));
    let bench = Bench { gateway, backend };
    let admin = Admin::of(&bench.gateway);
    let mut ends = bench.open();
    let mut tap = Tap::open(&bench, &admin, "?payload=16");
    let without =
        format!("[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n", bench.backend.url());
    bench.gateway.reload(&without);
    bench.gateway.wait_for("over", |line| line["message"] == "admin: a session is not tapped any more");
    ends.exchange("secret");
    assert!(!String::from_utf8_lossy(&tap.raw.rest()).contains("c2VjcmV0"));
}

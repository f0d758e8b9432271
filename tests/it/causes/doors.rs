//! Causes that stand in no table of the product's: what goes wrong before there is a request, and what somebody else says
//! no to, whose status goes to the client as it is.

use super::stage::{Door, Stage};
use super::watch::{Counts, text};

/// The word, and how it is earned.
type Row = (&'static str, fn(&Stage));

/// A listener's own deadline ends it, or its answer.
fn sends(stage: &Stage, door: Door, bytes: &[u8]) {
    let mut client = stage.connect(door);
    client.send(bytes);
    client.rest();
}

/// Somebody behind the gateway answers the handshake, with this status.
fn hears_from(stage: &Stage, route: &str, status: u16) {
    let head = stage.upgrade(route, &[]).head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

const ROWS: [Row; 9] = [
    ("proxy_protocol", |on| sends(on, Door::Introduced, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("tls", |on| sends(on, Door::Tls, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("tls_timeout", |on| sends(on, Door::HastyTls, b"\x16\x03\x01")),
    ("head_timeout", |on| sends(on, Door::Hasty, b"GET / HTTP/1.1\r\n")),
    ("head_too_large", |on| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
        let mut client = on.connect(Door::Plain);
        // It may hang up before it has all of it.
        let _ = std::io::Write::write_all(&mut client.stream, head.as_bytes());
        client.rest();
    }),
    ("request", |on| sends(on, Door::Plain, b"nonsense\r\n\r\n")),
    ("auth_refused", |on| hears_from(on, "auth-strict", 403)),
    ("auth_failed", |on| hears_from(on, "auth-broken", 500)),
    ("backend_status", |on| hears_from(on, "broken", 500)),
];

#[test]
fn of_which_there_is_no_table() {
    let stage = Stage::set();
    for (word, earn) in ROWS {
        let before = stage.watch.counts();
        earn(&stage);
        let line = stage.watch.gateway.wait_for(word, |line| line["cause"] == word);
        let listener = text(&line, "listener");
        let series = format!("framegate_handshakes_refused_total{{listener={listener:?},cause={word:?}}}");
        stage.watch.expect_refusals_counted(&before, &Counts::from([(series, 1)]));
    }
    stage.watch.expect_nothing_more(0, ROWS.len() as u64);
}

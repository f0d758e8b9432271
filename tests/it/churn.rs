//! Ten thousand handshakes that come to nothing: aborted, refused, half open. Afterwards every seat is free, and the
//! process is as large as before.

use crate::support::*;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Instant;

/// Seats of everything that has any.
const QUOTA: usize = 120;

/// Connections that are left half open at any time, the oldest being given up for a new one.
const HALF_OPEN: usize = 20;

const HANDSHAKES: usize = 10_000;

/// What the process needs to do any of this at all it keeps: so many come first.
const WARM_UP: usize = 1600;

fn configuration(listener: &str) -> String {
    let counted = format!(
        "max_connections = {QUOTA}\nmax_connections_per_ip = {QUOTA}\n\
         handshakes_per_ip = {{ per_second = 1000000, burst = 1000000 }}\nhandshake_timeout = \"2s\""
    );
    let route = format!(
        "backend = \"BACKEND\"\nlimits = {{ max_connections = {QUOTA}, max_connections_per_ip = {QUOTA} }}\n\
         rate.handshakes = {{ per_second = 1000000, burst = 1000000 }}"
    );
    let tls = listener.replace("[listener.tls]", &format!("{counted}\n[listener.tls]"));
    format!(
        "workers = 2\nmax_connections = {QUOTA}\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n{counted}\n{tls}\
         [[route]]\nname = \"test\"\n{route}\n\
         [[route]]\nname = \"narrow\"\npath = \"/narrow\"\n{route}\norigin.allow_missing = false\n\
         [[route]]\nname = \"slow\"\npath = \"/slow\"\nbackend = \"ws://127.0.0.1:1\"\n\
         rate.handshakes = {{ per_second = 1, burst = 1 }}\n\
         [[route]]\nname = \"closed\"\npath = \"/closed\"\nbackend = \"ws://127.0.0.1:1\"\n"
    )
}

struct Churn {
    front: Front,
    client: TlsClient,
    half_open: VecDeque<Raw>,
}

impl Churn {
    fn connect(&self, listener: usize) -> Raw {
        Raw::connect(self.front.gateway.listeners[listener])
    }

    /// A connection that has said this and no more.
    fn said(&self, listener: usize, bytes: impl AsRef<[u8]>) -> Raw {
        let mut raw = self.connect(listener);
        // Where it was sent away meanwhile that is one way to come to nothing.
        let _ = std::io::Write::write_all(&mut raw.stream, bytes.as_ref());
        raw
    }

    fn leave_half_open(&mut self, raw: Raw) {
        self.half_open.push_back(raw);
        if self.half_open.len() > HALF_OPEN {
            self.half_open.pop_front();
        }
    }

    /// One handshake that comes to nothing, each in another way than the last.
    fn come_to_nothing(&mut self, number: usize) {
        const HELLO: &[u8] = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
        let upgrade = Ask::new();
        let refused = |path: &str| Ask::new().target(path).bytes();
        match number % 16 {
            0 => self.connect(0).reset(),
            1 => drop(self.connect(0)),
            2 => self.said(0, b"GET / HTTP/1.1\r\nHost: ga").reset(),
            3 => drop(self.said(0, b"GET / HTTP/1.1\r\nHost: ga")),
            4 => self.said(1, HELLO).reset(),
            5 => drop(self.said(1, HELLO)),
            6 => drop(self.said(1, upgrade.bytes()).rest()),
            7 => self.leave_half_open(self.said(0, b"GET / HTTP/1.1\r\n")),
            8 => self.leave_half_open(self.said(1, HELLO)),
            9 => drop(self.said(0, b"nonsense\r\n\r\n").rest()),
            10 => drop(self.said(0, refused("/narrow")).rest()),
            11 => drop(self.said(0, refused("/slow")).rest()),
            12 => drop(self.said(0, refused("/closed")).rest()),
            13 => {
                // TLS stands, and then nothing.
                let address = self.front.gateway.listeners[1];
                let tls = self.client.connect(address, "a.test").unwrap();
                if number % 32 < 16 {
                    Raw::new(tls.stream.sock).reset();
                }
            }
            14 => {
                // The backend says no.
                let mut client = self.said(0, upgrade.bytes());
                let mut server = self.front.backend.accept();
                server.head();
                server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                client.rest();
            }
            _ => {
                // The client does not wait for the backend.
                let client = self.said(0, upgrade.bytes());
                let mut server = self.front.backend.accept();
                server.head();
                client.reset();
                server.rest();
            }
        }
    }

    /// Until the gateway has no connection left.
    fn settle(&mut self, descriptors: usize) {
        self.half_open.clear();
        let since = Instant::now();
        while self.front.gateway.descriptors() > descriptors {
            assert!(
                since.elapsed() < SOON,
                "{} connections stay",
                self.front.gateway.descriptors() - descriptors
            );
            std::thread::yield_now();
        }
    }
}

#[test]
fn handshakes_that_come_to_nothing_leave_nothing() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let front = Front::configured(&configuration(&authority.listener(&["a.test"], "")));
    let descriptors = front.gateway.descriptors();
    let mut churn = Churn { front, client: authority.client(), half_open: VecDeque::new() };
    (0..WARM_UP).for_each(|number| churn.come_to_nothing(number));
    churn.settle(descriptors);
    let before = churn.front.gateway.resident();
    (0..HANDSHAKES).for_each(|number| churn.come_to_nothing(number));
    churn.settle(descriptors);
    let after = churn.front.gateway.resident();
    println!("{HANDSHAKES} handshakes: {} KiB before, {} KiB after", before / 1024, after / 1024);
    assert!(after < before + (512 << 10), "{before} before, {after} after");

    // The full quota opens, of everything that counts: one seat that was not given back would be missing here.
    let Front { gateway, backend } = churn.front;
    let sessions: Vec<_> = (0..QUOTA).map(|_| gateway.open_session(&backend)).collect();
    expect_refusal(&mut gateway.connect(), 503, "limit.process");
    drop(sessions);
    (0..QUOTA).for_each(|_| drop(gateway.ended()));
    let sessions: Vec<_> = (0..QUOTA).map(|_| open_over_tls(&gateway, &backend, &churn.client)).collect();
    expect_refusal(&mut gateway.connect(), 503, "limit.process");
    drop(sessions);
    (0..QUOTA).for_each(|_| drop(gateway.ended()));
    let log = gateway.rest_of_log();
    let stopped = log.iter().find(|line| line["message"] == "stopped").unwrap();
    assert_eq!(stopped["seats"], 0, "{stopped:#}");
    // They came to nothing for reasons of their own, not because the house was full.
    let full = |line: &&Value| line["cause"].as_str().is_some_and(|cause| cause.starts_with("limit."));
    let full: u64 = log.iter().filter(full).map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert!(full < HANDSHAKES as u64 / 10, "{full} of {HANDSHAKES}");
}

fn open_over_tls(gateway: &Gateway, backend: &Backend, client: &TlsClient) -> (TlsRaw, Raw) {
    let mut client = client.connect(gateway.listeners[1], "a.test").unwrap();
    client.send(Ask::new().bytes());
    let (_, server) = backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    (client, server)
}

//! How sessions end: whatever a peer does or leaves undone.

use super::table;
use super::violations::violations;
use super::watch::{Watch, text};
use crate::support::*;
use framegate::relay::{By, Cause};
use serde_json::Value;
use std::collections::BTreeMap;

/// How a session is brought to its end.
pub struct Way {
    /// Its route, which has these keys; `later`: these instead, once the session is in the list.
    pub route: &'static str,
    pub keys: &'static str,
    pub later: Option<&'static str>,
    pub opening: Opening,
    pub act: Act,
    /// What its last line has to say.
    pub by: By,
    pub about: Option<Peer>,
    pub code: u64,
    pub rule: &'static str,
}

/// What it carries before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Full,
    Text,
    Nothing,
}

type Act = Box<dyn Fn(Ends)>;

impl Way {
    fn new(by: By, code: u64, act: impl Fn(Ends) + 'static) -> Way {
        let about = match by {
            By::Client => Some(Peer::Client),
            By::Backend => Some(Peer::Server),
            By::Gateway => None,
        };
        let (route, keys, later, opening, rule) = ("plain", "", None, Opening::Full, "");
        Way { route, keys, later, opening, act: Box::new(act), by, about, code, rule }
    }

    /// The gateway ends it because of what this peer does on a route with these keys.
    pub fn offence(about: Peer, code: u64, act: impl Fn(Ends) + 'static) -> Way {
        Way { about: Some(about), ..Way::new(By::Gateway, code, act) }
    }

    pub fn on(self, route: &'static str, keys: &'static str) -> Way {
        Way { route, keys, ..self }
    }

    /// On a route of its own, whose keys become these when the session is in the list: a session that has little time
    /// might be gone before anybody looked.
    pub fn later(self, route: &'static str, later: &'static str) -> Way {
        Way { route, later: Some(later), ..self }
    }

    pub fn opening(self, opening: Opening) -> Way {
        Way { opening, ..self }
    }

    fn open(&self, watch: &Watch, id: &str) -> (Ends, Value) {
        match self.opening {
            Opening::Full => watch.open(id, self.route),
            Opening::Text => watch.open_text(id, self.route),
            Opening::Nothing => {
                let ends = watch.open_silent(id, self.route, "");
                let listed = watch.listed_with(id, [[0; 6]; 2]);
                (ends, listed)
            }
        }
    }

    fn expect_told(&self, line: &Value) {
        let about = self.about.map_or("", Peer::word);
        assert_eq!((text(line, "by"), text(line, "about")), (self.by.word(), about), "{line:#}");
        assert_eq!((line["code"].as_u64(), text(line, "rule")), (Some(self.code), self.rule), "{line:#}");
    }
}

/// Hears out this peer's Close, past pings and data, and leaves.
pub fn hears(mut ends: Ends, peer: Peer, code: u64) {
    let end = ends.of(peer).0;
    let payload = loop {
        match end.frame() {
            (0x88, payload) => break payload,
            (0x81 | 0x82 | 0x89 | 0x8A, _) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(payload[..2], u16::try_from(code).unwrap().to_be_bytes());
}

/// `peer` says this as its Close, and both go their ways in good order.
fn closes(peer: Peer, payload: &'static [u8]) -> impl Fn(Ends) {
    move |mut ends| {
        for side in [peer, peer.other()] {
            let close = side.frame(0x88, payload);
            let (from, to) = ends.of(side);
            from.send(&close);
            assert_eq!(to.expect_frame(0x88), payload);
        }
        ends.both_end();
    }
}

/// Is gone without a word; the other one is told.
fn vanishes(peer: Peer, code: u64) -> impl Fn(Ends) {
    move |ends| {
        let Ends { client, server } = ends;
        let mut stays = match peer {
            Peer::Client => {
                client.reset();
                server
            }
            Peer::Server => {
                drop(server);
                client
            }
        };
        stays.expect_close(u16::try_from(code).unwrap());
    }
}

/// This peer takes nothing more, whatever the other one sends.
fn is_stuck(peer: Peer) -> impl Fn(Ends) {
    move |mut ends| {
        let told = if peer == Peer::Client { 1001 } else { 1012 };
        let frame = peer.other().frame(0x82, &[6; 50_000]);
        ends.of(peer.other()).0.flooding(&frame, |flooder| drop(flooder.expect_close(told)));
    }
}

const NO_PINGS: &str = "heartbeat = { ping_interval = \"none\", backend_ping_interval = \"none\" }";

table!(pub ends: Cause => Vec<Way> {
    Closed => vec![
        Way::new(By::Client, 1000, closes(Peer::Client, b"\x03\xE8bye")),
        Way::new(By::Backend, 4001, closes(Peer::Server, b"\x0F\xA1")),
        Way::new(By::Backend, 3500, closes(Peer::Server, b"\x0D\xAC")),
        Way::new(By::Client, 0, closes(Peer::Client, b"")),
    ],
    ClientLost => vec![Way::new(By::Client, 1001, vanishes(Peer::Client, 1001))],
    BackendLost => vec![Way::new(By::Backend, 1012, vanishes(Peer::Server, 1012))],
    PongTimeout => vec![
        Way::offence(Peer::Client, 1001, |ends| hears(ends, Peer::Client, 1001)).later(
            "silent-client",
            "heartbeat = { ping_interval = \"50ms\", backend_ping_interval = \"none\", pong_timeout = \"50ms\" }",
        ),
        Way::offence(Peer::Server, 1001, |ends| hears(ends, Peer::Client, 1012)).later(
            "silent-backend",
            "heartbeat = { ping_interval = \"none\", backend_ping_interval = \"50ms\", pong_timeout = \"50ms\" }",
        ),
    ],
    Idle => vec![
        Way::offence(Peer::Client, 1001, |ends| hears(ends, Peer::Client, 1001))
            .later("idle", "timeouts.idle = \"50ms\""),
    ],
    DataIdle => vec![
        Way::offence(Peer::Client, 1001, |ends| hears(ends, Peer::Client, 1001))
            .later("data-idle", "timeouts.data_idle = \"50ms\""),
    ],
    FirstMessage => vec![
        Way::offence(Peer::Client, 1001, |ends| hears(ends, Peer::Client, 1001))
            .later("first-message", "timeouts.first_message = \"50ms\"")
            .opening(Opening::Nothing),
    ],
    WriteTimeout => vec![
        Way::offence(Peer::Client, 1001, is_stuck(Peer::Client))
            .later("stuck-client", "timeouts.write = \"100ms\""),
        Way::offence(Peer::Server, 1001, is_stuck(Peer::Server))
            .later("stuck-backend", "timeouts.write = \"100ms\""),
    ],
    Age => vec![
        Way::new(By::Gateway, 1012, |ends| hears(ends, Peer::Client, 1012))
            .later("age", "timeouts.max_connection_age = \"50ms\""),
    ],
    // A defect of ours. No client knows of one, and if one did it would be mended: what its line says is tested where
    // the session is dropped (src/session.rs).
    Broken => Vec::new(),
} besides { Violation, Order });

/// Each way, with the cause it must have and an id.
fn ways() -> Vec<(Cause, String, Way)> {
    let broken_rules = violations().into_iter().map(|(rule, ways)| (Cause::Violation(rule), ways));
    let all = ends().into_iter().chain(broken_rules);
    let all = all.flat_map(|(cause, ways)| ways.into_iter().map(move |way| (cause, way)));
    let named =
        |(number, (cause, way)): (usize, (Cause, Way))| (cause, format!("{}-{number}", cause.word()), way);
    all.enumerate().map(named).collect()
}

/// A listener and these routes, each by its name with its keys.
fn configuration(routes: impl Iterator<Item = (&'static str, String)>) -> String {
    let routes: BTreeMap<_, _> = routes.collect();
    let route = |(name, keys)| {
        format!("[[route]]\nname = \"{name}\"\npath = \"/{name}/*\"\nbackend = \"BACKEND\"\n{keys}\n")
    };
    let routes: String = routes.into_iter().map(route).collect();
    format!("[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n{routes}")
}

#[test]
fn at_once() {
    let ways: Vec<_> = ways().into_iter().filter(|(_, _, way)| way.later.is_none()).collect();
    let watch =
        Watch::start(&configuration(ways.iter().map(|(_, _, way)| (way.route, way.keys.to_string()))));
    let count = ways.len() as u64;
    for (cause, id, way) in ways {
        let before = watch.counts();
        let (ends, listed) = way.open(&watch, &id);
        (way.act)(ends);
        let lines = watch.expect_agreement(&before, &[(cause, &listed)]);
        way.expect_told(&lines[0]);
    }
    watch.expect_nothing_more(count, 0);
}

/// All of them wait at the same time.
#[test]
fn in_time() {
    let ways: Vec<_> = ways().into_iter().filter(|(_, _, way)| way.later.is_some()).collect();
    let routes = |later: bool| {
        configuration(ways.iter().map(move |(_, _, way)| {
            let keys = if later { way.later.unwrap() } else { "" };
            // Where pings are not what it is about, there are none.
            let pings = if keys.contains("heartbeat") { "" } else { NO_PINGS };
            (way.route, format!("{pings}\n{keys}"))
        }))
    };
    let watch = Watch::start(&routes(false));
    let before = watch.counts();
    let (ends, listed): (Vec<_>, Vec<_>) = ways.iter().map(|(_, id, way)| way.open(&watch, id)).unzip();
    watch.reload(&routes(true));
    for ((_, _, way), ends) in ways.iter().zip(ends) {
        (way.act)(ends);
    }
    let sessions: Vec<_> = ways.iter().map(|(cause, _, _)| *cause).zip(&listed).collect();
    for ((_, _, way), line) in ways.iter().zip(watch.expect_agreement(&before, &sessions)) {
        way.expect_told(&line);
    }
    watch.expect_nothing_more(ways.len() as u64, 0);
}

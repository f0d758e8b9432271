//! A gateway whose log, metrics and list of sessions are looked at, and whether they agree.

use crate::support::*;
use framegate::relay::Cause;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

pub struct Watch {
    pub gateway: Gateway,
    pub backend: Backend,
    pub admin: Admin,
}

/// What was counted, by series.
pub type Counts = BTreeMap<String, u64>;

/// Counters that somebody's end or refusal moves. Gauges and histograms of times are left to those that know them.
const WATCHED: [&str; 8] = [
    "framegate_sessions_opened_total",
    "framegate_sessions_ended_total",
    "framegate_session_duration_seconds_count",
    "framegate_violations_total",
    "framegate_messages_total",
    "framegate_payload_bytes_total",
    "framegate_control_frames_total",
    "framegate_handshakes_refused_total",
];

/// What both the list and the last line say of a session's traffic, in the words of each: `text_messages` of the list is
/// `client_text` of the line.
const FIGURES: [(&str, &str); 6] = [
    ("text_messages", "text"),
    ("text_bytes", "text_bytes"),
    ("binary_messages", "binary"),
    ("binary_bytes", "binary_bytes"),
    ("pings", "pings"),
    ("pongs", "pongs"),
];

impl Watch {
    /// This configuration with an admin address, in which `BACKEND` stands for the URL of a scripted backend, and `HOST` for its
    /// address and port.
    pub fn start(config: &str) -> Watch {
        Watch::start_in(tempfile::tempdir().unwrap(), config)
    }

    pub fn start_in(dir: tempfile::TempDir, config: &str) -> Watch {
        let backend = Backend::start();
        let gateway = Gateway::start_in(dir, &Watch::complete(config, &backend));
        Watch::ready(gateway, backend)
    }

    /// With this many file descriptors and no more.
    pub fn start_with_descriptors(limit: usize, config: &str) -> Watch {
        let backend = Backend::start();
        let gateway = Gateway::start_with_descriptors(limit, &Watch::complete(config, &backend));
        Watch::ready(gateway, backend)
    }

    fn ready(gateway: Gateway, backend: Backend) -> Watch {
        let admin = Admin::of(&gateway);
        Watch { gateway, backend, admin }
    }

    fn complete(config: &str, backend: &Backend) -> String {
        format!("{config}\n{ADMIN}")
            .replace("BACKEND", &backend.url())
            .replace("HOST", &backend.address.to_string())
    }

    /// Another configuration of the same kind.
    pub fn reload(&self, config: &str) -> Value {
        self.gateway.reload(&Watch::complete(config, &self.backend))
    }

    /// A session under this id on the route of this name, which is also its path. It has carried a message of each kind
    /// each way and a ping each way, and the list says so.
    pub fn open(&self, id: &str, route: &str) -> (Ends, Value) {
        let mut ends = self.open_silent(id, route, "");
        for (kind, message) in [(0x81, &b"hello"[..]), (0x82, &[0xFF; 300])] {
            for from in Peer::BOTH {
                let (sender, receiver) = ends.of(from);
                sender.send(from.frame(kind, message));
                receiver.expect(from.frame(kind, message));
            }
        }
        self.pinged(id, ends, [1, 5, 1, 300, 1, 0])
    }

    /// The same on a route that carries text only.
    pub fn open_text(&self, id: &str, route: &str) -> (Ends, Value) {
        let mut ends = self.open_silent(id, route, "");
        ends.exchange("hello");
        self.pinged(id, ends, [1, 5, 0, 0, 1, 0])
    }

    fn pinged(&self, id: &str, mut ends: Ends, figures: [u64; 6]) -> (Ends, Value) {
        for from in Peer::BOTH {
            let end = ends.of(from).0;
            end.send(from.frame(0x89, b"there?"));
            assert_eq!(end.expect_frame(0x8A), b"there?");
        }
        let listed = self.listed_with(id, [figures; 2]);
        (ends, listed)
    }

    /// A session that has carried nothing, with more lines in its request.
    pub fn open_silent(&self, id: &str, route: &str, more: &str) -> Ends {
        let mut client = self.gateway.connect();
        client.send(upgrade_request(&format!("/{route}/"), &format!("X-Request-Id: {id}\r\n{more}")));
        let (_, server) = self.backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ends { client, server }
    }

    /// The session as the list has it, once the figures of client and backend are these.
    pub fn listed_with(&self, id: &str, figures: [[u64; 6]; 2]) -> Value {
        let since = Instant::now();
        loop {
            let listed = self.admin.told(&format!("/sessions/{id}"));
            let of = |from: &str| FIGURES.map(|(name, _)| listed[from][name].as_u64().unwrap());
            if [of("from_client"), of("from_backend")] == figures {
                return listed;
            }
            assert!(since.elapsed() < SOON, "{figures:?} is not {listed:#}");
            std::thread::yield_now();
        }
    }

    /// What is counted so far.
    pub fn counts(&self) -> Counts {
        let Figures(all) = Figures::read(&self.admin.get("/metrics").body);
        let is_watched = |series: &str| WATCHED.contains(&series.split('{').next().unwrap());
        all.into_iter()
            .filter(|(series, _)| is_watched(series))
            .map(|(series, n)| (series, n as u64))
            .collect()
    }

    /// Of refusals, nothing else was counted since `before` than these.
    pub fn expect_refusals_counted(&self, before: &Counts, expected: &Counts) {
        self.expect_counted("framegate_handshakes_refused_total", before, expected);
    }

    /// Of series that begin so, nothing else was counted since `before` than these, and these so often.
    fn expect_counted(&self, prefix: &str, before: &Counts, expected: &Counts) {
        let since = Instant::now();
        loop {
            let mut counted = self.counts();
            for (series, value) in &mut counted {
                *value -= before.get(series).copied().unwrap_or_default();
            }
            counted.retain(|series, more| series.starts_with(prefix) && *more > 0);
            if counted == *expected {
                return;
            }
            assert!(since.elapsed() < SOON, "counted {counted:#?}\nand not {expected:#?}");
            std::thread::yield_now();
        }
    }

    /// The last line of the session with this id.
    pub fn ended(&self, id: &str) -> Value {
        self.gateway.wait_for(id, |line| line["message"] == "session ended" && line["id"] == id)
    }

    /// These sessions ended since `before`, each for this cause: their lines say so, the list has forgotten them, and the
    /// metrics count what the lines say, once.
    pub fn expect_agreement(&self, before: &Counts, sessions: &[(Cause, &Value)]) -> Vec<Value> {
        let lines: Vec<Value> = sessions.iter().map(|(_, listed)| self.ended(text(listed, "id"))).collect();
        let mut expected = Counts::new();
        for ((cause, listed), line) in sessions.iter().zip(&lines) {
            assert_eq!(text(line, "cause"), cause.word(), "{line:#}");
            expect_same_session(listed, line);
            for (series, more) in told_by(line) {
                *expected.entry(series).or_default() += more;
            }
            let path = format!("/sessions/{}", text(listed, "id"));
            within_a_moment("the session leaves the list", || self.admin.get(&path).status == 404);
        }
        expected.retain(|_, more| *more > 0);
        self.expect_counted("", before, &expected);
        lines
    }

    /// As many sessions ended as have a last line, and none is left: nothing was counted twice after all.
    pub fn expect_nothing_more(self, sessions: u64, refused: u64) {
        within_a_moment("nobody is left", || self.admin.told("/sessions")["total"] == 0);
        let counts = self.counts();
        let sum = |family: &str| {
            let of_it = counts.iter().filter(|(series, _)| series.starts_with(family));
            of_it.map(|(_, count)| count).sum::<u64>()
        };
        assert_eq!(sum("framegate_sessions_opened_total"), sessions);
        assert_eq!(sum("framegate_sessions_ended_total"), sessions);
        assert_eq!(sum("framegate_handshakes_refused_total"), refused);
        let log = self.gateway.rest_of_log();
        let more = log.iter().find(|line| ["session ended", "handshake refused"].contains(&message(line)));
        assert_eq!(more, None);
    }
}

/// The list and the line mean the same session, and the line has no figure that is smaller.
fn expect_same_session(listed: &Value, line: &Value) {
    for (name, in_line) in [("route", "route"), ("listener", "listener"), ("server", "backend")] {
        assert_eq!(text(listed, name), text(line, in_line), "{name}");
    }
    for name in ["client", "subprotocol"] {
        assert_eq!(listed[name].as_str().unwrap_or_default(), text(line, name), "{name}");
    }
    assert!(listed["age_ms"].as_u64() <= line["duration_ms"].as_u64());
    for peer in Peer::BOTH {
        let of_peer = &listed[format!("from_{}", peer.word())];
        for (name, in_line) in FIGURES {
            let told = line[format!("{}_{in_line}", peer.word())].as_u64();
            assert!(
                told.is_some() && of_peer[name].as_u64() <= told,
                "{name} from {}: {line:#}",
                peer.word()
            );
        }
    }
}

/// What the metrics have to say of a session with this last line.
fn told_by(line: &Value) -> Counts {
    let [route, by, cause, rule, about] =
        ["route", "by", "cause", "rule", "about"].map(|key| text(line, key));
    let code = match line["code"].as_u64().unwrap() {
        0 => "none".to_string(),
        library @ 3000..4000 if ![3000, 3003, 3008].contains(&library) => "3xxx".to_string(),
        4000..5000 => "4xxx".to_string(),
        code => code.to_string(),
    };
    let mut counts = Counts::from([
        (format!("framegate_sessions_opened_total{{route={route:?}}}"), 1),
        (format!("framegate_session_duration_seconds_count{{route={route:?}}}"), 1),
        (
            format!(
                "framegate_sessions_ended_total{{route={route:?},by={by:?},cause={cause:?},code={code:?}}}"
            ),
            1,
        ),
    ]);
    if !rule.is_empty() {
        let series = format!("framegate_violations_total{{route={route:?},from={about:?},rule={rule:?}}}");
        counts.insert(series, 1);
    }
    for peer in Peer::BOTH.map(Peer::word) {
        for (family, opcode, key) in [
            ("messages", "text", "text"),
            ("messages", "binary", "binary"),
            ("payload_bytes", "text", "text_bytes"),
            ("payload_bytes", "binary", "binary_bytes"),
            ("control_frames", "ping", "pings"),
            ("control_frames", "pong", "pongs"),
        ] {
            let series =
                format!("framegate_{family}_total{{route={route:?},from={peer:?},opcode={opcode:?}}}");
            counts.insert(series, line[format!("{peer}_{key}")].as_u64().unwrap());
        }
    }
    counts
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value:#}"))
}

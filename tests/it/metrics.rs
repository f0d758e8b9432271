//! Metrics: they move as things happen, agree with the log, never go backwards, and hold nothing that a client said.

use crate::support::*;
use framegate::observe::metrics::families;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// To be put behind the rest of a configuration.
const ADMIN: &str = "\n[admin]\nbind = \"127.0.0.1:0\"\n";

fn bench(route: &str) -> (Bench, Scraper) {
    let bench = Bench::new(&format!("{route}{ADMIN}"));
    let scraper = Scraper::of(&bench.gateway);
    (bench, scraper)
}

/// A session's worth of good manners: the client closes and the backend answers.
fn close(mut ends: Ends, code: u16) {
    ends.closes(Peer::Client, code, "");
    ends.hears(Peer::Server, code);
    ends.closes(Peer::Server, code, "");
    ends.hears(Peer::Client, code);
    ends.both_end();
}

#[test]
fn a_session_is_counted_while_it_lives() {
    let (bench, scraper) = bench("heartbeat = { mode = \"forward\" }");
    let before = scraper.figures();
    for series in [
        "framegate_sessions{route=\"test\"}",
        "framegate_sessions_opened_total{route=\"test\"}",
        "framegate_messages_total{route=\"test\",from=\"client\",opcode=\"text\"}",
        "framegate_handshake_duration_seconds_count{listener=\"plain\"}",
        "framegate_connections{listener=\"plain\"}",
    ] {
        assert_eq!(before.get(series), 0.0, "{series} stands before the first client comes");
    }
    let mut ends = bench.open();
    for message in [server_frame(0x81, b"hello"), server_frame(0x82, b"raw"), server_frame(0x8A, b"")] {
        ends.server.send(&message);
        ends.client.expect(&message);
    }
    let ping = client_frame(0x89, b"?");
    ends.client.send(&ping);
    ends.server.expect(&ping);
    let passed = |from: &str, opcode: &str| format!("{{route=\"test\",from=\"{from}\",opcode=\"{opcode}\"}}");
    let live = [
        ("framegate_sessions{route=\"test\"}".to_string(), 1.0),
        ("framegate_sessions_opened_total{route=\"test\"}".into(), 1.0),
        ("framegate_connections{listener=\"plain\"}".into(), 1.0),
        ("framegate_handshake_duration_seconds_count{listener=\"plain\"}".into(), 1.0),
        (format!("framegate_messages_total{}", passed("backend", "text")), 1.0),
        (format!("framegate_payload_bytes_total{}", passed("backend", "text")), 5.0),
        (format!("framegate_payload_bytes_total{}", passed("backend", "binary")), 3.0),
        (format!("framegate_control_frames_total{}", passed("backend", "pong")), 1.0),
        (format!("framegate_control_frames_total{}", passed("client", "ping")), 1.0),
        (format!("framegate_messages_total{}", passed("client", "text")), 0.0),
    ];
    live.iter().for_each(|(series, value)| scraper.comes_to(series, *value));
    let servers = bench.backend.url();
    // A backend that is named by its address alone has a name of its own, which is the address's.
    let at = |figures: &Figures, name: &str| figures.sum(name);
    let now = scraper.figures();
    assert_eq!(
        (at(&now, "framegate_server_sessions"), at(&now, "framegate_server_up")),
        (1.0, 1.0),
        "{servers}"
    );
    assert_eq!(at(&now, "framegate_backend_dial_duration_seconds_count"), 1.0);
    close(ends, 1000);
    scraper.comes_to("framegate_connections{listener=\"plain\"}", 0.0);
    let after = scraper.figures();
    assert_eq!(after.get("framegate_sessions{route=\"test\"}"), 0.0);
    assert_eq!(at(&after, "framegate_server_sessions"), 0.0);
    let ended = "framegate_sessions_ended_total{route=\"test\",by=\"client\",cause=\"closed\",code=\"1000\"}";
    assert_eq!(after.get(ended), 1.0);
    assert_eq!(after.get("framegate_session_duration_seconds_count{route=\"test\"}"), 1.0);
    for (series, value) in live.iter().filter(|(series, _)| series.contains("_total")) {
        assert_eq!(after.get(series), *value, "{series} after the end");
    }
}

#[test]
fn pings_are_timed() {
    let (bench, scraper) =
        bench("heartbeat = { ping_interval = \"50ms\", backend_ping_interval = \"none\" }");
    let mut ends = bench.open();
    let payload = ends.client.expect_frame(0x89);
    ends.client.send(client_frame(0x8A, &payload));
    scraper.comes_to("framegate_ping_rtt_seconds_count{leg=\"client\"}", 1.0);
    let figures = scraper.figures();
    assert_eq!(figures.get("framegate_ping_rtt_seconds_count{leg=\"backend\"}"), 0.0);
    assert!(figures.get("framegate_ping_rtt_seconds_sum{leg=\"client\"}") > 0.0);
}

#[test]
fn what_waits_and_who_is_made_to_wait() {
    let (bench, scraper) = bench("rate = { messages = { per_second = 5, burst = 1 } }");
    let mut ends = bench.open_narrow();
    ends.client.send(text("now").repeat(3));
    for _ in 0..3 {
        ends.server.expect(text("now"));
    }
    let throttled = scraper.figures().get("framegate_throttled_seconds_total{route=\"test\"}");
    assert!((0.2..4.0).contains(&throttled), "two messages of five a second: {throttled}");
    assert_eq!(scraper.figures().get("framegate_buffered_bytes"), 0.0);
    // The client takes nothing, and so much fits into no socket on the way.
    let mut server = ends.server.stream.try_clone().unwrap();
    std::thread::spawn(move || server.write_all(&server_frame(0x82, &vec![0; 64 << 20])));
    within_a_moment("bytes wait", || scraper.figures().get("framegate_buffered_bytes") > 0.0);
    drop(ends.client);
    scraper.comes_to("framegate_buffered_bytes", 0.0);
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Sessions open, speak and end in many threads while somebody asks again and again.
#[test]
fn no_counter_ever_goes_backwards() {
    let servant = Servant::start("servant", Manner::Serve);
    let gateway = Gateway::in_front_of_address(servant.address, ADMIN);
    let scraper = Scraper::of(&gateway);
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let is_counter = |series: &&String| {
        let name = series.split('{').next().unwrap();
        name.starts_with("framegate_")
            && ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
    };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (gateway, done, sent) = (gateway.address(), &done, &sent);
            scope.spawn(move || {
                let mut turn = number;
                while !done.load(Ordering::Relaxed) {
                    let mut client = Raw::connect(gateway);
                    client.send(upgrade_request("/", ""));
                    assert!(client.head().starts_with("HTTP/1.1 101 "));
                    for _ in 0..turn % 7 {
                        client.send(text("twelve bytes"));
                    }
                    sent.fetch_add(turn % 7, Ordering::Relaxed);
                    // By then all of it has passed: the pong comes from the gateway.
                    client.send(client_frame(0x89, b""));
                    client.expect_frame(0x8A);
                    match turn % 3 {
                        0 => client.reset(),
                        1 => drop(client),
                        _ => {
                            client.send(client_frame(0x88, &close_payload(1000, "")));
                            client.expect_close(1000);
                        }
                    }
                    turn += 1;
                }
            });
        }
        // Also where an assertion fails: the others are waited for.
        let stop = OnDrop(|| done.store(true, Ordering::Relaxed));
        let since = Instant::now();
        let (mut before, mut scrapes) = (scraper.figures(), 0);
        let is_enough = |scrapes: u32| {
            scrapes > 20 && sent.load(Ordering::Relaxed) > 100 && since.elapsed() > AT_ONCE / 2
        };
        while !is_enough(scrapes) {
            assert!(since.elapsed() < SOON, "{scrapes} scrapes, {} messages", sent.load(Ordering::Relaxed));
            let now = scraper.figures();
            for (series, value) in before.0.iter().filter(|(series, _)| is_counter(series)) {
                assert!(now.get(series) >= *value, "{series} was {value} and is {}", now.get(series));
            }
            (before, scrapes) = (now, scrapes + 1);
        }
        drop(stop);
    });
    let all = sent.load(Ordering::Relaxed) as f64;
    scraper.comes_to("framegate_connections{listener=\"plain\"}", 0.0);
    let (figures, labels) = (scraper.figures(), "{route=\"test\",from=\"client\",opcode=\"text\"}");
    assert_eq!(figures.get(&format!("framegate_messages_total{labels}")), all);
    assert_eq!(figures.get(&format!("framegate_payload_bytes_total{labels}")), 12.0 * all);
    let opened = figures.get("framegate_sessions_opened_total{route=\"test\"}");
    assert_eq!(figures.sum("framegate_sessions_ended_total"), opened);
}

/// What the log says happened, counted as the metrics count it.
fn told_by_the_log(lines: &[Value]) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let word = |key: &str| line[key].as_str().unwrap_or_default();
        let series = match word("message") {
            "handshake refused" | "handshake answered by the backend" => {
                let (listener, cause) = (word("listener"), word("cause"));
                vec![format!(
                    "framegate_handshakes_refused_total{{listener=\"{listener}\",cause=\"{cause}\"}}"
                )]
            }
            "session ended" => {
                let (route, by, cause) = (word("route"), word("by"), word("cause"));
                let code = match line["code"].as_u64().unwrap() {
                    0 => "none".into(),
                    3001.. => format!("{}xxx", line["code"].as_u64().unwrap() / 1000),
                    code => code.to_string(),
                };
                let ended = format!(
                    "framegate_sessions_ended_total{{route=\"{route}\",by=\"{by}\",cause=\"{cause}\",code=\"{code}\"}}"
                );
                let (about, rule) = (word("about"), word("rule"));
                let broken = format!(
                    "framegate_violations_total{{route=\"{route}\",from=\"{about}\",rule=\"{rule}\"}}"
                );
                if rule.is_empty() { vec![ended] } else { vec![ended, broken] }
            }
            _ => continue,
        };
        for series in series {
            *counts.entry(series).or_default() += 1.0;
        }
    }
    counts
}

/// Everything of these three that is counted is in the log, and the other way round. Ends the gateway.
fn agrees_with_the_log(gateway: Gateway, scraper: Scraper) -> BTreeMap<String, f64> {
    let figures = scraper.figures();
    let names = [
        "framegate_handshakes_refused_total",
        "framegate_sessions_ended_total",
        "framegate_violations_total",
    ];
    let counted: BTreeMap<String, f64> = names
        .iter()
        .flat_map(|name| figures.like(name))
        .map(|(series, value)| (series.clone(), *value))
        .collect();
    assert_eq!(counted, told_by_the_log(&gateway.rest_of_log()));
    counted
}

#[test]
fn each_end_has_its_series() {
    let (bench, scraper) =
        bench("limits.client.max_message_size = \"1KiB\"\ntimeouts.first_message = \"3s\"");
    let violations: [(&[u8], u16); 3] = [
        (&[0x83, 0x80], 1002),
        (&client_frame(0x81, b"\xFF"), 1007),
        (&[0x82, 0xFE, 0x10, 0x00, 1, 2, 3, 4], 1009),
    ];
    for (bytes, code) in violations {
        let mut ends = bench.open();
        ends.client.send(bytes);
        ends.hears(Peer::Client, code);
    }
    for (peer, code) in
        [(Peer::Client, 1000), (Peer::Client, 3000), (Peer::Client, 3999), (Peer::Server, 4000)]
    {
        let mut ends = bench.open();
        ends.closes(peer, code, "");
        ends.hears(peer.other(), code);
    }
    let mut empty = bench.open();
    empty.client.send(client_frame(0x88, b""));
    empty.server.expect_frame(0x88);
    for lost in Peer::BOTH {
        let mut ends = bench.open();
        ends.of(lost).0.finish();
        ends.of(lost.other()).0.expect_frame(0x88);
    }
    let mut silent = bench.open();
    silent.hears(Peer::Client, 1001);
    drop((empty, silent));
    scraper.comes_to("framegate_sessions{route=\"test\"}", 0.0);
    let counted = agrees_with_the_log(bench.gateway, scraper);
    let has = |part: &str| counted.keys().any(|series| series.contains(part));
    for part in [
        "by=\"gateway\",cause=\"protocol\",code=\"1002\"",
        "by=\"gateway\",cause=\"utf8\",code=\"1007\"",
        "by=\"gateway\",cause=\"limit.message\",code=\"1009\"",
        "by=\"gateway\",cause=\"timeout.first_message\",code=\"1001\"",
        "by=\"client\",cause=\"closed\",code=\"1000\"",
        "by=\"client\",cause=\"closed\",code=\"3000\"",
        "by=\"client\",cause=\"closed\",code=\"3xxx\"",
        "by=\"backend\",cause=\"closed\",code=\"4xxx\"",
        "by=\"client\",cause=\"closed\",code=\"none\"",
        "by=\"client\",cause=\"client_lost\"",
        "by=\"backend\",cause=\"backend_lost\"",
        "from=\"client\",rule=\"reserved opcode\"",
        "from=\"client\",rule=\"text not UTF-8\"",
        "from=\"client\",rule=\"max_message_size\"",
    ] {
        assert!(has(part), "{part}: {counted:#?}");
    }
}

#[test]
fn each_refusal_has_its_series() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let (servant, gone) = (Servant::start("servant", Manner::Answer(418)), Servant::gone());
    let route =
        |name: &str, keys: &str| format!("[[route]]\nname = \"{name}\"\npath = \"/{name}\"\n{keys}\n");
    let gateway = Gateway::start(&format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\nhandshake_timeout = \"2s\"\n{}{}{}{}{}{ADMIN}",
        authority.listener(&["a.test"], "").replacen("bind", "name = \"tls\"\nbind", 1),
        route("teapot", &format!("backend = \"{}\"\nhttp = \"reject\"", servant.url())),
        route("gone", &format!("backend = \"{}\"", gone.url())),
        route("near", &format!("backend = \"{}\"\naccess.deny = [\"127.0.0.0/8\"]", servant.url())),
        route(
            "told",
            &format!("backend = \"{}\"\nrefuse = \"close\"\naccess.deny = [\"127.0.0.0/8\"]", servant.url())
        ),
    ));
    let scraper = Scraper::of(&gateway);
    let asks = [
        Ask::new().target("/nowhere"),
        Ask::new().target("/teapot"),
        Ask::plain().target("/teapot"),
        Ask::new().target("/teapot").with(&["Origin: http://elsewhere.test"]),
        Ask::new().target("/teapot").with(&["Sec-WebSocket-Version: 8"]),
        Ask::new().target("/teapot").with(&["-Sec-WebSocket-Key"]),
        Ask::new().target("/gone"),
        Ask::new().target("/near"),
        Ask::new().target("/%"),
        Ask::new().line("POST /teapot HTTP/1.1"),
        Ask::new().line("no HTTP"),
        Ask::new().with(&[&format!("X-Long: {}", "x".repeat(70_000))]),
    ];
    for ask in &asks {
        let mut client = gateway.connect();
        // The gateway may answer before it has read all of it, and hang up.
        let _ = client.stream.write_all(&ask.bytes());
        client.rest();
    }
    let mut told = gateway.connect();
    told.send(Ask::new().target("/told").bytes());
    assert!(told.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(told.expect_close(3003), "address");
    // Half a request, and a listener that expects TLS.
    let mut half = gateway.connect();
    half.send("GET / HTTP/1.1\r\n");
    half.rest();
    let mut plain = Raw::connect(gateway.listeners[1]);
    plain.send(Ask::new().bytes());
    plain.rest();
    drop(told);
    scraper.comes_to("framegate_connections{listener=\"plain\"}", 0.0);
    scraper.comes_to("framegate_connections{listener=\"tls\"}", 0.0);
    let figures = scraper.figures();
    let expiry = figures.like("framegate_certificate_expiry_timestamp_seconds");
    let file = authority.path("a.test.pem");
    let series = format!("{{listener=\"tls\",certificate=\"{}\"}}", file.display());
    assert!(matches!(expiry[..], [(one, end)] if one.ends_with(&series) && *end > 0.0), "{expiry:?}");
    let failures = figures.like("framegate_backend_failures_total");
    let failed: Vec<_> = failures.iter().filter(|(_, count)| **count > 0.0).collect();
    assert_eq!(failed.len(), 1, "{failures:#?}");
    assert!(failed[0].0.contains(&gone.url()) && failed[0].0.contains("cause=\"backend_connect\""));
    let counted = agrees_with_the_log(gateway, scraper);
    for cause in [
        "no_route",
        "backend_status",
        "not_upgrade",
        "origin",
        "version",
        "request",
        "backend_connect",
        "address",
        "path",
        "method",
        "head_too_large",
        "head_timeout",
    ] {
        let series = format!("framegate_handshakes_refused_total{{listener=\"plain\",cause=\"{cause}\"}}");
        assert!(counted.contains_key(&series), "{cause}: {counted:#?}");
    }
    assert!(counted.contains_key("framegate_handshakes_refused_total{listener=\"tls\",cause=\"tls\"}"));
}

/// Whatever clients and backends say, the series stay those that there are, and none repeats a word of it.
#[test]
fn nothing_that_a_peer_said_is_in_a_label() {
    const WORD: &str = "zzsaid";
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n{}[[route]]\nname = \"test\"\nbackend = \"{}\"\n{ADMIN}",
        authority.listener(&["a.test"], "").replacen("bind", "name = \"tls\"\nbind", 1),
        backend.url()
    ));
    let scraper = Scraper::of(&gateway);
    let round = |number: u16| {
        let word = format!("{WORD}{number}");
        let more = format!(
            "X-Request-Id: {word}\r\nUser-Agent: {word}\r\nSec-WebSocket-Protocol: {word}\r\nCookie: {word}=1\r\n\
             Traceparent: {word}\r\nOrigin: http://gateway.test\r\n"
        );
        for (peer, code) in [(Peer::Client, 3100 + number), (Peer::Server, 4000 + number)] {
            let mut client = gateway.connect();
            client.send(upgrade_request(&format!("/{word}?{word}={word}"), &more));
            let mut server = backend.accept();
            server.head();
            server.send(upgrade_response(&format!("Sec-WebSocket-Protocol: {word}\r\nServer: {word}\r\n")));
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            let mut ends = Ends { client, server };
            ends.exchange(&word);
            ends.closes(peer, code, &word);
            assert_eq!(ends.hears(peer.other(), code), word);
        }
        for ask in [
            Ask::new().line(&format!("{word} /{word} HTTP/1.1")),
            Ask::new().with(&[&format!("Host: {word}"), &format!("Origin: http://{word}.test")]),
            Ask::new().with(&[&format!("Sec-WebSocket-Version: {word}")]),
            Ask::new().line(&word),
        ] {
            let mut client = gateway.connect();
            client.send(ask.bytes());
            client.rest();
        }
        let mut tls = authority.client().connect(gateway.listeners[1], "a.test").unwrap();
        tls.send(Ask::new().with(&[&format!("Host: {word}.test"), &format!("Origin: {word}")]).bytes());
        tls.rest();
        drop(tls);
        // A name for which there is no certificate that would hold.
        let _ = authority.client().connect(gateway.listeners[1], &format!("{word}.test"));
        ["plain", "tls"].iter().for_each(|listener| {
            scraper.comes_to(&format!("framegate_connections{{listener=\"{listener}\"}}"), 0.0);
        });
        scraper.text()
    };
    let series = |text: &str| Figures::read(text).0.into_keys().collect::<BTreeSet<String>>();
    let first = round(1);
    assert!(!first.contains(WORD), "{first}");
    for number in 2..6 {
        let later = round(number);
        assert!(!later.contains(WORD), "{later}");
        assert_eq!(series(&later), series(&first), "round {number}");
    }
}

#[test]
fn names_come_and_go_with_the_configuration() {
    let servant = Servant::start("servant", Manner::Serve);
    let config = |routes: &[&str]| {
        let routes: Vec<String> = routes
            .iter()
            .map(|name| {
                format!("[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nbackend = \"{}\"\n", servant.url())
            })
            .collect();
        let head =
            "[shutdown]\nclose_spread = \"0s\"\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n";
        format!("{head}{}{ADMIN}", routes.concat())
    };
    let opened = |name: &str| format!("framegate_sessions_opened_total{{route=\"{name}\"}}");
    let gateway = Gateway::start(&config(&["a"]));
    let scraper = Scraper::of(&gateway);
    assert_eq!(scraper.figures().get("framegate_config_generation"), 1.0);
    assert_eq!(scraper.figures().find(&opened("b")), None);
    gateway.reload(&config(&["a", "b"]));
    assert_eq!(scraper.figures().get(&opened("b")), 0.0);
    let mut client = gateway.connect();
    client.send(upgrade_request("/b", ""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    gateway.reload(&config(&["a"]));
    assert_eq!(scraper.figures().get(&opened("b")), 1.0, "its last session is being told");
    client.expect_close(1012);
    drop(client);
    gateway.expect_ended("gateway", "reload");
    gateway.reload(&config(&["a"]));
    let figures = scraper.figures();
    assert!(!figures.0.keys().any(|series| series.contains("route=\"b\"")), "{figures:#?}");
    assert_eq!(figures.get(&opened("a")), 0.0);
    gateway.refuses_to_reload("no configuration");
    let figures = scraper.figures();
    for (series, value) in [
        ("framegate_config_generation", 4.0),
        ("framegate_config_reloads_total{result=\"ok\"}", 3.0),
        ("framegate_config_reloads_total{result=\"failed\"}", 1.0),
        ("framegate_config_last_reload_successful", 0.0),
        ("framegate_ready", 1.0),
    ] {
        assert_eq!(figures.get(series), value, "{series}");
    }
}

/// Both dialects hold the same, and every metric of the list.
#[test]
fn either_dialect() {
    let (bench, scraper) = bench("");
    let _ends = bench.open();
    let (plain_type, plain) = scraper.ask("*/*");
    let (open_type, open) = scraper.ask("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(plain_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(open_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("# EOF"));
    let series = |text: &str| Figures::read(text).0.into_keys().collect::<BTreeSet<String>>();
    assert_eq!(series(&plain), series(&open));
    for family in families::ALL {
        assert!(plain.contains(&format!("# TYPE {} ", family.name)), "{}", family.name);
    }
    let figures = Figures::read(&plain);
    for series in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(figures.get(series) > 1.0, "{series}");
    }
    assert!(figures.get("process_cpu_seconds_total") > 0.0);
    // Whoever asks has a connection.
    let others = bench.gateway.descriptors();
    let open = figures.get("process_open_fds") as usize;
    assert!((others..=others + 2).contains(&open), "{open} of {others}");
}

/// A process that is held up is late, and says so for a while.
#[test]
fn a_loop_that_was_held_up() {
    let (bench, scraper) = bench("");
    let largest = || {
        let figures = scraper.figures();
        let lags = figures.like("framegate_event_loop_lag_seconds");
        lags.into_iter().map(|(_, lag)| *lag).fold(0.0, f64::max)
    };
    // The loop that carries it has begun.
    bench.open().exchange("hello");
    bench.gateway.signal("STOP");
    let held = Instant::now();
    // Each loop means to look up once a second.
    within_a_moment("two seconds", || held.elapsed() > Duration::from_secs(2));
    bench.gateway.signal("CONT");
    let lag = largest();
    assert!((1.0..20.0).contains(&lag), "{lag}");
    assert!(largest() >= lag.min(1.0), "it is remembered");
}

/// Every word in these files that looks like one of our metrics.
fn metrics_named_below(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            metrics_named_below(&entry, found);
        } else if entry.extension().is_some_and(|end| ["json", "yaml", "yml"].iter().any(|one| *one == end)) {
            let text = fs::read_to_string(&entry).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let ours = words.filter(|word| word.starts_with("framegate_"));
            found.extend(ours.map(|word| (word.to_string(), entry.clone())));
        }
    }
}

#[test]
fn rules_and_dashboards_name_metrics_that_there_are() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let mut named = BTreeMap::new();
    metrics_named_below(&deploy, &mut named);
    let known: BTreeSet<String> = families::ALL.iter().flat_map(families::Family::samples).collect();
    for (name, file) in &named {
        assert!(known.contains(name), "{}: there is no {name}", file.display());
    }
    assert!(named.len() > 10 || !deploy.join("prometheus").exists(), "{named:?}");
}

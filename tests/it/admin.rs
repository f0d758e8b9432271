//! The admin address: what it tells is so, and what it is told happens, to those who are meant and to no others.

use crate::support::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn bench(keys: &str) -> (Bench, Admin) {
    let bench = Bench::new(&format!("{keys}\n{ADMIN}"));
    let admin = Admin::of(&bench.gateway);
    (bench, admin)
}

/// A session under an id of the client's choice.
fn named(bench: &Bench, id: &str) -> Ends {
    bench.open_with(&format!("X-Request-Id: {id}\r\n"), "")
}

fn numbers(list: &Value) -> Vec<u64> {
    list["sessions"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect()
}

/// The number of the session with this id.
fn number(admin: &Admin, id: &str) -> u64 {
    admin.told(&format!("/sessions/{id}"))["number"].as_u64().unwrap()
}

/// The line of the log that says what was done.
fn noted(bench: &Bench, what: &str) -> Value {
    bench.gateway.wait_for(what, |line| line["message"] == what)
}

/// The client is told to go, and everything ends in order.
fn sent_away(mut ends: Ends, code: u16, cause: &str) {
    assert_eq!(ends.hears(Peer::Client, code), cause);
    ends.closes(Peer::Client, code, "");
    assert_eq!(ends.hears(Peer::Server, 1001), cause);
    ends.closes(Peer::Server, 1001, "");
    ends.both_end();
}

#[test]
fn a_session_is_shown_as_it_is() {
    let (bench, admin) = bench("");
    assert_eq!(admin.told("/sessions"), json!({ "total": 0, "next": null, "sessions": [] }));
    let ask = "X-Request-Id: a-1\r\nSec-WebSocket-Protocol: chat\r\n";
    let mut ends = bench.open_with(ask, "Sec-WebSocket-Protocol: chat\r\n");
    ends.exchange("hello");
    ends.client.send(client_frame(0x82, &[7; 300]));
    ends.server.expect(client_frame(0x82, &[7; 300]));
    ends.client.send(ping_frame(b"x"));
    ends.client.expect(server_frame(0x8A, b"x"));
    let shown = admin.told("/sessions/a-1");
    let expected = json!({
        "id": "a-1",
        "route": "test",
        "listener": "plain",
        "backend": bench.backend.url(),
        "server": bench.backend.url(),
        "client": "127.0.0.1",
        "subprotocol": "chat",
        "trace": null,
        "from_client": tally(1, 5, 1, 300, 1),
        "from_backend": tally(1, 5, 0, 0, 0),
        "rtt_us": { "client": null, "backend": null },
        "waiting_bytes": 0,
        "throttled_ms": 0,
        "ending": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let age = Duration::from_millis(shown["age_ms"].as_u64().unwrap());
    assert!(age < SOON * 3, "{age:?}");
    let opened = shown["opened"].as_u64().unwrap();
    assert!(opened.abs_diff(now() - age.as_secs()) <= 2, "{opened}");
    let list = admin.told("/sessions");
    assert_eq!((list["total"].as_u64(), &list["sessions"][0]["id"]), (Some(1), &json!("a-1")));
    let by_number = admin.told(&format!("/sessions/{}", shown["number"]));
    assert_eq!(by_number["id"], "a-1");
    drop(ends);
    bench.gateway.ended();
    assert_eq!(admin.get("/sessions/a-1").status, 404);
    assert_eq!(admin.told("/sessions")["total"], 0);
}

fn ping_frame(payload: &[u8]) -> Vec<u8> {
    client_frame(0x89, payload)
}

fn tally(text: u64, text_bytes: u64, binary: u64, binary_bytes: u64, pings: u64) -> Value {
    json!({
        "text_messages": text,
        "text_bytes": text_bytes,
        "binary_messages": binary,
        "binary_bytes": binary_bytes,
        "pings": pings,
        "pongs": 0,
    })
}

#[test]
fn the_state_is_told() {
    let (bench, admin) = bench("");
    let mut ends = bench.open();
    ends.exchange("hello");
    drop(bench.open());
    bench.gateway.ended();
    let mut refused = bench.gateway.connect();
    refused.send(upgrade_request("/", "Origin: https://evil.test\r\n"));
    assert!(refused.head().starts_with("HTTP/1.1 403 "));
    let told = admin.told("/status");
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": bench.gateway.child.id(),
        "ready": true,
        "sessions": { "live": 1, "opened": 2, "ended": 1, "refused": 1 },
        "routes": [{
            "name": "test",
            "host": [],
            "path": "/*",
            "backend": bench.backend.url(),
            "live": 1,
            "opened": 2,
        }],
        "backends": [{
            "name": bench.backend.url(),
            "servers": [{ "server": bench.backend.url(), "state": "up", "live": 1 }],
        }],
        "certificates": [],
        "ended": { "client_lost": 1 },
        "refused": { "origin": 1 },
        "messages": { "from_client": 1, "from_backend": 1 },
        "bytes": { "from_client": 5, "from_backend": 5 },
        "throttled_ms": 0,
        "buffered_bytes": 0,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&told[key], value, "{key}");
    }
    for side in ["client", "backend"] {
        let rtt = &told["rtt"][side];
        assert_eq!((&rtt["p50_ms"], &rtt["p99_ms"]), (&Value::Null, &Value::Null), "nobody was pinged");
        let buckets = rtt["buckets"].as_array().unwrap();
        assert_eq!((&buckets[0], buckets.last()), (&json!([0.5, 0]), Some(&json!([null, 0]))));
    }
    let listener = &told["listeners"][0];
    let at = bench.gateway.address().to_string();
    assert_eq!(
        (&listener["name"], &listener["bind"], &listener["tls"]),
        (&json!("plain"), &json!(at), &json!(false))
    );
    assert!(told["started"].as_u64().unwrap().abs_diff(now()) < 60);
    assert!(told["uptime_s"].as_u64().unwrap() < 60);
    let config = &told["config"];
    assert!(config["file"].as_str().unwrap().ends_with("framegate.toml"));
    assert_eq!((&config["generation"], &config["last_reload"]), (&json!(1), &Value::Null));
    // Every key of the API is there, and no other.
    let known = [
        "backends",
        "buffered_bytes",
        "bytes",
        "certificates",
        "config",
        "ended",
        "listeners",
        "messages",
        "pid",
        "ready",
        "refused",
        "routes",
        "rtt",
        "sessions",
        "started",
        "throttled_ms",
        "uptime_s",
        "version",
        "workers",
    ];
    assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), known);
}

#[test]
fn certificates_are_shown() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "{}[[route]]\nbackend = \"{}\"\n{ADMIN}",
        authority.listener(&["a.test"], "").replacen("bind", "name = \"tls\"\nbind", 1),
        backend.url()
    ));
    let told = Admin::of(&gateway).told("/status");
    assert_eq!((&told["listeners"][0]["name"], &told["listeners"][0]["tls"]), (&json!("tls"), &json!(true)));
    let shown = &told["certificates"][0];
    assert_eq!((&shown["listener"], &shown["names"]), (&json!("tls"), &json!(["a.test"])));
    assert!(shown["file"].as_str().unwrap().ends_with(".pem"), "{shown}");
    assert!(shown["not_after"].as_u64().unwrap() > now());
}

#[test]
fn a_server_that_fails_is_shown_so() {
    let nobody = Nobody::at_home();
    let gateway = Gateway::in_front_of_address(nobody.address, ADMIN);
    let admin = Admin::of(&gateway);
    let state = || admin.told("/status")["backends"][0]["servers"][0]["state"].clone();
    assert_eq!(state(), "up", "nobody has met it yet");
    let mut client = gateway.connect();
    client.send(upgrade_request("/", ""));
    assert!(client.head().starts_with("HTTP/1.1 502 "));
    assert_eq!(state(), "ejected");
}

#[test]
fn filters_and_pages() {
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"a\"\npath = \"/a\"\nbackend = \"{url}\"\n\
         [[route]]\nname = \"b\"\npath = \"/b\"\nbackend = \"{url}\"\n{ADMIN}",
        url = backend.url()
    ));
    let admin = Admin::of(&gateway);
    let open = |from: [u8; 4], path: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&gateway.address().into()).unwrap();
        let mut client = Raw::new(socket.into());
        client.send(upgrade_request(path, ""));
        let (_, server) = backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        (client, server)
    };
    let here = [127, 0, 0, 1];
    let there = [127, 0, 7, 1];
    let sessions =
        [open(here, "/a"), open(there, "/a"), open(here, "/b"), open(there, "/b"), open(here, "/a")];
    let all = numbers(&admin.told("/sessions"));
    assert!(all.len() == 5 && all.is_sorted(), "{all:?}");
    let listed = |query: &str| -> Vec<usize> {
        let list = admin.told(&format!("/sessions?{query}"));
        let found = numbers(&list);
        found.iter().map(|one| all.iter().position(|other| other == one).unwrap()).collect()
    };
    assert_eq!(listed("route=a"), [0, 1, 4]);
    assert_eq!(listed("route=b"), [2, 3]);
    assert_eq!(listed("route=nobody"), [0; 0]);
    assert_eq!(listed("address=127.0.7.0/24"), [1, 3]);
    assert_eq!(listed("address=127.0.0.1&route=b"), [2]);
    assert_eq!(listed("address=127.0.0.0%2F8"), [0, 1, 2, 3, 4]);
    assert_eq!(listed(&format!("server={}", backend.url())), [0, 1, 2, 3, 4]);
    assert_eq!(listed("min_age=1h"), [0; 0]);
    assert_eq!(listed("min_age=0s"), [0, 1, 2, 3, 4]);
    // A page at a time; one that opens meanwhile comes at the end, one that ends is missed by nobody.
    let page = admin.told("/sessions?route=a&limit=2");
    assert_eq!((page["total"].as_u64(), page["next"].as_u64()), (Some(3), Some(all[1])));
    drop(sessions);
    for _ in 0..5 {
        gateway.ended();
    }
    let late = open(here, "/a");
    let rest = admin.told(&format!("/sessions?route=a&limit=2&after={}", page["next"]));
    assert_eq!((numbers(&rest).len(), &rest["next"]), (1, &Value::Null));
    drop(late);
    for (query, part) in [("limit=0", "limit"), ("rout=a", "rout"), ("address=nobody", "address")] {
        let answer = admin.get(&format!("/sessions?{query}"));
        let told = answer.json();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(told["error"].as_str().unwrap().contains(part) && told["hint"].is_string(), "{told}");
    }
}

#[test]
fn a_kick_reaches_the_one_that_is_meant() {
    let (bench, admin) = bench("");
    let mut stays = named(&bench, "stays");
    let goes = named(&bench, "goes");
    let also = named(&bench, "also");
    let number = number(&admin, "goes");
    assert_eq!(admin.done("/kick", &format!("{{\"id\": {number}}}")), json!({ "kicked": 1 }));
    sent_away(goes, 1012, "kick");
    let line = bench.gateway.expect_ended("gateway", "kick");
    assert_eq!((line["id"].as_str(), told(&line)), (Some("goes"), (1012, "kick", "")));
    let line = noted(&bench, "admin: sessions are kicked");
    assert_eq!(line["whom"], format!("id={number}"));
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    // By the id of the request, with a code of one's own.
    assert_eq!(admin.done("/kick", r#"{"id": "also", "code": 4001}"#), json!({ "kicked": 1 }));
    sent_away(also, 4001, "kick");
    assert_eq!(told(&bench.gateway.expect_ended("gateway", "kick")).0, 4001);
    // Once it has ended nobody has its number.
    let again = admin.post("/kick", &format!("{{\"id\": {number}}}"));
    assert_eq!(again.status, 404);
    assert!(again.json()["hint"].is_string());
    stays.exchange("still here");
}

#[test]
fn an_id_that_several_chose_names_none_of_them() {
    let (bench, admin) = bench("");
    let mut ends = [named(&bench, "same"), named(&bench, "same"), named(&bench, "17")];
    let all = numbers(&admin.told("/sessions"));
    for answer in [admin.get("/sessions/same"), admin.post("/kick", r#"{"id": "same"}"#)] {
        assert_eq!(answer.status, 409);
        assert_eq!(answer.json()["numbers"], json!(all[..2]));
    }
    // A number is a session's own, whatever ids clients think up.
    assert_eq!(admin.post("/kick", r#"{"id": "17"}"#).status, 404);
    for one in &mut ends {
        one.exchange("still here");
    }
    let [_, second, _] = ends;
    assert_eq!(admin.done("/kick", &format!("{{\"id\": {}}}", all[1])), json!({ "kicked": 1 }));
    sent_away(second, 1012, "kick");
}

#[test]
fn a_kick_by_filter() {
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath = \"/chat\"\nbackend = \"{url}\"\n\
         [[route]]\nname = \"other\"\nbackend = \"{url}\"\n{ADMIN}",
        url = backend.url()
    ));
    let bench = Bench { gateway, backend };
    let admin = Admin::of(&bench.gateway);
    let mut other = bench.open();
    let chats: Vec<Ends> = (0..3)
        .map(|_| {
            let mut client = bench.gateway.connect();
            client.send(upgrade_request("/chat", ""));
            let (_, server) = bench.backend.accept_upgrade(b"");
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            Ends { client, server }
        })
        .collect();
    assert_eq!(admin.done("/kick", r#"{"route": "chat", "min_age": "1h"}"#), json!({ "kicked": 0 }));
    let unknown = admin.post("/kick", r#"{"route": "chta"}"#);
    assert_eq!((unknown.status, &unknown.json()["hint"]), (404, &json!("did you mean \"chat\"?")));
    for wrong in ["{}", r#"{"code": 1000}"#, r#"{"rout": "chat"}"#, r#"{"all": true, "code": 1006}"#] {
        assert_eq!(admin.post("/kick", wrong).status, 400, "{wrong}");
    }
    assert_eq!(admin.done("/kick", r#"{"route": "chat", "over": "1h"}"#), json!({ "kicked": 3 }));
    let list = admin.told("/sessions?route=chat");
    let due: Vec<u64> = list["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ending"]["in_ms"].as_u64().unwrap())
        .collect();
    // Each in its third of the hour.
    for (place, due) in (0_u64..).zip(&due) {
        let third = 1_200_000;
        assert!(*due + 60_000 >= place * third && *due <= (place + 1) * third, "{due:?}");
    }
    assert_eq!(list["sessions"][0]["ending"]["cause"], "kick");
    // What is due earlier counts.
    assert_eq!(admin.done("/kick", r#"{"route": "chat"}"#), json!({ "kicked": 3 }));
    for ends in chats {
        sent_away(ends, 1012, "kick");
        bench.gateway.expect_ended("gateway", "kick");
    }
    other.exchange("still here");
    assert_eq!(admin.done("/kick", r#"{"all": true, "code": 1001}"#), json!({ "kicked": 1 }));
    sent_away(other, 1001, "kick");
}

#[test]
fn a_part_is_drained_at_its_pace() {
    let backends = [Backend::start(), Backend::start()];
    let gateway = Gateway::start(&format!(
        "[shutdown]\nclose_code = 4100\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"a\"\npath = \"/a\"\nbackend = \"{}\"\n\
         [[route]]\nname = \"b\"\npath = \"/b\"\nbackend = \"{}\"\n{ADMIN}",
        backends[0].url(),
        backends[1].url()
    ));
    let admin = Admin::of(&gateway);
    let open = |backend: &Backend, path: &str| {
        let mut client = gateway.connect();
        client.send(upgrade_request(path, ""));
        let (_, server) = backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        Ends { client, server }
    };
    let on_a: Vec<Ends> = (0..6).map(|_| open(&backends[0], "/a")).collect();
    let mut on_b = open(&backends[1], "/b");
    let since = Instant::now();
    let drained = admin.done("/drain", r#"{"route": "a", "pace": 4}"#);
    assert_eq!(drained, json!({ "draining": 6, "over_ms": 1500 }));
    // A second word takes back nothing of the first.
    let again = admin.done("/drain", r#"{"route": "a", "pace": 0.01}"#);
    assert_eq!(again["over_ms"], 600_000);
    for (place, ends) in (0..).zip(on_a) {
        let slot = Duration::from_millis(250);
        sent_away(ends, 4100, "drain");
        let at = since.elapsed();
        assert!(at >= slot * place, "{place}: {at:?}");
        assert!(at <= slot * (place + 1) + Duration::from_secs(2), "{place}: {at:?}");
        assert_eq!(told(&gateway.expect_ended("gateway", "drain")).0, 4100);
    }
    on_b.exchange("still here");
    assert_eq!(admin.get("/readyz").status, 200, "the gateway itself stays");
    let server = json!({ "server": backends[1].url() }).to_string();
    assert_eq!(admin.done("/drain", &server), json!({ "draining": 1, "over_ms": 15_000 }));
    let shown = &admin.told("/sessions")["sessions"][0]["ending"];
    assert_eq!((&shown["cause"], &shown["code"]), (&json!("drain"), &json!(4100)));
    assert_eq!(admin.post("/drain", r#"{"server": "ws://nobody:1"}"#).status, 404);
    let slow = admin.post("/drain", r#"{"route": "b", "pace": 0.00001}"#);
    assert_eq!(slow.status, 400, "more than a day: {slow:?}");
}

#[test]
fn the_process_is_drained() {
    let (mut bench, admin) = bench("[shutdown]\nclose_spread = \"2s\"");
    let ends = bench.open();
    assert_eq!(admin.done("/drain", r#"{"all": true}"#), json!({ "draining": 1, "over_ms": 2000 }));
    let ready = admin.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(admin.get("/healthz").status, 200, "it is not ill");
    // Asked again, it goes on as it does: only a second signal is impatient.
    assert_eq!(admin.post("/drain", r#"{"all": true}"#).status, 200);
    assert_eq!(admin.post("/reload", "{}").status, 503);
    sent_away(ends, 1012, "drain");
    assert_eq!(bench.gateway.exit_code(), Some(0));
}

/// With nobody there the process ends at once, and still says so to who asked.
#[test]
fn who_drains_an_empty_process_has_an_answer() {
    for _ in 0..5 {
        let (mut bench, admin) = bench("");
        assert_eq!(admin.done("/drain", r#"{"all": true}"#)["draining"], 0);
        assert_eq!(bench.gateway.exit_code(), Some(0));
    }
}

#[test]
fn probes_hear_how_it_is() {
    let (bench, admin) = bench("[shutdown]\npre_stop_delay = \"1m\"");
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = admin.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        let bare = admin.ask(&format!("HEAD {path}"), &[], "");
        assert_eq!((bare.status, bare.body.as_str()), (200, ""));
    }
    bench.gateway.signal("TERM");
    within_a_moment("not ready", || admin.get("/readyz").status == 503);
    assert_eq!(admin.get("/healthz").body, "ok\n");
}

#[test]
fn a_reload_is_asked_for() {
    let servant = Servant::start("servant", Manner::Serve);
    let config = |rest: &str| {
        let route = |name: &str| {
            format!("[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nbackend = \"{}\"\n", servant.url())
        };
        format!("[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n{}{}{rest}", route("a"), ADMIN)
    };
    let gateway = Gateway::start(&config(""));
    let admin = Admin::of(&gateway);
    let b = format!("[[route]]\nname = \"b\"\npath = \"/b\"\nbackend = \"{}\"\n", servant.url());
    gateway.write(&config(&b));
    let done = admin.done("/reload", "{}");
    assert_eq!(
        done,
        json!({
            "generation": 2,
            "listeners": { "added": [], "removed": [] },
            "routes": { "added": ["b"], "removed": [], "changed": [] },
            "sessions": { "told": 0, "ended": 0 },
            "warnings": [],
        })
    );
    gateway.write("listener = 1");
    let bad = admin.post("/reload", "{}");
    let problems = bad.json()["problems"].clone();
    let problems: Vec<&str> = problems.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(bad.status, 422);
    assert!(
        problems.iter().any(|problem| problem.contains("framegate.toml:1:12: listener: must be")),
        "{problems:?}"
    );
    let shown = admin.told("/status")["config"].clone();
    assert_eq!((&shown["generation"], &shown["last_reload"]["ok"]), (&json!(2), &json!(false)));
    let routes = admin.told("/config")["route"].clone();
    let names: Vec<&str> =
        routes.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"], "what runs is what is shown");
    assert_eq!(admin.post("/reload", r#"{"force": true}"#).status, 400);
    assert_eq!(
        gateway.wait_for("asked", |line| line["message"] == "admin: a reload is asked for")["level"],
        "INFO"
    );
}

/// The admin address goes where the configuration says; who asked through the old one has an answer.
#[test]
fn a_reload_moves_the_admin_address() {
    let servant = Servant::start("servant", Manner::Serve);
    let config = |admin: &str| {
        format!(
            "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n{admin}",
            servant.url()
        )
    };
    let gateway = Gateway::start(&config(ADMIN));
    let first = Admin::of(&gateway);
    gateway.write(&config("[admin]\nbind = \"unix:admin.sock\"\n"));
    assert_eq!(first.done("/reload", "{}")["generation"], 2);
    let second = Admin::of(&gateway);
    assert_eq!(second.get("/healthz").status, 200);
    let At::Tcp(address) = first.at else { panic!("no TCP") };
    within_a_moment("the old address is free", || std::net::TcpStream::connect(address).is_err());
    // A bad address changes nothing.
    gateway.write(&config("[admin]\nbind = \"unix:/nowhere/at/all.sock\"\n"));
    assert_eq!(second.post("/reload", "{}").status, 422);
    assert_eq!(second.get("/healthz").status, 200);
    gateway.write(&config(""));
    assert_eq!(second.done("/reload", "{}")["generation"], 3);
    let At::Unix(path) = second.at else { panic!("no socket") };
    within_a_moment("the socket is gone", || !path.exists());
}

/// Whoever asks is answered throughout, and in the end by the process that has the sessions to come.
#[test]
fn a_hand_over_takes_the_admin_address_along() {
    for bind in ["127.0.0.1:0", "unix:admin.sock"] {
        let servant = Servant::start("servant", Manner::Serve);
        let keys = format!("[shutdown]\nclose_spread = \"0s\"\n[admin]\nbind = \"{bind}\"");
        let mut gateway = Gateway::in_front_of_address(servant.address, &keys);
        let admin = Admin::of(&gateway);
        let first = gateway.child.id();
        assert_eq!(admin.told("/status")["pid"], first);
        let mut open = gateway.connect();
        open.send(upgrade_request("/", ""));
        assert!(open.head().starts_with("HTTP/1.1 101 "));
        let next = hand_over(&gateway, first, 1);
        // The old one may be the one that took the connection, until it lets go.
        within_a_moment("the new process answers", || admin.told("/status")["pid"] == next.pid);
        assert_eq!(admin.get("/readyz").status, 200);
        drop(open);
        assert_eq!(gateway.exit_code(), Some(0));
        assert_eq!(admin.told("/status")["sessions"]["opened"], 0);
        if let At::Unix(path) = &admin.at {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o660);
        }
    }
}

#[test]
fn a_unix_socket_is_for_its_owner_and_its_group() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut bench = Bench::new("[admin]\nbind = \"unix:admin.sock\"\n");
    let admin = Admin::of(&bench.gateway);
    let path = bench.gateway.dir.path().join("admin.sock");
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    let ends = named(&bench, "one");
    assert_eq!(admin.done("/kick", r#"{"id": "one"}"#), json!({ "kicked": 1 }));
    sent_away(ends, 1012, "kick");
    let peer = noted(&bench, "admin: sessions are kicked")["peer"].as_str().unwrap().to_string();
    let expected = format!("unix uid={} pid={}", file.uid(), std::process::id());
    assert_eq!(peer, expected, "who did it");
    bench.gateway.signal("TERM");
    assert_eq!(bench.gateway.exit_code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let secret = "SECRET-that-nobody-may-see";
    let keys = format!(
        "access.forward_auth = {{ url = \"http://127.0.0.1:1/auth?key={secret}\" }}\n\
         [route.headers.request]\nset = {{ authorization = \"Bearer {secret}\", x-tenant = \"shown\" }}\n\
         [route.timeouts]\nidle = \"77s\"\n"
    );
    let (_bench, admin) = bench(&keys);
    let answer = admin.get("/config");
    assert!(!answer.body.contains(secret), "{}", answer.body);
    let shown = answer.json();
    let route = &shown["route"][0];
    assert_eq!((&route["timeouts"]["idle"], &route["timeouts"]["write"]), (&json!("77s"), &json!("30s")));
    let set = json!({ "authorization": "(redacted)", "x-tenant": "shown" });
    assert_eq!(route["headers"]["request"]["set"], set);
    assert_eq!(
        shown["log"],
        json!({ "level": "debug", "format": "json", "access": "true", "query": "redact" })
    );
}

#[test]
fn the_state_is_told_every_second() {
    let (bench, admin) = bench("");
    let ends = bench.open();
    let host = admin.host();
    let mut viewer = admin.tcp();
    let watch = format!(
        "GET /live HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: framegate.live\r\n\r\n"
    );
    let answer = Answer::to(&mut viewer, &watch);
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("sec-websocket-accept"), [ACCEPT]);
    assert_eq!(answer.header("sec-websocket-protocol"), ["framegate.live"]);
    let mut state = || -> Value { serde_json::from_slice(&viewer.expect_frame(0x81)).unwrap() };
    let first = state();
    assert_eq!((&first["sessions"]["live"], &first["ready"]), (&json!(1), &json!(true)));
    drop(ends);
    bench.gateway.ended();
    let (second, third) = (state(), state());
    let at = |state: &Value| state["at"].as_u64().unwrap();
    let apart = at(&third) - at(&first);
    assert!((1500..10_000).contains(&apart), "{apart}");
    assert_eq!(third["sessions"]["live"], 0, "{second}");
    // Sixteen may watch, and one more is told so.
    let others: Vec<Raw> = (0..15)
        .map(|_| {
            let mut other = admin.tcp();
            assert_eq!(Answer::to(&mut other, &watch).status, 101);
            other
        })
        .collect();
    assert_eq!(Answer::to(&mut admin.tcp(), &watch).status, 503);
    drop(others);
    within_a_moment("a place is free", || Answer::to(&mut admin.tcp(), &watch).status == 101);
    bench.gateway.signal("TERM");
    loop {
        match viewer.frame() {
            (0x81, _) => {}
            (0x88, payload) => {
                assert_eq!(payload, close_payload(1001, "drain"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

//! Several servers behind one route: who gets the next client, and what becomes of those that a server fails.

use crate::support::*;
use serde_json::Value;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// A gateway in front of these, with more TOML for the backend and for the file.
fn gateway(servants: &[&Servant], backend: &str, rest: &str) -> Gateway {
    let servers: Vec<String> = servants.iter().map(|servant| format!("{:?}", servant.url())).collect();
    Gateway::start(&format!(
        "{rest}\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"pool\"\n\
         [[backend]]\nname = \"pool\"\nservers = [{}]\n{backend}\n",
        servers.join(", ")
    ))
}

fn servants<const N: usize>(manners: [Manner; N]) -> [Servant; N] {
    let mut names = ["a", "b", "c", "d"].iter();
    manners.map(|manner| Servant::start(names.next().unwrap(), manner))
}

/// The answer's head, and the connection.
fn ask(gateway: &Gateway, request: &Ask) -> (String, Raw) {
    let mut client = gateway.connect();
    client.send(request.bytes());
    (client.head(), client)
}

/// A session; held as long as the connection.
fn open(gateway: &Gateway) -> Raw {
    let (head, client) = ask(gateway, &Ask::new());
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// The server that the next session to open went to.
fn server_of_next(gateway: &Gateway) -> String {
    let line = gateway.wait_for("session opened", |line| line["message"] == "session opened");
    line["backend"].as_str().unwrap().to_string()
}

fn count(gateway: &Gateway, sessions: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..sessions {
        *counts.entry(server_of_next(gateway)).or_default() += 1;
    }
    counts
}

fn is_failure(line: &Value) -> bool {
    line["message"].as_str().is_some_and(|message| message.starts_with("server failed"))
}

fn failed(gateway: &Gateway) -> Value {
    gateway.wait_for("server failed", is_failure)
}

/// So far.
fn has_failed(gateway: &Gateway) -> bool {
    gateway.has_said(is_failure)
}

#[test]
fn sessions_are_spread_over_all_servers_and_by_weight() {
    let [a, b] = servants([Manner::Serve; 2]);
    for balance in ["least_conn", "round_robin", "p2c"] {
        let gateway = gateway(&[&a, &b], &format!("balance = {balance:?}"), "");
        let held: Vec<Raw> = (0..20).map(|_| open(&gateway)).collect();
        let counts = count(&gateway, held.len());
        let slack = if balance == "p2c" { 2 } else { 0 };
        assert!(counts.values().all(|got| got.abs_diff(10) <= slack), "{balance}: {counts:?}");
    }
    let servers = format!("{{ url = {:?}, weight = 3 }}, {:?}", a.url(), b.url());
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"pool\"\n\
         [[backend]]\nname = \"pool\"\nservers = [{servers}]\n"
    ));
    let held: Vec<Raw> = (0..20).map(|_| open(&gateway)).collect();
    assert_eq!(count(&gateway, held.len())[&a.url()], 15);
}

#[test]
fn a_session_that_ends_makes_room() {
    let [a, b] = servants([Manner::Serve; 2]);
    let gateway = gateway(&[&a, &b], "max_connections = 1", "");
    let (first, second) = (open(&gateway), open(&gateway));
    let (head, _) = ask(&gateway, &Ask::new());
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(values(&head, "x-framegate-cause"), ["limit.backend"]);
    assert_eq!(values(&head, "retry-after"), ["5"]);
    let line = gateway.refused();
    assert!(line["detail"].as_str().unwrap().contains("max_connections of 1"), "{line}");
    // A plain request is no session.
    assert!(ask(&gateway, &Ask::plain()).0.starts_with("HTTP/1.1 200 "));
    drop(first);
    gateway.ended();
    drop(open(&gateway));
    drop(second);
}

/// For how long a server is left alone that failed for the first time.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The client of a server that fails in any way gets another one, and never hears of it.
#[test]
fn a_server_that_fails_costs_no_client_its_session() {
    // Long enough for the good one, whatever the machine is busy with.
    const PATIENCE: Duration = Duration::from_secs(2);
    let settings = "upgrade_timeout = \"2s\"\nbalance = \"round_robin\"";
    for manner in
        [Manner::Silence, Manner::Garbage, Manner::WrongAccept, Manner::Answer(502), Manner::Answer(503)]
    {
        let [bad, good] = servants([manner, Manner::Serve]);
        let gateway = gateway(&[&bad, &good], settings, "");
        let earliest_failure =
            Instant::now() + if manner == Manner::Silence { PATIENCE } else { Duration::ZERO };
        let held: Vec<Raw> = (0..6).map(|_| open(&gateway)).collect();
        let met = bad.met();
        // Where all this takes longer than it is left alone, it may be tried again.
        let most = 1 + earliest_failure.elapsed().as_secs() / LEFT_ALONE.as_secs();
        assert_eq!(count(&gateway, held.len()), HashMap::from([(good.url(), 6)]), "{manner:?}");
        if let Manner::Answer(_) = manner {
            assert!(met >= 3, "an application that is busy is no server that failed: {manner:?}");
        } else {
            assert_eq!(failed(&gateway)["server"], bad.url(), "{manner:?}");
            assert!(
                (1..=most).contains(&(met as u64)),
                "{manner:?}: it is left alone then, and not tried {met} times"
            );
        }
    }
}

#[test]
fn a_server_that_cannot_be_reached_costs_no_client_its_session() {
    let (gone, [good]) = (Servant::gone(), servants([Manner::Serve]));
    let front = gateway(&[&gone, &good], "balance = \"round_robin\"", "");
    let held: Vec<Raw> = (0..6).map(|_| open(&front)).collect();
    assert_eq!(count(&front, held.len()), HashMap::from([(good.url(), 6)]));
    assert_eq!(failed(&front)["left_alone_ms"], 1000);
    // Plain requests too, body and all: the server that was not reached has seen nothing.
    let front = gateway(&[&gone, &good], "balance = \"round_robin\"", "");
    for _ in 0..2 {
        let post = Ask::plain().line("POST / HTTP/1.1").with(&["Content-Length: 4"]).behind("body");
        let (head, _) = ask(&front, &post);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

#[test]
fn without_retries_the_first_failure_is_the_clients() {
    let [bad, good] = servants([Manner::Garbage, Manner::Serve]);
    let gateway = gateway(&[&bad, &good], "retries = \"none\"\nbalance = \"round_robin\"", "");
    let (head, _) = ask(&gateway, &Ask::new());
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(good.met(), 0);
    // And the next one goes elsewhere.
    drop(open(&gateway));
}

#[test]
fn when_nobody_is_left_the_last_answer_stands() {
    let servants = servants([Manner::Answer(503); 3]);
    let [a, b, c] = &servants;
    let gateway = gateway(&[a, b, c], "retries = 2", "");
    let (head, mut client) = ask(&gateway, &Ask::new());
    assert!(head.starts_with("HTTP/1.1 503 So"), "{head}");
    assert_eq!(values(&head, "x-framegate-cause"), [""; 0]);
    assert_eq!(client.rest().len(), 1, "with its body");
    assert_eq!(servants.iter().map(Servant::met).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn any_other_answer_is_the_clients_at_once() {
    for status in [401, 404, 429, 500] {
        let [a, b] = servants([Manner::Answer(status); 2]);
        let gateway = gateway(&[&a, &b], "", "");
        assert!(ask(&gateway, &Ask::new()).0.starts_with(&format!("HTTP/1.1 {status} ")));
        assert_eq!(a.met() + b.met(), 1);
    }
}

#[test]
fn with_everybody_down_somebody_is_tried_all_the_same() {
    let [a, b] = servants([Manner::Garbage; 2]);
    let gateway = gateway(&[&a, &b], "", "");
    assert!(ask(&gateway, &Ask::new()).0.starts_with("HTTP/1.1 502 "));
    failed(&gateway);
    failed(&gateway);
    let message = "no server is up; all are tried all the same";
    assert_eq!(gateway.wait_for(message, |line| line["message"] == message)["backend"], "pool");
    a.behave(Manner::Serve);
    b.behave(Manner::Serve);
    drop(open(&gateway));
}

#[test]
fn a_server_whose_sessions_die_at_once_is_left_alone() {
    let [bad, good] = servants([Manner::HangUp, Manner::Serve]);
    let gateway = gateway(&[&bad, &good], "balance = \"round_robin\"", "");
    let mut held = Vec::new();
    let (begun, mut last, mut lost) = (Instant::now(), Instant::now(), 0);
    // On a busy machine one of three may not die at once.
    while lost < 3 || !has_failed(&gateway) {
        assert!(begun.elapsed() < SOON, "it was never left alone");
        let before = Instant::now();
        let mut client = open(&gateway);
        if server_of_next(&gateway) == bad.url() {
            (last, lost) = (before, lost + 1);
            assert_eq!(client.expect_close(1012), "backend_lost");
            client.send(client_frame(0x88, &close_payload(1012, "")));
            drop(client);
            gateway.expect_ended("backend", "backend_lost");
        } else {
            held.push(client);
        }
    }
    assert_eq!(failed(&gateway)["server"], bad.url());
    // It failed after its last session had begun: until its time is over everybody goes to the other one.
    let mut alone = 0;
    while last.elapsed() < LEFT_ALONE / 2 {
        held.push(open(&gateway));
        let server = server_of_next(&gateway);
        assert!(server == good.url() || last.elapsed() >= LEFT_ALONE, "after {alone} others");
        alone += 1;
    }
}

#[test]
fn a_cookie_leads_back_to_its_server() {
    let servants = servants([Manner::Serve; 3]);
    let [a, b, c] = &servants;
    let gateway =
        gateway(&[a, b, c], "sticky = { cookie = \"at\", ttl = \"2h\" }\nbalance = \"round_robin\"", "");
    let mut cookies = HashMap::new();
    for _ in 0..3 {
        let (head, _client) = ask(&gateway, &Ask::new());
        let [line] = &values(&head, "set-cookie")[..] else { panic!("{head}") };
        let (cookie, attributes) = line.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Max-Age=7200; HttpOnly; SameSite=Lax");
        let (token, made) = cookie.strip_prefix("at=").unwrap().split_once('.').unwrap();
        assert!(token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        assert!(u64::from_str_radix(made, 16).is_ok(), "{made}");
        cookies.insert(server_of_next(&gateway), cookie.to_string());
    }
    assert_eq!(cookies.len(), 3);
    for (server, cookie) in &cookies {
        let cookie = format!("Cookie: x=y; {cookie}");
        for _ in 0..3 {
            let (head, _client) = ask(&gateway, &Ask::new().with(&[&cookie]));
            assert_eq!(values(&head, "set-cookie"), [""; 0], "it has it already");
            assert_eq!(server_of_next(&gateway), *server);
            let (head, mut client) = ask(&gateway, &Ask::plain().with(&[&cookie]));
            assert_eq!(values(&head, "set-cookie"), [""; 0]);
            let name = String::from_utf8(client.take(1)).unwrap();
            let there = servants.iter().find(|one| one.url() == *server).unwrap();
            assert_eq!(name, there.name, "polling and the socket meet one server");
        }
    }
    // One that was made long ago still leads there, and is renewed: it must not run out under a client that polls.
    for (server, cookie) in &cookies {
        let (token, _) = cookie.split_once('.').unwrap();
        let (head, _client) = ask(&gateway, &Ask::new().with(&[&format!("Cookie: {token}.60000000")]));
        assert!(values(&head, "set-cookie")[0].starts_with(&format!("{token}.")), "{head}");
        assert_eq!(server_of_next(&gateway), *server);
    }
    // Made up, or of a server that is no more: a new one.
    let (head, _client) = ask(&gateway, &Ask::plain().with(&["Cookie: at=0123456789abcdef"]));
    assert_eq!(values(&head, "set-cookie").len(), 1);
}

#[test]
fn a_cookie_is_secure_where_the_client_came_over_tls() {
    let [a] = servants([Manner::Serve]);
    let gateway = gateway(&[&a], "sticky = { cookie = \"at\" }", "trusted_proxies = [\"127.0.0.0/8\"]");
    let (head, _client) = ask(&gateway, &Ask::new().with(&["X-Forwarded-Proto: https"]));
    assert!(values(&head, "set-cookie")[0].ends_with("; Secure"), "{head}");
}

#[test]
fn a_key_has_one_server() {
    let [a, b, c] = servants([Manner::Serve; 3]);
    let gateway = gateway(&[&a, &b, &c], "balance = \"hash\"\nhash_on = \"header:x-user\"", "");
    // The servers' ports are chance, and so is who goes where: with 60 users, the chance that one of the three
    // servers is nobody's is one in ten thousand million.
    let mut servers = HashMap::new();
    for round in 0..2 {
        for user in 0..60 {
            let (_, _client) = ask(&gateway, &Ask::new().with(&[&format!("X-User: {user}")]));
            let server = server_of_next(&gateway);
            let before = servers.insert(user, server.clone());
            assert!(round == 0 || before == Some(server), "user {user}");
        }
    }
    let used: std::collections::HashSet<_> = servers.values().collect();
    assert_eq!(used.len(), 3, "{servers:?}");
}

#[test]
fn a_name_stands_for_all_its_addresses() {
    // On one of the two that the name has; which of them the resolver names first does not matter.
    let servant = Servant::start("a", Manner::Serve);
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"pool\"\n\
         [[backend]]\nname = \"pool\"\nservers = [\"ws://localhost:{}\"]\nretries = \"none\"\n",
        servant.address.port()
    ));
    let held: Vec<Raw> = (0..4).map(|_| open(&gateway)).collect();
    let label = format!("ws://localhost:{} (127.0.0.1)", servant.address.port());
    assert_eq!(count(&gateway, held.len()), HashMap::from([(label, 4)]));
}

/// Often, so that a server that is down is soon found; and with patience, for on a busy machine a good one may be late.
/// Four times in a row by a second it is not.
const PROBES: &str = "[backend.health]\ninterval = \"1s\"\ntimeout = \"1s\"\nfall = 4\nrise = 2\n";

fn probes_say(gateway: &Gateway, word: &str, server: &Servant) -> Value {
    let url = server.url();
    gateway.wait_for(word, |line| {
        line["message"].as_str().is_some_and(|message| message.contains(&format!("server is {word}")))
            && line["server"] == url.as_str()
    })
}

#[test]
fn probes_of_each_kind_take_a_server_out_and_in_again() {
    let taken_out_and_in = |kind: &str, fails: Manner| {
        let [a, b] = servants([Manner::Serve; 2]);
        let gateway = gateway(&[&a, &b], &format!("{PROBES}kind = {kind:?}"), "");
        a.behave(fails);
        probes_say(&gateway, "down", &a);
        let held: Vec<Raw> = (0..4).map(|_| open(&gateway)).collect();
        assert_eq!(count(&gateway, held.len()), HashMap::from([(b.url(), 4)]), "{kind} {fails:?}");
        a.behave(Manner::Serve);
        probes_say(&gateway, "up again", &a);
    };
    // They mostly wait, and do it together.
    std::thread::scope(|scope| {
        for (kind, fails) in [
            ("websocket", Manner::Silence),
            ("websocket", Manner::Answer(200)),
            ("websocket", Manner::WrongAccept),
            ("websocket", Manner::HangUp),
            ("http", Manner::Answer(500)),
            ("http", Manner::Garbage),
        ] {
            scope.spawn(move || taken_out_and_in(kind, fails));
        }
    });
}

#[test]
fn a_probe_that_is_not_taken_at_all() {
    let (gone, [b]) = (Servant::gone(), servants([Manner::Serve]));
    let gateway = gateway(&[&gone, &b], &format!("{PROBES}kind = \"tcp\""), "");
    let line = probes_say(&gateway, "down", &gone);
    assert!(line["why"].as_str().unwrap().contains("cannot connect"), "{line}");
}

#[test]
fn the_sessions_of_a_server_that_is_down_are_told_to_come_back() {
    let [a, b] = servants([Manner::Serve; 2]);
    let settings = format!("on_server_down = \"close\"\n{PROBES}");
    let gateway = gateway(&[&a, &b], &settings, "shutdown.close_spread = \"100ms\"");
    let mut clients: Vec<(String, Raw)> = Vec::new();
    for _ in 0..10 {
        let client = open(&gateway);
        clients.push((server_of_next(&gateway), client));
    }
    a.behave(Manner::Answer(503));
    probes_say(&gateway, "down", &a);
    let (at_a, at_b): (Vec<_>, Vec<_>) = clients.into_iter().partition(|(server, _)| *server == a.url());
    assert_eq!((at_a.len(), at_b.len()), (5, 5));
    for (_, mut client) in at_a {
        assert_eq!(client.expect_close(1012), "backend_down");
        client.send(client_frame(0x88, &close_payload(1012, "")));
        gateway.expect_ended("gateway", "backend_down");
    }
    for (_, mut client) in at_b {
        client.expect_nothing_yet();
    }
}

/// Two backends may name one server, and think differently of it.
#[test]
fn one_backends_verdict_ends_no_session_of_another() {
    let [a] = servants([Manner::Serve]);
    let gateway = Gateway::start(&format!(
        "shutdown.close_spread = \"10ms\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/keep\"\nbackend = \"keep\"\n[[route]]\nbackend = \"close\"\n\
         [[backend]]\nname = \"keep\"\nservers = [{url:?}]\n\
         [[backend]]\nname = \"close\"\nservers = [{url:?}]\non_server_down = \"close\"\n{PROBES}",
        url = a.url()
    ));
    let (head, mut kept) = ask(&gateway, &Ask::new().line("GET /keep HTTP/1.1"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut closed = open(&gateway);
    a.behave(Manner::Answer(503));
    assert_eq!(closed.expect_close(1012), "backend_down");
    kept.expect_nothing_yet();
}

/// They may reach it with other certificates or trust, too: a connection that was made for one is not the other's.
#[test]
fn a_kept_connection_is_one_backends() {
    let [a] = servants([Manner::Serve]);
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/one\"\nbackend = \"one\"\n[[route]]\nbackend = \"two\"\n\
         [[backend]]\nname = \"one\"\nservers = [{url:?}]\n\
         [[backend]]\nname = \"two\"\nservers = [{url:?}]\n",
        url = a.url()
    ));
    let mut client = gateway.connect();
    for (path, met) in [("/one", 1), ("/one", 1), ("/two", 2), ("/two", 2), ("/one", 3)] {
        client.send(Ask::plain().line(&format!("GET {path} HTTP/1.1")).bytes());
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.take(1);
        assert_eq!(a.met(), met, "{path}");
    }
}

/// Serves a unix socket by means of this servant.
fn on_socket(path: &Path, servant: &Servant) {
    let (listener, address) = (UnixListener::bind(path).unwrap(), servant.address);
    std::thread::spawn(move || {
        for unix in listener.incoming().map_while(Result::ok) {
            let tcp = TcpStream::connect(address).unwrap();
            let (mut from, mut to): (UnixStream, _) = (unix.try_clone().unwrap(), tcp.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (tcp, unix);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
}

/// Sockets and addresses are servers alike: shared out, found again by a cookie, probed, and left out when they are gone.
#[test]
fn unix_sockets_in_a_pool() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = servants([Manner::Serve; 3]);
    let paths = ["a.sock", "b.sock"].map(|name| dir.path().join(name));
    on_socket(&paths[0], &a);
    on_socket(&paths[1], &b);
    let [at_a, at_b] = paths.each_ref().map(|path| format!("unix:{}", path.display()));
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"pool\"\n[[backend]]\nname = \"pool\"\n\
         servers = [{at_a:?}, {at_b:?}, {:?}]\nsticky = {{ cookie = \"at\" }}\n{PROBES}",
        c.url()
    ));
    let held: Vec<Raw> = (0..9).map(|_| open(&gateway)).collect();
    let even = [&at_a, &at_b, &c.url()].map(|server| (server.clone(), 3));
    assert_eq!(count(&gateway, held.len()), HashMap::from(even));
    let (head, mut client) = ask(&gateway, &Ask::plain());
    let cookie = values(&head, "set-cookie")[0].split(';').next().unwrap().to_string();
    let name = client.take(1);
    for _ in 0..5 {
        let (head, mut client) = ask(&gateway, &Ask::plain().with(&[&format!("Cookie: {cookie}")]));
        assert_eq!((values(&head, "set-cookie").len(), client.take(1)), (0, name.clone()));
    }
    // One is taken away, and one has nobody behind it who answers.
    std::fs::remove_file(&paths[0]).unwrap();
    b.behave(Manner::Silence);
    for gone in [&at_a, &at_b] {
        gateway.wait_for("down", |line| {
            line["message"].as_str().is_some_and(|message| message.contains("server is down"))
                && line["server"] == gone.as_str()
        });
    }
    let more: Vec<Raw> = (0..4).map(|_| open(&gateway)).collect();
    assert_eq!(count(&gateway, more.len()), HashMap::from([(c.url(), 4)]));
}

/// A server that comes late gets what it lacks; with a slow start, little by little.
#[test]
fn a_server_that_is_added_gets_the_next_sessions() {
    for (slow_start, least, most) in [("none", 500, 500), ("1h", 5, 100)] {
        let [a, b, c] = servants([Manner::Serve, Manner::Serve, Manner::Answer(503)]);
        let gateway = gateway(&[&a, &b, &c], &format!("slow_start = {slow_start:?}\n{PROBES}"), "");
        probes_say(&gateway, "down", &c);
        let mut held: Vec<Raw> = (0..1000).map(|_| open(&gateway)).collect();
        let counts = count(&gateway, held.len());
        assert_eq!(counts, HashMap::from([(a.url(), 500), (b.url(), 500)]));
        c.behave(Manner::Serve);
        probes_say(&gateway, "up again", &c);
        held.extend((0..500).map(|_| open(&gateway)));
        let got = count(&gateway, 500).get(&c.url()).copied().unwrap_or(0);
        assert!((least..=most).contains(&got), "{got} with a slow start of {slow_start}");
    }
}

/// Of two servers one is killed: its clients hear 1012 at once and are served by the other, and so is everybody else.
#[test]
fn a_server_that_is_killed_costs_nobody_new_anything() {
    let (mut processes, addresses): (Vec<_>, Vec<_>) = (0..2).map(|_| Process::servant()).unzip();
    let [a, b] = [addresses[0], addresses[1]].map(Servant::elsewhere);
    let gateway = gateway(&[&a, &b], "", "");
    let mut clients: Vec<(String, Raw)> = Vec::new();
    for _ in 0..100 {
        let client = open(&gateway);
        clients.push((server_of_next(&gateway), client));
    }
    let before = Instant::now();
    processes.remove(0).signal("KILL");
    let (at_a, at_b): (Vec<_>, Vec<_>) = clients.into_iter().partition(|(server, _)| *server == a.url());
    assert_eq!((at_a.len(), at_b.len()), (50, 50));
    let mut back = Vec::new();
    for (_, mut client) in at_a {
        assert_eq!(client.expect_close(1012), "backend_lost");
        client.send(client_frame(0x88, &close_payload(1012, "")));
        back.push(open(&gateway));
    }
    // No heartbeat was waited for, of which the first comes after 25 seconds.
    assert!(before.elapsed() < SOON / 2, "{:?}", before.elapsed());
    assert_eq!(count(&gateway, back.len()), HashMap::from([(b.url(), 50)]));
    for (_, mut client) in at_b {
        client.expect_nothing_yet();
    }
}

/// Whoever can make a server hang up could else have one after the other left alone.
#[test]
fn a_client_cannot_have_a_server_ejected() {
    let backend = Backend::start();
    let gateway = Gateway::in_front_of(&backend, "");
    for _ in 0..4 {
        let (mut client, mut server) = gateway.open_session(&backend);
        client.send(text("what makes it hang up"));
        server.expect(text("what makes it hang up"));
        drop(server);
        client.expect_close(1012);
        drop(client);
        gateway.expect_ended("backend", "backend_lost");
    }
    drop(gateway.open_session(&backend));
    assert!(!gateway.rest_of_log().iter().any(is_failure));
}

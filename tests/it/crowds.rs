//! How many connections at a time, and how fast they may come: of the process, a listener, a route.

use crate::support::*;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// A connection from another address of this machine's loopback.
fn connect_from(last: u8, gateway: SocketAddr) -> Raw {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into()).unwrap();
    socket.connect(&gateway.into()).unwrap();
    Raw::new(TcpStream::from(socket))
}

/// These lines for the process and for its plain listener.
fn front(process: &str, listener: &str, route: &str) -> Front {
    Front::configured(&format!(
        "{process}\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n{listener}\n\
         [[route]]\nname = \"test\"\nbackend = \"BACKEND\"\n{route}\n"
    ))
}

/// A session of a client at 127.0.0.`last`.
fn open_from(front: &Front, last: u8) -> Ends {
    let mut client = connect_from(last, front.gateway.address());
    client.send(Ask::new().bytes());
    let (_, server) = front.backend.accept_upgrade(b"");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Ends { client, server }
}

/// A plain request passes, and both connections stay open.
fn passes(front: &Front, request: &Ask) -> Ends {
    let mut client = front.send(request.bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    Ends { client, server }
}

/// A session, as soon as there is a seat for it again: whoever left is noticed a moment later.
fn opens_soon(front: &Front, request: &Ask) -> Ends {
    let since = Instant::now();
    loop {
        let mut client = front.send(request.bytes());
        // Refused, it is told so; let in, the backend is asked. Which of the two is not known before.
        let (server, said) = loop {
            if let Some(server) = front.backend.accept_within(POLL) {
                break (Some(server), Vec::new());
            }
            client.stream.set_read_timeout(Some(POLL)).unwrap();
            let said = client.some();
            if !said.is_empty() {
                break (None, said);
            }
            assert!(since.elapsed() < SOON, "neither refused nor let in");
        };
        client.stream.set_read_timeout(Some(SOON)).unwrap();
        let Some(mut server) = server else {
            assert!(said.starts_with(b"HTTP/1.1 503 "), "{}", said.escape_ascii());
            assert!(since.elapsed() < AT_ONCE, "the seat is not given back: {}", said.escape_ascii());
            continue;
        };
        server.head();
        server.send(upgrade_response(""));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        return Ends { client, server };
    }
}

/// How long to look at one of two things that may happen.
const POLL: Duration = Duration::from_millis(5);

fn expect_line(front: &Front, cause: &str, detail: &str) -> Value {
    let line = front.gateway.refused();
    assert_eq!((line["cause"].as_str(), line["detail"].as_str()), (Some(cause), Some(detail)), "{line:#}");
    line
}

/// Sent away before it said anything: the answer comes all the same.
fn expect_sent_away(client: &mut Raw, status: u16, cause: &str, retry_after: &str) {
    let head = expect_refusal(client, status, cause);
    assert_eq!(values(&head, "retry-after"), [retry_after]);
}

/// The program ends with every seat free.
fn expect_no_seat_taken(front: Front) {
    let log = front.gateway.rest_of_log();
    let stopped = log.iter().find(|line| line["message"] == "stopped").unwrap();
    assert_eq!(stopped["seats"], 0, "{stopped:#}");
}

#[test]
fn of_the_process() {
    let front = front("max_connections = 2", "", "");
    let limit = front.gateway.wait_for("the limit", |line| line["max_connections"] == 2);
    assert_eq!(limit["level"], "INFO");
    let first = open_from(&front, 1);
    // What connects is counted, whatever it asks.
    let kept = passes(&front, &Ask::plain());
    expect_sent_away(&mut connect_from(3, front.gateway.address()), 503, "limit.process", "5");
    let line = expect_line(&front, "limit.process", "the process has its max_connections, 2");
    assert_eq!((line["listener"].as_str(), line["client"].as_str()), (Some("plain"), Some("127.0.0.3")));
    // A request that is there already does not keep the answer from arriving.
    let mut hasty = front.send(Ask::new().behind(vec![b'x'; 8000]).bytes());
    expect_sent_away(&mut hasty, 503, "limit.process", "5");
    front.backend.expect_no_contact();
    drop(kept);
    let second = opens_soon(&front, &Ask::new());
    drop((first, second));
    expect_no_seat_taken(front);
}

#[test]
fn auto_is_what_the_descriptors_hold() {
    let backend = Backend::start();
    let gateway = Gateway::start_with_descriptors(
        160,
        &format!(
            "workers = 1\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n",
            backend.url()
        ),
    );
    let limit = gateway.wait_for("the limit", |line| line["max_connections"].is_u64());
    let seats = limit["max_connections"].as_u64().unwrap() as usize;
    assert_eq!(seats, (160 - 32 - 70) / 2);
    let open: Vec<_> = (0..seats).map(|_| gateway.open_session(&backend)).collect();
    let mut one_more = gateway.connect();
    expect_sent_away(&mut one_more, 503, "limit.process", "5");
    // There was a descriptor for each of them, and for the answer.
    for (mut client, mut server) in open {
        client.send(text("x"));
        server.expect(text("x"));
    }
    let complaints = |line: &Value| line["message"].to_string().contains("cannot accept");
    assert!(!gateway.rest_of_log().iter().any(complaints));
}

#[test]
fn of_a_listener() {
    let front = Front::configured(
        "[[listener]]\nname = \"small\"\nbind = \"127.0.0.1:0\"\nmax_connections = 1\n\
         [[listener]]\nname = \"large\"\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"BACKEND\"\n",
    );
    let first = open_from(&front, 1);
    expect_sent_away(&mut connect_from(2, front.gateway.address()), 503, "limit.listener", "5");
    expect_line(&front, "limit.listener", "listener small has its max_connections, 1");
    let mut other = Raw::connect(front.gateway.listeners[1]);
    other.send(Ask::new().bytes());
    front.backend.accept_upgrade(b"");
    assert!(other.head().starts_with("HTTP/1.1 101 "));
    drop(first);
    let again = opens_soon(&front, &Ask::new());
    drop((again, other));
    expect_no_seat_taken(front);
}

#[test]
fn of_one_address_at_a_listener() {
    let front = front("", "max_connections_per_ip = 2", "");
    let first = open_from(&front, 1);
    let kept = passes(&front, &Ask::plain());
    expect_sent_away(&mut front.gateway.connect(), 503, "limit.address", "5");
    expect_line(&front, "limit.address", "127.0.0.1 has the max_connections_per_ip of listener plain, 2");
    // Its forwarded address is anybody's to write.
    let claims = Ask::new().with(&["X-Forwarded-For: 192.0.2.1"]);
    expect_sent_away(&mut front.send(claims.bytes()), 503, "limit.address", "5");
    let other = open_from(&front, 2);
    drop(kept);
    let second = opens_soon(&front, &Ask::new());
    drop((first, second, other));
    expect_no_seat_taken(front);
}

/// Connects until it is refused, which it is when it does not take a second each time; how often it was let in.
fn until_refused(mut connect: impl FnMut() -> bool) -> usize {
    let admitted = (0..60).take_while(|_| connect()).count();
    assert!(admitted < 60, "nobody was refused");
    admitted
}

/// Tries until it is refused with 429; how often it was told something else, which is `instead`, and the refusal.
fn until_too_fast(instead: u16, mut ask: impl FnMut() -> String) -> (usize, String) {
    let mut last = String::new();
    let admitted = until_refused(|| {
        last = ask();
        let is_slow_enough = last.starts_with(&format!("HTTP/1.1 {instead} "));
        assert!(is_slow_enough || last.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{last}");
        is_slow_enough
    });
    assert_eq!(values(&last, "x-framegate-cause"), ["rate.handshakes"]);
    assert_eq!(values(&last, "retry-after"), ["1"]);
    (admitted, last)
}

#[test]
fn too_fast_for_a_listener() {
    let front = front("", "handshakes_per_ip = { per_second = 1, burst = 5 }", "");
    let ask = || front.send("GET /%2F HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let (admitted, head) = until_too_fast(400, ask);
    let refused = Instant::now();
    assert!(admitted >= 5, "{admitted}");
    let line = front.gateway.wait_for("too fast", |line| line["cause"] == "rate.handshakes");
    let detail = "127.0.0.1 is faster than the handshakes_per_ip of listener plain: 1 a second, 5 at once";
    assert_eq!((line["detail"].as_str(), line["client"].as_str()), (Some(detail), Some("127.0.0.1")));
    drop(open_from(&front, 2));
    // Who comes when it was told to is let in; who tries before then comes no later for it.
    let told = Duration::from_secs(values(&head, "retry-after")[0].parse().unwrap());
    while ask().starts_with("HTTP/1.1 429 ") {
        assert!(refused.elapsed() < told + AT_ONCE);
    }
}

#[test]
fn tls_is_not_paid_for() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority.listener(&["a.test"], "");
    for (limit, cause) in [
        ("max_connections = 1", "limit.listener"),
        ("max_connections_per_ip = 1", "limit.address"),
        ("handshakes_per_ip = { per_second = 1, burst = 1 }", "rate.handshakes"),
    ] {
        let listener = listener.replace("[listener.tls]", &format!("{limit}\n[listener.tls]"));
        let front = Front::configured(&format!("{listener}[[route]]\nbackend = \"BACKEND\"\n"));
        let mut first = authority.client().connect(front.gateway.address(), "a.test").unwrap();
        first.send(Ask::new().bytes());
        let server = front.backend.accept_upgrade(b"");
        assert!(first.head().starts_with("HTTP/1.1 101 "));
        until_refused(|| {
            let mut client = front.gateway.connect();
            client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            // Refused: it ends at once, without a word. Let in: nothing happens, for a ClientHello is waited for.
            let read = std::io::Read::read(&mut client.stream, &mut [0; 16]);
            !matches!(read, Ok(0))
        });
        let line = front.gateway.wait_for(cause, |line| line["cause"] == cause);
        assert_eq!(line["message"], "handshake refused");
        drop((first, server));
        expect_no_seat_taken(front);
    }
}

/// Behind a trusted proxy each client counts for itself, at its request; the proxy's own address does not.
#[test]
fn the_address_that_a_trusted_proxy_forwards() {
    let of = |address: &str| Ask::new().with(&[&format!("X-Forwarded-For: {address}")]);
    let front = front(
        "trusted_proxies = [\"127.0.0.0/8\"]",
        "max_connections_per_ip = 1\nhandshakes_per_ip = { per_second = 1, burst = 30 }",
        "",
    );
    let first = front.expect_admitted(&of("192.0.2.1"));
    let (head, line) = front.expect_refused(&of("192.0.2.1"), 503, "limit.address");
    assert_eq!(values(&head, "retry-after"), ["5"]);
    assert_eq!(line["client"], "192.0.2.1");
    assert_eq!(line["detail"], "192.0.2.1 has the max_connections_per_ip of listener plain, 1");
    let second = front.expect_admitted(&of("192.0.2.2"));
    // A network of IPv6 is one client, and an IPv4 address is the same in IPv6's clothes.
    let third = front.expect_admitted(&of("2001:db8::1"));
    front.expect_refused(&of("[2001:db8::ffff]:443"), 503, "limit.address");
    let fourth = front.expect_admitted(&of("2001:db8:0:1::1"));
    front.expect_refused(&of("::ffff:192.0.2.2"), 503, "limit.address");
    // Plain requests go over connections that the proxy shares among its clients: no seat is anybody's.
    for _ in 0..3 {
        passes(&front, &Ask::plain().with(&["X-Forwarded-For: 192.0.2.1"]));
    }
    until_too_fast(503, || front.send(of("192.0.2.1").bytes()).head());
    front.expect_refused(&of("192.0.2.2"), 503, "limit.address");
    drop((first, second, third, fourth));
    opens_soon(&front, &of("192.0.2.2"));
    expect_no_seat_taken(front);
}

/// The address that a PROXY header gives is the client's, as if it had connected itself.
#[test]
fn the_address_in_a_proxy_header() {
    let front = front(
        "trusted_proxies = [\"127.0.0.0/8\"]",
        "proxy_protocol = \"require\"\nmax_connections_per_ip = 1\n\
         handshakes_per_ip = { per_second = 1, burst = 5 }",
        "",
    );
    let of = |address: &str| {
        let header = format!("PROXY TCP4 {address} 198.51.100.1 4711 443\r\n");
        [header.as_bytes(), &Ask::new().bytes()].concat()
    };
    let mut client = front.send(of("192.0.2.1"));
    let server = front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    expect_sent_away(&mut front.send(of("192.0.2.1")), 503, "limit.address", "5");
    let detail = "192.0.2.1 has the max_connections_per_ip of listener plain, 1";
    let line = expect_line(&front, "limit.address", detail);
    assert_eq!(line["client"], "192.0.2.1");
    let mut other = front.send(of("192.0.2.2"));
    let other_server = front.backend.accept_upgrade(b"");
    assert!(other.head().starts_with("HTTP/1.1 101 "));
    until_too_fast(503, || front.send(of("192.0.2.1")).head());
    drop((client, server, other, other_server));
    expect_no_seat_taken(front);
}

/// Over a unix socket comes what a proxy of this machine forwards. If it does not say for whom, all of it is one client.
#[test]
fn behind_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let backend = Backend::start();
    let gateway = Gateway::start_in(
        dir,
        &format!(
            "[[listener]]\nname = \"in\"\nbind = \"unix:in.sock\"\nmax_connections = 5\n\
             max_connections_per_ip = 1\n[[route]]\nbackend = \"{}\"\n",
            backend.url()
        ),
    );
    let ask = |request: &Ask| {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut client = Raw::over(stream);
        client.send(request.bytes());
        client
    };
    let admitted = |request: &Ask| {
        let mut client = ask(request);
        let server = backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        (client, server)
    };
    let named = Ask::new().with(&["X-Forwarded-For: 192.0.2.1"]);
    let first = admitted(&named);
    expect_refusal(&mut ask(&named), 503, "limit.address");
    let detail = "a client without an address has the max_connections_per_ip of listener in, 1";
    let second = admitted(&Ask::new());
    expect_refusal(&mut ask(&Ask::new()), 503, "limit.address");
    gateway.wait_for(detail, |line| line["detail"] == detail);
    // The listener's own cap holds here too, and before the request. It has room for the two that were sent away, who may
    // be there for another moment.
    let since = Instant::now();
    let mut silent: Vec<_> = (0..6).map(|_| Raw::over(UnixStream::connect(&path).unwrap())).collect();
    let refused = loop {
        let said = silent.iter_mut().map(|client| {
            client.stream.set_read_timeout(Some(POLL)).unwrap();
            client.some()
        });
        if let Some(said) = said.into_iter().find(|said| !said.is_empty()) {
            break String::from_utf8(said).unwrap();
        }
        assert!(since.elapsed() < SOON, "nobody was refused");
    };
    assert!(refused.contains("\r\nx-framegate-cause: limit.listener\r\n"), "{refused}");
    drop((first, second, silent));
}

#[test]
fn of_a_route() {
    let front = Front::routes(
        "[[route]]\nname = \"small\"\npath = \"/small\"\nbackend = \"BACKEND\"\nlimits.max_connections = 1\n\
         [[route]]\nname = \"large\"\nbackend = \"BACKEND\"\n",
    );
    let small = Ask::new().target("/small");
    let first = front.expect_admitted(&small);
    let (head, line) = front.expect_refused(&small, 503, "limit.route");
    assert_eq!(values(&head, "retry-after"), ["5"]);
    assert_eq!(line["detail"], "route small has its max_connections, 1");
    let elsewhere = front.expect_admitted(&Ask::new());
    // A plain request needs no seat.
    passes(&front, &Ask::plain().target("/small"));
    drop(first);
    let again = opens_soon(&front, &small);
    drop((again, elsewhere));
    expect_no_seat_taken(front);
}

#[test]
fn of_one_address_on_a_route() {
    let front = front("", "", "limits.max_connections_per_ip = 1");
    let first = open_from(&front, 1);
    let (_, line) = front.expect_refused(&Ask::new(), 503, "limit.address");
    assert_eq!(line["detail"], "127.0.0.1 has the max_connections_per_ip of route test, 1");
    let other = open_from(&front, 2);
    drop(first);
    let again = opens_soon(&front, &Ask::new());
    drop((again, other));
    expect_no_seat_taken(front);
}

#[test]
fn too_fast_for_a_route() {
    // No seat either: who is too fast is told so first, and who hammers a full route becomes too fast.
    let front = front("", "", "rate.handshakes = { per_second = 1, burst = 3 }\nlimits.max_connections = 1");
    let seated = front.expect_admitted(&Ask::new());
    let (admitted, _) = until_too_fast(503, || front.send(Ask::new().bytes()).head());
    assert!(admitted >= 2, "{admitted}");
    let line = front.gateway.wait_for("too fast", |line| line["cause"] == "rate.handshakes");
    let detail = "127.0.0.1 is faster than the rate.handshakes of route test: 1 a second, 3 at once";
    assert_eq!((line["detail"].as_str(), line["status"].as_u64()), (Some(detail), Some(429)));
    // Another client has a rate of its own, and a page is no handshake.
    let mut other = connect_from(2, front.gateway.address());
    other.send(Ask::new().bytes());
    assert!(other.head().starts_with("HTTP/1.1 503 "));
    for _ in 0..5 {
        passes(&front, &Ask::plain());
    }
    drop(seated);
}

/// One seat, and every way to lose it.
#[test]
fn the_seat_is_given_back_whatever_happens() {
    let one = "max_connections = 1\nmax_connections_per_ip = 1";
    let front = front(
        "max_connections = 1",
        &format!("{one}\nhandshake_timeout = \"2s\""),
        "limits = { max_connections = 1, max_connections_per_ip = 1 }\n\
         [[route]]\npath = \"/nobody\"\nbackend = \"ws://127.0.0.1:1\"\n\
         limits = { max_connections = 1, max_connections_per_ip = 1 }\n\
         [[route]]\npath = \"/asked\"\nbackend = \"BACKEND\"\n\
         access.forward_auth = { url = \"http://127.0.0.1:1\" }\n\
         limits = { max_connections = 1, max_connections_per_ip = 1 }\n",
    );
    let upgrade = Ask::new();
    // A connection that has the one seat, and has sent these bytes.
    let seated = |bytes: &[u8]| {
        let mut session = opens_soon(&front, &upgrade);
        session.exchange("the one seat");
        drop(session);
        // The line is written out once the session is gone.
        front.gateway.ended();
        let mut client = front.gateway.connect();
        client.send(bytes);
        client
    };
    // In the middle of the head, in order and not; and by saying nothing until the time is up.
    drop(seated(b"GET / HTTP/1.1\r\nHo"));
    seated(b"GET / HTTP/1.1\r\nHo").reset();
    seated(b"").rest();
    // A request that is refused: by hyper, by us, because the backend is not there or the auth server is not.
    let (nobody, asked) = (Ask::new().target("/nobody").bytes(), Ask::new().target("/asked").bytes());
    let misread = b"GET /%2F HTTP/1.1\r\nHost: a\r\n\r\n";
    for refused in [&b"nonsense\r\n\r\n"[..], misread, &nobody, &asked] {
        seated(refused).rest();
    }
    // One that the backend refuses, or answers with something broken or with nothing.
    let forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    for answer in [forbidden, "HTTP/1.1 101 Odd\r\n\r\n", "x\r\n\r\n", ""] {
        let mut client = seated(&upgrade.bytes());
        let mut server = front.backend.accept();
        server.head();
        server.send(answer);
        drop(server);
        client.rest();
    }
    // While the backend thinks.
    for leave in [drop::<Raw>, Raw::reset] {
        let client = seated(&upgrade.bytes());
        let mut server = front.backend.accept();
        server.head();
        leave(client);
        // The backend notices: the gateway has let go.
        server.rest();
    }
    drop(seated(b""));
    expect_no_seat_taken(front);
}

#[test]
fn a_client_that_vanishes_in_tls() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority
        .listener(&["a.test"], "")
        .replace("[listener.tls]", "max_connections = 1\nhandshake_timeout = \"2s\"\n[listener.tls]");
    let front = Front::configured(&format!("{listener}[[route]]\nbackend = \"BACKEND\"\n"));
    let hello = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
    let ways: [fn(Raw); 3] = [drop, Raw::reset, |mut silent| drop(silent.rest())];
    for leave in ways {
        for said in [&b""[..], hello, b"GET / HTTP/1.1\r\n\r\n"] {
            let since = Instant::now();
            let mut session = loop {
                match authority.client().connect(front.gateway.address(), "a.test") {
                    Ok(session) => break session,
                    Err(error) => assert!(since.elapsed() < AT_ONCE, "the seat is not given back: {error}"),
                }
            };
            session.send(Ask::new().bytes());
            let server = front.backend.accept_upgrade(b"");
            assert!(session.head().starts_with("HTTP/1.1 101 "));
            drop((session, server));
            front.gateway.ended();
            let mut client = front.gateway.connect();
            client.send(said);
            leave(client);
        }
    }
    expect_no_seat_taken(front);
}

/// An attack does not fill the disk, and nothing is kept from the operator.
#[test]
fn a_flood_is_counted_and_not_written_out() {
    const FLOOD: u64 = 600;
    let front = front("", "max_connections = 1", "");
    let seated = open_from(&front, 1);
    for _ in 0..FLOOD {
        front.gateway.connect().rest();
    }
    drop(seated);
    let log = front.gateway.rest_of_log();
    let is_it = |line: &&Value| line["cause"] == "limit.listener";
    let lines = log.iter().filter(is_it).filter(|line| line["message"] == "handshake refused").count() as u64;
    let told: u64 = log.iter().filter(is_it).filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(lines + told, FLOOD);
    assert!((50..FLOOD / 2).contains(&lines), "{lines} lines");
}

#[test]
fn check_warns_where_descriptors_are_too_few() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    let config = "workers = 1\nmax_connections = SEATS\n[[listener]]\nbind = \"127.0.0.1:1\"\n\
                  max_connections = 100\n[[route]]\nbackend = \"ws://a:1\"\nlimits.max_connections = 120\n";
    let check = |seats: &str, descriptors: usize| {
        std::fs::write(&file, config.replace("SEATS", seats)).unwrap();
        let script = format!("ulimit -n {descriptors}; exec \"$0\" check \"$1\"");
        let program = env!("CARGO_BIN_EXE_framegate");
        let output = Command::new("sh").args(["-c", &script, program]).arg(&file).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", dir.path().display()), "")
    };
    assert_eq!(check("115", 342), "");
    assert_eq!(check("\"auto\"", 342), "");
    let place = |line: u8, column: u8, key: &str| format!("a.toml:{line}:{column}: {key}");
    assert_eq!(
        check("150", 310),
        format!(
            "warning: {}: 150 connections need 402 descriptors, and a process may have 310 here\n  \
             hint: raise the limit (LimitNOFILE=402 in systemd, or ulimit -n 402), or lower the number\n\
             warning: {}: 120 connections need 342 descriptors, and a process may have 310 here\n  \
             hint: raise the limit (LimitNOFILE=342 in systemd, or ulimit -n 342), or lower the number\n",
            place(2, 19, "max_connections"),
            place(8, 26, "route[1].limits.max_connections"),
        )
    );
    let warned = check("\"none\"", 300);
    assert!(warned.contains("listener[1].max_connections: 100 connections need 302"), "{warned}");
}

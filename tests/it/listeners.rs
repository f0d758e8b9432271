//! Listening sockets, and what reaches them before there is a request.

use crate::support::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

const IMPATIENT: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\nhandshake_timeout = \"300ms\"\n";
const ROUTE: &str = "[[route]]\nbackend = \"BACKEND\"\n";

/// Sends these bytes again and again, slowly, until the gateway has enough; how long it had patience, from before the
/// client connected.
fn trickle(client: &mut Raw, bytes: &[u8], started: Instant) -> Duration {
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        assert!(started.elapsed() < SOON, "no end to the gateway's patience");
        let sent = client.stream.write_all(bytes);
        match client.stream.read(&mut [0; 16]) {
            Err(error) if sent.is_ok() && error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return started.elapsed(),
        }
    }
}

/// Of a time that began before the gateway's did: on a busy machine it is longer, and never shorter.
fn is_the_deadline(took: Duration) {
    assert!(took >= Duration::from_millis(300) && took < AT_ONCE, "{took:?}");
}

#[test]
fn a_head_has_one_deadline() {
    let front = Front::configured(&format!("{IMPATIENT}{ROUTE}"));
    let started = Instant::now();
    let mut silent = front.gateway.connect();
    silent.expect_end();
    is_the_deadline(started.elapsed());
    assert_eq!(front.gateway.refused()["cause"], "head_timeout");

    let started = Instant::now();
    let mut stalled = front.send("GET / HTTP/1.1\r\nHost: ga");
    stalled.expect_end();
    is_the_deadline(started.elapsed());
    assert_eq!(front.gateway.refused()["cause"], "head_timeout");

    // A byte now and then is no way around it.
    let started = Instant::now();
    let mut slow = front.send("GET / HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ");
    is_the_deadline(trickle(&mut slow, b"a", started));
    assert_eq!(front.gateway.refused()["cause"], "head_timeout");
    let started = Instant::now();
    let mut slow = front.gateway.connect();
    is_the_deadline(trickle(&mut slow, b"\r\n", started));
    front.backend.expect_no_contact();
}

#[test]
fn a_kept_connection_is_not_kept_for_ever() {
    let Front { gateway, backend } = Front::configured(&format!("{IMPATIENT}{ROUTE}"));
    let mut client = gateway.connect();
    client.send(Ask::plain().bytes());
    let mut server = backend.accept();
    server.head();
    let started = Instant::now();
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    client.head();
    client.expect_end();
    is_the_deadline(started.elapsed());
    server.expect_end();
    // That is how such connections end: nobody was refused anything.
    let refused: Vec<_> =
        gateway.rest_of_log().into_iter().filter(|line| line["message"] == "handshake refused").collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn tls_and_the_head_share_the_deadline() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority
        .listener(&["a.test"], "")
        .replace("[listener.tls]", "handshake_timeout = \"300ms\"\n[listener.tls]");
    let front = Front::configured(&format!("{listener}{ROUTE}"));
    let hello = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
    for begin in [&b""[..], hello] {
        let started = Instant::now();
        let mut client = front.gateway.connect();
        client.send(begin);
        client.rest();
        is_the_deadline(started.elapsed());
        assert_eq!(front.gateway.refused()["cause"], "tls_timeout");
    }
    let started = Instant::now();
    let mut client = front.gateway.connect();
    client.send(hello);
    is_the_deadline(trickle(&mut client, b"a", started));
    assert_eq!(front.gateway.refused()["cause"], "tls_timeout");
    front.backend.expect_no_contact();
}

#[test]
fn a_head_has_what_tls_left_of_the_deadline() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority
        .listener(&["a.test"], "")
        .replace("[listener.tls]", "handshake_timeout = \"4s\"\n[listener.tls]");
    let front = Front::configured(&format!("{listener}{ROUTE}"));
    let started = Instant::now();
    let mut tcp = TcpStream::connect(front.gateway.address()).unwrap();
    // Nothing comes, and half of the time goes by; then TLS, and silence again.
    tcp.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    tcp.read(&mut [0; 16]).unwrap_err();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    let mut client = authority.client().over(tcp, "a.test").unwrap();
    let _ = client.stream.read(&mut [0; 16]);
    let took = started.elapsed();
    // A head with a deadline of its own would have four seconds from here.
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(front.gateway.refused()["cause"], "head_timeout");
    front.backend.expect_no_contact();
}

#[test]
fn ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let front = Front::configured(&format!(
        "trusted_proxies = [\"192.0.2.1\"]\n[[listener]]\nbind = \"[::1]:0\"\n{ROUTE}"
    ));
    let host = format!("[::1]:{}", front.gateway.address().port());
    let ask = Ask::new().with(&[&format!("Host: {host}"), &format!("Origin: http://{host}")]);
    let forwarded = front.forwarded(&ask);
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["::1"]);
    assert_eq!(values(&forwarded, "forwarded"), [format!("for=\"[::1]\";host=\"{host}\";proto=http")]);
    assert_eq!(front.opened()["client"], "::1");

    let backend = std::net::TcpListener::bind("[::1]:0").unwrap();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"ws://{}\"\nheaders.host = \"backend\"\n",
        backend.local_addr().unwrap()
    ));
    let mut client = gateway.connect();
    client.send(Ask::new().bytes());
    let mut server = Raw::new(backend.accept().unwrap().0);
    assert_eq!(values(&server.head(), "host"), [backend.local_addr().unwrap().to_string()]);
    server.send(upgrade_response(""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_unix_socket_and_its_leftovers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    // What a process leaves behind that was killed.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let backend = Backend::start();
    let url = backend.url();
    let mut gateway = Gateway::start_in(
        dir,
        &format!("[[listener]]\nbind = \"unix:in.sock\"\n[[route]]\nbackend = \"{url}\"\n"),
    );
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut client = Raw::over(stream);
    // Whoever may open the socket is a proxy of this machine, and believed.
    let ask = Ask::new().with(&[
        "X-Forwarded-For: 192.0.2.9",
        "X-Forwarded-Proto: https",
        "Origin: https://gateway.test",
    ]);
    client.send(ask.bytes());
    let (forwarded, mut server) = backend.accept_upgrade(b"");
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["192.0.2.9"]);
    assert_eq!(values(&forwarded, "x-forwarded-proto"), ["https"]);
    assert!(values(&forwarded, "x-forwarded-port").is_empty());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send(text("x"));
    server.expect(text("x"));
    let opened = gateway.wait_for("opened", |line| line["message"] == "session opened");
    assert_eq!(opened["client"], "192.0.2.9");
    drop((client, server));
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(!path.exists(), "it tidies up behind itself");
}

#[test]
fn a_place_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let _socket = UnixListener::bind(&path).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = dir.path().join("framegate.toml");
    // A gateway's own sockets share their port with each other, and with nobody else.
    let route = "[[route]]\nbackend = \"ws://127.0.0.1:1\"\n";
    let other = Gateway::start(&format!("workers = 3\n[[listener]]\nbind = \"127.0.0.1:0\"\n{route}"));
    let taken = [taken.local_addr().unwrap().to_string(), other.address().to_string()];
    for bind in taken.into_iter().chain([format!("unix:{}", path.display())]) {
        std::fs::write(
            &config,
            format!(
                "workers = 3\n[[listener]]\nname = \"in\"\nbind = \"{bind}\"\n[[route]]\nbackend = \"ws://127.0.0.1:1\"\n"
            ),
        )
        .unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_framegate"));
        let mut child =
            command.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + AT_ONCE;
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&bind) && said.contains("in"), "{said}");
    }
    assert!(path.exists(), "it is somebody's");
}

#[test]
fn connections_that_come_to_nothing() {
    let front = Front::new("");
    let silent: Vec<Raw> = (0..100).map(|_| front.gateway.connect()).collect();
    for _ in 0..200 {
        front.gateway.connect().reset();
    }
    let started = Instant::now();
    front.expect_admitted(&Ask::new());
    assert!(started.elapsed() < AT_ONCE);
    drop(silent);
}

#[test]
fn no_descriptor_is_left() {
    let backend = Backend::start();
    let limit = 48;
    let gateway = Gateway::start_with_descriptors(
        limit,
        // Two loops that both fail: one voice all the same.
        &format!(
            "workers = 2\nmax_connections = \"none\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n",
            backend.url()
        ),
    );
    let (mut client, mut server) = gateway.open_session(&backend);
    let waiting: Vec<Raw> = (0..limit).map(|_| gateway.connect()).collect();
    let complaint =
        || gateway.wait_for("a complaint", |line| line["message"].to_string().contains("cannot accept"));
    complaint();
    // From one complaint to the next is a second, in which next to nothing is done. Two of them, for we may have heard
    // the first one late.
    let before = (gateway.ticks(), Instant::now());
    complaint();
    complaint();
    let (ticks, took) = (gateway.ticks() - before.0, before.1.elapsed());
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(u128::from(ticks) * 10 <= took.as_millis() * 3 / 10, "{ticks} ticks in {took:?}");
    client.send(text("still here"));
    server.expect(text("still here"));
    // With descriptors there is service again.
    drop(waiting);
    let freed = Instant::now();
    gateway.open_session(&backend);
    assert!(freed.elapsed() < AT_ONCE);
    client.send(text("and still"));
    server.expect(text("and still"));
}

#[test]
fn the_last_descriptor_is_the_clients() {
    let backend = Backend::start();
    let limit = 48;
    let gateway = Gateway::start_with_descriptors(
        limit,
        &format!(
            "workers = 2\nmax_connections = \"none\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n",
            backend.url()
        ),
    );
    // Inherited ones with higher numbers are beyond the limit and do not count.
    let used = || {
        let names = std::fs::read_dir(format!("/proc/{}/fd", gateway.child.id())).unwrap();
        let numbers =
            names.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<usize>().unwrap());
        numbers.filter(|number| *number < limit).count()
    };
    let waiting: Vec<Raw> = (used() + 1..limit).map(|_| gateway.connect()).collect();
    let deadline = Instant::now() + SOON;
    while used() < limit - 1 {
        assert!(Instant::now() < deadline, "{} are in use", used());
        std::thread::yield_now();
    }
    let mut client = gateway.connect();
    client.send(Ask::new().bytes());
    let head = expect_refusal(&mut client, 503, "overload");
    assert_eq!(values(&head, "retry-after"), ["1"]);
    assert_eq!(gateway.refused()["level"], "WARN");
    backend.expect_no_contact();
    drop(waiting);
}

//! Backends that cannot be reached, and the other ways to reach one.

use crate::support::*;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// A front whose backend is this one, and what its only upgrade gets.
fn refusal_of(server: &str, status: u16, cause: &str) -> serde_json::Value {
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"b\"\n\
         [[backend]]\nname = \"b\"\nservers = [\"{server}\"]\nconnect_timeout = \"200ms\"\n"
    ));
    for ask in [Ask::new(), Ask::plain()] {
        let mut client = gateway.connect();
        client.send(ask.bytes());
        expect_refusal(&mut client, status, cause);
        let line = gateway.refused();
        assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(status.into()), Some(cause)));
        if ask.bytes() == Ask::plain().bytes() {
            return line;
        }
    }
    unreachable!()
}

#[test]
fn nobody_listens() {
    let line = refusal_of("ws://127.0.0.1:1", 502, "backend_connect");
    assert!(line["detail"].as_str().unwrap().contains("ws://127.0.0.1:1"), "{line:#}");
    refusal_of("unix:/nowhere/at/all.sock", 502, "backend_connect");
}

#[test]
fn a_name_that_does_not_exist() {
    // Where there is no resolver at all the look-up may take longer than a test can wait.
    let line = refusal_of("ws://backend.invalid:80", 502, "backend_dns");
    assert!(line["detail"].as_str().unwrap().contains("backend.invalid"), "{line:#}");
}

#[test]
fn packets_into_a_black_hole() {
    let hole = BlackHole::dig();
    let started = Instant::now();
    let line = refusal_of(&format!("ws://{}", hole.address), 504, "backend_connect_timeout");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400) && took < AT_ONCE, "twice the connect_timeout: {took:?}");
    assert!(line["detail"].as_str().unwrap().contains(&hole.address.to_string()), "{line:#}");
}

#[test]
fn a_backend_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"unix:{}\"\n",
        path.display()
    ));
    let mut client = gateway.connect();
    client.send(Ask::new().bytes());
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut server = Raw::over(stream);
    assert_eq!(values(&server.head(), "host"), ["gateway.test"]);
    server.send([upgrade_response("").as_bytes(), &server_frame(0x81, b"hi")].concat());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect(server_frame(0x81, b"hi"));
    client.send(text("ho"));
    server.expect(text("ho"));
    let opened = gateway.wait_for("opened", |line| line["message"] == "session opened");
    assert_eq!(opened["backend"], format!("unix:{}", path.display()));
}

#[test]
fn a_name_with_several_addresses_is_tried_address_by_address() {
    // localhost is ::1 and 127.0.0.1 on most machines, and 127.0.0.1 on all; the backend is on the latter.
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"ws://localhost:{}\"\nheaders.host = \"backend\"\n",
        backend.address.port()
    ));
    let mut client = gateway.connect();
    client.stream.write_all(&Ask::new().bytes()).unwrap();
    let (forwarded, _server) = backend.accept_upgrade(b"");
    assert_eq!(values(&forwarded, "host"), [format!("localhost:{}", backend.address.port())]);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

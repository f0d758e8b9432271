//! The PROXY protocol: who a client is, in a header before everything else, in from proxies and out to backends.

use crate::support::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 10.0.0.1 49153 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

/// The client 203.0.113.9:49153 of 10.0.0.1:443, and an extension.
fn version_2() -> Vec<u8> {
    binary(0x21, 0x11, &[203, 0, 113, 9, 10, 0, 0, 1, 0xC0, 1, 1, 0xBB, 4, 0, 2, 0, 0])
}

const LISTENER: &str =
    "[[listener]]\nbind = \"127.0.0.1:0\"\nproxy_protocol = \"require\"\n[[route]]\nbackend = \"BACKEND\"\n";

/// A gateway that trusts these proxies and takes no connection without a header.
fn front(trusted: &str) -> Front {
    Front::configured(&format!("trusted_proxies = [{trusted}]\n{LISTENER}"))
}

/// The gateway ends the connection, says so once, and asks no backend.
fn expect_ended(front: &Front, mut client: Raw, detail: &str) {
    client.expect_end();
    let line = front.gateway.refused();
    assert_eq!(line["cause"], "proxy_protocol");
    assert!(line["detail"].as_str().unwrap().contains(detail), "{line:#}");
    front.backend.expect_no_contact();
}

#[test]
fn a_header_in_two_pieces_with_everything_glued_to_it() {
    let front = front("\"127.0.0.1\"");
    for header in [LINE, &version_2()] {
        let bytes = [header, &Ask::new().bytes(), &text("first")].concat();
        for cut in 0..=header.len() {
            let mut client = front.gateway.connect();
            client.send(&bytes[..cut]);
            client.send(&bytes[cut..]);
            let (forwarded, mut server) = front.backend.accept_upgrade(b"");
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            server.expect(text("first"));
            assert_eq!(values(&forwarded, "x-forwarded-for"), ["203.0.113.9"]);
            assert_eq!(front.opened()["client"], "203.0.113.9");
        }
    }
}

/// A TLS connection to `a.test` that begins with a header, of which everything behind `cut` is glued to the ClientHello.
fn tls_behind(header: &[u8], cut: usize, authority: &Authority, address: SocketAddr) -> TlsRaw {
    let name = ServerName::try_from("a.test").unwrap();
    let mut connection = ClientConnection::new(Arc::new(authority.client().config), name).unwrap();
    let mut tcp = Raw::connect(address).stream;
    tcp.write_all(&header[..cut]).unwrap();
    let mut glued = header[cut..].to_vec();
    connection.write_tls(&mut glued).unwrap();
    tcp.write_all(&glued).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    Raw::over(StreamOwned::<ClientConnection, TcpStream>::new(connection, tcp))
}

#[test]
fn tls_begins_where_the_header_ends() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority
        .listener(&["a.test"], "")
        .replace("[listener.tls]", "proxy_protocol = \"require\"\n[listener.tls]");
    let front = Front::configured(&format!(
        "trusted_proxies = [\"127.0.0.0/8\"]\n{listener}[[route]]\nbackend = \"BACKEND\"\n"
    ));
    for header in [LINE, &version_2()] {
        for cut in [0, 1, 12, 15, 16, header.len() - 1, header.len()] {
            let mut client = tls_behind(header, cut, &authority, front.gateway.address());
            client.send(Ask::new().with(&["Host: a.test"]).bytes());
            let (forwarded, _server) = front.backend.accept_upgrade(b"");
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            assert_eq!(values(&forwarded, "x-forwarded-for"), ["203.0.113.9"]);
            assert_eq!(values(&forwarded, "x-forwarded-proto"), ["https"]);
        }
    }
}

#[test]
fn nobody_but_a_trusted_proxy_may_say_who_it_is() {
    let front = front("\"192.0.2.0/24\"");
    for bytes in [LINE, &version_2(), &Ask::new().bytes(), b""] {
        let mut client = front.gateway.connect();
        let _ = client.stream.write_all(bytes);
        expect_ended(&front, client, "trusted_proxies");
    }
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let front = front("\"127.0.0.1\"");
    for (bytes, detail) in [
        (&Ask::new().bytes()[..], "something other than a PROXY header"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "something other than a PROXY header"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 49153\r\n", "two addresses and two ports"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 49153 443\n GET /", "two addresses and two ports"),
        (b"PROXY TCP6 203.0.113.9 10.0.0.1 49153 443\r\n", "not of its family"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 49153 65536\r\n", "a port"),
        (b"PROXY UDP4 203.0.113.9 10.0.0.1 49153 443\r\n", "neither TCP4, TCP6 nor UNKNOWN"),
        (&[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(), "within 107 bytes"),
        (&binary(0x31, 0x11, &[0; 12]), "of version 3"),
        (&binary(0x22, 0x11, &[0; 12]), "unknown command 2"),
        (&binary(0x21, 0x41, &[0; 12]), "family and protocol 0x41"),
        (&binary(0x21, 0x21, &[0; 12]), "fewer than they take"),
        (&binary(0x21, 0x11, &[0; 5000]), "more than 4096"),
        (&binary(0x21, 0x11, &[[0; 12].as_slice(), &[4, 0xFF, 0xFF]].concat()), "reaches beyond"),
        (&binary(0x21, 0x11, &[[0; 12].as_slice(), &[3, 0, 4, 0, 0, 0, 0]].concat()), "checksum"),
    ] {
        let mut client = front.gateway.connect();
        // The gateway may be gone before the last byte.
        let _ = client.stream.write_all(bytes);
        expect_ended(&front, client, detail);
    }
    for cut in [0, 1, 14, LINE.len() - 1] {
        let client = front.gateway.connect();
        (&client.stream).write_all(&LINE[..cut]).unwrap();
        client.finish();
        expect_ended(&front, client, "ended before its PROXY header");
    }
}

#[test]
fn a_header_has_the_deadline_of_the_handshake() {
    let listener = LISTENER.replace("proxy_protocol", "handshake_timeout = \"300ms\"\nproxy_protocol");
    let front = Front::configured(&format!("trusted_proxies = [\"127.0.0.1\"]\n{listener}"));
    for cut in [0, 20, LINE.len() - 1] {
        let started = Instant::now();
        let mut client = front.gateway.connect();
        client.send(&LINE[..cut]);
        expect_ended(&front, client, "took too long");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(300) && took < AT_ONCE, "{took:?}");
    }
    // What the header leaves of it is for the head.
    let mut client = front.gateway.connect();
    let started = Instant::now();
    client.send(LINE);
    client.expect_end();
    assert!(started.elapsed() < AT_ONCE);
    assert_eq!(front.gateway.refused()["cause"], "head_timeout");
}

/// The address the backend reads, behind this header and with this `X-Forwarded-For`.
fn forwarded_for(front: &Front, header: &[u8], forwarded: &str) -> String {
    let ask = Ask::new().with(&[&format!("X-Forwarded-For: {forwarded}")]);
    let mut client = front.send([header, &ask.bytes()].concat());
    let (head, _server) = front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let opened = front.opened()["client"].as_str().unwrap().to_string();
    format!("{} of {opened}", values(&head, "x-forwarded-for").join("; "))
}

#[test]
fn the_header_and_x_forwarded_for() {
    let front = front("\"127.0.0.1\", \"10.0.0.0/8\", \"fd00::/8\"");
    let check = |header: &[u8], expected: &str| {
        assert_eq!(forwarded_for(&front, header, "198.51.100.1"), expected, "{}", header.escape_ascii());
    };
    // Whoever the header names is the client; what it claims about others is not believed.
    check(LINE, "203.0.113.9 of 203.0.113.9");
    check(&version_2(), "203.0.113.9 of 203.0.113.9");
    check(b"PROXY TCP6 2001:db8::9 ::1 1 2\r\n", "2001:db8::9 of 2001:db8::9");
    // Unless that is a proxy itself.
    check(b"PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n", "198.51.100.1, 10.1.2.3 of 198.51.100.1");
    check(b"PROXY TCP6 fd00::3 ::1 1 2\r\n", "198.51.100.1, fd00::3 of 198.51.100.1");
    check(b"PROXY TCP6 ::ffff:10.1.2.3 ::1 1 2\r\n", "198.51.100.1, 10.1.2.3 of 198.51.100.1");
    // The proxy names nobody: what the requests claim may be the word of any stranger behind it.
    for own in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 10.0.0.1 1 2\r\n".to_vec(),
        binary(0x20, 0x00, b""),
        binary(0x20, 0x11, &[203, 0, 113, 9, 10, 0, 0, 1, 0, 1, 0, 2]),
        binary(0x21, 0x00, b"anything"),
        binary(0x21, 0x31, &[b'/'; 216]),
    ] {
        check(&own, "127.0.0.1 of 127.0.0.1");
    }
}

#[test]
fn a_unix_socket_is_trusted_with_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let backend = Backend::start();
    let config = LISTENER.replace("127.0.0.1:0", "unix:in.sock").replace("BACKEND", &backend.url());
    let gateway = Gateway::start_in(dir, &config);
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut client = Raw::over(stream);
    client.send([LINE, &Ask::new().bytes(), &text("first")].concat());
    let (forwarded, mut server) = backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    server.expect(text("first"));
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["203.0.113.9"]);
    let opened = gateway.wait_for("opened", |line| line["message"] == "session opened");
    assert_eq!(opened["client"], "203.0.113.9");
}

/// A gateway in front of a backend that is told who the client is. `backend` is the server's URL in the file, and more
/// of its keys.
fn telling(trusted: &str, backend: &str) -> String {
    format!(
        "trusted_proxies = [{trusted}]\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"b\"\n\
         [[backend]]\nname = \"b\"\nsend_proxy = \"v2\"\nservers = [\"{backend}\n"
    )
}

/// What tells of this client, as it has to be on the wire.
fn introduction(client: SocketAddr, listener: SocketAddr) -> Vec<u8> {
    let (SocketAddr::V4(client), SocketAddr::V4(listener)) = (client, listener) else { panic!("IPv4") };
    let addresses = [client.ip().octets(), listener.ip().octets()].concat();
    let ports = [client.port().to_be_bytes(), listener.port().to_be_bytes()].concat();
    binary(0x21, 0x11, &[addresses, ports].concat())
}

#[test]
fn a_backend_is_told_before_anything_else() {
    let front = Front::configured(&telling("", "BACKEND\"]"));
    let mut client = front.send(Ask::new().bytes());
    let own = client.stream.local_addr().unwrap();
    let mut server = front.backend.accept();
    server.expect(introduction(own, front.gateway.address()));
    assert_eq!(values(&server.head(), "x-forwarded-for"), ["127.0.0.1"]);
    server.send(upgrade_response(""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_backend_is_told_before_tls() {
    let authority = Authority::new();
    authority.sign(&["127.0.0.1"]);
    let backend = Backend::start();
    let url = format!("wss://{}\"]\ntls.ca = \"{}\"", backend.address, authority.path("ca.pem").display());
    let gateway = Gateway::start(&telling("", &url));
    let mut client = gateway.connect();
    client.send(Ask::new().bytes());
    let mut server = backend.accept();
    server.expect(introduction(client.stream.local_addr().unwrap(), gateway.address()));
    let mut server = authority.serve(server, "127.0.0.1");
    server.head();
    server.send(upgrade_response(""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_client_without_an_address_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let backend = Backend::start();
    let config = telling("", &format!("{}\"]", backend.url())).replace("127.0.0.1:0", "unix:in.sock");
    let _gateway = Gateway::start_in(dir, &config);
    let open = |more: &[&str]| {
        let stream = UnixStream::connect(&path).unwrap();
        let mut client = Raw::over(stream);
        client.send(Ask::new().with(more).bytes());
        (client, backend.accept())
    };
    let (_client, mut server) = open(&[]);
    server.expect(binary(0x20, 0x00, b""));
    server.expect("GET ");
    // Of one that a proxy names, the port is not known, and the listener has no address.
    let (_client, mut server) = open(&["X-Forwarded-For: 203.0.113.9"]);
    server.expect(introduction("203.0.113.9:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap()));
    server.expect("GET ");
}

#[test]
fn a_kept_connection_is_for_the_client_that_it_was_made_for() {
    let front = Front::configured(&telling("\"127.0.0.1\"", "BACKEND\"]"));
    let mut proxy = front.gateway.connect();
    let listener = front.gateway.address();
    let mut ask = |target: &str, client: &str| {
        let forwarded = if client.is_empty() { String::new() } else { format!("X-Forwarded-For: {client}") };
        let ask = Ask::plain().target(target);
        proxy.send(if client.is_empty() { ask } else { ask.with(&[&forwarded]) }.bytes());
        let own = proxy.stream.local_addr().unwrap();
        if client.is_empty() { own } else { format!("{client}:0").parse().unwrap() }
    };
    let answer = |server: &mut Raw, target: &str| {
        assert!(server.head().starts_with(&format!("GET {target} ")));
        server.send(crate::keep_alive::ok(target));
    };
    let first = ask("/1", "203.0.113.9");
    let mut server = front.backend.accept();
    server.expect(introduction(first, listener));
    answer(&mut server, "/1");
    // The same client again: the same connection, and the header stays what it is, the first thing on it.
    ask("/2", "203.0.113.9");
    answer(&mut server, "/2");
    let other = ask("/3", "198.51.100.1");
    let mut another = front.backend.accept();
    another.expect(introduction(other, listener));
    answer(&mut another, "/3");
    server.expect_end();
    let own = ask("/4", "");
    let mut server = front.backend.accept();
    server.expect(introduction(own, listener));
    answer(&mut server, "/4");
}

#[test]
fn without_headers_a_connection_is_kept_for_all_that_a_proxy_sends() {
    let front = Front::configured(&telling("\"127.0.0.1\"", "BACKEND\"]").replace("\"v2\"", "\"off\""));
    let mut proxy = front.send(Ask::plain().target("/1").with(&["X-Forwarded-For: 203.0.113.9"]).bytes());
    let mut server = front.backend.accept();
    for target in ["/2", "/3"] {
        server.head();
        server.send(crate::keep_alive::ok("x"));
        proxy.send(Ask::plain().target(target).with(&["X-Forwarded-For: 198.51.100.1"]).bytes());
    }
    assert!(server.head().starts_with("GET /3 "));
    front.backend.expect_no_contact();
}

#[test]
fn two_gateways_in_a_row() {
    let authority = Authority::new();
    authority.sign(&["127.0.0.1"]);
    let tls = authority
        .listener(&["127.0.0.1"], "")
        .replace("[listener.tls]", "proxy_protocol = \"require\"\n[listener.tls]");
    let plain = "[[listener]]\nbind = \"127.0.0.1:0\"\nproxy_protocol = \"require\"\n";
    let inner = Front::configured(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{plain}{tls}[[route]]\nbackend = \"BACKEND\"\n"
    ));
    let ca = authority.path("ca.pem").display().to_string();
    for (listener, scheme, more) in [(0, "ws", String::new()), (1, "wss", format!("tls.ca = \"{ca}\""))] {
        let url = format!("{scheme}://{}\"]\n{more}", inner.gateway.listeners[listener]);
        let outer = Gateway::start(&telling("\"127.0.0.1\"", &url));
        for client in ["203.0.113.9", "2001:db8::9"] {
            let mut raw = outer.connect();
            let ask = Ask::new().with(&[&format!("X-Forwarded-For: {client}")]);
            raw.send([ask.bytes(), text("first")].concat());
            let (forwarded, mut server) = inner.backend.accept_upgrade(&server_frame(0x81, b"back"));
            assert!(raw.head().starts_with("HTTP/1.1 101 "));
            server.expect(text("first"));
            raw.expect(server_frame(0x81, b"back"));
            assert_eq!(values(&forwarded, "x-forwarded-for"), [client]);
            assert_eq!(inner.opened()["client"], client);
        }
        // Plain requests, one after the other over kept connections.
        let mut raw = outer.connect();
        let mut server = None;
        for target in ["/1", "/2"] {
            raw.send(Ask::plain().target(target).bytes());
            let server = server.get_or_insert_with(|| inner.backend.accept());
            assert!(server.head().starts_with(&format!("GET {target} ")));
            server.send(crate::keep_alive::ok(target));
            let head = raw.head();
            assert_eq!(body(&mut raw, &head), target.as_bytes());
        }
    }
}

//! TLS towards clients.

use crate::support::*;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use std::io::Write;

const ANY_ROUTE: &str = "[[route]]\nbackend = \"BACKEND\"\n";

/// A front with a TLS listener for these names, and what signed for them.
fn front(names: &[&str], tls: &str, routes: &str) -> (Front, Authority) {
    let authority = Authority::new();
    for name in names {
        authority.sign(&[name]);
    }
    let front = Front::configured(&format!("{}{routes}", authority.listener(names, tls)));
    (front, authority)
}

/// A session over this connection.
fn upgrade(front: &Front, client: &mut TlsRaw, host: &str) -> (String, Raw) {
    client.send(Ask::new().with(&[&format!("Host: {host}")]).bytes());
    let (forwarded, server) = front.backend.accept_upgrade(b"");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (forwarded, server)
}

#[test]
fn both_versions_carry_a_session() {
    let (front, authority) = front(&["a.test"], "", ANY_ROUTE);
    for versions in [&[&TLS12], &[&TLS13]] {
        let mut client =
            TlsClient::versions(&authority, versions).connect(front.gateway.address(), "a.test").unwrap();
        assert_eq!(client.stream.conn.protocol_version(), Some(versions[0].version));
        let (forwarded, mut server) = upgrade(&front, &mut client, "a.test");
        assert_eq!(values(&forwarded, "x-forwarded-proto"), ["https"]);
        assert!(values(&forwarded, "forwarded")[0].ends_with(";proto=https"));
        assert_eq!(front.opened()["tls"], true);
        client.send(text("secret"));
        server.expect(text("secret"));
        let large = server_frame(0x82, &vec![7; 100_000]);
        server.send(&large);
        client.expect(&large);
        // TLS ends in order: a client can tell it from a cut.
        client.send(client_frame(0x88, &close_payload(1000, "")));
        server.expect(client_frame(0x88, &close_payload(1000, "")));
        server.send(server_frame(0x88, &close_payload(1000, "")));
        client.expect_close(1000);
        client.expect_end();
    }
}

#[test]
fn early_frames_under_tls() {
    let (front, authority) = front(&["a.test"], "", ANY_ROUTE);
    let mut client = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    client.send(Ask::new().behind(text("early")).bytes());
    let (_, mut server) = front.backend.accept_upgrade(&server_frame(0x81, b"early too"));
    server.expect(text("early"));
    client.head();
    client.expect(server_frame(0x81, b"early too"));
}

#[test]
fn a_refusal_under_tls() {
    let (front, authority) = front(&["a.test"], "", ANY_ROUTE);
    let mut client = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    client.send(Ask::new().with(&["Host: a.test", "Origin: http://a.test"]).bytes());
    expect_refusal(&mut client, 403, "origin");
    front.expect_refused_in_log(403, "origin");
    let mut client = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    client.send(Ask::new().with(&["Host: a.test", "Origin: https://a.test"]).bytes());
    front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_version_that_is_too_old() {
    let (front, authority) = front(&["a.test"], "min_version = \"1.3\"", ANY_ROUTE);
    let old = TlsClient::versions(&authority, &[&TLS12]).connect(front.gateway.address(), "a.test");
    assert!(old.unwrap_err().to_string().contains("ProtocolVersion"));
    assert_eq!(front.gateway.refused()["cause"], "tls");
    let mut new =
        TlsClient::versions(&authority, &[&TLS13]).connect(front.gateway.address(), "a.test").unwrap();
    upgrade(&front, &mut new, "a.test");
}

#[test]
fn the_name_picks_the_certificate() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    authority.sign(&["b.test", "also.b.test"]);
    authority.sign(&["*.wild.test"]);
    let listener = authority.listener(&["a.test", "b.test", "*.wild.test"], "");
    let front = Front::configured(&format!("{listener}{ANY_ROUTE}"));
    let at = front.gateway.address();
    for name in ["a.test", "b.test", "also.b.test", "x.wild.test", "A.Test"] {
        // The client itself checks that the certificate is that name's.
        authority.client().connect(at, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["c.test", "x.y.wild.test"] {
        let error = authority.client().connect(at, name).unwrap_err().to_string();
        assert!(error.contains("a.test"), "the first certificate is for all others: {error}");
    }
    // An address is no name to ask for: the default again.
    let error = authority.client().connect(at, "127.0.0.1").unwrap_err().to_string();
    assert!(error.contains("a.test"), "{error}");
}

#[test]
fn tls_for_one_route_and_a_request_for_another() {
    let routes = "[[route]]\nhost = [\"a.test\", \"b.test\"]\nbackend = \"BACKEND\"\n\
                  [[route]]\nhost = \"c.test\"\nbackend = \"BACKEND\"\n";
    let (front, authority) = front(&["a.test", "b.test", "c.test"], "", routes);
    let connect = |name: &str| authority.client().connect(front.gateway.address(), name).unwrap();
    // Two names of one route are one house.
    for host in ["a.test", "b.test", "B.TEST:8443"] {
        upgrade(&front, &mut connect("a.test"), host);
    }
    upgrade(&front, &mut connect("c.test"), "c.test");
    for (name, host, status, cause) in [
        ("a.test", "c.test", 421, "misdirected"),
        ("c.test", "a.test", 421, "misdirected"),
        ("a.test", "d.test", 404, "no_route"),
    ] {
        for ask in [Ask::new(), Ask::plain()] {
            let mut client = connect(name);
            client.send(ask.with(&[&format!("Host: {host}")]).bytes());
            expect_refusal(&mut client, status, cause);
            front.expect_refused_in_log(status, cause);
        }
    }
    // A client that named nobody has misled nobody.
    let mut nameless = authority.client();
    nameless.config.enable_sni = false;
    let mut client = nameless.connect(front.gateway.address(), "a.test").unwrap();
    upgrade(&front, &mut client, "c.test");
}

#[test]
fn a_second_connection_resumes() {
    let (front, authority) = front(&["a.test"], "", ANY_ROUTE);
    for versions in [&[&TLS12], &[&TLS13]] {
        let client = TlsClient::versions(&authority, versions);
        for wanted in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
            assert_eq!(raw.stream.conn.handshake_kind(), Some(wanted), "{:?}", versions[0]);
            // The ticket of TLS 1.3 comes behind the handshake, at the latest with the answer.
            upgrade(&front, &mut raw, "a.test");
        }
    }
}

#[test]
fn a_session_that_is_resumed_is_held_to_its_name_too() {
    let routes = "[[route]]\nhost = \"a.test\"\nbackend = \"BACKEND\"\n\
                  [[route]]\nhost = \"c.test\"\nbackend = \"BACKEND\"\n";
    let (front, authority) = front(&["a.test", "c.test"], "", routes);
    for versions in [&[&TLS12], &[&TLS13]] {
        let client = TlsClient::versions(&authority, versions);
        upgrade(&front, &mut client.connect(front.gateway.address(), "a.test").unwrap(), "a.test");
        let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
        assert_eq!(raw.stream.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{:?}", versions[0]);
        raw.send(Ask::new().with(&["Host: c.test"]).bytes());
        expect_refusal(&mut raw, 421, "misdirected");
        front.expect_refused_in_log(421, "misdirected");
    }
}

#[test]
fn no_early_data() {
    let (front, authority) = front(&["a.test"], "", ANY_ROUTE);
    let mut client = TlsClient::versions(&authority, &[&TLS13]);
    client.config.enable_early_data = true;
    let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
    upgrade(&front, &mut raw, "a.test");
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let mut second = rustls::ClientConnection::new(std::sync::Arc::new(client.config), name).unwrap();
    assert!(second.early_data().is_none(), "the ticket offers none");
}

#[test]
fn certificates_of_clients() {
    let clients = Authority::new();
    clients.sign(&["client.test"]);
    let strangers = Authority::new();
    strangers.sign(&["client.test"]);
    for (mode, without_one) in [("require", false), ("optional", true)] {
        let tls = format!("client_ca = \"{}\"\nclient_auth = \"{mode}\"", clients.path("ca.pem").display());
        let (front, authority) = front(&["a.test"], &tls, ANY_ROUTE);
        // With TLS 1.3 a client is done before its certificate has been looked at: only the answer tells.
        let answer_to = |client: TlsClient| -> std::io::Result<Vec<u8>> {
            let mut raw = client.connect(front.gateway.address(), "a.test")?;
            raw.stream.write_all(&Ask::new().with(&["Sec-WebSocket-Version: 8"]).bytes())?;
            let mut answer = vec![0; 13];
            std::io::Read::read_exact(&mut raw.stream, &mut answer)?;
            Ok(answer)
        };
        let admitted = |client: TlsClient| match answer_to(client) {
            Ok(answer) => {
                assert_eq!(answer, b"HTTP/1.1 426 ");
                assert_eq!(front.gateway.refused()["cause"], "version");
                true
            }
            Err(_) => {
                assert_eq!(front.gateway.refused()["cause"], "tls");
                false
            }
        };
        assert!(admitted(TlsClient::with_certificate(&authority, &clients, "client.test")), "{mode}");
        assert!(!admitted(TlsClient::with_certificate(&authority, &strangers, "client.test")), "{mode}");
        assert_eq!(admitted(authority.client()), without_one, "{mode}");
    }
}

#[test]
fn the_wrong_protocol_on_a_port() {
    let (front, _authority) = front(&["a.test"], "", ANY_ROUTE);
    let mut client = front.send(Ask::new().bytes());
    let answer = client.rest();
    assert!(!answer.starts_with(b"HTTP"), "at most an alert");
    assert_eq!(front.gateway.refused()["cause"], "tls");
    front.backend.expect_no_contact();

    let plain = Front::new("");
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02",
        b"\x00\x01\x02\x03\r\n\r\n",
    ] {
        let mut client = plain.send(bytes);
        let answer = client.rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
        assert_eq!(plain.gateway.refused()["cause"], "request");
        plain.backend.expect_no_contact();
    }
}

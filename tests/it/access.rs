//! Which addresses may connect, and what becomes of a client's certificate.

use crate::support::*;
use base64::Engine;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

#[test]
fn networks_admit_and_deny() {
    for (access, is_admitted) in [
        ("allow = [\"127.0.0.0/8\"]", true),
        ("allow = [\"10.0.0.0/8\"]", false),
        ("deny = [\"127.0.0.1\"]", false),
        ("deny = [\"127.0.0.2\"]", true),
        ("allow = [\"127.0.0.1\"]\ndeny = [\"127.0.0.0/8\"]", false),
    ] {
        let front = Front::new(&format!("[route.access]\n{access}"));
        // A plain request is no way around it.
        for ask in [Ask::new(), Ask::plain()] {
            // Nobody trusts this client, whatever it says.
            let ask = ask.also("X-Forwarded-For: 10.0.0.1");
            if !is_admitted {
                let (_, line) = front.expect_refused(&ask, 403, "address");
                assert!(line["detail"].as_str().unwrap().starts_with("127.0.0.1 is in "), "{line:#}");
                continue;
            }
            let mut client = front.send(ask.bytes());
            let mut server = front.backend.accept();
            server.head();
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert!(client.head().starts_with("HTTP/1.1 200 "));
        }
    }
}

#[test]
fn behind_a_trusted_proxy_the_forwarded_address_counts() {
    let front = Front::configured(
        "trusted_proxies = [\"127.0.0.0/8\"]\n[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nbackend = \"BACKEND\"\naccess = { allow = [\"192.0.2.0/24\"], deny = [\"192.0.2.66\"] }\n",
    );
    let from = |address: &str| Ask::new().also(&format!("X-Forwarded-For: {address}"));
    front.expect_admitted(&from("192.0.2.7"));
    front.expect_admitted(&from("203.0.113.1, 192.0.2.7"));
    front.expect_refused(&from("192.0.2.66"), 403, "address");
    front.expect_refused(&from("192.0.2.7, 203.0.113.1"), 403, "address");
    // The proxy itself, when it names nobody.
    front.expect_refused(&Ask::new(), 403, "address");
}

/// A proxy adds the client's address to the line that the client sent. Whatever stands there, the client must not pass for
/// the proxy, whose own address may well be a good one.
#[test]
fn no_line_of_the_clients_hides_its_address() {
    let front = Front::configured(
        "trusted_proxies = [\"127.0.0.0/8\"]\n[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nbackend = \"BACKEND\"\naccess = { allow = [\"127.0.0.0/8\", \"192.0.2.0/24\"] }\n",
    );
    for said in ["caf\u{e9}", "\u{e9},127.0.0.1", "127.0.0.1,\u{e9} , "] {
        for ask in [Ask::new(), Ask::plain()] {
            let ask = ask.also(&format!("X-Forwarded-For: {said}, 203.0.113.1"));
            let (_, line) = front.expect_refused(&ask, 403, "address");
            assert_eq!(line["client"].as_str(), Some("203.0.113.1"), "{line:#}");
        }
    }
    let ask = Ask::new().also("X-Forwarded-For: caf\u{e9}, 192.0.2.7");
    let (forwarded, _client, _server) = front.expect_admitted(&ask);
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["unknown, 192.0.2.7, 127.0.0.1"]);
}

/// Behind a unix socket there is a proxy; when it says nothing of the client, a list of addresses has no answer.
#[test]
fn a_client_without_an_address() {
    let backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    let config = |access: &str| {
        format!(
            "[[listener]]\nbind = \"unix:g.sock\"\n[[route]]\nbackend = \"{}\"\n{access}\n",
            backend.url()
        )
    };
    let gateway = Gateway::start_in(dir, &config("access.deny = [\"192.0.2.66\"]"));
    let ask = |ask: Ask| {
        let mut stream = UnixStream::connect(gateway.dir.path().join("g.sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&ask.bytes()).unwrap();
        stream
    };
    let mut answer = String::new();
    ask(Ask::new()).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("x-framegate-cause: address"), "{answer}");
    let line = gateway.refused();
    assert!(line["detail"].as_str().unwrap().contains("X-Forwarded-For"), "{line:#}");
    backend.expect_no_contact();
    let _client = ask(Ask::new().also("X-Forwarded-For: 192.0.2.7"));
    backend.accept_upgrade(b"");
}

/// A listener that asks for certificates of clients, and who signs them.
fn mutual(before: &str, route: &str) -> (Front, Authority, Authority) {
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.sign(&["a.test"]);
    clients.sign(&["client.test"]);
    let tls = format!("client_ca = \"{}\"\nclient_auth = \"optional\"", clients.path("ca.pem").display());
    let listener = authority.listener(&["a.test"], &tls);
    let front = Front::configured(&format!("{before}{listener}[[route]]\nbackend = \"BACKEND\"\n{route}"));
    (front, authority, clients)
}

/// What untrusted clients, and trusted proxies, say of a certificate that they have seen themselves.
const SAID: [&str; 3] = ["+Client-Cert: :bGll:", "+Client-Cert-Chain: :bGll:", "+Client_Cert: :bGll:"];

/// `Client-Cert` as RFC 9440 2.2 has it, and the fingerprint in the log.
fn shown(clients: &Authority) -> (String, String) {
    let der = CertificateDer::from_pem_file(clients.path("client.test.pem")).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    (format!(":{}:", base64::prelude::BASE64_STANDARD.encode(&der)), hex)
}

#[test]
fn the_server_is_told_of_the_certificate() {
    let (front, authority, clients) = mutual("", "");
    let (header, fingerprint) = shown(&clients);
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::with_certificate_over(&authority, &clients, "client.test", &[version]);
        // The second connection shows nothing: it resumes the session of the first, which had shown it.
        for wanted in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
            assert_eq!(raw.stream.conn.handshake_kind(), Some(wanted), "{version:?}");
            raw.send(Ask::new().with(&["Host: a.test"]).with(&SAID).bytes());
            let (forwarded, _server) = front.backend.accept_upgrade(b"");
            assert!(raw.head().starts_with("HTTP/1.1 101 "));
            assert_eq!(values(&forwarded, "client-cert"), [header.as_str()]);
            assert_eq!(values(&forwarded, "client-cert-chain").len(), 0, "{forwarded}");
            assert_eq!(values(&forwarded, "client_cert").len(), 0, "{forwarded}");
            assert_eq!(front.opened()["client_cert"], fingerprint);
        }
    }
    // Who shows none is none.
    let mut raw = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    raw.send(Ask::plain().with(&["Host: a.test"]).with(&SAID).bytes());
    let forwarded = front.backend.accept().head();
    assert!(!forwarded.to_ascii_lowercase().contains("client-cert"), "{forwarded}");
}

#[test]
fn a_trusted_proxys_word_on_certificates_stands_where_ours_has_none() {
    let (front, authority, clients) = mutual("trusted_proxies = [\"127.0.0.1\"]\n", "");
    let mut raw = authority.client().connect(front.gateway.address(), "a.test").unwrap();
    raw.send(Ask::new().with(&["Host: a.test"]).with(&SAID).bytes());
    let (forwarded, _server) = front.backend.accept_upgrade(b"");
    assert_eq!(values(&forwarded, "client-cert"), [":bGll:"]);
    assert_eq!(values(&forwarded, "client-cert-chain"), [":bGll:"]);
    assert_eq!(values(&forwarded, "client_cert").len(), 0, "{forwarded}");
    let client = TlsClient::with_certificate(&authority, &clients, "client.test");
    let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
    raw.send(Ask::new().with(&["Host: a.test"]).with(&SAID).bytes());
    let (forwarded, _server) = front.backend.accept_upgrade(b"");
    assert_eq!(values(&forwarded, "client-cert"), [shown(&clients).0]);
    assert_eq!(values(&forwarded, "client-cert-chain").len(), 0, "{forwarded}");
}

#[test]
fn plain_listeners_remove_what_clients_write_there() {
    let front = Front::new("");
    let forwarded = front.forwarded(&Ask::new().with(&SAID));
    assert!(!forwarded.to_ascii_lowercase().contains("client-cert"), "{forwarded}");
    assert!(front.opened().get("client_cert").is_none());
}

//! TLS towards backends: no session with anybody but the one that was meant.

use crate::support::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A front whose backend speaks TLS on `host`, with these settings for it.
fn front(host: &str, tls: &str) -> Front {
    let backend = Backend::start();
    let port = backend.address.port();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"b\"\n\
         [[backend]]\nname = \"b\"\nservers = [\"wss://{host}:{port}\"]\n[backend.tls]\n{tls}\n"
    ));
    Front { gateway, backend }
}

fn trusting(authority: &Authority, more: &str) -> String {
    format!("ca = \"{}\"\n{more}", authority.path("ca.pem").display())
}

/// A session with a backend that shows `name`'s certificate; the name it was asked for.
fn expect_session(front: &Front, authority: &Authority, name: &str) -> Option<String> {
    let mut client = front.send(Ask::new().bytes());
    let mut server = authority.serve(front.backend.accept(), name);
    assert_eq!(values(&server.head(), "host"), ["gateway.test"]);
    server.send([upgrade_response("").as_bytes(), &server_frame(0x81, b"hi")].concat());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.expect(server_frame(0x81, b"hi"));
    client.send(text("ho"));
    server.expect(text("ho"));
    assert!(front.opened()["backend"].as_str().unwrap().starts_with("wss://"));
    server.stream.conn.server_name().map(String::from)
}

/// The gateway does not go on with a backend that shows `name`'s certificate.
fn expect_distrust(front: &Front, authority: &Authority, name: &str) {
    let mut client = front.send(Ask::new().bytes());
    let mut server = authority.serve(front.backend.accept(), name);
    let seen = std::io::Read::read(&mut server.stream, &mut [0; 16]);
    assert!(seen.is_err() || seen.unwrap() == 0, "not a byte of the request");
    drop(server);
    expect_refusal(&mut client, 502, "backend_tls");
    let line = front.gateway.refused();
    assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(502), Some("backend_tls")));
    assert!(line["detail"].as_str().unwrap().contains("wss://"), "{line:#}");
}

#[test]
fn a_server_whose_certificate_is_its_own() {
    let authority = Authority::new();
    authority.sign(&["localhost"]);
    authority.sign(&["127.0.0.1"]);
    authority.sign(&["inner.test"]);
    let named = front("localhost", &trusting(&authority, ""));
    assert_eq!(expect_session(&named, &authority, "localhost").as_deref(), Some("localhost"));
    let addressed = front("127.0.0.1", &trusting(&authority, ""));
    assert_eq!(expect_session(&addressed, &authority, "127.0.0.1"), None);
    let told = front("127.0.0.1", &trusting(&authority, "server_name = \"inner.test\""));
    assert_eq!(expect_session(&told, &authority, "inner.test").as_deref(), Some("inner.test"));
    expect_distrust(&told, &authority, "127.0.0.1");
}

#[test]
fn a_server_that_is_somebody_else() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    authority.sign(&["other.test"]);
    authority.sign_expired("localhost");
    strangers.sign(&["localhost"]);
    let front = front("localhost", &trusting(&authority, ""));
    expect_distrust(&front, &authority, "other.test");
    expect_distrust(&front, &authority, "localhost");
    expect_distrust(&front, &strangers, "localhost");
}

#[test]
fn a_server_that_speaks_no_tls() {
    let authority = Authority::new();
    let front = front("localhost", &trusting(&authority, ""));
    let mut client = front.send(Ask::new().bytes());
    let mut server = front.backend.accept();
    server.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    expect_refusal(&mut client, 502, "backend_tls");
    // No second try in the clear.
    assert!(!server.rest().starts_with(b"GET"));
    front.backend.expect_no_contact();
}

#[test]
fn any_certificate_where_that_is_spelled_out() {
    let strangers = Authority::new();
    strangers.sign_expired("whoever.test");
    let front = front("localhost", "verify = \"accept-any-certificate\"");
    expect_session(&front, &strangers, "whoever.test");
}

/// `backend.tls` with a certificate of our own, which `signer` signed.
fn showing(authority: &Authority, signer: &Authority) -> String {
    signer.sign(&["gateway"]);
    let (cert, key) = (signer.path("gateway.pem"), signer.path("gateway.key"));
    trusting(authority, &format!("cert = {cert:?}\nkey = {key:?}"))
}

/// Of this client certificate, and no other, the server hears nothing before it asked for one.
#[test]
fn a_server_that_wants_a_certificate_of_ours() {
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.sign(&["localhost"]);
    let front = front("localhost", &showing(&authority, &clients));
    let mut client = front.send(Ask::new().bytes());
    let mut server = authority.serve_known(front.backend.accept(), "localhost", &clients);
    server.head();
    let shown = server.stream.conn.peer_certificates().unwrap();
    let pem = std::fs::read(clients.path("gateway.pem")).unwrap();
    assert_eq!(shown, [CertificateDer::from_pem_slice(&pem).unwrap()]);
    server.send([upgrade_response("").as_bytes(), &server_frame(0x81, b"hi")].concat());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.expect(server_frame(0x81, b"hi"));
    // One that asks for none gets none, and serves all the same.
    let mut client = front.send(Ask::new().bytes());
    let mut server = authority.serve(front.backend.accept(), "localhost");
    server.head();
    assert!(server.stream.conn.peer_certificates().is_none());
    server.send(upgrade_response(""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_server_that_does_not_know_us() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    authority.sign(&["localhost"]);
    for settings in [trusting(&authority, ""), showing(&authority, &strangers)] {
        let front = front("localhost", &settings);
        let mut client = front.send(Ask::new().bytes());
        let mut server = authority.serve_known(front.backend.accept(), "localhost", &clients);
        assert!(std::io::Read::read(&mut server.stream, &mut [0; 16]).is_err(), "not a byte of the request");
        // The alert says why; without it the operator would look for the fault in HTTP.
        let _ = server.stream.conn.complete_io(&mut server.stream.sock);
        drop(server);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        let line = front.gateway.refused();
        assert!(line["detail"].as_str().unwrap().contains("alert"), "{line:#}");
    }
}

#[test]
fn a_server_that_stalls_in_tls() {
    let backend = Backend::start();
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"b\"\n[[backend]]\nname = \"b\"\n\
         servers = [\"wss://localhost:{}\"]\nconnect_timeout = \"2s\"\n\
         [backend.tls]\nverify = \"accept-any-certificate\"\n",
        backend.address.port()
    ));
    let mut client = gateway.connect();
    client.send(Ask::new().bytes());
    let mut server = backend.accept();
    let started = std::time::Instant::now();
    expect_refusal(&mut client, 504, "backend_connect_timeout");
    assert!(started.elapsed() < AT_ONCE);
    assert_eq!(server.rest().first(), Some(&0x16), "a hello, and the end");
}

//! Certificates and ticket keys that change while the program runs: new handshakes get the new ones, and nobody else
//! notices.

use crate::support::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const ANY_ROUTE: &str = "[[route]]\nbackend = \"BACKEND\"\n";

/// A front with a TLS listener for these names, and what signed for it.
fn front(names: &[&str], tls: &str) -> (Front, Authority) {
    let authority = Authority::new();
    for name in names {
        authority.sign(&[name]);
    }
    let front = Front::configured(&format!("{}{ANY_ROUTE}", authority.listener(names, tls)));
    (front, authority)
}

/// What is in a file now.
fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// What a client that has never been there is shown.
fn shown(front: &Front, authority: &Authority, name: &str) -> CertificateDer<'static> {
    let client = authority.client().connect(front.gateway.address(), name).unwrap();
    client.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A connection that asks for `a.test`, with a session on it: the ticket of TLS 1.3 has come by then.
fn open(front: &Front, client: &TlsClient) -> (TlsRaw, Raw) {
    let mut raw = client.connect(front.gateway.address(), "a.test").unwrap();
    raw.send(Ask::new().with(&["Host: a.test"]).bytes());
    let (_, server) = front.backend.accept_upgrade(b"");
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (raw, server)
}

fn kind((raw, _server): (TlsRaw, Raw)) -> HandshakeKind {
    raw.stream.conn.handshake_kind().unwrap()
}

fn is_about(line: &Value, message: &str, file: &Path) -> bool {
    line["message"] == message && line["file"] == file.to_str().unwrap()
}

const SWAPPED: &str = "certificate was swapped";
const KEPT: &str = "certificate and key are no good any more; the old ones are kept";

fn swapped(front: &Front, authority: &Authority, name: &str) {
    let file = authority.path(&format!("{name}.pem"));
    front.gateway.wait_for(SWAPPED, |line| is_about(line, SWAPPED, &file));
}

#[test]
fn a_renewed_certificate_is_served_and_nobody_else_notices() {
    let (front, authority) = front(&["a.test"], "");
    let (cert, key) = (authority.path("a.test.pem"), authority.path("a.test.key"));
    let clients = [&TLS12, &TLS13].map(|version| TlsClient::versions(&authority, &[version]));
    let mut sessions = clients.each_ref().map(|client| open(&front, client));
    let read = |path: &str| fs::read(authority.path(path)).unwrap();
    let put: [(&str, &dyn Fn()); 4] = [
        ("the key first", &|| {
            fs::write(&key, read("new.key")).unwrap();
            fs::write(&cert, read("new.pem")).unwrap();
        }),
        ("the certificate first", &|| {
            fs::write(&cert, read("new.pem")).unwrap();
            fs::write(&key, read("new.key")).unwrap();
        }),
        ("renamed", &|| {
            fs::rename(authority.path("new.pem"), &cert).unwrap();
            fs::rename(authority.path("new.key"), &key).unwrap();
        }),
        ("a link", &|| {
            fs::rename(authority.path("new.key"), authority.path("linked.key")).unwrap();
            fs::rename(authority.path("new.pem"), authority.path("linked.pem")).unwrap();
            for (to, from) in [("linked.key", &key), ("linked.pem", &cert)] {
                std::os::unix::fs::symlink(to, authority.path("link")).unwrap();
                fs::rename(authority.path("link"), from).unwrap();
            }
        }),
    ];
    for (how, put) in put {
        let old = certificate(&cert);
        assert_eq!(shown(&front, &authority, "a.test"), old, "{how}");
        authority.sign_under("new", "a.test");
        let new = certificate(&authority.path("new.pem"));
        put();
        swapped(&front, &authority, "a.test");
        assert_eq!(shown(&front, &authority, "a.test"), new, "{how}");
        assert_ne!(old, new);
        for (client, (raw, server)) in clients.iter().zip(&mut sessions) {
            raw.send(text("still here"));
            server.expect(text("still here"));
            server.send(server_frame(0x81, b"and here"));
            raw.expect(server_frame(0x81, b"and here"));
            assert_eq!(kind(open(&front, client)), HandshakeKind::Resumed, "{how}");
        }
    }
    drop(sessions);
    assert!(front.gateway.rest_of_log().iter().all(|line| line["message"] != KEPT));
}

/// The log says so once, whatever number of looks passes.
#[test]
fn a_pair_that_does_not_fit_is_not_served() {
    let (front, authority) = front(&["a.test", "b.test"], "");
    let (cert, key) = (authority.path("a.test.pem"), authority.path("a.test.key"));
    let served = shown(&front, &authority, "a.test");
    for (cert_is, key_is, reason) in [
        ("new.pem", "old.key", "is not that of the certificate in"),
        ("new.key", "new.key", "holds no certificate"),
        ("ca.pem", "ca.pem", "holds no private key"),
    ] {
        fs::copy(&key, authority.path("old.key")).unwrap();
        authority.sign_under("new", "a.test");
        fs::copy(authority.path(cert_is), &cert).unwrap();
        fs::copy(authority.path(key_is), &key).unwrap();
        let line = front.gateway.wait_for(KEPT, |line| is_about(line, KEPT, &cert));
        assert_eq!(line["level"], "WARN");
        assert!(line["problem"].as_str().unwrap().contains(reason), "{line:#}");
        // Each certificate that is swapped beside it is another look.
        for _ in 0..2 {
            authority.sign(&["b.test"]);
            swapped(&front, &authority, "b.test");
        }
        assert_eq!(shown(&front, &authority, "a.test"), served, "{reason}");
    }
    for file in [&cert, &key] {
        fs::remove_file(file).unwrap();
    }
    let line = front.gateway.wait_for(KEPT, |line| is_about(line, KEPT, &cert));
    assert!(line["problem"].as_str().unwrap().starts_with("cannot read "), "{line:#}");
    authority.sign(&["a.test"]);
    swapped(&front, &authority, "a.test");
    assert_eq!(shown(&front, &authority, "a.test"), certificate(&cert));
    let rest = front.gateway.rest_of_log();
    assert!(rest.iter().all(|line| line["message"] != KEPT), "{rest:#?}");
}

#[test]
fn what_runs_out_is_told() {
    let authority = Authority::new();
    authority.sign_expired("old.test");
    authority.sign_for_days("soon.test", 9);
    authority.sign(&["far.test"]);
    let names = ["old.test", "soon.test", "far.test"];
    let front = Front::configured(&format!("{}{ANY_ROUTE}", authority.listener(&names, "")));
    let told = |name: &str, level: &str, message: &str| {
        let file = authority.path(&format!("{name}.pem"));
        let line = front.gateway.wait_for(message, |line| is_about(line, message, &file));
        assert_eq!((line["level"].as_str(), line["names"].as_str()), (Some(level), Some(name)));
        line["days_left"].as_u64()
    };
    assert_eq!(told("old.test", "ERROR", "certificate has expired: clients refuse it"), None);
    assert_eq!(told("soon.test", "WARN", "certificate expires soon"), Some(9));
    authority.sign(&["old.test"]);
    swapped(&front, &authority, "old.test");
    assert_eq!(shown(&front, &authority, "old.test"), certificate(&authority.path("old.test.pem")));
    authority.sign_for_days("far.test", 2);
    swapped(&front, &authority, "far.test");
    assert_eq!(told("far.test", "WARN", "certificate expires soon"), Some(2));
    let rest = front.gateway.rest_of_log();
    let is_reminder = |line: &&Value| line["message"].as_str().is_some_and(|text| text.contains("expire"));
    assert_eq!(rest.iter().filter(is_reminder).count(), 0, "{rest:#?}");
}

fn ticket_key(byte: u8) -> String {
    BASE64_STANDARD.encode([byte; 48])
}

/// Two gateways with the same certificate and the same file of ticket keys, and clients for either version.
struct Pair {
    authority: Authority,
    fronts: [Front; 2],
    clients: [TlsClient; 2],
}

impl Pair {
    fn new() -> Pair {
        let authority = Authority::new();
        authority.sign(&["a.test"]);
        fs::write(authority.path("tickets.key"), ticket_key(1)).unwrap();
        let listener = authority.listener(&["a.test"], "ticket_keys = \"DIR/tickets.key\"");
        let fronts = [(); 2].map(|()| Front::configured(&format!("{listener}{ANY_ROUTE}")));
        let clients = [&TLS12, &TLS13].map(|version| TlsClient::versions(&authority, &[version]));
        Pair { authority, fronts, clients }
    }

    /// Both take over these keys.
    fn rotate(&self, keys: &[u8]) {
        let lines: Vec<String> = keys.iter().map(|key| ticket_key(*key)).collect();
        let (new, file) = (self.authority.path("new"), self.authority.path("tickets.key"));
        fs::write(&new, lines.join("\n")).unwrap();
        fs::rename(new, &file).unwrap();
        let read = "ticket_keys was read again";
        for front in &self.fronts {
            let line = front.gateway.wait_for(read, |line| is_about(line, read, &file));
            assert_eq!(line["keys"], keys.len());
        }
    }

    /// Each client comes to this gateway, and what it brings counts for `wanted`.
    fn come(&self, place: usize, wanted: HandshakeKind, when: &str) {
        for client in &self.clients {
            assert_eq!(kind(open(&self.fronts[place], client)), wanted, "{when}");
        }
    }
}

#[test]
fn a_session_resumes_at_whoever_has_the_keys() {
    use HandshakeKind::{Full, Resumed};
    let pair = Pair::new();
    pair.come(0, Full, "the first time");
    pair.come(1, Resumed, "at the other");
    pair.come(0, Resumed, "and back");
    pair.rotate(&[1, 2]);
    pair.come(1, Resumed, "the next key is known");
    pair.rotate(&[2, 1]);
    pair.come(0, Resumed, "the old key is still known");
    pair.rotate(&[2]);
    pair.come(1, Resumed, "under the new key since then");
    pair.rotate(&[3]);
    pair.come(0, Full, "nobody has its key any more");
    pair.come(1, Resumed, "and again");
    let file = pair.authority.path("tickets.key");
    fs::write(&file, "broken\n").unwrap();
    let kept = "ticket_keys is no good any more; its old keys are kept";
    for front in &pair.fronts {
        let line = front.gateway.wait_for(kept, |line| is_about(line, kept, &file));
        assert_eq!(line["level"], "WARN");
        assert!(!line.to_string().contains("broken"), "{line}");
    }
    pair.come(0, Resumed, "a broken file changes nothing");
    for front in pair.fronts {
        let rest = front.gateway.rest_of_log();
        assert!(rest.iter().all(|line| line["message"] != kept), "once is enough: {rest:#?}");
    }
}

/// Sessions of the one are no way into the other, although both have the keys.
#[test]
fn tickets_are_for_the_same_demands_on_clients() {
    use HandshakeKind::{Full, Resumed};
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    authority.sign(&["client.test"]);
    fs::write(authority.path("tickets.key"), ticket_key(1)).unwrap();
    let keys = "ticket_keys = \"DIR/tickets.key\"";
    let listener = |more: &str| authority.listener(&["a.test"], &format!("{keys}\n{more}"));
    let front = |more: &str| Front::configured(&format!("{}{ANY_ROUTE}", listener(more)));
    let optional = "client_ca = \"DIR/ca.pem\"\nclient_auth = \"optional\"";
    let fronts = [front(""), front(optional), front("client_ca = \"DIR/ca.pem\""), front("")];
    for version in [&TLS12, &TLS13] {
        let known = TlsClient::with_certificate_over(&authority, &authority, "client.test", &[version]);
        // Each ticket is from the gateway before.
        for (place, wanted) in
            [(0, Full), (1, Full), (1, Resumed), (2, Full), (2, Resumed), (0, Full), (3, Resumed)]
        {
            assert_eq!(kind(open(&fronts[place], &known)), wanted, "{place} {version:?}");
        }
        // Somebody unknown with a ticket of a gateway that asks for nothing stays outside.
        let unknown = TlsClient::versions(&authority, &[version]);
        open(&fronts[0], &unknown);
        let refused = unknown
            .connect(fronts[2].gateway.address(), "a.test")
            .and_then(|mut raw| std::io::Read::read_exact(&mut raw.stream, &mut [0]));
        assert!(refused.is_err());
        assert_eq!(fronts[2].gateway.refused()["cause"], "tls");
    }
}

/// A reload is all or nothing, takes the files as they are, and keeps what can be resumed: unless other clients are let
/// in, for a session that is resumed brings the identity that was verified when it began.
#[test]
fn a_reload_and_what_can_be_resumed() {
    use HandshakeKind::{Full, Resumed};
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    fs::copy(authority.path("ca.pem"), authority.path("clients.pem")).unwrap();
    let front = Front::configured(&format!("{}{ANY_ROUTE}", authority.listener(&["a.test"], "")));
    let config = |tls: &str| {
        let listener = authority.listener(&["a.test"], tls);
        format!("{listener}{}", ANY_ROUTE.replace("BACKEND", &front.backend.url()))
    };
    let clients = [&TLS12, &TLS13].map(|version| TlsClient::versions(&authority, &[version]));
    let come = |wanted: HandshakeKind, when: &str| {
        for client in &clients {
            assert_eq!(kind(open(&front, client)), wanted, "{when}");
        }
    };
    let cert = authority.path("a.test.pem");
    let optional = "client_ca = \"DIR/clients.pem\"\nclient_auth = \"optional\"";
    come(Full, "the first time");
    authority.sign(&["a.test"]);
    front.gateway.reload(&config("min_version = \"1.2\""));
    assert_eq!(shown(&front, &authority, "a.test"), certificate(&cert), "it need not wait for a look");
    come(Resumed, "nobody else is let in");
    front.gateway.reload(&config(optional));
    come(Full, "clients may show a certificate");
    front.gateway.reload(&config(optional));
    come(Resumed, "they may as before");
    // The authorities are read at a reload and no sooner: a certificate that is swapped is a look.
    fs::copy(&cert, authority.path("clients.pem")).unwrap();
    authority.sign(&["a.test"]);
    swapped(&front, &authority, "a.test");
    come(Resumed, "before the reload");
    front.gateway.reload(&config(optional));
    come(Full, "other clients may");
    front.gateway.reload(&config(""));
    come(Full, "nobody is asked");
    // Half a pair.
    let served = shown(&front, &authority, "a.test");
    authority.sign_under("new", "a.test");
    fs::copy(authority.path("new.pem"), &cert).unwrap();
    let problem = front.gateway.refuses_to_reload(&config(optional));
    assert!(problem.contains("is not that of the certificate in"), "{problem}");
    assert_eq!(shown(&front, &authority, "a.test"), served);
    come(Resumed, "nothing has changed");
    fs::copy(authority.path("new.key"), authority.path("a.test.key")).unwrap();
    swapped(&front, &authority, "a.test");
}

#[test]
fn no_start_with_broken_keys() {
    let authority = Authority::new();
    authority.sign(&["a.test"]);
    let listener = authority.listener(&["a.test"], "ticket_keys = \"DIR/tickets.key\"");
    let file = authority.path("site.toml");
    fs::write(&file, format!("{listener}{ANY_ROUTE}").replace("BACKEND", "ws://127.0.0.1:9")).unwrap();
    fs::write(authority.path("tickets.key"), "c2VjcmV0").unwrap();
    for arguments in [&["check"][..], &["run", "--config"]] {
        let program = env!("CARGO_BIN_EXE_framegate");
        let output = Command::new(program).args(arguments).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("tickets.key has a key of 6 bytes in line 1; 48 are the least"), "{said}");
        assert!(said.contains("openssl rand -base64 48") && !said.contains("c2VjcmV0"), "{said}");
    }
}

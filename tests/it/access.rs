//! Which addresses may connect.

use crate::support::*;
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

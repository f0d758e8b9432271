//! Connections that serve one plain request after the other.

use crate::support::*;

/// An answer with a body.
pub fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// One request over the client's connection, answered by the backend's.
pub fn exchange(client: &mut Raw, server: &mut Raw, target: &str) {
    client.send(Ask::plain().target(target).bytes());
    assert!(server.head().starts_with(&format!("GET {target} HTTP/1.1\r\n")));
    server.send(ok(target));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body(client, &head), target.as_bytes());
}

#[test]
fn connections_are_kept_on_both_sides() {
    let front = Front::new("");
    let mut client = front.gateway.connect();
    client.send(Ask::plain().target("/first").bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send(ok("first"));
    let head = client.head();
    assert_eq!(body(&mut client, &head), b"first");
    for n in 0..50 {
        exchange(&mut client, &mut server, &format!("/{n}"));
    }
    front.backend.expect_no_contact();
    // Another client's requests go over another connection.
    let mut other = front.send(Ask::plain().target("/other").bytes());
    let mut another = front.backend.accept();
    another.head();
    another.send(ok("other"));
    assert!(other.head().starts_with("HTTP/1.1 200 "));
    // An upgrade has a connection of its own, and the kept one ends with the client's HTTP.
    client.send(Ask::new().bytes());
    let (_, mut upgraded) = front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send(text("x"));
    upgraded.expect(text("x"));
    server.expect_end();
}

#[test]
fn requests_one_behind_the_other() {
    let front = Front::new("");
    let two = [Ask::plain().target("/1").bytes(), Ask::plain().target("/2").bytes()].concat();
    let mut client = front.send(two);
    let mut server = front.backend.accept();
    for target in ["/1", "/2"] {
        assert!(server.head().starts_with(&format!("GET {target} ")));
        server.expect_nothing_yet();
        server.send(ok(target));
        let head = client.head();
        assert_eq!(body(&mut client, &head), target.as_bytes());
    }
}

#[test]
fn a_backend_that_closes_a_kept_connection() {
    let front = Front::new("");
    let mut client = front.gateway.connect();
    for n in 0..20 {
        let target = format!("/{n}");
        client.send(Ask::plain().target(&target).bytes());
        let mut server = front.backend.accept();
        assert!(server.head().starts_with(&format!("GET {target} ")));
        server.send(ok(&target));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(body(&mut client, &head), target.as_bytes());
    }
    // And where it says beforehand that it will.
    client.send(Ask::plain().target("/close").bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let head = client.head();
    assert!(values(&head, "connection").is_empty(), "{head}");
    server.expect_end();
    client.send(Ask::plain().target("/again").bytes());
    assert!(front.backend.accept().head().starts_with("GET /again "));
}

#[test]
fn a_kept_connection_leads_to_its_own_backend() {
    let (one, other) = (Backend::start(), Backend::start());
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\npath = \"/1\"\nbackend = \"{}\"\n\
         [[route]]\npath = \"/2\"\nbackend = \"{}\"\n",
        one.url(),
        other.url()
    ));
    let mut client = gateway.connect();
    let mut kept = Vec::new();
    for (target, backend) in [("/1", &one), ("/2", &other), ("/1", &one)] {
        client.send(Ask::plain().target(target).bytes());
        let mut server = backend.accept();
        assert!(server.head().starts_with(&format!("GET {target} ")));
        server.send(ok(target));
        let head = client.head();
        assert_eq!(body(&mut client, &head), target.as_bytes());
        // The connection stays open at this end: only whom it leads to speaks against it.
        kept.push(server);
    }
}

#[test]
fn a_kept_connection_that_closes_under_a_request() {
    let front = Front::new("");
    for (method, asked_again) in [("GET", true), ("HEAD", true), ("POST", false), ("DELETE", false)] {
        let ask = Ask::plain().line(&format!("{method} /kept HTTP/1.1"));
        let mut client = front.gateway.connect();
        client.send(Ask::plain().bytes());
        let mut server = front.backend.accept();
        server.head();
        server.send(ok("first"));
        let head = client.head();
        body(&mut client, &head);
        client.send(ask.bytes());
        server.head();
        drop(server);
        if asked_again {
            let mut server = front.backend.accept();
            assert!(server.head().starts_with(&format!("{method} /kept HTTP/1.1\r\n")));
            // A new one that closes says something about the backend.
            drop(server);
        }
        assert!(client.head().starts_with("HTTP/1.1 502 "), "{method}");
        front.backend.expect_no_contact();
    }
}

#[test]
fn answers_without_a_body() {
    let front = Front::new("");
    let mut client = front.gateway.connect();
    let mut kept = None;
    for (ask, answer) in [
        (
            Ask::plain().line("HEAD / HTTP/1.1"),
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n",
        ),
        (Ask::plain(), "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
        (Ask::plain(), "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        (
            Ask::plain().line("HEAD / HTTP/1.1"),
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            Ask::plain().line("OPTIONS /x HTTP/1.1"),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAllow: GET\r\n\r\n",
        ),
    ] {
        client.send(ask.bytes());
        let server = kept.get_or_insert_with(|| front.backend.accept());
        assert_eq!(
            server.head().split(' ').next(),
            ask.bytes().split(|byte| *byte == b' ').next().map(|word| std::str::from_utf8(word).unwrap())
        );
        server.send(answer);
        let head = client.head();
        assert_eq!(head.lines().next(), answer.lines().next());
        for name in ["content-length", "etag", "x-a", "allow"] {
            assert_eq!(values(&head, name), values(answer.trim_end(), name), "{name} in {head}");
        }
    }
    // Nothing was left over that could be taken for the next answer.
    let mut server = kept.unwrap();
    exchange(&mut client, &mut server, "/after");
    front.backend.expect_no_contact();
}

#[test]
fn a_client_that_wants_no_other_request() {
    let front = Front::new("");
    let mut client = front.send(Ask::plain().with(&["Connection: close"]).bytes());
    let mut server = front.backend.accept();
    assert!(values(&server.head(), "connection").is_empty());
    server.send(ok("bye"));
    let head = client.head();
    assert_eq!(values(&head, "connection"), ["close"]);
    assert_eq!(body(&mut client, &head), b"bye");
    client.expect_end();
    server.expect_end();
}

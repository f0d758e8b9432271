//! Requests that ask for no upgrade: streamed through in both directions, or turned away.

use crate::support::*;

fn post(headers: &[&str]) -> Ask {
    Ask::plain().line("POST /p HTTP/1.1").with(headers)
}

/// An answer with a body.
fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// One request over the client's connection, answered by the backend's.
fn exchange(client: &mut Raw, server: &mut Raw, target: &str) {
    client.send(Ask::plain().target(target).bytes());
    assert!(server.head().starts_with(&format!("GET {target} HTTP/1.1\r\n")));
    server.send(ok(target));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body(client, &head), target.as_bytes());
}

#[test]
fn both_directions_stream() {
    let front = Front::new("");
    let mut client = front.send(post(&["Transfer-Encoding: chunked"]).bytes());
    client.send("3\r\none\r\n");
    let mut server = front.backend.accept();
    let forwarded = server.head();
    assert_eq!(values(&forwarded, "transfer-encoding"), ["chunked"]);
    assert!(values(&forwarded, "content-length").is_empty());
    // Each side has a chunk before the other has sent its next one.
    assert_eq!(chunk(&mut server).unwrap(), b"one");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n");
    let head = client.head();
    assert_eq!(values(&head, "transfer-encoding"), ["chunked"]);
    assert_eq!(chunk(&mut client).unwrap(), b"uno");
    client.send("3\r\ntwo\r\n");
    assert_eq!(chunk(&mut server).unwrap(), b"two");
    server.send("3\r\ndos\r\n");
    assert_eq!(chunk(&mut client).unwrap(), b"dos");
    client.send("0\r\n\r\n");
    assert_eq!(chunk(&mut server), None);
    server.send("0\r\n\r\n");
    assert_eq!(chunk(&mut client), None);
}

#[test]
fn what_a_backend_sees_of_a_plain_request() {
    let front = Front::new("");
    let lines = [
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Content-Length: 3",
        "X-ODD: 1",
        "X-Forwarded-For: 6.6.6.6",
    ];
    let _client = front.send(post(&lines).behind("abc").bytes());
    let mut server = front.backend.accept();
    let forwarded = server.head();
    assert!(forwarded.starts_with("POST /p HTTP/1.1\r\n"), "{forwarded}");
    assert_eq!(values(&forwarded, "content-length"), ["3"]);
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&forwarded, "x-forwarded-proto"), ["http"]);
    assert!(forwarded.contains("\r\nX-ODD: 1\r\n"));
    for gone in ["connection", "x-hop", "upgrade", "transfer-encoding"] {
        assert!(values(&forwarded, gone).is_empty(), "{gone}: {forwarded}");
    }
    server.expect("abc");
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
fn big_bodies() {
    let front = Front::new("");
    let bytes: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    let length = format!("Content-Length: {}", bytes.len());
    let mut client = front.send(post(&[&length]).bytes());
    let mut server = front.backend.accept();
    server.head();
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || {
        client.send(&sent);
        client
    });
    assert!(server.take(bytes.len()) == bytes);
    let mut client = sending.join().unwrap();
    let sent = bytes.clone();
    let answering = std::thread::spawn(move || {
        server.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
        server.send(&sent);
        server
    });
    let head = client.head();
    assert!(body(&mut client, &head) == bytes);
    let mut server = answering.join().unwrap();
    exchange(&mut client, &mut server, "/after");
}

#[test]
fn a_body_that_ends_with_the_connection() {
    let front = Front::new("");
    let mut client = front.send(Ask::plain().bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nall of it");
    drop(server);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body(&mut client, &head), b"all of it");

    // One that breaks off is not made to look whole.
    for (framing, piece) in [("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")]
    {
        let mut client = front.send(Ask::plain().bytes());
        let mut server = front.backend.accept();
        server.head();
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{piece}"));
        client.head();
        client.expect(piece);
        drop(server);
        client.expect_end();
    }
}

#[test]
fn a_client_that_asks_before_it_uploads() {
    let front = Front::new("");
    let mut client = front.send(post(&["Content-Length: 3", "Expect: 100-continue"]).bytes());
    let mut server = front.backend.accept();
    assert!(values(&server.head(), "expect").is_empty());
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    server.expect("abc");
    server.send(ok("done"));
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn another_upgrade_than_ours_is_no_upgrade() {
    let front = Front::new("");
    let mut client = front.gateway.connect();
    let mut server = None;
    for (n, upgrade) in ["h2c", "TLS/1.0", "websocket2", "h2c, foo"].into_iter().enumerate() {
        let ask = Ask::plain().with(&[
            "Connection: Upgrade, HTTP2-Settings",
            &format!("Upgrade: {upgrade}"),
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ]);
        client.send(ask.bytes());
        // Not even the connection is lost by it.
        let server = server.get_or_insert_with(|| front.backend.accept());
        let forwarded = server.head();
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert!(values(&forwarded, gone).is_empty(), "{gone}: {forwarded}");
        }
        server.send(ok(&n.to_string()));
        let head = client.head();
        assert!(values(&head, "upgrade").is_empty());
        assert_eq!(body(&mut client, &head), n.to_string().as_bytes());
    }
}

#[test]
fn a_101_to_a_plain_request() {
    let front = Front::new("");
    for upgrade in ["Upgrade: h2c", "X: y"] {
        let mut client = front.send(Ask::plain().with(&["Connection: Upgrade", upgrade]).bytes());
        let (_, mut server) = front.backend.accept_upgrade(b"");
        expect_refusal(&mut client, 502, "backend_answer");
        assert_eq!(front.gateway.refused()["cause"], "backend_answer");
        server.expect_end();
    }
}

#[test]
fn plain_requests_turned_away() {
    let front = Front::new("http = \"reject\"");
    for ask in [
        Ask::plain(),
        post(&["Content-Length: 0"]),
        Ask::plain().with(&["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"]),
    ] {
        let (head, _) = front.expect_refused(&ask, 426, "not_upgrade");
        assert_eq!(values(&head, "upgrade"), ["websocket"]);
    }
    front.expect_admitted(&Ask::new());
}

#[test]
fn a_backend_without_an_answer() {
    let front = Front::new(
        "timeouts.idle = \"150ms\"\nheartbeat = { ping_interval = \"none\", backend_ping_interval = \"none\" }",
    );
    let mut client = front.send(Ask::plain().bytes());
    let mut server = front.backend.accept();
    server.head();
    expect_refusal(&mut client, 504, "backend_silent");
    assert_eq!(front.gateway.refused()["cause"], "backend_silent");
    server.expect_end();
    let mut client = front.send(Ask::plain().bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("no http at all\r\n\r\n");
    expect_refusal(&mut client, 502, "backend_answer");
}

#[test]
fn a_client_that_hangs_up_on_a_long_poll() {
    let front = Front::new("");
    let client = front.send(Ask::plain().bytes());
    let mut server = front.backend.accept();
    server.head();
    drop(client);
    server.expect_end();
    // Also in the middle of a body.
    let mut client = front.send(Ask::plain().bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    client.head();
    assert_eq!(chunk(&mut client).unwrap(), b"a");
    drop(client);
    server.expect_end();
}

//! Requests that ask for no upgrade: streamed through in both directions, or turned away.

use crate::keep_alive::{exchange, ok};
use crate::support::*;

fn post(headers: &[&str]) -> Ask {
    Ask::plain().line("POST /p HTTP/1.1").with(headers)
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
        "timeouts.idle = \"1s\"\nheartbeat = { ping_interval = \"none\", backend_ping_interval = \"none\" }",
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

#[test]
fn one_framing_reaches_the_backend() {
    let front = Front::new("");
    let _client = front.send(
        post(&["Content-Length: 3", "Transfer-Encoding: chunked"]).behind("5\r\nhello\r\n0\r\n\r\n").bytes(),
    );
    let mut server = front.backend.accept();
    let forwarded = server.head();
    assert_eq!(values(&forwarded, "transfer-encoding"), ["chunked"]);
    assert!(values(&forwarded, "content-length").is_empty(), "{forwarded}");
    assert_eq!(body(&mut server, &forwarded), b"hello");
    // A coding that the backend would not be told of.
    front.expect_refused(&post(&["Transfer-Encoding: gzip, chunked"]), 400, "request");
}

#[test]
fn a_client_of_http_1_0() {
    let front = Front::new("");
    let mut client = front.send(Ask::plain().line("GET /old HTTP/1.0").bytes());
    let mut server = front.backend.accept();
    assert!(server.head().starts_with("GET /old HTTP/1.1\r\n"));
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(values(&head, "transfer-encoding").is_empty());
    assert_eq!(client.rest(), b"abc");
}

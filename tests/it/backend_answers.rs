//! What a backend may answer to an upgrade, and what becomes of everything else.

use crate::support::*;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Answers the next upgrade with these bytes; what the client gets, and the backend's end.
fn answered(front: &Front, ask: &Ask, answer: impl AsRef<[u8]>) -> (Raw, Raw) {
    let client = front.send(ask.bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send(answer);
    (client, server)
}

fn expect_bad_gateway(front: &Front, ask: &Ask, answer: impl AsRef<[u8]>) -> String {
    let (mut client, mut server) = answered(front, ask, answer);
    expect_refusal(&mut client, 502, "backend_answer");
    server.expect_end();
    let line = front.gateway.refused();
    assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(502), Some("backend_answer")));
    assert_eq!(line["level"], "WARN");
    line["detail"].as_str().unwrap().to_string()
}

#[test]
fn a_101_that_is_none() {
    let front = Front::new("");
    let ask = Ask::new()
        .with(&["Sec-WebSocket-Protocol: chat, mqtt", "Sec-WebSocket-Extensions: permessage-deflate"]);
    let accept = format!("+Sec-WebSocket-Accept: {ACCEPT}");
    for (changes, says) in [
        (&["-Upgrade"][..], "Upgrade: websocket"),
        (&["Upgrade: h2c"], "Upgrade: websocket"),
        (&["-Connection"], "Connection: Upgrade"),
        (&["Connection: keep-alive"], "Connection: Upgrade"),
        (&["-Sec-WebSocket-Accept"], "no Sec-WebSocket-Accept"),
        (&["Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="], "wrong Sec-WebSocket-Accept"),
        (&["Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO="], "wrong Sec-WebSocket-Accept"),
        (&["Sec-WebSocket-Accept:"], "wrong Sec-WebSocket-Accept"),
        (&[&accept], "wrong Sec-WebSocket-Accept"),
        (&["Sec-WebSocket-Protocol: wamp"], "was not offered"),
        (&["Sec-WebSocket-Protocol: CHAT"], "was not offered"),
        (&["Sec-WebSocket-Protocol: chat, mqtt"], "was not offered"),
        (&["Sec-WebSocket-Protocol:"], "was not offered"),
        (&["Sec-WebSocket-Protocol: chat", "+Sec-WebSocket-Protocol: chat"], "two subprotocols"),
        (&["Sec-WebSocket-Extensions: x-foo"], "extension"),
        (&["Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"], "extension"),
        (&["Sec-WebSocket-Extensions: permessage-deflate", "+Sec-WebSocket-Extensions: x-foo"], "extension"),
    ] {
        let detail = expect_bad_gateway(&front, &ask, Ask::switching().with(changes).bytes());
        assert!(detail.contains(says), "{changes:?}: {detail}");
    }
    let plain = Ask::new();
    for line in ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"] {
        expect_bad_gateway(&front, &plain, Ask::switching().also(line).bytes());
    }
}

#[test]
fn a_101_in_every_spelling() {
    let front = Front::new("");
    let ask = Ask::new().also("Sec-WebSocket-Protocol: chat, mqtt").also("Sec-WebSocket-Protocol: last");
    for (changes, subprotocol) in [
        (&["Connection: keep-alive, UPGRADE"][..], ""),
        (&["Connection: keep-alive", "+Connection: upgrade"], ""),
        (&["Upgrade: WebSocket"], ""),
        (&["Sec-WebSocket-Protocol: mqtt"], "mqtt"),
        (&["Sec-WebSocket-Protocol: last"], "last"),
    ] {
        let (mut client, mut server) = answered(&front, &ask, Ask::switching().with(changes).bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{changes:?}: {head}");
        assert_eq!(values(&head, "sec-websocket-protocol").join("+"), subprotocol);
        assert_eq!(front.opened()["subprotocol"], subprotocol);
        client.send(text("x"));
        server.expect(text("x"));
    }
}

#[test]
fn any_other_answer_is_the_clients_to_read() {
    let front = Front::new("");
    for (answer, status, body_sent) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nwww-authenticate: Bearer\r\n\
             Set-Cookie: a=1\r\nset-cookie: b=2\r\nSet-Cookie: c=3\r\nContent-Length: 4\r\n\r\nnope",
            "401 Unauthorized",
            "nope",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/a?b\r\nContent-Length: 0\r\n\r\n",
            "302 Found",
            "",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
            "403 Forbidden",
            "abcdefg",
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            "429 Too Many Requests",
            "",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\nContent-Length: 0\r\n\r\n",
            "426 Upgrade Required",
            "",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nX-A: 1\r\n\r\n",
            "503 Service Unavailable",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
            "200 OK",
            "ok",
        ),
        ("HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nok", "206 Partial Content", "ok"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204 No Content", ""),
        ("HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", "599 ", ""),
    ] {
        let (mut client, mut server) = answered(&front, &Ask::new(), answer);
        if answer.contains("Connection: close") {
            server.finish();
        }
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {head}");
        assert!(values(&head, "x-framegate-cause").is_empty());
        assert!(values(&head, "upgrade").is_empty(), "never a tunnel: {head}");
        for name in
            ["www-authenticate", "set-cookie", "location", "retry-after", "sec-websocket-version", "x-a"]
        {
            assert_eq!(values(&head, name), values(answer.split("\r\n\r\n").next().unwrap(), name), "{name}");
        }
        if !status.starts_with("204") {
            assert_eq!(String::from_utf8(body(&mut client, &head)).unwrap(), body_sent, "{status}");
        }
        // Both connections are given up: what was glued to the request is not another one.
        assert_eq!(values(&head, "connection"), ["close"], "{head}");
        client.expect_end();
        server.expect_end();
        let line = front.gateway.wait_for("the answer", |line| line["cause"] == "backend_status");
        assert_eq!(line["status"].to_string(), status[..3]);
    }
}

#[test]
fn a_big_body_streams_through() {
    let front = Front::new("");
    let size = 3 << 20;
    let (mut client, mut server) =
        answered(&front, &Ask::new(), format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {size}\r\n\r\n"));
    let sent: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
    // The head is there before the body is.
    let head = client.head();
    let sending = std::thread::spawn({
        let sent = sent.clone();
        move || {
            server.send(&sent);
            server
        }
    });
    assert!(body(&mut client, &head) == sent);
    client.expect_end();
    sending.join().unwrap().expect_end();
}

#[test]
fn interim_answers_are_passed_over() {
    let front = Front::new("");
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let answer = [interim.as_bytes(), &Ask::switching().bytes(), &server_frame(0x81, b"hi")].concat();
    let (mut client, _server) = answered(&front, &Ask::new(), answer);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(values(&head, "link").is_empty());
    client.expect(server_frame(0x81, b"hi"));
}

#[test]
fn what_is_not_http() {
    let front = Front::new("");
    let folded = "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n";
    for answer in [
        "hello, this is zzmirror\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
        "<html>zzmirror</html>",
        "HTTP/0.9 200 OK\r\n\r\nzzmirror",
        "HTTP/2.0 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 1O1 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        folded,
    ] {
        expect_bad_gateway(&front, &Ask::new(), answer);
    }
    // More head than anybody needs: refused before its end.
    let mut client = front.send(Ask::new().bytes());
    let mut server = front.backend.accept();
    server.head();
    let large = Ask::switching().also(&format!("X: {}", "a".repeat(1 << 20))).bytes();
    let _ = server.stream.write_all(&large);
    expect_refusal(&mut client, 502, "backend_answer");
    server.expect_end();
    assert_eq!(front.gateway.refused()["cause"], "backend_answer");
}

#[test]
fn a_backend_that_hangs_up() {
    let front = Front::new("");
    for half in ["", "HTTP/1.1 101 Switching Pro"] {
        for reset in [false, true] {
            let mut client = front.send(Ask::new().bytes());
            let mut server = front.backend.accept();
            server.head();
            server.send(half);
            if reset {
                server.reset()
            } else {
                drop(server)
            }
            expect_refusal(&mut client, 502, "backend_answer");
            assert_eq!(front.gateway.refused()["cause"], "backend_answer");
        }
    }
    // Before it has read anything at all.
    let mut client = front.send(Ask::new().bytes());
    front.backend.accept().reset();
    assert!(client.head().starts_with("HTTP/1.1 502 "));
}

const IMPATIENT: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\n\
    [[backend]]\nname = \"b\"\nservers = [\"BACKEND\"]\nupgrade_timeout = \"600ms\"\n[[route]]\nbackend = \"b\"\n";

#[test]
fn a_silent_backend() {
    let front = Front::configured(IMPATIENT);
    let refused_in_time = |client: &mut Raw, started: Instant| {
        expect_refusal(client, 504, "backend_silent");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(600) && took < AT_ONCE, "{took:?}");
        assert_eq!(front.gateway.refused()["cause"], "backend_silent");
    };
    for half in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        let started = Instant::now();
        let (mut client, mut server) = answered(&front, &Ask::new(), half);
        refused_in_time(&mut client, started);
        server.expect_end();
    }
    // Interim answers without end are no way around it.
    let started = Instant::now();
    let (mut client, mut server) = answered(&front, &Ask::new(), "");
    let babbling = std::thread::spawn(move || {
        // One every few milliseconds: until the connection ends, there is nothing to read.
        server.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut ended = false;
        while !ended {
            let sent = server.stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n");
            let read = server.stream.read(&mut [0; 16]);
            ended =
                sent.is_err() || read.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true);
        }
    });
    refused_in_time(&mut client, started);
    babbling.join().unwrap();
}

#[test]
fn a_client_that_does_not_wait() {
    let front = Front::configured(&IMPATIENT.replace("600ms", "1m"));
    type Leave = fn(Raw);
    let ways: [Leave; 3] = [drop, Raw::reset, |client| {
        // Gone for good: a half that is closed sends nothing more.
        client.finish();
    }];
    for leave in ways {
        let client = front.send(Ask::new().bytes());
        let mut server = front.backend.accept();
        server.head();
        let left = Instant::now();
        leave(client);
        server.expect_end();
        assert!(left.elapsed() < AT_ONCE);
    }
}

#[test]
fn a_client_that_does_not_wait_but_sent_frames_is_found_in_time() {
    let front = Front::configured(IMPATIENT);
    let client = front.send(Ask::new().behind(text("early")).bytes());
    let mut server = front.backend.accept();
    server.head();
    drop(client);
    server.expect_end();
}

//! What makes a request an upgrade, row by row of SEMANTICS.md's first table: everything else is refused here, and the
//! backend never hears of it.

use crate::support::*;

#[test]
fn a_good_upgrade_in_every_spelling() {
    let front = Front::new("");
    for changes in [
        &[][..],
        &["Connection: upgrade"],
        &["connection: keep-alive, Upgrade"],
        &["CONNECTION: UPGRADE ,keep-alive"],
        &["Connection: keep-alive", "+Connection: foo ,\tuPgRaDe , bar"],
        &["Upgrade: WebSocket"],
        &["UPGRADE: \t WEBSOCKET \t "],
        &["Sec-WebSocket-Version:13"],
        &["sec-websocket-version: \t13 "],
        &["+Content-Length: 0"],
        &["Host: gateway.test:8080"],
        &["Host: [::1]:80"],
    ] {
        let mut client = front.send(Ask::new().with(changes).bytes());
        front.backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{changes:?}: {head}");
        assert_eq!(values(&head, "sec-websocket-accept"), [ACCEPT], "{changes:?}");
        assert_eq!(values(&head, "upgrade"), ["websocket"]);
        assert_eq!(values(&head, "connection"), ["Upgrade"]);
        assert!(values(&head, "content-length").is_empty() && values(&head, "date").is_empty(), "{head}");
    }
}

#[test]
fn only_version_13() {
    let front = Front::new("");
    for changes in [
        &["Sec-WebSocket-Version: 8"][..],
        &["Sec-WebSocket-Version: 7"],
        &["Sec-WebSocket-Version: 0"],
        &["Sec-WebSocket-Version: 113"],
        &["Sec-WebSocket-Version: 13, 8"],
        &["Sec-WebSocket-Version:"],
        &["-Sec-WebSocket-Version"],
        &["+Sec-WebSocket-Version: 13"],
    ] {
        let (head, _) = front.expect_refused(&Ask::new().with(changes), 426, "version");
        assert_eq!(values(&head, "sec-websocket-version"), ["13"], "{changes:?}");
    }
}

#[test]
fn a_key_of_sixteen_bytes_once() {
    let front = Front::new("");
    for changes in [
        &["-Sec-WebSocket-Key"][..],
        &["Sec-WebSocket-Key:"],
        &["Sec-WebSocket-Key: c2hvcnQ="],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEyMzQ="],
        &["Sec-WebSocket-Key: ????????????????????????"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="],
        &["+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
    ] {
        front.expect_refused(&Ask::new().with(changes), 400, "request");
    }
}

#[test]
fn no_body_with_an_upgrade() {
    let front = Front::new("");
    for (changes, body) in [
        (&["+Content-Length: 5"][..], "hello"),
        (&["+Content-Length: 5"], ""),
        (&["+Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
        (&["+Transfer-Encoding: chunked", "+Content-Length: 5"], "0\r\n\r\n"),
        (&["+Content-Length: 5", "+Transfer-Encoding: chunked"], "0\r\n\r\n"),
        (&["+Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
    ] {
        let head = front.send(Ask::new().with(changes).behind(body).bytes()).head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{changes:?}: {head}");
        assert_eq!(values(&head, "connection"), ["close"]);
        front.expect_refused_in_log(400, "request");
    }
    // hyper finds these malformed before we see them.
    for changes in [
        &["+Transfer-Encoding: identity"][..],
        &["+Content-Length: 5", "+Content-Length: 6"],
        &["+Content-Length: five"],
        &["+Content-Length: -1"],
    ] {
        let head = front.send(Ask::new().with(changes).bytes()).head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{changes:?}: {head}");
        front.backend.expect_no_contact();
    }
}

#[test]
fn http_1_1_and_get() {
    let front = Front::new("");
    // hyper answers in the client's own version.
    let mut client = front.send(Ask::new().line("GET / HTTP/1.0").bytes());
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 400 ") && answer.contains("x-framegate-cause: request\r\n"),
        "{answer}"
    );
    let line = front.expect_refused_in_log(400, "request");
    assert!(line["detail"].as_str().unwrap().contains("HTTP/1.0"), "{line:#}");
    for method in ["POST", "PUT", "HEAD2", "OPTIONS", "get", "DELETE"] {
        let ask = Ask::new().line(&format!("{method} /?zzmirror HTTP/1.1"));
        let (head, _) = front.expect_refused(&ask, 405, "method");
        assert_eq!(values(&head, "allow"), ["GET"]);
    }
    // The answer to HEAD has no body, whatever it says.
    let mut client = front.send(Ask::new().line("HEAD / HTTP/1.1").bytes());
    assert!(client.head().starts_with("HTTP/1.1 405 "));
    client.expect_end();
    front.expect_refused_in_log(405, "method");
}

#[test]
fn this_is_no_forward_proxy() {
    let front = Front::new("");
    let backend = front.backend.address;
    for ask in [Ask::new(), Ask::plain()] {
        let ask = ask.line(&format!("CONNECT {backend} HTTP/1.1"));
        let (head, _) = front.expect_refused(&ask, 405, "method");
        assert_eq!(values(&head, "allow"), ["GET"]);
    }
    front.expect_refused(&Ask::plain().line("OPTIONS * HTTP/1.1"), 400, "path");
    front.expect_refused(&Ask::new().line("GET * HTTP/1.1"), 400, "path");
}

#[test]
fn half_an_upgrade() {
    let front = Front::new("");
    for changes in [
        &["-Connection"][..],
        &["Connection: keep-alive"],
        &["Connection: close"],
        &["Connection: xupgrade, upgrades"],
        &["-Upgrade"],
        &["Upgrade: h2c"],
        &["Upgrade: websockets"],
    ] {
        front.expect_refused(&Ask::new().with(changes), 400, "request");
    }
}

#[test]
fn one_host_that_is_a_host() {
    let front = Front::new("");
    for changes in [
        &["-Host"][..],
        &["+Host: gateway.test"],
        &["+Host: zzmirror.test"],
        &["Host:"],
        &["Host: zz mirror"],
        &["Host: zzmirror@gateway.test"],
        &["Host: zzmirror:password@gateway.test"],
        &["Host: gateway.test/zzmirror"],
        &["Host: gateway.test, zzmirror"],
        &["Host: gateway.test:http"],
        &["Host: gateway.test:99999"],
        &["Host: [::1%25lo]"],
        &["Host: [::1"],
        &["Host: ::1"],
        &["Host: zzmirror%41.test"],
        &["Host: ."],
    ] {
        front.expect_refused(&Ask::new().with(changes), 400, "host");
        front.expect_refused(&Ask::plain().with(changes), 400, "host");
    }
    let mut client = front.gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: \xff\xfe.test\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 400 "));
    front.expect_refused_in_log(400, "host");
}

#[test]
fn a_target_with_a_host_of_its_own() {
    let front = Front::new("");
    let forwarded = front.forwarded(&Ask::new().target("http://gateway.test/a?b=/../"));
    assert!(forwarded.starts_with("GET /a?b=/../ HTTP/1.1\r\n"), "{forwarded}");
    assert_eq!(values(&forwarded, "host"), ["gateway.test"]);
    let forwarded = front.forwarded(&Ask::new().target("http://GATEWAY.test"));
    assert!(forwarded.starts_with("GET / HTTP/1.1\r\n"), "{forwarded}");
    for target in [
        "http://zzmirror.test/",
        "http://gateway.test:81/",
        "http://zzmirror@gateway.test/",
        "http://gateway.test.zzmirror/",
    ] {
        front.expect_refused(&Ask::new().target(target), 400, "host");
    }
}

#[test]
fn malformed_heads() {
    let front = Front::new("");
    for ask in [
        Ask::new().also("X-Space : 1"),
        Ask::new().also(": no name"),
        Ask::new().also("no colon"),
        Ask::new().also("X-Null: a\0b"),
        Ask::new().also("X-\u{1}: 1"),
        Ask::new().also("X-Fold: a\r\n b"),
        Ask::new().also("X-CR: a\rb"),
        Ask::new().line("GET / HTTP/2.0"),
        Ask::new().line("GET / HTTP/1.7"),
        Ask::new().line("GET / HTTP/0.9"),
        Ask::new().line("GET /"),
        Ask::new().line("GET  / HTTP/1.1"),
        Ask::new().line("GET / zzmirror HTTP/1.1"),
        Ask::new().line("G\0T / HTTP/1.1"),
        Ask::new().target("gateway.test"),
        Ask::new().target("zzmirror:/a"),
    ] {
        let mut client = front.send(ask.bytes());
        let answer = String::from_utf8(client.rest()).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{:?}: {answer}",
            ask.bytes().escape_ascii().to_string()
        );
        assert!(!answer.contains("zzmirror"), "{answer}");
        front.backend.expect_no_contact();
        assert!(matches!(front.gateway.refused()["cause"].as_str(), Some("request" | "host" | "path")));
    }
}

#[test]
fn bare_line_feeds_reach_the_backend_as_line_ends() {
    let front = Front::new("");
    let bytes: Vec<u8> = Ask::new().bytes().into_iter().filter(|byte| *byte != b'\r').collect();
    let mut client = front.send(bytes);
    let (forwarded, _) = front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(forwarded.matches('\n').count(), forwarded.matches("\r\n").count());
}

#[test]
fn heads_that_are_too_large() {
    let front = Front::configured(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nmax_header_size = \"8KiB\"\n[[route]]\nbackend = \"BACKEND\"\n",
    );
    let many: Vec<String> = (0..101).map(|n| format!("X-{n}: 1")).collect();
    let mut too_many = Ask::plain();
    for line in &many {
        too_many = too_many.also(line);
    }
    for ask in [
        Ask::new().also(&format!("X-Large: {}", "a".repeat(9_000))),
        Ask::new().target(&format!("/{}", "a".repeat(9_000))),
        Ask::new().also(&format!("X-Large: {}", "a".repeat(200_000))),
        too_many,
    ] {
        let mut client = front.gateway.connect();
        // The gateway stops reading long before the end, and may answer with a reset to what it did not read.
        let _ = std::io::Write::write_all(&mut client.stream, &ask.bytes());
        let answer = String::from_utf8(client.rest()).unwrap();
        let status = answer.get(..13).unwrap_or("reset");
        let wanted = ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "reset"];
        let wanted = if ask.bytes().len() > 100_000 { &wanted[..] } else { &wanted[..2] };
        assert!(wanted.contains(&status), "{answer}");
        assert_eq!(front.gateway.refused()["cause"], "head_too_large");
        front.backend.expect_no_contact();
    }
    let fits = front.forwarded(&Ask::new().also(&format!("X-Large: {}", "a".repeat(7_000))));
    assert_eq!(values(&fits, "x-large")[0].len(), 7_000);
}

#[test]
fn a_request_that_asks_before_it_goes_on() {
    let front = Front::new("");
    let forwarded = front.forwarded(&Ask::new().also("Expect: 100-continue"));
    assert!(values(&forwarded, "expect").is_empty());
}

#[test]
fn long_lists_take_no_time() {
    let front = Front::new("");
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Connection"] {
        for piece in [" ", ",", "a,", "permessage-deflate; a,"] {
            let line = format!("+{name}: upgrade{}", piece.repeat(15_000 / piece.len()));
            let started = std::time::Instant::now();
            front.expect_admitted(&Ask::new().with(&[&line]));
            assert!(started.elapsed() < AT_ONCE, "{name} {piece:?}");
        }
    }
}

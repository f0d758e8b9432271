//! `refuse = "close"`: a refusal that pages in a browser can read, as a Close behind a 101 of the gateway's own.

use crate::support::*;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const CLOSE: &str = "refuse = \"close\"";

/// A route that turns everybody away, like this.
fn closed_to_all(more: &str) -> Front {
    Front::new(&format!("{CLOSE}\naccess.deny = [\"127.0.0.0/8\"]\n{more}"))
}

/// The answer of the client.
fn farewell(code: u16) -> Vec<u8> {
    client_frame(0x88, &close_payload(code, ""))
}

/// Our own 101: right, and without what was not asked for. Behind it stands this Close.
fn expect_told<S: Read + Write>(client: &mut Raw<S>, code: u16, cause: &str) -> String {
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    let mut names: Vec<_> = fields(&head).iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| name != "sec-websocket-protocol");
    names.sort();
    assert_eq!(names, ["connection", "sec-websocket-accept", "upgrade"]);
    // hyper adds "close" while the process goes away.
    assert!(matches!(values(&head, "connection")[..], ["upgrade" | "upgrade, close"]), "{head}");
    assert_eq!(values(&head, "upgrade"), ["websocket"]);
    assert_eq!(values(&head, "sec-websocket-accept"), [ACCEPT]);
    assert_eq!(client.expect_close(code), cause);
    head
}

/// The log line has the status all the same, and the code that took its place.
fn expect_told_in_log(front: &Front, status: u16, code: u16, cause: &str) {
    let line = front.expect_refused_in_log(status, cause);
    assert_eq!(line["close"].as_u64(), Some(code.into()), "{line:#}");
}

#[test]
fn told_by_a_close_and_no_backend_asked() {
    let front = closed_to_all("");
    // Browsers fail a socket that offered subprotocols and got none.
    let offers = Ask::new()
        .also("Sec-WebSocket-Protocol: bearer.a.b.c, chat, mqtt")
        .also("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits");
    // Bytes glued to the request, and bytes behind the 101, are no concern of anybody's.
    let glued = Ask::new().behind(text("glued"));
    for (request, chosen) in [(Ask::new(), &[][..]), (offers, &["chat"]), (glued, &[])] {
        let mut client = front.send(request.bytes());
        let head = expect_told(&mut client, 3003, "address");
        assert_eq!(values(&head, "sec-websocket-protocol"), chosen);
        assert!(!head.contains("bearer"), "{head}");
        client.send(text("what is under way"));
        client.send(farewell(3003));
        client.expect_end();
        expect_told_in_log(&front, 403, 3003, "address");
    }
    // None of them was a session.
    let lines = front.gateway.rest_of_log();
    assert!(
        !lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("session ")),
        "{lines:#?}"
    );
}

#[test]
fn a_status_by_default() {
    let front = Front::new("access.deny = [\"127.0.0.0/8\"]");
    let (_, line) = front.expect_refused(&Ask::new(), 403, "address");
    assert!(line["close"].is_null(), "{line:#}");
}

/// One Close for every bad token: what is wrong with it is for the operator.
#[test]
fn tokens() {
    let dir = tempfile::tempdir().unwrap();
    let key = "{ \"keys\": [{ \"kty\": \"oct\", \"kid\": \"a\", \"alg\": \"HS256\", \"k\": \"BASE64\" }] }";
    std::fs::write(dir.path().join("keys.json"), key.replace("BASE64", &"c2VjcmV0".repeat(6))).unwrap();
    let backend = Backend::start();
    let gateway = Gateway::start_in(
        dir,
        &format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n{CLOSE}\n\
             access.jwt = {{ jwks_file = \"keys.json\", from = [\"query:token\"] }}\n",
            backend.url()
        ),
    );
    let front = Front { gateway, backend };
    for (target, status, code, told, cause) in [
        ("/", 401, 3000, "auth.missing", "auth.missing"),
        ("/?token=nonsense", 403, 3003, "auth", "auth.malformed"),
        // {"alg":"none"} . {}
        ("/?token=eyJhbGciOiJub25lIn0.e30.", 403, 3003, "auth", "auth.algorithm"),
    ] {
        let mut client = front.send(Ask::new().target(target).bytes());
        expect_told(&mut client, code, told);
        client.send(farewell(code));
        client.expect_end();
        expect_told_in_log(&front, status, code, cause);
    }
}

/// A drain is no policy, and a page may know of it.
#[test]
fn a_drain() {
    let mut front = Front::new(CLOSE);
    let request = Ask::new().bytes();
    let mut client = front.send(&request[..40]);
    // What was taken before is answered before.
    front.expect_admitted(&Ask::new());
    front.gateway.signal("TERM");
    front.gateway.wait_for("no longer accepting", |line| line["spread"].is_string());
    client.send(&request[40..]);
    expect_told(&mut client, 1013, "draining");
    client.send(farewell(1013));
    client.expect_end();
    let line = front.gateway.refused();
    assert_eq!((line["status"].as_u64(), line["close"].as_u64()), (Some(503), Some(1013)), "{line:#}");
    assert_eq!(front.gateway.exit_code(), Some(0));
}

/// What does not come from a policy of the route, and what a page of another site may not learn.
#[test]
fn a_status_all_the_same() {
    let front = Front::routes(&format!(
        "[[route]]\npath = \"/\"\nbackend = \"BACKEND\"\n{CLOSE}\n\
         [[route]]\npath = \"/upgrades\"\nbackend = \"BACKEND\"\nhttp = \"reject\"\n{CLOSE}\n"
    ));
    for (request, status, cause) in [
        (Ask::new().also("Origin: http://elsewhere.test"), 403, "origin"),
        (Ask::new().also("Origin: null"), 403, "origin"),
        (Ask::new().with(&["Sec-WebSocket-Version: 8"]), 426, "version"),
        (Ask::new().with(&["Sec-WebSocket-Key: short"]), 400, "request"),
        (Ask::new().target("/nowhere"), 404, "no_route"),
        (Ask::plain().target("/upgrades"), 426, "not_upgrade"),
    ] {
        let (_, line) = front.expect_refused(&request, status, cause);
        assert!(line["close"].is_null(), "{line:#}");
    }
    // A backend that cannot be had, and one that has an answer of its own.
    let nobody = Nobody::at_home();
    let gone = Gateway::in_front_of_address(nobody.address, CLOSE);
    let mut client = gone.connect();
    client.send(Ask::new().bytes());
    expect_refusal(&mut client, 502, "backend_connect");
    let mut client = front.send(Ask::new().bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

/// The client's Close is waited for, and not for ever.
#[test]
fn a_client_that_says_nothing() {
    let wait = Duration::from_secs(1);
    let front = closed_to_all("timeouts.close = \"1s\"");
    let since = Instant::now();
    let mut clients: Vec<_> = (0..3).map(|_| front.send(Ask::new().bytes())).collect();
    for client in &mut clients {
        expect_told(client, 3003, "address");
    }
    // Neither pings nor half a Close are one.
    clients[0].send(ping(b"?"));
    clients[1].send(&farewell(3003)[..3]);
    for client in &mut clients {
        client.expect_end();
        let took = since.elapsed();
        assert!(took >= wait && took < wait + AT_ONCE, "{took:?}");
    }
}

/// One that never stops talking is not listened to for as long as it likes.
#[test]
fn a_client_that_floods() {
    let front = closed_to_all("timeouts.close = \"1m\"");
    let mut client = front.send(Ask::new().bytes());
    expect_told(&mut client, 3003, "address");
    let since = Instant::now();
    let frame = client_frame(0x82, &[7; 60_000]);
    let mut sent = 0;
    while client.stream.write_all(&frame).is_ok() {
        sent += frame.len();
    }
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    println!("a flood of {sent} bytes was cut off");
}

/// TLS ends in order too: no client takes the end for an attack.
#[test]
fn under_tls() {
    let authority = Authority::new();
    authority.sign(&["gateway.test"]);
    let listener = authority.listener(&["gateway.test"], "");
    let front = Front::configured(&format!(
        "{listener}[[route]]\nbackend = \"BACKEND\"\n{CLOSE}\naccess.deny = [\"127.0.0.0/8\"]\n"
    ));
    let mut client = authority.client().connect(front.gateway.address(), "gateway.test").unwrap();
    client.send(Ask::new().bytes());
    expect_told(&mut client, 3003, "address");
    client.send(farewell(3003));
    client.expect_end();
    expect_told_in_log(&front, 403, 3003, "address");
}

/// A crowd gets the status: only so many at a time are seen off in person.
#[test]
fn a_crowd_gets_the_status() {
    const CROWD: usize = 300;
    let mut front = closed_to_all("timeouts.close = \"1m\"");
    let since = Instant::now();
    let clients: Vec<_> = (0..CROWD).map(|_| front.send(Ask::new().bytes())).collect();
    let mut told = Vec::new();
    for mut client in clients {
        let head = client.head();
        if head.starts_with("HTTP/1.1 101 ") {
            assert_eq!(client.expect_close(3003), "address");
            told.push(client);
        } else {
            assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
            assert_eq!(values(&head, "x-framegate-cause"), ["address"]);
        }
    }
    let allowed = 200.0 + 100.0 * since.elapsed().as_secs_f64() + 1.0;
    assert!((200..=256).contains(&told.len()) && told.len() as f64 <= allowed, "{} of {allowed}", told.len());
    // Each has a minute. Once they are gone nothing holds the process.
    drop(told);
    front.gateway.signal("TERM");
    assert_eq!(front.gateway.exit_code(), Some(0));
}

/// What an auth server answered is told by the code that says most of it, and what it did not answer by "later".
#[test]
fn what_an_auth_server_said() {
    let auth = Backend::start();
    let front = Front::new(&format!(
        "access.forward_auth = {{ url = \"http://{}/\", timeout = \"3s\" }}\n{CLOSE}",
        auth.address
    ));
    for (answer, status, code, cause) in [
        ("401 Unauthorized", 401, 3000, "auth_refused"),
        ("403 Forbidden", 403, 3003, "auth_refused"),
        ("302 Found", 302, 1008, "auth_refused"),
        ("500 Oh", 500, 1013, "auth_failed"),
        ("garbage", 502, 1013, "auth_answer"),
        ("", 504, 1013, "auth_timeout"),
    ] {
        let mut client = front.send(Ask::new().bytes());
        let mut server = auth.accept();
        server.head();
        match answer {
            "" => {}
            "garbage" => server.send("garbage\r\n\r\n"),
            answer => server
                .send(format!("HTTP/1.1 {answer}\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\n\r\nnot today")),
        }
        expect_told(&mut client, code, cause);
        client.send(farewell(code));
        client.expect_end();
        expect_told_in_log(&front, status, code, cause);
    }
    // A plain request gets the answer as it is.
    let mut client = front.send(Ask::plain().bytes());
    let mut server = auth.accept();
    server.head();
    server.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

/// Seats and rates; and whoever is turned away by a Close holds no seat of the route.
#[test]
fn seats_and_rates() {
    let front = Front::routes(&format!(
        "[[route]]\npath = \"/seats\"\nbackend = \"BACKEND\"\n{CLOSE}\nlimits.max_connections = 1\n\
         [[route]]\npath = \"/own\"\nbackend = \"BACKEND\"\n{CLOSE}\nlimits.max_connections_per_ip = 1\n\
         [[route]]\npath = \"/rate\"\nbackend = \"BACKEND\"\n{CLOSE}\n\
         rate.handshakes = {{ per_second = 1, burst = 1 }}\n"
    ));
    for (path, status, code, cause) in [
        ("/seats", 503, 1013, "limit.route"),
        ("/own", 503, 1013, "limit.address"),
        ("/rate", 429, 1008, "rate.handshakes"),
    ] {
        let ask = Ask::new().target(path);
        let (_, mut inside, mut server) = front.expect_admitted(&ask);
        let mut outside = front.send(ask.bytes());
        expect_told(&mut outside, code, cause);
        expect_told_in_log(&front, status, code, cause);
        if path != "/rate" {
            // Still lingering, while the one that was inside leaves.
            inside.send(farewell(1000));
            assert_eq!(server.expect_close(1000), "");
            server.send(server_frame(0x88, &close_payload(1000, "")));
            inside.expect_close(1000);
            drop((inside, server));
            front.gateway.expect_ended("client", "closed");
            front.expect_admitted(&ask);
            front.gateway.expect_ended("client", "client_lost");
        }
        outside.send(farewell(code));
        outside.expect_end();
    }
}

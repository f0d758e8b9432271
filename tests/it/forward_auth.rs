//! `forward_auth`: who is asked what, what becomes of each answer, and of none.

use crate::support::*;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// A front whose one route asks an auth server, which is in the hands of the test too.
struct Gate {
    front: Front,
    auth: Backend,
}

const YES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

impl Gate {
    /// With more keys for `forward_auth`, and more TOML for the route.
    fn new(keys: &str, route: &str) -> Gate {
        let auth = Backend::start();
        let access = format!(
            "access.forward_auth = {{ url = \"http://{}/check?key=s3cret\", {keys} }}\n{route}",
            auth.address
        );
        Gate { front: Front::new(&access), auth }
    }

    /// Sends the request and answers the question about it. The client, the question, and the server's end of it.
    fn answered(&self, ask: &Ask, answer: impl AsRef<[u8]>) -> (Raw, String, Raw) {
        let client = self.front.send(ask.bytes());
        let mut server = self.auth.accept();
        let question = server.head();
        server.send(answer);
        (client, question, server)
    }

    /// A session whose question gets this answer. The question, and the request as the backend gets it.
    fn admitted(&self, ask: &Ask, answer: &str) -> (String, String, Ends) {
        let (mut client, question, mut server) = self.answered(ask, answer);
        let (forwarded, backend) = self.front.backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // A connection a question, and it is over.
        server.expect_end();
        (question, forwarded, Ends { client, server: backend })
    }

    fn expect_turned_away(&self, mut client: Raw, status: u16, cause: &str) -> Value {
        expect_refusal(&mut client, status, cause);
        let line = self.front.expect_refused_in_log(status, cause);
        assert_eq!(line["level"], "WARN");
        let detail = line["detail"].as_str().unwrap();
        let server = format!("asking http://{}/check: ", self.auth.address);
        assert!(detail.starts_with(&server), "{detail}");
        assert!(!line.to_string().contains("s3cret"), "{line}");
        line
    }
}

#[test]
fn the_question_is_the_handshake_in_other_words() {
    let gate = Gate::new("", "");
    let ask = Ask::new().target("/a/../room?token=%20x").with(&[
        "Cookie: id=1",
        "Authorization: Bearer abc",
        "Sec-WebSocket-Protocol: chat, mqtt",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Connection: Upgrade, X-Hop",
        "X-Hop: 1",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Uri: /public",
        "X_Forwarded_Uri: /public",
        "X-Forwarded-Method: POST",
        "X-Request-Id: id-7",
    ]);
    let (question, forwarded, _ends) = gate.admitted(&ask, YES);
    assert!(question.starts_with("GET /check?key=s3cret HTTP/1.1\r\n"), "{question}");
    for (name, expected) in [
        ("host", &*gate.auth.address.to_string()),
        ("cookie", "id=1"),
        ("authorization", "Bearer abc"),
        ("sec-websocket-protocol", "chat, mqtt"),
        ("x-mirror", "zzmirror"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "gateway.test"),
        // What is judged is what is served.
        ("x-forwarded-uri", "/room?token=%20x"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-request-id", "id-7"),
        ("connection", "close"),
    ] {
        assert_eq!(values(&question, name), [expected], "{name}: {question}");
    }
    assert!(forwarded.starts_with("GET /room?token=%20x HTTP/1.1\r\n"), "{forwarded}");
    for gone in [
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
        "x-hop",
        "x_forwarded_uri",
        "content-length",
        "transfer-encoding",
    ] {
        assert!(values(&question, gone).is_empty(), "{gone}: {question}");
    }
}

#[test]
fn a_target_in_any_letters_is_asked_about() {
    let gate = Gate::new("", "");
    let mut client = gate.front.send(Ask::new().target("/?q=é").bytes());
    let mut server = gate.auth.accept();
    let question = server.head();
    assert_eq!(values(&question, "x-forwarded-uri"), ["/?q=é"]);
    server.send(YES);
    let _backend = gate.front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn what_the_answer_says_of_the_client_reaches_the_backend_and_nothing_else_does() {
    let gate = Gate::new("copy_headers = [\"X-User\", \"X-Groups\", \"Authorization\"]", "");
    // The client's copies, in every spelling, and nominated to be taken away on the way.
    let ask = Ask::new().with(&[
        "X-User: root",
        "x_user: root",
        "X_GROUPS: wheel",
        "Authorization: Bearer client",
        "Connection: Upgrade, X-User, X-Groups",
    ]);
    let says = "HTTP/1.1 204 No Content\r\nX-User: ann\r\nX-Groups: a\r\nx-groups: b\r\nX-Other: 1\r\n\r\n";
    let (question, forwarded, _ends) = gate.admitted(&ask, says);
    assert_eq!(values(&question, "authorization"), ["Bearer client"]);
    assert_eq!(values(&forwarded, "x-user"), ["ann"]);
    assert_eq!(values(&forwarded, "x-groups"), ["a", "b"]);
    for gone in ["x_user", "x_groups", "authorization", "x-other"] {
        assert!(values(&forwarded, gone).is_empty(), "{gone}: {forwarded}");
    }
    // An answer that says nothing leaves nothing to be believed.
    let (_, forwarded, _ends) = gate.admitted(&ask, YES);
    for gone in ["x-user", "x_user", "x-groups", "x_groups", "authorization"] {
        assert!(values(&forwarded, gone).is_empty(), "{gone}: {forwarded}");
    }
}

#[test]
fn any_answer_but_2xx_is_the_clients_to_read() {
    let gate = Gate::new("copy_headers = [\"x-user\"]", "");
    for (answer, status, body_sent, cause) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nwww-authenticate: Bearer\r\n\
             Set-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nnope",
            "401 Unauthorized",
            "nope",
            "auth_refused",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://login.test/?back=a\r\nContent-Length: 0\r\n\r\n",
            "302 Found",
            "",
            "auth_refused",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
            "403 Forbidden",
            "abcdefg",
            "auth_refused",
        ),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "304 Not Modified", "", "auth_refused"),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nX-User: ann\r\nContent-Length: 0\r\n\r\n",
            "429 Too Many Requests",
            "",
            "auth_refused",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            "426 Upgrade Required",
            "",
            "auth_refused",
        ),
        (
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
            "500 Internal Server Error",
            "oops",
            "auth_failed",
        ),
        (
            "HTTP/1.0 503 Service Unavailable\r\n\r\nto the end of the stream",
            "503 Service Unavailable",
            "to the end of the stream",
            "auth_failed",
        ),
    ] {
        let (mut client, _, mut server) = gate.answered(&Ask::new().behind(text("early")), answer);
        if answer.starts_with("HTTP/1.0") {
            server.finish();
        }
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{status}: {head}");
        for name in ["www-authenticate", "set-cookie", "location", "retry-after", "content-type"] {
            assert_eq!(values(&head, name), values(answer.split("\r\n\r\n").next().unwrap(), name), "{name}");
        }
        for gone in ["upgrade", "x-user", "transfer-encoding", "x-framegate-cause"] {
            assert!(values(&head, gone).is_empty(), "{gone}: {head}");
        }
        assert_eq!(values(&head, "connection"), ["close"]);
        assert_eq!(String::from_utf8(client.rest()).unwrap(), body_sent, "{status}");
        server.expect_end();
        let line = gate.front.expect_refused_in_log(status[..3].parse().unwrap(), cause);
        let level = if cause == "auth_failed" { "WARN" } else { "INFO" };
        assert_eq!((line["level"].as_str(), line["route"].as_str()), (Some(level), Some("test")));
        assert!(line["detail"].as_str().unwrap().ends_with(&status[..3]), "{line}");
        assert!(!line.to_string().contains("s3cret"), "{line}");
    }
}

#[test]
fn a_large_page_to_log_in_at_and_one_that_is_too_large() {
    let gate = Gate::new("", "");
    let page = |size: usize| {
        format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {size}\r\n\r\n{}", "a".repeat(size))
    };
    let (mut client, _, _) = gate.answered(&Ask::new(), page(64 * 1024));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert_eq!(client.rest().len(), 64 * 1024);
    gate.front.expect_refused_in_log(401, "auth_refused");
    for framing in [format!("Content-Length: {}", 1 << 30), "Transfer-Encoding: chunked".into()] {
        let client = gate.front.send(Ask::new().bytes());
        let mut server = gate.auth.accept();
        server.head();
        server.send(format!("HTTP/1.1 401 Unauthorized\r\n{framing}\r\n\r\n"));
        // As much as it takes: without a bound this would go on until the deadline.
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        while server.stream.write_all(chunk.as_bytes()).is_ok() {}
        let line = gate.expect_turned_away(client, 502, "auth_answer");
        assert!(line["detail"].as_str().unwrap().contains("longer than 65536 bytes"), "{line}");
    }
}

#[test]
fn answers_that_cannot_be_understood_admit_nobody() {
    let gate = Gate::new("", "");
    let large_head = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(1 << 20));
    for answer in [
        "hello\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2OO OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nFramegate-Session-TTL: soon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nFramegate-Session-TTL: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nFramegate-Session-TTL: 9\r\nFramegate-Session-TTL: 9\r\nContent-Length: 0\r\n\r\n",
        &large_head,
    ] {
        let client = gate.front.send(Ask::new().bytes());
        let mut server = gate.auth.accept();
        server.head();
        // Of a head without end not everything is taken.
        let _ = server.stream.write_all(answer.as_bytes());
        gate.expect_turned_away(client, 502, "auth_answer");
        server.expect_end();
    }
}

#[test]
fn a_server_that_hangs_up_admits_nobody() {
    let gate = Gate::new("", "");
    for half in ["", "HTTP/1.1 200 O", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nhalf"] {
        for leave in [drop, Raw::reset] {
            let (client, _, server) = gate.answered(&Ask::new(), half);
            leave(server);
            gate.expect_turned_away(client, 502, "auth_answer");
        }
    }
    // Before it has read the question, or even before the connection is known to be there.
    let mut client = gate.front.send(Ask::new().bytes());
    gate.auth.accept().reset();
    assert!(client.head().starts_with("HTTP/1.1 502 "));
    gate.front.backend.expect_no_contact();
}

const IMPATIENT: &str = "timeout = \"600ms\"";

/// Sends `piece` again and again, a few milliseconds apart, until the connection ends.
fn drip(mut server: Raw, piece: &'static [u8]) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        // There is nothing to read before the end.
        server.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        loop {
            let sent = server.stream.write_all(piece);
            let read = server.stream.read(&mut [0; 16]);
            if sent.is_err() || read.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true) {
                return;
            }
        }
    })
}

#[test]
fn a_server_that_takes_too_long_admits_nobody() {
    let gate = Gate::new(IMPATIENT, "");
    let in_time = |client: Raw, started: Instant| {
        gate.expect_turned_away(client, 504, "auth_timeout");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(600) && took < AT_ONCE, "{took:?}");
    };
    for half in [
        "",
        "HTTP/1.1 200 OK\r\nX-User: ann\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let started = Instant::now();
        let (client, _, mut server) = gate.answered(&Ask::new(), half);
        in_time(client, started);
        server.expect_end();
    }
    for (begin, piece) in [
        ("HTTP/1.1 200 OK\r\nX: ", &b"a"[..]),
        ("", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        ("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ] {
        let started = Instant::now();
        let (client, _, server) = gate.answered(&Ask::new(), begin);
        let dripping = drip(server, piece);
        in_time(client, started);
        dripping.join().unwrap();
    }
}

#[test]
fn a_server_that_cannot_be_reached_admits_nobody() {
    for (url, detail) in [
        ("http://127.0.0.1:1/check", "cannot connect to http://127.0.0.1:1/check"),
        ("http://auth.invalid/check", "cannot resolve auth.invalid"),
    ] {
        // Where there is no resolver at all it takes a while to find out.
        let front = Front::new(&format!("access.forward_auth = {{ url = \"{url}\", timeout = \"15s\" }}"));
        for ask in [Ask::new(), Ask::plain()] {
            let (_, line) = front.expect_refused(&ask, 502, "auth_unreachable");
            let said = line["detail"].as_str().unwrap();
            assert!(said.starts_with(&format!("asking {url}: {detail}")), "{said}");
        }
    }
}

#[test]
fn the_body_of_a_yes_is_not_waited_for() {
    let gate = Gate::new("", "");
    for endless in ["Content-Length: 1073741824\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\nnot a chunk"]
    {
        gate.admitted(&Ask::new(), &format!("HTTP/1.1 200 OK\r\n{endless}"));
    }
}

#[test]
fn interim_answers_decide_nothing() {
    let gate = Gate::new("", "");
    let interim = "HTTP/1.1 103 Early Hints\r\nX-User: root\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    gate.admitted(&Ask::new(), &format!("{interim}{YES}"));
    let (mut client, _, _) =
        gate.answered(&Ask::new(), format!("{interim}HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 403 "));
    gate.front.expect_refused_in_log(403, "auth_refused");
}

#[test]
fn a_client_that_does_not_wait_takes_the_question_with_it() {
    let gate = Gate::new("timeout = \"1m\"", "");
    type Leave = fn(Raw);
    let ways: [Leave; 3] = [drop, Raw::reset, |client| client.finish()];
    for leave in ways {
        for half in ["", "HTTP/1.1 200 OK\r\nX-User", "HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nhalf"] {
            let (client, _, mut server) = gate.answered(&Ask::new(), half);
            let left = Instant::now();
            leave(client);
            server.expect_end();
            assert!(left.elapsed() < AT_ONCE);
        }
    }
    gate.front.backend.expect_no_contact();
}

#[test]
fn a_session_ends_with_the_time_it_was_admitted_for() {
    let gate = Gate::new("", "");
    let short = "HTTP/1.1 200 OK\r\nFramegate-Session-TTL: 2\r\nContent-Length: 0\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\nFramegate-Session-TTL: 3600\r\nContent-Length: 0\r\n\r\n";
    let started = Instant::now();
    let (_, _, mut ends) = gate.admitted(&Ask::new(), short);
    let (_, _, mut others) = gate.admitted(&Ask::new(), long);
    ends.exchange("hi");
    assert_eq!(ends.client.expect_close(3000), "auth.expired");
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    ends.client.send(client_frame(0x88, &close_payload(3000, "")));
    assert_eq!(ends.server.expect_close(1001), "auth.expired");
    drop(ends);
    let line = gate.front.gateway.expect_ended("gateway", "auth.expired");
    assert_eq!(line["code"], 3000);
    others.exchange("still here");
    // An end that is due later does not keep a drain from ending the session now.
    gate.front.gateway.signal("TERM");
    assert_eq!(others.client.expect_close(1012), "drain");
}

#[test]
fn plain_requests_are_asked_about_too() {
    let gate = Gate::new("copy_headers = [\"x-user\"]", "");
    let post = Ask::plain().line("POST /poll?sid=1 HTTP/1.1").with(&["Content-Length: 4", "X-User: root"]);
    let (mut client, question, mut asked) =
        gate.answered(&post.clone().behind("body"), "HTTP/1.1 200 OK\r\nX-User: ann\r\n\r\n");
    assert!(question.starts_with("GET /check?key=s3cret HTTP/1.1\r\n"), "{question}");
    assert_eq!(values(&question, "x-forwarded-method"), ["POST"]);
    assert_eq!(values(&question, "x-forwarded-uri"), ["/poll?sid=1"]);
    for gone in ["content-length", "transfer-encoding"] {
        assert!(values(&question, gone).is_empty(), "{gone}: {question}");
    }
    asked.expect_end();
    let mut server = gate.front.backend.accept();
    let forwarded = server.head();
    assert_eq!(values(&forwarded, "x-user"), ["ann"]);
    server.expect("body");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let head = client.head();
    assert_eq!(body(&mut client, &head), b"ok");

    // The same client's next request is a question of its own.
    client.send(post.clone().behind("body").bytes());
    let mut asked = gate.auth.accept();
    asked.head();
    asked.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert_eq!(client.rest(), b"nope");
    gate.front.expect_refused_in_log(401, "auth_refused");
    // The connection that was kept for the client is given up unused.
    server.expect_end();

    let (mut client, _, _) = gate.answered(
        &Ask::plain().line("HEAD / HTTP/1.1"),
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope",
    );
    assert!(client.head().starts_with("HTTP/1.1 403 "));
    assert_eq!(client.rest(), b"");
}

#[test]
fn nobody_is_asked_about_what_is_refused_anyway() {
    let gate = Gate::new("", "http = \"reject\"\norigin.allow_missing = false");
    gate.front.expect_refused(&Ask::new(), 403, "origin");
    gate.front.expect_refused(&Ask::new().also("Origin: https://evil.test"), 403, "origin");
    gate.front.expect_refused(&Ask::plain(), 426, "not_upgrade");
    gate.auth.expect_no_contact();
}

#[test]
fn each_route_asks_its_own_server_or_none() {
    let (one, other) = (Backend::start(), Backend::start());
    let front = Front::routes(&format!(
        "[[route]]\npath = \"/one\"\nbackend = \"BACKEND\"\naccess.forward_auth = {{ url = \"http://{}\" }}\n\
         [[route]]\npath = \"/other\"\nbackend = \"BACKEND\"\naccess.forward_auth = {{ url = \"http://{}\" }}\n\
         [[route]]\nbackend = \"BACKEND\"\n",
        one.address, other.address
    ));
    for (target, auth) in [("/one", &one), ("/other", &other)] {
        let mut client = front.send(Ask::new().target(target).bytes());
        let mut server = auth.accept();
        assert!(server.head().starts_with("GET / HTTP/1.1\r\n"));
        server.send(YES);
        let _backend = front.backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
    }
    front.expect_admitted(&Ask::new().target("/free"));
    one.expect_no_contact();
    other.expect_no_contact();
}

/// A front that asks over TLS.
fn over_tls(auth: &Backend, tls: &str, more: &str) -> Front {
    Front::new(&format!(
        "[route.access.forward_auth]\nurl = \"https://localhost:{}/check\"\n{more}\n[route.access.forward_auth.tls]\n{tls}",
        auth.address.port()
    ))
}

#[test]
fn the_question_over_tls() {
    let (authority, strangers, auth) = (Authority::new(), Authority::new(), Backend::start());
    authority.sign(&["localhost"]);
    strangers.sign(&["localhost"]);
    let front = over_tls(&auth, &format!("ca = \"{}\"", authority.path("ca.pem").display()), "");
    let mut client = front.send(Ask::new().bytes());
    let mut server = authority.serve(auth.accept(), "localhost");
    let question = server.head();
    assert_eq!(values(&question, "host"), [format!("localhost:{}", auth.address.port())]);
    server.send(YES);
    let _backend = front.backend.accept_upgrade(b"");
    assert!(client.head().starts_with("HTTP/1.1 101 "));

    // Not a byte of the question to somebody who only says that it is the server.
    let mut client = front.send(Ask::new().bytes());
    let mut server = strangers.serve(auth.accept(), "localhost");
    let seen = server.stream.read(&mut [0; 16]);
    assert!(seen.is_err() || seen.unwrap() == 0);
    expect_refusal(&mut client, 502, "auth_unreachable");
    let line = front.expect_refused_in_log(502, "auth_unreachable");
    assert!(line["detail"].as_str().unwrap().contains("TLS with https://localhost"), "{line}");

    // TLS is under the same deadline, and so is finding the address, which has to be quicker.
    let front = over_tls(&auth, "verify = \"accept-any-certificate\"", "timeout = \"3s\"");
    let mut client = front.send(Ask::new().bytes());
    let mut server = auth.accept();
    expect_refusal(&mut client, 504, "auth_timeout");
    assert_eq!(server.rest().first(), Some(&0x16), "a hello, and the end");
}

/// Every way to fail, many times over: no descriptor is left behind, and the next one is admitted.
#[test]
fn nothing_is_left_of_a_question() {
    let gate = Gate::new("timeout = \"5s\"", "");
    gate.admitted(&Ask::new(), YES);
    gate.front.gateway.ended();
    let before = gate.front.gateway.descriptors();
    for _ in 0..40 {
        for answer in [
            "garbage\r\n\r\n",
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ] {
            let (mut client, _, mut server) = gate.answered(&Ask::new(), answer);
            assert!(!client.head().starts_with("HTTP/1.1 101 "));
            server.expect_end();
        }
        // It hangs, and its client goes away; it is reset; both at once.
        let (client, _, mut server) = gate.answered(&Ask::new(), "HTTP/1.1 200 OK\r\n");
        drop(client);
        server.expect_end();
        let (mut client, _, server) = gate.answered(&Ask::new(), "");
        server.reset();
        assert!(client.head().starts_with("HTTP/1.1 502 "));
        let (client, _, server) = gate.answered(&Ask::new(), "");
        server.reset();
        client.reset();
    }
    gate.front.backend.expect_no_contact();
    let deadline = Instant::now() + SOON;
    while gate.front.gateway.descriptors() != before {
        let now = gate.front.gateway.descriptors();
        assert!(Instant::now() < deadline, "{now} descriptors, {before} before");
        std::thread::yield_now();
    }
    gate.admitted(&Ask::new(), YES).2.exchange("hi");
}

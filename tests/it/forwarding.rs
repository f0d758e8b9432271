//! What crosses the gateway in a handshake, in both directions, byte for byte where it matters.

use crate::support::*;

/// A front that believes the proxy in front of it, which the test is.
fn behind_a_proxy() -> Front {
    Front::configured(
        "trusted_proxies = [\"127.0.0.1\"]\n[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nbackend = \"BACKEND\"\n",
    )
}

#[test]
fn a_clients_spelling_reaches_the_backend() {
    let front = Front::new("");
    let sent = [
        "x-ODD-Header: a",
        "COOKIE: b=1; c=2",
        "X-odd-HEADER: A",
        "Sec-Websocket-Protocol: chat.v2, chat.v1",
        "sec-websocket-PROTOCOL: mqtt",
        "User-Agent:  two  spaces  inside ",
        "authorization: Bearer abc",
        "Accept-Encoding: gzip",
    ];
    let mut ask = Ask::new().without("Sec-WebSocket-Key").also(&format!("SEC-websocket-key: {KEY}"));
    for line in sent {
        ask = ask.also(line);
    }
    let forwarded = front.forwarded(&ask);
    let named = |name: &str| -> Vec<(&str, &str)> {
        fields(&forwarded).into_iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).collect()
    };
    assert_eq!(named("x-odd-header"), [("x-ODD-Header", "a"), ("X-odd-HEADER", "A")]);
    assert_eq!(
        named("sec-websocket-protocol"),
        [("Sec-Websocket-Protocol", "chat.v2, chat.v1"), ("sec-websocket-PROTOCOL", "mqtt")]
    );
    assert_eq!(named("cookie"), [("COOKIE", "b=1; c=2")]);
    assert_eq!(named("user-agent"), [("User-Agent", "two  spaces  inside")]);
    assert_eq!(named("authorization"), [("authorization", "Bearer abc")]);
    assert_eq!(named("sec-websocket-key"), [("SEC-websocket-key", KEY)]);
    assert_eq!(named("sec-websocket-version"), [("Sec-WebSocket-Version", "13")]);
    assert_eq!(named("host"), [("Host", "gateway.test")]);
    assert_eq!(named("connection"), [("Connection", "Upgrade")]);
    assert_eq!(named("upgrade"), [("Upgrade", "websocket")]);
    assert!(forwarded.starts_with("GET /?zzmirror HTTP/1.1\r\n"), "{forwarded}");
}

#[test]
fn a_backends_spelling_reaches_the_client() {
    let front = Front::new("");
    for accept in
        ["Sec-WebSocket-Accept", "SEC-websocket-accept", "sec-websocket-accept", "Sec-Websocket-Accept"]
    {
        let mut client = front.send(Ask::new().also("Sec-WebSocket-Protocol: b, a").bytes());
        let mut server = front.backend.accept();
        server.head();
        let answer = Ask::switching().without("Sec-WebSocket-Accept");
        let answer = answer.also(&format!("{accept}: {ACCEPT}")).also("SERVER: odd").also("Set-Cookie: a=1");
        server.send(answer.also("sec-WEBSOCKET-protocol: a").also("set-COOKIE: b=2; Path=/").bytes());
        let head = client.head();
        let fields = fields(&head);
        for line in [
            (accept, ACCEPT),
            ("sec-WEBSOCKET-protocol", "a"),
            ("SERVER", "odd"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
        ] {
            assert_eq!(fields.iter().filter(|field| **field == line).count(), 1, "{line:?} in {head}");
        }
        let cookies: Vec<_> =
            fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).collect();
        assert_eq!(cookies, [&("Set-Cookie", "a=1"), &("set-COOKIE", "b=2; Path=/")]);
        assert_eq!(fields.len(), 7, "{head}");
    }
}

#[test]
fn hop_by_hop_headers_stop_here() {
    let front = Front::new("");
    let ask = Ask::new().without("Connection").with(&[
        "Connection: keep-alive, Upgrade, X-Secret, Sec-WebSocket-Key, Host",
        "+connection: x-more, X-Forwarded-For, X-Request-Id",
        "X-Secret: 1",
        "X-More: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic x",
        "TE: trailers",
        "Trailer: x",
        "HTTP2-Settings: AAMAAABk",
        "X-Kept: 1",
    ]);
    let forwarded = front.forwarded(&ask);
    for gone in [
        "x-secret",
        "x-more",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "http2-settings",
        "transfer-encoding",
        "content-length",
    ] {
        assert!(values(&forwarded, gone).is_empty(), "{gone}: {forwarded}");
    }
    assert_eq!(values(&forwarded, "connection"), ["Upgrade"]);
    assert_eq!(values(&forwarded, "sec-websocket-key"), [KEY]);
    assert_eq!(values(&forwarded, "host"), ["gateway.test"]);
    assert_eq!(values(&forwarded, "x-kept"), ["1"]);
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&forwarded, "x-request-id").len(), 1);
}

#[test]
fn hop_by_hop_headers_of_a_101_stop_here_too() {
    let front = Front::new("");
    let mut client = front.send(Ask::new().bytes());
    let mut server = front.backend.accept();
    server.head();
    let answer =
        Ask::switching().with(&["Connection: keep-alive, upgrade, X-Hop", "X-Hop: 1", "Keep-Alive: 5"]);
    server.send(answer.with(&["Content-Length: 3", "Transfer-Encoding: chunked"]).bytes());
    server.send(server_frame(0x82, b"abc"));
    let head = client.head();
    for gone in ["x-hop", "keep-alive", "content-length", "transfer-encoding"] {
        assert!(values(&head, gone).is_empty(), "{gone}: {head}");
    }
    assert_eq!(values(&head, "connection"), ["Upgrade"]);
    client.expect(server_frame(0x82, b"abc"));
}

const LIES: [&str; 9] = [
    "X-Forwarded-For: 6.6.6.6",
    "x-forwarded-for: 7.7.7.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 1",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6",
    "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded_Proto: https",
];

#[test]
fn an_untrusted_clients_word_is_replaced() {
    let front = Front::new("");
    let mut ask = Ask::new();
    for lie in LIES {
        ask = ask.also(lie);
    }
    let (forwarded, _client, _server) = front.expect_admitted(&ask);
    let port = front.gateway.address().port().to_string();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "gateway.test"),
        ("x-forwarded-port", port.as_str()),
        ("forwarded", "for=127.0.0.1;host=gateway.test;proto=http"),
    ] {
        assert_eq!(values(&forwarded, name), [value], "{name}");
    }
    for gone in ["x-real-ip", "x_forwarded_for", "x-forwarded_proto"] {
        assert!(values(&forwarded, gone).is_empty(), "{gone}");
    }
    assert!(!forwarded.contains("6.6.6.6") && !forwarded.contains("evil"), "{forwarded}");
    assert_eq!(front.opened()["client"], "127.0.0.1");
}

#[test]
fn a_trusted_proxys_word_stands_and_grows() {
    let front = behind_a_proxy();
    let ask = Ask::new().with(&[
        "X-Forwarded-For: 6.6.6.6, 192.0.2.9",
        "X-Forwarded-Proto: wss",
        "X-Forwarded-Host: public.test",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 192.0.2.9",
        "Forwarded: for=192.0.2.9;proto=https",
    ]);
    let forwarded = front.forwarded(&ask);
    for (name, value) in [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.test"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "192.0.2.9"),
        ("forwarded", "for=192.0.2.9;proto=https, for=127.0.0.1;host=gateway.test;proto=http"),
        ("host", "gateway.test"),
    ] {
        assert_eq!(values(&forwarded, name), [value], "{name}");
    }
    assert_eq!(front.opened()["client"], "192.0.2.9");
    let (_, line) = front.expect_refused(&ask.with(&["Sec-WebSocket-Version: 8"]), 426, "version");
    assert_eq!(line["client"], "192.0.2.9");
    let forwarded = front.forwarded(&Ask::new());
    assert_eq!(values(&forwarded, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&forwarded, "x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn one_request_id_for_the_backend_and_both_lines() {
    let front = Front::new("");
    let mut made = Vec::new();
    for given in
        [None, Some("abc-1.2:3_X"), Some("two words"), Some("\u{e9}"), Some(&*"a".repeat(65)), Some("")]
    {
        let mut ask = Ask::new();
        if let Some(given) = given {
            ask = ask.also(&format!("X-Request-Id: {given}"));
        }
        let (forwarded, client, server) = front.expect_admitted(&ask);
        let ids = values(&forwarded, "x-request-id");
        let [id] = ids[..] else { panic!("{forwarded}") };
        match given {
            Some(fit @ "abc-1.2:3_X") => assert_eq!(id, fit),
            _ => {
                assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
                made.push(id.to_string());
            }
        }
        assert_eq!(front.opened()["id"], id);
        drop((client, server));
        assert_eq!(front.gateway.ended()["id"], id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5);
}

#[test]
fn a_trace_passes_and_stands_in_every_line() {
    let front = Front::new("");
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (line, logged) in
        [(format!("00-{id}-00f067aa0ba902b7-01"), Some(id)), (format!("00-{id}-evil\"-01"), None)]
    {
        let ask = Ask::new().also(&format!("traceparent: {line}")).also("tracestate: a=b");
        let (forwarded, client, server) = front.expect_admitted(&ask);
        assert_eq!(values(&forwarded, "traceparent"), [line.as_str()]);
        assert_eq!(values(&forwarded, "tracestate"), ["a=b"]);
        assert_eq!(front.opened()["trace"].as_str(), logged);
        drop((client, server));
        assert_eq!(front.gateway.ended()["trace"].as_str(), logged);
        front.send(ask.also("Origin: https://elsewhere.test").bytes()).head();
        assert_eq!(front.gateway.refused()["trace"].as_str(), logged);
    }
}

/// Who set up a collector is to learn why it hears nothing.
#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_spans_says_so() {
    let backend = Backend::start();
    let config =
        format!("[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n", backend.url());
    let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let gateway = Gateway::start_with_environment(&set, &config);
    let line = gateway.wait_for("no spans", |line| line["name"] == set[0].0);
    assert!(line["message"].as_str().unwrap().contains("built without the feature otlp"), "{line:#}");
}

#[test]
fn no_secret_in_the_log() {
    let front = Front::new("");
    let ask = Ask::new().target("/room?token=hush1&hush2").with(&[
        "Cookie: session=hush3",
        "Authorization: Bearer hush4",
        "Sec-WebSocket-Protocol: bearer.hush5",
    ]);
    let mut client = front.send(ask.bytes());
    let mut server = front.backend.accept();
    server.head();
    server.send(Ask::switching().also("Sec-WebSocket-Protocol: bearer.hush5").bytes());
    assert!(client.head().contains("Sec-WebSocket-Protocol: bearer.hush5\r\n"));
    let opened = front.opened();
    assert_eq!(opened["path"], "/room?token=…&…");
    drop((client, server));
    let ended = front.gateway.ended();
    let (_, refused) = front.expect_refused(&ask.with(&["Sec-WebSocket-Version: 8"]), 426, "version");
    for line in [opened, ended, refused] {
        assert!(!line.to_string().contains("hush") && !line.to_string().contains(KEY), "{line:#}");
    }
}

#[test]
fn a_routes_own_edits() {
    let front = Front::routes(
        "[[route]]\npath = \"/keep\"\nbackend = \"BACKEND\"\n\
         headers.request = { set = { \"X-Tenant\" = \"a\", \"x-real-ip\" = \"set\" }, remove = [\"Cookie\"] }\n\
         headers.response = { set = { \"X-Served\" = \"yes\" }, remove = [\"server\"] }\n\
         [[route]]\npath = \"/backend\"\nbackend = \"BACKEND\"\nheaders.host = \"backend\"\n\
         [[route]]\npath = \"/literal\"\nbackend = \"BACKEND\"\nheaders.host = \"inner.test:81\"\n",
    );
    let ask = Ask::new().with(&["Cookie: a=1", "+cookie: b=2", "x-tenant: z", "+X-Tenant: y"]);
    let mut client = front.send(ask.clone().target("/keep").bytes());
    let mut server = front.backend.accept();
    let forwarded = server.head();
    assert_eq!(values(&forwarded, "x-tenant"), ["a"]);
    assert_eq!(values(&forwarded, "x-real-ip"), ["set"]);
    assert!(values(&forwarded, "cookie").is_empty());
    server.send(Ask::switching().with(&["Server: secret/1.0", "X-Served: no", "+x-served: never"]).bytes());
    let head = client.head();
    assert!(values(&head, "server").is_empty());
    assert_eq!(values(&head, "x-served"), ["yes"]);

    let forwarded = front.forwarded(&ask.clone().target("/backend"));
    assert_eq!(values(&forwarded, "host"), [front.backend.address.to_string()]);
    assert_eq!(values(&forwarded, "x-forwarded-host"), ["gateway.test"]);
    let forwarded = front.forwarded(&ask.target("/literal"));
    assert_eq!(values(&forwarded, "host"), ["inner.test:81"]);
    assert_eq!(values(&forwarded, "cookie"), ["a=1", "b=2"]);
}

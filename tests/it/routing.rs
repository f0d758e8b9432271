//! Which route takes a request, and the path that the backend then sees: what is matched is what is forwarded.

use crate::support::*;

/// A route of this name and with these keys.
fn route(name: &str, keys: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nbackend = \"BACKEND\"\n{keys}\n")
}

fn target_of(forwarded: &str) -> &str {
    forwarded.split(' ').nth(1).unwrap()
}

#[test]
fn one_path_is_matched_and_forwarded() {
    let front = Front::routes(&route("app", "path = \"/app/*\""));
    for (asked, forwarded) in [
        ("/app", "/app"),
        ("/app/", "/app/"),
        ("/app/a/../b", "/app/b"),
        ("/app/./a", "/app/a"),
        ("/x/../app/a", "/app/a"),
        ("//app///a", "/app/a"),
        ("/app/%61%7E", "/app/a~"),
        ("/%61pp/a", "/app/a"),
        ("/app/a%c3%a9", "/app/a%C3%A9"),
        ("/app/%2e/a", "/app/a"),
        ("/app/b/%2E%2e/a", "/app/a"),
        ("/app/.%2e/app/a", "/app/a"),
        ("/app/a?x=/../%2e%2e//&y=%zz", "/app/a?x=/../%2e%2e//&y=%zz"),
        ("/app/a?", "/app/a?"),
        ("/app/a?b=c?d", "/app/a?b=c?d"),
        ("/app/a%20b+c", "/app/a%20b+c"),
        ("/app/...", "/app/..."),
        ("/app/a;b=c/{d}|\"e\"", "/app/a;b=c/{d}|\"e\""),
    ] {
        for ask in [Ask::new(), Ask::new().with(&["Connection: keep-alive, Upgrade"])] {
            let head = front.forwarded(&ask.target(asked));
            assert_eq!(target_of(&head), forwarded, "{asked}");
        }
    }
    for outside in
        ["/app/../admin", "/app/%2e%2e/admin", "/app/..", "/application", "/", "/App/a", "/app%20/a"]
    {
        front.expect_refused(&Ask::new().target(outside), 404, "no_route");
        front.expect_refused(&Ask::plain().target(outside), 404, "no_route");
    }
}

#[test]
fn a_plain_request_has_its_path_made_normal_too() {
    let front = Front::routes(&route("app", "path = \"/app/*\""));
    let _client = front.send(Ask::plain().target("/app/x/..//%61?q=..").bytes());
    assert_eq!(target_of(&front.backend.accept().head()), "/app/a?q=..");
}

#[test]
fn paths_without_a_safe_form() {
    let front = Front::new("");
    for target in [
        "/..",
        "/../a",
        "/a/../../b",
        "/%2e%2e/b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%00",
        "/a%0d%0ab",
        "/a%7f",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%+4",
        "/a%2",
    ] {
        front.expect_refused(&Ask::new().target(target), 400, "path");
        front.expect_refused(&Ask::plain().target(target), 400, "path");
    }
    let mut client = front.send(Ask::new().target("/a\\..\\b").bytes());
    assert!(client.head().starts_with("HTTP/1.1 400 "));
    front.backend.expect_no_contact();
}

#[test]
fn a_prefix_ends_at_a_slash() {
    let front = Front::routes(&(route("below", "path = \"/ws/*\"") + &route("exact", "path = \"/only\"")));
    assert_eq!(front.route_of(&Ask::new().target("/ws")), "below");
    assert_eq!(front.route_of(&Ask::new().target("/ws/admin")), "below");
    assert_eq!(front.route_of(&Ask::new().target("/only?ws")), "exact");
    for outside in ["/wsadmin", "/ws2/a", "/ws%20", "/only/", "/only/a", "/onlyy", "/a/ws"] {
        let (_, line) = front.expect_refused(&Ask::new().target(outside), 404, "no_route");
        assert!(line["detail"].as_str().unwrap().contains("gateway.test/"), "{line:#}");
    }
}

#[test]
fn hosts() {
    let front = Front::routes(
        &(route("exact", "host = \"a.test\"")
            + &route("list", "host = [\"b.test\", \"c.test\"]")
            + &route("wild", "host = \"*.wild.test\"")
            + &route("narrow", "host = \"x.wild.test\"")
            + &route("six", "host = \"[::1]\"")),
    );
    for (host, route) in [
        ("a.test", "exact"),
        ("A.TEST", "exact"),
        ("a.test:8443", "exact"),
        ("a.test:", "exact"),
        ("a.test.", "exact"),
        ("b.test", "list"),
        ("c.test", "list"),
        ("y.wild.test", "wild"),
        ("Y.Wild.Test:1", "wild"),
        ("x.wild.test", "narrow"),
        ("[::1]:80", "six"),
    ] {
        let ask = Ask::new().with(&[&format!("Host: {host}")]);
        assert_eq!(front.route_of(&ask), route, "{host}");
    }
    for host in
        ["wild.test", "z.y.wild.test", ".wild.test", "d.test", "a.test.evil.test", "xa.test", "127.0.0.1"]
    {
        let ask = Ask::new().with(&[&format!("Host: {host}")]);
        let cause = if host.starts_with('.') { (400, "host") } else { (404, "no_route") };
        front.expect_refused(&ask, cause.0, cause.1);
    }
}

#[test]
fn headers_and_subprotocols() {
    let front = Front::routes(
        &(route("tenant", "match_headers = { \"x-tenant\" = \"a\" }")
            + &route("both", "match_headers = { \"x-tenant\" = \"a\", \"x-kind\" = \"b\" }")
            + &route("mqtt", "match_subprotocol = \"mqtt\"")
            + &route("rest", "path = \"/rest\"")),
    );
    for (changes, route) in [
        (&["X-Tenant: a"][..], "tenant"),
        (&["x-TENANT: z", "+X-Tenant: a"], "tenant"),
        (&["X-Tenant: a", "X-Kind: b"], "both"),
        (&["X-Tenant: a", "Sec-WebSocket-Protocol: mqtt"], "tenant"),
        (&["Sec-WebSocket-Protocol: wamp, mqtt"], "mqtt"),
        (&["Sec-WebSocket-Protocol: wamp", "+Sec-WebSocket-Protocol: mqtt"], "mqtt"),
    ] {
        assert_eq!(front.route_of(&Ask::new().with(changes)), route, "{changes:?}");
    }
    for changes in [
        &[][..],
        &["X-Tenant: A"],
        &["X-Tenant: ab"],
        &["X-Tenant:"],
        &["X-Kind: b"],
        &["Sec-WebSocket-Protocol: MQTT"],
        &["Sec-WebSocket-Protocol: mqtt2"],
    ] {
        front.expect_refused(&Ask::new().with(changes), 404, "no_route");
    }
    front.expect_refused(&Ask::plain().with(&["Sec-WebSocket-Protocol: mqtt"]), 404, "no_route");
}

#[test]
fn the_most_specific_route_wins_whatever_the_order() {
    let routes = [
        route("any", ""),
        route("path", "path = \"/a/*\""),
        route("deeper", "path = \"/a/b/*\""),
        route("exact", "path = \"/a/b\""),
        route("host", "host = \"h.test\""),
        route("wild", "host = \"*.test\"\npath = \"/a/b\""),
        route("header", "path = \"/a/*\"\nmatch_headers = { \"x-t\" = \"1\" }"),
    ];
    let reversed: String = routes.iter().rev().cloned().collect();
    for order in [routes.concat(), reversed] {
        let front = Front::routes(&order);
        for (host, target, header, wanted) in [
            ("other", "/", "", "any"),
            ("other", "/a", "", "path"),
            ("other", "/a/b/c", "", "deeper"),
            ("other", "/a/b", "", "exact"),
            ("other", "/a/c", "X-T: 1", "header"),
            ("other", "/a/b/c", "X-T: 1", "deeper"),
            ("h.test", "/a/b", "", "host"),
            ("g.test", "/a/b", "", "wild"),
            ("g.test", "/a/c", "", "path"),
        ] {
            let mut ask = Ask::new().target(target).with(&[&format!("Host: {host}")]);
            if !header.is_empty() {
                ask = ask.also(header);
            }
            assert_eq!(front.route_of(&ask), wanted, "{host}{target} {header}");
        }
    }
}

#[test]
fn a_prefix_is_stripped_at_a_segments_end() {
    let front = Front::routes(
        &(route("a", "path = \"/app/*\"\nstrip_prefix = \"/app\"")
            + &route("b", "path = \"/deep/er/*\"\nstrip_prefix = \"/deep\"")),
    );
    for (asked, forwarded) in [
        ("/app", "/"),
        ("/app/", "/"),
        ("/app/app/x", "/app/x"),
        ("/app/../app/x?/app", "/x?/app"),
        ("/app?q", "/?q"),
        ("/deep/er/x", "/er/x"),
    ] {
        assert_eq!(target_of(&front.forwarded(&Ask::new().target(asked))), forwarded, "{asked}");
    }
    front.expect_refused(&Ask::new().target("/application"), 404, "no_route");
}

#[test]
fn each_route_has_its_own_backend() {
    let (one, other) = (Backend::start(), Backend::start());
    let gateway = Gateway::start(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n\
         [[backend]]\nname = \"one\"\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/1\"\nbackend = \"one\"\n\
         [[route]]\nbackend = \"{}\"\n",
        one.url(),
        other.url()
    ));
    for (target, backend) in [("/1", &one), ("/2", &other)] {
        let mut client = gateway.connect();
        client.send(Ask::new().target(target).bytes());
        backend.accept_upgrade(b"");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
    }
}

#[test]
fn a_listener_that_only_redirects() {
    let front = Front::configured(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nredirect_to_https = true\n[[route]]\nbackend = \"BACKEND\"\n",
    );
    for (ask, location) in [
        (Ask::plain().target("/a/../b?c=/../d"), "https://gateway.test/b?c=/../d"),
        (Ask::new().target("/"), "https://gateway.test/"),
        (Ask::plain().line("POST /p HTTP/1.1").with(&["Host: Gateway.Test:80"]), "https://gateway.test/p"),
        (Ask::plain().with(&["Host: [::1]:80"]).target("/"), "https://[::1]/"),
    ] {
        let mut client = front.send(ask.bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{head}");
        assert_eq!(values(&head, "location"), [location]);
        assert_eq!(values(&head, "connection"), ["close"]);
        client.expect_end();
        front.backend.expect_no_contact();
    }
    front.expect_refused(&Ask::plain().with(&["+Host: zzmirror"]), 400, "host");
}

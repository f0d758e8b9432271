//! Which pages may connect.

use crate::support::*;

/// A front whose routes `/0`, `/1`, … have these origin policies.
fn policies(policies: &[&str]) -> Front {
    let mut routes = String::new();
    for (n, policy) in policies.iter().enumerate() {
        routes += &format!("[[route]]\npath = \"/{n}\"\nbackend = \"BACKEND\"\norigin = {{ {policy} }}\n");
    }
    Front::routes(&routes)
}

fn from(origin: &str) -> Ask {
    Ask::new().also(&format!("Origin: {origin}"))
}

#[test]
fn the_page_of_the_same_host() {
    let front = Front::new("");
    for origin in ["http://gateway.test", "http://gateway.test:80", "HTTP://Gateway.Test"] {
        let forwarded = front.forwarded(&from(origin));
        assert_eq!(values(&forwarded, "origin"), [origin]);
    }
    for origin in [
        "https://gateway.test",
        "http://gateway.test:8080",
        "http://zzmirror.test",
        "http://gateway.test.zzmirror",
        "http://zzmirror.gateway.test",
        "http://zzmirror@gateway.test",
        "http://gateway.test/",
        "http://gateway.test.",
        "ws://gateway.test",
        "gateway.test",
        "null",
        "",
        "http://gateway.test http://zzmirror.test",
        "http://gateway.test, http://zzmirror.test",
    ] {
        front.expect_refused(&from(origin), 403, "origin");
    }
    front.expect_refused(&from("http://gateway.test").also("Origin: http://gateway.test"), 403, "origin");
    front.expect_refused(&from("http://gateway.test").also("Origin: http://zzmirror.test"), 403, "origin");
    let with_port = |origin: &str| Ask::new().with(&["Host: gateway.test:8080"]).also(origin);
    front.forwarded(&with_port("Origin: http://gateway.test:8080"));
    front.expect_refused(&with_port("Origin: http://gateway.test"), 403, "origin");
}

#[test]
fn the_operator_reads_what_to_add() {
    let front = Front::new("");
    let (_, line) = front.expect_refused(&from("https://Page.test:8443"), 403, "origin");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("Origin \"https://Page.test:8443\" is not allowed"), "{detail}");
    assert!(detail.contains("add \"https://page.test:8443\" to origin.allowed"), "{detail}");
    let (_, line) = front.expect_refused(&from(&format!("http://{}.test", "a".repeat(2_000))), 403, "origin");
    assert!(line["detail"].as_str().unwrap().len() < 700, "{line:#}");
    let mut client = front.gateway.connect();
    client.send(from("http://\u{7}\u{e9}\"\x1b[31m.test").bytes());
    assert!(client.head().starts_with("HTTP/1.1 40"));
    let line = front.gateway.refused();
    assert!(line["detail"].as_str().unwrap().is_ascii(), "{line:#}");
}

#[test]
fn no_origin_and_null() {
    let front = policies(&[
        "",
        "allow_missing = false",
        "allow_null = true",
        "allow_missing = false, allow_null = true",
    ]);
    let at = |n: usize| Ask::new().target(&format!("/{n}"));
    front.forwarded(&at(0));
    let (_, line) = front.expect_refused(&at(1), 403, "origin");
    assert!(line["detail"].as_str().unwrap().contains("allow_missing = true"));
    let (_, line) = front.expect_refused(&at(0).also("Origin: null"), 403, "origin");
    assert!(line["detail"].as_str().unwrap().contains("allow_null = true"));
    front.forwarded(&at(2).also("Origin: null"));
    front.forwarded(&at(3).also("Origin: null"));
    front.expect_refused(&at(3), 403, "origin");
    front.expect_refused(&at(2).also("Origin: NULL"), 403, "origin");
    front.expect_refused(&at(2).also("Origin: null").also("Origin: null"), 403, "origin");
    front.forwarded(&at(1).also("Origin: http://gateway.test"));
}

#[test]
fn a_list_takes_the_place_of_the_same_origin() {
    let front = policies(&[
        "allowed = [\"https://page.test\", \"https://other.test:8443\", \"app://desktop\"]",
        "allowed = [\"https://*.good.test\"]",
        "allowed = [\"any-site-may-connect\"]",
        "allowed = [\"same-origin\", \"https://page.test\"]",
    ]);
    for (n, good) in [
        (0, "https://page.test"),
        (0, "https://page.test:443"),
        (0, "https://other.test:8443"),
        (0, "app://desktop"),
        (1, "https://a.good.test"),
        (1, "https://b.a.good.test"),
        (2, "https://whoever.test"),
        (2, "null"),
        (3, "http://gateway.test"),
        (3, "https://page.test"),
    ] {
        front.forwarded(&from(good).target(&format!("/{n}")));
    }
    for (n, bad) in [
        (0, "http://gateway.test"),
        (0, "http://page.test"),
        (0, "https://page.test:444"),
        (0, "https://other.test"),
        (0, "https://sub.page.test"),
        (0, "https://page.test.zzmirror"),
        (1, "https://good.test"),
        (1, "https://.good.test"),
        (1, "https://notgood.test"),
        (1, "https://a.good.test.zzmirror.test"),
        (1, "http://a.good.test"),
        (1, "https://a.good.test:444"),
        (3, "https://zzmirror.test"),
    ] {
        front.expect_refused(&from(bad).target(&format!("/{n}")), 403, "origin");
    }
    let two = from("https://a.test").also("Origin: https://b.test").target("/2");
    front.expect_refused(&two, 403, "origin");
}

#[test]
fn report_admits_and_says_so() {
    let front = policies(&["mode = \"report\""]);
    let (_, _, _) = front.expect_admitted(&from("https://page.test").target("/0?token=secret"));
    let line = front.gateway.wait_for("a report", |line| line["cause"] == "origin");
    assert_eq!(line["level"], "WARN");
    assert!(line["detail"].as_str().unwrap().contains("https://page.test"), "{line:#}");
    assert_eq!(line["id"], front.opened()["id"]);
    assert!(!line.to_string().contains("secret"));
}

#[test]
fn a_plain_request_is_not_asked_for_its_origin() {
    let front = Front::new("");
    let _client = front.send(Ask::plain().also("Origin: https://page.test").bytes());
    assert_eq!(values(&front.backend.accept().head(), "origin"), ["https://page.test"]);
}

#[test]
fn the_same_origin_behind_a_proxy() {
    let told = |proto: &str| {
        let host = "X-Forwarded-Host: public.test";
        from("https://public.test").also(host).also(&format!("X-Forwarded-Proto: {proto}"))
    };
    let config = "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"BACKEND\"\n";
    let behind = Front::configured(&format!("trusted_proxies = [\"127.0.0.0/8\"]\n{config}"));
    behind.forwarded(&told("https"));
    // Some proxies name the scheme of the socket.
    behind.forwarded(&told("wss"));
    behind.forwarded(
        &from("http://public.test").also("X-Forwarded-Host: public.test").also("X-Forwarded-Proto: ws"),
    );
    behind.forwarded(&from("http://public.test").also("X-Forwarded-Host: public.test"));
    behind.expect_refused(&told("http"), 403, "origin");
    behind.expect_refused(&from("http://gateway.test").also("X-Forwarded-Host: public.test"), 403, "origin");
    // A word nearer to us than the client's own: the last one.
    behind.forwarded(&told("http").also("X-Forwarded-Proto: https"));

    let elsewhere = Front::configured(&format!("trusted_proxies = [\"192.0.2.0/24\"]\n{config}"));
    elsewhere.expect_refused(&told("https"), 403, "origin");
    elsewhere.expect_refused(&from("https://gateway.test").also("X-Forwarded-Proto: https"), 403, "origin");
    elsewhere.forwarded(&from("http://gateway.test").also("X-Forwarded-Host: public.test"));
}

//! Who gets nothing at the admin address: pages of other sites in a browser on the same machine, names that were made to
//! lead there, callers without the token, and those who send too much or too slowly. Every attempt is in the log, nothing
//! happens, and no token is ever repeated.

use crate::support::*;
use serde_json::{Value, json};
use std::io::Write;

const TOKEN: &str = "a-token-of-the-operators-own";
const JSON: &str = "Content-Type: application/json";
const EVERYBODY: &str = r#"{"all": true}"#;

fn refusal(gateway: &Gateway) -> Value {
    gateway.wait_for("admin request refused", |line| line["message"] == "admin request refused")
}

#[test]
fn pages_of_others_change_nothing() {
    let bench = Bench::new(ADMIN);
    let admin = Admin::of(&bench.gateway);
    let mut ends = bench.open();
    let port = admin.host().split_once(':').unwrap().1.to_string();
    let rebound = format!("Host: evil.test:{port}");
    let rebound_page = format!("Origin: http://evil.test:{port}");
    let cases: &[(&str, &[&str], u16, &str)] = &[
        // A form, in each way that forms have.
        ("POST /kick", &["Content-Type: text/plain", "Origin: https://evil.test"], 403, "page"),
        ("POST /kick", &["Content-Type: text/plain"], 415, "content_type"),
        ("POST /kick", &["Content-Type: application/x-www-form-urlencoded"], 415, "content_type"),
        ("POST /kick", &["Content-Type: multipart/form-data; boundary=b"], 415, "content_type"),
        ("POST /kick", &[], 415, "content_type"),
        // A script: it may ask first, and is not let; what it sends all the same gives it away.
        ("OPTIONS /kick", &["Access-Control-Request-Method: POST", "Origin: https://evil.test"], 403, "page"),
        ("POST /kick", &[JSON, "Origin: https://evil.test"], 403, "page"),
        ("POST /kick", &[JSON, "Origin: null"], 403, "page"),
        ("POST /kick", &[JSON, "Sec-Fetch-Site: cross-site"], 403, "page"),
        ("POST /kick", &[JSON, "Sec-Fetch-Site: same-site"], 403, "page"),
        // A name that leads here; its page is of the same origin as what it asks for.
        ("POST /kick", &[JSON, &rebound, &rebound_page, "Sec-Fetch-Site: same-origin"], 421, "host"),
        ("GET /sessions", &[&rebound], 421, "host"),
        ("GET /", &[&rebound], 421, "host"),
        ("GET /healthz", &[&rebound], 421, "host"),
        // A link, an image.
        ("GET /kick?all=true", &["Sec-Fetch-Site: cross-site"], 403, "page"),
        ("GET /kick?all=true", &[], 405, "method"),
        ("GET /drain?all=true", &[], 405, "method"),
        ("GET /reload", &[], 405, "method"),
        ("DELETE /sessions/1", &[], 405, "method"),
    ];
    for (request, lines, status, cause) in cases {
        let body = if request.starts_with("POST") { EVERYBODY } else { "" };
        let answer = admin.ask(request, lines, body);
        assert_eq!(answer.status, *status, "{request} {lines:?}: {answer:?}");
        assert!(answer.json()["hint"].is_string());
        assert_eq!(answer.header("access-control-allow-origin"), [""; 0]);
        let line = refusal(&bench.gateway);
        assert_eq!(line["cause"], **cause, "{request} {lines:?}: {line}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        let path = request.split('?').next().unwrap();
        assert_eq!(line["asked"], path, "without its query");
    }
    let watch = |lines: &str| {
        let request = upgrade_request("/live", lines).replace("gateway.test", &admin.host());
        Answer::to(&mut admin.tcp(), &request).status
    };
    assert_eq!(watch("Origin: https://evil.test\r\n"), 403);
    assert_eq!(watch("Origin: null\r\n"), 403);
    assert_eq!(watch(&format!("Origin: http://{}\r\n", admin.host())), 101);
    // Nobody was kicked, nothing was drained, and the configuration is the first one.
    ends.exchange("still here");
    assert_eq!(admin.get("/readyz").status, 200);
    let status = admin.told("/status");
    assert_eq!((&status["config"]["generation"], &status["sessions"]["live"]), (&json!(1), &json!(1)));
    // The same from its own page, and from a program, is done.
    let own = format!("Origin: http://{}", admin.host());
    let done = admin.ask("POST /kick", &[JSON, &own, "Sec-Fetch-Site: same-origin"], EVERYBODY);
    assert_eq!(done.json(), json!({ "kicked": 1 }));
    assert_eq!(ends.hears(Peer::Client, 1012), "kick");
}

fn with_token(keys: &str) -> (Bench, Admin) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    set_mode(&dir.path().join("token"), 0o600);
    let backend = Backend::start();
    let config = format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"test\"\nbackend = \"{}\"\n{keys}\n\
         {ADMIN}token_file = \"token\"\n",
        backend.url()
    );
    let gateway = Gateway::start_in(dir, &config);
    let admin = Admin::of(&gateway);
    (Bench { gateway, backend }, admin)
}

#[test]
fn without_the_token_nobody_gets_anything() {
    let (bench, admin) = with_token("");
    let mut ends = bench.open();
    let wrong = "Authorization: Bearer a-token-of-somebody-elses";
    let close = format!("Authorization: Bearer {TOKEN}x");
    let basic = format!("Authorization: Basic {TOKEN}");
    let cookie = format!("Cookie: token={TOKEN}");
    let offered = format!("Sec-WebSocket-Protocol: bearer.{TOKEN}");
    for path in ["/status", "/sessions", "/sessions/1", "/config", "/metrics", "/tap/1", "/live", "/nothing"]
    {
        for lines in [&[][..], &[wrong]] {
            let answer = admin.ask(&format!("GET {path}"), lines, "");
            let asks = answer.header("www-authenticate");
            assert_eq!((answer.status, asks), (401, vec!["Bearer"]), "{path} {lines:?}");
            assert_eq!(refusal(&bench.gateway)["cause"], "token");
        }
    }
    for path in ["/kick", "/drain", "/reload"] {
        for lines in [&[][..], &[wrong], &[&close], &[&basic], &[&cookie], &[&offered]] {
            let lines = [&[JSON], lines].concat();
            let answer = admin.ask(&format!("POST {path}"), &lines, EVERYBODY);
            assert_eq!(answer.status, 401, "{path} {lines:?}");
            assert_eq!(refusal(&bench.gateway)["cause"], "token");
        }
    }
    // Probes have none, and the page is the same for everybody.
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    ends.exchange("still here");
    let admin = admin.with_token(TOKEN);
    assert_eq!(admin.told("/sessions")["total"], 1);
    // With a token any name will do, but no page of others.
    assert_eq!(admin.ask("GET /status", &["Host: gateway.internal"], "").status, 200);
    assert_eq!(admin.ask("POST /kick", &[JSON, "Origin: https://evil.test"], EVERYBODY).status, 403);
    assert_eq!(admin.done("/kick", EVERYBODY), json!({ "kicked": 1 }));
    assert_eq!(ends.hears(Peer::Client, 1012), "kick");
    let log = bench.gateway.rest_of_log();
    assert!(!log.iter().any(|line| line.to_string().contains(TOKEN)), "the token is in the log");
}

#[test]
fn the_page_brings_the_token_as_a_subprotocol() {
    let (bench, admin) = with_token("");
    let watch = |offer: &str| {
        let lines = format!("Sec-WebSocket-Protocol: {offer}\r\nOrigin: http://{}\r\n", admin.host());
        let request = upgrade_request("/live", &lines).replace("gateway.test", &admin.host());
        let mut raw = admin.tcp();
        (Answer::to(&mut raw, &request), raw)
    };
    for offer in ["framegate.live", "framegate.live, bearer.another-token-of-ours", "framegate.live, bearer."]
    {
        assert_eq!(watch(offer).0.status, 401, "{offer}");
    }
    let (answer, mut raw) = watch(&format!("framegate.live, bearer.{TOKEN}"));
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, vec!["framegate.live"]));
    assert!(!answer.head.contains(TOKEN), "{}", answer.head);
    let state: Value = serde_json::from_slice(&raw.expect_frame(0x81)).unwrap();
    assert_eq!(state["pid"], bench.gateway.child.id());
}

/// At once where the file changes; a broken one changes nothing.
#[test]
fn a_token_is_replaced() {
    let (bench, admin) = with_token("");
    let file = bench.gateway.dir.path().join("token");
    let first = admin.with_token(TOKEN);
    assert_eq!(first.get("/status").status, 200);
    std::fs::write(&file, "short").unwrap();
    assert_eq!(first.get("/status").status, 200);
    let line = bench.gateway.wait_for("stays", |line| line["message"] == "the admin token stays what it was");
    assert!(!line["problem"].as_str().unwrap().contains("short\""), "{line}");
    std::fs::write(&file, "another-token-of-the-operators").unwrap();
    assert_eq!(first.get("/status").status, 401);
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    // `framegate check` says so for the rest of them: tests/config/invalid/admin-*.toml.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    let rest = "[[listener]]\nbind = \"127.0.0.1:1\"\n[[route]]\nbackend = \"ws://127.0.0.1:2\"\n";
    let problems = |admin: &str| -> String {
        std::fs::write(&file, format!("[admin]\n{admin}\n{rest}")).unwrap();
        let loaded = framegate::config::load(&file, &|_| None);
        let told = loaded.map_or_else(|problems| problems, |loaded| loaded.warnings);
        told.iter().map(|problem| format!("{problem}\n")).collect()
    };
    for (bind, expected) in [
        ("127.0.0.1:0", true),
        ("127.0.0.2:0", true),
        ("[::1]:0", true),
        ("unix:a.sock", true),
        ("0.0.0.0:0", false),
        ("[::]:0", false),
        ("192.0.2.1:0", false),
        ("systemd:admin", false),
    ] {
        let told = problems(&format!("bind = \"{bind}\""));
        assert_eq!(told.is_empty(), expected, "{bind}: {told}");
        assert!(expected || told.contains("admin.bind: other machines may connect"), "{told}");
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        set_mode(&dir.path().join("token"), 0o600);
        let told = problems(&format!("bind = \"{bind}\"\ntoken_file = \"token\""));
        assert!(told.is_empty(), "{bind}: {told}");
    }
    for (token, part) in [
        ("", "holds no token"),
        ("fifteen-letters", "15 characters"),
        ("two words that are long", "cannot stand"),
    ] {
        std::fs::write(dir.path().join("token"), token).unwrap();
        let told = problems("token_file = \"token\"");
        assert!(told.contains(part) && told.contains("openssl rand -hex 32"), "{told}");
        assert!(token.is_empty() || !told.contains(token), "{told}");
    }
    std::fs::write(dir.path().join("token"), TOKEN).unwrap();
    set_mode(&dir.path().join("token"), 0o644);
    assert!(problems("token_file = \"token\"").contains("open to other users (mode 644)"));
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn nobody_sends_too_much_or_comes_too_often() {
    let bench = Bench::new(ADMIN);
    let admin = Admin::of(&bench.gateway);
    let long = format!("{{\"route\": \"{}\"}}", "x".repeat(64 * 1024));
    assert_eq!(admin.post("/kick", &long).status, 413);
    // The same where its length is not told before.
    let chunked = format!(
        "POST /kick HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    assert_eq!(admin.send(&chunked).status, 413);
    assert_eq!(admin.get(&format!("/{}", "x".repeat(40_000))).status, 431);
    assert_eq!(refusal(&bench.gateway)["cause"], "request");
    let mut idle: Vec<Raw> = (0..64).map(|_| admin.tcp()).collect();
    // Whoever got in is answered; one more is not.
    let ask = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", admin.host());
    for one in &mut idle {
        assert_eq!(Answer::to(one, &ask).status, 200);
    }
    admin.tcp().expect_end();
    let line = bench.gateway.wait_for("connections", |line| line["cause"] == "connections");
    assert_eq!(line["message"], "admin request refused");
    drop(idle);
    within_a_moment("a place is free", || {
        let mut raw = admin.tcp();
        // It may be sent away before it has said a word.
        raw.stream.write_all(ask.as_bytes()).is_ok() && !raw.some().is_empty()
    });
}

#[test]
fn every_answer_keeps_browsers_from_making_more_of_it() {
    let bench = Bench::new(ADMIN);
    let admin = Admin::of(&bench.gateway);
    for path in ["/", "/healthz", "/status", "/sessions", "/config", "/nothing", "/kick"] {
        let answer = admin.get(path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), [value], "{path}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.len() == 1 && policy[0].contains("default-src 'none'"), "{path}: {policy:?}");
        assert!(policy[0].contains("frame-ancestors 'none'"), "{path}: {policy:?}");
    }
    assert_eq!(admin.get("/kick").header("allow"), ["POST"]);
    assert_eq!(admin.get("/nothing").header("connection"), ["close"]);
}

/// Without the table there is no such address.
#[test]
fn it_is_off_unless_configured() {
    let bench = Bench::new("");
    drop(bench.open());
    bench.gateway.ended();
    let log = bench.gateway.rest_of_log();
    assert!(!log.iter().any(|line| line.to_string().contains("admin")), "{log:#?}");
}

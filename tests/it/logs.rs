//! The log: two lines a session in either format, nothing secret in them, and nothing in them that a peer could forge.

use crate::support::*;
use serde_json::Value;
use std::collections::BTreeMap;

fn bench(log: &str) -> Bench {
    Bench::new(&format!("[log]\n{log}"))
}

/// A session with this path and these header lines, closed by the client with this reason; the whole log of it.
fn log_of(mut bench: Bench, path: &str, headers: &str, answer: &str, reason: &str) -> Vec<Value> {
    let mut client = bench.gateway.connect();
    client.send(upgrade_request(path, headers));
    let mut server = bench.backend.accept();
    server.head();
    server.send(upgrade_response(answer));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let mut ends = Ends { client, server };
    ends.closes(Peer::Client, 4000, reason);
    assert_eq!(ends.hears(Peer::Server, 4000), reason);
    ends.closes(Peer::Server, 4000, "");
    ends.hears(Peer::Client, 4000);
    ends.both_end();
    finish(&mut bench)
}

fn finish(bench: &mut Bench) -> Vec<Value> {
    bench.gateway.signal("TERM");
    assert_eq!(bench.gateway.exit_code(), Some(0));
    bench.gateway.lines_to_the_end()
}

/// A line of the text format, or a whole line of the other one.
fn shown(line: &Value) -> String {
    line.as_str().map_or_else(|| line.to_string(), String::from)
}

fn with<'a>(lines: &'a [Value], what: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| shown(line).contains(what)).collect()
}

const FORGED: &str = "bye\n2026-01-01T00:00:00Z INFO session ended by=\"forged\"\r\x1b[2J\u{2028}\u{85}";

#[test]
fn text_lines_cannot_be_broken() {
    let lines = log_of(
        bench("format = \"text\""),
        "/a%20b?x=%0A",
        "Origin: http://gateway.test\r\nUser-Agent: a\tb\r\n",
        "",
        FORGED,
    );
    assert!(lines.iter().all(|line| line.is_string()));
    let ended = with(&lines, "session ended id=");
    assert_eq!(ended.len(), 1, "{lines:#?}");
    let ended = shown(ended[0]);
    for part in [
        " INFO ",
        "by=\"client\"",
        "cause=\"closed\"",
        "about=\"client\"",
        "code=4000",
        "reason=\"bye\\n2026",
    ] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
    for line in &lines {
        let line = shown(line);
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        // A line of ours starts with the time.
        assert!(line.starts_with("20") && line.as_bytes()[10] == b'T' && line.contains("Z "), "{line:?}");
    }
}

#[test]
fn json_lines_cannot_be_broken() {
    let lines = log_of(bench("format = \"json\""), "/a%20b", "", "", FORGED);
    assert!(lines.iter().all(Value::is_object), "{lines:#?}");
    let ended = with(&lines, "session ended\"");
    // JSON escapes what would break it; what only a terminal obeys is escaped by us.
    let reason = FORGED.replace('\u{2028}', "\\u{2028}").replace('\u{85}', "\\u{85}");
    assert_eq!((ended.len(), ended[0]["reason"].as_str()), (1, Some(reason.as_str())));
    let opened = with(&lines, "session opened");
    assert_eq!(opened.len(), 1);
    for key in ["id", "route", "listener", "backend", "client", "host", "path", "compression"] {
        assert!(opened[0][key].as_str().is_some_and(|value| !value.is_empty()), "{key}: {:#}", opened[0]);
    }
    assert_eq!(opened[0]["id"], ended[0]["id"]);
}

/// What refused clients send is shown, escaped.
#[test]
fn refusals_cannot_break_a_line() {
    for format in ["text", "json"] {
        let mut bench = bench(&format!("format = \"{format}\""));
        let mut client = bench.gateway.connect();
        client.send(upgrade_request("/", "Origin: http://evil\t\"quoted\" by=\"forged\"\r\n"));
        assert!(client.head().starts_with("HTTP/1.1 403 "));
        drop(client);
        let lines = finish(&mut bench);
        let refused = with(&lines, "handshake refused");
        assert_eq!(refused.len(), 1, "{lines:#?}");
        if let Some(line) = refused[0].as_str() {
            assert!(!line.contains(|c: char| c.is_control()) && !line.contains(" by=\"forged\""), "{line:?}");
        }
        bench.backend.expect_no_contact();
    }
}

#[test]
fn secrets_are_not_logged() {
    let headers = "Authorization: Bearer s3cret\r\nCookie: session=s3cret\r\n\
                   Sec-WebSocket-Protocol: chat, bearer.s3cret\r\n";
    let agreed = "Sec-WebSocket-Protocol: bearer.s3cret\r\n";
    for format in ["text", "json"] {
        let lines = log_of(
            bench(&format!("format = \"{format}\"\nlevel = \"trace\"")),
            "/p?token=s3cret&s3cret&v=s3cret",
            headers,
            agreed,
            "bye",
        );
        assert_eq!(with(&lines, "s3cret"), Vec::<&Value>::new());
        assert_eq!(with(&lines, KEY), Vec::<&Value>::new());
        let opened = with(&lines, "session opened");
        assert!(shown(opened[0]).contains("/p?token=…&…&v=…"), "{opened:#?}");
        assert!(shown(opened[0]).contains("(redacted)"), "{opened:#?}");
    }
    let long = format!("Sec-WebSocket-Protocol: {}\r\n", "x".repeat(49));
    let lines = log_of(bench(""), "/", &long, &long, "bye");
    assert_eq!((with(&lines, "xxxx").len(), with(&lines, "(redacted)").len()), (0, 2), "{lines:#?}");
    let harmless = "Sec-WebSocket-Protocol: graphql-ws\r\n";
    let lines = log_of(bench("query = \"keep\""), "/p?token=shown", harmless, harmless, "bye");
    assert!(shown(with(&lines, "session opened")[0]).contains("/p?token=shown"), "{lines:#?}");
    assert!(shown(with(&lines, "session ended")[0]).contains("graphql-ws"), "{lines:#?}");
}

#[test]
fn without_access_lines() {
    let lines = log_of(bench("access = false"), "/", "", "", "bye");
    assert_eq!(with(&lines, "session opened").len() + with(&lines, "session ended").len(), 0, "{lines:#?}");
    assert_eq!(with(&lines, "stopped").len(), 1, "{lines:#?}");
}

/// `FRAMEGATE_LOG` speaks for each module, whatever the file says.
#[test]
fn levels_and_their_override() {
    let config = |backend: &Backend, level: &str| {
        format!(
            "[log]\nlevel = \"{level}\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nbackend = \"{}\"\n",
            backend.url()
        )
    };
    let backend = Backend::start();
    let gateway = Gateway::start_with_log("error,framegate::app=info", &config(&backend, "info"));
    let lines = log_of(Bench { gateway, backend }, "/", "", "", "bye");
    assert_eq!((with(&lines, "session ended").len(), with(&lines, "stopped").len()), (0, 1), "{lines:#?}");
    let backend = Backend::start();
    let gateway = Gateway::start_with_log("info", &config(&backend, "error"));
    let lines = log_of(Bench { gateway, backend }, "/", "", "", "bye");
    assert_eq!((with(&lines, "session ended").len(), with(&lines, "stopped").len()), (1, 1), "{lines:#?}");
}

/// However a client goes, before, while and after the 101 is under way: who was let in is shown out, once.
#[test]
fn one_end_for_every_opening() {
    let mut bench = Bench::new("timeouts = { close = \"100ms\" }");
    let mut servers = Vec::new();
    for turn in 0..40 {
        let mut client = bench.gateway.connect();
        client.send(upgrade_request("/", ""));
        let mut server = bench.backend.accept();
        server.head();
        let gone_before = turn % 4 == 0;
        let client = if gone_before {
            leave(client, turn);
            None
        } else {
            Some(client)
        };
        server.send([upgrade_response("").as_bytes(), &server_frame(0x81, b"early")].concat());
        match client {
            Some(client) if turn % 4 == 1 => leave(client, turn),
            Some(mut client) => {
                client.head();
                if turn % 4 == 2 {
                    leave(client, turn);
                } else {
                    client.expect(server_frame(0x81, b"early"));
                    client.send(text("late"));
                    leave(client, turn);
                }
            }
            None => {}
        }
        servers.push(server);
    }
    // Whatever it was, the backend's connection ends too.
    for mut server in servers {
        server.rest();
    }
    let mut lines = finish(&mut bench);
    lines.retain(|line| line["target"] == "framegate::access");
    let mut sessions = BTreeMap::<String, (u32, u32)>::new();
    for line in &lines {
        let session = sessions.entry(line["id"].as_str().unwrap().to_string()).or_default();
        match line["message"].as_str().unwrap() {
            "session opened" => session.0 += 1,
            _ => session.1 += 1,
        }
    }
    assert!(sessions.len() >= 20, "{}", sessions.len());
    assert!(sessions.values().all(|counts| *counts == (1, 1)), "{sessions:#?}");
    let odd = lines.iter().find(|line| line["message"] == "session ended" && line["cause"] != "client_lost");
    assert_eq!(odd, None);
}

fn leave(client: Raw, turn: u32) {
    if turn % 8 < 4 { client.reset() } else { drop(client) }
}

/// The backend answers and is gone: the client is told, and the line says who it was.
#[test]
fn a_backend_that_leaves_with_its_answer() {
    let bench = Bench::new("");
    for _ in 0..10 {
        let mut client = bench.gateway.connect();
        client.send(upgrade_request("/", ""));
        let (_, server) = bench.backend.accept_upgrade(&server_frame(0x81, b"hello"));
        drop(server);
        client.head();
        client.expect(server_frame(0x81, b"hello"));
        assert_eq!(client.expect_close(1012), "backend_lost");
        drop(client);
        bench.gateway.expect_ended("backend", "backend_lost");
    }
}

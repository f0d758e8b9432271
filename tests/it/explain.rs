//! `framegate explain`: what it says, word for word, and that it says what the gateway does.

use crate::support::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn explain(directory: &Path, arguments: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framegate"));
    command.arg("explain").args(arguments).current_dir(directory).output().unwrap()
}

/// The words of a command line, in which single quotes hold one together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(String::from)),
            _ => words.push(part.into()),
        }
    }
    words
}

/// A transcript: commands, what they print, and what they exit with. Behind a `|` stand the topics that matter; the
/// verdict always does. `UPDATE=1` rewrites what is printed; read every line that changed.
#[test]
fn the_transcript_is_repeated_word_for_word() {
    let directory = Path::new("tests/explain");
    let file = directory.join("site.txt");
    let wanted = std::fs::read_to_string(&file).unwrap();
    let prompt = "$ framegate explain ";
    let commands: Vec<&str> = wanted.lines().filter_map(|line| line.strip_prefix(prompt)).collect();
    let mut got = String::new();
    for command in &commands {
        let (arguments, topics) = command.split_once(" | ").unwrap_or((command, ""));
        let Output { status, stdout, stderr } = explain(directory, &words(arguments));
        let said = format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(!said.contains("not-to-be-shown"), "{said}");
        let shown = of_topics(said.trim_end(), topics);
        got += &format!("{prompt}{command}\n{shown}\nexit {}\n\n", status.code().unwrap());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &got).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap();
    for (got, wanted) in got.split("\n$ ").zip(wanted.split("\n$ ")) {
        assert_eq!(got, wanted, "UPDATE=1 rewrites the transcript");
    }
    assert_eq!(got, wanted);
    assert!(commands.len() > 20);
}

fn of_topics(said: &str, topics: &str) -> String {
    let Some((rows, verdict)) = said.split_once("\n\n").filter(|_| !topics.is_empty()) else {
        return said.into();
    };
    let topics: Vec<&str> = topics.split(' ').collect();
    let rows = rows.lines().filter(|row| row.split(' ').next().is_some_and(|topic| topics.contains(&topic)));
    // How far apart the columns are depends on rows that are not shown.
    let close = |row: &str| {
        row.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect::<Vec<_>>().join("  ")
    };
    rows.map(close).chain([verdict.to_string()]).collect::<Vec<_>>().join("\n")
}

/// Routes that take different requests, and refuse them for different reasons.
const ROUTES: &str = r#"
trusted_proxies = ["127.0.0.1"]
[[listener]]
name = "plain"
bind = "127.0.0.1:0"
[[route]]
name = "default"
host = "gateway.test"
backend = "BACKEND"
strip_prefix = "none"
[[route]]
name = "mqtt"
host = "gateway.test"
match_subprotocol = "mqtt"
backend = "BACKEND"
[[route]]
name = "strict"
host = "gateway.test"
path = "/strict/*"
strip_prefix = "/strict"
http = "reject"
origin = { allow_missing = false, allowed = ["https://*.good.test"] }
backend = "BACKEND"
[[route]]
name = "networks"
host = "networks.test"
refuse = "close"
backend = "BACKEND"
access = { allow = ["203.0.113.0/24"], deny = ["203.0.113.66"] }
[[route]]
name = "token"
host = "token.test"
backend = "BACKEND"
access.jwt = { jwks_file = "jwks.json", from = ["header", "query:t"], audience = "chat" }
"#;

#[test]
fn it_says_what_the_gateway_does() {
    let signer = Signer::new(jsonwebtoken::Algorithm::ES256, "key");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("jwks.json"), json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let backend = Backend::start();
    let gateway = Gateway::start_in(dir, &ROUTES.replace("BACKEND", &backend.url()));
    let front = Front { gateway, backend };
    let directory = front.gateway.dir.path();
    let bearer = |token: String| format!("Authorization: Bearer {token}");
    let good = bearer(signer.token(json!({ "aud": "chat" })));
    let other = bearer(signer.token(json!({ "aud": "other" })));
    let stranger = Signer::new(jsonwebtoken::Algorithm::ES256, "key").token(json!({ "aud": "chat" }));
    let (token, stranger) = ("Host: token.test", bearer(stranger));
    for (target, headers) in [
        ("/", &[][..]),
        ("/a/../b?x=1", &[]),
        ("/", &["Sec-WebSocket-Protocol: wamp, mqtt"]),
        ("/", &["Origin: http://gateway.test"]),
        ("/", &["Origin: https://gateway.test"]),
        ("/", &["Origin: https://gateway.test", "X-Forwarded-Proto: https"]),
        ("/", &["Origin: null"]),
        ("/strict", &[]),
        ("/strict/a", &["Origin: https://a.good.test"]),
        ("/strict/a", &["Origin: https://good.test"]),
        ("/", &["Host: other.test"]),
        ("/", &["Host: a b"]),
        ("/", &["Sec-WebSocket-Version: 8"]),
        ("/%2f", &[]),
        ("/", &["X-Forwarded-For: 203.0.113.9"]),
        ("/", &["X-Forwarded-For: 203.0.113.9, unknown"]),
        ("/", &["Host: networks.test"]),
        ("/", &["Host: networks.test", "X-Forwarded-For: 203.0.113.9"]),
        ("/", &["Host: networks.test", "X-Forwarded-For: 203.0.113.66"]),
        ("/", &[token]),
        ("/", &[token, &good]),
        ("/", &[token, &other]),
        ("/", &[token, &stranger]),
        ("/?t=not-a-token", &[token]),
    ] {
        let ask = format!("framegate.toml ws://gateway.test{target} --json --listener plain");
        let given = headers.iter().flat_map(|header| ["--header".to_string(), (*header).to_string()]);
        let output = explain(directory, &words(&ask).into_iter().chain(given).collect::<Vec<_>>());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = |topic: &str| {
            let mut rows = said["decisions"].as_array().unwrap().iter();
            rows.find(|row| row["topic"] == topic).cloned().unwrap_or_default()
        };
        let ask = Ask::new().target(target).with(headers);
        if said["verdict"] == "admitted" {
            assert_eq!(output.status.code(), Some(0));
            let asked_for = front.forwarded(&ask).split(' ').nth(1).unwrap().to_string();
            assert_eq!(said["path"], asked_for.replace("x=1", "x=…"));
            let opened = front.opened();
            assert_eq!(row("route")["name"], opened["route"], "{target} {headers:?}");
            let client = opened["client"].as_str().unwrap();
            assert!(row("client")["value"].as_str().unwrap().starts_with(&format!("{client},")), "{said:#}");
        } else {
            assert_eq!((&said["verdict"], output.status.code()), (&"refused".into(), Some(1)));
            let mut client = front.send(ask.bytes());
            let (head, close) = (client.head(), said["close"].as_u64());
            let status = close.map_or(said["status"].to_string(), |_| "101".into());
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            if let Some(code) = close {
                client.expect_close(u16::try_from(code).unwrap());
            }
            let line = front.gateway.refused();
            for field in ["status", "cause", "detail", "close"] {
                assert_eq!(line[field], said[field], "{target} {headers:?}");
            }
            front.backend.expect_no_contact();
        }
    }
}
